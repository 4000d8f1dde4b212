"""Change single values in lookups of every model, and split texts with those that are accepted.

test_hostile_lookups.py starts this as a program, a process of its own with a limit on its memory, so that the test
notices a crash or a large allocation.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter
from dataclasses import asdict, fields, replace
from typing import Any, Final

import numpy as np
from mutate import limit_memory, looking_tokenizer
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from spikewatch.convert.lookup import compile_tokenizer
from spikewatch.simcore import InputError, SimcoreError
from spikewatch.simcore.text.lookup import Lookup, LookupSplitter

TEXTS: Final = (
    *("Who's in the U.S. in 1984?", "A\u030a\uac00\ufdfa " * 9, "n 't" * 40, "\0", "", " [MASK] who [SEP]in"),
    *("who" * 40, "inin ww" * 20, "\u4e2d\u56fd\u0430\u03b1\U0001f600 x", "\u2581who \u0120in", " \t who  "),
)  # fmt: skip
WORDS: Final = ("[UNK]", "[SEP]", "who", "in", "##in", "##o", "w", "h", "o", "i", "n", "##n")


def finished(made: Tokenizer) -> bytes:
    """Add tokens, a frame, truncation and padding."""
    made.add_special_tokens([AddedToken("[SEP]", lstrip=True), AddedToken("[MASK]", rstrip=True)])
    made.add_tokens([AddedToken("ww", single_word=True), AddedToken("WHO", normalized=True)])
    made.post_processor = processors.TemplateProcessing(
        single="[SEP] $A [SEP]", special_tokens=[("[SEP]", 1)]
    )
    made.enable_truncation(20)
    made.enable_padding(pad_to_multiple_of=4)
    return bytes(made.to_str(), "utf-8")


def word_pieces() -> bytes:
    """Make a WordPiece with BERT's steps."""
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.Sequence([normalizers.Strip(), normalizers.BertNormalizer()])
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Digits(individual_digits=True)]
    )
    return finished(made)


def scored() -> bytes:
    """Make a Unigram with bytes, and steps that cut."""
    words = [*WORDS, "\u2581", "\u2581who", *(f"<0x{byte:02X}>" for byte in range(256))]
    made = Tokenizer(models.Unigram([(word, -float(i)) for i, word in enumerate(words)], 0, True))
    made.normalizer = normalizers.Prepend("x")
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(),
            pre_tokenizers.UnicodeScripts(),
            pre_tokenizers.Split("h", "merged_with_next"),
            pre_tokenizers.FixedLength(7),
        ]
    )
    return finished(made)


def pairs(*, of_bytes: bool) -> bytes:
    """Make a BPE of bytes or of letters with a suffix."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet()) if of_bytes else [*"whoi", "n</w>"]
    last = "n" if of_bytes else "n</w>"
    vocabulary = {
        word: i for i, word in enumerate(dict.fromkeys([*WORDS[:2], *alphabet, "wh", "i" + last]))
    }
    suffix = {} if of_bytes else {"end_of_word_suffix": "</w>", "fuse_unk": True}
    model = models.BPE(vocabulary, [("w", "h"), ("i", last)], unk_token="[UNK]", **suffix)
    made = Tokenizer(model)
    made.pre_tokenizer = (
        pre_tokenizers.ByteLevel() if of_bytes else pre_tokenizers.WhitespaceSplit()
    )
    return finished(made)


MADE: Final = {
    "words": looking_tokenizer,
    "wordpiece": word_pieces,
    "unigram": scored,
    "bytes": lambda: pairs(of_bytes=True),
    "letters": lambda: pairs(of_bytes=False),
}


def other_value(value: int, rng: np.random.Generator) -> int:
    """Return a value near another one, or an extreme one."""
    far = (-(2**31), -1, 0, 1, 2, 255, 256, 4351, 4352, 0x10FFFF, 0x110000, 2**21, 2**22, 2**31 - 1)
    return value + int(rng.integers(-3, 4)) if rng.random() < 0.4 else int(rng.choice(far))


def changed(array: Any, rng: np.random.Generator) -> Any:
    """Change one to three values of a tensor, or its length."""
    array = array.copy()
    if array.size and rng.random() < 0.1:
        return array[:-1] if rng.random() < 0.5 else np.concatenate([array, array[-1:]])
    for _ in range(rng.integers(1, 4) if array.size else 0):
        at = tuple(int(rng.integers(n)) for n in array.shape)
        if array.dtype.kind == "f":
            array[at] = rng.choice([0.0, -1e300, 1e300, float(array[at]) * 2])
        else:
            bounds = np.iinfo(array.dtype)
            array[at] = min(max(other_value(int(array[at]), rng), bounds.min), bounds.max)
    return array


def mutated(lookup: Lookup, rng: np.random.Generator) -> Lookup:
    """Change one tensor, or a number of the metadata."""
    if rng.random() < 0.1:
        name = str(rng.choice(["unknown", "normalizers", "truncation", "padding"]))
        old = getattr(lookup, name)
        if isinstance(old, int):
            return replace(lookup, **{name: other_value(old, rng)})  # type: ignore[arg-type] # of the right type
        if old is not None:
            field = str(
                rng.choice([key for key, value in asdict(old).items() if type(value) is int])
            )
            new = replace(old, **{field: other_value(getattr(old, field), rng)})
            return replace(lookup, **{name: new})
    name = str(rng.choice(list(lookup.arrays)))
    new = changed(lookup.arrays[name], rng)
    if name in {f.name for f in fields(Lookup)}:
        return replace(lookup, **{name: new})
    assert lookup.subwords is not None
    return replace(lookup, subwords=replace(lookup.subwords, **{name: new}))


def main(each: int) -> None:
    """Use `each` mutations of every lookup; print as one JSON object how many were read or refused, and all faults."""
    lookups = {name: compile_tokenizer(make()) for name, make in MADE.items()}
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    limit_memory()
    for number, (name, lookup) in enumerate(lookups.items()):
        rng = np.random.default_rng(number)
        for k in range(each):
            try:
                splitter = LookupSplitter(Lookup.from_bytes(mutated(lookup, rng).to_bytes()))
                for text in TEXTS:
                    with contextlib.suppress(InputError):
                        splitter.split([text])
            except SimcoreError as e:
                counts[f"{name} refused"] += 1
                if "\n" in str(e):
                    wrong.append(f"{name} {k}: more than one line: {e!r}")
            except Exception as e:  # noqa: BLE001 - any other error is a fault
                wrong.append(f"{name} {k}: {e!r}")
            else:
                counts[f"{name} read"] += 1
    sys.stdout.write(json.dumps({"counts": counts, "wrong": wrong[:20]}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
