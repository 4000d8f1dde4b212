"""Answer requests: read, simulate and write, in batches that several inputs share.

The simulator works in threads of its own, one batch in each.  While they run without the GIL, the loop's thread writes
the previous batch and reads the next one.  At most four batches are in memory, however large the inputs are, and as
many of the large input that is answered slice by slice between the groups of small ones.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from ...simcore.question_files.portions import PORTION_CHARACTERS
from ..errors import AnswerError
from ..files import _calls
from ..files.draft import Draft
from ..heartbeats import LOOP, SIMULATOR
from ..spool import names
from ..spool.commit import temp
from .faults import PASSED, fault_of
from .input_file import InputFile
from .request import Job
from .results import result_format

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from contextlib import AbstractContextManager

    from ...simcore import Answers
    from ...simcore.question_files import InputRecord
    from ..context import Context
    from ..models.served import ServedModel
    from ..settings import Settings
    from ..spool.folder import Spool
    from .request import Request
    from .results import Row

    Simulated = tuple[Answers | None, float]
    """A batch's answers, None if it holds no question, and the seconds that they took."""

TOGETHER_BYTES: Final = 4096
"""Size of the largest input that is read whole, in one call with others."""

TOGETHER_FILES: Final = 64
"""Small inputs that are read together."""

HELD_BYTES: Final = 1 << 14
"""Size of the largest result that stays in memory until its commit, which creates a whole group's files in one call."""

SIMULATORS: Final = 2
"""Threads that simulate.  More would idle: writing, in one thread, takes two thirds of the time of simulating."""

ALONE_QUESTIONS: Final = 16
"""Records in a batch of a request that is answered alone: a crash is attributed to a range of this many records."""


MOST_TOGETHER: Final = 1 << 14
"""Records after which an input turns out to be large whatever its size, as some compressed ones do."""

MOST_READ_S: Final = 0.2
"""The same for the seconds that are spent on reading it."""

READ_S: Final = 0.05
"""Longest reading in seconds, apart from that of one block, before the loop gets a turn."""


class _Part(NamedTuple):
    """The records of one job in one batch; `last` says that no more follow."""

    job: Job
    records: list[InputRecord]
    last: bool


@dataclass(slots=True)
class _Space:
    """The space in the batch that is being filled: for so many questions in all, so many more, and their characters."""

    most: int
    questions: int = 0
    characters: int = 0

    def begin(self) -> list[_Part]:
        """Return a new batch."""
        self.questions, self.characters = self.most, PORTION_CHARACTERS
        return []

    def take(self, questions: int, characters: int) -> None:
        """Note what was added to the batch; it may be one text more than there was space for."""
        self.questions -= questions
        self.characters -= characters

    @property
    def full(self) -> bool:
        """Whether no more fits into the batch."""
        return self.questions <= 0 or self.characters <= 0


