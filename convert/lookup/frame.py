"""Compile what a tokenizer does to the ids of a text at the end: truncation, special tokens around them, padding."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from ...simcore.text.lookup_format import (
    LENGTHS,
    LONGEST_PADDED,
    MAX_REPEAT,
    THE_WORDS,
    Padding,
    Truncation,
)
from .errors import CannotCompileError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_A_PAIR = 2


def frame_tables(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return truncation, special tokens and padding of a tokenizer as attributes of a `Lookup`.

    Parameters
    ----------
    tokenizer
        The tokenizer.

    Raises
    ------
    CannotCompileError
        If a lookup cannot do what the library does; the message names the feature.

    """
    frame: list[int] = []
    if tokenizer.post_processor is not None:
        described = json.loads(tokenizer.post_processor.__getstate__())
        frame = [i for part in _processed(described, [[THE_WORDS]]) for i in part]
        if frame == [THE_WORDS]:
            frame = []
        elif frame.count(THE_WORDS) > 1:
            raise CannotCompileError("its post-processor repeats the text")
        elif not frame or len(frame) > LENGTHS["ids of the frame"]:
            raise CannotCompileError(f"its post-processor makes {len(frame)} words of any text")
    return {
        "frame": np.array(frame, np.int32),
        "truncation": _truncation(tokenizer),
        "padding": _padding(tokenizer.padding),
    }


def _processed(described: dict[str, Any], parts: list[list[int]]) -> list[list[int]]:
    """Return what a post-processor makes of a text that earlier ones have made parts of."""
    kind = described["type"]
    if kind == "ByteLevel":  # changes offsets only
        return parts
    if kind == "Sequence":
        for each in described["processors"]:
            parts = _processed(each, parts)
        return parts
    if kind in {"BertProcessing", "RobertaProcessing"}:
        first, last = described["cls"][1], described["sep"][1]
        begin = [last] if kind == "RobertaProcessing" else []
        return [[*([first] if k == 0 else begin), *part, last] for k, part in enumerate(parts)]
    if kind != "TemplateProcessing":
        raise CannotCompileError(f"post-processor {kind} is not supported")
    # The library takes a text of two parts for a pair of texts, and cannot frame more.
    if len(parts) not in {1, _A_PAIR}:
        raise CannotCompileError("post-processor TemplateProcessing after another is not supported")
    template = described["pair" if len(parts) == _A_PAIR else "single"]
    ids = {name: token["ids"] for name, token in described["special_tokens"].items()}
    try:
        return [
            ids[piece["SpecialToken"]["id"]]
            if "SpecialToken" in piece
            else parts["AB".index(piece["Sequence"]["id"])]
            for piece in template
        ]
    except LookupError:
        raise CannotCompileError("its post-processor lacks a special token or a text") from None


def _truncation(tokenizer: Tokenizer) -> Truncation | None:
    described = tokenizer.truncation
    if described is None or described["max_length"] > MAX_REPEAT:
        return None
    most, left = described["max_length"], described["direction"] == "left"
    kept = most - tokenizer.num_special_tokens_to_add(is_pair=False)
    if described["strategy"] == "only_second":
        raise CannotCompileError("truncation: strategy only_second is for pairs of texts")
    if kept < 0:
        raise CannotCompileError(f"truncation: max_length {most} is less than its special tokens")
    if 0 < kept <= described["stride"]:
        raise CannotCompileError(f"truncation: stride {described['stride']} is too high")
    # The library encodes what is cut off as well: an unknown word there is an error all the same.
    return Truncation(kept=kept, left=left)


def _padding(described: dict[str, Any] | None) -> Padding | None:
    if described is None:
        return None
    multiple, length = described["pad_to_multiple_of"] or 1, described["length"]
    if length is not None:
        # Only the length itself is rounded up: longer texts stay as they are.
        length, multiple = -(-length // multiple) * multiple, 1
    if not length and multiple == 1:
        return None
    length, multiple = min(length or 0, LONGEST_PADDED), min(multiple, LONGEST_PADDED)
    left = described["direction"] == "left"
    return Padding(length=length, multiple=multiple, id=described["pad_id"], left=left)
