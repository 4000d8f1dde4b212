"""Turn the content of a file into UTF-8 with LF line ends, as it is read."""

from __future__ import annotations

import codecs
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from .errors import QuestionFileError
from .options import UTF8
from .peek import Peek

if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[[int], bytes]

WINDOW: Final = 1 << 16
"""Bytes of UTF-8 at the start of a file from which its line ends, separator and columns are found."""

LATIN1: Final = "iso-8859-1"
"""Encoding of TREC's `.label` files, unless another one is set."""

_MARKS: Final = (
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MARK_BYTES: Final = 4

_SILENT_BYTES: Final = 1 << 20
"""Most bytes in a row that an encoding may take without giving a character, as those with escape sequences can."""

_WIDE: Final = (
    ("utf-32-le", [False, True, True, True], b"\n\0\0\0"),
    ("utf-32-be", [True, True, True, False], b"\0\0\0\n"),
    ("utf-16-le", [False, True, False, True], b"\n\0"),
    ("utf-16-be", [True, False, True, False], b"\0\n"),
)
"""Encodings without a byte order mark: where the first characters have zeros, and the end of a line."""


class Text(NamedTuple):
    """The text of a file as UTF-8.

    Attributes
    ----------
    source
        Its bytes, without a byte order mark.
    plain
        Whether these are the bytes of the content itself, apart from the mark.
    mark_bytes
        Size of the byte order mark in the content.

    """

    source: Peek
    plain: bool
    mark_bytes: int = 0


def decoded(read: Read, kind: str, encoding: str) -> Text:
    """Begin to decode the content of a file.

    Parameters
    ----------
    read
        Returns at most the given number of next bytes, none at the end.
    kind
        See `names.kind`.
    encoding
        Encoding of a file without a byte order mark.

    Raises
    ------
    QuestionFileError
        `bad_encoding`, also from reading it: the bytes are not in this encoding, or it is UTF-16 or UTF-32 without a
        mark.

    """
    content = Peek(read)
    head = content.peek(_MARK_BYTES)
    mark, found = next(((m, e) for m, e in _MARKS if head.startswith(m)), (b"", encoding))
    if kind == ".label" and not mark and encoding == UTF8:
        found = LATIN1
    if not mark and found == UTF8:
        _refuse_wide(content.peek(WINDOW))
    plain = found == UTF8
    if mark:
        content.read(len(mark))
    if not plain:
        content = Peek(_Recoder(content.read, found).read)
    window = content.peek(WINDOW)
    if b"\r" in window and b"\n" not in window:
        return Text(Peek(partial(_line_feeds, content.read)), plain=False)
    return Text(content, plain=plain, mark_bytes=len(mark))


def line_feeds(content: bytes) -> bytes:
    """Return a whole text within WINDOW with LF for CR if its lines end in CR alone, as old Macs write them."""
    if b"\r" in content and b"\n" not in content:
        return content.replace(b"\r", b"\n")
    return content


def _line_feeds(read: Read, size: int) -> bytes:
    return read(size).replace(b"\r", b"\n")


def _refuse_wide(window: bytes) -> None:
    if b"\0" not in window:
        return
    zeros = [byte == 0 for byte in window[:4]]
    ends = window.count(b"\n")
    for name, pattern, end in _WIDE:
        # Only ASCII has such zeros at the start; a text of other letters shows them at its line ends.
        if zeros == pattern or (0 < ends == window.count(end) and _is_text(window, name)):
            raise QuestionFileError(
                "bad_encoding",
                f"line 1: it looks like {name[:6].upper()} without a byte order mark: set encoding to {name}"
                f" (--encoding {name})",
            )


def _is_text(window: bytes, encoding: str) -> bool:
    try:
        text = window[: len(window) // 4 * 4 or None].decode(encoding)
    except UnicodeDecodeError:
        return False
    return "\0" not in text


class _Recoder:
    """Decodes bytes and encodes them as UTF-8, and holds no more than one read of either."""

    def __init__(self, read: Read, encoding: str) -> None:
        self._read = read
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._found = b""
        self._line = 1
        self._ended = False

    def read(self, size: int) -> bytes:
        silent = 0
        while not self._found and not self._ended:
            data = self._read(max(1, size))
            self._ended = not data
            self._found = self._recode(data)
            silent += len(data)
            if silent > _SILENT_BYTES and not self._found:
                raise self._refused(self._line, f"{silent} bytes without a character are not")
        found, self._found = self._found[:size], self._found[size:]
        return found

    def _recode(self, data: bytes) -> bytes:
        try:
            found = self._decoder.decode(data, final=self._ended).encode()
        except UnicodeDecodeError as e:
            line = self._line + e.object[: e.start].decode(self._encoding, "replace").count("\n")
            raise self._refused(line, f"byte 0x{e.object[e.start]:02x} is not") from None
        except UnicodeError:  # what some codecs raise instead
            raise self._refused(self._line, "the text after it is not") from None
        self._line += found.count(b"\n")
        return found

    def _refused(self, line: int, what: str) -> QuestionFileError:
        return QuestionFileError(
            "bad_encoding",
            f"line {line}: {what} {self._encoding}: set encoding to what the file was saved in",
        )
