"""The present state of a running daemon, from which health, status document and metrics are all made."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..log.events import timestamp
from .state_files import STATUS_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ..clock import Clock
    from ..heartbeats import Heartbeats
    from .counters import Counters, RunState, Sums
    from .spool_counts import SpoolCounter, SpoolCounts


class Snapshot:
    """The state of a running daemon.

    Parameters
    ----------
    spool
        Path of the spool.
    counters
        Counts the log's events.
    heartbeats
        The heartbeats of the threads.
    spool_counter
        Counts the files in the spool.
    clock
        The time.

    Attributes
    ----------
    counters
        As given.
    http
        Address at which HTTP is served; None if it is not.
    counts
        The last count of the spool; None before the first.
    count_fault
        Why the last attempt to count the spool failed; None if it did not.
    write_fault
        Why the status file could not be written; None if it could.
    stopping
        Set when the daemon begins to stop.

    """

    def __init__(
        self,
        spool: Path,
        *,
        counters: Counters,
        heartbeats: Heartbeats,
        spool_counter: SpoolCounter,
        clock: Clock,
    ) -> None:
        self._spool = spool
        self._heartbeats = heartbeats
        self._spool_counter = spool_counter
        self._clock = clock
        self.counters = counters
        self.http: str | None = None
        self.counts: SpoolCounts | None = None
        self.count_fault: str | None = None
        self.write_fault: str | None = None
        self.stopping = False

    def refresh(self) -> None:
        """Count the files in the spool again."""
        try:
            self.counts = self._spool_counter.count()
        except OSError as fault:
            self.count_fault = f"{fault.filename or self._spool}: {fault.strerror}"
        else:
            self.count_fault = None

    def wall(self) -> float:
        """Return the time in seconds since 1970."""
        return self._clock.wall()

    def hanging(self) -> list[str]:
        """Return one line for each thread whose heartbeat is overdue; with any, the daemon is not live."""
        return self._heartbeats.hanging()

    @property
    def starting(self) -> bool:
        """Whether the model is still being loaded or the spool recovered."""
        with self.counters.reading() as (_, now):
            return not now.ready

    def not_ready(self) -> list[str]:
        """Return one line for each reason why files are not answered at once; empty if the daemon is ready."""
        found = self.hanging()
        with self.counters.reading() as (_, now):
            return found + list(self._troubles(now))

    def _troubles(self, now: RunState) -> Iterator[str]:
        if not now.ready:
            yield "model: not loaded yet"
        if self.stopping or now.stopped:
            yield "stopping: nothing is claimed"
        for why in (self.count_fault, self.write_fault):
            if why is not None:
                yield f"spool: {why}"
        # No event reports the end of a fault, so it counts until a time limit.
        at = self._clock.monotonic()
        faults = {lane: why for lane, (why, until) in now.faults.items() if at < until}
        kinds = {"disk": now.full, "out": now.full_outs, "watch": now.deaf, "fault": faults}
        for kind, whys in kinds.items():
            for lane, why in whys.items():
                yield f"{kind}{f' of lane {lane}' if lane else ''}: {why}"

    def problems(self) -> list[str]:
        """Return one line for each problem: the lines of `not_ready`, refused newer models, and stuck inputs."""
        with self.counters.reading() as (_, now):
            bad = [f"model {lane or 'of in/'}: {why}" for lane, why in now.bad_models.items()]
            bad += [_stuck(lane, files) for lane, files in now.stuck.items() if files]
        return [*self.not_ready(), *bad]

    def document(self) -> dict[str, Any]:
        """Return the status document (docs/operating.md lists its fields)."""
        counters, counts, problems = self.counters, self.counts, self.problems()
        with counters.reading() as (sums, now):
            totals = _totals(sums)
            last = sums.last_success_s
            models, started, ready, stopped = dict(now.models), now.started, now.ready, now.stopped
            stuck = sum(map(len, now.stuck.values()))
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
                "files": counts.inbox if counts else None,
                "oldest": _time(counts.oldest_s if counts else None),
            },
            "work": {"files": counts.work if counts else None},
            "stuck": {"files": stuck},
            "disk": {
                "free_bytes": counts.free_bytes if counts else None,
                "free_inodes": counts.free_inodes if counts else None,
            },
            "last_success": _time(last),
            "recent": counters.recent(),
            **totals,
            "errors": counters.errors(),
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
    """Summarise a status document in one line, for the service manager."""
    state: str = document["state"]
    if state not in {"ready", "degraded"}:
        return state
    waiting = (document["inbox"]["files"] or 0) + (document["work"]["files"] or 0)
    text = f"{state}: {waiting} waiting, {document['recent']['files_per_s']:g} files/s"
    return "; ".join([text, *document["problems"]])


def _stuck(lane: str, files: Mapping[str, str]) -> str:
    """Return one line on the inputs of a lane that are stuck; it names the first."""
    file, why = next(iter(files.items()))
    more = f", and {len(files) - 1} more" if len(files) > 1 else ""
    return f"stuck{f' in lane {lane}' if lane else ''}: {file}: {why}{more}"


def _totals(sums: Sums) -> dict[str, Any]:
    return {
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


def _time(wall_s: float | None) -> str | None:
    return None if wall_s is None else timestamp(wall_s)
