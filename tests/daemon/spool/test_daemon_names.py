"""File names: which are inputs, how results are named after them, and how they are printed."""

from __future__ import annotations

import os
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikewatch.daemon.spool import names, unfinished
from spikewatch.simcore.question_files import names as question_names


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


@given(st.binary(min_size=1, max_size=255).filter(lambda raw: not {0, 47} & set(raw)))
def test_every_name_has_results_that_fit_and_a_printed_form_that_leads_back(raw: bytes) -> None:
    name = os.fsdecode(raw)
    tagged = names.tagged(names.base(name), "0" * 64) + names.SUMMARY
    assert len(os.fsencode(tagged)) <= names.NAME_MAX
    assert names.printable(name).isprintable()
    assert unquote_to_bytes(names.printable(name)) == raw
