"""Run a daemon: lock, model, recovery, then a thin loop around `Service.turn`."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import resource
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..bell import Bell
from ..clock import Clock
from ..errors import TEMPORARY, DaemonError, ServedModelError, SpoolError, SpoolLostError
from ..files import durable
from ..intake.watch import Scanning, Watcher
from ..log import events
from ..models.follower import ModelFollower
from ..models.served import ModelSource
from ..monitoring.systemd import Notifier
from ..monitoring.vitals import Vitals
from ..spool import names
from ..spool.folder import Spool
from ..spool.requirements import demand
from ..spool.shards import Shard
from .lanes import Lane
from .reloading import Reloads
from .service import Service
from .signals import handled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ..heartbeats import Heartbeats
    from ..log.logger import Log
    from ..models.served import ServedModel
    from ..monitoring.counters import Counters
    from ..settings import Settings


OPEN_FILES: Final = 4096
"""Enough for two groups of 512 (see `Service`); no more, since some libraries close every possible descriptor."""


class Stop:
    """Whether the daemon was told to stop, by what, and how long it may still take.

    Parameters
    ----------
    bell
        Rung when it is told.
    monotonic
        Time in seconds.

    """

    def __init__(self, bell: Bell, monotonic: Callable[[], float]) -> None:
        self._bell = bell
        self._monotonic = monotonic
        self._asked_s = 0.0
        self.reason: str | None = None

    def ask(self, reason: str) -> None:
        """Tell it; safe in a signal handler."""
        self._asked_s = self._monotonic()
        self.reason = reason
        self._bell.ring()

    def is_overdue(self, grace_s: float) -> bool:
        """Say whether the time to finish what is in hand is over."""
        return self.reason is not None and self._monotonic() - self._asked_s >= grace_s


def serve(
    settings: Settings,
    log: Log,
    observed: Counters,
    *,
    reread: Callable[[], Settings] | None = None,
    clock: Clock | None = None,
) -> None:
    """Run a daemon until it is told to stop, or with `once` until everything is answered.

    Parameters
    ----------
    settings
        See `Settings`.
    log
        See `logs.logger`.
    observed
        What listens to that log.
    reread
        Gives the settings as they are configured now, for a reload; None: they stay.
    clock
        Time; a seam for tests.

    Raises
    ------
    DaemonError
        The spool is not usable or in use, the model cannot be loaded, HTTP not be served, or the spool was lost while
        it was worked on.

    """
    clock = clock or Clock()
    _allow_open_files()
    begin = clock.monotonic()
    with ExitStack() as stack:
        bell = Bell()
        stack.callback(bell.close)
        stop = Stop(bell, clock.monotonic)
        notifier = stack.enter_context(Notifier.of(os.environ))
        vitals = Vitals(settings, counters=observed, notifier=notifier, clock=clock)
        lanes: dict[str, Lane] = {}
        reloads = Reloads(
            settings,
            reread=reread or (lambda: settings),
            ended=vitals.ready,
            lanes=lanes,
            bell=bell,
            log=log,
        )

        def end(reason: str) -> None:
            stop.ask(reason)
            vitals.stopping()

        def reload() -> None:
            vitals.reloading()
            reloads.ask()

        stack.enter_context(handled(stop=end, reload=reload))
        try:
            shard = Shard.parse(settings.shard)
            spool = stack.enter_context(
                Spool.make(settings.spool, settings.durability, shard=shard)
            )
            spool.lock()
            demand(spool, network_fs=settings.network_fs)
            _log_start(log, settings)
            stack.enter_context(vitals)
            model = ModelSource(settings.registry, settings.model).load()
            opener = _Opener(
                stack=stack,
                reloads=reloads,
                bell=bell,
                stop=stop,
                hearts=vitals.heartbeats,
                clock=clock,
                log=log,
            )
            spools = [spool]
            lanes[""] = opener.open(spool, settings.model, model)
            for name, reference in settings.models.items():
                view = stack.enter_context(
                    Spool.make(settings.spool, settings.durability, lane=name, shard=shard)
                )
                spools.append(view)
                lanes[name] = opener.open(view, reference, None)
        except OSError as fault:
            kind = SpoolLostError if fault.errno in TEMPORARY else SpoolError
            raise kind(f"spool {settings.spool}: {fault}") from fault
        log.info(
            events.READY,
            model=model.pin,
            self_test=model.self_test,
            cores=model.classifier.cores,
            labels=list(model.classifier.labels),
            lanes=list(settings.models),
            waiting=lanes[""].waiting,
            startup_ms=round((clock.monotonic() - begin) * 1e3, 3),
        )
        vitals.ready()
        gc.freeze()  # what is there now stays: the collector need not look at it again and again
        gc.set_threshold(10_000)  # a group of inputs alone has many thousands of objects
        try:
            _loop(lanes, clock=clock, bell=bell, stop=stop, reloads=reloads, once=settings.once)
        except DaemonError as error:
            log.error(events.STOP, reason=str(error), left=_left(spools))  # noqa: TRY400 - no bug
            raise
        for lane in lanes.values():
            lane.finish()
        log.info(events.STOP, reason=stop.reason or "once", left=_left(spools))
    closed = [f"lane {name}: {lane.degraded}" for name, lane in lanes.items() if not lane.model]
    if settings.once and closed:
        raise ServedModelError("; ".join(closed))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Opener:
    """Opens lanes; they are closed by the stack."""

    stack: ExitStack
    reloads: Reloads
    bell: Bell
    stop: Stop
    hearts: Heartbeats
    clock: Clock
    log: Log

    def open(self, spool: Spool, reference: str, model: ServedModel | None) -> Lane:
        """Open the lane of a spool; without a model, as soon as the reference has one."""
        log = self.log.bind(lane=spool.lane) if spool.lane else self.log
        settings = self.reloads.settings
        spool.marker = names.MARKER if settings.done_marker else ""
        follower = ModelFollower(
            source=ModelSource(settings.registry, reference),
            model=model,
            settings=settings,
            bell=self.bell,
            clock=self.clock,
            log=log,
        )
        self.stack.callback(follower.close)
        lane = Lane(
            name=spool.lane,
            model=model,
            make=lambda model: self._service(spool, model, log),
            follower=follower,
            log=log,
        )
        follower.start()
        return lane

    def _service(self, spool: Spool, model: ServedModel, log: Log) -> Service:
        settings = self.reloads.settings
        service = Service(
            spool=spool,
            model=model,
            settings=settings,
            watcher=Scanning() if settings.network_fs else Watcher(spool.inbox_path, self.bell),
            clock=self.clock,
            log=log,
            hearts=self.hearts,
            hurry=lambda: self.stop.is_overdue(self.reloads.settings.stop_grace_s),
        )
        try:
            service.start()
        except BaseException:
            service.close()
            raise
        self.stack.callback(service.close)
        return service


def _loop(
    lanes: Mapping[str, Lane],
    *,
    clock: Clock,
    bell: Bell,
    stop: Stop,
    reloads: Reloads,
    once: bool,
) -> None:
    """Give every lane its turn, again and again, so that none starves."""
    while stop.reason is None:
        worked = False
        for lane in lanes.values():
            worked = lane.turn(clock.monotonic()) or worked
        reloads.turn()
        if once and all(lane.idle for lane in lanes.values()):
            return
        if not worked and stop.reason is None:
            bell.wait(min(lane.nap_s(clock.monotonic()) for lane in lanes.values()))


def _left(spools: Iterable[Spool]) -> int:
    """Count the inputs in work/ that the next start will find; those in folders that cannot be read are not known."""
    left = 0
    for spool in spools:
        with suppress(OSError):
            left += sum(not name.startswith(".") for name in durable.listing(spool.work))
    return left


def _allow_open_files() -> None:
    """Raise the soft limit, which shells and systemd leave at 1024: a group of files is open at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < OPEN_FILES:
        most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _log_start(log: Log, settings: Settings) -> None:
    log.info(
        events.START,
        version=importlib.metadata.version("spikewatch"),
        pid=os.getpid(),
        spool=str(settings.spool),
        registry="bundled" if settings.registry is None else str(settings.registry),
        reference=settings.model,
        shard=settings.shard,
        once=settings.once,
    )
