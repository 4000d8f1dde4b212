"""Tell records whose id an earlier one of the same input has: by it nobody could tell their answers apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .questions import Fault, Question

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_IDS: Final = 100_000
"""Ids of one input that are remembered."""

MOST_CHARACTERS: Final = 2 << 20
"""Characters that they may have together (at most 8 MiB); an integer counts by its digits."""


def told(blocks: Iterator[list[Question]]) -> Iterator[list[Question]]:
    """Give questions on; one that can be read and has the id of an earlier such has the fault `duplicate_id`.

    Memory is bounded: ids beyond `MOST_IDS` or `MOST_CHARACTERS` are not remembered, and later ones like them not told.
    """
    seen: set[int | str] = set()
    room = MOST_CHARACTERS
    for block in blocks:
        checked = []
        for question in block:
            name = question.id
            if question.fault is not None:
                checked.append(question)
            elif name in seen:
                checked.append(Question(name, None, _REPEATED))
            else:
                checked.append(question)
                if len(seen) < MOST_IDS and (length := len(str(name))) <= room:
                    seen.add(name)
                    room -= length
        yield checked


_REPEATED: Final = Fault("duplicate_id", "an earlier record of this input has this id")