class Pipeline:
    """Answers requests, each with the model that is served when its input is opened.

    Parameters
    ----------
    context
        Inputs are read from its spool's work/, large results written to its tmp/.  Of the settings, `batch_questions`,
        those of `InputFile` are used, as they are when a group of requests is begun.
    model
        Returns the model that is served now.

    """

    def __init__(self, context: Context, *, model: Callable[[], ServedModel]) -> None:
        self._context = context
        self._spool = context.spool
        self._clock = context.clock
        self._beat = partial(context.heartbeats.beat, LOOP)
        self._model = model
        self._simulator = ThreadPoolExecutor(max_workers=SIMULATORS, thread_name_prefix="simulator")
        # Threads of its own, so that a small input does not wait for the batches of a large one.
        self._large = ThreadPoolExecutor(max_workers=SIMULATORS, thread_name_prefix="simulator")

    def close(self) -> None:
        """End the simulator's threads, after they have simulated their batches."""
        self._simulator.shutdown()
        self._large.shutdown()

    def answer(self, requests: Iterable[Request]) -> Generator[list[Job], None, None]:
        """Answer requests in order; yield, batch by batch, the jobs whose last record is written or that failed.

        The caller takes over their results.  A job whose input could not be read has a `fault`, and costs no other job.
        A job that turns out to be large is given up and never yielded; `answer_large` answers its request.

        Raises
        ------
        OSError
            The disk.  Jobs that were not yielded have no result; their requests may be tried again.
        AnswerError
            The simulator; likewise.

        """
        open_jobs: list[Job] = []
        try:
            for batch, answers in self._simulated(
                self._batches(requests, open_jobs), self._simulator
            ):
                self._write(batch, answers)
                ended = [part.job for part in batch if part.last]
                for job in ended:
                    open_jobs.remove(job)
                yield ended
        finally:
            for job in open_jobs:
                job.drop()

    def answer_large(self, request: Request) -> Generator[Job | None, None, None]:
        """Answer a large request; yield None after each batch, and at last its job, whose result the caller takes over.

        Batches are simulated while the caller does other work.

        Raises
        ------
        OSError, AnswerError
            As `answer`.

        """
        job = self._begin(request)
        settings = self._context.settings()
        batches = self._simulated(self._large_batches(job, settings), self._large)
        try:
            for batch, answers in batches:
                self._write(batch, answers)
                yield None
        except BaseException:  # also when the caller closes this generator
            job.drop()
            raise
        yield job

    def answer_alone(
        self, request: Request, trial: Callable[[int], AbstractContextManager[None]]
    ) -> Generator[Job | None, None, None]:
        """Answer one request that may be at fault: in small batches, each read, simulated and written before the next.

        Yield None after each batch, and at last its job, whose result the caller takes over.

        Parameters
        ----------
        request
            The request.
        trial
            Called with the number of records that are finished; entered while the next few are read and simulated,
            and left before anything is written.

        Raises
        ------
        OSError, AnswerError
            As `answer`.

        """
        job = self._begin(request)
        done, last = 0, False
        try:
            file = self._open(job, self._context.settings(), None)
            with closing(file):
                while not last:
                    with trial(done):
                        part = self._read(job, file, ALONE_QUESTIONS)
                        answers, seconds = _result(lambda: self._simulate([part]))  # noqa: B023 - called at once
                    job.simulate_s += seconds
                    self._write([part], answers)
                    done, last = done + len(part.records), part.last
                    yield None
        except BaseException:  # also when the caller closes this generator
            job.drop()
            raise
        yield job

    def _large_batches(self, job: Job, settings: Settings) -> Iterator[list[_Part]]:
        with closing(self._open(job, settings, None)) as file:
            last = False
            while not last:
                part = self._read(job, file, settings.batch_questions)
                last = part.last
                yield [part]

    def _batches(self, requests: Iterable[Request], open_jobs: list[Job]) -> Iterator[list[_Part]]:
        """Fill batches with the records of one request after the other; a batch is for one model."""
        settings = self._context.settings()
        space = _Space(settings.batch_questions)
        batch = space.begin()
        for request, content in self._with_content(requests):
            job = self._begin(request)
            open_jobs.append(job)
            # A batch is one call of one classifier, and the model may have been swapped since the previous input.
            if batch and batch[0].job.model is not job.model:
                yield batch
                batch = space.begin()
            taken = 0
            with closing(self._parts(job, settings, content, space)) as parts:
                for part in parts:
                    taken += len(part.records)
                    _append(batch, part)
                    if space.full:
                        yield batch
                        batch = space.begin()
                    if not part.last and (taken >= MOST_TOGETHER or job.read_s >= MOST_READ_S):
                        open_jobs.remove(job)
                        job.drop()
                        job.given_up = True
                        break
        if batch:
            yield batch

    def _parts(
        self, job: Job, settings: Settings, content: bytes | None, space: _Space
    ) -> Generator[_Part, None, None]:
        """Yield the parts of an input, each as long as the space in its batch; after a fault, an empty last one."""
        try:
            with closing(self._open(job, settings, content)) as file:
                last = False
                while not last:
                    part = self._read(job, file, space.questions, space.characters)
                    space.take(len(part.records), file.characters)
                    last = part.last
                    yield part
        except (OSError, AnswerError) as fault:
            job.fault = fault
            yield _Part(job, [], last=True)

    def _with_content(self, requests: Iterable[Request]) -> Iterator[tuple[Request, bytes | None]]:
        """Yield each request with the content of its input, None for a large one."""
        left = iter(requests)
        while some := list(islice(left, TOGETHER_FILES)):
            unread = [request for request in some if request.content is None]
            contents = iter(small_contents(self._spool, [request.name for request in unread]))
            for request in some:
                yield request, next(contents) if request.content is None else request.content

    def _begin(self, request: Request) -> Job:
        return Job(request=request, model=self._model(), started_s=self._clock.wall())

    def _open(self, job: Job, settings: Settings, content: bytes | None) -> InputFile:
        labels = job.model.classifier.labels
        try:
            return InputFile(
                self._spool,
                job.request.name,
                settings,
                labels=labels,
                content=content,
                beat=self._beat,
            )
        except PASSED:
            raise
        except BaseException as e:
            raise fault_of(e, "read") from e

    def _read(
        self, job: Job, file: InputFile, count: int, characters: int = PORTION_CHARACTERS
    ) -> _Part:
        begin = self._clock.monotonic()
        self._beat()
        try:
            records = file.take(
                count, characters, pause=lambda: self._clock.monotonic() - begin >= READ_S
            )
        except PASSED:
            raise
        except BaseException as e:
            raise fault_of(e, "read") from e
        job.read_s += self._clock.monotonic() - begin
        # An input that ends where a batch is full has an empty last part in the next one.
        last = file.ended
        if last:
            job.sha256, job.size, job.failure = file.sha256, file.size, file.failure
        return _Part(job, records, last)

    def _simulated(
        self, batches: Iterable[list[_Part]], simulator: ThreadPoolExecutor
    ) -> Iterator[tuple[list[_Part], Answers | None]]:
        """Yield the batches in order with their answers, while the batches after them are simulated."""
        running: deque[tuple[list[_Part], Future[Simulated]]] = deque()
        for batch in batches:
            running.append((batch, simulator.submit(self._simulate, batch)))
            # Wait only with one batch more than there are threads, so that a thread that finishes finds the next one.
            if len(running) > SIMULATORS:
                yield _finish(*running.popleft())
        while running:
            yield _finish(*running.popleft())

    def _simulate(self, batch: Sequence[_Part]) -> Simulated:
        texts = [r.text for part in batch for r in part.records if r.text is not None]
        if not texts:
            return None, 0.0
        classifier = batch[0].job.model.classifier
        begin = self._clock.monotonic()
        with self._context.heartbeats.busy(SIMULATOR):
            answers = classifier.classify(texts)
        return answers, self._clock.monotonic() - begin

    def _write(self, batch: Sequence[_Part], answers: Answers | None) -> None:
        """Append the lines of each part to its job's result; add the time of all to each job's `write_s`."""
        begin = self._clock.monotonic()
        new: list[bytes] = []
        opened: list[Job] = []
        for part, data in zip(batch, _lines(batch, answers), strict=True):
            job = part.job
            if job.failure is not None or job.fault is not None or job.given_up:
                job.drop()
            elif isinstance(job.result, Draft):
                job.result.write(data)
            elif part.last and len(data) <= HELD_BYTES:
                job.result = data  # the job has no file yet, so this part is the whole result
            else:
                new.append(data)
                opened.append(job)
        temporary = (temp(job.request.name) + names.RESULT for job in opened)
        drafts = Draft.written(self._spool.tmp, new, temporary)
        for job, draft in zip(opened, drafts, strict=True):
            job.result = draft
        seconds = self._clock.monotonic() - begin
        for part in batch:
            part.job.write_s += seconds


