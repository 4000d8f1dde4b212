"""One record of a question file."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Fault(NamedTuple):
    """Why one record has no answer."""

    code: str
    message: str


class InputRecord(NamedTuple):
    """One record of an input: its id, and its question's text or the fault that leaves it unanswered.

    The id is the record's own, or else its number: that of its first line, or in a JSON array its position, from 1.
    The label is None unless labels are read (`ReadOptions.examples`) and the record has one.  This is a tuple because
    there are millions of them: a frozen dataclass takes three times as long to make.
    """

    id: int | str
    text: str | None
    fault: Fault | None = None
    label: str | None = None


made: Final[Callable[[Iterable[object]], InputRecord]] = partial(tuple.__new__, InputRecord)
"""Makes a record of its four fields in half the time of a call of the class, where there are millions."""


def faulty(name: int | str, code: str, message: str) -> InputRecord:
    """Return a record that cannot be read."""
    return InputRecord(name, None, Fault(code, message))
