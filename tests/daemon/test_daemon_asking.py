"""Asking an input: what was read whole is asked as what is read bit by bit."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast

from hypothesis import given
from hypothesis import strategies as st

from spikewatch.daemon.answering.input_file import Asking
from spikewatch.daemon.answering.pipeline import Progress, Request
from spikewatch.daemon.settings import Settings
from spikewatch.daemon.spool.folder import Spool

if TYPE_CHECKING:
    from spikewatch.daemon.models.served import ServedModel

SCRAPS = (
    b"\xef\xbb\xbf", b"a", b"who\n", b"\n", b"\r", b"\r\n", b" ", b"\xc3\xa9", b"\xc2\x85", b"\xff", b"\x1f\x8b",
    b'{"text":"a"}', b"text\n", b",",
)  # fmt: skip


def asked(spool: Spool, name: str, settings: Settings, content: bytes | None, count: int) -> object:
    """Ask an input for all its questions, and say what is noted of it."""
    progress = Progress(request=Request(name=name, arrived_s=0.0), model=cast("ServedModel", None))
    taken = []
    with closing(Asking(spool, progress, settings, content)) as asking:
        while some := asking.take(count):
            taken += some
    failure = progress.failure
    why = None if failure is None else (failure.code, str(failure))
    return taken, progress.sha256, progress.size, why


@given(
    st.lists(st.sampled_from(SCRAPS), max_size=12).map(b"".join),
    st.sampled_from(["q.txt", "q.TXT", "q.txt.gz", "q.jsonl", "q.csv", "q"]),
    st.integers(1, 40),
    st.integers(0, 40),
    st.integers(1, 3),
)
def test_an_input_that_was_read_whole_is_asked_as_any_other(
    data: bytes, name: str, line: int, most: int, count: int
) -> None:
    with TemporaryDirectory() as folder, Spool.make(Path(folder)) as spool:
        (spool.path / "work" / name).write_bytes(data)
        settings = Settings(spool=spool.path, max_line_bytes=line, max_input_bytes=most)
        expected = asked(spool, name, settings, None, count)
        assert asked(spool, name, settings, data, count) == expected
