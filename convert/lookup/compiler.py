"""Compile a tokenizer.json into a lookup."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ...simcore.text.lookup import Lookup
from ...simcore.text.lookup_format import NO_UNKNOWN, NORMALIZED
from ...simcore.text.splitting import read_tokenizer
from .added import added_tables
from .errors import CannotCompileError
from .frame import frame_tables
from .patterns import (
    Alternation,
    CharacterClass,
    Concatenation,
    Repeat,
    literal,
    may_be_empty,
    parse,
)
from .probing import NUMBER, OTHER, PUNCTUATION, SPACE, WORD, bert_accents, bert_map, mapped
from .steps import Steps
from .subwords import as_bytes, subword_tables, takes_bytes, word_arrays

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenizers import Tokenizer

    from .patterns import Node

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""The pattern of the pre-tokenizer ByteLevel (tokenizers 0.23)."""


def compile_tokenizer(data: bytes, *, model_words_only: bool = False) -> Lookup:
    """Compile the bytes of a tokenizer.json (see `read_tokenizer`).

    Raises
    ------
    CannotCompileError
        If a lookup cannot do what the tokenizer does; the message names the feature.
    ModelError
        If the bytes are not a tokenizer.json.

    """
    # The library writes every setting out, including those that the file leaves at their defaults.
    tokenizer = read_tokenizer(data, model_words_only=model_words_only)
    described = json.loads(tokenizer.to_str())
    added = added_tables(tokenizer)
    steps = Steps()
    for each in _parts(described["normalizer"], "normalizers"):
        _handler(_NORMALIZERS, "normalizer", each)(steps, each)
    normalizers = -1
    if (added["added_flags"] >= NORMALIZED).any():
        normalizers = len(steps)
    for each in _parts(described["pre_tokenizer"], "pretokenizers"):
        if steps.byte_level:
            steps.bytes()
        _handler(_PRE_TOKENIZERS, "pre-tokenizer", each)(steps, each)
    if normalizers > 0 and steps.at_start:
        # Whether a part is the first then depends on what the normalizers did before the added token.
        raise CannotCompileError(
            "pre-tokenizer Metaspace: prepend_scheme first is not supported with a normalizer and"
            " normalized added tokens"
        )
    steps.kinds |= bool((added["added_flags"] % NORMALIZED).any())
    if steps.byte_level and not takes_bytes(described["model"]):
        steps.bytes()
    model = _model(described["model"], tokenizer, byte_level=steps.byte_level)
    return Lookup(
        **steps.tables(),
        **model,
        **added,
        **frame_tables(tokenizer),
        normalizers=normalizers,
        tokenizer=hashlib.sha256(data).hexdigest(),
    ).validate()


def _handler(known: dict[str, _Handler], what: str, described: dict[str, Any]) -> _Handler:
    if described["type"] not in known:
        raise CannotCompileError(f"{what} {described['type']} is not supported")
    return known[described["type"]]


def _parts(described: dict[str, Any] | None, name: str) -> list[dict[str, Any]]:
    """Return the normalizers or pre-tokenizers of a possibly nested sequence, in order."""
    if described is None:
        return []
    if described["type"] != "Sequence":
        return [described]
    return [part for each in described[name] for part in _parts(each, name)]


def _bert(steps: Steps, described: dict[str, Any]) -> None:
    clean, chinese = described["clean_text"], described["handle_chinese_chars"]
    accents, lower = described["strip_accents"], described["lowercase"]
    if clean or chinese:
        steps.map(bert_map(clean_text=clean, handle_chinese_chars=chinese))
    if lower if accents is None else accents:
        steps.form("NFD")
        steps.map(bert_accents())
    if lower:
        steps.map(mapped("Lowercase"))


def _strip(steps: Steps, described: dict[str, Any]) -> None:
    steps.strip(left=described["strip_left"], right=described["strip_right"])


def _precompiled(_: Steps, __: dict[str, Any]) -> None:
    # A grapheme cluster of less than six bytes becomes what its shortest known beginning becomes, whatever follows.
    raise CannotCompileError(
        "normalizer Precompiled is not supported: it replaces clusters of characters by a table of its own"
    )


_Handler = Callable[[Steps, dict[str, Any]], None]

_NORMALIZERS: Final[dict[str, _Handler]] = {
    **dict.fromkeys(("NFC", "NFD", "NFKC", "NFKD"), lambda steps, d: steps.form(d["type"])),
    **dict.fromkeys(("Lowercase", "StripAccents"), lambda steps, d: steps.map(mapped(d["type"]))),
    "Precompiled": _precompiled,
    "Nmt": lambda steps, _: steps.map(mapped("Nmt", separator="x")),
    "BertNormalizer": _bert,
    "Strip": _strip,
    "Prepend": lambda steps, d: steps.prefix(d["prepend"]),
    "ByteLevel": lambda steps, _: steps.bytes(),
    "Replace": lambda steps, d: steps.replace(_pattern(d["pattern"]), d["content"]),
}
"""What adds the steps of each normalizer."""


def _byte_level(steps: Steps, described: dict[str, Any]) -> None:
    # The step that writes a character for each byte is left out if the tables of the model can take bytes.
    steps.byte_level = True
    if described["add_prefix_space"]:
        steps.prefix(" ", unless=" ")
    if described["use_regex"]:
        steps.split(parse(_GPT2), gaps=True, matches=True)


