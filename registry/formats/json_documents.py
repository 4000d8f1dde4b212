"""Write canonical JSON, parse JSON strictly, and describe content by OCI descriptors.

A document is identified by the digest of its bytes, so each document has exactly one serialised form: sorted keys, no
spaces, UTF-8. Parsing is strict, because two programs that interpret a lax document differently (duplicate keys, NaN)
would disagree on what was verified.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from ..errors import BadInput, BadReference, Corrupt, shown
from ..references import Digest, check_digest, digest_of

__all__ = [
    "ARTIFACT_TYPE",
    "MANIFEST_TYPE",
    "Descriptor",
    "canonical",
    "parse_json",
    "take",
]

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT_TYPE: Final = "application/vnd.cncf.model.manifest.v1+json"

_T = TypeVar("_T", str, int, dict[str, Any], list[Any])
_KINDS: Final[dict[type, str]] = {
    str: "a string",
    int: "an integer",
    dict: "an object",
    list: "a list",
}


def canonical(document: object) -> bytes:
    """Serialise a JSON document in its canonical form.

    Raises
    ------
    BadInput
        The document has no JSON form: it contains another type, NaN, an infinity or an unpaired surrogate.

    """
    try:
        text = json.dumps(
            document,
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
            allow_nan=False,
        )
        return text.encode()
    except (TypeError, ValueError, RecursionError) as e:
        raise BadInput(f"not a JSON document: {e}") from None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        key = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"key {shown(key)} appears twice")
    return document


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:20]} is beyond the range of a number")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def parse_json(data: bytes, *, what: str) -> Any:
    """Parse a JSON document strictly: UTF-8, no duplicate keys, no NaN, infinity or unpaired surrogate.

    Parameters
    ----------
    data
        The document's bytes.
    what
        Where they come from, for error messages.

    Raises
    ------
    Corrupt
        The bytes are not such a document.

    """
    try:
        document = json.loads(
            data.decode(),
            object_pairs_hook=_no_duplicates,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
        # json.loads accepts an escaped half of a surrogate pair; encoding it raises UnicodeEncodeError, a ValueError.
        if b"\\u" in data:
            json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as e:
        raise Corrupt(f"{what}: not valid JSON: {e}") from None
    return document


def take(document: object, key: str, kind: type[_T], *, what: str) -> _T:
    """Return a member of a JSON object, checked to be of the given type.

    Parameters
    ----------
    document
        A parsed JSON document, of any type.
    key
        The member's key.
    kind
        The required type.
    what
        Where the document comes from, for error messages.

    Raises
    ------
    Corrupt
        The document is not an object, or the member is absent or of another type.

    """
    value = document.get(key) if isinstance(document, dict) else None
    # In Python bool is a subclass of int; in JSON the two are different types.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise Corrupt(f"{what}: {key!r} is {shown(value)}, not {_KINDS[kind]}")
    return value


@dataclass(frozen=True, kw_only=True, slots=True)
class Descriptor:
    """An OCI descriptor: the type, digest and size of a piece of content.

    Attributes
    ----------
    media_type
        The content's media type.
    digest
        The content's digest.
    size
        The content's size in bytes.
    artifact_type
        The type of artifact that a manifest describes; None for other content.

    """

    media_type: str
    digest: Digest
    size: int
    artifact_type: str | None = None

    @classmethod
    def of(cls, data: bytes, media_type: str, artifact_type: str | None = None) -> Descriptor:
        """Return the descriptor of the given bytes; a manifest's artifact type defaults to a model's."""
        if media_type == MANIFEST_TYPE and artifact_type is None:
            artifact_type = ARTIFACT_TYPE
        return cls(
            media_type=media_type,
            digest=digest_of(data),
            size=len(data),
            artifact_type=artifact_type,
        )

    @classmethod
    def from_json(cls, document: object, *, what: str) -> Descriptor:
        """Parse a descriptor.

        Raises
        ------
        Corrupt
            A member is absent or of another type, the size is negative, or the digest is malformed.

        """
        size = take(document, "size", int, what=what)
        if size < 0:
            raise Corrupt(f"{what}: 'size' is {size}, less than 0")
        try:
            digest = check_digest(take(document, "digest", str, what=what))
        except BadReference as e:
            raise Corrupt(f"{what}: {e}") from None
        artifact_type = None
        if isinstance(document, dict) and "artifactType" in document:
            artifact_type = take(document, "artifactType", str, what=what)
        return cls(
            media_type=take(document, "mediaType", str, what=what),
            digest=digest,
            size=size,
            artifact_type=artifact_type,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the descriptor as a JSON object."""
        document = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.artifact_type is not None:
            document["artifactType"] = self.artifact_type
        return document
