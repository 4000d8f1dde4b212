"""The fields that the log, the summary and the report have of a settled input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ...simcore.power import METHODS
from ..log.events import timestamp
from ..spool.names import printable

if TYPE_CHECKING:
    from ..answering.request import Job
    from ..errors import RejectedInputError

SUMMARY_SCHEMA: Final = 1
"""Version of `<name>.summary.json`."""


def done(job: Job, *, figures: dict[str, Any], result: str, now_s: float) -> dict[str, Any]:
    """Return the fields of `request.done`.

    Parameters
    ----------
    job
        The committed job.
    figures
        See `Tally.figures`.
    result
        Name of its result in out/.
    now_s
        Wall time at which its result was durable.

    """
    arrived = job.request.arrived_s
    return {
        "file": printable(job.request.name),
        "model": job.model.pin,
        "result": printable(result),
        "input_sha256": job.sha256,
        "size_bytes": job.size,
        "attempt": job.request.attempt,
        "latency_ms": {
            "wait": _ms(job.started_s - arrived),
            "read": _ms(job.read_s),
            "simulate": _ms(job.simulate_s),
            "write": _ms(job.write_s),
            "total": _ms(now_s - arrived),
        },
        **figures,
    }


def summary(job: Job, *, figures: dict[str, Any], answered: str) -> dict[str, Any]:
    """Return the summary of a result, but for its key (see `done`); `answered` is the time, from `timestamp`."""
    counts = job.tally.labels
    return {
        "schema": SUMMARY_SCHEMA,
        "file": printable(job.request.name),
        "model": job.model.pin,
        "input_sha256": job.sha256,
        "size_bytes": job.size,
        "arrived": timestamp(job.request.arrived_s),
        "answered": answered,
        **figures,
        "power_is": "an estimate for the chip, not a measurement of this machine",
        "power_methods": METHODS,
        "labels": {label: counts.get(i, 0) for i, label in enumerate(job.model.classifier.labels)},
    }


def report(failure: RejectedInputError, job: Job, *, sha256: str | None) -> dict[str, Any]:
    """Return the report on a failed input; `sha256` is its digest, None if its bytes were not read."""
    return {
        "file": printable(job.request.name),
        "code": failure.code,
        "stage": failure.stage,
        "message": str(failure),
        "sha256": sha256,
        "attempts": job.request.attempt,
        "model": job.model.pin,
    }


def failed(reported: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of `request.failed`: those of the report, with the log's name for the digest."""
    return {"input_sha256" if k == "sha256" else k: v for k, v in reported.items()}


def _ms(seconds: float) -> float:
    """Convert seconds to milliseconds, rounded to the microsecond; `round` takes twice as long, five times per file."""
    return int(seconds * 1e6 + 0.5) / 1e3 if seconds > 0.0 else 0.0