def _append(batch: list[_Part], part: _Part) -> None:
    """Append a part to a batch, which has at most one of each job."""
    if batch and batch[-1].job is part.job:  # reading has given way between the two
        part = _Part(part.job, batch.pop().records + part.records, part.last)
    batch.append(part)


def small_contents(spool: Spool, inputs: Sequence[str]) -> list[bytes | None]:
    """Read inputs in work/ in one call; None for each that exceeds `TOGETHER_BYTES` or is not a readable file."""
    return _calls.read_all(spool.work, inputs, TOGETHER_BYTES)


def _finish(batch: list[_Part], future: Future[Simulated]) -> tuple[list[_Part], Answers | None]:
    """Wait for a batch and add its time to each of its jobs."""
    answers, seconds = _result(future.result)
    for part in batch:
        part.job.simulate_s += seconds
    return batch, answers


def _lines(batch: Sequence[_Part], answers: Answers | None) -> Iterator[bytes]:
    """Yield the lines of each part, and add them to its job's tally; all jobs of a batch have the same model."""
    lines = result_format(batch[0].job.model)
    try:
        rows: Iterator[Row] = iter(()) if answers is None else lines.rows(answers)
        # Also for a failed job: the parts share `rows`, and this skips the rows of the job's records.
        for part in batch:
            yield lines.lines(part.records, rows, part.job.tally)
    except PASSED:
        raise
    except BaseException as e:
        raise fault_of(e, "simulate") from e


def _result(simulated: Callable[[], Simulated]) -> Simulated:
    try:
        return simulated()
    except PASSED:
        raise
    except BaseException as e:
        raise fault_of(e, "simulate") from e
