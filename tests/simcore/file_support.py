"""Read bytes as a question file, in pieces of any size."""

from __future__ import annotations

from io import BytesIO
from itertools import chain, cycle
from typing import TYPE_CHECKING, Any

from spikewatch.simcore.question_files import (
    InputRecord,
    QuestionFileError,
    ReadOptions,
    names,
    questions,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def in_pieces(data: bytes, sizes: Sequence[int]) -> Callable[[int], bytes]:
    """Return a function that reads the bytes in pieces of these sizes, over and over."""
    file, turns = BytesIO(data), cycle(sizes)
    return lambda size: file.read(min(size, next(turns)))


def ask(name: str, data: bytes | str, **options: Any) -> list[InputRecord]:
    """Return the records of a file."""
    content = data.encode() if isinstance(data, str) else data
    return read(name, BytesIO(content).read, ReadOptions(**options))


def read(name: str, take: Callable[[int], bytes], options: ReadOptions) -> list[InputRecord]:
    """Return the records that a function reads."""
    kind, packing = names.kind(name), names.packing(name)
    return list(chain.from_iterable(questions(take, kind, options, packing=packing, name=name)))


def outcome(name: str, take: Callable[[int], bytes], **options: Any) -> object:
    """Return the records of a file, or the code and the message of its refusal."""
    try:
        return read(name, take, ReadOptions(**options))
    except QuestionFileError as e:
        return e.code, str(e)


def refusal(name: str, data: bytes | str, **options: Any) -> tuple[str, str]:
    """Return the code and the message with which a file is refused."""
    try:
        found = ask(name, data, **options)
    except QuestionFileError as e:
        return e.code, str(e)
    raise AssertionError(f"{name} was read: {found}")


def texts(name: str, data: bytes | str, **options: Any) -> list[tuple[int | str, str | None]]:
    """Return the ids and texts of a file."""
    return [(record.id, record.text) for record in ask(name, data, **options)]
