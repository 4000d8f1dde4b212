"""Run a daemon: lock, model, recovery, then a thin loop around `Service.turn`."""

from __future__ import annotations

import importlib.metadata
import os
import resource
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from . import durable, events
from .clock import Clock
from .errors import SpoolError
from .follow import Follower
from .lanes import Lane
from .model import Source
from .notify import Notifier
from .reload import Reloads
from .service import LONGEST_NAP_S, Service
from .signals import handled
from .spool import Spool
from .vitals import Vitals
from .watch import Bell, Watcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from .model import ServedModel
    from .observed import Observed
    from .settings import Settings


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
    log: FilteringBoundLogger,
    observed: Observed,
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
        The spool is not usable or in use, the model cannot be loaded, or HTTP not be served.

    """
    clock = clock or Clock()
    _allow_open_files()
    begin = clock.monotonic()
    with ExitStack() as stack:
        bell = Bell()
        stack.callback(bell.close)
        stop = Stop(bell, clock.monotonic)
        notifier = stack.enter_context(Notifier.of(os.environ))
        vitals = Vitals(settings, observed=observed, notifier=notifier, clock=clock)
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
            spool = stack.enter_context(Spool.make(settings.spool, settings.durability))
            spool.lock()
            _log_start(log, settings)
            stack.enter_context(vitals)
            source = Source(settings.registry, settings.model)
            model = source.load()
            watcher = Watcher(settings.spool / "in", bell)

            def make(model: ServedModel) -> Service:
                service = Service(
                    spool=spool,
                    model=model,
                    settings=reloads.settings,
                    watcher=watcher,
                    clock=clock,
                    log=log,
                    hearts=vitals.hearts,
                    hurry=lambda: stop.is_overdue(reloads.settings.stop_grace_s),
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
            raise SpoolError(f"spool {settings.spool}: {fault}") from fault
        log.info(
            events.READY,
            model=model.pin,
            self_test=model.self_test,
            cores=model.classifier.cores,
            labels=list(model.classifier.labels),
            waiting=lane.waiting,
            startup_ms=round((clock.monotonic() - begin) * 1e3, 3),
        )
        vitals.ready()
        _loop(lane, clock=clock, bell=bell, stop=stop, reloads=reloads, once=settings.once)
        lane.finish()
        log.info(events.STOP, reason=stop.reason or "once", left=_left(spool))


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


def _left(spool: Spool) -> int:
    """Count the inputs in work/ that the next start will find."""
    return sum(not name.startswith(".") for name in durable.listing(spool.work))


def _allow_open_files() -> None:
    """Raise the soft limit, which shells and systemd leave at 1024: a group of files is open at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < OPEN_FILES:
        most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


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
