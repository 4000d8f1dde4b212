from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from spikewatch.convert.errors import ConvertError, DataError
from spikewatch.convert.words.question_files import (
    Example,
    for_model,
    read_questions,
    without_numbers,
)
from spikewatch.simcore.question_files import ReadOptions

if TYPE_CHECKING:
    from pathlib import Path


def written(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


class TestLabelFiles:
    def test_give_coarse_labels(self, tmp_path: Path) -> None:
        path = written(tmp_path, "q.label", "HUM:ind Who was he ?\nNUM:count How many ?\n")

        questions = read_questions(path, labelled=True)

        assert questions == [
            Example(text="Who was he ?", label="HUM"),
            Example(text="How many ?", label="NUM"),
        ]

    def test_give_fine_labels_on_request(self, tmp_path: Path) -> None:
        path = written(tmp_path, "q.label", "HUM:ind Who was he ?\n")

        assert read_questions(path, labelled=True, fine=True)[0].label == "HUM:ind"

    def test_are_read_as_latin_1(self, tmp_path: Path) -> None:
        path = written(tmp_path, "q.label", b"LOC:city Which sister\xf0city ?\n")

        assert read_questions(path, labelled=True)[0].text == "Which sisterðcity ?"

    @pytest.mark.parametrize("label", ["HUM", ":ind", "HUM:", "Who"])
    def test_with_a_broken_label_are_refused(self, tmp_path: Path, label: str) -> None:
        path = written(tmp_path, "q.label", f"HUM:ind Who ?\n{label} is it ?\n")

        with pytest.raises(DataError) as caught:
            read_questions(path, labelled=True)

        assert str(caught.value) == f"{path}:2: label {label!r} is not COARSE:fine"


class TestTsvFiles:
    def test_are_label_and_text(self, tmp_path: Path) -> None:
        path = written(tmp_path, "q.tsv", "HUM\tWho\u2019s there?\n\nNUM\tHow many?\r\n")

        assert read_questions(path, labelled=True) == [
            Example(text="Who\u2019s there?", label="HUM"),
            Example(text="How many?", label="NUM"),
        ]

    def test_may_start_with_a_header_and_a_byte_order_mark(self, tmp_path: Path) -> None:
        path = written(tmp_path, "q.tsv", "\ufefflabel\ttext\nHUM\tWho?\n")

        assert read_questions(path, labelled=True) == [Example(text="Who?", label="HUM")]

    def test_keep_a_line_separator_inside_a_text(self, tmp_path: Path) -> None:
        path = written(tmp_path, "q.tsv", "HUM\tWho\u2028is it?\nbroken\n")

        with pytest.raises(DataError) as caught:
            read_questions(path, labelled=True)

        assert str(caught.value) == f"{path}:2: no TAB between label and text"

    def test_may_lack_labels_if_none_are_required(self, tmp_path: Path) -> None:
        path = written(tmp_path, "q.tsv", "\tWho?\n")

        assert read_questions(path, labelled=False)[0].text == "Who?"
        with pytest.raises(DataError, match=r"q\.tsv:1: no label for 'Who\?': "):
            read_questions(path, labelled=True)


class TestJsonlFiles:
    def test_are_label_and_text(self, tmp_path: Path) -> None:
        lines = [{"label": "HUM", "text": "Who?"}, {"text": "How?", "id": 3}]
        path = written(tmp_path, "q.jsonl", "\n".join(json.dumps(line) for line in lines))

        assert read_questions(path, labelled=False) == [
            Example(text="Who?", label="HUM"),
            Example(text="How?", label=None),
        ]

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            (
                "[1]",
                "a JSON array, expected an object: write each record as one object on one line; "
                "name a file that is one array .json",
            ),
            (
                '{"label": "HUM"}',
                "no text among the fields label: name one text, or set text_field (--text-field) to one of them",
            ),
            ('{"text": "\\ud800"}', "text holds half of a surrogate pair"),
            (
                '{"text": "Who?", "label": 1.5}',
                "label is 1.5, not a string: set label_field (--label-field) to the labels' names",
            ),
            (
                '{"text": "Who?"}',
                "no label for 'Who?': name its column or key label, or name it with --label-field",
            ),
            (
                '{"text": " ", "label": "HUM"}',
                "a question without text: write one, or delete the record",
            ),
        ],
    )
    def test_name_the_line_that_is_wrong(self, tmp_path: Path, line: str, message: str) -> None:
        path = written(tmp_path, "q.jsonl", '{"label": "HUM", "text": "Who?"}\n' + line)

        with pytest.raises(DataError) as caught:
            read_questions(path, labelled=True)

        assert str(caught.value) == f"{path}:2: {message}"

    def test_white_space_in_labels_becomes_single_blanks(self, tmp_path: Path) -> None:
        path = written(tmp_path, "q.jsonl", json.dumps({"label": " a\tb\nc ", "text": "Who?"}))

        assert read_questions(path, labelled=True)[0].label == "a b c"

    def test_with_broken_or_too_deeply_nested_json_are_refused(self, tmp_path: Path) -> None:
        for content in ("{", "[" * 100_000):
            path = written(tmp_path, "q.jsonl", content)
            with pytest.raises(DataError, match=r"q\.jsonl:1: "):
                read_questions(path, labelled=False)


