"""Collect the code blocks of README and docs as tests (tests/documentation.py)."""

from documentation import pytest_collect_file

__all__ = ["pytest_collect_file"]
