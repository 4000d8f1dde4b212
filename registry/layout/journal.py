"""The journal of a model, which is the truth, and the index, which is its snapshot.

Every change is one file, ``.journal/00000042.json``, that names its predecessor by digest: a chain
that cannot be edited unnoticed. Replaying it gives every state the model ever had. ``index.json``
is the state at one generation in the form that OCI tools read; it states which.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..errors import BadReference, Corrupt, shown
from ..formats.json_documents import Descriptor, canonical, parse_json, take
from ..formats.tags import REF_NAME, Tags
from ..references import Digest, check_digest, check_version, digest_of, is_alias, is_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "MAX_ENTRY",
    "MAX_INDEX",
    "Change",
    "Index",
    "State",
    "entry_name",
    "parse_index",
    "render_index",
]

MAX_ENTRY: Final = 64 * 2**10
"""Largest journal entry in bytes."""
MAX_INDEX: Final = 64 * 2**20
"""Largest index.json in bytes: about 200,000 versions and aliases."""

_DIGITS: Final = 8  # of a generation in its file's name

INDEX_TYPE: Final = "application/vnd.oci.image.index.v1+json"
GENERATION: Final = "org.spikewatch.generation"
HEAD: Final = "org.spikewatch.journal"
"""Digest of the journal entry of that generation: without it, the newest entry, which no other
names, could be edited unnoticed."""
CHECKSUM: Final = "org.spikewatch.checksum"
"""Digest of ``index.json`` with this value's digits as zeros: a file that another program wrote is
known at once, without a replay."""
WITHDRAWN: Final = "org.spikewatch.withdrawn"
"""The withdrawn versions, as a JSON object of version to digest; absent when there are none."""
_ZERO: Final = Digest("sha256:" + 64 * "0")


_MARK: Final = f'"{CHECKSUM}":"'.encode()


def entry_name(generation: int) -> str:
    """Give the file name of a journal entry; generations count from 1."""
    return f"{generation:0{_DIGITS}d}.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One journal entry: a tag gets a target, moves, or goes."""

    generation: int
    previous: Digest | None
    """Digest of the entry before; None for the first."""
    operation: str
    """``publish``, ``withdraw``, ``alias``, ``rollback``, ``remove``, ``import``, ``pull``, ``attach`` or
    ``gc``; readers apply every operation the same way."""
    tag: str
    source: Digest | None
    """What the tag meant before; None when it was absent."""
    target: Descriptor | None
    """What it means now; None when it is removed."""
    time: str
    """RFC 3339, UTC: the writer's clock."""
    actor: str
    reason: str

    def to_bytes(self) -> bytes:
        """Write the entry in its one form."""
        return canonical(
            {
                "gen": self.generation,
                "prev": self.previous,
                "op": self.operation,
                "ref": self.tag,
                "from": self.source,
                "to": None if self.target is None else self.target.to_json(),
                "time": self.time,
                "actor": self.actor,
                "reason": self.reason,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, *, what: str) -> Change:
        """Read an entry.

        Raises
        ------
        Corrupt
            When it is no entry.
        """
        document = parse_json(data, what=what)
        target = document.get("to") if isinstance(document, dict) else None
        text = {
            key: take(document, key, str, what=what)
            for key in ("op", "ref", "time", "actor", "reason")
        }
        return cls(
            generation=take(document, "gen", int, what=what),
            previous=_digest_or_none(document, "prev", what=what),
            operation=text["op"],
            tag=text["ref"],
            source=_digest_or_none(document, "from", what=what),
            target=None if target is None else Descriptor.from_json(target, what=f"{what}: to"),
            time=text["time"],
            actor=text["actor"],
            reason=text["reason"],
        )


def _digest_or_none(document: Mapping[str, Any], key: str, *, what: str) -> Digest | None:
    if document.get(key) is None:
        return None
    try:
        return check_digest(take(dict(document), key, str, what=what))
    except BadReference as e:
        raise Corrupt(f"{what}: {key!r}: {e}") from None


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """What every tag of a model means at one generation."""

    generation: int = 0
    head: Digest | None = None
    """Digest of the journal entry of that generation; None for generation 0."""
    tags: Tags = field(default_factory=Tags)
    """Version, alias or attachment to manifest."""
    withdrawn: Mapping[str, Digest] = field(default_factory=dict)
    """Versions that are gone, with what they were: no other bytes may ever take their names."""

    def then(self, changes: Iterator[tuple[Change, bytes]], *, what: str) -> State:
        """Apply the journal's next entries.

        Parameters
        ----------
        changes
            Entries with their bytes, the first of generation ``generation + 1``.
        what
            The journal's path, for the error's text.

        Raises
        ------
        Corrupt
            When an entry does not follow from the one before it.
        """
        generation, head = self.generation, self.head
        moved: dict[str, Descriptor | None] = {}
        withdrawn = dict(self.withdrawn)
        for change, data in changes:
            where = f"{what}/{entry_name(generation + 1)}"
            current = (moved if change.tag in moved else self.tags).get(change.tag)
            if change.generation != generation + 1:
                raise Corrupt(f"{where}: 'gen' is {change.generation}, not {generation + 1}")
            if change.previous != head:
                raise Corrupt(
                    f"{where}: 'prev' is {change.previous}, but {entry_name(generation)} is {head}"
                )
            if change.source != (None if current is None else current.digest):
                raise Corrupt(
                    f"{where}: 'from' is {change.source}, but {change.tag} was "
                    f"{'absent' if current is None else current.digest}"
                )
            moved[change.tag] = change.target
            withdrawn.pop(change.tag, None)
            if change.target is None and change.source is not None and is_version(change.tag):
                withdrawn[change.tag] = change.source
            generation, head = generation + 1, digest_of(data)
        tags = self.tags.changed(moved) if moved else self.tags
        return State(generation=generation, head=head, tags=tags, withdrawn=withdrawn)

    def version_of(self, digest: Digest) -> str | None:
        """Find the version with this digest; a manifest names its version, so there is one."""
        return next(filter(is_version, self.tags.of(digest)), None)

    def aliases_of(self, digest: Digest) -> tuple[str, ...]:
        """List the aliases that mean this digest, in order."""
        return tuple(sorted(filter(is_alias, self.tags.of(digest))))


@dataclass(frozen=True, kw_only=True, slots=True)
class Index:
    """``index.json`` as found."""

    data: bytes
    generation: int
    head: Digest | None
    """As in State."""
    tags: Tags
    withdrawn: Mapping[str, Digest]
    """As in State."""
    intact: bool
    """Whether the registry wrote these bytes; another program leaves the old checksum, or none."""

    @property
    def state(self) -> State:
        """The state that it is a snapshot of."""
        return State(
            generation=self.generation, head=self.head, tags=self.tags, withdrawn=self.withdrawn
        )


def render_index(state: State) -> bytes:
    """Write ``index.json``: the same state gives the same bytes."""
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
    """Read ``index.json``.

    Raises
    ------
    Corrupt
        When it cannot be read as an index of ours, whoever wrote it.
    """
    # What the registry wrote has no key twice: the quick parser of the standard library will do.
    intact = _is_intact(data)
    document = json.loads(data) if intact else parse_json(data, what=what)
    annotations = take(document, "annotations", dict, what=what)
    number = take(annotations, GENERATION, str, what=f"{what}: annotations")
    if not (number.isascii() and number.isdigit() and len(number) <= _DIGITS):
        raise Corrupt(
            f"{what}: generation {shown(number)} is not a number of 1 to {_DIGITS} digits"
        )
    entries = _entries(take(document, "manifests", list, what=what), what=what)
    return Index(
        data=data,
        generation=int(number),
        head=_digest_or_none(annotations, HEAD, what=what),
        tags=Tags(entries, what=what),
        withdrawn=_withdrawn(annotations, what=what),
        intact=intact,
    )


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
    """Sort the entries by tag."""
    entries: dict[str, Any] = {}
    for i, entry in enumerate(manifests):
        try:
            tag = entry["annotations"][REF_NAME]
        except (KeyError, TypeError, IndexError):
            continue  # skopeo leaves entries without a tag where it moved one
        if not isinstance(tag, str):
            continue
        if tag in entries:
            raise Corrupt(f"{what}: manifests[{i}]: {shown(tag)} appears twice")
        entries[tag] = entry
    return entries


def _is_intact(data: bytes) -> bool:
    """Tell whether the checksum is that of the bytes, without reading them as JSON.

    In canonical form the annotations come first, and nothing before them is of free text.
    """
    start = data.find(_MARK)
    if start < 0:
        return False
    start += len(_MARK)
    end = start + len(_ZERO)
    checksum = data[start:end]
    hashed = hashlib.sha256(data[:start])
    hashed.update(_ZERO.encode())
    hashed.update(memoryview(data)[end:])
    return checksum == b"sha256:" + hashed.hexdigest().encode()
