"""What a worker holds of an input is bounded by bytes, not only by questions."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from spikewatch.daemon.batch import columns, parquet
from spikewatch.daemon.batch.pages import MOST_PAGE_BYTES, pages
from spikewatch.daemon.errors import RejectedInputError
from spikewatch.simcore.question_files import InputRecord, ReadOptions
from spikewatch.simcore.question_files.portions import PORTION_CHARACTERS

READ = ReadOptions()


def written(texts: Any, **options: Any) -> BytesIO:
    file = BytesIO()
    pq.write_table(pa.table({"text": texts}), file, **options)
    return file


def asked(file: BytesIO) -> list[list[InputRecord]]:
    found = parquet.scan(file, part_bytes=None, options=READ)
    (part,) = found.parts
    return list(parquet.PartQuestions(file, part, READ).batches(512))


@pytest.mark.parametrize("dictionary", [False, True])
def test_long_texts_of_parquet_come_in_small_batches(dictionary: bool) -> None:
    texts = ["a" * 900_000 for i in range(30)]
    batches = asked(written(texts, use_dictionary=dictionary, write_batch_size=4))
    assert [record.text for batch in batches for record in batch] == texts
    assert [record.id for batch in batches for record in batch] == list(range(1, 31))
    assert max(len(batch) for batch in batches) * 900_000 <= PORTION_CHARACTERS


def test_a_text_of_parquet_that_is_too_long_fails_alone() -> None:
    texts = ["a", None, "b" * (READ.max_line_bytes + 1), "c" * READ.max_line_bytes, "d"]
    found = [record for batch in asked(written(texts)) for record in batch]
    assert [record.fault and record.fault.code for record in found] == [
        None, "no_text", "too_long", None, None,
    ]  # fmt: skip
    assert [record.id for record in found] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("dictionary", [False, True])
def test_a_page_that_unpacks_to_much_is_refused(dictionary: bool) -> None:
    texts = [str(i) + "a" * 900_000 for i in range(40)]
    file = written(texts, use_dictionary=dictionary, compression="zstd")
    assert len(file.getvalue()) < 1 << 20
    with pytest.raises(RejectedInputError, match=rf"expected at most {MOST_PAGE_BYTES}") as refused:
        parquet.scan(file, part_bytes=None, options=READ)
    assert refused.value.code == "bad_parquet"


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_the_headers_of_all_pages_are_read(version: str) -> None:
    texts = [f"question {i}" for i in range(5000)]
    file = written(texts, row_group_size=1000, data_page_size=500, data_page_version=version)
    facts = pq.ParquetFile(file).metadata
    for i in range(facts.num_row_groups):
        found = list(pages(file, facts.row_group(i).column(0)))
        assert sum(page.values or 0 for page in found) == facts.row_group(i).num_rows
        assert found[0].values is None, "the dictionary"


def test_a_row_group_of_the_result_ends_with_its_characters() -> None:
    out = BytesIO()
    result = columns.Columns(out, ["HUM", "NUM"], strings=False)
    size = columns.GROUP_CHARACTERS // 4
    for i in range(10):
        result.add([(InputRecord(i, "a" * size), None)])
    result.close()
    facts = pq.ParquetFile(out).metadata
    assert [facts.row_group(i).num_rows for i in range(facts.num_row_groups)] == [4, 4, 2]
