"""Ask an input for its questions, a few at a time, and note what it is worth."""

from __future__ import annotations

import hashlib
import os
import stat
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Final

from ..errors import RejectedInputError
from ..files import durable
from ..spool import names
from .line_reader import LineReader
from .questions import plain_questions, questions, without_duplicates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..settings import Settings
    from ..spool.folder import Spool
    from .pipeline import Progress
    from .questions import InputRecord

REPORT_DIGEST_BYTES: Final = 64 << 20
"""A failed input is read on by so much to state its digest; reading a huge one to its end helps nobody."""

_FILE_TYPES: Final = {
    stat.S_IFLNK: "symbolic link",
    stat.S_IFIFO: "named pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFDIR: "folder",
}


class Asking:
    """An open input in work/; digest, size and failure are noted on its request when it ends or breaks off.

    Parameters
    ----------
    spool
        Where it lies.
    progress
        Its request.
    settings
        `max_line_bytes` and `max_input_bytes`.
    content
        All of it, if it was read already.

    Raises
    ------
    OSError
        The disk; also from `take`.

    """

    def __init__(
        self, spool: Spool, progress: Progress, settings: Settings, content: bytes | None = None
    ) -> None:
        name = progress.request.name
        self._progress = progress
        self._left: list[InputRecord] = []
        self._fd: int | None = None
        self._blocks: Iterator[list[InputRecord]] = iter(())
        if content is None:
            self._fd = durable.open_input(spool.work, name)
            if self._fd is None:
                progress.failure = _why_not(spool, name)
                return
            read: Callable[[int], bytes] = partial(os.read, self._fd)
        elif self._take_small(content, settings):
            return
        else:
            read = BytesIO(content).read
        source = LineReader(
            read,
            max_line_bytes=settings.max_line_bytes,
            max_bytes=settings.max_input_bytes,
            gzipped=names.gzipped(name),
        )
        self._blocks = self._read(source)

    def _take_small(self, content: bytes, settings: Settings) -> bool:
        """Take a plain text at once, in a third of the time; False for all that has questions of its own."""
        progress = self._progress
        name = progress.request.name
        most = min(settings.max_line_bytes, settings.max_input_bytes or settings.max_line_bytes)
        if len(content) > most or names.kind(name) != ".txt" or names.gzipped(name):
            return False
        self._left = plain_questions(content)
        if not self._left:
            return False
        progress.sha256 = hashlib.sha256(content).hexdigest()
        progress.size = len(content)
        return True

    def take(self, count: int) -> list[InputRecord]:
        """Give the next questions, `count` of them unless they end."""
        left = self._left
        while len(left) < count:
            block = next(self._blocks, None)
            if block is None:
                break
            left += block
        self._left = left[count:]
        return left[:count]

    def close(self) -> None:
        """Give the descriptor back."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _read(self, source: LineReader) -> Iterator[list[InputRecord]]:
        progress = self._progress
        try:
            kind = names.kind(progress.request.name)
            asked = questions(source, kind)
            # Lines of text have no ids but their numbers.
            yield from asked if kind == ".txt" else without_duplicates(asked)
        except RejectedInputError as e:
            progress.failure = e
        progress.sha256 = source.digest_rest(REPORT_DIGEST_BYTES)
        progress.size = source.size


def _why_not(spool: Spool, name: str) -> RejectedInputError:
    facts = durable.look(spool.work, name)
    if facts is None:
        return RejectedInputError("vanished", "it disappeared from work/ before it was read")
    if not stat.S_ISREG(facts.st_mode):
        kind = _FILE_TYPES.get(stat.S_IFMT(facts.st_mode), "something else")
        return RejectedInputError("not_regular", f"it is a {kind}, not a regular file")
    return RejectedInputError("unreadable", "no permission to read it")
