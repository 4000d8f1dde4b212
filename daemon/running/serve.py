"""Run a daemon: lock the spool, load the model, recover, then take turns until it is stopped."""

from __future__ import annotations

import gc
import importlib.metadata
import os
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..bell import Bell
from ..clock import Clock
from ..context import Context
from ..errors import TEMPORARY, DaemonError, ServedModelError, SpoolError, SpoolLostError
from ..files import durable
from ..intake.watch import Scanning, Watcher
from ..log import events, logger
from ..models.follower import ModelFollower
from ..models.served import ModelSource
from ..monitoring.counters import Counters
from ..monitoring.systemd import Notifier
from ..monitoring.vitals import Vitals
from ..settings import Settings
from ..spool import names
from ..spool.commit import Committer
from ..spool.folder import Spool
from ..spool.requirements import demand
from ..spool.shards import Shard
from .lanes import Lane
from .open_files import raise_limit
from .reloading import Reloads, SettingsInForce
from .service import Service
from .signals import Stop, handled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ..log.logger import Log
    from ..models.served import ServedModel


def serve(
    settings: Settings,
    log: Log | None = None,
    counters: Counters | None = None,
    *,
    reread: Callable[[], Settings] | None = None,
    clock: Clock | None = None,
) -> None:
    """Run a daemon until a signal stops it, or with the setting `once` until everything is answered.

    Call it in the main thread, preferably of a separate process: it handles SIGTERM, SIGINT (stop) and SIGHUP (reload),
    raises the process's limit on open files, and tunes the garbage collector.

    Parameters
    ----------
    settings
        See `Settings`.
    log
        The daemon's log; None: one as configured by the settings `log_*`, by default on standard output.
    counters
        The counters that observe `log` and that status, health and metrics show (see `logger.logger`); None if `log`
        is None.
    reread
        Returns the settings as they are configured now, for a reload; None: a reload changes none.
    clock
        Time; tests pass their own.

    Raises
    ------
    DaemonError
        The spool is not usable or another daemon has it, the model cannot be loaded, HTTP cannot be served, or the
        spool was lost during the work; with `once`, also if a lane's model could not be loaded.
    TypeError
        `settings` is something else than `Settings`.
    ValueError
        Only one of `log` and `counters` is given: status and metrics would show nothing.

    """
    if not isinstance(settings, Settings):
        raise TypeError(f"settings: expected Settings, got {settings!r}; pass Settings(spool=...)")
    if (log is None) != (counters is None):
        raise ValueError("serve: give both log and counters, or neither")
    if log is None or counters is None:
        counters = Counters()
        log = logger.configured(settings, counters)
    clock = clock or Clock()
    raise_limit()
    begin = clock.monotonic()
    # The stack unwinds in reverse: the lanes first, then the status file, and the spool's lock after both, so that no
    # other daemon starts while this one still writes.
    with ExitStack() as stack:
        process = _prepare(stack, settings, log, counters, reread=reread, clock=clock)
        spools, lanes = _open(stack, process, begin)
        try:
            _loop(process, lanes)
        except DaemonError as error:
            log.error(events.STOP, reason=str(error), left=_left(spools))  # noqa: TRY400 - no bug
            raise
        for lane in lanes.values():
            lane.finish()
        log.info(events.STOP, reason=process.stop.reason or "once", left=_left(spools))
    closed = [f"lane {name}: {lane.degraded}" for name, lane in lanes.items() if not lane.model]
    if settings.once and closed:
        raise ServedModelError("; ".join(closed))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Process:
    """What all lanes of a daemon share."""

    settings: SettingsInForce
    bell: Bell
    stop: Stop
    vitals: Vitals
    reloads: Reloads
    clock: Clock
    log: Log

    def hurry(self) -> bool:
        """Return whether the time to finish open work is over."""
        return self.stop.is_overdue(self.settings().stop_grace_s)


def _prepare(
    stack: ExitStack,
    settings: Settings,
    log: Log,
    counters: Counters,
    *,
    reread: Callable[[], Settings] | None,
    clock: Clock,
) -> _Process:
    """Create the parts that need no spool, and install the signal handlers."""
    bell = Bell()
    stack.callback(bell.close)
    stop = Stop(bell, clock.monotonic)
    notifier = stack.enter_context(Notifier.of(os.environ))
    vitals = Vitals(settings, counters=counters, notifier=notifier, clock=clock)
    current = SettingsInForce(settings)
    reloads = Reloads(
        current, reread=reread or (lambda: settings), ended=vitals.ready, bell=bell, log=log
    )

    def end(reason: str) -> None:
        stop.request(reason)
        vitals.stopping()

    def reload() -> None:
        vitals.reloading()
        reloads.request()

    stack.enter_context(handled(stop=end, reload=reload))
    return _Process(
        settings=current,
        bell=bell,
        stop=stop,
        vitals=vitals,
        reloads=reloads,
        clock=clock,
        log=log,
    )


