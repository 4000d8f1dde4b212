"""Tables and label files: separators, columns, headers, and what is refused when they cannot be found."""

from __future__ import annotations

import pytest
from file_support import ask, refusal, texts

LABELS = ("HUM", "NUM", "DESC")
ASKED = [("1", "Who wrote Hamlet?"), ("2", "How far is the moon, really?")]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("kind", [".csv", ".tsv"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_separator_is_found_from_the_header(separator: str, kind: str, end: str) -> None:
    rows = [("id", "text"), *((name, f'"{text}"') for name, text in ASKED)]
    assert texts(f"q{kind}", "".join(separator.join(row) + end for row in rows)) == ASKED


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;"])
def test_a_line_that_names_the_separator_is_obeyed(first: str) -> None:
    # Without the line, the comma would give a column `text` first.
    data = f"{first}\r\nid;question, or what;text\r\n7;x;Who?\r\n"
    assert texts("q.csv", data) == [("7", "Who?")]


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("id,text", "b"),
        ("Text,answer", "a"),
        ("answer,Question", "b"),
        ("n,QUERY", "b"),
        ("sentence,label", "a"),
        ("intent,Utterance", "b"),
        ("n,Question Text", "b"),
        ("question,text", "b"),
        ("TEXT,Question", "a"),
    ],
)
def test_the_column_of_the_text_has_a_known_name(header: str, text: str) -> None:
    assert texts("q.csv", f"{header}\na,b\n")[0][1] == text


def test_settings_name_other_columns() -> None:
    data = "nr,body,text\n7,Who?,x\n"
    assert texts("q.csv", data, text_field="body", id_field="NR") == [("7", "Who?")]
    assert refusal("q.csv", data, text_field="title") == (
        "no_text_column",
        "the first line has no field 'title' among nr, body, text: set text_field (--text-field) to one of them; if it"
        " is not a header, put one above it that names each column, such as 'label,text,column3'",
    )


def test_a_table_of_one_column_has_a_text_on_each_line() -> None:
    assert texts("q.csv", "text\nWho, me?\na; b\tc|d\n") == [(2, "Who, me?"), (3, "a; b\tc|d")]


def test_a_header_that_leaves_the_text_open_is_refused_with_what_to_do() -> None:
    assert refusal("q.csv", "text,Text\na,b\n") == (
        "no_text_column",
        "2 columns are named 'text': rename all but one of them",
    )
    assert texts("q.csv", "text,Text\na,b\n", text_field="Text") == [(2, "b")]
    code, message = refusal("q.csv", "nr;body\n1;Who?\n")
    assert code == "no_text_column"
    assert message.startswith("the first line has no text among the fields nr, body: name one text")


def test_rows_with_other_numbers_of_fields_fail_alone() -> None:
    found = ask("q.csv", "id,text\n1,Who, me?\n2,ok then,\n3\n")
    assert [(r.id, r.fault and r.fault.code) for r in found] == [
        ("1", "bad_record"),
        ("2", None),
        ("3", "no_text"),
    ]
    assert found[0].fault is not None
    assert "a text that holds ',' needs quotes" in found[0].fault.message


def test_quotes_in_tables_with_tabs_may_be_part_of_a_text() -> None:
    data = 'id\ttext\n1\tWho wrote "Hamlet"?\n2\t"Hamlet" is by whom?\n3\t"a\tb"\n'
    assert texts("q.tsv", data) == [
        ("1", 'Who wrote "Hamlet"?'),
        ("2", '"Hamlet" is by whom?'),
        ("3", "a\tb"),
    ]


PAIRS = [("HUM", "Who wrote Hamlet?"), ("NUM", "How far is it?"), ("HUM", "Anyone?")]


@pytest.mark.parametrize("name", ["q.tsv", "q.txt", "q.csv"])
@pytest.mark.parametrize("turned", [False, True])
def test_labels_beside_texts_need_no_header(name: str, turned: bool) -> None:
    separator = "," if name == "q.csv" else "\t"
    data = "".join(separator.join(pair[::-1] if turned else pair) + "\r\n" for pair in PAIRS)
    expected = [(n, text) for n, (_, text) in enumerate(PAIRS, 1)]
    assert texts(name, data, labels=LABELS) == expected
    found = ask(name, data, labels=LABELS, examples=True)
    assert [(r.label, r.text) for r in found] == PAIRS


