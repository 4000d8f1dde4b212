"""Answer claimed requests: read, simulate, write, in batches that several requests share.

The simulator works in threads of its own, a batch in each: while they run without the GIL, the previous batch is
written and the next one is read.  At most four batches are in memory, however large the inputs are.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from ..errors import AnswerError
from ..files import _calls
from ..files.draft import Draft
from ..heartbeats import SIMULATOR
from ..spool import names
from ..spool.commit import temp
from .input_file import Asking
from .results import Tally, records_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from contextlib import AbstractContextManager

    from ...simcore import Answers
    from ..clock import Clock
    from ..errors import RejectedInputError
    from ..heartbeats import Heartbeats
    from ..models.served import ServedModel
    from ..settings import Settings
    from ..spool.folder import Spool
    from .questions import InputRecord
    from .results import Row

    Simulated = tuple[Answers | None, float]
    """Answers, None where there was nothing to ask, and the seconds that they took."""

TOGETHER_BYTES: Final = 4096
"""Largest input that is read whole, with others."""

TOGETHER_FILES: Final = 64
"""Small inputs that are read together."""

HELD_BYTES: Final = 1 << 14
"""Largest result that is held in memory until it is made final: whoever settles a group makes its files together."""

SIMULATORS: Final = 2
"""Threads that simulate: writing a batch takes two thirds of the time of simulating it, and only one thread writes."""

ALONE_QUESTIONS: Final = 16
"""Questions in a batch of a request that runs alone: where it dies is known to within so many."""


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
    content
        All of it, if it is small and was read ahead.

    """

    name: str
    arrived_s: float
    attempt: int = 1
    content: bytes | None = field(default=None, repr=False)


