"""Run a daemon: lock, model, recovery, then a thin loop around `Service.turn`."""

from __future__ import annotations

import importlib.metadata
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from . import events, names
from . import model as models
from .clock import Clock
from .errors import SpoolError
from .service import Service
from .signals import stopping
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
    load: Callable[[Settings], ServedModel] = models.load,
    clock: Clock | None = None,
) -> None:
    """Run a daemon until it is told to stop, or with `once` until everything is answered.

    Parameters
    ----------
    settings
        See `Settings`.
    log
        See `logs.logger`.
    load
        Gives the model; a seam for tests.
    clock
        Time; a seam for tests.

    Raises
    ------
    DaemonError
        The spool is not usable or in use, or the model cannot be loaded.

    """
    clock = clock or Clock()
    begin = clock.monotonic()
    with ExitStack() as stack:
        bell = Bell()
        stack.callback(bell.close)
        stop = Stop(bell)
        stack.enter_context(stopping(stop.ask))
        try:
            spool = stack.enter_context(Spool.make(settings.spool))
            spool.lock()
            spool.demand(network_fs=settings.network_fs)
            spool.marker = names.MARKER if settings.done_marker else ""
            _log_start(log, settings)
            model = load(settings)
            watcher = Scanning() if settings.network_fs else Watcher(settings.spool / "in", bell)
            service = Service(
                spool=spool, model=model, settings=settings, watcher=watcher, clock=clock, log=log
            )
            stack.callback(service.close)
            service.start()
        except OSError as fault:
            raise SpoolError(f"spool {settings.spool}: {fault}") from fault
        log.info(
            events.READY,
            model=model.pin,
            cores=model.classifier.cores,
            labels=list(model.classifier.labels),
            waiting=service.waiting,
            startup_ms=round((clock.monotonic() - begin) * 1e3, 3),
        )
        _loop(service, clock=clock, bell=bell, stop=stop, once=settings.once)
        log.info(events.STOP, reason=stop.reason or "once")


def _loop(service: Service, *, clock: Clock, bell: Bell, stop: Stop, once: bool) -> None:
    while stop.reason is None:
        worked = service.turn(clock.monotonic())
        if once and service.idle:
            return
        if not worked and stop.reason is None:
            bell.wait(service.nap_s(clock.monotonic()))


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
