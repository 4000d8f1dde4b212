"""Gzip inputs: the records of their content, errors with a position, and bounded memory."""

from __future__ import annotations

import gzip
import hashlib
import tracemalloc
import zlib
from io import BytesIO
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikewatch.daemon.answering.line_reader import LineReader
from spikewatch.daemon.answering.questions import questions
from spikewatch.daemon.errors import RejectedInputError

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


def read(data: bytes, kind: str, *, gzipped: bool, chunk: int = 1 << 16) -> object:
    source = LineReader(
        BytesIO(data).read, max_line_bytes=40, chunk_bytes=chunk, gzipped=gzipped, max_bytes=150
    )
    try:
        return list(chain.from_iterable(questions(source, kind)))
    except RejectedInputError as e:
        return e.code


@given(
    st.lists(st.lists(SCRAPS, max_size=12).map(b"".join), min_size=1, max_size=5),
    st.sampled_from([".txt", ".jsonl", ".csv", ".tsv"]),
    st.integers(3, 60),
    st.integers(0, 9),
)
def test_gzip_of_several_members_has_the_records_of_its_content(
    members: list[bytes], kind: str, chunk: int, level: int
) -> None:
    packed = b"".join(gzip.compress(member, level) for member in members) + b"\0" * level
    plain = read(b"".join(members), kind, gzipped=False, chunk=chunk)
    assert read(packed, kind, gzipped=True, chunk=chunk) == plain


def test_digest_and_size_are_those_of_the_compressed_file() -> None:
    packed = gzip.compress(b"who\n" * 9)
    source = LineReader(BytesIO(packed).read, max_line_bytes=100, gzipped=True)
    assert len(list(chain.from_iterable(questions(source, ".txt")))) == 9
    assert (source.sha256, source.size) == (hashlib.sha256(packed).hexdigest(), len(packed))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"who\n", "member 1, after 0 decompressed bytes: .*incorrect header check"),
        (WHO[:-1], "member 1, after 4 decompressed bytes: the file ends"),
        (WHO[:5], "member 1, after 0 decompressed bytes: the file ends"),
        (WHO + b"rest", "member 2, after 4 decompressed bytes: "),
        (WHO[:-8] + b"\0" * 8, "member 1, after 0 .*incorrect data check"),
    ],
)
def test_damaged_gzip_is_rejected_with_the_position(data: bytes, message: str) -> None:
    source = LineReader(BytesIO(data).read, max_line_bytes=100, gzipped=True)
    with pytest.raises(RejectedInputError, match=message) as error:
        list(questions(source, ".txt"))
    assert error.value.code == "bad_gzip"
    assert source.digest_rest(1000) == hashlib.sha256(data).hexdigest()


def bomb(unit: bytes, mib: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    block = unit * ((1 << 20) // len(unit))
    return b"".join(packer.compress(block) for _ in range(mib)) + packer.flush()


@pytest.mark.parametrize(
    ("unit", "code"), [(b"x", "line_too_long"), (b" " * 1023 + b"\n", "too_large")]
)
def test_a_decompression_bomb_is_rejected_in_bounded_memory(unit: bytes, code: str) -> None:
    packed = bomb(unit, 64)
    assert len(packed) < 1 << 18
    source = LineReader(
        BytesIO(packed).read, max_line_bytes=1 << 20, gzipped=True, max_bytes=(64 << 20) - 1
    )
    tracemalloc.start()
    try:
        with pytest.raises(RejectedInputError) as error:
            for _ in questions(source, ".txt"):
                pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error.value.code == code
    assert peak < 16 << 20
