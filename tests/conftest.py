"""Settings for all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# In CI the examples are the same every time, so a new failure comes from a change; elsewhere they are random.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
