"""Run a daemon: lock, model, recovery, then a thin loop around `Service.turn`."""

from __future__ import annotations

import importlib.metadata
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from . import events, names
from .clock import Clock
from .errors import TEMPORARY, DaemonError, SpoolError, SpoolLostError
from .follow import Follower
from .lanes import Lane
from .model import Source
from .reload import Reloads
from .service import LONGEST_NAP_S, Service
from .signals import handled
from .spool import Spool
from .watch import Bell, Scanning, Watcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from .model import ServedModel
    from .settings import Settings


class Stop:
    """Whether the daemon was told to stop, and by what."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self.reason: str | None = None

    def ask(self, reason: str) -> None:
        """Tell it; safe in a signal handler."""
        self.reason = reason
        self._bell.ring()


def serve(
    settings: Settings,
    log: FilteringBoundLogger,
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
    reread
        Gives the settings as they are configured now, for a reload; None: they stay.
    clock
        Time; a seam for tests.

    Raises
    ------
    DaemonError
        The spool is not usable or in use, the model cannot be loaded, or the spool was lost while it was worked on.

    """
    clock = clock or Clock()
    begin = clock.monotonic()
    with ExitStack() as stack:
        bell = Bell()
        stack.callback(bell.close)
        stop = Stop(bell)
        lanes: dict[str, Lane] = {}
        reloads = Reloads(
            settings, reread=reread or (lambda: settings), lanes=lanes, bell=bell, log=log
        )
        stack.enter_context(handled(stop=stop.ask, reload=reloads.ask))
        try:
            spool = stack.enter_context(Spool.make(settings.spool, settings.durability))
            spool.lock()
            spool.demand(network_fs=settings.network_fs)
            spool.marker = names.MARKER if settings.done_marker else ""
            _log_start(log, settings)
            source = Source(settings.registry, settings.model)
            model = source.load()
            watcher = Scanning() if settings.network_fs else Watcher(settings.spool / "in", bell)

            def make(model: ServedModel) -> Service:
                service = Service(
                    spool=spool,
                    model=model,
                    settings=reloads.settings,
                    watcher=watcher,
                    clock=clock,
                    log=log,
                )
                stack.callback(service.close)
                service.start()
                return service

            follower = Follower(
                source=source, model=model, settings=settings, bell=bell, clock=clock, log=log
            )
            stack.callback(follower.close)
            lane = lanes[""] = Lane(model=model, make=make, follower=follower, log=log, name="")
            follower.start()
        except OSError as fault:
            kind = SpoolLostError if fault.errno in TEMPORARY else SpoolError
            raise kind(f"spool {settings.spool}: {fault}") from fault
        log.info(
            events.READY,
            model=model.pin,
            self_test=model.self_test,
            cores=model.classifier.cores,
            labels=list(model.classifier.labels),
            waiting=lane.waiting,
            startup_ms=round((clock.monotonic() - begin) * 1e3, 3),
        )
        try:
            _loop(lane, clock=clock, bell=bell, stop=stop, reloads=reloads, once=settings.once)
        except DaemonError as error:
            log.error(events.STOP, reason=str(error))  # noqa: TRY400 - it is no bug: no traceback
            raise
        log.info(events.STOP, reason=stop.reason or "once")


def _loop(
    lane: Lane, *, clock: Clock, bell: Bell, stop: Stop, reloads: Reloads, once: bool
) -> None:
    while stop.reason is None:
        worked = lane.turn(clock.monotonic())
        reloads.turn()
        if once and lane.idle:
            return
        if not worked and stop.reason is None:
            nap = lane.nap_s(clock.monotonic())
            bell.wait(LONGEST_NAP_S if nap is None else nap)


def _log_start(log: FilteringBoundLogger, settings: Settings) -> None:
    log.info(
        events.START,
        version=importlib.metadata.version("spikewatch"),
        pid=os.getpid(),
        spool=str(settings.spool),
        registry="bundled" if settings.registry is None else str(settings.registry),
        reference=settings.model,
        once=settings.once,
    )
