"""Single inputs that are made to stop a daemon: what each of them is, and how it must end."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import socket
import sqlite3
import stat
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

    Maker = Callable[[Path, ExitStack], None]

MIB: Final = 1 << 20
GOOD: Final = b"Who wrote Hamlet ?\n"
ANSWERED: Final = "answered"
WAITS: Final = "waits"
"""It stays in the inbox, and something says so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hostile:
    """One input.

    Attributes
    ----------
    name
        File name in the inbox.
    make
        Makes the input at a path; what must live as long as the input goes on the stack.
    ends
        `ANSWERED`, `WAITS`, or the code of its report in `failed/`.
    whole
        Whether it is made elsewhere and then renamed into the inbox, as good producers do.

    """

    name: str
    make: Maker
    ends: str
    whole: bool = True


def corpus() -> dict[str, list[Hostile]]:
    """Return all inputs by their kind."""
    groups = {
        "texts": _texts(),
        "records": _records(),
        "tables": _tables(),
        "packed": _packed(),
        "others": _others(),
        "names": _names(),
        "sparse": _sparse_files(),
    }
    found = {
        kind: [Hostile(name=name, make=make, ends=ends) for name, make, ends in group]
        for kind, group in groups.items()
    }
    entries = [
        Hostile(name=name, make=make, ends=ends, whole=False) for name, make, ends in _entries()
    ]
    return {**found, "entries": entries}


def _bytes(data: bytes, times: int = 1, end: bytes = b"") -> Maker:
    """Write bytes a number of times, and then an end."""

    def make(path: Path, _: ExitStack) -> None:
        with path.open("wb") as file:
            for _turn in range(times):
                file.write(data)
            file.write(end)

    return make


def _sparse(size: int, begin: bytes = b"") -> Maker:
    """Write a file that has a size and no blocks but for its beginning."""

    def make(path: Path, _: ExitStack) -> None:
        with path.open("wb") as file:
            file.write(begin)
            file.truncate(size)

    return make


def _members(data: bytes, times: int, end: bytes = b"") -> Maker:
    """Write a gzip file of a number of equal members."""
    return _bytes(gzip.compress(data, mtime=0), times, end)


def _texts() -> list[tuple[str, Maker, str]]:
    words = b"who " * 262_144
    return [
        ("empty.txt", _bytes(b""), "empty"),
        ("blank.txt", _bytes(b"\n" * MIB, 64), "empty"),
        ("zeros.txt", _bytes(b"\0" * MIB, 16), "line_too_long"),
        ("zeros-in-lines.txt", _bytes(b"\0" * 100 + b"\n", 100_000), "no_record"),
        ("one-line.txt", _bytes(b"who wrote hamlet " * 65_536, 10), "line_too_long"),
        ("one-word.txt", _bytes(b"x" * (MIB - 1) + b"\n", 4), ANSWERED),
        ("long-lines.txt", _bytes(words[:-4] + b"\n", 100), ANSWERED),
        ("no-line-ends.txt", _bytes(b"who wrote hamlet\r" * 65_536, 10), ANSWERED),
        ("mixed-ends.txt", _bytes(b"who\r\nwrote\n\rhamlet\r", 10_000), ANSWERED),
        ("marks.txt", _bytes("a\u0301".encode() + "\u0323".encode() * 300_000 + b"\n", 3), ANSWERED),
        ("ideographs.txt", _bytes("\u4e00".encode() * 300_000 + b"\n", 3), ANSWERED),
        ("half-a-character.txt", _bytes(GOOD, 3, b"\xe2\x82"), "bad_utf8"),
        ("overlong.txt", _bytes(b"\xc0\xaf\n"), "bad_utf8"),
        ("half-a-pair.txt", _bytes(b"\xed\xa0\x80\n"), "bad_utf8"),
        ("latin.txt", _bytes(GOOD, 100_000, b"caf\xe9\n"), "bad_utf8"),
        ("utf16-without-mark.txt", _bytes("who wrote\n".encode("utf-16-le"), 100), "bad_encoding"),
        ("half-a-unit.txt", _bytes(b"\xff\xfe" + "who\n".encode("utf-16-le"), 1, b"w"), "bad_encoding"),
        ("only-a-mark.txt", _bytes(b"\xef\xbb\xbf"), "empty"),
    ]  # fmt: skip


