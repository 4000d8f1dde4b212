"""Lookups with wrong values, and some with valid indices that would still take hours, or memory without bound."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from mutate import looking_tokenizer

from spikewatch.convert.lookup import compile_tokenizer
from spikewatch.simcore import InputError, ModelError
from spikewatch.simcore.text.lookup import Lookup, LookupSplitter
from spikewatch.simcore.text.lookup_format import CODE_POINTS, MAP, PAGE, SPELLED

if TYPE_CHECKING:
    from numpy.typing import NDArray


@cache
def good() -> Lookup:
    return compile_tokenizer(looking_tokenizer())


def read(**changes: NDArray[np.generic]) -> LookupSplitter:
    return LookupSplitter(Lookup.from_bytes(replace(good(), **changes).to_bytes()))


def test_a_million_equal_words_are_refused_before_each_is_compared_with_all() -> None:
    n = 2**20
    with pytest.raises(ModelError, match="^lookup: duplicate word 1$"):
        read(
            word_bytes=np.full(n, ord("a"), dtype=np.uint8),
            word_ends=np.arange(1, n + 1, dtype=np.int32),
            word_ids=np.zeros(n, dtype=np.int32),
        )


def letters() -> dict[str, NDArray[np.generic]]:
    return {
        "word_bytes": np.frombuffer(b"aaaaaab", dtype=np.uint8),
        "word_ends": np.array([1, 3, 6, 7], dtype=np.int32),
        "word_ids": np.array([4, 5, 6, 7], dtype=np.int32),
    }


def test_without_an_unknown_word_a_text_that_cannot_be_encoded_has_the_single_id_minus_1() -> None:
    lookup = replace(good(), unknown=-1, **letters())
    assert (good().version, lookup.version) == (1, 2)
    loaded = Lookup.from_bytes(lookup.to_bytes())
    assert (loaded.unknown, loaded.model) == (-1, "word-level")
    ids, starts = LookupSplitter(loaded).split(["aaa b", "aa zzz b", "", "a"])
    assert (ids.tolist(), starts.tolist()) == ([6, 7, -1, 4], [0, 2, 3, 3, 4])


def test_a_file_of_version_1_holds_nothing_of_version_2() -> None:
    data = replace(good(), unknown=-1).to_bytes().replace(b'\\"version\\":2', b'\\"version\\":1')
    with pytest.raises(ModelError, match="^lookup: not of version 1, as its metadata state$"):
        Lookup.from_bytes(data)


def test_an_unknown_model_or_version_is_named() -> None:
    data = replace(good(), unknown=-1).to_bytes()
    with pytest.raises(ModelError, match="^lookup: model 'sentence-l' is not known"):
        Lookup.from_bytes(data.replace(b"word-level", b"sentence-l"))
    with pytest.raises(ModelError, match="^lookup: schema version 3, expected 1 or 2$"):
        Lookup.from_bytes(data.replace(b'\\"version\\":2', b'\\"version\\":3'))


def test_words_of_one_letter_more_are_not_the_same_word() -> None:
    splitter = read(**letters())
    assert splitter.split(["aaa b aa a"])[0].tolist() == [6, 7, 5, 4]


def test_a_text_grows_no_further_than_the_limit_by_several_maps() -> None:
    """The last map writes what still fits, and then letters as they are: these count as well."""
    cells = np.zeros((3, PAGE), dtype=np.int32)
    cells[1, [ord("b"), ord("c")]] = SPELLED, SPELLED + 65
    cells[2, ord("b")] = SPELLED
    index = np.zeros((2, CODE_POINTS // PAGE), dtype=np.int32)
    index[:, 0] = 1, 2
    splitter = read(
        map_index=index,
        map_cells=cells,
        pool=np.array([64, *b"b" * 64, 64, *b"d" * 64], dtype=np.int32),
        code=good().code[:0],
        steps=np.array([[MAP, 0, 0, 0], [MAP, 1, 0, 0]], dtype=np.int32),
    )
    assert splitter.split(["b" + "c" * 100])[0].tolist() == [0]
    with pytest.raises(
        InputError, match=r"^text 0: splitting it into words takes more steps than the limit$"
    ):
        splitter.split(["bb" + "c" * 100])


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "each", [200, pytest.param(6000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])]
)
def test_lookups_with_wrong_values_neither_crash_nor_take_memory(each: int) -> None:
    """Lookups of every model and step that are still accepted also split texts, in a process with little memory."""
    script = Path(__file__).with_name("mutate_lookups.py")
    child = subprocess.run(
        [sys.executable, script, str(each)], capture_output=True, text=True, check=False
    )
    assert (child.returncode, child.stderr) == (0, "")
    found = json.loads(child.stdout)
    assert found["wrong"] == []
    assert sum(found["counts"].values()) == 5 * each
    assert (
        min(found["counts"].values()) >= each / 10
    )  # of every model some were read, and some refused
