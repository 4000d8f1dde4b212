"""Parts of an input, read separately, have the same questions as the input; files appear whole or not at all."""

from __future__ import annotations

import csv
import hashlib
import json
from io import BytesIO, StringIO
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from batch_support import asked_in_parts
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet as pq

from spikewatch.daemon.batch import parquet, parts, stores
from spikewatch.daemon.errors import BatchError, RejectedInputError
from spikewatch.simcore.question_files import (
    InputRecord,
    QuestionFileError,
    ReadOptions,
    questions,
)

if TYPE_CHECKING:
    from pathlib import Path

READ = ReadOptions()

# Bytes that often form quotes, escapes, line ends and blank lines.
SCRAPS = st.lists(
    st.sampled_from(
        ['"', '""', ",", "\n", "\r\n", "\t", "who", "é", "\ufeff", " ", '{"text":"a"}', "{", "1,x"]
    ),
    max_size=60,
).map("".join)


def whole(data: bytes, kind: str) -> list[InputRecord]:
    return list(chain.from_iterable(questions(BytesIO(data).read, kind, READ)))


def table(rows: list[list[str]], **options: Any) -> bytes:
    out = StringIO()
    csv.writer(out, **options).writerows([["id", "text"], *rows])
    return out.getvalue().encode()


@given(
    scraps=SCRAPS,
    kind=st.sampled_from([".txt", ".jsonl", ".csv", ".tsv"]),
    part_bytes=st.integers(1, 40),
    table_rows=st.integers(1, 3),
    mark=st.booleans(),
)
def test_parts_hold_the_questions_of_the_whole_with_their_ids_and_faults(
    scraps: str, kind: str, part_bytes: int, table_rows: int, mark: bool
) -> None:
    header = {".csv": '"x\ny",text\n', ".tsv": "text\tid\n"}.get(kind, "")
    data = (b"\xef\xbb\xbf" if mark else b"") + (header + scraps).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spikewatch.simcore.question_files.tables.TABLE_ROWS", table_rows)
        check_parts(data, kind, part_bytes)


def check_parts(data: bytes, kind: str, part_bytes: int) -> None:
    try:
        expected = whole(data, kind)
    except QuestionFileError as e:
        with pytest.raises(QuestionFileError) as found:
            asked_in_parts(data, kind, part_bytes)
        assert (found.value.code, str(found.value)) == (e.code, str(e))
    else:
        assert asked_in_parts(data, kind, part_bytes)[0] == expected


def test_a_table_with_line_ends_in_its_fields_is_cut_between_rows() -> None:
    rows = [["", f'line\nof "{i}"\r\n'] for i in range(5000)]
    data = table(rows)
    found, count = asked_in_parts(data, ".csv", 64)
    assert count == 10
    assert [q.text for q in found] == [text for _, text in rows]
    assert [q.id for q in found] == [2 + 3 * i for i in range(5000)]


def test_a_part_whose_bytes_changed_after_the_scan_is_refused() -> None:
    data = b"".join(b"line %d\n" % i for i in range(100))
    found = parts.scan(BytesIO(data), ".txt", part_bytes=200, options=READ)
    other = data.replace(b"line 50", b"lime 50")
    refused = []
    for part in found.parts:
        try:
            with parts.part_questions(BytesIO(other), ".txt", found.head, part) as asked:
                list(asked)
        except RejectedInputError as e:
            refused.append((part.number, e.code))
    at = data.index(b"line 50")
    assert refused == [
        (p.number, "changed") for p in found.parts if p.first <= at < (p.last or len(data))
    ]


