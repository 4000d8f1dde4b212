"""README and docs are tests: tests/documentation.py collects their code blocks."""

from documentation import pytest_collect_file

__all__ = ["pytest_collect_file"]
