"""Results: one JSON line for each question, and the sums of a request.

A result holds nothing that depends on when, where or with which others its request was answered: equal inputs have
byte-equal results.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ...simcore import MAX_WORDS, NO_WORDS, TOO_LONG, estimate
from .questions import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ...simcore import Answers
    from ..models.served import ServedModel
    from .questions import InputRecord

ENERGY_DIGITS: Final = 6
"""Decimals of energies in uJ and powers in uW: picojoules are beyond what the estimates can tell."""

SPIKES: Final = ("input", "hidden", "output")

_UNANSWERED: Final = (
    '{"id":%s,"text":%s,"label":null,"scores":null,"spikes":null,"synaptic_events":null,'
    '"ticks":null,"energy_uj":null,"status":"error","error":{"code":%s,"message":%s}}\n'
)

_encode: Final = json.JSONEncoder().encode
"""What `json.dumps` calls, after it has looked at its eleven arguments."""

NO_ANSWER: Final = {
    NO_WORDS: Fault("no_words", "the text holds no word"),
    TOO_LONG: Fault("too_long", f"more than {MAX_WORDS} words"),
}
"""Why a text has no answer, by the label that the classifier gives it."""


class Row(NamedTuple):
    """The answer to one question in plain numbers (a tuple for speed, like `InputRecord`)."""

    label: int
    scores: list[int]
    spikes: list[int]
    synaptic_events: int
    ticks: int
    paper_uj: float
    marginal_uj: float


@dataclass(kw_only=True, slots=True)
class Tally:
    """Sums over the questions of one request.

    Attributes
    ----------
    ok, failed
        Questions answered, and records that could not be.
    input_spikes, hidden_spikes, output_spikes, synaptic_events, ticks
        On the chip, over all questions; ticks of 1 ms.
    labels
        Questions by answered label.

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
        """Count one answered question."""
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
        """Give the figures of the request as the log and the summary state them."""
        (found,) = figures([self], cores=cores)
        return found


def figures(tallies: Sequence[Tally], *, cores: int) -> list[dict[str, Any]]:
    """Give the figures of many requests (see `Tally.figures`) in a third of the time that they take one by one."""
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
    """Round columns of figures and turn them into a row for each request."""
    rounded = (column.round(ENERGY_DIGITS).tolist() for column in columns.values())
    return [dict(zip(columns, row, strict=True)) for row in zip(*rounded, strict=True)]


class Records:
    """Turns answers into the lines of a result (see `records_of`).

    Parameters
    ----------
    labels, cores
        Of the model.

    """

    def __init__(self, *, labels: Sequence[str], cores: int) -> None:
        self._cores = cores
        self._labels = [json.dumps(label) for label in labels]
        self._answered = _compile(self._labels)

    def rows(self, answers: Answers) -> Iterator[Row]:
        """Turn the arrays of a batch into rows of plain numbers."""
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

    def lines(self, questions: Sequence[InputRecord], rows: Iterator[Row], tally: Tally) -> bytes:
        """Write the records of some questions of one request, and count them.

        Parameters
        ----------
        questions
            In order.
        rows
            The answers of the batch; as many are taken as there are questions without a fault.
        tally
            Sums of the request.

        """
        return "".join(
            self._line(question, None if question.fault else next(rows), tally)
            for question in questions
        ).encode()

    def _line(self, question: InputRecord, row: Row | None, tally: Tally) -> str:
        if row is None or row.label < 0:
            tally.failed += 1
            fault = question.fault or NO_ANSWER[NO_WORDS if row is None else row.label]
            shown = (question.id, question.text, fault.code, fault.message)
            return _UNANSWERED % tuple(map(_encode, shown))
        tally.add(row)
        return self._answered % (
            question.id if isinstance(question.id, int) else _encode(question.id),
            _encode(question.text),
            self._labels[row.label],
            *row.scores,
            *row.spikes,
            row.synaptic_events,
            row.ticks,
            row.paper_uj,
            row.marginal_uj,
        )


def records_of(model: ServedModel) -> Records:
    """Give the records of a model; their format is compiled once, and holds nothing of the model itself."""
    return _records(labels=model.classifier.labels, cores=model.classifier.cores)


@lru_cache(maxsize=16)
def _records(*, labels: tuple[str, ...], cores: int) -> Records:
    return Records(labels=labels, cores=cores)


def _compile(labels: Sequence[str]) -> str:
    """Make the format of an answered record: what `json.dumps` would write, at a third of its cost."""
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
