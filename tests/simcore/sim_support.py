"""The type of the fixture `program`: a call of spikewatch-sim that gives exit code, stdout and stderr."""

from __future__ import annotations

from collections.abc import Callable

Program = Callable[..., tuple[int, str, str]]
