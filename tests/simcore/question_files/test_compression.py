"""Compressed inputs: the records of their content, errors that say what to do, and bounded memory."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import sys
import tracemalloc
import zipfile
import zlib
from io import BytesIO
from typing import TYPE_CHECKING

import pytest
import zstandard
from file_support import ask, in_pieces, outcome, refusal, texts
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

SCRAPS = st.sampled_from(
    [
        b"\xef\xbb\xbf",
        b"text",
        b"\n",
        b"\r\n",
        b",",
        b"\t",
        b'"',
        b'{"text":"a"}',
        b"\xc3\xa9",
        b"\xff",
    ]
)

WHO = gzip.compress(b"who\n", mtime=0)
"""Without a time stamp: parallel test processes must collect the same test names."""


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, **kept: bool) -> bytes:
    out = io.BytesIO()
    # A file that cannot seek makes zipfile write the sizes behind the content.
    target = Unseekable(out) if kept.get("streamed") else out
    with zipfile.ZipFile(target, "w", method) as archive:  # type: ignore[arg-type]
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


class Unseekable:
    """A file that can only be written to its end."""

    def __init__(self, out: io.BytesIO) -> None:
        self.write, self.flush = out.write, out.flush


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}


@given(
    st.lists(st.lists(SCRAPS, max_size=12).map(b"".join), min_size=1, max_size=5),
    st.sampled_from([".txt", ".jsonl", ".csv", ".tsv", ".json"]),
    st.sampled_from([*PACKERS]),
    st.lists(st.integers(1, 60), min_size=1, max_size=3),
    st.integers(0, 9),
)
def test_a_compressed_file_of_several_members_has_the_records_of_its_content(
    members: list[bytes], kind: str, packing: str, sizes: list[int], zeros: int
) -> None:
    packed = b"".join(map(PACKERS[packing], members)) + b"\0" * zeros * (packing != ".zst")
    limits = {"max_line_bytes": 40, "max_bytes": 150}
    plain = outcome(f"q{kind}", BytesIO(b"".join(members)).read, **limits)
    assert outcome(f"q{kind}{packing}", in_pieces(packed, sizes), **limits) == plain


@given(
    st.lists(SCRAPS, max_size=30).map(b"".join),
    st.sampled_from([zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED]),
    st.booleans(),
    st.lists(st.integers(1, 60), min_size=1, max_size=3),
)
def test_a_zip_of_one_file_has_the_records_of_the_file(
    content: bytes, method: int, streamed: bool, sizes: list[int]
) -> None:
    streamed = streamed and method == zipfile.ZIP_DEFLATED
    members = {"__MACOSX/._q.csv": b"\0\1", "data/": b"", "data/q.csv": content}
    packed = zipped(members, method, streamed=streamed)
    plain = outcome("q.csv", BytesIO(content).read)
    assert outcome("any.zip", in_pieces(packed, sizes)) == plain
    assert outcome("q.csv.zip", in_pieces(packed, sizes)) == plain


@pytest.mark.parametrize("packing", [*PACKERS])
def test_the_first_bytes_show_the_compression_without_a_suffix(packing: str) -> None:
    packed = PACKERS[packing](b"Who wrote Hamlet?\n")
    assert texts("q.txt", packed) == [(1, "Who wrote Hamlet?")]
    assert refusal(f"q.txt{packing}", PACKERS[packing](packed))[0] == "bad_compression"


def test_text_that_begins_like_a_compressed_file_is_text() -> None:
    assert texts("q.txt", "BZh is the name of what?\n") == [(1, "BZh is the name of what?")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"who\n", "member 1, after 0 decompressed bytes: .*incorrect header check.*without .gz"),
        (WHO[:-1], "member 1, after 4 decompressed bytes: the file ends inside it: copy it again"),
        (WHO[:5], "member 1, after 0 decompressed bytes: the file ends inside it: copy it again"),
        (WHO + b"rest", "member 2, after 4 decompressed bytes: "),
        (WHO[:-8] + b"\0" * 8, "member 1, after 0 .*incorrect data check"),
    ],
)
def test_damaged_gzip_is_refused_with_the_position(data: bytes, message: str) -> None:
    code, found = refusal("q.txt.gz", data)
    assert code == "bad_gzip"
    assert re.match(message, found)


@pytest.mark.parametrize("packing", [".bz2", ".xz", ".zst"])
def test_other_damaged_files_are_refused_with_what_to_do(packing: str) -> None:
    packed = PACKERS[packing](b"Who wrote Hamlet?\n" * 100)
    middle = len(packed) // 2
    broken = packed[:middle] + bytes([packed[middle] ^ 0xFF]) + packed[middle + 1 :]
    for data, advice in {
        packed[:-3]: "the file ends inside it: copy it again",
        b"Who wrote Hamlet?\n": "pack it again, or put it here unpacked",
        broken: "pack it again, or put it here unpacked",
    }.items():
        code, message = refusal(f"q.txt{packing}", data)
        assert code == "bad_compression"
        assert advice in message


def test_zip_archives_that_cannot_be_read_are_refused_with_what_to_do() -> None:
    encrypted = bytearray(zipped({"q.txt": b"who\n"}))
    encrypted[6] |= 1
    good = zipped({"q.txt": b"who\n" * 9})
    cases = {
        zipped({"a.txt": b"who\n", "b.txt": b"how\n"}): "it holds a.txt and b.txt: unpack it",
        zipped({}): "zip: the archive holds no file",
        zipped({"q.txt.gz": WHO}): "it holds q.txt.gz, whose name does not",
        zipped({"q.txt": b"who\n"}, zipfile.ZIP_BZIP2): "zip: q.txt is packed by method 12: use",
        bytes(encrypted): "zip: q.txt is encrypted: unpack it",
        good[:40]: "zip: the file ends inside it: copy it again",
        # Cut where another file may have followed.
        good[: good.index(b"PK\x01\x02")]: "zip: the file ends inside it: copy it again",
        zipped({"Thumbs.db": b"x", "q.xlsx": b"x"}): "it holds q.xlsx: save the sheet as CSV",
    }
    for data, message in cases.items():
        assert refusal("q.zip", data)[1].startswith(message)
    crc = zlib.crc32(b"who\n" * 9).to_bytes(4, "little")
    damaged = good.replace(crc, b"\0\0\0\0", 1)
    assert refusal("q.zip", damaged) == ("bad_compression", "zip: q.txt is damaged: copy it again")


def test_zstd_without_its_library_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    assert refusal("q.txt.zst", PACKERS[".zst"](b"who\n")) == (
        "no_library",
        "it is zstd: pip install zstandard, or unpack it (zstd -d)",
    )


def test_xz_that_asks_for_too_much_memory_is_refused() -> None:
    # Only the header of the block says how much: the dictionary is not filled.
    packed = bytearray(lzma.compress(b"who\n", filters=[{"id": lzma.FILTER_LZMA2}]))
    at = packed.index(b"\x21\x01") + 2
    packed[at] = 32  # 256 MiB
    begin = 12
    size = (packed[begin] + 1) * 4
    crc = zlib.crc32(packed[begin : begin + size - 4])
    packed[begin + size - 4 : begin + size] = crc.to_bytes(4, "little")
    code, message = refusal("q.txt.xz", bytes(packed))
    assert code == "bad_compression"
    assert "Memory usage limit" in message


BLANKS = b" " * 1023 + b"\n"


def bombs(unit: bytes, mib: int) -> dict[str, bytes]:
    """Return compressed files of `mib` MiB, made in small pieces."""
    block = unit * ((1 << 20) // len(unit))
    found = {}
    for packing, packer in {
        ".gz": zlib.compressobj(9, wbits=31),
        ".bz2": bz2.BZ2Compressor(1),
        ".xz": lzma.LZMACompressor(preset=0),
        ".zst": zstandard.ZstdCompressor().compressobj(),
    }.items():
        found[packing] = b"".join(packer.compress(block) for _ in range(mib)) + packer.flush()
    return found


@pytest.mark.parametrize(("unit", "code"), [(b"x", "line_too_long"), (BLANKS, "too_large")])
def test_a_decompression_bomb_is_refused_in_bounded_memory(unit: bytes, code: str) -> None:
    for packing, packed in bombs(unit, 16).items():
        assert len(packed) < 1 << 18
        tracemalloc.start()
        try:
            found = refusal(f"q.txt{packing}", packed, max_bytes=(16 << 20) - 1)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert found[0] == code
        assert peak < 16 << 20


def test_what_is_skipped_in_an_archive_is_bounded() -> None:
    packed = zipped({"__MACOSX/._q": b"\0" * (2 << 20), "q.txt": b"who\n"})
    assert refusal("q.zip", packed) == (
        "bad_compression",
        "zip: __MACOSX/._q has more than 1048576 bytes: unpack it",
    )


@given(st.binary(max_size=200), st.sampled_from([*PACKERS, ".zip", ""]), st.integers(0, 40))
def test_hostile_bytes_end_in_records_or_one_refusal(data: bytes, packing: str, cut: int) -> None:
    whole = {**PACKERS, ".zip": lambda d: zipped({"q.jsonl": d}), "": bytes}[packing](data)
    name = f"q.jsonl{packing}"
    for hostile in (data, whole[:cut], whole[:cut] + data, whole[:-1] + b"\xff"):
        outcome(name, BytesIO(hostile).read)


def test_the_name_in_an_archive_decides_how_it_is_read() -> None:
    packed = zipped({"q.jsonl": b'{"text": "Who?"}\n'})
    assert ask("all.zip", packed)[0].text == "Who?"
