"""The words of the calibration questions, as the network reads them."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ...simcore.text.splitting import UNKNOWN, UNSPLIT, LibrarySplitter, failures
from ..errors import ConvertError, DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from ..read import FloatModel


def longest_question(texts: Sequence[str], tokenizer: Tokenizer) -> int:
    """Return the number of words of the longest question, with those that a network may skip."""
    _, starts = LibrarySplitter(tokenizer).split(texts)
    return int(np.diff(starts).max(initial=0))


def question_words(
    texts: Sequence[str],
    tokenizer: Tokenizer,
    float_model: FloatModel,
    note: Callable[[str], None],
) -> list[NDArray[np.int64]]:
    """Split calibration questions into word ids, without those that the network skips.

    Parameters
    ----------
    texts
        The questions.
    tokenizer
        From `read_tokenizer`.
    float_model
        The network.
    note
        Called with one line if questions cannot be split, and one if words are skipped.

    Returns
    -------
    list of int64 (words,)
        The words of each question; none if it holds none, or cannot be split.

    Raises
    ------
    ConvertError
        The tokenizer does not fit the network.
    DataError
        The tokenizer cannot split any question.

    """
    splitter = LibrarySplitter(tokenizer)
    rows = len(float_model.network.rows)
    if splitter.highest >= rows:
        raise ConvertError(
            f"tokenizer.json: word id {splitter.highest}, but the embedding has rows 0..{rows - 1}"
        )
    ids, starts = splitter.split(texts)
    _note_failures(texts, failures(ids, starts).tolist(), splitter, note)
    _refuse_unusable(ids, tokenizer, float_model)
    skipped = np.isin(ids, sorted(float_model.skipped))
    if skipped.any():
        found, counts = np.unique(ids[skipped], return_counts=True)
        note(
            "as the model does, words are skipped: "
            + ", ".join(
                f"{_word(tokenizer, i)} (id {i}, {n} times)"
                for i, n in zip(found.tolist(), counts.tolist(), strict=True)
            )
        )
    words = [ids[a:b] for a, b in pairwise(starts.tolist())]
    ignored = [*float_model.skipped, UNKNOWN, UNSPLIT]
    return [question[~np.isin(question, ignored)] for question in words]


def _note_failures(
    texts: Sequence[str], failed: list[int], splitter: LibrarySplitter, note: Callable[[str], None]
) -> None:
    """Report the questions that the tokenizer cannot split; raise if these are all."""
    if not failed:
        return
    reason = splitter.reason(texts[failed[0]])
    if len(failed) == len(texts):
        raise DataError(
            f"tokenizer.json: the tokenizers library splits none of the questions: {reason}"
        )
    note(
        f"{len(failed)} of {len(texts)} calibration questions are left out, and such a question gets no answer:"
        f" the tokenizer cannot split {json.dumps(texts[failed[0]][:60])}: {reason}"
    )


def _refuse_unusable(ids: NDArray[np.int64], tokenizer: Tokenizer, float_model: FloatModel) -> None:
    """Raise ConvertError if questions hold, or the unknown token has, an id that the model does not take for a word."""
    unusable = float_model.unusable
    found = np.isin(ids, sorted(unusable))
    wrong = ids[found].tolist() or [i for i in [_unknown_id(tokenizer)] if i in unusable]
    if wrong:
        raise ConvertError(
            f"tokenizer.json: {_word(tokenizer, wrong[0])} has id {wrong[0]}, {unusable[wrong[0]]}"
        )


def _word(tokenizer: Tokenizer, i: int) -> str:
    return repr(tokenizer.id_to_token(i))


def _unknown_id(tokenizer: Tokenizer) -> int | None:
    """Return the id of the unknown token, None if there is none."""
    model: dict[str, Any] = json.loads(tokenizer.model.__getstate__())
    if "unk_id" in model:  # Unigram
        unknown: int | None = model["unk_id"]
        return unknown
    token = model.get("unk_token")
    return None if token is None else tokenizer.token_to_id(token)
