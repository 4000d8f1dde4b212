"""Reading inputs: pure functions of bytes."""

from __future__ import annotations

import os
from itertools import chain
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikewatch.daemon.answering.line_reader import LineReader
from spikewatch.daemon.answering.questions import InputRecord, questions
from spikewatch.daemon.errors import RejectedInputError
from spikewatch.daemon.spool import names, unfinished

if TYPE_CHECKING:
    from collections.abc import Callable


Read = TypeVar("Read")


def read(
    data: bytes, use: Callable[[LineReader], Read], *, limit: int = 1 << 20, chunk: int = 1 << 18
) -> Read:
    with TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        return use(LineReader(file.read, max_line_bytes=limit, chunk_bytes=chunk))


def ask(data: bytes, kind: str) -> list[InputRecord]:
    return read(data, lambda source: list(chain.from_iterable(questions(source, kind))))


def faults(data: bytes, kind: str) -> list[tuple[object, str | None]]:
    return [(q.id, None if q.fault is None else q.fault.code) for q in ask(data, kind)]


@given(st.text(alphabet="aé\n\r€\U0001f600", max_size=60), st.integers(3, 20), st.booleans())
def test_lines_do_not_depend_on_how_the_bytes_are_cut(text: str, chunk: int, bom: bool) -> None:
    data = b"\xef\xbb\xbf" * bom + text.encode()
    expected = text.split("\n")
    if expected[-1] == "":
        expected.pop()
    found = read(data, lambda source: list(source.lines()), chunk=chunk)
    assert found == list(enumerate(expected, 1))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(3, 50))
def test_exactly_the_lines_over_the_limit_are_refused(before: int, length: int, chunk: int) -> None:
    data = b"\n" * before + b"x" * length + b"\nshort"
    limit = 20

    def lines(source: LineReader) -> int:
        return sum(1 for _ in source.lines())

    if length <= limit:
        assert read(data, lines, limit=limit, chunk=chunk) == before + 2
        return
    with pytest.raises(RejectedInputError) as error:
        read(data, lines, limit=limit, chunk=chunk)
    assert error.value.code == "line_too_long"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('{"text": "a"}', None),
        ('{"text": "a", "id": 9007199254740993}', None),
        ('{"text": "a", "id": null}', None),
        ('{"text": "a"', "bad_json"),
        ('{"text": ' + "9" * 5000 + "}", "bad_json"),
        ("[" * 100_000, "bad_json"),
        ("[]", "bad_record"),
        ("null", "bad_record"),
        ('{"question": "a"}', "no_text"),
        ('{"text": null}', "no_text"),
        ('{"text": 3}', "bad_text"),
        ('{"text": "\\ud800"}', "bad_text"),
        ('{"text": "a", "id": 1.5}', "bad_id"),
        ('{"text": "a", "id": true}', "bad_id"),
    ],
)
def test_a_json_record_is_read_or_has_its_own_fault(line: str, code: str | None) -> None:
    found = faults(f'{line}\n{{"text": "b"}}'.encode(), ".jsonl")
    assert [c for _, c in found] == [code, None]
    assert found[1][0] == 2


def test_a_table_is_read_by_the_rules_of_csv() -> None:
    data = b'id,text\r\n1,"two\r\nlines, ""quoted"""\r\n,plain\r\n\r\nx\r\n7,"bad"quote\r\n8,last'
    assert [(q.id, q.text, q.fault and q.fault.code) for q in ask(data, ".csv")] == [
        ("1", 'two\r\nlines, "quoted"', None),
        (4, "plain", None),
        ("x", None, "no_text"),
        (7, None, "bad_record"),
        ("8", "last", None),
    ]


def test_an_open_quote_does_not_swallow_a_large_table() -> None:
    data = b'text\n"open\n' + b"line\n" * 300_000
    with pytest.raises(RejectedInputError, match=r"line 2: a field of more than 1048576 bytes"):
        ask(data, ".csv")


def test_the_digest_is_of_all_bytes_and_a_huge_rest_is_not_read() -> None:
    def broken(source: LineReader) -> tuple[str | None, str | None]:
        with pytest.raises(RejectedInputError):
            list(source.lines())
        return source.digest_rest(10), source.digest_rest(1000)

    first, second = read(b"\xff\n" + b"x" * 500, broken, chunk=8)
    assert first is None
    assert second is not None


@pytest.mark.parametrize(
    ("name", "skipped", "kind"),
    [
        ("a.txt", False, ".txt"),
        ("A.JsonL", False, ".jsonl"),
        ("a.b.csv", False, ".csv"),
        ("a.txt.GZ", False, ".txt"),
        ("a.CSV.gz", False, ".csv"),
        ("a.gz", False, None),
        ("a.txt.gz.gz", False, None),
        ("a.txt.", False, None),
        ("txt", False, None),
        (".txt", True, None),
        ("a.txt.tmp", True, None),
        ("a.txt~", True, None),
        ("~$a.csv", True, ".csv"),
        ("#a.txt#", True, None),
    ],
)
def test_names_say_what_is_an_input(name: str, skipped: bool, kind: str | None) -> None:
    assert (unfinished.skipped(name), names.kind(name)) == (skipped, kind)


@given(st.binary(min_size=1, max_size=255).filter(lambda raw: not {0, 47} & set(raw)))
def test_every_name_has_results_that_fit_and_a_printed_form_that_leads_back(raw: bytes) -> None:
    name = os.fsdecode(raw)
    tagged = names.tagged(names.base(name), "0" * 64) + names.SUMMARY
    assert len(os.fsencode(tagged)) <= names.NAME_MAX
    assert names.printable(name).isprintable()
    assert unquote_to_bytes(names.printable(name)) == raw
