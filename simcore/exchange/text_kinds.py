"""Recognise what text is: a JSON document by the fields of its outermost object, other text by how it begins."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """What a file is.

    Attributes
    ----------
    name : str
        Its kind, in words.
    hint : str
        What to do with it; empty if there is nothing to say.

    """

    name: str
    hint: str = ""


def as_kind(text: str) -> Kind:
    """Return a kind from `name` or `name: hint`."""
    name, _, hint = text.partition(": ")
    return Kind(name=name, hint=hint)


_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"\s*:?|[{}\[\]]', re.DOTALL)
_RANC: Final = {"network", "cores", "packets", "output_bus"}
_KINDS: Final = (
    (
        {"num_cores_x"},
        'the config of a RANC network (JSON): put both into one file, {"config": ..., "network": ...}',
    ),
    ({"spike"}, "spikes (JSON of IBM's tools): give them as --spikes"),
    ({"class", "nscsVersion"}, "spikes (JSON of IBM's tools): give them as --spikes"),
    ({"model", "pre_tokenizer"}, "a tokenizer (JSON of the tokenizers library)"),
    ({"added_tokens", "normalizer"}, "a tokenizer (JSON of the tokenizers library)"),
    ({"tokenizer_class"}, "the settings of a tokenizer (JSON of transformers)"),
    ({"model_type"}, "the configuration of a model (JSON of transformers)"),
    ({"architectures"}, "the configuration of a model (JSON of transformers)"),
    ({"class_name", "config"}, "a configuration (JSON of Keras)"),
    ({"nbformat", "cells"}, "a Jupyter notebook (JSON)"),
    ({"name", "version", "dependencies"}, "a package (JSON of npm)"),
    ({"name", "version", "scripts"}, "a package (JSON of npm)"),
    ({"schemaVersion"}, "a manifest or index of a container registry (JSON)"),
    ({"imageLayoutVersion"}, "the marker of an OCI layout (JSON)"),
)
"""What a document is by fields that it has."""

_BEGINNINGS: Final = (
    (r"\s*$", "a file of blanks"),
    (r"<(!doctype html|html)", "a web page (HTML): perhaps the download failed"),
    (r"<(\?xml|svg)", "XML"),
    (r"(#[^\n]*\n\s*)*\d+[ \t]+\d+\s*(\n|$)", "spikes as text: give them as --spikes"),
    (r"---\s*\n", "text (YAML or Markdown)"),
)
"""What text is by a pattern, whatever the case, with which it begins."""


def describe_text(data: bytes, *, cut: bool) -> Kind | None:
    """Return what text is that begins so, in words; None if it is not text in UTF-8.

    Parameters
    ----------
    data
        The start of a file.
    cut
        The file goes on, so the data may end within a character.

    """
    try:
        text = data.decode("utf-8-sig", errors="ignore" if cut else "strict")
    except UnicodeDecodeError:
        return None
    if "\x00" in text:
        return None
    text = text.lstrip()
    if re.match(r'[\[{]\s*(["\[{\]}\d-]|true|false|null)', text):
        return describe_json(text.encode()) or Kind(name="a JSON document")
    for pattern, what in _BEGINNINGS:
        if re.match(pattern, text, re.IGNORECASE):
            return as_kind(what)
    return Kind(name="text")


def describe_json(text: bytes) -> Kind | None:
    """Return what a JSON document is that begins so, in words; None if it has the fields of a RANC network.

    Parameters
    ----------
    text
        The start of the document, which need not be complete, without blanks before it.

    """
    if text[:1] != b"{":
        return Kind(name="a JSON list")
    fields = _fields(text)
    if _RANC & set(fields):
        return None
    for known, what in _KINDS:
        if known <= set(fields):
            return as_kind(what)
    if not fields:
        return Kind(name="a JSON object without fields")
    shown = ", ".join(f"{name:.20}" for name in fields[:4])
    more = ", ..." if len(fields) > 4 else ""
    return Kind(name=f"a JSON object with the fields {shown}{more}")


def _fields(text: bytes) -> list[str]:
    """Return the names of the outermost object's fields, in their order; only strings and brackets are looked at."""
    depth, fields = 0, []
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in b"{[":
            depth += 1
        elif token in b"}]":
            depth -= 1
            if depth == 0:
                break  # of JSON lines, the first decides
        elif depth == 1 and token[-1:] == b":":
            fields.append(token[1 : token.rindex(b'"')].decode("utf-8", "replace"))
    return fields
