"""Fit the tokenizer to the network: the published one cuts where the network cuts, and pads if the network reads it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ...simcore.limits import MAX_WORDS
from ...simcore.text.splitting import LibrarySplitter, read_tokenizer
from ..errors import ConvertError
from ..read import ignores_its_mask, ignores_padding
from ..read.special_ids import AT_THE_END
from ..words.tokenizer_file import truncation_to, with_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tokenizers import Tokenizer

    from ..read import Cut, FloatModel

_BEYOND: Final = 16
"""Words beyond a network's cut, up to which a cut in the tokenizer is compared with it."""


def fitted_tokenizer(
    tokenizer: bytes, texts: Sequence[str], float_model: FloatModel, note: Callable[[str], None]
) -> bytes:
    """Return the tokenizer.json to publish for a network: the words that it gives are those that the network reads.

    Parameters
    ----------
    tokenizer
        The user's tokenizer.json.
    texts
        Calibration questions.
    float_model
        The network.
    note
        Called with one line for each change, and for padding that a question alone does not get.

    Raises
    ------
    ConvertError
        The network does something to the tokenizer's padding, segments or words that a tokenizer.json cannot express.

    """
    found = read_tokenizer(tokenizer)
    _refuse_segments(found, texts, float_model)
    cut = float_model.layout.cut
    if cut is not None:
        tokenizer = _cut(tokenizer, cut, texts, note)
        found = read_tokenizer(tokenizer)
    padding = found.padding
    if padding is None:
        return tokenizer
    alone = not (padding["length"] or padding["pad_to_multiple_of"])
    why = _reason_to_leave_out(padding, float_model, alone=alone)
    if why and not alone:
        note(f"{why}, so tokenizer.json is published without it")
        return with_parts(tokenizer, padding=None)
    if not why and alone:
        note(
            "warning: tokenizer.json pads questions to the longest of their batch, and the network reads that padding"
            f" as words (id {padding['pad_id']}); here every question is answered as if alone, without padding"
        )
    if not alone:
        _check_padding(padding, float_model)
    return tokenizer


def _cut(tokenizer: bytes, cut: Cut, texts: Sequence[str], note: Callable[[str], None]) -> bytes:
    """Return a tokenizer that cuts where the network does, or the same one if it cannot and no question is as long."""
    reads = f"the network reads {_extent(cut)} of a question only"
    try:
        made = with_cut(tokenizer, cut, texts)
    except ConvertError:
        _, starts = LibrarySplitter(read_tokenizer(tokenizer)).split(texts)
        if np.diff(starts).max(initial=0) > cut.words:
            raise
        note(
            f"warning: {reads}, special tokens and padding among them, which no tokenizer does; no calibration question"
            " is longer, but the core will answer longer ones from all of their words"
        )
        return tokenizer
    if made != tokenizer:
        note(f"{reads}; tokenizer.json cuts there")
    return made


def with_cut(tokenizer: bytes, cut: Cut, texts: Sequence[str]) -> bytes:
    """Return a tokenizer whose questions have the words that a network reads, and no more.

    Parameters
    ----------
    tokenizer
        `tokenizer.json`.
    cut
        The words that the network reads.
    texts
        Questions, by which the returned tokenizer is compared with the given one.

    Raises
    ------
    ConvertError
        The network cuts off special tokens or padding, which no tokenizer does.

    """
    whole = read_tokenizer(tokenizer)
    document = json.loads(tokenizer)
    changed: dict[str, Any] = {}
    if whole.truncation is None or whole.truncation["max_length"] > cut.words:
        changed["truncation"] = truncation_to(cut.words, cut.side)
    if whole.padding is not None and (whole.padding["length"] or 0) > cut.words:
        fixed = {"strategy": {"Fixed": cut.words}, "pad_to_multiple_of": None}
        changed["padding"] = document["padding"] | fixed
    made = with_parts(tokenizer, **changed) if changed else tokenizer
    words = " ".join(texts).split()[: cut.words + _BEYOND]
    asked = [*texts, *(" ".join(words[:n]) for n in range(len(words) + 1))]
    ids, starts = LibrarySplitter(whole).split(asked)
    wanted = [cut.apply(part).tolist() for part in np.split(ids, starts[1:-1])]
    ids, starts = LibrarySplitter(read_tokenizer(made)).split(asked)
    if wanted != [part.tolist() for part in np.split(ids, starts[1:-1])]:
        raise ConvertError(
            f"the network reads {_extent(cut)} of a question only, and no tokenizer.json can cut so behind its special"
            " tokens, padding and truncation; train the network with a tokenizer that cuts instead:"
            f' tokenizer.enable_truncation({cut.words}, direction="{cut.side}")'
        )
    return made


def _extent(cut: Cut) -> str:
    return f"the {'first' if cut.side == 'right' else 'last'} {cut.words} words"


def _refuse_segments(tokenizer: Tokenizer, texts: Sequence[str], float_model: FloatModel) -> None:
    """Raise ConvertError if the network reads segments, and the tokenizer gives words other segments than 0."""
    named = next((c.name for c in float_model.layout.companions if c.role == "types"), None)
    if named is None:
        return
    splitter = LibrarySplitter(tokenizer)
    text = next((t for t in texts if t.strip() and not splitter.reason(t)), "")
    segments = set(tokenizer.encode(text).type_ids) - {0}
    if segments:
        raise ConvertError(
            f"tokenizer.json: gives words the segment {max(segments)}, and the model reads segments ({named!r});"
            " only segment 0 is supported"
        )


def _reason_to_leave_out(padding: dict[str, Any], float_model: FloatModel, *, alone: bool) -> str:
    """Return why the network's answer does not depend on the padding, empty if it may."""
    number, side = padding["pad_id"], padding["direction"]
    at_the_end = float_model.unusable.get(number) == AT_THE_END and side == "right"
    if number in float_model.skipped or at_the_end:
        return f"the model skips the padding (id {number})"
    layout = float_model.layout
    if not layout.tells_lengths:
        return ""
    known = number < len(float_model.network.rows)
    if layout.padding is not None:
        if known and ignores_padding(float_model, number, side):
            return "the model takes lengths or a mask and ignores the padding"
    elif not known or ignores_its_mask(float_model, number, side):
        return ""
    if alone:
        return ""
    raise ConvertError(
        f"tokenizer.json: pads on the {side} with id {number}, and the model reads that padding in spite of its lengths"
        " or mask, which is not supported"
    )


def _check_padding(padding: dict[str, Any], float_model: FloatModel) -> None:
    """Raise ConvertError if padding that the network reads is no word to it, or makes every question too long."""
    number, rows = padding["pad_id"], len(float_model.network.rows)
    reason = float_model.unusable.get(number, "")
    if reason:
        raise ConvertError(
            f"tokenizer.json: pads on the {padding['direction']} with id {number}, {reason}"
        )
    if number >= rows:
        raise ConvertError(
            f"tokenizer.json: pads with id {number}, but the embedding has rows 0..{rows - 1}"
        )
    if (padding["length"] or 0) > MAX_WORDS:
        raise ConvertError(
            f"tokenizer.json: pads to {padding['length']} words, limit {MAX_WORDS}, and the model reads the padding"
        )
