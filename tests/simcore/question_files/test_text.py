"""Encodings and line ends."""

from __future__ import annotations

import pytest
from file_support import ask, in_pieces, outcome, refusal, texts
from hypothesis import given
from hypothesis import strategies as st

from spikewatch.simcore.question_files import ReadOptions

ASKED = [(1, "Où est le café ?"), (2, "😀 who?")]
CONTENT = "".join(text + "\r\n" for _, text in ASKED)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_decides_whatever_is_set(encoding: str) -> None:
    data = CONTENT.encode(encoding)
    assert texts("q.txt", data) == ASKED
    assert texts("q.txt", data, encoding="cp1252") == ASKED


def test_both_byte_orders_are_read() -> None:
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        assert texts("q.txt", mark + CONTENT.encode(encoding)) == ASKED
        code, message = refusal("q.txt", CONTENT.replace("Où", "Ou").encode(encoding))
        assert code == "bad_encoding"
        assert message.endswith(f"set encoding to {encoding} (--encoding {encoding})")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", ["Who?\nWhat is it?\n", "Кто написал?\nЧто?\n", "誰?\n何?\n"])
def test_wide_text_without_a_mark_is_refused_and_read_when_the_encoding_is_set(
    encoding: str, text: str
) -> None:
    asked = [(n, line) for n, line in enumerate(text.split("\n")[:-1], 1)]
    if not (encoding == "utf-16-le" and text.startswith("誰")):  # the one that is not UTF-8 either
        code, message = refusal("q.txt", text.encode(encoding))
        assert code in {"bad_encoding", "bad_utf8"}
        assert "set encoding to" in message
    assert texts("q.txt", text.encode(encoding), encoding=encoding) == asked


@pytest.mark.parametrize("name", ["q.txt", "q.csv", "q.tsv"])
def test_a_text_with_a_nul_byte_fails_alone(name: str) -> None:
    header = "" if name == "q.txt" else "text\n"
    found = ask(name, f"{header}Who wrote it?\nWh\0t?\n" + "\0" * 9)
    assert [r.fault and r.fault.code for r in found] == [None, "bad_text", "bad_text"]


@pytest.mark.parametrize("name", ["q.txt", "q.csv", "q.jsonl", "q.json"])
def test_bytes_of_another_encoding_are_refused_with_what_to_do_and_read_when_it_is_set(
    name: str,
) -> None:
    content = {
        "q.txt": "Who?\nOù?\n",
        "q.csv": "text\nOù?\n",
        "q.jsonl": '{"text": "Who?"}\n{"text": "Où?"}\n',
        "q.json": '["Who?",\n"Où?"]',
    }[name]
    data = content.encode("cp1252")
    code, message = refusal(name, data)
    assert code == "bad_utf8"
    assert message.startswith("line 2: byte 0xf9 at ")
    assert message.endswith(
        "is not UTF-8: save the file as UTF-8, or set encoding to what it was saved in (--encoding cp1252"
        " for most files of Windows)"
    )
    assert texts(name, data, encoding="Windows-1252")[-1][1] == "Où?"


def test_bytes_that_the_set_encoding_does_not_know_are_refused_with_the_line() -> None:
    assert refusal("q.txt", b"Who?\nwhat\x81\n", encoding="cp1252") == (
        "bad_encoding",
        "line 2: byte 0x81 is not cp1252: set encoding to what the file was saved in",
    )


@pytest.mark.parametrize("name", ["latin", "base64", "idna", ""])
def test_what_is_no_encoding_is_refused(name: str) -> None:
    if name == "latin":
        assert ReadOptions(encoding=name).encoding == "iso8859-1"
        return
    with pytest.raises(ValueError, match="expected an encoding such as utf-8"):
        ReadOptions(encoding=name)


@given(
    st.text(alphabet="aé\n\r€\U0001f600,\t", max_size=60),
    st.sampled_from(["utf-16", "utf-32", "utf-8-sig"]),
    st.sampled_from(["q.txt", "q.csv", "q.jsonl"]),
    st.lists(st.integers(1, 9), min_size=1, max_size=3),
)
def test_a_file_means_the_same_in_every_encoding(
    text: str, encoding: str, name: str, sizes: list[int]
) -> None:
    content = {"q.csv": "text\n", "q.jsonl": '"x"\n'}.get(name, "") + text
    plain = outcome(name, in_pieces(content.encode(), sizes))
    assert outcome(name, in_pieces(content.encode(encoding), sizes)) == plain
