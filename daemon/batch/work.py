"""The tasks of a worker: scan an input, or answer a part of one.  Each may run on any worker, and more than once."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar

from ...simcore.question_files import QuestionFileError
from ...simcore.question_files import names as question_names
from ...simcore.question_files.portions import Portions
from ..answering.faults import PASSED, fault_of
from ..answering.results import Tally, result_format
from ..errors import AnswerError, DaemonError, RejectedInputError
from ..models.served import ServedModel
from ..spool import names
from . import parts, stores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ...simcore.question_files import InputRecord, ReadOptions
    from ..answering.results import ResultFormat, Row
    from .parts import InputPart, Preamble, Scan
    from .stores import Store

Value = TypeVar("Value")

FORMAT: Final = 1
"""Version of partitions and manifest; parts that another version finished are answered again."""

BATCH_QUESTIONS: Final = 512
"""Questions in one call of the simulator."""

PARQUET: Final = ".parquet"


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedModel:
    """A published model in the form that is sent to the workers, once for all tasks.

    Attributes
    ----------
    pin
        Its immutable reference.
    files
        The files from which a classifier is built.

    """

    pin: str
    files: Mapping[str, bytes]

    def unpack(self) -> ServedModel:
        """Build the model; raise SimcoreError if its files are invalid."""
        from ...simcore import Classifier  # noqa: PLC0415 - a worker that only scans needs no simulator

        return ServedModel(classifier=Classifier.from_files(self.files), pin=self.pin)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """The reason why an input has no result; a value, because Dask would retry a task that raises."""

    code: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Partition:
    """A finished part.

    Attributes
    ----------
    facts
        Its summary.
    reused
        Whether an earlier run had finished it.

    """

    facts: dict[str, Any]
    reused: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchInput:
    """An input, and the folder for its partitions.

    Attributes
    ----------
    url
        URL of the input.
    kind, packing
        See `question_files.names`; or `.parquet`, and None.  `kind` is None if it cannot be read.
    folder
        Folder in the store for its partitions.

    """

    url: str
    kind: str | None
    packing: str | None
    folder: str

    @classmethod
    def of(cls, url: str) -> BatchInput:
        """Describe an input by its URL; the folder depends on the URL alone."""
        # Some stores expand [ and * as a glob.
        name = re.sub(r"[^\w.-]", "_", url.rpartition("/")[2])
        tag = hashlib.sha256(url.encode(errors="surrogateescape")).hexdigest()
        return cls(
            url=url,
            kind=PARQUET if stores.is_parquet(url) else question_names.kind(url),
            packing=None if stores.is_parquet(url) else question_names.packing(url),
            folder=names.tagged(names.base(name), tag),
        )

    def partition(self, number: int) -> str:
        """Return the name of a partition in the store."""
        return f"{self.folder}/part-{number:05d}{PARQUET if self.kind == PARQUET else names.RESULT}"

    def summary(self, number: int) -> str:
        """Return the name of a finished partition's summary in the store."""
        return f"{self.folder}/part-{number:05d}{names.SUMMARY}"


def scan(source: BatchInput, part_bytes: int, options: ReadOptions) -> Scan | Failure:
    """Read all of an input and cut it into parts; raise OSError if its store fails, which Dask retries."""
    return _or_failure(lambda: _scan(source, part_bytes, options))


def _scan(source: BatchInput, part_bytes: int, options: ReadOptions) -> Scan:
    if source.kind is None:
        raise RejectedInputError("unknown_suffix", question_names.unknown(source.url, PARQUET))
    with stores.opened(source.url) as file:
        if source.kind == PARQUET:
            from . import parquet  # noqa: PLC0415 - pyarrow takes a while to import

            compressed = stores.compression(source.url) is not None
            return parquet.scan(
                file, part_bytes=None if compressed else part_bytes, options=options
            )
        return parts.scan(
            file, source.kind, part_bytes=part_bytes, options=options, packing=source.packing
        )


def answer(
    model: PackedModel,
    source: BatchInput,
    head: Preamble,
    part: InputPart,
    *,
    store: Store,
    force: bool,
) -> Partition | Failure:
    """Answer a part unless an earlier run finished it: write its partition, and then the summary that completes it.

    Parameters
    ----------
    model
        The model that answers.
    source, head, part
        The input, its preamble, and the part.
    store
        Folder for the results.
    force
        Whether to answer a finished part again.

    Raises
    ------
    OSError
        The input's store fails.
    BatchError
        The results' store fails.

    """
    key = _key(model, source, head, part)
    if not force and (facts := _finished(store, source, part.number, key)) is not None:
        return Partition(facts=facts, reused=True)
    served = _served(model)
    return _or_failure(lambda: _answer(served, source, head, part, store, key))