def test_labels_of_no_model_are_one_word_where_texts_have_several() -> None:
    data = (
        "ham\tGo until Jurong point\nspam\tFree entry in a competition\nham\tFine if so\nham\tOk\n"
    )
    for name in ("q.tsv", "q.txt"):
        assert [r.label for r in ask(name, data, examples=True)] == ["ham", "spam", "ham", "ham"]
        assert texts(name, data)[3] == (4, "Ok")


@pytest.mark.parametrize(
    "data",
    [
        "name\tbody\nAnna\tWho are you?\n",  # the first line may be a header
        "a b\tc d\ne f\tg h\n",  # two texts
        "HUM\tWho?\nLOC:city\tWhere?\nBROKEN\tWhat?\n",  # labels of another model
        "1\tWho is it?\t0.5\n2\tWhere is it?\t0.1\n",  # three columns
    ],
)
def test_a_file_whose_text_is_not_certain_is_refused_or_text(data: str) -> None:
    code, message = refusal("q.tsv", data, labels=("HUM", "LOC"))
    assert code == "no_text_column"
    assert "; if it is not a header, put one above it that names each column, such as '" in message
    assert texts("q.txt", data, labels=("HUM", "LOC"))[0] == (1, data.partition("\n")[0])


@pytest.mark.parametrize(
    ("name", "row", "header"),
    [
        (
            "ag.csv",
            '"3","Bears claw back","Reuters - Short-sellers are seeing green."',
            "label,column2,text",
        ),
        ("yelp.csv", '"1","Been there, for years."', "label,text"),
        ("q.tsv", "gj04\t1\t\tFriends will not buy it", "label\tcolumn2\tcolumn3\ttext"),
        ("q.csv", '"Who wrote it, and when?"', "text"),
    ],
)
def test_the_header_that_a_refusal_shows_makes_the_file_readable(
    name: str, row: str, header: str
) -> None:
    assert refusal(name, f"{row}\n{row}\n")[1].endswith(f"such as {header!r}")
    assert len(ask(name, f"{header}\n{row}\n{row}\n")) == 2
    assert all(record.fault is None for record in ask(name, f"{header}\n{row}\n"))


def test_a_row_that_breaks_the_rules_of_csv_says_which() -> None:
    found = ask("q.csv", 'text,n\n"a \\"b\\", c",1\na b\rc d,2\nok,3\n')
    assert [r.fault and r.fault.message for r in found] == [
        "',' expected after '\"': a field with quotes needs quotes around it, and its own written twice",
        "a CR within the row: end every line in the same way",
        None,
    ]


def test_a_text_file_with_a_header_and_tabs_is_a_table() -> None:
    data = "id\ttext\r\n7\tWho?\r\n".encode("utf-16")  # a spreadsheet's "Unicode text"
    assert texts("q.txt", data) == [("7", "Who?")]
    assert texts("q.txt", "one\nwith\ttab\n") == [(1, "one"), (2, "with\ttab")]


def test_the_labels_of_fasttext_are_no_part_of_the_text() -> None:
    data = "__label__HUM __label__ind Who wrote it?\n\n__label__NUM How far?\n"
    assert texts("q.txt", data) == [(1, "Who wrote it?"), (3, "How far?")]
    assert [r.label for r in ask("q.txt", data, examples=True)] == ["HUM", "NUM"]
    mixed = data + "What is __label__?\n"
    assert texts("q.txt", mixed)[-1] == (4, "What is __label__?")


@pytest.mark.parametrize("name", ["q.txt", "q.csv", "q.tsv", "q.jsonl", "q.json", "q.label"])
@pytest.mark.parametrize("data", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_a_file_without_questions_is_refused(name: str, data: bytes) -> None:
    assert refusal(name, data) == ("empty", "the file holds no questions: write at least one")


def test_a_header_alone_holds_no_questions() -> None:
    for name, data in {"q.csv": "id,text\n", "q.tsv": "label\ttext\n"}.items():
        assert refusal(name, data)[0] == "empty"
