"""Elman networks: float, constrained, and placed on a core."""
