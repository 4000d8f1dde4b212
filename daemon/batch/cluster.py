"""Dask: workers of this machine or of a cluster, and calls that they carry out, few at a time."""

from __future__ import annotations

import importlib.metadata
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import dask

from ..errors import BatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from distributed import Client, Future

CONNECT_S: Final = 15
"""Longest wait in seconds for the scheduler, and then for a first worker."""

AHEAD: Final = 2
"""Calls in hand for each thread of the workers: one runs, one waits beside it."""

RETRIES: Final = 2
"""Times that a call which raised is tried again; the death of its worker is none."""


QUIET: Final = {
    "logging.distributed": "critical",
    "distributed.nanny.pre-spawn-environ.DASK_LOGGING__DISTRIBUTED": "critical",
    "distributed.nanny.pre-spawn-environ.DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "distributed.comm.timeouts.connect": "5s",  # a result may lie on a worker that has just died
    "distributed.admin.large-graph-warning-threshold": "1GiB",  # a model is sent on purpose, once
}
"""Settings of Dask: the death of a worker is our business, and no news to the user."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """Something to do on a worker.

    Attributes
    ----------
    about
        What the result belongs to; stays here.
    work, arguments, options
        Function, arguments by place and by name; they travel.

    """

    about: Any
    work: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


class WorkersDied(Exception):
    """The result of a call that ended every worker that took it up, alone as well."""


@contextmanager
def connected(scheduler: str | None, *, workers: int) -> Iterator[Client]:
    """Connect to a scheduler, or start one with so many processes on this machine.

    Raises
    ------
    BatchError
        There is no scheduler, no worker, or a worker has another version of spikewatch.

    """
    # Before the import, which sets its logging up.
    dask.config.set(QUIET)
    from distributed import Client, LocalCluster  # noqa: PLC0415 - reads the settings above

    if scheduler is None:
        # One thread each: reading and writing hold the interpreter's lock.
        with (
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
            ) as local,
            Client(local) as client,
        ):
            yield client
        return
    try:
        client = Client(scheduler, timeout=CONNECT_S)
    except (OSError, ValueError) as e:
        raise BatchError(f"scheduler {scheduler}: {_line(e)}") from e
    with client:
        _check_workers(client, scheduler)
        yield client


def _check_workers(client: Client, scheduler: str) -> None:
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
    except TimeoutError:
        raise BatchError(f"scheduler {scheduler}: no worker in {CONNECT_S} s") from None
    ours = importlib.metadata.version("spikewatch")
    for worker, theirs in client.run(_version).items():
        if theirs != ours:
            raise BatchError(f"worker {worker}: spikewatch {theirs}, expected {ours}")


def _version() -> str:
    try:
        return importlib.metadata.version("spikewatch")
    except importlib.metadata.PackageNotFoundError:
        return "is not installed"


def carry_out(
    client: Client, calls: Iterable[Call], then: Callable[[Call, Any], Iterable[Call]]
) -> None:
    """Carry out calls, and the calls that follow from their results, which go first.

    Parameters
    ----------
    client
        See `connected`.
    calls
        To begin with.
    then
        Told of each call and its result, or the exception that it raised; gives what is to be done next.

    Raises
    ------
    BatchError
        The scheduler is gone.

    """
    from distributed import CancelledError, KilledWorker, as_completed  # noqa: PLC0415 - reads QUIET, which `connected` sets

    waiting, suspects = deque(calls), deque[Call]()
    running: dict[Any, Call] = {}
    alone = False
    done = as_completed()

    def submit(call: Call) -> None:
        future = client.submit(
            call.work, *call.arguments, **call.options, pure=False, retries=RETRIES
        )
        running[future.key] = call
        done.add(future)

    while waiting or suspects or running:
        room = 0 if alone else AHEAD * max(1, sum(client.nthreads().values()))
        while waiting and len(running) < room:
            submit(waiting.popleft())
        if not running:
            # A death is blamed on every call that the worker had: who is blamed too often is tried alone.
            alone = True
            submit(suspects.popleft())
        future = next(done)
        call = running.pop(future.key)
        result = _result(future)
        if isinstance(result, CancelledError):
            raise BatchError("the scheduler has lost the batch; what is finished stays")
        if isinstance(result, KilledWorker) and not alone:
            suspects.append(call)
            continue
        alone = False
        outcome = WorkersDied() if isinstance(result, KilledWorker) else result
        waiting.extendleft(reversed(list(then(call, outcome))))


def _result(future: Future[Any]) -> Any:
    try:
        return future.result()
    except Exception as e:  # noqa: BLE001 - handed on as a value
        return e


def _line(fault: Exception) -> str:
    return " ".join(str(fault).split()) or type(fault).__name__