def _records() -> list[tuple[str, Maker, str]]:
    deep = b'{"text":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
    keys = json.dumps({f"k{i}": i for i in range(60_000)} | {"text": "who"}).encode()
    ids = b"".join(b'{"text":"who","id":%d}\n' % i for i in range(150_000))
    return [
        ("deep.jsonl", _bytes(deep, 20, b'{"text":"who"}\n'), ANSWERED),
        ("keys.jsonl", _bytes(keys + b"\n", 20), ANSWERED),
        ("ids.jsonl", _bytes(ids), ANSWERED),
        ("equal-ids.jsonl", _bytes(b'{"text":"who","id":7}\n', 50_000), ANSWERED),
        ("long-ids.jsonl", _bytes(b'{"text":"who","id":"' + b"x" * 900_000 + b'"}\n', 20), ANSWERED),
        ("digits.jsonl", _bytes(b'{"text":"who","id":' + b"9" * 900_000 + b"}\n", 3), "no_record"),
        ("escapes.jsonl", _bytes(b'{"text":"' + b"\\u0001" * 150_000 + b'"}\n', 20), ANSWERED),
        ("not-json.jsonl", _bytes(b"who\n", 100_000), "no_record"),
        ("numbers.json", _bytes(b"[" + b"1," * 100_000 + b"1]"), "no_record"),
        ("unended.json", _bytes(b'[{"text":"' + b"x" * MIB, 8), "line_too_long"),
        ("unended-array.json", _bytes(b"[" + b'{"text":"who"},' * 20_000), "bad_json"),
        ("blanks.json", _bytes(b" " * MIB, 64), "empty"),
        ("blanks-inside.json", _bytes(b"[" + b" " * MIB, 32, b'{"text":"who"}]'), "line_too_long"),
        ("brackets.json", _bytes(b"[" * MIB), "bad_json"),
        ("many-arrays.json", _bytes(b'{"data":[],"rows":[]}'), "many_arrays"),
    ]  # fmt: skip


def _tables() -> list[tuple[str, Maker, str]]:
    columns = b",".join(b"c%d" % i for i in range(100_000))
    return [
        ("no-end-of-quote.csv", _bytes(b'text\n"' + b"who wrote\n" * 800_000), "line_too_long"),
        ("columns.csv", _bytes(columns + b",text\n" + b"," * 100_000 + b"who\n"), "no_text_column"),
        ("no-text.csv", _bytes(columns + b"\n"), "no_text_column"),
        ("two-texts.csv", _bytes(b"text,Text\nwho,wrote\n"), "no_text_column"),
        ("header-only.csv", _bytes(b"text,id\n"), "empty"),
        ("separators.tsv", _bytes(b"text\tid\n" + b"\t" * 500_000 + b"\n"), "empty"),
        ("field-of-lines.csv", _bytes(b'text,id\n"' + b"\n" * 900_000 + b'who",1\n', 1, b"wrote,2\n"), ANSWERED),
        ("quotes.csv", _bytes(b"text\n" + b'"' * 800_000 + b"\n"), ANSWERED),
    ]  # fmt: skip