def _key(model: PackedModel, source: BatchInput, head: Preamble, part: InputPart) -> str:
    """Hash everything that a partition's bytes depend on."""
    inputs = [FORMAT, model.pin, source.kind, asdict(head), asdict(part)]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()


def _finished(store: Store, source: BatchInput, number: int, key: str) -> dict[str, Any] | None:
    """Return the summary of a partition if it is finished and undamaged, else None."""
    data = store.read(source.summary(number))
    try:
        facts = json.loads(data or b"null")
    except ValueError:
        return None
    if not isinstance(facts, dict) or facts.get("key") != key:
        return None
    return facts if store.digest(source.partition(number)) == facts.get("sha256") else None


def _answer(
    model: ServedModel, source: BatchInput, head: Preamble, part: InputPart, store: Store, key: str
) -> Partition:
    # A partition counts only with its summary, whose digest describes its bytes.  So the old summary is removed before
    # the partition is replaced, and the new one is written after it.
    store.remove(source.summary(part.number))
    fill = _fill_parquet if source.kind == PARQUET else _fill_lines
    with stores.opened(source.url) as file:
        name = source.partition(part.number)
        written = store.write(name, lambda out: fill(model, source, head, part, file, out))
    tally: Tally = written.value
    facts = {
        "schema": FORMAT,
        "partition": name,
        "part": part.number,
        "key": key,
        "sha256": written.sha256,
        "size_bytes": written.size,
        **tally.figures(cores=model.classifier.cores),
        "labels": {label: tally.labels[i] for i, label in enumerate(model.classifier.labels)},
    }
    data = json.dumps(facts).encode() + b"\n"
    store.write(source.summary(part.number), lambda out: out.write(data))
    return Partition(facts=facts, reused=False)


def _fill_lines(
    model: ServedModel,
    source: BatchInput,
    head: Preamble,
    part: InputPart,
    file: BinaryIO,
    out: BinaryIO,
) -> Tally:
    lines, tally = result_format(model), Tally()
    with parts.part_questions(file, source.kind or "", head, part) as blocks:
        questions = Portions(blocks)
        while batch := questions.take(BATCH_QUESTIONS):
            data = lines.lines(batch, _rows(model, lines, batch), tally)
            with stores.store_errors("result"):
                out.write(data)
    return tally


def _fill_parquet(
    model: ServedModel,
    _source: BatchInput,
    head: Preamble,
    part: InputPart,
    file: BinaryIO,
    out: BinaryIO,
) -> Tally:
    from . import columns, parquet  # noqa: PLC0415 - pyarrow takes a while to import

    lines, tally = result_format(model), Tally()
    questions = parquet.PartQuestions(file, part, head.options)
    written = columns.Columns(out, model.classifier.labels, strings=questions.strings)
    for batch in questions.batches(BATCH_QUESTIONS):
        rows = _rows(model, lines, batch)
        answered = [
            (question, next(rows) if question.text is not None else None) for question in batch
        ]
        for _, row in answered:
            if row is not None and row.label >= 0:
                tally.add(row)
            else:
                tally.failed += 1
        written.add(answered)
    written.close()
    return tally


def _rows(model: ServedModel, lines: ResultFormat, batch: list[InputRecord]) -> Iterator[Row]:
    texts = [question.text for question in batch if question.text is not None]
    if not texts:
        return iter(())
    try:
        return lines.rows(model.classifier.classify(texts))
    except PASSED:
        raise
    except BaseException as e:  # a fault of the model, or of a library, fails only this input
        raise fault_of(e, "simulate") from e


def _or_failure(work: Callable[[], Value]) -> Value | Failure:
    try:
        return work()
    except (RejectedInputError, QuestionFileError, AnswerError) as e:
        return Failure(code=e.code, message=str(e))
    except (*PASSED, DaemonError):
        raise
    except BaseException as e:
        raise fault_of(e, "read") from e  # Dask tries again; then it costs this input


_models: dict[str, ServedModel] = {}
_lock = Lock()


def _served(model: PackedModel) -> ServedModel:
    """Return the model, built once per process; a worker that serves several batches keeps only the last one."""
    # A task should use one core.  Dask limits the threads of the libraries that it knows; this one is not among them.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with _lock:
        if model.pin not in _models:
            _models.clear()
            _models[model.pin] = model.unpack()
        return _models[model.pin]
