"""The grammar of names, versions, aliases, digests and references.

A reference is `MODEL:TAG`, `MODEL@DIGEST` or `MODEL:TAG@DIGEST` (both must agree); a tag is a version or an alias. The
grammar is the subset of the OCI rules that all tools read alike: skopeo splits at the first colon and oras at the last,
and OCI registries accept neither `+` in a tag nor upper case in a repository's name.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final, NewType

from .errors import BadReference, shown

__all__ = [
    "ALIAS_LENGTH",
    "MODEL_LENGTH",
    "VERSION_LENGTH",
    "Digest",
    "Reference",
    "check_alias",
    "check_digest",
    "check_model",
    "check_version",
    "digest_of",
    "is_alias",
    "is_digest",
    "is_model",
    "is_version",
    "version_key",
]

Digest = NewType("Digest", str)
"""`sha256:` and 64 lower-case hexadecimal digits, as `check_digest` returns them."""

MODEL_LENGTH: Final = 64
"""Longest model name in characters: far below the 255 bytes of a directory's name."""

ALIAS_LENGTH: Final = 64
"""Longest alias in characters."""

VERSION_LENGTH: Final = 128
"""Longest version in characters: the longest tag of the OCI distribution specification."""

_MODEL = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_ALIAS = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NUMBER = r"(?:0|[1-9][0-9]*)"
_IDENTIFIER = rf"(?:{_NUMBER}|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_VERSION = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_IDENTIFIER}(?:\.{_IDENTIFIER})*))?"
)
# SemVer allows 1.0.0-a---b and 1.0.0-a-, but skopeo's grammar for references into a layout does not: such a version
# could be published but not copied out again.
_REACHABLE = re.compile(r"[A-Za-z0-9]+(?:(?:[._-]|--)[A-Za-z0-9]+)*")
_VERSION_LIKE = re.compile(r"v[0-9].*")


def is_model(text: str) -> bool:
    """Return whether the text is a model's name."""
    return len(text) <= MODEL_LENGTH and _MODEL.fullmatch(text) is not None


def check_model(text: str) -> str:
    """Return the text if it is a model's name.

    Raises
    ------
    BadReference
        It is not.

    """
    if not is_model(text):
        raise BadReference(
            f"model name {shown(text)}: must be 1 to {MODEL_LENGTH} lower-case letters and digits, "
            "in parts joined by one of '.', '_', '-'"
        )
    return text


def is_version(text: str) -> bool:
    """Return whether the text is a version."""
    return (
        len(text) <= VERSION_LENGTH
        and _VERSION.fullmatch(text) is not None
        and _REACHABLE.fullmatch(text) is not None
    )


def check_version(text: str) -> str:
    """Return the text if it is a version: strict SemVer 2.0.0 without build metadata.

    Raises
    ------
    BadReference
        It is not.

    """
    if is_version(text):
        return text
    if "+" in text:
        raise BadReference(
            f"version {shown(text)}: '+' is not allowed, no OCI registry accepts it in a tag"
        )
    raise BadReference(
        f"version {shown(text)}: must be SemVer such as 1.2.3 or 1.2.3-rc.1, at most "
        f"{VERSION_LENGTH} characters, no '---', no '-' before a '.' or at the end"
    )


def is_alias(text: str) -> bool:
    """Return whether the text is an alias."""
    return (
        len(text) <= ALIAS_LENGTH
        and _ALIAS.fullmatch(text) is not None
        and not text.startswith("sha256-")
        and _VERSION_LIKE.fullmatch(text) is None
    )


def check_alias(text: str) -> str:
    """Return the text if it is an alias.

    Raises
    ------
    BadReference
        It is not.

    """
    if not is_alias(text):
        raise BadReference(
            f"alias {shown(text)}: must be 1 to {ALIAS_LENGTH} lower-case letters and digits in "
            "parts joined by '-', begin with a letter, and look neither like a version (v1) nor "
            "like a digest (sha256-)"
        )
    return text


def is_digest(text: str) -> bool:
    """Return whether the text is a digest."""
    return _DIGEST.fullmatch(text) is not None


def check_digest(text: str) -> Digest:
    """Return the text if it is a digest.

    Raises
    ------
    BadReference
        It is not.

    """
    if not is_digest(text):
        raise BadReference(
            f"digest {shown(text)}: must be 'sha256:' and 64 lower-case hexadecimal digits"
        )
    return Digest(text)


def digest_of(data: bytes) -> Digest:
    """Return the SHA-256 digest of bytes."""
    return Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")


def version_key(version: str) -> tuple[object, ...]:
    """Return the sort key of a version: SemVer precedence, the newest last.

    Parameters
    ----------
    version
        As `check_version` returns it.

    Raises
    ------
    BadReference
        It is not SemVer.

    """
    match = _VERSION.fullmatch(version)
    if match is None:
        raise BadReference(f"version {shown(version)}: not SemVer")
    major, minor, patch, pre = match.groups()
    # SemVer 2.0.0, item 11: a pre-release comes before its release, and numbers come before words. Comparing tuples
    # puts fewer identifiers before more.
    identifiers = (
        ()
        if pre is None
        else tuple(
            (0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split(".")
        )
    )
    return int(major), int(minor), int(patch), pre is None, identifiers


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Reference:
    """A parsed reference to a version; at least one of `tag` and `digest` is not None.

    Attributes
    ----------
    name
        Name of the model.
    tag
        A version or an alias.
    digest
        Digest of the version's manifest.

    """

    name: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Parse `MODEL:TAG`, `MODEL@DIGEST` or `MODEL:TAG@DIGEST`.

        Raises
        ------
        BadReference
            The text has another form, or is not a str.

        """
        if not isinstance(text, str):
            raise BadReference(f"reference {text!r}: expected a str, such as 'model:1.0.0'")
        left, at, digest = text.partition("@")
        name, colon, tag = left.partition(":")
        if not (colon or at):
            raise BadReference(
                f"reference {shown(text)}: needs a version, an alias or a digest, such as model:1.0.0"
            )
        try:
            check_model(name)
            if colon:
                check_tag(tag)
            if at:
                check_digest(digest)
        except BadReference as e:
            raise BadReference(f"reference {shown(text)}: {e}") from None
        return cls(name=name, tag=tag if colon else None, digest=Digest(digest) if at else None)

    def __str__(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        digest = "" if self.digest is None else f"@{self.digest}"
        return f"{self.name}{tag}{digest}"

    def __repr__(self) -> str:
        return f"<Reference {self}>"


def check_tag(text: str) -> str:
    """Return the text if it is a version or an alias.

    Raises
    ------
    BadReference
        It is neither. The error names the rules for a version if the text begins with a digit, else those for an
        alias.

    """
    return check_version(text) if text[:1].isdigit() else check_alias(text)
