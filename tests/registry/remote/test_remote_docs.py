"""Check the events and limits in docs/remote.md against the code."""

from __future__ import annotations

import re
from pathlib import Path

from spikewatch.registry import remote
from spikewatch.registry.remote import attached, transfer, transport

PAGE = (Path(__file__).parents[3] / "docs" / "remote.md").read_text()
SOURCES = "".join(path.read_text() for path in Path(remote.__path__[0]).glob("*.py"))


def test_every_event_is_described() -> None:
    logged = set(re.findall(r'"((?:serve|follow)\.[a-z_]+)"', SOURCES))
    assert len(logged) == 12
    assert set(re.findall(r"`((?:serve|follow)\.[a-z_]+)`", PAGE)) == logged


def test_the_limits_are_the_real_ones() -> None:
    assert (transport.ATTEMPTS, transport.BACKOFF_S) == (5, 0.5)
    assert (transport.MAX_RETRY_AFTER_S, transport.READ_S, transport.CONNECT_S) == (60, 30, 10)
    assert (transport.PATIENCE_S, transport.PACE) == (60, 16_000)
    assert transfer.MAX_MODEL == 256 * 2**20
    assert attached.MAX_ATTACHED == 100
    for text in (
        "five attempts in all.\nThe back-off starts at 0.5 s",
        "obeyed up to 60 s",
        "10 s to connect, 30 s of\nsilence",
        "60 s plus 1 s for every 16 kB",
        "a whole model at most 256 MiB",
        "at most 100 for a version",
    ):
        assert text in PAGE
