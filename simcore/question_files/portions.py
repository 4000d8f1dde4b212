"""Split the records of a file into portions of bounded size, whatever blocks they are read in."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from operator import itemgetter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .record import InputRecord

PORTION_CHARACTERS: Final = 1 << 20
"""Characters of ids and texts with which a batch is full, however few records it has: a character takes up to 4 bytes
in memory, and up to 6 in a result."""

_text: Final = itemgetter(1)


class Portions:
    """The records of a file, from which a batch takes as many as it has space for.

    Parameters
    ----------
    blocks
        The records in blocks, which may be empty.
    first
        A block before them.

    Attributes
    ----------
    ended
        Whether all records have been taken.
    characters
        Characters of the ids and texts of the last portion.

    """

    def __init__(
        self, blocks: Iterator[list[InputRecord]], first: Sequence[InputRecord] = ()
    ) -> None:
        self._blocks = blocks
        self._block = first
        self._at = 0  # the records of `_block` before it are taken
        self.ended = False
        self.characters = 0

    def take(
        self,
        count: int,
        characters: int = PORTION_CHARACTERS,
        *,
        pause: Callable[[], bool] | None = None,
    ) -> list[InputRecord]:
        """Return the next records, `count` of them or fewer.

        There are fewer at the end, or if the last one brings their ids and texts to `characters` or more, or if
        `pause`, which is asked after each block that is read, says so.
        """
        taken: list[InputRecord] = []
        self.characters = 0
        while len(taken) < count and self.characters < characters:
            if self._at < len(self._block):
                taken += self._some(count - len(taken), characters - self.characters)
                continue
            block = next(self._blocks, None)
            if block is None:
                self.ended = True
                break
            self._block, self._at = block, 0
            if pause is not None and pause():
                break
        return taken

    def _some(self, count: int, characters: int) -> list[InputRecord]:
        """Return the next records of one block."""
        some = list(self._block[self._at : self._at + count])
        size = _size(some)
        if size > characters:
            sizes = list(accumulate(_size([record]) for record in some))
            kept = bisect_left(sizes, characters) + 1
            some, size = some[:kept], sizes[kept - 1]
        self._at += len(some)
        self.characters += size
        return some


def _size(records: Sequence[InputRecord]) -> int:
    """Return the characters of the records' ids and texts."""
    try:
        size = sum(map(len, map(_text, records)))
    except TypeError:  # a record without a text
        size = sum([len(record.text) for record in records if record.text is not None])
    return size + sum([len(record.id) for record in records if isinstance(record.id, str)])
