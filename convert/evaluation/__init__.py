"""Evaluate a model stage by stage, and present the figures."""
