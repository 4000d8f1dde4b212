"""The daemon's clocks; tests replace them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """Two clocks in seconds: `monotonic` for pauses and durations, `wall` (since 1970) for recorded times."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
