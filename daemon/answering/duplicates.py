"""Find records of one input that have the same id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...simcore.question_files import Fault, InputRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_IDS: Final = 100_000
"""Ids of one input that are remembered to find duplicates."""

MOST_CHARACTERS: Final = 2 << 20
"""Total characters of the remembered ids (at most 8 MiB of memory); an integer counts its digits."""

_DUPLICATE: Final = Fault("duplicate_id", "an earlier record of this input has this id")


def without_duplicates(blocks: Iterable[list[InputRecord]]) -> Iterator[list[InputRecord]]:
    """Yield the blocks with a fault `duplicate_id` in place of each record whose id an earlier valid record has.

    By its id alone, a reader could not distinguish the two answers.  Memory is bounded: ids beyond `MOST_IDS` or
    `MOST_CHARACTERS` are not remembered, so later duplicates of those are not found.
    """
    seen: set[int | str] = set()
    characters = MOST_CHARACTERS
    for block in blocks:
        checked = []
        for record in block:
            name = record.id
            if record.fault is not None:
                checked.append(record)
            elif name in seen:
                checked.append(InputRecord(name, None, _DUPLICATE))
            else:
                checked.append(record)
                if len(seen) < MOST_IDS and (length := len(str(name))) <= characters:
                    seen.add(name)
                    characters -= length
        yield checked
