"""Whatever a file holds, its reader gives way again and again, and holds a bounded part of it."""

from __future__ import annotations

import gzip
import json
import lzma
import tracemalloc
import zlib
from itertools import chain, repeat
from typing import TYPE_CHECKING

import pytest

from spikewatch.simcore.question_files import QuestionFileError, ReadOptions, questions
from spikewatch.simcore.question_files.portions import Portions
from spikewatch.simcore.question_files.record import InputRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MIB = 1 << 20
READ = ReadOptions()


class Source:
    """Bytes that are made as they are read."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._held = b""
        self.taken = 0

    def read(self, size: int) -> bytes:
        if not self._held:
            self._held = next(self._pieces, b"")
        data, self._held = self._held[:size], self._held[size:]
        self.taken += len(data)
        return data


def blanks(*ends: bytes, blank: bytes = b"\n", size: int = 32 * MIB) -> Iterator[bytes]:
    """Yield blanks between two ends."""
    first, last = ends
    return chain([first], repeat(blank * (MIB // len(blank)), size // MIB), [last])


@pytest.mark.parametrize(
    ("kind", "pieces"),
    [
        (".txt", lambda: blanks(b"a", b"b")),
        (".txt", lambda: blanks(b"a", b"b", blank=b" " * 1023 + b"\n")),
        (".jsonl", lambda: blanks(b'"a"', b'"b"')),
        (".csv", lambda: blanks(b"text\na", b"b", size=4 * MIB)),
        (".tsv", lambda: blanks(b"text\ta\na", b"b", size=4 * MIB)),
        (".csv", lambda: blanks(b"text\na", b"b", blank=b" ,\n", size=4 * MIB)),
        (".json", lambda: blanks(b'["a"', b"]")),
        (".json", lambda: blanks(b'["a",', b'"b"]', blank=b" ")),
        (".json", lambda: blanks(b'{"text":"a"}', b'{"text":"b"}')),
        (".json", lambda: blanks(b'{"data":["a"]}', b"")),
        (".json", lambda: blanks(b" ", b'["a"]')),
    ],
)
def test_a_reader_gives_way_after_each_mebibyte_even_of_blanks(
    kind: str, pieces: Callable[[], Iterator[bytes]]
) -> None:
    source = Source(pieces())
    at = longest = found = 0
    for block in questions(source.read, kind, READ):
        longest, at = max(longest, source.taken - at), source.taken
        found += len(block)
    assert found >= 1
    assert longest <= 3 * MIB


@pytest.mark.parametrize(
    ("kind", "pieces"),
    [
        (".csv", lambda: chain([b"text,n\n"], repeat(b'"a\n",' * 10_000, 1000))),
        (".csv", lambda: chain([b'text\n"'], repeat(b"a\n" * 10_000, 1000))),
        (".json", lambda: chain([b'{"text"'], repeat(b" " * MIB, 32), [b':"a"}'])),
        (".json", lambda: chain([b"["], [b"["], repeat(b"1," * 100_000, 100), [b"1]]"])),
        (".txt", lambda: repeat(b"a" * MIB, 32)),
    ],
)
def test_a_record_without_end_is_refused_after_two_mebibytes(
    kind: str, pieces: Callable[[], Iterator[bytes]]
) -> None:
    source = Source(pieces())
    with pytest.raises(QuestionFileError, match=r"more than \d+ bytes") as refused:
        for _ in questions(source.read, kind, READ):
            pass
    assert refused.value.code == "line_too_long"
    assert source.taken <= 3 * MIB


def test_a_row_with_tabs_and_an_open_quote_is_read_line_by_line() -> None:
    lines = b'"a\n"\t' * 600_000
    found = [len(b) for b in questions(Source([b"text\tn\n", lines]).read, ".tsv", READ)]
    assert sum(found) == 600_001
    assert max(found) <= 1 << 15


def test_records_of_many_different_keys_are_not_remembered() -> None:
    def wide() -> Iterator[bytes]:
        for i in range(20):
            yield json.dumps({"text": "a", f"{i:0200000}": 1}).encode() + b"\n"

    tracemalloc.start()
    found = sum(len(block) for block in questions(Source(wide()).read, ".jsonl", READ))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == 20
    assert peak < 3 * MIB


@pytest.mark.parametrize(
    ("packing", "pieces"),
    [
        (".gz", lambda: [gzip.compress(b"a\n"), gzip.compress(b"") * 1_000_000]),
        (".gz", lambda: [gzip.compress(b"a\n"), bytes(20 * MIB)]),
        (".gz", lambda: [b"\x1f\x8b\x08\x08" + bytes(6), b"name" * (5 * MIB)]),
        (".xz", lambda: [lzma.compress(b"a\n"), bytes(20 * MIB)]),
        (".xz", lambda: [lzma.compress(b"a\n"), lzma.compress(b"") * 600_000]),
    ],
)
def test_a_packed_file_that_holds_next_to_nothing_is_refused(
    packing: str, pieces: Callable[[], list[bytes]]
) -> None:
    source = Source([*pieces(), *repeat(bytes(MIB), 32)])
    with pytest.raises(QuestionFileError, match=r"bytes of \.\w+ hold only") as refused:
        for _ in questions(source.read, ".txt", READ, packing=packing):
            pass
    assert refused.value.code == ("bad_gzip" if packing == ".gz" else "bad_compression")
    assert source.taken <= 18 * MIB


def test_a_log_to_which_single_lines_were_packed_is_read() -> None:
    lines = b"".join(gzip.compress(b"yes\n") for _ in range(10)) * 20_000
    found = sum(len(b) for b in questions(Source([lines]).read, ".txt", READ, packing=".gz"))
    assert found == 200_000


def test_an_encoding_that_gives_no_character_is_refused() -> None:
    source = Source(repeat(b"\x1b$B\x1b(B" * 10_000, 200))
    with pytest.raises(QuestionFileError, match="without a character") as refused:
        next(questions(source.read, ".txt", ReadOptions(encoding="iso2022_jp")))
    assert refused.value.code == "bad_encoding"
    assert source.taken <= 2 * MIB


def test_portions_are_bounded_by_records_and_by_characters() -> None:
    block = [InputRecord(i, "a" * 10) for i in range(10)]
    portions = Portions(iter([[], block, [InputRecord("b" * 90, "a" * 10)], []]))
    assert [r.id for r in portions.take(4)] == [0, 1, 2, 3]
    assert [r.id for r in portions.take(9, 25)] == [4, 5, 6]
    assert portions.characters == 30
    assert [r.id for r in portions.take(3, 30)] == [7, 8, 9]
    assert not portions.ended
    assert len(portions.take(5, 30)) == 1
    assert portions.characters == 100
    assert portions.take(5) == []
    assert portions.ended


def test_a_portion_ends_where_the_caller_must_go_on() -> None:
    portions = Portions(iter([[], [InputRecord(1, "a")], []]))
    assert portions.take(5, pause=lambda: True) == []
    assert portions.take(5, pause=lambda: True) == []
    assert [r.id for r in portions.take(5, pause=lambda: True)] == [1]
    assert not portions.ended
    assert portions.take(5, pause=lambda: True) == []
    assert portions.ended


def test_a_gzip_file_is_read_in_reads_of_the_size_that_is_asked_for() -> None:
    packed = zlib.compressobj(wbits=31)
    data = b"".join([*(packed.compress(b"x" * 999 + b"\n") for _ in range(1000)), packed.flush()])
    found = [len(b) for b in questions(Source([data]).read, ".txt", READ, packing=".gz")]
    assert sum(found) == 1000
    assert max(found) <= 66
