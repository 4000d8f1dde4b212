"""Compile the models of parts of words, WordPiece, Unigram and BPE, into tables of a lookup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ...simcore.text.lookup_format import (
    BPE,
    BYTE_FALLBACK,
    BYTE_LEVEL,
    DROP_UNKNOWN,
    FUSE_UNKNOWN,
    MAX_TRIE_BYTES,
    NO_UNKNOWN,
    UNIGRAM,
    WORDPIECE,
)
from ...simcore.text.subwords import Subwords
from .errors import CannotCompileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tokenizers import models

_UNKNOWN_PENALTY: Final = 10.0
"""How much lower than the lowest score of a word an unknown character scores (tokenizers 0.23, K_UNK_PENALTY)."""


def subword_tables(
    described: dict[str, Any], model: models.Model, *, byte_level: bool
) -> dict[str, Any]:
    """Return a model as attributes of a `Lookup`.

    Parameters
    ----------
    described
        The model as the library writes it.
    model
        The model itself, which is asked what becomes of each word.
    byte_level
        Whether the tables take the bytes of pieces in place of characters that stand for bytes (see `takes_bytes`).

    Raises
    ------
    CannotCompileError
        If a lookup cannot do what the model does; the message names the feature.

    """
    kind = described["type"]
    if kind == "BPE":
        return _bpe(described, model, byte_level=byte_level)
    if kind == "WordPiece":
        return _wordpiece(described)
    if kind == "Unigram":
        return _unigram(described, model)
    raise CannotCompileError(f"model {kind} is not supported")


def takes_bytes(described: dict[str, Any]) -> bool:
    """Return whether a model's tables can take bytes in place of the characters that ByteLevel writes for them."""
    if described["type"] == "WordLevel":
        return True
    affixes = ("continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")
    return described["type"] == "BPE" and not any(described[name] for name in affixes)


def byte_characters() -> list[str]:
    """Return the character that ByteLevel writes for each byte.

    Printable characters of Latin-1 are themselves, the other bytes are U+0100 and the following (GPT-2's table).
    """
    plain = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in plain else next(others)) for byte in range(256)]


def as_bytes(text: str) -> bytes | None:
    """Return the bytes that a text of ByteLevel's characters stands for; None if it has others."""
    found = [_BYTE_OF.get(c) for c in text]
    return None if None in found else bytes(b for b in found if b is not None)


_BYTE_OF: Final = {c: byte for byte, c in enumerate(byte_characters())}


def word_arrays(words: Iterable[tuple[bytes, int]]) -> dict[str, Any]:
    """Return words and their ids as attributes of a `Lookup`, in this order."""
    spelled = [(word, i) for word, i in words if word]
    return {
        "word_bytes": np.frombuffer(b"".join(word for word, _ in spelled), dtype=np.uint8),
        "word_ends": np.cumsum([len(word) for word, _ in spelled], dtype=np.int32),
        "word_ids": np.array([i for _, i in spelled], dtype=np.int32),
    }


def _settings(whole: int, *, most: int = 0, flags: int = 0) -> Any:
    return np.array([whole, min(most, 2**31 - 1), flags], dtype=np.int32)


def _limited(words: Iterable[str]) -> None:
    size = sum(len(word.encode()) for word in words)
    if size > MAX_TRIE_BYTES:
        raise CannotCompileError(f"its vocabulary has {size} bytes, limit {MAX_TRIE_BYTES}")


def _wordpiece(described: dict[str, Any]) -> dict[str, Any]:
    vocabulary: dict[str, int] = described["vocab"]
    _limited(vocabulary)
    words = sorted((i, word) for word, i in vocabulary.items() if word)
    affix = described["continuing_subword_prefix"].encode()
    return {
        **word_arrays((word.encode(), i) for i, word in words),
        "unknown": vocabulary.get(described["unk_token"], NO_UNKNOWN),
        "model": WORDPIECE,
        "subwords": Subwords(
            settings=_settings(len(words), most=described["max_input_chars_per_word"]),
            affix=np.frombuffer(affix, dtype=np.uint8),
        ),
    }


