"""The characters of Unicode, of those that hardly differ only some."""

from __future__ import annotations

from functools import cache
from unicodedata import category


@cache
def distinct_characters() -> str:
    """Return the characters in order.

    Letters without case (CJK, for example), private characters and those that are not assigned come at the ends of
    their ranges, and every 61st between.
    """
    points = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    kinds = [category(chr(c)) for c in points]
    return "".join(
        chr(c)
        for c, kind, before in zip(points, kinds, [None, *kinds], strict=False)
        if kind not in {"Lo", "Co", "Cn"} or kind != before or c % 61 == 0
    )
