"""Texts on which a tokenizer that was compiled wrongly would differ from the library."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SHARED: Final = Path(__file__).parents[3] / "shared"
TREC: Final = SHARED / "trec" / "train_5500.label"

SEPARATORS: Final = (" ", "", "\n", "a", "e\u0301", ".", "\u2581")

_CHUNK: Final = 512

_ALPHABETS: Final = (
    *(range(0x61, 0x7B), range(0x41, 0x5B), range(0x20, 0x7F), range(0xA0, 0x180), range(0x180, 0x250)),
    *(range(0x370, 0x400), range(0x400, 0x530), range(0x530, 0x590), range(0x591, 0x5F5)),
    *(range(0x600, 0x700), range(0x900, 0x980), range(0xB80, 0xC00), range(0xE00, 0xE80)),
    *(range(0xF40, 0xFBD), range(0x1100, 0x1200), range(0x1E00, 0x2000), range(0x2000, 0x2070)),
    *(range(0x2070, 0x2190), range(0x2460, 0x2500), range(0x3000, 0x3100), range(0x3130, 0x3400)),
    *(range(0x4E00, 0x4F00), range(0xAC00, 0xAC80), range(0xF900, 0xFA70), range(0xFB00, 0xFE00)),
    *(range(0xFE20, 0xFF00), range(0xFF00, 0xFFF0), range(0x10400, 0x10450), range(0x110A0, 0x110C0)),
    *(range(0x1D150, 0x1D170), range(0x1D400, 0x1D800), range(0x1F1E6, 0x1F200), range(0x1F300, 0x1F650)),
    *(range(0x20000, 0x20100), range(0x2F800, 0x2FA1E), range(0xE0000, 0xE0200), range(0x10FF00, 0x110000)),
)  # fmt: skip
"""Ranges of characters, each of one script or one kind."""

_MARKS: Final = (
    *map(chr, range(0x300, 0x370)),
    *"\u05b0\u05b4\u064b\u0651\u0670\u093c\u094d\u09be\u0dcf\u0f71\u0f72\u1ab0\u20d0\u20dd\u302a\u3099\u309a\ufe20",
    *"\U000110ba\U0001d165\U0001d16e\U0001e8d0",
)
_JOINERS: Final = (
    "\u200d",
    "\u200c",
    "\ufe0f",
    "\ufe0e",
    "\u2060",
    "\u034f",
    "\u00ad",
    "\U0001f3fd",
    "\U000e0061",
)
_BLANKS: Final = (
    *" \t\n\r\v\f\0\x1c\x1f\x7f\x85\xa0\u1680\u2003\u200b\u2028\u2029\u202f\u205f\u3000\ufeff",
    "\r\n",
    "  ",
    "   ",
)
_SYMBOLS: Final = ("\U0001f469", "\U0001f680", "\u2764", "\u00a9", "\U0001f1e9\U0001f1ea", "1", "#")
_FAMILIAR: Final = (
    *("'s", "'S", "n't", "'ll", "don\u2019t", "``", "''", "...", "U.S.", "1,984.50", "state-of-the-art", "e.g.", "C++"),
    *("What is ", "who ", "the ", "understanding", "NASA's", "caf\u00e9", "na\u00efve"),
    *("\u4e2d\u56fd", "\u043f\u0440\u0438\u0432\u0435\u0442"),
    *("[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]", "<s>", "</s>", "<unk>", "<pad>", "<mask>", "<|endoftext|>"),
    *("[cls]", "[CLS", "UNK]", "< unk >", "<0x41>", "##", "##ing", "</w>", "\u2581", "\u2581the", "\u0120the"),
)  # fmt: skip


def every_character(separators: Sequence[str]) -> list[str]:
    """Return texts that hold every character once, among separators that alternate from text to text."""
    points = [*range(0xD800), *range(0xE000, 0x110000)]
    return [
        separators[k % len(separators)].join(map(chr, points[first : first + _CHUNK]))
        for k, first in enumerate(range(0, len(points), _CHUNK))
    ]


def hostile_texts(count: int, seed: int, words: Sequence[str] = ("the",)) -> list[str]:
    """Return random texts of mixed scripts, stacked marks, joined symbols, blanks, long words and parts of words.

    Parameters
    ----------
    count
        How many.
    seed
        Of the random choices.
    words
        The vocabulary of the tokenizer.

    """
    rng = random.Random(seed)
    return [
        "".join(rng.choice(_KINDS)(rng, words) for _ in range(rng.randint(1, 5)))
        for _ in range(count)
    ]


def very_long_texts(seed: int, words: Sequence[str] = ("the",)) -> list[str]:
    """Return texts of 20,000 characters and more: of one word, of one character, and of all kinds."""
    rng = random.Random(seed)
    mixed = "".join(hostile_texts(700, seed, words))
    return [
        *(rng.choice(words) * 5000, "a" * 20_000, "\u0301" * 20_000, "\u4e2d" * 20_000),
        *(" " * 20_000, "a " * 10_000, "\0" * 20_000, "e\u0323\u0301" * 7_000, mixed),
    ]  # fmt: skip


def trec_questions() -> list[str]:
    """Return TREC's questions, once as they are and once in capitals; none if ../shared is absent."""
    if not TREC.exists():
        return []
    lines = TREC.read_text(encoding="latin-1").splitlines()
    texts = [line.partition(" ")[2] for line in lines]
    return [*texts, *(text.upper() for text in texts[::7])]


def _characters(rng: random.Random, _: Sequence[str]) -> str:
    alphabets = rng.choices(_ALPHABETS, k=rng.randint(1, 3))
    return "".join(chr(rng.choice(rng.choice(alphabets))) for _ in range(rng.randint(1, 12)))


def _anything(rng: random.Random, _: Sequence[str]) -> str:
    points = (rng.randrange(0x110000 - 0x800) for _ in range(rng.randint(1, 8)))
    return "".join(chr(c if c < 0xD800 else c + 0x800) for c in points)


def _stacked(rng: random.Random, _: Sequence[str]) -> str:
    base = chr(rng.choice(rng.choice(_ALPHABETS)))
    return base + "".join(rng.choices(_MARKS, k=rng.choice((1, 2, 3, 20, 40))))


def _joined(rng: random.Random, _: Sequence[str]) -> str:
    return "".join(
        rng.choice(_SYMBOLS) + rng.choice(("", *_JOINERS)) for _ in range(rng.randint(1, 6))
    )


def _blanks(rng: random.Random, _: Sequence[str]) -> str:
    return "".join(rng.choices(_BLANKS, k=rng.randint(1, 4)))


def _long(rng: random.Random, words: Sequence[str]) -> str:
    part = rng.choice((rng.choice(words), chr(rng.choice(rng.choice(_ALPHABETS)))))
    return (part * 300)[: rng.choice((15, 16, 17, 31, 33, 64, 65, 99, 100, 101, 102, 300))]


def _vocabulary(rng: random.Random, words: Sequence[str]) -> str:
    text = "".join(rng.choices(words, k=rng.randint(1, 6)))
    return rng.choice((text, text[: rng.randint(0, len(text))], text.upper(), text.title()))


def _familiar(rng: random.Random, _: Sequence[str]) -> str:
    between = rng.choice(("", " ", "  ", "\u3000"))
    return between.join(rng.choices(_FAMILIAR, k=rng.randint(1, 6)))


_KINDS: Final[tuple[Callable[[random.Random, Sequence[str]], str], ...]] = (
    *(_characters, _anything, _stacked, _joined, _blanks, _long, _vocabulary, _familiar, _familiar),
)
