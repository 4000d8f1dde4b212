"""An input file that was read ahead as a whole gives the same records as one that is read bit by bit."""

from __future__ import annotations

from contextlib import closing
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikewatch.daemon.answering.hashed import HashedBytes
from spikewatch.daemon.answering.input_file import InputFile
from spikewatch.daemon.settings import Settings
from spikewatch.daemon.spool.folder import Spool
from spikewatch.simcore.question_files import QuestionFileError

SCRAPS = (
    b"\xef\xbb\xbf", b"a", b"who\n", b"\n", b"\r", b"\r\n", b" ", b"\xc3\xa9", b"\xc2\x85", b"\xff", b"\x1f\x8b",
    b'{"text":"a"}', b"text\n", b",", b"\xff\xfe", b"\0", b"BZh91AY&SY", b"PK\x03\x04", b"[", b"]",
)  # fmt: skip


def taken(spool: Spool, name: str, settings: Settings, content: bytes | None, count: int) -> object:
    """Read all records of an input; return them, and the facts that the input has collected by then."""
    records = []
    with closing(InputFile(spool, name, settings, content=content)) as file:
        while some := file.take(count):
            records += some
    failure = file.failure
    why = None if failure is None else (failure.code, str(failure))
    return records, file.sha256, file.size, why


@given(
    st.lists(st.sampled_from(SCRAPS), max_size=12).map(b"".join),
    st.sampled_from(["q.txt", "q.TXT", "q.txt.gz", "q.jsonl", "q.csv", "q.json", "q.zip", "q"]),
    st.integers(1, 40),
    st.integers(0, 40),
    st.integers(1, 3),
)
def test_an_input_that_was_read_ahead_gives_the_same_records(
    data: bytes, name: str, line: int, most: int, count: int
) -> None:
    with TemporaryDirectory() as folder, Spool.make(Path(folder)) as spool:
        (spool.path / "work" / name).write_bytes(data)
        settings = Settings(spool=spool.path, max_line_bytes=line, max_input_bytes=most)
        expected = taken(spool, name, settings, None, count)
        assert taken(spool, name, settings, data, count) == expected


def test_the_digest_is_of_all_bytes_and_a_huge_rest_is_not_read() -> None:
    source = HashedBytes(BytesIO(b"\xff\n" + b"x" * 500).read, most=1000)
    assert source.read(8) == b"\xff\nxxxxxx"
    assert source.digest_rest(10) is None
    assert source.digest_rest(1000) is not None


def test_a_file_that_grows_while_it_is_read_ends_at_the_limit() -> None:
    endless = HashedBytes(bytes, most=100)
    assert endless.read(60) == bytes(60)
    with pytest.raises(
        QuestionFileError, match="more than 100 bytes before decompression"
    ) as raised:
        endless.read(60)
    assert raised.value.code == "too_large"
    assert endless.digest_rest(1000) is None