def _unigram(described: dict[str, Any], model: models.Model) -> dict[str, Any]:
    listed: list[tuple[str, float]] = described["vocab"]
    vocabulary = {word: i for i, (word, _) in enumerate(listed)}  # the last of equal words counts
    _limited(vocabulary)
    whole = _whole(model, vocabulary)
    words = [w for w in whole if w in vocabulary]
    words += [w for w in vocabulary if w and w not in whole]
    lowest = min((score for _, score in listed), default=0.0)
    scores = [listed[vocabulary[word]][1] for word in words]
    fallback = described["byte_fallback"]
    unknown = described["unk_id"]
    return {
        **word_arrays((word.encode(), vocabulary[word]) for word in words),
        "unknown": NO_UNKNOWN if unknown is None else unknown,
        "model": UNIGRAM,
        "subwords": Subwords(
            settings=_settings(len(whole), flags=BYTE_FALLBACK if fallback else 0),
            scores=np.array([*scores, lowest - _UNKNOWN_PENALTY]),
            byte_ids=_fallback(vocabulary) if fallback else None,
        ),
    }


def _bpe(described: dict[str, Any], model: models.Model, *, byte_level: bool) -> dict[str, Any]:
    vocabulary: dict[str, int] = described["vocab"]
    if described["dropout"]:
        raise CannotCompileError("model BPE: dropout makes its words random")
    prefix = described["continuing_subword_prefix"] or ""
    suffix = described["end_of_word_suffix"] or ""
    unknown, fallback = described["unk_token"], described["byte_fallback"]
    flags = FUSE_UNKNOWN if described["fuse_unk"] else 0
    flags |= DROP_UNKNOWN if unknown is None else 0
    byte_ids = None
    if byte_level:
        byte_ids = np.array([vocabulary.get(c, -1) for c in byte_characters()], dtype=np.int32)
        flags |= BYTE_LEVEL
    elif fallback:
        if prefix or suffix:
            raise CannotCompileError(
                "model BPE: byte_fallback is not supported with a prefix or a suffix"
            )
        byte_ids = _fallback(vocabulary)
        flags |= BYTE_FALLBACK
    pieces = {piece for word in vocabulary for piece in (word, word.removesuffix(suffix))}
    whole = _whole(model, pieces)
    spelled = {as_bytes(p) if byte_level else p.encode(): i for p, i in whole.items()}
    words = [(p, i) for p, i in spelled.items() if p is not None and _is_text(p)]
    return {
        **word_arrays(words),
        "unknown": NO_UNKNOWN if unknown is None else vocabulary.get(unknown, NO_UNKNOWN),
        "model": BPE,
        "subwords": Subwords(
            settings=_settings(len(words), flags=flags),
            byte_ids=byte_ids,
            letters=_letters({} if byte_level else vocabulary, prefix, suffix),
            pairs=_pairs(vocabulary, described["merges"], len(prefix.encode())),
        ),
    }


def _whole(model: models.Model, pieces: Iterable[str]) -> dict[str, int]:
    """Return the pieces that become one word, and its id, in order of ids."""
    found = {}
    for piece in pieces:
        try:
            tokens = model.tokenize(piece) if piece else []
        except Exception:  # noqa: BLE001, S112 - the library raises bare Exception for a piece that it cannot encode
            continue
        if len(tokens) == 1:
            found[piece] = tokens[0].id
    return dict(sorted(found.items(), key=lambda item: (item[1], item[0])))


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _fallback(vocabulary: Mapping[str, int]) -> Any:
    """Return the words of single bytes, int32 (256,)."""
    return np.array([vocabulary.get(f"<0x{byte:02X}>", -1) for byte in range(256)], np.int32)


def _letters(vocabulary: Mapping[str, int], prefix: str, suffix: str) -> Any:
    """Return the words of single characters, int32 (n, 5)."""
    spellings = (("", ""), (prefix, ""), (prefix, suffix), ("", suffix))
    found = {
        inner
        for word in vocabulary
        for before, after in spellings
        if word.startswith(before)
        and word.endswith(after)
        and len(inner := word[len(before) : len(word) - len(after)]) == 1
    }
    rows = [
        (ord(c), *(vocabulary.get(before + c + after, -1) for before, after in spellings))
        for c in sorted(found)
    ]
    return np.array(rows, dtype=np.int32).reshape(-1, 5)


def _pairs(vocabulary: Mapping[str, int], merges: list[tuple[str, str]], prefix: int) -> Any:
    """Return the merges, int32 (n, 3), in order; `prefix` is the number of bytes that the right word loses."""
    made: dict[tuple[int, int], int] = {}
    for first, second in merges:
        rest = second.encode()[prefix:]
        if not rest:
            raise CannotCompileError(f"model BPE: a merge adds nothing to {first!r}")
        pair = vocabulary[first], vocabulary[second]
        made.pop(pair, None)  # the last of equal pairs counts
        made[pair] = vocabulary[(first.encode() + rest).decode()]
    rows = [(a, b, made[a, b]) for a, b in made]
    return np.array(rows, dtype=np.int32).reshape(-1, 3)
