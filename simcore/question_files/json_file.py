"""Read the records of a JSON file as a stream: an array, an object that holds one, or objects one after the other."""

from __future__ import annotations

import codecs
import json
import re
from typing import TYPE_CHECKING, Any, Final

from .errors import QuestionFileError
from .fields import plain
from .lines import READ_BYTES, not_utf8

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from .json_records import JsonRecords
    from .options import ReadOptions
    from .record import InputRecord

ARRAYS: Final = frozenset(
    {"data", "questions", "queries", "records", "rows", "items", "examples", "instances"}
    | {"sentences", "utterances", "prompts", "texts"}
)
"""Keys under which an object holds the array of its records."""

BLOCK: Final = 512
"""Records that are yielded together."""

BLOCK_BYTES: Final = 1 << 20
"""Bytes of a file after which its records so far are yielded, and blanks after which the caller gets a turn."""

_STILL_BLANK: Final = " "
"""What `_skip` returns after BLOCK_BYTES of nothing but blanks."""

_PAUSE: Final = object()
"""Stands for no value: the file goes on, and the caller gets a turn."""

_BLANK: Final = re.compile(r"[ \t\n\r]*")
_decode: Final = json.JSONDecoder().raw_decode


def json_blocks(
    read: Callable[[int], bytes], records: JsonRecords, options: ReadOptions
) -> Iterator[list[InputRecord]]:
    """Yield the records of a JSON file in blocks; their numbers are their positions, from 1.

    Raises
    ------
    QuestionFileError
        `bad_json`: it is not one of the known forms, or damaged; `many_arrays`: an object holds two arrays of records,
        or is a record as well; `line_too_long`: one record is longer than the limit; `bad_utf8`; `too_large`.

    """
    block: list[InputRecord] = []
    number = yielded = 0
    file = _JsonFile(read, records, options)
    for value in file.values():
        if value is not _PAUSE:
            number += 1
            block.append(records.record(number, value))
        if len(block) == BLOCK or file.taken - yielded >= BLOCK_BYTES:
            yield block
            block, yielded = [], file.taken
    if block:
        yield block


