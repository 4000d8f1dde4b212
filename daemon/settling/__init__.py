"""Finished requests are committed in groups."""
