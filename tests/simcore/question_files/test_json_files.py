"""JSON files: arrays, objects that hold one, objects one after the other; read as a stream."""

from __future__ import annotations

import json
import tracemalloc
from io import BytesIO
from itertools import chain

import pytest
from file_support import ask, in_pieces, outcome, refusal, texts
from hypothesis import given
from hypothesis import strategies as st

from spikewatch.simcore.question_files import ReadOptions, questions

WHO = [{"text": "Who?"}, {"question": "How far?", "id": "b"}, "What?"]
ASKED = [(1, "Who?"), ("b", "How far?"), (3, "What?")]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("key", [None, "data", "questions", "Examples", "rows"])
def test_an_array_is_read_alone_or_in_an_object(key: str | None, indent: int | None) -> None:
    held = WHO if key is None else {"version": [1, {"text": "no"}], key: WHO, "n": 3}
    assert texts("q.json", json.dumps(held, indent=indent)) == ASKED


def test_objects_one_after_the_other_are_records() -> None:
    assert texts("q.json", '{"text": "Who?"}\n{"text": "How?"} {"text": "What?"}') == [
        (1, "Who?"),
        (2, "How?"),
        (3, "What?"),
    ]
    assert texts("q.json", json.dumps({"text": "Who?", "id": 7})) == [(7, "Who?")]


def test_lines_may_be_strings_and_have_either_suffix() -> None:
    data = '"Who?"\n{"query": "How?"}\n'
    assert texts("q.ndjson", data) == texts("q.jsonl", data) == [(1, "Who?"), (2, "How?")]


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        ("3", "bad_json", "line 1: it begins with '3', expected an array or an object: write"),
        (
            '["a",]',
            "bad_json",
            "line 1: Expecting value: the file is damaged or not JSON: write it",
        ),
        ('["a"', "bad_json", "line 1: the file ends inside it: copy it again"),
        ('["a"\n"b"]', "bad_json", "line 2: '\"' in the array, expected , or ]"),
        ('["a"]["b"]', "bad_json", "line 1: '[' after the end: one array, or objects alone"),
        ('{"data": ["a"], "rows": []}', "many_arrays", "arrays under 'data' and 'rows': write"),
        ('{"data": ["a"], "text": "b"}', "many_arrays", "a text beside the array under 'data'"),
        (
            '{"n": 3}',
            "no_record",
            "none of 1 records can be read; 1: no text among the fields n: name",
        ),
        (
            "[[1]]",
            "no_record",
            "none of 1 records can be read; 1: a JSON array, expected an object or a string",
        ),
        (
            '{"text": {"0": "a"}}',
            "no_record",
            "none of 1 records can be read; 1: text is a JSON object",
        ),
    ],
)
def test_other_json_is_refused_with_what_to_do(data: str, code: str, message: str) -> None:
    found, why = refusal("q.json", data)
    assert found == code
    assert why.startswith(message)


def test_rows_of_the_server_of_hugging_face_are_read_and_cut_texts_refused() -> None:
    rows = [
        {"row_idx": i, "row": {"text": text, "label": i}, "truncated_cells": cut}
        for i, (text, cut) in enumerate([("Who?", []), ("How fa", ["text"]), ("What?", ["answer"])])
    ]
    answer = {"features": [{"feature_idx": 0, "name": "text"}], "rows": rows, "num_rows_total": 3}
    for name, data in {
        "q.json": json.dumps(answer),
        "q.jsonl": "\n".join(map(json.dumps, rows)),
    }.items():
        found = ask(name, data, examples=True)
        assert [r.text for r in found] == ["Who?", None, "What?"]
        assert [r.label for r in found] == ["0", None, "2"]
        assert found[1].fault is not None
        assert "the server cut the text short" in found[1].fault.message


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (
            {"data": [{"title": "A", "paragraphs": [{"qas": [{"id": "1", "question": "Who?"}]}]}]},
            "no text among the fields title, paragraphs, but one deeper in it, under paragraphs[].qas[].question: ",
        ),
        (
            {"0": {"text": "Who?"}},
            "no text among the fields 0, but one deeper in it, under 0.text: ",
        ),
        ({"0": "Who?", "1": "How?"}, "no text among the fields 0, 1, and none that could be one: "),
        (
            {"train": [["Who?", "HUM"]]},
            "no text among the fields train, and none that could be one: ",
        ),
    ],
)
def test_a_text_that_no_setting_reaches_is_not_said_to_be_a_matter_of_settings(
    value: object, found: str
) -> None:
    code, message = refusal("q.json", json.dumps(value))
    assert code == "no_record"
    assert message == (
        f"none of 1 records can be read; 1: {found}write each question as a line of its own, "
        "{\"text\": ...} in a .jsonl file (pandas: to_json(orient='records', lines=True))"
    )