def _open(
    stack: ExitStack, process: _Process, begin_s: float
) -> tuple[list[Spool], dict[str, Lane]]:
    """Lock the spool, load the model and open all lanes; return the lanes' spools, and the lanes by name."""
    settings = process.settings()
    try:
        spool = _open_spool(stack, settings, lane="")
        spool.lock()  # first: `demand` makes files in tmp/, and `vitals` writes status.json
        demand(spool, network_fs=settings.network_fs)
        _log_start(process.log, settings)
        stack.enter_context(process.vitals)
        model = ModelSource(settings.registry, settings.model).load()
        spools = [spool]
        lanes = {"": _open_lane(stack, process, spool, settings.model, model)}
        for name, reference in settings.models.items():
            spools.append(_open_spool(stack, settings, lane=name))
            lanes[name] = _open_lane(stack, process, spools[-1], reference, None)
    except OSError as fault:
        kind = SpoolLostError if fault.errno in TEMPORARY else SpoolError
        raise kind(f"spool {settings.spool}: {fault}") from fault
    _report_ready(process, lanes, model, startup_s=process.clock.monotonic() - begin_s)
    return spools, lanes


def _open_spool(stack: ExitStack, settings: Settings, *, lane: str) -> Spool:
    spool = Spool.make(
        settings.spool,
        settings.durability,
        lane=lane,
        shard=Shard.parse(settings.shard),
        marker=names.MARKER if settings.done_marker else "",
    )
    return stack.enter_context(spool)


def _open_lane(
    stack: ExitStack, process: _Process, spool: Spool, reference: str, model: ServedModel | None
) -> Lane:
    """Open a lane; without a model, it begins to work as soon as its reference leads to one that can be loaded."""
    log = process.log.bind(lane=spool.lane) if spool.lane else process.log
    context = Context(
        spool=spool,
        committer=Committer(spool),
        settings=process.settings,
        clock=process.clock,
        log=log,
        heartbeats=process.vitals.heartbeats,
    )
    follower = ModelFollower(
        source=ModelSource(process.settings().registry, reference),
        model=model,
        settings=process.settings,
        bell=process.bell,
        clock=process.clock,
        log=log,
    )
    stack.callback(follower.close)
    lane = Lane(
        model=model,
        make=lambda model: _start_service(stack, process, context, model),
        follower=follower,
        log=log,
    )
    follower.start()  # last: it may load a model at once
    return lane


def _start_service(
    stack: ExitStack, process: _Process, context: Context, model: ServedModel
) -> Service:
    by_scan = process.settings().network_fs
    service = Service(
        context,
        model=model,
        watcher=Scanning() if by_scan else Watcher(context.spool.inbox_path, process.bell),
        hurry=process.hurry,
    )
    try:
        service.start()
    except BaseException:
        service.close()
        raise
    stack.callback(service.close)
    return service


def _report_ready(
    process: _Process, lanes: Mapping[str, Lane], model: ServedModel, *, startup_s: float
) -> None:
    process.log.info(
        events.READY,
        model=model.pin,
        self_test=model.self_test,
        cores=model.classifier.cores,
        labels=list(model.classifier.labels),
        lanes=[name for name in lanes if name],
        waiting=lanes[""].waiting,
        startup_ms=round(startup_s * 1e3, 3),
    )
    process.vitals.ready()
    gc.freeze()  # all that was loaded stays to the end, so no collection need visit it again
    # A group of inputs has thousands of objects: with the default of 700, the collector would run all the time.
    gc.set_threshold(10_000)


def _loop(process: _Process, lanes: Mapping[str, Lane]) -> None:
    """Run one turn of each lane after the other, so that none starves, until the daemon is to stop."""
    once = process.settings().once
    now = process.clock.monotonic
    while process.stop.reason is None:
        worked = False  # if any lane worked, all get another turn without a nap
        for lane in lanes.values():
            worked = lane.turn(now()) or worked
        process.reloads.turn(lanes)
        if once and all(lane.idle for lane in lanes.values()):
            return
        if not worked and process.stop.reason is None:
            process.bell.wait(min(lane.nap_s(now()) for lane in lanes.values()))


def _left(spools: Iterable[Spool]) -> int:
    """Return the number of inputs in work/ that the next start will find; folders that cannot be read are skipped."""
    left = 0
    for spool in spools:
        with suppress(OSError):
            left += sum(not name.startswith(".") for name in durable.listing(spool.work))
    return left


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
