"""Write answers to a Parquet file whose columns are the fields of the daemon's result records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from ..answering.results import NO_ANSWER, SPIKES
from .stores import store_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ...simcore.question_files import InputRecord
    from ..answering.results import Row

    AnsweredQuestion = tuple[InputRecord, Row | None]
    """A question and its answer; None if the question has no text."""

GROUP_ROWS: Final = 1 << 16
"""Number of rows of a row group."""

GROUP_CHARACTERS: Final = 1 << 23
"""Characters of texts and ids with which a row group ends, however few rows it has."""

ENERGIES: Final = ("paper", "static_marginal")


class Columns:
    """Writes answers in row groups of GROUP_ROWS or GROUP_CHARACTERS; equal answers give equal bytes.

    Parameters
    ----------
    out
        The file to write to.
    labels
        The model's labels.
    strings
        Whether the ids are strings; otherwise they are integers.

    """

    def __init__(self, out: BinaryIO, labels: Sequence[str], *, strings: bool) -> None:
        self._labels = labels
        self._schema = pa.schema(
            {
                "id": pa.string() if strings else pa.int64(),
                "text": pa.string(),
                "label": pa.string(),
                "scores": pa.struct([(label, pa.int64()) for label in labels]),
                "spikes": pa.struct([(name, pa.int64()) for name in SPIKES]),
                "synaptic_events": pa.int64(),
                "ticks": pa.int64(),
                "energy_uj": pa.struct([(name, pa.float64()) for name in ENERGIES]),
                "status": pa.string(),
                "error": pa.struct([("code", pa.string()), ("message", pa.string())]),
            }.items()
        )
        self._waiting: list[AnsweredQuestion] = []
        self._characters = 0
        with store_errors("result"):
            self._writer = parquet.ParquetWriter(out, self._schema)

    def add(self, answered: Sequence[AnsweredQuestion]) -> None:
        """Append questions and their answers."""
        self._waiting += answered
        self._characters += _characters(answered)
        while len(self._waiting) >= GROUP_ROWS:
            self._write(self._waiting[:GROUP_ROWS])
            del self._waiting[:GROUP_ROWS]
            self._characters = _characters(self._waiting)
        if self._characters >= GROUP_CHARACTERS:
            self._write(self._waiting)
            self._waiting, self._characters = [], 0

    def close(self) -> None:
        """Write the remaining rows and the footer."""
        if self._waiting:
            self._write(self._waiting)
        with store_errors("result"):
            self._writer.close()

    def _write(self, answered: Sequence[AnsweredQuestion]) -> None:
        classes = len(self._labels)
        blank = [0] * (classes + len(SPIKES) + 2)
        rows = [row if row is not None and row.label >= 0 else None for _, row in answered]
        # Arrow takes a whole column at once: rows without an answer get zeros here, and are masked as nulls below.
        missing = np.array([row is None for row in rows])
        values = [
            blank if row is None else [*row.scores, *row.spikes, row.synaptic_events, row.ticks]
            for row in rows
        ]
        numbers = np.array(values, dtype=np.int64).T
        energy = [(0.0, 0.0) if row is None else (row.paper_uj, row.marginal_uj) for row in rows]
        faults = [_fault(question, row) for question, row in answered]
        columns = [
            self._ids([question.id for question, _ in answered]),
            pa.array([question.text for question, _ in answered], pa.string()),
            pa.array(
                [None if row is None else self._labels[row.label] for row in rows], pa.string()
            ),
            self._struct("scores", numbers[:classes], missing),
            self._struct("spikes", numbers[classes:-2], missing),
            pa.array(numbers[-2], mask=missing),
            pa.array(numbers[-1], mask=missing),
            self._struct("energy_uj", np.array(energy).T, missing),
            pa.array(np.where(missing, "error", "ok"), pa.string()),
            pa.array(faults, self._schema.field("error").type),
        ]
        with store_errors("result"):
            self._writer.write_batch(pa.record_batch(columns, schema=self._schema))

    def _ids(self, ids: list[int | str]) -> Any:
        # An id column of strings is null where the row number is the id, which is then written as a string.
        kind = self._schema.field("id").type
        return pa.array(map(str, ids) if kind == pa.string() else ids, kind)

    def _struct(self, name: str, values: NDArray[Any], missing: Any) -> Any:
        kind = self._schema.field(name).type
        return pa.StructArray.from_arrays(
            [pa.array(column) for column in values], fields=list(kind), mask=pa.array(missing)
        )


def _characters(answered: Sequence[AnsweredQuestion]) -> int:
    ids = (question.id for question, _ in answered)
    texts = (question.text for question, _ in answered)
    return sum(len(value) for value in (*ids, *texts) if isinstance(value, str))


def _fault(question: InputRecord, row: Row | None) -> dict[str, str] | None:
    if row is not None and row.label >= 0:
        return None
    fault = question.fault or NO_ANSWER[row.label if row is not None else -1]
    return {"code": fault.code, "message": fault.message}
