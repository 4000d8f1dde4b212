"""Split the calibration questions into the words that the network reads."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from tokenizers import Tokenizer

from ...simcore.encoder import MAX_SPECIAL
from ...simcore.limits import MAX_WORDS
from ...simcore.text.splitting import (
    UNKNOWN,
    UNSPLIT,
    LibrarySplitter,
    failures,
)
from ..errors import ConvertError, DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ..read import FloatModel
    from ..words.tokenizer_file import PadTo

MOST_BEYOND: Final = 0.25
"""Largest share of the calibration questions that may hold a word beyond the embedding."""


def longest_question(texts: Sequence[str], tokenizer: Tokenizer) -> int:
    """Return the number of words of the longest question, with those that a network may skip."""
    _, starts = LibrarySplitter(tokenizer).split(texts)
    return min(int(np.diff(starts).max(initial=0)), MAX_WORDS)  # longer ones get no answer


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
    ids, starts = splitter.split(texts)
    _note_failures(texts, failures(ids, starts).tolist(), splitter, note)
    beyond = _beyond(ids, starts, tokenizer, splitter.highest, float_model, note)
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
    words = [
        question[:0] if i in beyond else question[~np.isin(question, ignored)]
        for i, question in enumerate(words)
    ]
    return _without_long_ones(words, note)


def _without_long_ones(
    words: list[NDArray[np.int64]], note: Callable[[str], None]
) -> list[NDArray[np.int64]]:
    """Return the words of questions, none for those that a core does not answer because they are too long."""
    longest = max(map(len, words), default=0)
    if longest <= MAX_WORDS:
        return words
    long = sum(len(question) > MAX_WORDS for question in words)
    note(
        f"{long} of {len(words)} questions are left out, and such a question gets no answer: {longest} words, limit"
        f" {MAX_WORDS}"
    )
    return [question[:0] if len(question) > MAX_WORDS else question for question in words]


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


def _beyond(
    ids: NDArray[np.int64],
    starts: NDArray[np.int64],
    tokenizer: Tokenizer,
    highest: int,
    float_model: FloatModel,
    note: Callable[[str], None],
) -> set[int]:
    """Return the questions that hold a word beyond the embedding, on which the model file itself fails.

    A tokenizer often has a few more tokens than the network, which few texts hold.  If many texts hold one, or unknown
    words become one, it is the tokenizer of another network.
    """
    rows = len(float_model.network.rows)
    if highest < rows:
        return set()
    found = set((np.searchsorted(starts, np.flatnonzero(ids >= rows), side="right") - 1).tolist())
    limits = f"the embedding has rows 0..{rows - 1}"
    questions = len(starts) - 1
    named = int(ids[ids >= rows][0]) if found else highest
    word = f"{_word(tokenizer, named)} has id {named}, but {limits}"
    if (_unknown_id(tokenizer) or 0) >= rows or highest - rows >= MAX_SPECIAL:
        raise ConvertError(f"tokenizer.json: word id {highest}, but {limits}")
    if len(found) > MOST_BEYOND * questions:
        raise ConvertError(
            f"tokenizer.json: {word}; {len(found)} of {questions} calibration questions hold such a word, so this is"
            " not the network's tokenizer"
        )
    note(
        f"warning: tokenizer.json: {word}, so the file fails on it; a question with such a word gets no answer"
        f" (unknown_word): {len(found)} of {questions} calibration questions"
    )
    return found


def _refuse_unusable(ids: NDArray[np.int64], tokenizer: Tokenizer, float_model: FloatModel) -> None:
    """Raise ConvertError if questions hold, or the unknown token has, an id that the model does not take for a word."""
    unusable = float_model.unusable
    found = np.isin(ids, sorted(unusable))
    wrong = ids[found].tolist() or [i for i in [_unknown_id(tokenizer)] if i in unusable]
    if wrong:
        raise ConvertError(
            f"tokenizer.json: {_word(tokenizer, wrong[0])} has id {wrong[0]}, {unusable[wrong[0]]}"
        )


def note_lengths(
    words: Sequence[NDArray[np.int64]],
    tokenizer: Tokenizer,
    float_model: FloatModel,
    note: Callable[[str], None],
) -> None:
    """Report what lengths the model file takes, and how many questions have others."""
    limit = float_model.limit(words)
    if limit is None:
        return
    if not all(float_model.can_run(question) for question in words):
        limit = f"warning: {limit}"
        if tokenizer.padding is None:
            n = float_model.layout.length
            limit += f"; if your code fills questions up to {n} words, use --pad-to {n}"
    note(limit)


def note_cut(
    texts: Sequence[str], tokenizer: Tokenizer, pad_to: PadTo, note: Callable[[str], None]
) -> None:
    """Report how many questions are cut to the length that the user's own code pads to."""
    whole = Tokenizer.from_str(tokenizer.to_str())
    whole.no_truncation()
    whole.no_padding()
    _, starts = LibrarySplitter(whole).split(texts)
    cut = int((np.diff(starts) > pad_to.length).sum())
    if cut:
        side = (tokenizer.truncation or {}).get("direction", pad_to.cut)
        end = {"left": "first", "right": "last"}
        other = {"left": "right", "right": "left"}[side]
        special = tokenizer.num_special_tokens_to_add(is_pair=False)
        kept = f", but not their {special} special tokens" if special else ""
        note(
            f"{cut} of {len(texts)} questions have more than {pad_to.length} words and lose their {end[side]} ones"
            f"{kept}"
            f" (--truncate-side {other}: their {end[other]} ones)"
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
