"""Build and read attachments: evaluations and signatures added to a version after it was published.

Each attachment is a manifest of its own. Its OCI `subject` is the version's manifest, and its tag starts with the
version's digest (`sha256-<64 hex>.eval-1`). Any OCI tool can therefore copy it, and the version itself stays unchanged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..errors import BadInput, Corrupt, shown
from ..references import Digest, digest_of
from .json_documents import MANIFEST_TYPE, Descriptor, canonical, parse_json, take
from .manifest import MAX_MANIFEST, TITLE, Package

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "DSSE_TYPE",
    "EVAL_TYPE",
    "TYPES",
    "Attachment",
    "build_attachment",
    "parse_attachment",
    "split_tag",
    "tag_prefix",
]

EVAL_TYPE: Final = "application/vnd.spikewatch.eval.v1+json"
DSSE_TYPE: Final = "application/vnd.dsse.envelope.v1+json"
TYPES: Final[Mapping[str, str]] = {"eval": EVAL_TYPE, "sig": DSSE_TYPE}
"""Artifact type by kind, the kind as in the tag; the single layer has the same media type."""

# OCI's "empty" config: an attachment needs no config, but a manifest must name one.
_EMPTY: Final = b"{}"
_EMPTY_TYPE: Final = "application/vnd.oci.empty.v1+json"
# A tag may not contain ":", so the digest is written with "-" after the algorithm.
_TAG: Final = re.compile(r"sha256-([0-9a-f]{64})\.(eval|sig)-([1-9][0-9]{0,5})")
_NAMES: Final = {"eval": "eval.json", "sig": "signature.json"}


def split_tag(tag: str) -> tuple[Digest, str] | None:
    """Return the subject's digest and the kind that an attachment's tag names; None for any other tag."""
    match = _TAG.fullmatch(tag)
    return None if match is None else (Digest(f"sha256:{match[1]}"), match[2])


def tag_prefix(subject: Digest, kind: str) -> str:
    """Return the common prefix of the tags of a version's attachments of one kind; a number follows it."""
    return f"{subject.replace(':', '-')}.{kind}-"


@dataclass(frozen=True, kw_only=True, slots=True)
class Attachment:
    """The manifest of an attachment.

    Attributes
    ----------
    kind
        A key of `TYPES`.
    subject
        The version's manifest.
    name
        The model's name.
    config
        OCI's empty config.
    content
        The single layer: the evaluation or the signature's envelope.
    annotations
        All annotations of the manifest, the title included.
    document
        The manifest as parsed.
    data
        Its bytes.

    """

    kind: str
    subject: Descriptor
    name: str
    config: Descriptor
    content: Descriptor
    annotations: Mapping[str, str]
    document: Mapping[str, Any]
    data: bytes

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Every blob that the manifest refers to, except its subject."""
        return self.config, self.content


def build_attachment(
    kind: str, name: str, subject: Descriptor, content: bytes, annotations: Mapping[str, str]
) -> Package:
    """Build the manifest of an attachment.

    Parameters
    ----------
    kind
        A key of `TYPES`.
    name
        The model's name.
    subject
        The version's manifest.
    content
        A JSON object, at most `MAX_MANIFEST` bytes.
    annotations
        Annotations to add; the title is always the model's name.

    Raises
    ------
    BadInput
        The content is not a JSON object, or is too large.

    """
    if len(content) > MAX_MANIFEST:
        raise BadInput(f"{name}: {kind} of {len(content)} bytes, limit {MAX_MANIFEST}")
    try:
        document = parse_json(content, what=f"{name}: {kind}")
    except Corrupt as e:
        raise BadInput(str(e)) from None
    if not isinstance(document, dict):
        raise BadInput(f"{name}: {kind}: is {shown(document)}, not a JSON object")
    layer = Descriptor.of(content, TYPES[kind]).to_json()
    data = canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": TYPES[kind],
            "config": Descriptor.of(_EMPTY, _EMPTY_TYPE).to_json(),
            "layers": [layer | {"annotations": {TITLE: _NAMES[kind]}}],
            "subject": subject.to_json(),
            "annotations": {TITLE: name} | dict(annotations),
        }
    )
    blobs = {digest_of(each): each for each in (content, _EMPTY, data)}
    return Package(descriptor=Descriptor.of(data, MANIFEST_TYPE, TYPES[kind]), blobs=blobs)


def parse_attachment(data: bytes, *, what: str) -> Attachment:
    """Parse an attachment's manifest, whose digest the caller has verified.

    Parameters
    ----------
    data
        The manifest's bytes.
    what
        Where they come from, for error messages.

    Raises
    ------
    Corrupt
        The bytes are not the manifest of an attachment: a known kind, one layer, a subject.

    """
    document = parse_json(data, what=what)
    artifact = take(document, "artifactType", str, what=what)
    kind = next((kind for kind, each in TYPES.items() if each == artifact), None)
    if kind is None or take(document, "mediaType", str, what=what) != MANIFEST_TYPE:
        raise Corrupt(f"{what}: is not the manifest of an evaluation or a signature")
    layers = take(document, "layers", list, what=what)
    if len(layers) != 1:
        raise Corrupt(f"{what}: has {len(layers)} layers, not 1")
    content = Descriptor.from_json(layers[0], what=f"{what}: layers[0]")
    config = Descriptor.from_json(document.get("config"), what=f"{what}: config")
    for blob, expected in ((content, TYPES[kind]), (config, _EMPTY_TYPE)):
        if blob.media_type != expected or blob.size > MAX_MANIFEST:
            raise Corrupt(
                f"{what}: holds {shown(blob.media_type)} of {blob.size} bytes, not {expected!r} of "
                f"at most {MAX_MANIFEST}"
            )
    annotations = take(document, "annotations", dict, what=what)
    for key in (TITLE, *annotations):
        take(annotations, key, str, what=f"{what}: annotations")
    return Attachment(
        kind=kind,
        subject=Descriptor.from_json(document.get("subject"), what=f"{what}: subject"),
        name=annotations[TITLE],
        config=config,
        content=content,
        annotations=annotations,
        document=document,
        data=data,
    )
