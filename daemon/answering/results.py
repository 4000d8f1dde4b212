"""Write results: one JSON line for each record of an input, and the sums over them.

A result does not depend on when, where or together with which other inputs it was made: equal inputs have byte-equal
results.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ...simcore import MAX_WORDS, NO_WORDS, NOT_SPLIT, TOO_LONG, UNKNOWN_WORD, estimate
from ...simcore.question_files import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ...simcore import Answers
    from ...simcore.question_files import InputRecord
    from ..models.served import ServedModel

ENERGY_DIGITS: Final = 6
"""Decimals of energies in uJ and powers in uW: the estimates are not precise to a picojoule."""

SPIKES: Final = ("input", "hidden", "output")

_UNANSWERED: Final = (
    '{"id":%s,"text":%s,"label":null,"scores":null,"spikes":null,"synaptic_events":null,'
    '"ticks":null,"energy_uj":null,"status":"error","error":{"code":%s,"message":%s}}\n'
)

_encode: Final = json.JSONEncoder().encode
"""The function that `json.dumps` calls in the end; a direct call skips the checks of eleven arguments."""

NO_ANSWER: Final = {
    NO_WORDS: Fault("no_words", "the text holds no word"),
    TOO_LONG: Fault("too_long", f"more than {MAX_WORDS} words"),
    UNKNOWN_WORD: Fault("unknown_word", "the text holds a word that the model does not know"),
    NOT_SPLIT: Fault("not_split", "the tokenizer cannot split the text into words"),
}
"""Why a text has no answer, by the sentinel that the classifier returns as its label."""


class Row(NamedTuple):
    """The answer to one question as Python numbers (a tuple for speed, like `InputRecord`).

    `label` is an index into the model's labels, or a sentinel of `NO_ANSWER`; `scores` has one score for each label,
    `spikes` one count for each of `SPIKES`; energies in uJ.
    """

    label: int
    scores: list[int]
    spikes: list[int]
    synaptic_events: int
    ticks: int
    paper_uj: float
    marginal_uj: float


@dataclass(kw_only=True, slots=True)
class Tally:
    """Sums over the records of one input.

    Attributes
    ----------
    ok, failed
        Questions answered, and records without an answer.
    input_spikes, hidden_spikes, output_spikes, synaptic_events, ticks
        Counts on the simulated chip, over all answered questions; a tick is 1 ms.
    labels
        Number of questions by the label that they got.

    """

    ok: int = 0
    failed: int = 0
    input_spikes: int = 0
    hidden_spikes: int = 0
    output_spikes: int = 0
    synaptic_events: int = 0
    ticks: int = 0
    labels: Counter[int] = field(default_factory=Counter)

    def add(self, row: Row) -> None:
        """Add one answered question."""
        self.ok += 1
        self.input_spikes += row.spikes[0]
        self.hidden_spikes += row.spikes[1]
        self.output_spikes += row.spikes[2]
        self.synaptic_events += row.synaptic_events
        self.ticks += row.ticks
        self.labels[row.label] += 1

    @property
    def spikes(self) -> tuple[int, int, int]:
        """Spikes by layer, in the order of SPIKES."""
        return self.input_spikes, self.hidden_spikes, self.output_spikes

    def figures(self, *, cores: int) -> dict[str, Any]:
        """Return the figures that the log and the summary have, as a JSON object."""
        (found,) = figures([self], cores=cores)
        return found


def figures(tallies: Sequence[Tally], *, cores: int) -> list[dict[str, Any]]:
    """Return the figures of many inputs (see `Tally.figures`), in a third of the time of one call for each."""
    estimated = estimate(
        cores=cores,
        ticks=[tally.ticks for tally in tallies],
        synaptic_events=[tally.synaptic_events for tally in tallies],
    )
    powers, energies = _by_method(estimated.power_uw), _by_method(estimated.energy_uj)
    return [
        {
            "questions": tally.ok + tally.failed,
            "questions_ok": tally.ok,
            "questions_failed": tally.failed,
            "spikes": dict(zip(SPIKES, tally.spikes, strict=True)),
            "synaptic_events": tally.synaptic_events,
            "ticks": tally.ticks,
            "power_uw": power,
            "energy_uj": energy,
        }
        for tally, power, energy in zip(tallies, powers, energies, strict=True)
    ]


def _by_method(columns: Mapping[str, NDArray[np.float64]]) -> list[dict[str, float]]:
    """Round the columns, one per method of estimation, and return one row per input."""
    rounded = (column.round(ENERGY_DIGITS).tolist() for column in columns.values())
    return [dict(zip(columns, row, strict=True)) for row in zip(*rounded, strict=True)]


class ResultFormat:
    """Turns answers into the lines of a result (see `result_format`).

    Parameters
    ----------
    labels, cores
        The model's labels, and the number of its cores, which the energy depends on.

    """

    def __init__(self, *, labels: Sequence[str], cores: int) -> None:
        self._cores = cores
        self._labels = [json.dumps(label) for label in labels]
        self._answered = _compile(self._labels)

    def rows(self, answers: Answers) -> Iterator[Row]:
        """Turn the arrays of a batch into an iterator over rows of Python numbers."""
        energy = estimate(
            cores=self._cores, ticks=answers.ticks, synaptic_events=answers.synaptic_events
        )
        columns = (
            answers.label,
            answers.scores,
            answers.spikes,
            answers.synaptic_events,
            answers.ticks,
            energy.paper_uj.round(ENERGY_DIGITS),
            energy.marginal_uj.round(ENERGY_DIGITS),
        )
        return map(Row._make, zip(*(column.tolist() for column in columns), strict=True))

    def lines(self, records: Sequence[InputRecord], rows: Iterator[Row], tally: Tally) -> bytes:
        """Return the result's lines for some records of one input, and add them to its tally.

        Parameters
        ----------
        records
            In order.
        rows
            The answers of the batch; one is consumed for each record without a fault.
        tally
            Sums of the input.

        """
        return "".join(
            self._line(record, None if record.fault else next(rows), tally) for record in records
        ).encode()

    def _line(self, record: InputRecord, row: Row | None, tally: Tally) -> str:
        if row is None or row.label < 0:
            tally.failed += 1
            # Without a row, the record has a fault; with one, its label is one of the sentinels.
            fault = record.fault or NO_ANSWER[NO_WORDS if row is None else row.label]
            shown = (record.id, record.text, fault.code, fault.message)
            return _UNANSWERED % tuple(map(_encode, shown))
        tally.add(row)
        # Only the id and the text can need escapes: the rest is numbers, and labels were encoded beforehand.
        return self._answered % (
            record.id if isinstance(record.id, int) else _encode(record.id),
            _encode(record.text),
            self._labels[row.label],
            *row.scores,
            *row.spikes,
            row.synaptic_events,
            row.ticks,
            row.paper_uj,
            row.marginal_uj,
        )


def result_format(model: ServedModel) -> ResultFormat:
    """Return the format of a model's results, compiled once for equal labels and cores."""
    # Cached by these two rather than by the model: a cache must not keep a replaced model in memory.
    return _result_format(labels=model.classifier.labels, cores=model.classifier.cores)


@lru_cache(maxsize=16)
def _result_format(*, labels: tuple[str, ...], cores: int) -> ResultFormat:
    return ResultFormat(labels=labels, cores=cores)


def _compile(labels: Sequence[str]) -> str:
    """Return the format string of an answered line: it writes the same as `json.dumps`, in a third of the time."""
    # A percent sign in a label would begin a conversion.  %r, because json writes a float as its repr.
    counted = ",".join(map("%s:%%d".__mod__, (label.replace("%", "%%") for label in labels)))
    spikes = ",".join(map('"%s":%%d'.__mod__, SPIKES))
    fields = (
        '"id":%s,"text":%s,"label":%s',
        '"scores":{' + counted + "}",
        '"spikes":{' + spikes + "}",
        '"synaptic_events":%d,"ticks":%d',
        '"energy_uj":{"paper":%r,"static_marginal":%r}',
        '"status":"ok"',
    )
    return "{" + ",".join(fields) + "}\n"