def _metaspace(steps: Steps, described: dict[str, Any]) -> None:
    mark, scheme = described["replacement"], described["prepend_scheme"]
    if scheme == "first" and steps.cuts:
        raise CannotCompileError(
            "pre-tokenizer Metaspace: prepend_scheme first is not supported after a split"
        )
    steps.map({ord(" "): mark})
    if scheme != "never":
        steps.prefix(mark, unless=mark, at_start=scheme == "first")
    if described["split"]:
        begin = CharacterClass(mark, literal=True)
        rest = Repeat(CharacterClass(f"[^{_escaped(mark)}]", literal=False), 0, None)
        steps.split(Concatenation((begin, rest)), gaps=True, matches=True)


def _split(steps: Steps, described: dict[str, Any]) -> None:
    behavior, inverted = described["behavior"], described["invert"]
    if "" not in described["pattern"].values():
        steps.cut(_pattern(described["pattern"]), behavior, inverted=inverted)
        return
    # The empty text matches before every character, and every character is a gap.
    if behavior == "Removed" and inverted:
        raise CannotCompileError("pre-tokenizer Split: removes every text")
    steps.chunk(1)


def _whitespace(steps: Steps, _: dict[str, Any]) -> None:
    runs = (Repeat(CharacterClass(name, literal=False), 1, None) for name in (WORD, OTHER))
    steps.split(Alternation(tuple(runs)), matches=True)


def _bert_words(steps: Steps, _: dict[str, Any]) -> None:
    steps.split(_SPACE, gaps=True)
    steps.cut(_PUNCTUATION, "Isolated")


def _digits(steps: Steps, described: dict[str, Any]) -> None:
    behavior = "Isolated" if described["individual_digits"] else "Contiguous"
    steps.cut(CharacterClass(NUMBER, literal=False), behavior)


def _fixed_length(steps: Steps, described: dict[str, Any]) -> None:
    if not described["length"]:
        raise CannotCompileError("pre-tokenizer FixedLength: length 0")
    steps.chunk(described["length"])


_SPACE: Final = CharacterClass(SPACE, literal=False)
_PUNCTUATION: Final = CharacterClass(PUNCTUATION, literal=False)

_PRE_TOKENIZERS: Final[dict[str, _Handler]] = {
    "ByteLevel": _byte_level,
    "Metaspace": _metaspace,
    "Split": _split,
    "CharDelimiterSplit": lambda steps, d: steps.split(literal(d["delimiter"]), gaps=True),
    "WhitespaceSplit": lambda steps, _: steps.split(_SPACE, gaps=True),
    "Whitespace": _whitespace,
    "BertPreTokenizer": _bert_words,
    "Digits": _digits,
    "Punctuation": lambda steps, d: steps.cut(_PUNCTUATION, d["behavior"]),
    "FixedLength": _fixed_length,
    "UnicodeScripts": lambda steps, _: steps.cut_at_scripts(),
}
"""What adds the steps of each pre-tokenizer."""


def _escaped(c: str) -> str:
    """Return a character as it is written in a character class."""
    return "\\" + c if c in "\\[]^-&" else c


def _pattern(described: dict[str, str]) -> Node:
    """Parse the pattern of a Replace or Split."""
    pattern = literal(described["String"]) if "String" in described else parse(described["Regex"])
    if may_be_empty(pattern):
        raise CannotCompileError(
            f"pattern {next(iter(described.values()))!r}: may match the empty text"
        )
    return pattern


def _model(described: dict[str, Any], tokenizer: Tokenizer, *, byte_level: bool) -> dict[str, Any]:
    listed = described["vocab"]
    if isinstance(listed, dict) and len(listed) < tokenizer.get_vocab_size(with_added_tokens=False):
        # The library writes only one of them into the file.
        raise CannotCompileError("two words of its vocabulary have the same id")
    if described["type"] == "WordLevel":
        return word_tables(described["vocab"], described["unk_token"], byte_level=byte_level)
    return subword_tables(described, tokenizer.model, byte_level=byte_level)


def reads_bytes(tokenizer: Tokenizer) -> bool:
    """Return whether the tables of a tokenizer's model take bytes, in place of the characters that stand for them."""
    described = json.loads(tokenizer.to_str())
    parts = _parts(described["pre_tokenizer"], "pretokenizers")
    return bool(parts) and parts[-1]["type"] == "ByteLevel" and takes_bytes(described["model"])


def word_tables(
    vocabulary: Mapping[str, int], unknown: str, *, byte_level: bool = False
) -> dict[str, Any]:
    """Return a vocabulary as attributes of a `Lookup`, sorted by word id.

    With `byte_level`, its words are characters that stand for bytes, and those that are not are never looked up.
    """
    # No piece is empty, so nothing ever looks up the empty word.
    words = sorted((word for word in vocabulary if word), key=lambda word: (vocabulary[word], word))
    spelled = ((as_bytes(word) if byte_level else word.encode(), word) for word in words)
    return {
        **word_arrays((data, vocabulary[word]) for data, word in spelled if data is not None),
        "unknown": vocabulary.get(unknown, NO_UNKNOWN),
    }
