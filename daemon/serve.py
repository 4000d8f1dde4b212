"""Run a daemon: lock, model, recovery, then a thin loop around `Service.turn`."""

from __future__ import annotations

import importlib.metadata
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from . import events
from . import model as models
from .census import Census
from .clock import Clock
from .endpoint import Endpoint, address
from .errors import SpoolError
from .health import LOOP, Hearts
from .monitor import Monitor
from .notify import Notifier
from .overview import Overview
from .service import Service
from .signals import stopping
from .spool import Spool
from .watch import Bell, Watcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from .model import ServedModel
    from .observed import Observed
    from .settings import Settings


class Stop:
    """Whether the daemon was told to stop, by what, and how long it may still take.

    Parameters
    ----------
    bell
        Rung when it is told.
    monotonic
        Time in seconds.
    grace_s
        Seconds to finish what is in hand.

    """

    def __init__(self, bell: Bell, monotonic: Callable[[], float], *, grace_s: float) -> None:
        self._bell = bell
        self._monotonic = monotonic
        self._grace_s = grace_s
        self._asked_s = 0.0
        self.reason: str | None = None
        self.tell: Callable[[], None] = lambda: None

    def ask(self, reason: str) -> None:
        """Tell it; safe in a signal handler."""
        self._asked_s = self._monotonic()
        self.reason = reason
        self._bell.ring()
        self.tell()

    def hurry(self) -> bool:
        """Say whether the time to finish what is in hand is over."""
        return self.reason is not None and self._monotonic() - self._asked_s >= self._grace_s


def serve(
    settings: Settings,
    log: FilteringBoundLogger,
    observed: Observed,
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
    observed
        What listens to that log.
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
        stop = Stop(bell, clock.monotonic, grace_s=settings.stop_grace_s)
        stack.enter_context(stopping(stop.ask))
        hearts = Hearts(clock.monotonic, limit_s=settings.stall_s)
        hearts.beat(LOOP)
        notifier = stack.enter_context(Notifier.of(os.environ))
        try:
            spool = stack.enter_context(Spool.make(settings.spool))
            spool.lock()
            _log_start(log, settings)
            _look_after(stack, settings, observed, hearts, clock, notifier, stop)
            model = load(settings)
            watcher = Watcher(settings.spool / "in", bell)
            service = Service(
                spool=spool,
                model=model,
                settings=settings,
                watcher=watcher,
                clock=clock,
                log=log,
                hearts=hearts,
                hurry=stop.hurry,
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
        notifier.ready()
        _loop(service, clock=clock, bell=bell, stop=stop, once=settings.once)
        log.info(events.STOP, reason=stop.reason or "once", left=service.left())


def _look_after(
    stack: ExitStack,
    settings: Settings,
    observed: Observed,
    hearts: Hearts,
    clock: Clock,
    notifier: Notifier,
    stop: Stop,
) -> None:
    """Start what tells others how the daemon is: status file, service manager, HTTP."""
    overview = Overview(
        settings.spool,
        observed=observed,
        hearts=hearts,
        census=Census(settings.spool, clock.monotonic),
        clock=clock,
    )

    def stopping() -> None:
        overview.stopping = True
        notifier.stopping()

    stop.tell = stopping
    if settings.http:
        host, port = address(settings.http, public=settings.http_public)
        endpoint = stack.enter_context(Endpoint(overview, host, port))
        overview.http = endpoint.address
    stack.enter_context(Monitor(overview, notifier, settings.spool, clock))


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