class _JsonFile:
    """A cursor in the text of a JSON file, of which at most one value and one read are held.

    Attributes
    ----------
    taken
        Bytes read so far.

    """

    def __init__(
        self, read: Callable[[int], bytes], records: JsonRecords, options: ReadOptions
    ) -> None:
        self._read = read
        self._records = records
        self._limit = options.max_line_bytes
        self._max_bytes = options.max_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0
        self._line = 1  # of the first character of `_text`
        self.taken = 0
        self._ended = False

    def values(self) -> Iterator[Any]:
        """Yield the values of which records are made, and _PAUSE among many blanks."""
        begin = yield from self._beyond_blanks()
        if begin == "[":
            yield from self._array()
        elif begin == "{":
            alone = yield from self._object()
            while not alone and (yield from self._beyond_blanks()) == "{":
                yield self._value()
        elif begin:
            raise self._refused(
                f"it begins with {begin!r}, expected an array or an object: write the records as one array"
            )
        if rest := (yield from self._beyond_blanks()):
            raise self._refused(f"{rest!r} after the end: one array, or objects alone, are read")

    def _array(self) -> Iterator[Any]:
        self._at += 1
        if (yield from self._beyond_blanks()) == "]":
            self._at += 1
            return
        while True:
            if self._skip() == _STILL_BLANK:
                yield from self._beyond_blanks()
            yield self._value()
            if (found := self._skip()) == _STILL_BLANK:
                found = yield from self._beyond_blanks()
            self._expect(found, ",]", "in the array")
            if self._text[self._at - 1] == "]":
                return

    def _object(self) -> Generator[Any, None, bool]:
        """Yield the values of the array that an object holds, or else the object; return whether it was an array.

        Many blanks between its keys and values make it too long, as a record.
        """
        self._at += 1
        fields: dict[str, Any] = {}
        held, array = 0, ""
        last = self._skip_inside()
        if last == "}":
            self._at += 1
        while last != "}":
            self._skip_inside()
            key = self._value()
            if not isinstance(key, str):
                raise self._refused("a key that is not a string")
            self._expect(self._skip_inside(), ":", "after a key")
            if (
                self._skip_inside() == "["
                and plain(key) in ARRAYS
                and not self._records.holds_text(fields)
            ):
                if array:
                    raise self._many(f"arrays under {array!r} and {key!r}")
                array = key
                yield from self._array()
            else:
                fields[key] = self._value()
                held += self._length
                if held > self._limit:
                    raise self._too_long()
            self._expect(self._skip_inside(), ",}", "in the object")
            last = self._text[self._at - 1]
        if not array:
            yield fields
        elif self._records.holds_text(fields):
            raise self._many(f"a text beside the array under {array!r}")
        return bool(array)

    def _value(self) -> Any:
        """Decode the next value and move behind it; `_length` is the characters that it took."""
        while True:
            try:
                value, end = _decode(self._text, self._at)
            except json.JSONDecodeError as e:
                fault, where = e.msg, e.pos
            except (ValueError, RecursionError) as e:  # too many digits, or too deeply nested
                fault, where = str(e).partition(";")[0], self._at
            else:
                # A number at the end of what was read may go on.
                if end < len(self._text) or self._ended:
                    self._length = end - self._at
                    if self._length > self._limit or self._bytes(end) > self._limit:
                        raise self._too_long()
                    self._at = end
                    return value
                fault, where = "", end
            # A value that is cut short cannot be told from a damaged one before more is read.
            if len(self._text) - self._at > self._limit:
                raise (
                    self._too_long() if self._may_be_cut(fault, where) else self._bad(fault, where)
                )
            if not self._fill():
                if not fault:
                    continue
                raise self._bad(fault, where)

    def _may_be_cut(self, fault: str, where: int) -> bool:
        return not fault or fault.startswith("Unterminated") or where >= self._at + self._limit - 16

    def _bytes(self, end: int) -> int:
        """Return the size of a value in UTF-8, or a smaller number if it is within the limit in any case."""
        size = end - self._at
        return (
            len(self._text[self._at : end].encode("utf-8", "surrogatepass"))
            if size * 4 > self._limit
            else size
        )

    def _expect(self, found: str, wanted: str, where: str) -> None:
        """Move behind the character that `_skip` found."""
        if not found:
            raise self._refused("the file ends inside it: copy it again")
        if found not in wanted:
            raise self._refused(f"{found!r} {where}, expected {' or '.join(wanted)}")
        self._at += 1

    def _beyond_blanks(self) -> Generator[Any, None, str]:
        """Move to the next character that is not blank, however far it is, and return it; empty at the end."""
        while (found := self._skip()) == _STILL_BLANK:
            yield _PAUSE
        return found

    def _skip_inside(self) -> str:
        """Skip blanks inside a record: many make it too long."""
        found = self._skip()
        if found == _STILL_BLANK:
            raise self._too_long()
        return found

    def _skip(self) -> str:
        """Move to the next character that is not blank, and return it; empty at the end.

        After BLOCK_BYTES of blanks, return _STILL_BLANK.
        """
        most = self.taken + BLOCK_BYTES
        while True:
            self._at = _BLANK.match(self._text, self._at).end()  # type: ignore[union-attr] # it matches anything
            if self._at < len(self._text):
                return self._text[self._at]
            if self.taken >= most:
                return _STILL_BLANK
            if not self._fill():
                return ""

    def _fill(self) -> bool:
        """Drop what is behind the cursor and read at least as much as is left; return False at the end."""
        if self._ended:
            return False
        self._line += self._text.count("\n", 0, self._at)
        left = self._text[self._at :]
        size = min(max(READ_BYTES, len(left)), self._limit + 1)
        new = self._next_text(size)
        self._text, self._at = left + new, 0
        return True

    def _next_text(self, size: int) -> str:
        data = self._read(size)
        self._ended = not data
        self.taken += len(data)
        if 0 < self._max_bytes < self.taken:
            raise QuestionFileError(
                "too_large", f"line {self._line}: more than {self._max_bytes} bytes of content"
            )
        try:
            return self._decoder.decode(data, final=self._ended)
        except UnicodeDecodeError as e:
            before = e.object[: e.start].decode("utf-8", "replace")
            known = self._text[self._at :] + before
            column = len(known.rpartition("\n")[2].encode())
            raise not_utf8(self._line + known.count("\n"), column, e.object[e.start]) from None

    def _bad(self, fault: str, where: int) -> QuestionFileError:
        line = self._line + self._text.count("\n", 0, where)
        return QuestionFileError(
            "bad_json", f"line {line}: {fault}: the file is damaged or not JSON: write it again"
        )

    def _refused(self, what: str) -> QuestionFileError:
        return QuestionFileError(
            "bad_json", f"line {self._line + self._text.count(chr(10), 0, self._at)}: {what}"
        )

    def _many(self, what: str) -> QuestionFileError:
        return QuestionFileError(
            "many_arrays", f"{what}: write the records as one array, or one on a line (.jsonl)"
        )

    def _too_long(self) -> QuestionFileError:
        line = self._line + self._text.count("\n", 0, self._at)
        return QuestionFileError(
            "line_too_long", f"line {line}: a record of more than {self._limit} bytes"
        )