def test_columns_of_records_are_refused_with_what_to_do() -> None:
    data = json.dumps({"text": ["Who?", "How?"], "label": [0, 1]})
    assert refusal("q.json", data)[1].endswith(
        "write each question as a record of its own (pandas: to_json(orient='records'))"
    )


def test_an_array_in_a_file_of_lines_is_refused_with_what_to_do() -> None:
    code, message = refusal("q.jsonl", json.dumps(WHO))
    assert code == "no_record"
    assert message.endswith("name a file that is one array .json")


@pytest.mark.parametrize("name", ["q.jsonl", "q.ndjson"])
def test_records_over_several_lines_are_read_as_in_a_json_file(name: str) -> None:
    assert texts(name, json.dumps(WHO, indent=2)) == ASKED
    objects = "\n".join(json.dumps({"text": text}, indent=2) for text in ("Who?", "How?"))
    assert texts(name, objects) == [(1, "Who?"), (2, "How?")]


def test_labels_may_be_integers_but_nothing_else() -> None:
    def label(value: object) -> object:
        record = ask("q.json", json.dumps([{"text": "a", "label": value}, "b"]), examples=True)[0]
        return record.fault.code if record.fault else record.label

    assert [label(v) for v in ("HUM", 3, None, True, 1.5)] == [
        "HUM", "3", None, "bad_label", "bad_label",
    ]  # fmt: skip


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["text", "id", "data", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(VALUES, st.lists(st.integers(1, 7), min_size=1, max_size=3), st.booleans())
def test_records_do_not_depend_on_how_the_bytes_are_cut(
    value: object, sizes: list[int], ascii_only: bool
) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert outcome("q.json", in_pieces(data, sizes)) == outcome("q.json", BytesIO(data).read)


@given(st.lists(st.text(max_size=20)), st.lists(st.integers(1, 50), min_size=1, max_size=3))
def test_every_string_of_an_array_is_a_text(values: list[str], sizes: list[int]) -> None:
    data = json.dumps(values, ensure_ascii=False).encode()
    if not values:
        assert refusal("q.json", data)[0] == "empty"
        return
    assert outcome("q.json", in_pieces(data, sizes)) == ask("q.json", json.dumps(values))


def test_a_large_array_takes_the_memory_of_a_small_one() -> None:
    def blocks() -> chain[bytes]:
        record = b'{"text": "How far is the moon from here?", "id": null, "more": [1, 2, 3]},\n'
        return chain([b"["], (record * 400 for _ in range(100)), [b'"end"]'])

    left, rest = blocks(), bytearray()

    def read(size: int) -> bytes:
        while len(rest) < size and (block := next(left, None)) is not None:
            rest.extend(block)
        data = bytes(rest[:size])
        del rest[:size]
        return data

    tracemalloc.start()
    try:
        count = sum(map(len, questions(read, ".json", ReadOptions())))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 40_001
    assert peak < 3 << 19


def test_a_record_over_the_limit_is_refused_wherever_it_is_cut() -> None:
    data = b'["short", "' + b"x" * 200 + b'"]'
    for sizes in ([1], [64], [1000]):
        assert outcome("q.json", in_pieces(data, sizes), max_line_bytes=100) == (
            "line_too_long",
            "line 1: a record of more than 100 bytes",
        )
