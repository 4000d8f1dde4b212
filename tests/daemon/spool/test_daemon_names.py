"""File names: which are inputs, how results are named after them, and how they are printed."""

from __future__ import annotations

import json
import os
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import pytest
from daemon_support import Bench, content
from hypothesis import given
from hypothesis import strategies as st

from spikewatch.daemon.spool import names, unfinished
from spikewatch.daemon.spool.commit import key, temp
from spikewatch.simcore.question_files import names as question_names

if TYPE_CHECKING:
    from pathlib import Path

    from daemon_lives import Nursery


@pytest.mark.parametrize(
    ("name", "skipped", "kind"),
    [
        ("a.txt", False, ".txt"),
        ("A.JsonL", False, ".jsonl"),
        ("a.b.csv", False, ".csv"),
        ("a.txt.GZ", False, ".txt"),
        ("a.CSV.gz", False, ".csv"),
        ("a.json.BZ2", False, ".json"),
        ("a.ndjson.xz", False, ".ndjson"),
        ("a.label.zst", False, ".label"),
        ("a.csv.zip", False, ".csv"),
        ("a.ZIP", False, ".zip"),
        ("a.gz", False, None),
        ("a.txt.gz.gz", False, None),
        ("a.txt.", False, None),
        ("txt", False, None),
        (".txt", True, None),
        ("a.txt.tmp", True, None),
        ("a.txt~", True, None),
    ],
)
def test_names_say_what_is_an_input(name: str, skipped: bool, kind: str | None) -> None:
    assert (unfinished.skipped(name), names.kind(name)) == (skipped, kind)
    assert question_names.kind(name) == kind
    assert question_names.packing(name) == names.packing(name)


def test_the_names_of_inputs_are_those_that_the_reader_knows() -> None:
    assert names.KINDS == question_names.KINDS
    assert names.PACKINGS == question_names.PACKINGS


NAMES = st.one_of(
    st.binary(min_size=1, max_size=names.NAME_MAX),
    # Runs of one byte, long enough to be shortened: half characters of UTF-8 among them.
    st.builds(
        lambda head, byte, length, tail: (head + bytes([byte]) * length + tail)[: names.NAME_MAX],
        st.binary(min_size=1, max_size=8),
        st.integers(1, 255),
        st.integers(200, 255),
        st.binary(max_size=40),
    ),
    st.text(min_size=40).map(lambda text: text.encode(errors="replace")[: names.NAME_MAX]),
).filter(lambda raw: not {0, 47} & set(raw))
DIGESTS = st.sampled_from(["0" * 64, "f" * 64])
SUFFIXES = (names.RESULT, names.SUMMARY, names.REPORT)


def size(name: str) -> int:
    return len(os.fsencode(name))


@given(NAMES, DIGESTS)
def test_every_name_has_results_that_fit_and_a_printed_form_that_leads_back(
    raw: bytes, digest: str
) -> None:
    name = os.fsdecode(raw)
    some = list(islice(names.stems(names.base(name), digest), 120))
    assert len(set(some)) == len(some)
    assert some[:2] == [names.base(name), names.tagged(names.base(name), digest)]
    assert max(size(stem + suffix) for stem in some for suffix in SUFFIXES) <= names.NAME_MAX
    for stem in some:
        assert os.fsdecode(os.fsencode(stem)) == stem
        assert "/" not in stem
        assert "\0" not in stem
    assert names.printable(name).isprintable()
    assert unquote_to_bytes(names.printable(name)) == raw
    assert size(temp(name) + names.SUMMARY) < 64
    json.dumps(key(name, digest)).encode()
    assert names.kind(name) in {None, names.ZIP, *names.KINDS}
    assert unfinished.skipped(name) in {True, False}
    assert (unfinished.shadowed(name) or "x") in name + "x"


@given(NAMES)
def test_a_shortened_name_keeps_its_beginning_and_no_half_character(raw: bytes) -> None:
    name = os.fsdecode(raw)
    base = names.base(name)
    if size(name) <= 229:
        assert base == name
        return
    stem, _, tag = base.rpartition(".")
    assert tag == sha256(raw).hexdigest()[: names.TAG]
    assert name.startswith(stem)
    assert 229 - 13 - 3 <= size(stem) <= 229 - 13
    try:
        raw.decode()
    except UnicodeDecodeError:
        return
    assert stem.isprintable() or os.fsencode(stem).decode() == stem


@pytest.mark.parametrize("byte", [0x01, 0x41, 0x7F, 0x80, 0x9F, 0xBF, 0xC3, 0xE4, 0xF0, 0xFF])
def test_names_of_a_single_byte_of_every_length_have_results_that_fit(byte: int) -> None:
    for length in range(1, names.NAME_MAX + 1):
        name = os.fsdecode(bytes([byte]) * length)
        for stem in islice(names.stems(names.base(name), "0" * 64), 3):
            assert size(stem + names.SUMMARY) <= names.NAME_MAX


def test_results_whose_shortened_names_collide_are_numbered_and_found_again(hand: Bench) -> None:
    """Two names may have one shortened form: 48 bits of a digest are no secret."""
    name, text = "x" * 251 + ".txt", b"Who wrote Hamlet ?"
    taken = list(islice(names.stems(names.base(name), sha256(text).hexdigest()), 4))
    for stem in taken[:3]:
        (hand.path / "out" / (stem + names.RESULT)).write_text("another input's\n")
        (hand.path / "out" / (stem + names.SUMMARY)).write_text('{"key": "another input"}')
    for _ in range(2):
        hand.drop(name, text)
        hand.run()
    assert [e["result"] for e in hand.events("request.done")] == [taken[3] + names.RESULT]
    assert [e["result"] for e in hand.events("request.duplicate")] == [taken[3] + names.RESULT]
    assert len(content(hand.path / "out")) == 8


def test_a_start_with_markers_takes_over_names_that_have_no_space_for_one(
    spool: Path, lives: Nursery
) -> None:
    """A daemon without markers has claimed them, and was killed before it removed them from in/."""
    name = "x" * 251 + ".txt"
    (spool / "in" / name).write_text("Who wrote Hamlet ?")
    os.link(spool / "in" / name, spool / "work" / name)
    assert lives.live(spool, done_marker=True) == 0, lives.said()
    assert content(spool / "done") == {name}
    assert content(spool / "in") == content(spool / "work") == set()
