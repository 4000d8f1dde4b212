"""Run a daemon: lock, model, recovery, then a thin loop around `Service.turn`."""

from __future__ import annotations

import importlib.metadata
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from . import events
from .clock import Clock
from .errors import ServedModelError, SpoolError
from .follow import Follower
from .lanes import Lane
from .model import Source
from .reload import Reloads
from .service import Service
from .signals import handled
from .spool import Spool
from .watch import Bell, Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
        The spool is not usable or in use, or the model cannot be loaded.

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
            _log_start(log, settings)
            source = Source(settings.registry, settings.model)
            model = source.load()

            def open_lane(spool: Spool, source: Source, model: ServedModel | None) -> Lane:
                its = log.bind(lane=spool.lane) if spool.lane else log

                def make(model: ServedModel) -> Service:
                    service = Service(
                        spool=spool,
                        model=model,
                        settings=reloads.settings,
                        watcher=Watcher(spool.inbox_path, bell),
                        clock=clock,
                        log=its,
                    )
                    try:
                        service.start()
                    except BaseException:
                        service.close()
                        raise
                    stack.callback(service.close)
                    return service

                follower = Follower(
                    source=source, model=model, settings=settings, bell=bell, clock=clock, log=its
                )
                stack.callback(follower.close)
                lane = Lane(name=spool.lane, model=model, make=make, follower=follower, log=its)
                follower.start()
                return lane

            lanes[""] = open_lane(spool, source, model)
            for name, reference in settings.models.items():
                view = Spool.make(settings.spool, settings.durability, lane=name)
                stack.enter_context(view)
                lanes[name] = open_lane(view, Source(settings.registry, reference), None)
        except OSError as fault:
            raise SpoolError(f"spool {settings.spool}: {fault}") from fault
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
        _loop(lanes, clock=clock, bell=bell, stop=stop, reloads=reloads, once=settings.once)
        log.info(events.STOP, reason=stop.reason or "once")
    closed = [f"lane {name}: {lane.degraded}" for name, lane in lanes.items() if not lane.model]
    if settings.once and closed:
        raise ServedModelError("; ".join(closed))


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
