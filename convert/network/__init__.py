"""Elman networks: as trained, as constrained, and as placed on a core."""
