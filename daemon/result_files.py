"""Read result files back: one typed record for each question (docs/daemon.md, "Results")."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from .errors import ResultError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FIGURES: Final = ("label", "scores", "spikes", "synaptic_events", "ticks", "energy_uj")
"""Fields that are null in the record of a question without an answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NoAnswer:
    """The reason why a question has no answer.

    Attributes
    ----------
    code
        Constant name of the cause, such as `no_words`.
    message
        The same for people.

    """

    code: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultRecord:
    """The answer to one question.  With `status` "error", all fields from `label` to `energy_uj` are None.

    Attributes
    ----------
    id
        The question's id, or else the number of its line, from 1.
    text
        The question; None if the record could not be read.
    status
        "ok" or "error".
    label
        The answered class.
    scores
        Output spikes by class; with a head on the host, its integer scores.
    spikes
        Spikes by layer: `input`, `hidden` and `output`.
    synaptic_events
        Synaptic events on the chip.
    ticks
        Chip time in ms.
    energy_uj
        Estimated energy of the chip in uJ by method: `paper` and `static_marginal`.
    error
        Why there is no answer; None with status "ok".

    """

    id: int | str
    text: str | None
    status: Literal["ok", "error"]
    label: str | None = None
    scores: Mapping[str, int] | None = None
    spikes: Mapping[str, int] | None = None
    synaptic_events: int | None = None
    ticks: int | None = None
    energy_uj: Mapping[str, float] | None = None
    error: NoAnswer | None = None


def read_results(path: str | Path) -> Iterator[ResultRecord]:
    """Yield the records of a result file in the order of the questions; memory does not grow with the file.

    Parameters
    ----------
    path
        A file `out/NAME.jsonl` of a spool, or a `.jsonl` partition of a batch.

    Raises
    ------
    ResultError
        The file cannot be read, or a line is damaged; the message has the file and the number of the line.

    """
    number = 0
    try:
        with Path(path).open("rb") as file:
            for number, line in enumerate(file, 1):  # noqa: B007 - the handlers below state it
                yield _record(json.loads(line))
    except OSError as fault:
        raise ResultError(f"{path}: {fault.strerror}") from None
    except json.JSONDecodeError as fault:
        raise ResultError(f"{path}: line {number}: not JSON: {fault}") from None
    except (ValueError, RecursionError) as fault:
        raise ResultError(f"{path}: line {number}: {' '.join(str(fault).split())}") from None


def _record(line: Any) -> ResultRecord:
    """Convert a parsed line; raise ValueError if it is not a record."""
    if not isinstance(line, dict):
        raise ValueError("expected an object")  # noqa: TRY004 - like every other damage of a line
    status = line.get("status")
    record = {
        "id": _field(line, "id", int, str),
        "text": _field(line, "text", str, type(None)),
        "status": status,
    }
    if status == "error":
        if any(line.get(name) is not None for name in _FIGURES):
            raise ValueError("an answer with status 'error'")
        error = _field(line, "error", dict)
        return ResultRecord(
            **record,
            error=NoAnswer(code=_field(error, "code", str), message=_field(error, "message", str)),
        )
    if status != "ok":
        raise ValueError(f"status: {status!r}, expected 'ok' or 'error'")
    return ResultRecord(
        **record,
        label=_field(line, "label", str),
        scores=_numbers(line, "scores", int),
        spikes=_numbers(line, "spikes", int),
        synaptic_events=_field(line, "synaptic_events", int),
        ticks=_field(line, "ticks", int),
        energy_uj=_numbers(line, "energy_uj", float),
    )


def _field(document: dict[str, Any], name: str, *kinds: type) -> Any:
    value = document.get(name)
    if name not in document or not isinstance(value, kinds) or isinstance(value, bool):
        expected = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
        raise ValueError(f"{name}: {value!r}, expected {expected}")
    return value


def _numbers(document: dict[str, Any], name: str, kind: type) -> dict[str, Any]:
    table: dict[str, Any] = _field(document, name, dict)
    return {key: _field(table, key, kind) for key in table}
