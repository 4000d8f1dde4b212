"""Publish a network that leaves out words of long questions with a tokenizer that leaves them out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ...simcore.text.splitting import read_tokenizer
from ..errors import ConvertError

if TYPE_CHECKING:
    from ..read import Cut


def with_cut(tokenizer: bytes, cut: Cut) -> bytes:
    """Return a tokenizer whose questions have no more words than a network reads.

    Parameters
    ----------
    tokenizer
        `tokenizer.json`.
    cut
        The words that the network reads.

    Returns
    -------
    bytes
        The tokenizer, unchanged if its own truncation is as short.

    Raises
    ------
    ConvertError
        It adds special tokens or padding, which the network may cut off and a tokenizer would keep.

    """
    found = read_tokenizer(tokenizer)
    if found.truncation is not None and found.truncation["max_length"] <= cut.words:
        return tokenizer
    if found.num_special_tokens_to_add(is_pair=False) or found.padding or found.truncation:
        end = "first" if cut.side == "right" else "last"
        raise ConvertError(
            f"the network reads the {end} {cut.words} words of a question only; put that into tokenizer.json:"
            f' tokenizer.enable_truncation({cut.words}, direction="{cut.side}")'
        )
    document = json.loads(tokenizer)
    document["truncation"] = {
        "direction": cut.side.capitalize(),
        "max_length": cut.words,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    return json.dumps(document, ensure_ascii=False, indent=2).encode()
