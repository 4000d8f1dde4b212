"""Reading inputs: pure functions of bytes."""

from __future__ import annotations

from io import BytesIO
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikewatch.simcore.question_files import (
    InputRecord,
    QuestionFileError,
    ReadOptions,
    questions,
)
from spikewatch.simcore.question_files.lines import LineReader

if TYPE_CHECKING:
    from collections.abc import Callable


Read = TypeVar("Read")


def read(
    data: bytes, use: Callable[[LineReader], Read], *, limit: int = 1 << 20, chunk: int = 1 << 18
) -> Read:
    return use(LineReader(BytesIO(data).read, max_line_bytes=limit, chunk_bytes=chunk))


def ask(data: bytes, kind: str) -> list[InputRecord]:
    return list(chain.from_iterable(questions(BytesIO(data).read, kind, ReadOptions())))


def faults(data: bytes, kind: str) -> list[tuple[object, str | None]]:
    return [(q.id, None if q.fault is None else q.fault.code) for q in ask(data, kind)]


@given(st.text(alphabet="aé\n\r€\U0001f600", max_size=60), st.integers(1, 20))
def test_lines_do_not_depend_on_how_the_bytes_are_cut(text: str, chunk: int) -> None:
    data = text.encode()
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
    with pytest.raises(QuestionFileError) as error:
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
        ('{"question": "a"}', None),
        ('{"frage": "a"}', "no_text"),
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
    with pytest.raises(QuestionFileError, match=r"line 2: a field of more than 1048576 bytes"):
        ask(data, ".csv")