def parquet_file(groups: int = 1, **columns: Any) -> BytesIO:
    file = BytesIO()
    held = pa.table(columns)
    pq.write_table(held, file, row_group_size=max(1, held.num_rows // groups))
    return file


def test_parquet_is_cut_between_row_groups_and_numbered_through() -> None:
    texts = [f"text {i}" for i in range(100)]
    file = parquet_file(groups=10, text=texts)
    found = parquet.scan(file, part_bytes=300, options=READ)
    assert 2 <= len(found.parts) < 10
    assert found.sha256 == hashlib.sha256(file.getvalue()).hexdigest()
    asked = [
        q
        for p in found.parts
        for batch in parquet.PartQuestions(file, p, READ).batches(7)
        for q in batch
    ]
    assert asked == [InputRecord(i + 1, text) for i, text in enumerate(texts)]


def test_parquet_nulls_dictionaries_and_bytes_that_are_no_text_are_told_apart() -> None:
    bad = pa.array([b"a", b"\xff", None, b"d"], pa.binary()).view(pa.string())
    file = parquet_file(text=bad, ID=pa.array(["x", None, "z", "w"]).dictionary_encode())
    found = parquet.scan(file, part_bytes=1, options=READ)
    asked = [
        q
        for p in found.parts
        for batch in parquet.PartQuestions(file, p, READ).batches(2)
        for q in batch
    ]
    assert [(q.id, q.text, q.fault and q.fault.code) for q in asked] == [
        ("x", "a", None),
        (2, None, "bad_text"),
        ("z", None, "no_text"),
        ("w", "d", None),
    ]


@pytest.mark.parametrize(
    ("columns", "code", "message"),
    [
        (
            {"words": ["a"]},
            "no_text_column",
            "no text among the fields words: name one text, or set text_field",
        ),
        ({"text": [1]}, "no_text_column", "column 'text' is int64, expected string"),
        (
            {"text": ["a"], "id": [1.5]},
            "bad_id",
            "column 'id' is double, expected string or integer",
        ),
        ({"text": ["a"], "Text": ["a"]}, "bad_parquet", "2 columns are named 'text'"),
        ({"text": pa.array([], pa.string())}, "empty", "no row in "),
    ],
)
def test_parquet_without_questions_is_refused(
    columns: dict[str, Any], code: str, message: str
) -> None:
    with pytest.raises(RejectedInputError) as found:
        parquet.scan(parquet_file(**columns), part_bytes=None, options=READ)
    assert found.value.code == code
    assert str(found.value).startswith(message)


def test_damaged_parquet_is_refused_in_one_line() -> None:
    file = parquet_file(text=["a"] * 100)
    for damaged in (b"", b"PAR1", file.getvalue()[:-9], b"\0" * 100):
        with pytest.raises(RejectedInputError) as found:
            parquet.scan(BytesIO(damaged), part_bytes=None, options=READ)
        assert found.value.code == "bad_parquet"
        assert "\n" not in str(found.value)


def test_a_changed_row_group_is_refused() -> None:
    found = parquet.scan(
        parquet_file(groups=4, text=[f"a{i}" for i in range(40)]), part_bytes=1, options=READ
    )
    other = parquet_file(groups=4, text=[f"a{i}" if i != 35 else "b9" for i in range(40)])
    parquet.PartQuestions(other, found.parts[0], READ)
    with pytest.raises(RejectedInputError, match="its bytes changed while it was read"):
        parquet.PartQuestions(other, found.parts[-1], READ)


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> stores.Store:
    place = str(tmp_path / "out") if request.param == "local" else f"memory://{tmp_path.name}/out"
    return stores.Store.make(place)


def test_a_file_is_written_whole_or_not_at_all(store: stores.Store) -> None:
    def broken(out: Any) -> None:
        out.write(b"half")
        raise RejectedInputError("changed", "on the way")

    with pytest.raises(RejectedInputError):
        store.write("a/part", broken)
    assert store.read("a/part") is None
    assert store.listing("a") == []
    for data in (b"one", b"the other"):
        written = store.write("a/part", lambda out, data=data: out.write(data))  # type: ignore[misc]
        assert (written.value, written.size) == (len(data), len(data))
        assert store.read("a/part") == data
        assert store.digest("a/part") == written.sha256 == hashlib.sha256(data).hexdigest()
    assert store.listing("a") == ["part"]
    store.remove("a/part")
    store.remove("a/part")
    assert store.digest("a/part") is None


def test_what_a_store_refuses_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BatchError, match=r"^.*/file/out: Not a directory$"):
        stores.Store.make(str(tmp_path / "file" / "out"))
    with pytest.raises(BatchError, match=r"^.*/file: Not a directory$"):
        stores.Store.make(str(tmp_path / "file"))
    with pytest.raises(BatchError, match=r"^nosuch://a: Protocol not known: nosuch$"):
        stores.Store.make("nosuch://a")


def test_patterns_name_each_file_once_and_in_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "c[1].txt", "sub/d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(name))
    given = [f"{tmp_path}/*.txt", f"{tmp_path}/a.txt", f"file://{tmp_path}/c[1].txt"]
    assert [url.rpartition("/")[2] for url in stores.expand(given)] == [
        "a.txt",
        "b.txt",
        "c[1].txt",
    ]
    assert len(stores.expand([f"{tmp_path}/**/*.txt"])) == 4
    for nothing in ("e.txt", "*.csv", "sub"):
        with pytest.raises(BatchError, match="no such file, and no file matches it as a glob"):
            stores.expand([f"{tmp_path}/{nothing}"])
