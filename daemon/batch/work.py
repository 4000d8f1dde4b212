"""What a worker does: look at an input, or answer a part of one.  Every function may run anywhere, and again."""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import os
import re
import zlib
from dataclasses import asdict, dataclass
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar

from ..answering.results import Tally, records_of
from ..errors import RejectedInputError
from ..models.served import ServedModel
from ..spool import names
from . import parts, stores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ..answering.questions import InputRecord
    from ..answering.results import Records, Row
    from .parts import InputPart, Preamble, Scan
    from .stores import Store

Value = TypeVar("Value")

FORMAT: Final = 1
"""Version of partitions and manifest: what was finished by another is answered again."""

BATCH_QUESTIONS: Final = 512

PARQUET: Final = ".parquet"

_DAMAGED: Final = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError)
"""What decompression says of a damaged input; to try again would not help."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedModel:
    """A published model as it travels to the workers: with the graph, once.

    Attributes
    ----------
    pin
        What it is called for good.
    files
        The files that a classifier is made of.

    """

    pin: str
    files: Mapping[str, bytes]

    def unpack(self) -> ServedModel:
        """Make it ready to answer; raises SimcoreError where the files are not valid."""
        from ...simcore import Classifier  # noqa: PLC0415 - a worker that only scans needs no simulator

        return ServedModel(classifier=Classifier.from_files(self.files), pin=self.pin)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why an input has no result, as a value: exceptions would be tried again."""

    code: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Partition:
    """A finished part.

    Attributes
    ----------
    facts
        What its summary says.
    reused
        Whether it was there already.

    """

    facts: dict[str, Any]
    reused: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchInput:
    """An input and where its partitions go.

    Attributes
    ----------
    url
        Of the input.
    kind
        `names.kind` or `.parquet`; None: nothing that can be read.
    folder
        Of its partitions, in the store.

    """

    url: str
    kind: str | None
    folder: str

    @classmethod
    def of(cls, url: str) -> BatchInput:
        """Find out from a URL; the folder is a function of the URL alone."""
        name = re.sub(r"[^\w.-]", "_", url.rpartition("/")[2])  # a store may expand [ and *
        tag = hashlib.sha256(url.encode(errors="surrogateescape")).hexdigest()
        return cls(url=url, kind=stores.kind(url), folder=names.tagged(names.base(name), tag))

    def partition(self, number: int) -> str:
        """Name a partition in the store."""
        return f"{self.folder}/part-{number:05d}{PARQUET if self.kind == PARQUET else names.RESULT}"

    def summary(self, number: int) -> str:
        """Name what stands beside a partition that is finished."""
        return f"{self.folder}/part-{number:05d}{names.SUMMARY}"


def scan(source: BatchInput, part_bytes: int) -> Scan | Failure:
    """Look at all of an input; raises OSError where its store does not answer, which may be tried again."""
    return _or_failure(lambda: _scan(source, part_bytes))


def _scan(source: BatchInput, part_bytes: int) -> Scan:
    compressed = stores.compression(source.url) is not None
    size = None if compressed else part_bytes
    if source.kind is None:
        raise RejectedInputError(
            "unknown_suffix", f"its name must end in {', '.join((*names.KINDS, PARQUET))}"
        )
    with stores.opened(source.url) as file:
        if source.kind == PARQUET:
            from . import parquet  # noqa: PLC0415 - pyarrow takes a while to import

            return parquet.scan(file, part_bytes=size)
        return parts.scan(file, source.kind, part_bytes=size)


def answer(
    model: PackedModel,
    source: BatchInput,
    head: Preamble,
    part: InputPart,
    *,
    store: Store,
    force: bool,
) -> Partition | Failure:
    """Answer a part, unless that is done: first its partition is written, then the summary that says so.

    Parameters
    ----------
    model
        Answers.
    source, head, part
        The input, what was seen of it, and the part.
    store
        Takes the partition.
    force
        Answer it in any case.

    Raises
    ------
    OSError
        The input's store.
    BatchError
        The results' store.

    """
    key = _key(model, source, head, part)
    if not force and (facts := _finished(store, source, part.number, key)) is not None:
        return Partition(facts=facts, reused=True)
    return _or_failure(lambda: _answer(_served(model), source, head, part, store, key))


def _key(model: PackedModel, source: BatchInput, head: Preamble, part: InputPart) -> str:
    """Digest everything that a partition's bytes depend on."""
    told = [FORMAT, model.pin, source.kind, asdict(head), asdict(part)]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _finished(store: Store, source: BatchInput, number: int, key: str) -> dict[str, Any] | None:
    """Give the summary of a partition that is finished and whole."""
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
    # Without its summary a partition counts for nothing: never may an old one stand beside new bytes.
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
    records, tally = records_of(model), Tally()
    with parts.asked(file, source.kind or "", head, part) as asked:
        while batch := list(islice(asked, BATCH_QUESTIONS)):
            data = records.lines(batch, _rows(model, records, batch), tally)
            with stores.asking("result"):
                out.write(data)
    return tally


def _fill_parquet(
    model: ServedModel,
    _source: BatchInput,
    _head: Preamble,
    part: InputPart,
    file: BinaryIO,
    out: BinaryIO,
) -> Tally:
    from . import columns, parquet  # noqa: PLC0415 - pyarrow takes a while to import

    records, tally = records_of(model), Tally()
    asked = parquet.Asked(file, part)
    written = columns.Columns(out, model.classifier.labels, strings=asked.strings)
    for batch in asked.batches(BATCH_QUESTIONS):
        rows = _rows(model, records, batch)
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


def _rows(model: ServedModel, records: Records, batch: list[InputRecord]) -> Iterator[Row]:
    texts = [question.text for question in batch if question.text is not None]
    if not texts:
        return iter(())
    try:
        return records.rows(model.classifier.classify(texts))
    except Exception as e:  # whatever a model can do wrong costs its input alone
        raise RejectedInputError("simulator", f"{type(e).__name__}: {e}", stage="simulate") from e


def _or_failure(work: Callable[[], Value]) -> Value | Failure:
    try:
        return work()
    except RejectedInputError as e:
        return Failure(code=e.code, message=str(e))
    except _DAMAGED as e:
        return Failure(code="bad_compression", message=str(e))


_models: dict[str, ServedModel] = {}
_lock = Lock()


def _served(model: PackedModel) -> ServedModel:
    """Give the model of this process, made once; a worker that serves several batches keeps the last."""
    # A task is to use one core, as Dask sees to with its own settings for the libraries that it knows.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with _lock:
        if model.pin not in _models:
            _models.clear()
            _models[model.pin] = model.unpack()
        return _models[model.pin]
