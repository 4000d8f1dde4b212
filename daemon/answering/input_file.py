"""An open input file, from which a batch takes as many records as it has space for."""

from __future__ import annotations

import hashlib
import os
import stat
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Final

from ...simcore.question_files import QuestionFileError, ReadOptions
from ...simcore.question_files.options import UTF8
from ...simcore.question_files.portions import PORTION_CHARACTERS, Portions
from ...simcore.question_files.reading import begun, plain_questions
from ..errors import RejectedInputError
from ..files import durable
from ..spool import names
from .duplicates import without_duplicates
from .hashed import HashedBytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ...simcore.question_files import InputRecord
    from ..settings import Settings
    from ..spool.folder import Spool

REPORT_DIGEST_BYTES: Final = 64 << 20
"""Most bytes that are read, after an input was rejected, to report its digest; a longer rest is not read."""

_TEMPORARY: Final = " (temporary names begin with a dot or end in .part)"

_FILE_TYPES: Final = {
    stat.S_IFLNK: "symbolic link",
    stat.S_IFIFO: "named pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFDIR: "folder",
}


class InputFile:
    """An open input in work/, read once from its beginning to its end.

    Parameters
    ----------
    spool
        The spool.
    name
        The input's name.
    settings
        `max_line_bytes`, `max_input_bytes`, `encoding`, `text_field` and `id_field`.
    labels
        Labels of the model, by which the label column of a file without a header is recognised.
    content
        All of its bytes, if they were read already; the file is then not opened.
    beat
        Called before each read of the file: some files have gigabytes without a record.

    Attributes
    ----------
    sha256
        Digest of the whole input, hexadecimal; None if it was not read to its end.
    size
        Bytes read.
    failure
        Why it cannot be answered; None if it can be.  All three are final once the input has `ended`.

    Raises
    ------
    OSError
        The disk; also from `take`.

    """

    def __init__(
        self,
        spool: Spool,
        name: str,
        settings: Settings,
        *,
        labels: tuple[str, ...] = (),
        content: bytes | None = None,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self.sha256: str | None = None
        self.size = 0
        self.failure: RejectedInputError | None = None
        self._fd: int | None = None
        self._portions = Portions(iter(()))
        if content is None:
            self._fd = durable.open_input(spool.work, name)
            if self._fd is None:
                self.failure = _why_not_opened(spool, name)
                return
            size = os.fstat(self._fd).st_size
            # Not only a matter of time: to read a sparse file of 2 TiB takes an hour, and its writer nothing.
            if size > settings.most_file_bytes:
                self.failure = RejectedInputError(
                    "too_large",
                    f"its file has {size} bytes; max_input_bytes allows {settings.max_input_bytes}",
                )
                return
            read = _beating(partial(os.read, self._fd), beat)
        elif self._take_plain_text(name, content, settings):
            return
        else:
            read = BytesIO(content).read
        options = ReadOptions(
            encoding=settings.encoding,
            text_field=settings.text_field,
            id_field=settings.id_field,
            labels=labels,
            max_line_bytes=settings.max_line_bytes,
            max_bytes=settings.max_input_bytes,
        )
        raw = HashedBytes(read, most=settings.most_file_bytes)
        self._portions = Portions(self._read(raw, name, options))

    def _take_plain_text(self, name: str, content: bytes, settings: Settings) -> bool:
        """Parse a small text as a whole, in a third of the time; return False if it must be read as a stream.

        So must every other format, and every text that exceeds a limit, is not UTF-8 or has no questions.
        """
        # A text no longer than the longest line cannot contain a line that is too long.
        most = min(settings.max_line_bytes, settings.max_input_bytes or settings.max_line_bytes)
        if (
            len(content) > most
            or names.kind(name) != ".txt"
            or names.packing(name) is not None
            or settings.encoding != UTF8
        ):
            return False
        records = plain_questions(content)
        if not records:
            return False
        self._portions = Portions(iter(()), records)
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.size = len(content)
        return True

    @property
    def ended(self) -> bool:
        """Whether all records have been taken."""
        return self._portions.ended

    @property
    def characters(self) -> int:
        """Characters of the ids and texts that `take` returned last."""
        return self._portions.characters

    def take(
        self,
        count: int,
        characters: int = PORTION_CHARACTERS,
        *,
        pause: Callable[[], bool] | None = None,
    ) -> list[InputRecord]:
        """Return the next records, at most `count` (see `Portions.take`)."""
        return self._portions.take(count, characters, pause=pause)

    def close(self) -> None:
        """Close the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _read(
        self, raw: HashedBytes, name: str, options: ReadOptions
    ) -> Iterator[list[InputRecord]]:
        """Yield the input's records; then set its failure, digest and size."""
        kind = names.kind(name)
        try:
            layout, blocks = begun(raw.read, kind, options, packing=names.packing(name), name=name)
            yield from blocks if layout.numbered else without_duplicates(blocks)
        except QuestionFileError as e:
            advice = _TEMPORARY if e.code == "unknown_suffix" else ""
            self.failure = RejectedInputError(e.code, f"{e}{advice}")
        self.sha256 = raw.digest_rest(REPORT_DIGEST_BYTES)
        self.size = raw.size


def _beating(read: Callable[[int], bytes], beat: Callable[[], None]) -> Callable[[int], bytes]:
    def beaten(size: int) -> bytes:
        beat()
        return read(size)

    return beaten


def _why_not_opened(spool: Spool, name: str) -> RejectedInputError:
    facts = durable.look(spool.work, name)
    if facts is None:
        return RejectedInputError("vanished", "it disappeared from work/ before it was read")
    if not stat.S_ISREG(facts.st_mode):
        kind = _FILE_TYPES.get(stat.S_IFMT(facts.st_mode), "special file")
        return RejectedInputError("not_regular", f"it is a {kind}, not a regular file")
    return RejectedInputError("unreadable", "no permission to read it")
