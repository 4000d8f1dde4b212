"""`index.json`: a snapshot of the model's state in the form that OCI tools read.

The index is derived from the journal and records the generation it was derived from. Two more annotations make damage
visible: the digest of that generation's journal entry, and a checksum of the index itself.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..errors import BadReference, Corrupt, shown
from ..formats.json_documents import canonical, parse_json, take
from ..formats.tags import REF_NAME, Tags
from ..references import Digest, check_digest, check_version, digest_of
from .journal import GENERATION_DIGITS, ModelState, digest_or_none

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["INDEX_TYPE", "MAX_INDEX", "Index", "parse_index", "render_index"]

MAX_INDEX: Final = 64 * 2**20
"""Largest `index.json` in bytes: about 200,000 versions and aliases."""

INDEX_TYPE: Final = "application/vnd.oci.image.index.v1+json"

GENERATION: Final = "org.spikewatch.generation"
"""Generation of the newest journal entry that the index includes."""

HEAD: Final = "org.spikewatch.journal"
"""Digest of that journal entry. No later entry records the digest of the newest one, so without this annotation the
newest entry could be edited unnoticed."""

CHECKSUM: Final = "org.spikewatch.checksum"
"""Digest of `index.json` with the 64 digits of this value as zeros. It shows at once, without a replay of the journal,
that another program wrote the file."""

WITHDRAWN: Final = "org.spikewatch.withdrawn"
"""The withdrawn versions, as a JSON object of version to digest; absent if there are none."""

_ZERO: Final = Digest("sha256:" + 64 * "0")
_MARK: Final = f'"{CHECKSUM}":"'.encode()


@dataclass(frozen=True, kw_only=True, slots=True)
class Index:
    """`index.json` as read.

    Attributes
    ----------
    data
        The file's bytes.
    state
        The state that it is a snapshot of.
    intact
        Whether its checksum matches. It does not if another program wrote the file: such a program copies the old
        checksum, or drops it.

    """

    data: bytes
    state: ModelState
    intact: bool


def render_index(state: ModelState) -> bytes:
    """Return the content of `index.json`; equal states give equal bytes."""
    annotations = {GENERATION: str(state.generation), CHECKSUM: str(_ZERO)}
    if state.head is not None:
        annotations[HEAD] = state.head
    if state.withdrawn:
        annotations[WITHDRAWN] = canonical(state.withdrawn).decode()
    data = canonical(
        {
            "schemaVersion": 2,
            "mediaType": INDEX_TYPE,
            "manifests": state.tags.to_json(),
            "annotations": annotations,
        }
    )
    return data.replace(_ZERO.encode(), digest_of(data).encode(), 1)


def parse_index(data: bytes, *, what: str) -> Index:
    """Parse `index.json`, also one that another program wrote.

    Parameters
    ----------
    data
        The file's bytes.
    what
        The file's path, for the error's text.

    Raises
    ------
    Corrupt
        The bytes are not an index with the registry's annotations.

    """
    # The strict parser mainly refuses duplicate keys. The registry writes none, so an intact index can be read by the
    # parser of the standard library, which is several times faster.
    intact = _is_intact(data)
    document = json.loads(data) if intact else parse_json(data, what=what)
    annotations = take(document, "annotations", dict, what=what)
    number = take(annotations, GENERATION, str, what=f"{what}: annotations")
    if not (number.isascii() and number.isdigit() and len(number) <= GENERATION_DIGITS):
        raise Corrupt(
            f"{what}: generation {shown(number)} is not a number of 1 to {GENERATION_DIGITS} digits"
        )
    entries = _entries(take(document, "manifests", list, what=what), what=what)
    state = ModelState(
        generation=int(number),
        head=digest_or_none(annotations, HEAD, what=what),
        tags=Tags(entries, what=what),
        withdrawn=_withdrawn(annotations, what=what),
    )
    return Index(data=data, state=state, intact=intact)


def _withdrawn(annotations: Mapping[str, Any], *, what: str) -> dict[str, Digest]:
    if WITHDRAWN not in annotations:
        return {}
    where = f"{what}: {WITHDRAWN}"
    text = take(dict(annotations), WITHDRAWN, str, what=f"{what}: annotations")
    document = parse_json(text.encode(), what=where)
    try:
        return {check_version(tag): check_digest(digest) for tag, digest in document.items()}
    except (AttributeError, TypeError, BadReference) as e:
        raise Corrupt(f"{where}: {e}") from None


def _entries(manifests: list[Any], *, what: str) -> dict[str, Any]:
    """Return the index's entries by tag, without those that have no tag."""
    entries: dict[str, Any] = {}
    for i, entry in enumerate(manifests):
        try:
            tag = entry["annotations"][REF_NAME]
        except (KeyError, TypeError, IndexError):
            continue  # skopeo keeps the old entry, without its tag, when it moves a tag
        if not isinstance(tag, str):
            continue
        if tag in entries:
            raise Corrupt(f"{what}: manifests[{i}]: {shown(tag)} appears twice")
        entries[tag] = entry
    return entries


def _is_intact(data: bytes) -> bool:
    """Return whether the checksum matches the bytes, without parsing them.

    The first occurrence of the mark is the checksum's key: canonical JSON sorts `annotations` before the other members
    and the checksum before the other annotations, so no free text precedes it.
    """
    start = data.find(_MARK)
    if start < 0:
        return False
    start += len(_MARK)
    end = start + len(_ZERO)
    checksum = data[start:end]
    hashed = hashlib.sha256(data[:start])
    hashed.update(_ZERO.encode())
    hashed.update(memoryview(data)[end:])  # no copy: the index may be many megabytes
    return checksum == b"sha256:" + hashed.hexdigest().encode()
