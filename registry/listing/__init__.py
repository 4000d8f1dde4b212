"""Describe, compare, filter and sort the versions of a registry."""
