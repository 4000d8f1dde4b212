"""Time as the daemon sees it; tests pass their own."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """Two clocks, in seconds: `monotonic` for waiting and durations, `wall` (since 1970) for what is written down."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
