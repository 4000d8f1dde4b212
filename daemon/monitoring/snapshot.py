"""The daemon at one moment, for everybody who asks: health, status and metrics are read off this."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..log.events import timestamp
from .state_files import STATUS_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..clock import Clock
    from ..heartbeats import Heartbeats
    from .counters import Counters, RunState
    from .spool_counts import SpoolCounter, SpoolCounts


class Snapshot:
    """What there is to say about a running daemon.

    Parameters
    ----------
    spool
        Its path.
    observed
        What the log has told.
    hearts
        The threads' signs of life.
    census
        Counts the spool.
    clock
        Time.

    Attributes
    ----------
    observed
        As given.
    http
        Where HTTP is served; None where it is not.
    counted
        The last count of the spool; None before the first.
    count_fault, write_fault
        Why the spool could not be counted at the last try, and why the status file could not be written.
    stopping
        Set when the daemon is told to stop.

    """

    def __init__(
        self,
        spool: Path,
        *,
        observed: Counters,
        hearts: Heartbeats,
        census: SpoolCounter,
        clock: Clock,
    ) -> None:
        self._spool = spool
        self._hearts = hearts
        self._census = census
        self._clock = clock
        self.observed = observed
        self.http: str | None = None
        self.counted: SpoolCounts | None = None
        self.count_fault: str | None = None
        self.write_fault: str | None = None
        self.stopping = False

    def refresh(self) -> None:
        """Count the spool anew."""
        try:
            self.counted = self._census.take()
        except OSError as fault:
            self.count_fault = f"{fault.filename or self._spool}: {fault.strerror}"
        else:
            self.count_fault = None

    def wall(self) -> float:
        """Give the time in seconds since 1970."""
        return self._clock.wall()

    def hanging(self) -> list[str]:
        """Say what keeps the daemon from being alive: threads without signs of life."""
        return self._hearts.hanging()

    @property
    def starting(self) -> bool:
        """True until the model is loaded and the spool recovered."""
        with self.observed.reading() as (_, now):
            return not now.ready

    def not_ready(self) -> list[str]:
        """Say what keeps files from being answered at once, one line each; nothing when all is well."""
        found = self.hanging()
        with self.observed.reading() as (_, now):
            return found + list(self._troubles(now))

    def _troubles(self, now: RunState) -> Iterator[str]:
        if not now.ready:
            yield "model: not loaded yet"
        if self.stopping or now.stopped:
            yield "stopping: nothing is claimed"
        for why in (self.count_fault, self.write_fault):
            if why is not None:
                yield f"spool: {why}"
        at = self._clock.monotonic()
        faults = {lane: why for lane, (why, until) in now.faults.items() if at < until}
        kinds = {"disk": now.full, "out": now.full_outs, "watch": now.deaf, "fault": faults}
        for kind, whys in kinds.items():
            for lane, why in whys.items():
                yield f"{kind}{f' of lane {lane}' if lane else ''}: {why}"

    def problems(self) -> list[str]:
        """Say all that is not as it should be: what `not_ready` says, and newer models that were not taken."""
        with self.observed.reading() as (_, now):
            bad = dict(now.bad_models)
        return [
            *self.not_ready(),
            *(f"model {lane or 'of in/'}: {why}" for lane, why in bad.items()),
        ]

    def document(self) -> dict[str, Any]:
        """Give the status document (docs/operating.md names its fields)."""
        observed, counted, problems = self.observed, self.counted, self.problems()
        with observed.reading() as (sums, now):
            said = {
                "files": {k: sums.files[k] for k in ("done", "failed", "duplicate")},
                "questions": {k: sums.questions[k] for k in ("ok", "failed")},
                "retries": dict(sums.retries),
                "failures": dict(sums.failures),
                "recovered": dict(sums.recovered),
                "spikes": dict(sums.spikes),
                "synaptic_events": sums.synaptic_events,
                "ticks": sums.ticks,
                "power_uw": dict(sums.power_uw),
                "energy_uj": {k: round(v, 6) for k, v in sums.energy_uj.items()},
                "watch": {
                    "overflows": sums.overflows,
                    "restarts": sums.restarts,
                    "missed": sums.missed,
                },
                "log_lines_lost": sums.log_lines_lost,
            }
            last = sums.last_success_s
            models, started, ready, stopped = dict(now.models), now.started, now.ready, now.stopped
        return {
            "schema": STATUS_SCHEMA,
            "written": timestamp(self._clock.wall()),
            "state": self._state(ready=bool(ready), stopped=stopped, problems=problems),
            "problems": problems,
            "spool": str(self._spool),
            "pid": os.getpid(),
            "run_id": started.get("run_id"),
            "version": started.get("version"),
            "started": started.get("timestamp"),
            "http": self.http,
            "models": models,
            "cores": ready.get("cores"),
            "inbox": {
                "files": counted.inbox if counted else None,
                "oldest": _time(counted.oldest_s if counted else None),
            },
            "work": {"files": counted.work if counted else None},
            "disk": {
                "free_bytes": counted.free_bytes if counted else None,
                "free_inodes": counted.free_inodes if counted else None,
            },
            "last_success": _time(last),
            "recent": observed.recent(),
            **said,
            "errors": observed.errors(),
        }

    def _state(self, *, ready: bool, stopped: bool, problems: list[str]) -> str:
        if stopped:
            return "stopped"
        if self.stopping:
            return "stopping"
        if not ready:
            return "starting"
        return "degraded" if problems else "ready"


def line(document: dict[str, Any]) -> str:
    """Say what a status document says in one line, for the service manager."""
    state: str = document["state"]
    if state not in {"ready", "degraded"}:
        return state
    waiting = (document["inbox"]["files"] or 0) + (document["work"]["files"] or 0)
    text = f"{state}: {waiting} waiting, {document['recent']['files_per_s']:g} files/s"
    return "; ".join([text, *document["problems"]])


def _time(wall_s: float | None) -> str | None:
    return None if wall_s is None else timestamp(wall_s)
