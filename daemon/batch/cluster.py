"""Dask: start or find workers, and make calls on them, a few at a time."""

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
"""Longest wait in seconds for the scheduler, and then for the first worker."""

AHEAD: Final = 2
"""Calls submitted per worker thread: one runs, and one is queued, so that the thread never waits."""

RETRIES: Final = 2
"""Retries of a call that raised an exception; the death of its worker does not count."""

QUIET: Final = {
    "logging": {"distributed": "critical", "distributed.client": "critical"},
    "distributed.nanny.pre-spawn-environ.DASK_LOGGING__DISTRIBUTED": "critical",
    "distributed.nanny.pre-spawn-environ.DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "distributed.comm.timeouts.connect": "5s",  # a result may be on a worker that has just died
    "distributed.admin.large-graph-warning-threshold": "1GiB",  # a model is sent once, on purpose
}
"""Settings of Dask; the batch handles dead workers itself, so Dask need not report them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A function call to make on a worker.

    Attributes
    ----------
    about
        The object that the result belongs to; it is not sent.
    work, arguments, options
        The function, and its positional and keyword arguments; they are sent to the worker.

    """

    about: Any
    work: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


class WorkersDied(Exception):
    """Result of a call that killed every worker that executed it, even when it ran alone."""


@contextmanager
def connected(scheduler: str | None, *, workers: int) -> Iterator[Client]:
    """Connect to a scheduler; with None, start one with `workers` processes on this machine.

    Raises
    ------
    BatchError
        There is no scheduler or no worker, or a worker has another version of spikewatch.

    """
    # These must be set before the import, which configures logging.
    dask.config.set(QUIET)
    from distributed import Client, LocalCluster  # noqa: PLC0415 - reads the settings above

    if scheduler is None:
        # One thread each, because reading and writing hold the GIL.
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
        raise BatchError(f"scheduler {scheduler}: {_one_line(e)}") from e
    with client:
        _check_workers(client, scheduler)
        yield client


def _check_workers(client: Client, scheduler: str) -> None:
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
    except TimeoutError:
        raise BatchError(f"scheduler {scheduler}: no worker within {CONNECT_S} s") from None
    ours = importlib.metadata.version("spikewatch")
    for worker, theirs in client.run(_version).items():
        if theirs != ours:
            raise BatchError(f"worker {worker}: spikewatch {theirs}, expected {ours}")


def _version() -> str:
    try:
        return importlib.metadata.version("spikewatch")
    except importlib.metadata.PackageNotFoundError:
        return "is not installed"


def make_calls(
    client: Client, calls: Iterable[Call], then: Callable[[Call, Any], Iterable[Call]]
) -> None:
    """Make calls on the workers, and the calls that follow from their results; those that follow come first.

    Parameters
    ----------
    client
        See `connected`.
    calls
        The first calls.
    then
        Called with each call and its result, or the exception that it raised; returns the calls that follow.

    Raises
    ------
    BatchError
        The scheduler is lost.

    """
    from distributed import CancelledError, KilledWorker, as_completed  # noqa: PLC0415 - reads QUIET, which `connected` sets

    waiting, suspects = deque(calls), deque[Call]()
    running: dict[Any, Call] = {}
    alone = False
    done = as_completed()

    def submit(call: Call) -> None:
        # Not pure: Dask would answer a call with the result of an earlier, equal one, even if its files are gone.
        future = client.submit(
            call.work, *call.arguments, **call.options, pure=False, retries=RETRIES
        )
        running[future.key] = call
        done.add(future)

    while waiting or suspects or running:
        limit = 0 if alone else AHEAD * max(1, sum(client.nthreads().values()))
        while waiting and len(running) < limit:
            submit(waiting.popleft())
        if not running:
            # Dask counts a worker's death against every call that the worker had.  Calls with too many deaths are
            # therefore tried again one at a time: only the one that kills its worker alone is at fault.
            alone = True
            submit(suspects.popleft())
        future = next(done)
        call = running.pop(future.key)
        result = _result(future)
        if isinstance(result, CancelledError):
            raise BatchError("the scheduler lost the batch; finished parts are kept")
        if isinstance(result, KilledWorker) and not alone:
            suspects.append(call)
            continue
        alone = False
        outcome = WorkersDied() if isinstance(result, KilledWorker) else result
        waiting.extendleft(reversed(list(then(call, outcome))))


def _result(future: Future[Any]) -> Any:
    try:
        return future.result()
    except Exception as e:  # noqa: BLE001 - returned as a value
        return e


def _one_line(fault: Exception) -> str:
    return " ".join(str(fault).split()) or type(fault).__name__
