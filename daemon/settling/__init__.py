"""Settling: finished jobs become final in groups, and are logged."""