def _zip(*files: tuple[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _packed() -> list[tuple[str, Maker, str]]:
    good = gzip.compress(GOOD * 1000, mtime=0)
    line = b"who " * 262_143 + b"\n"
    wrong = good[:-8] + zlib.crc32(b"other").to_bytes(4, "little") + good[-4:]
    return [
        ("blank.txt.gz", _members(b"\n" * (64 * MIB), 16), "empty"),
        ("long-lines.txt.gz", _members(line * 40, 10), ANSWERED),
        ("long-fields.csv.gz", _members(b"text\n" + line * 40, 10), ANSWERED),
        ("long-records.jsonl.gz", _members(b'{"text":"' + b"x" * (MIB - 16) + b'"}\n', 400), ANSWERED),
        ("zeros-behind.txt.gz", _sparse(1 << 31, good), "bad_gzip"),
        ("cut.txt.gz", _bytes(good[:-10]), "bad_gzip"),
        ("wrong-sum.txt.gz", _bytes(wrong), "bad_gzip"),
        ("more-behind.txt.gz", _bytes(good, 1, b"more"), "bad_gzip"),
        ("twice.txt.gz", _bytes(gzip.compress(good, mtime=0)), "bad_compression"),
        ("cut.txt.bz2", _bytes(bz2.compress(GOOD * 1000)[:-10]), "bad_compression"),
        ("blank.txt.bz2", _bytes(bz2.compress(b"\n" * (64 * MIB)), 2), "empty"),
        ("cut.txt.xz", _bytes(lzma.compress(GOOD * 1000)[:-10]), "bad_compression"),
        ("blank.txt.xz", _bytes(lzma.compress(b"\n" * (64 * MIB)), 4), "empty"),
        ("blank.zip", _bytes(_zip(("q.txt", b"\n" * (64 * MIB)))), "empty"),
        ("two-files.zip", _bytes(_zip(("a.txt", GOOD), ("b.txt", GOOD))), "many_files"),
        ("no-file.zip", _bytes(_zip()), "bad_compression"),
        ("cut.zip", _bytes(_zip(("q.txt", GOOD * 100))[:50]), "bad_compression"),
    ]  # fmt: skip


def _database() -> bytes:
    with sqlite3.connect(":memory:") as made:
        made.execute("create table questions (text)")
        return made.serialize()


def _others() -> list[tuple[str, Maker, str]]:
    office = _zip(("[Content_Types].xml", b"<Types/>"), ("word/document.xml", b"<document/>"))
    return [
        ("page.txt", _bytes(b"<!DOCTYPE html><html><body>Who?</body></html>\n"), "other_format"),
        ("paper.txt", _bytes(b"%PDF-1.7\n" + GOOD * 100), "other_format"),
        ("letter.txt", _bytes(office), "other_format"),
        ("database.csv", _bytes(_database()), "other_format"),
        ("program.txt", _bytes(b"\x7fELF\x02\x01\x01" + b"\0" * 100), "other_format"),
        ("columns.jsonl", _bytes(b"PAR1" + b"\0" * 100 + b"PAR1"), "no_record"),
        ("letter.docx", _bytes(office), "unknown_suffix"),
        ("no-suffix", _bytes(GOOD), "unknown_suffix"),
    ]  # fmt: skip


def _names() -> list[tuple[str, Maker, str]]:
    cyrillic = ("Я" * 120).encode(
        "cp866"
    ) * 2  # upper-case letters are 0x80..0x9f there, as UTF-8's second bytes are
    names = [
        os.fsdecode(cyrillic[:240] + b".txt"),
        "x" * 251 + ".txt",
        os.fsdecode(b"\xff" * 251 + b".txt"),
        "я" * 125 + ".txt",
        "two\nlines\x1b[2J.txt",
        "e\u0301.txt",
        "\u00e9.txt",
        "a.txt.error.json.txt",
        "-rf.txt",
        " .txt",
    ]
    return [(name, _bytes(GOOD), ANSWERED) for name in names]


def _folder(path: Path, _: ExitStack) -> None:
    path.mkdir()
    (path / "inside.txt").write_bytes(GOOD)


def _socket(path: Path, stack: ExitStack) -> None:
    made = stack.enter_context(socket.socket(socket.AF_UNIX))
    here = os.open(path.parent, os.O_PATH)
    try:
        made.bind(
            f"/proc/self/fd/{here}/{path.name}"
        )  # a path of its own may be too long for a socket
    finally:
        os.close(here)


def _held_open(path: Path, stack: ExitStack) -> None:
    file = stack.enter_context(path.open("wb"))
    file.write(GOOD)
    file.flush()


def _linked_to(target: str) -> Maker:
    return lambda path, _: path.symlink_to(target)


def _second_link(path: Path, _: ExitStack) -> None:
    """Link an answered input back into the inbox."""
    done = path.parent.parent / "done"
    os.link(min(p for p in done.iterdir() if stat.S_ISREG(p.stat().st_mode)), path)


def _entries() -> list[tuple[str, Maker, str]]:
    return [
        ("pipe.txt", lambda path, _: os.mkfifo(path), "not_regular"),
        ("socket.txt", _socket, "not_regular"),
        ("itself.txt", _linked_to("itself.txt"), "not_regular"),
        ("endless.txt", _linked_to("/dev/zero"), "not_regular"),
        ("nowhere.txt", _linked_to("/nonexistent"), "not_regular"),
        ("folder.txt", _folder, WAITS),
        ("held-open.txt", _held_open, WAITS),
        ("again.txt", _second_link, ANSWERED),
    ]


def _sparse_files() -> list[tuple[str, Maker, str]]:
    return [
        ("sparse.txt", _sparse(2 << 40), "too_large"),
        ("sparse.jsonl", _sparse(2 << 40, b'{"text":"who"}\n'), "too_large"),
        ("sparse.txt.gz", _sparse(2 << 40, gzip.compress(GOOD, mtime=0)), "too_large"),
        ("sparse.zip", _sparse(2 << 40, _zip(("q.txt", GOOD))), "too_large"),
    ]
