"""The type of the fixture `program`: a function that runs spikewatch-sim and returns exit code, stdout and stderr."""

from __future__ import annotations

from collections.abc import Callable

Program = Callable[..., tuple[int, str, str]]
