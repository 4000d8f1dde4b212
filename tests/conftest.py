"""Settings for all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# In CI the examples are the same every time, so a new failure comes from a change; elsewhere they are random.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name parameters of bytes by their place alone.

    Packed bytes (gzip, zip) may hold the time of day. Workers that collect the tests a second apart
    would then disagree on the names, and the run would stop.
    """
    return "bytes" if isinstance(val, bytes) else None
