"""The names of the log's events, and how they write times (docs/logs.md documents all)."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

START: Final = "daemon.start"
READY: Final = "daemon.ready"
STOP: Final = "daemon.stop"
FAULT: Final = "daemon.fault"
SEEN: Final = "request.seen"
CLAIMED: Final = "request.claimed"
CONFIG_RELOADED: Final = "config.reloaded"
CONFIG_FIXED: Final = "config.fixed"
CONFIG_FAILED: Final = "config.failed"
MODEL_LOADING: Final = "model.loading"
MODEL_SWAPPED: Final = "model.swapped"
MODEL_FAILED: Final = "model.failed"
MODEL_CURRENT: Final = "model.current"
DONE: Final = "request.done"
FAILED: Final = "request.failed"
RECOVERED: Final = "request.recovered"
DUPLICATE: Final = "request.duplicate"
RETRY: Final = "request.retry"
STUCK: Final = "request.stuck"
UNSTUCK: Final = "request.unstuck"
IGNORED: Final = "request.ignored"
WATCH_OVERFLOW: Final = "watch.overflow"
WATCH_RESCAN: Final = "watch.rescan"
WATCH_RESTARTED: Final = "watch.restarted"
WATCH_FAILED: Final = "watch.failed"
DISK_LOW: Final = "disk.low"
DISK_OK: Final = "disk.ok"
OUT_FULL: Final = "out.full"
OUT_OK: Final = "out.ok"


def timestamp(wall_s: float) -> str:
    """Write a wall time as RFC 3339 in UTC, to the millisecond."""
    second, microsecond = divmod(round(wall_s * 1e6), 1_000_000)
    return f"{to_the_second(second)}.{microsecond // 1000:03d}Z"


@lru_cache(maxsize=16)
def to_the_second(second: int) -> str:
    """Write a wall time in whole seconds as RFC 3339 in UTC, without the Z."""
    return datetime.fromtimestamp(second, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
