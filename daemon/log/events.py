"""The names of the log's events, and the fields of those that have many (docs/logs.md documents all)."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from ...simcore.power import METHODS
from ..spool.names import printable

if TYPE_CHECKING:
    from ..answering.pipeline import Progress
    from ..errors import RejectedInputError
    from ..models.served import ServedModel

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
IGNORED: Final = "request.ignored"
WATCH_OVERFLOW: Final = "watch.overflow"
WATCH_RESCAN: Final = "watch.rescan"
WATCH_RESTARTED: Final = "watch.restarted"
WATCH_FAILED: Final = "watch.failed"
DISK_LOW: Final = "disk.low"
DISK_OK: Final = "disk.ok"
OUT_FULL: Final = "out.full"
OUT_OK: Final = "out.ok"

SUMMARY_SCHEMA: Final = 1
"""Version of `<name>.summary.json`."""


def done(
    progress: Progress, *, figures: dict[str, Any], result: str, now_s: float
) -> dict[str, Any]:
    """Give the fields of `request.done`.

    Parameters
    ----------
    progress
        The request, settled.
    figures
        See `Tally.figures`.
    result
        Name of its result in out/.
    now_s
        Wall time at which its result was durable.

    """
    arrived = progress.request.arrived_s
    return {
        "file": printable(progress.request.name),
        "model": progress.model.pin,
        "result": printable(result),
        "input_sha256": progress.sha256,
        "size_bytes": progress.size,
        "attempt": progress.request.attempt,
        "latency_ms": {
            "wait": _ms(progress.started_s - arrived),
            "read": _ms(progress.read_s),
            "simulate": _ms(progress.simulate_s),
            "write": _ms(progress.write_s),
            "total": _ms(now_s - arrived),
        },
        **figures,
    }


def summary(progress: Progress, *, figures: dict[str, Any], answered: str) -> dict[str, Any]:
    """Give what the summary beside a result says (see `done`); `answered` is when, as `timestamp` writes it."""
    counts = progress.tally.labels
    return {
        "schema": SUMMARY_SCHEMA,
        "file": printable(progress.request.name),
        "model": progress.model.pin,
        "input_sha256": progress.sha256,
        "size_bytes": progress.size,
        "arrived": timestamp(progress.request.arrived_s),
        "answered": answered,
        **figures,
        "power_is": "an estimate for the chip, not a measurement of this machine",
        "power_methods": METHODS,
        "labels": {
            label: counts.get(i, 0) for i, label in enumerate(progress.model.classifier.labels)
        },
    }


def report(
    failure: RejectedInputError, name: str, model: ServedModel, *, sha256: str | None, attempts: int
) -> dict[str, Any]:
    """Give what the report beside a failed input says."""
    return {
        "file": printable(name),
        "code": failure.code,
        "stage": failure.stage,
        "message": str(failure),
        "sha256": sha256,
        "attempts": attempts,
        "model": model.pin,
    }


def failed(reported: dict[str, Any]) -> dict[str, Any]:
    """Give the fields of `request.failed`: the report, with the log's name for the digest."""
    return {"input_sha256" if k == "sha256" else k: v for k, v in reported.items()}


def _ms(seconds: float) -> float:
    """Give milliseconds to the microsecond; `round` would take twice as long, five times for every file."""
    return int(seconds * 1e6 + 0.5) / 1e3 if seconds > 0.0 else 0.0


def timestamp(wall_s: float) -> str:
    """Write a wall time as RFC 3339 in UTC, to the millisecond."""
    second, microsecond = divmod(round(wall_s * 1e6), 1_000_000)
    return f"{to_the_second(second)}.{microsecond // 1000:03d}Z"


@lru_cache(maxsize=16)
def to_the_second(second: int) -> str:
    """Write a wall time in whole seconds as RFC 3339 in UTC, without the Z."""
    return datetime.fromtimestamp(second, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