@dataclass(kw_only=True, slots=True, eq=False)
class Progress:
    """A request in hand: what has been read, simulated and written of it, and how long that took (seconds).

    Attributes
    ----------
    request
        The request.
    model
        What answers it, from its opening to its last record.
    result
        A file, or all of it if it is small; None before anything is written, and after it was handed over.
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
    result: Draft | bytes | None = None
    started_s: float = 0.0
    read_s: float = 0.0
    simulate_s: float = 0.0
    write_s: float = 0.0
    tally: Tally = field(default_factory=Tally)
    sha256: str | None = None
    size: int = 0
    failure: RejectedInputError | None = None

    def hand_over(self) -> Draft | bytes:
        """Give the result away: whoever takes a file closes it."""
        result, self.result = self.result, None
        if result is None:
            raise RuntimeError(f"{self.request.name}: handed over without a result")
        return result

    def drop(self) -> None:
        """Give up the half-written result."""
        if isinstance(self.result, Draft):
            self.result.close()
        self.result = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """The questions of one request in one batch; `last` says that no more follow."""

    progress: Progress
    questions: list[InputRecord]
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
    hearts
        Where the simulator's threads give their signs of life.

    """

    def __init__(
        self,
        *,
        spool: Spool,
        model: ServedModel,
        settings: Settings,
        clock: Clock,
        hearts: Heartbeats,
    ) -> None:
        self._hearts = hearts
        self._spool = spool
        self.model = model
        self._settings = settings
        self._clock = clock
        self._simulator = ThreadPoolExecutor(max_workers=SIMULATORS, thread_name_prefix="simulator")

    def configure(self, settings: Settings) -> None:
        """Take other settings, from the next input or batch on."""
        self._settings = settings

    def close(self) -> None:
        """End the simulator's threads."""
        self._simulator.shutdown()

    def answer(self, requests: Iterable[Request]) -> Generator[list[Progress], None, None]:
        """Answer requests in order; yield, batch by batch, those whose last record is written or that have failed.

        The caller takes over the results.

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
                self._write(batch, _rows(batch, answers))
                ended = [part.progress for part in batch if part.last]
                for progress in ended:
                    in_hand.remove(progress)
                yield ended
        finally:
            for progress in in_hand:
                progress.drop()

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
            with closing(Asking(self._spool, progress, self._settings)) as asking:
                while not last:
                    with trial(done):
                        part = self._read(progress, asking, ALONE_QUESTIONS)
                        answers, seconds = _result(lambda: self._simulate([part]))  # noqa: B023 - called at once
                    progress.simulate_s += seconds
                    self._write([part], _rows([part], answers))
                    done, last = done + len(part.questions), part.last
        except BaseException:
            progress.drop()
            raise
        return progress

    def _batches(
        self, requests: Iterable[Request], in_hand: list[Progress]
    ) -> Iterator[list[Part]]:
        """Fill batches with the questions of one request after the other, each batch for one model."""
        batch: list[Part] = []
        room = self._settings.batch_questions
        for request, content in self._opened(requests):
            progress = self._begin(request)
            in_hand.append(progress)
            if batch and batch[0].progress.model is not progress.model:
                yield batch
                batch, room = [], self._settings.batch_questions
            with closing(Asking(self._spool, progress, self._settings, content)) as asking:
                last = False
                while not last:
                    part = self._read(progress, asking, room)
                    batch.append(part)
                    last = part.last
                    room -= len(part.questions)
                    if room == 0:
                        yield batch
                        batch, room = [], self._settings.batch_questions
        if batch:
            yield batch

    def _opened(self, requests: Iterable[Request]) -> Iterator[tuple[Request, bytes | None]]:
        """Give each request, and the content of its input if it is small."""
        left = iter(requests)
        while some := list(islice(left, TOGETHER_FILES)):
            unread = [request for request in some if request.content is None]
            contents = iter(small_contents(self._spool, [request.name for request in unread]))
            for request in some:
                yield request, next(contents) if request.content is None else request.content

    def _begin(self, request: Request) -> Progress:
        return Progress(request=request, model=self.model, started_s=self._clock.wall())

    def _read(self, progress: Progress, asking: Asking, room: int) -> Part:
        begin = self._clock.monotonic()
        taken = asking.take(room)
        progress.read_s += self._clock.monotonic() - begin
        return Part(progress=progress, questions=taken, last=len(taken) < room)

    def _simulated(
        self, batches: Iterable[list[Part]]
    ) -> Iterator[tuple[list[Part], Answers | None]]:
        """Send batches through the simulator and yield them in order, while those behind are simulated."""
        running: deque[tuple[list[Part], Future[Simulated]]] = deque()
        for batch in batches:
            running.append((batch, self._simulator.submit(self._simulate, batch)))
            if len(running) > SIMULATORS:
                yield _finish(*running.popleft())
        while running:
            yield _finish(*running.popleft())

    def _simulate(self, batch: Sequence[Part]) -> Simulated:
        texts = [q.text for part in batch for q in part.questions if q.text is not None]
        if not texts:
            return None, 0.0
        classifier = batch[0].progress.model.classifier
        begin = self._clock.monotonic()
        with self._hearts.busy(SIMULATOR):
            answers = classifier.classify(texts)
        return answers, self._clock.monotonic() - begin

    def _write(self, batch: Sequence[Part], rows: Iterator[Row]) -> None:
        """Append the records of each part to its request's result; `write_s` of each is the time of all."""
        begin = self._clock.monotonic()
        new: list[bytes] = []
        opened: list[Progress] = []
        for part in batch:
            progress = part.progress
            data = records_of(progress.model).lines(part.questions, rows, progress.tally)
            if progress.failure is not None:
                progress.drop()
            elif isinstance(progress.result, Draft):
                progress.result.write(data)
            elif part.last and len(data) <= HELD_BYTES:
                progress.result = data
            else:
                new.append(data)
                opened.append(progress)
        temporary = (temp(progress.request.name) + names.RESULT for progress in opened)
        drafts = Draft.written(self._spool.tmp, new, temporary)
        for progress, draft in zip(opened, drafts, strict=True):
            progress.result = draft
        seconds = self._clock.monotonic() - begin
        for part in batch:
            part.progress.write_s += seconds


def small_contents(spool: Spool, requested: Sequence[str]) -> list[bytes | None]:
    """Read inputs in work/ that are small enough to be read whole, with others; None for those that are not."""
    return _calls.read_all(spool.work, requested, TOGETHER_BYTES)


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