class TestTxtFiles:
    def test_are_one_question_on_each_line(self, tmp_path: Path) -> None:
        path = written(tmp_path, "q.txt", "Who?\n\n  How many? \n")

        texts = [question.text for question in read_questions(path, labelled=False)]

        assert texts == ["Who?", "How many?"]

    def test_are_refused_if_labels_are_required(self, tmp_path: Path) -> None:
        path = written(tmp_path, "q.txt", "Who?\n")

        with pytest.raises(DataError) as caught:
            read_questions(path, labelled=True)

        message = (
            f"{path}: its lines have no labels, but labels are required here: write label TAB text, or a table with"
            " a column label"
        )
        assert str(caught.value) == message

    def test_name_the_line_that_is_not_utf8(self, tmp_path: Path) -> None:
        path = written(tmp_path, "q.txt", b"Who?\nWh\xff?\n")

        with pytest.raises(DataError) as caught:
            read_questions(path, labelled=False)

        assert str(caught.value).startswith(f"{path}:2: byte 0xff at 2 is not UTF-8: save")


class TestFiles:
    def test_of_another_kind_are_refused(self, tmp_path: Path) -> None:
        path = written(tmp_path, "q.doc", "Who?\n")

        with pytest.raises(DataError) as caught:
            read_questions(path, labelled=False)

        known = ".txt, .jsonl, .ndjson, .json, .csv, .tsv, .label"
        assert (
            str(caught.value)
            == f"{path}: its name must end in {known}: save it as plain text (.txt)"
        )

    @pytest.mark.parametrize("name", ["q.txt", "q.tsv", "q.jsonl", "q.label"])
    def test_without_questions_are_refused(self, tmp_path: Path, name: str) -> None:
        path = written(tmp_path, name, "\n \n")

        with pytest.raises(DataError) as caught:
            read_questions(path, labelled=False)

        assert str(caught.value) == f"{path}: the file holds no questions: write at least one"

    def test_that_are_absent_or_folders_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "folder.txt").mkdir()

        for name in ("absent.txt", "folder.txt"):
            with pytest.raises(ConvertError, match=name):
                read_questions(tmp_path / name, labelled=False)


class TestReadOptions:
    def test_name_the_columns_and_the_encoding(self, tmp_path: Path) -> None:
        path = written(tmp_path, "q.csv", "Nr;Frage;Art\n1;Où?;LOC\n".encode("cp1252"))
        reading = ReadOptions(encoding="cp1252", text_field="Frage", label_field="art")

        assert read_questions(path, labelled=True, reading=reading) == [
            Example(text="Où?", label="LOC")
        ]

    def test_classes_show_the_column_of_labels_without_a_header(self, tmp_path: Path) -> None:
        path = written(tmp_path, "q.csv", 'HUM,"Who, me?"\nNUM,How?\n')
        reading = for_model(ReadOptions(), {"labels.json": b'["HUM", "NUM"]'})

        assert read_questions(path, labelled=True, reading=reading) == [
            Example(text="Who, me?", label="HUM"),
            Example(text="How?", label="NUM"),
        ]

    def test_numbers_are_no_labels_unless_a_class_has_such_a_name(self) -> None:
        numbered = [Example(text="Who?", label="0"), Example(text="How?", label="1")]

        assert [q.label for q in without_numbers(numbered, ["HUM", "NUM"])] == [None, None]
        assert without_numbers(numbered, ["0", "1", "2"]) == numbered
        assert without_numbers([Example(text="Who?", label="HUM")], ["A"])[0].label == "HUM"


class TestExampleQuestions:
    """The questions of the demo, and their labels."""

    def test_cover_all_six_classes_evenly(self, examples: Path) -> None:
        labels = [q.label for q in read_questions(examples / "labelled.tsv", labelled=True)]

        counts = {label: labels.count(label) for label in set(labels)}
        assert len(labels) >= 60
        assert set(counts) == {"ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"}
        assert min(counts.values()) >= 10

    def test_are_the_same_with_and_without_labels(self, examples: Path) -> None:
        labelled = [q.text for q in read_questions(examples / "labelled.tsv", labelled=True)]
        dropped = [
            q.text for path in examples.glob("*.txt") for q in read_questions(path, labelled=False)
        ]

        assert sorted(dropped) == sorted(labelled)

    @pytest.fixture
    def examples(self, request: pytest.FixtureRequest) -> Path:
        return request.config.rootpath / "examples" / "questions"
