"""Answer claimed requests: read, simulate, write, in batches that several requests share.

The simulator works in a thread of its own, one batch ahead: while it runs without the GIL, the previous batch is
written and the next one is read.  At most three batches are in memory, however large the inputs are.
"""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from . import durable, names
from .errors import AnswerError, InputError
from .ledger import temp
from .reading import Source, questions
from .results import Tally, records_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from contextlib import AbstractContextManager

    from ..simcore import Answers
    from .clock import Clock
    from .model import ServedModel
    from .reading import Question
    from .results import Row
    from .settings import Settings
    from .spool import Spool

    Simulated = tuple[Answers | None, float]
    """Answers, None where there was nothing to ask, and the seconds that they took."""

ALONE_QUESTIONS: Final = 16
"""Questions in a batch of a request that runs alone: where it dies is known to within so many."""

REPORT_DIGEST_BYTES: Final = 64 << 20
"""A failed input is read on by so much to state its digest; reading a huge one to its end helps nobody."""

_FILE_TYPES: Final = {
    stat.S_IFLNK: "symbolic link",
    stat.S_IFIFO: "named pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFDIR: "folder",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One input in work/, to be answered.

    Attributes
    ----------
    name
        Its file name.
    arrived_s
        Wall time of its arrival in the inbox, seconds since 1970.
    attempt
        1 for a fresh claim.

    """

    name: str
    arrived_s: float
    attempt: int = 1


@dataclass(kw_only=True, slots=True, eq=False)
class Progress:
    """A request in hand: what has been read, simulated and written of it, and how long that took (seconds).

    Attributes
    ----------
    request
        The request.
    model
        What answers it, from its opening to its last record.
    fd
        Its result in tmp/; -1 before it is opened and after it was handed over.
    started_s
        Wall time of its first read.
    read_s, simulate_s, write_s
        Time spent; `simulate_s` is the whole time of each batch that holds a question of it.
    tally
        Sums over its questions.
    sha256
        Of the whole input; None while it is read and where it was given up early.
    size
        Bytes read.
    failure
        Why it cannot be answered.

    """

    request: Request
    model: ServedModel
    fd: int = -1
    started_s: float = 0.0
    read_s: float = 0.0
    simulate_s: float = 0.0
    write_s: float = 0.0
    tally: Tally = field(default_factory=Tally)
    sha256: str | None = None
    size: int = 0
    failure: InputError | None = None

    def hand_over(self) -> int:
        """Give the result's descriptor away: whoever takes it closes it."""
        fd, self.fd = self.fd, -1
        return fd


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """The questions of one request in one batch; `last` says that no more follow."""

    progress: Progress
    questions: list[Question]
    last: bool


class Pipeline:
    """Answers requests, each with the model of the moment at which it is opened.

    Parameters
    ----------
    spool
        Inputs are read from its work/, results written to its tmp/.
    model
        The model of the requests that are opened next; may be set to another one at any time.
    settings
        `batch_questions` and `max_line_bytes`.
    clock
        For the latencies.

    """

    def __init__(
        self, *, spool: Spool, model: ServedModel, settings: Settings, clock: Clock
    ) -> None:
        self._spool = spool
        self.model = model
        self._settings = settings
        self._clock = clock
        self._simulator = ThreadPoolExecutor(max_workers=1, thread_name_prefix="simulator")

    def configure(self, settings: Settings) -> None:
        """Take other settings, from the next input or batch on."""
        self._settings = settings

    def close(self) -> None:
        """End the simulator's thread."""
        self._simulator.shutdown()

    def answer(self, requests: Iterable[Request]) -> Iterator[list[Progress]]:
        """Answer requests in order; yield, batch by batch, those whose last record is written or that have failed.

        The caller takes over the results' descriptors.

        Raises
        ------
        OSError
            The disk; what was not yielded has no result and may be tried again.
        AnswerError
            The simulator; likewise.

        """
        in_hand: list[Progress] = []
        try:
            for batch, answers in self._simulated(self._batches(requests, in_hand)):
                rows = _rows(batch, answers)
                for part in batch:
                    self._write(part, rows)
                ended = [part.progress for part in batch if part.last]
                for progress in ended:
                    in_hand.remove(progress)
                yield ended
        finally:
            for progress in in_hand:
                self._drop(progress)

    def answer_alone(
        self, request: Request, trial: Callable[[int], AbstractContextManager[None]]
    ) -> Progress:
        """Answer one request that is under suspicion: in small batches, one step after the other.

        Parameters
        ----------
        request
            The request.
        trial
            Called with the number of questions that are behind it; entered while the next few are read and
            simulated, and left before anything is written.

        Raises
        ------
        OSError, AnswerError
            As `answer`.

        """
        progress = self._begin(request)
        done, last = 0, False
        try:
            with self._opened(progress) as asked:
                while not last:
                    with trial(done):
                        part = self._read(progress, asked, ALONE_QUESTIONS)
                        answers, seconds = _result(lambda: self._simulate([part]))  # noqa: B023 - called at once
                    progress.simulate_s += seconds
                    self._write(part, _rows([part], answers))
                    done, last = done + len(part.questions), part.last
        except BaseException:
            self._drop(progress)
            raise
        return progress

    def _batches(
        self, requests: Iterable[Request], in_hand: list[Progress]
    ) -> Iterator[list[Part]]:
        """Fill batches with the questions of one request after the other, each batch for one model."""
        batch: list[Part] = []
        room = self._settings.batch_questions
        for request in requests:
            progress = self._begin(request)
            in_hand.append(progress)
            if batch and batch[0].progress.model is not progress.model:
                yield batch
                batch, room = [], self._settings.batch_questions
            with self._opened(progress) as asked:
                last = False
                while not last:
                    part = self._read(progress, asked, room)
                    batch.append(part)
                    last = part.last
                    room -= len(part.questions)
                    if room == 0:
                        yield batch
                        batch, room = [], self._settings.batch_questions
        if batch:
            yield batch

    def _begin(self, request: Request) -> Progress:
        return Progress(request=request, model=self.model, started_s=self._clock.wall())

    @contextmanager
    def _opened(self, progress: Progress) -> Iterator[Iterator[Question]]:
        """Open an input and give its questions; what it is worth is found out by reading them."""
        name = progress.request.name
        fd = durable.open_input(self._spool.work, name)
        if fd is None:
            progress.failure = _why_not(self._spool, name)
            yield iter(())
            return
        try:
            source = Source(fd, max_line_bytes=self._settings.max_line_bytes)
            yield _checked(source, progress)
        finally:
            os.close(fd)

    def _read(self, progress: Progress, asked: Iterator[Question], room: int) -> Part:
        begin = self._clock.monotonic()
        taken = list(islice(asked, room))
        progress.read_s += self._clock.monotonic() - begin
        return Part(progress=progress, questions=taken, last=len(taken) < room)

    def _simulated(
        self, batches: Iterable[list[Part]]
    ) -> Iterator[tuple[list[Part], Answers | None]]:
        """Send batches through the simulator, in order, one ahead of the one that is yielded."""
        running: tuple[list[Part], Future[Simulated]] | None = None
        for batch in batches:
            future = self._simulator.submit(self._simulate, batch)
            if running is not None:
                yield _finish(*running)
            running = batch, future
        if running is not None:
            yield _finish(*running)

    def _simulate(self, batch: Sequence[Part]) -> Simulated:
        texts = [q.text for part in batch for q in part.questions if q.text is not None]
        if not texts:
            return None, 0.0
        classifier = batch[0].progress.model.classifier
        begin = self._clock.monotonic()
        answers = classifier.classify(texts)
        return answers, self._clock.monotonic() - begin

    def _write(self, part: Part, rows: Iterator[Row]) -> None:
        """Append the records of a part to its request's result."""
        progress = part.progress
        begin = self._clock.monotonic()
        data = records_of(progress.model).lines(part.questions, rows, progress.tally)
        if progress.failure is not None:
            self._drop(progress)
            return
        if progress.fd < 0:
            name = temp(progress.request.name) + names.RESULT
            progress.fd = durable.create(self._spool.tmp, name)
        durable.write_all(progress.fd, data)
        progress.write_s += self._clock.monotonic() - begin

    def _drop(self, progress: Progress) -> None:
        """Give up the half-written result of a request."""
        if progress.fd >= 0:
            os.close(progress.fd)
            progress.fd = -1
        durable.unlink(self._spool.tmp, temp(progress.request.name) + names.RESULT)


def _checked(source: Source, progress: Progress) -> Iterator[Question]:
    """Yield the questions of an input; at its end, or where it breaks off, note digest, size and failure."""
    limit = REPORT_DIGEST_BYTES
    try:
        yield from questions(source, names.kind(progress.request.name))
    except InputError as e:
        progress.failure = e
    progress.sha256 = source.digest_rest(limit)
    progress.size = source.size


def _why_not(spool: Spool, name: str) -> InputError:
    facts = durable.look(spool.work, name)
    if facts is None:
        return InputError("vanished", "it disappeared from work/ before it was read")
    if not stat.S_ISREG(facts.st_mode):
        kind = _FILE_TYPES.get(stat.S_IFMT(facts.st_mode), "something else")
        return InputError("not_regular", f"it is a {kind}, not a regular file")
    return InputError("unreadable", "no permission to read it")


def _finish(batch: list[Part], future: Future[Simulated]) -> tuple[list[Part], Answers | None]:
    """Wait for a batch and note its time on each of its requests."""
    answers, seconds = _result(future.result)
    for part in batch:
        part.progress.simulate_s += seconds
    return batch, answers


def _rows(batch: Sequence[Part], answers: Answers | None) -> Iterator[Row]:
    """Give the rows of a batch of one model."""
    return iter(()) if answers is None else records_of(batch[0].progress.model).rows(answers)


def _result(simulated: Callable[[], Simulated]) -> Simulated:
    try:
        return simulated()
    except OSError:
        raise
    except Exception as e:  # whatever a model can do wrong must not end the daemon
        raise AnswerError(f"{type(e).__name__}: {e}") from e
