"""The journal of a model, which is the truth, and the index, which is its snapshot.

Every change is one file, ``.journal/00000042.json``, that names its predecessor by digest: a chain
that cannot be edited unnoticed. Replaying it gives every state the model ever had. ``index.json``
is the state at one generation in the form that OCI tools read; it states which.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .documents import Descriptor, canonical, parse_json, take
from .errors import BadReference, Corrupt, shown
from .references import Digest, check_digest, digest_of, is_version

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
REF_NAME: Final = "org.opencontainers.image.ref.name"
GENERATION: Final = "org.spikewatch.generation"
HEAD: Final = "org.spikewatch.journal"
"""Digest of the journal entry of that generation: without it, the newest entry, which no other
names, could be edited unnoticed."""
CHECKSUM: Final = "org.spikewatch.checksum"
"""Digest of ``index.json`` with this value's digits as zeros: a file that another program wrote is
known at once, without a replay."""
_ZERO: Final = Digest("sha256:" + 64 * "0")


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
    """``publish`` or ``alias``; readers apply every operation the same way."""
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
    tags: Mapping[str, Descriptor] = field(default_factory=dict)
    """Version or alias to manifest."""

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
        generation, head, tags = self.generation, self.head, dict(self.tags)
        for change, data in changes:
            where = f"{what}/{entry_name(generation + 1)}"
            current = tags.get(change.tag)
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
            if change.target is None:
                tags.pop(change.tag, None)
            else:
                tags[change.tag] = change.target
            generation, head = generation + 1, digest_of(data)
        return State(generation=generation, head=head, tags=tags)

    def version_of(self, digest: Digest) -> str | None:
        """Find the version with this digest; a manifest names its version, so there is one."""
        for tag, target in self.tags.items():
            if target.digest == digest and is_version(tag):
                return tag
        return None

    def aliases_of(self, digest: Digest) -> tuple[str, ...]:
        """List the aliases that mean this digest, in order."""
        return tuple(
            sorted(t for t, to in self.tags.items() if to.digest == digest and not is_version(t))
        )

    def breaks(self, digest: Digest) -> tuple[str, ...]:
        """List every tag that means this digest, in order."""
        return tuple(sorted(tag for tag, target in self.tags.items() if target.digest == digest))


@dataclass(frozen=True, kw_only=True, slots=True)
class Index:
    """``index.json`` as found."""

    data: bytes
    generation: int
    head: Digest | None
    """As in State."""
    tags: Mapping[str, Descriptor]
    intact: bool
    """Whether the registry wrote these bytes; another program leaves the old checksum, or none."""


def render_index(state: State) -> bytes:
    """Write ``index.json``: the same state gives the same bytes."""
    manifests = [
        target.to_json() | {"annotations": {REF_NAME: tag}}
        for tag, target in sorted(state.tags.items())
    ]
    annotations = {GENERATION: str(state.generation), CHECKSUM: str(_ZERO)}
    if state.head is not None:
        annotations[HEAD] = state.head
    data = canonical(
        {
            "schemaVersion": 2,
            "mediaType": INDEX_TYPE,
            "manifests": manifests,
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
    document = parse_json(data, what=what)
    annotations = take(document, "annotations", dict, what=what)
    number = take(annotations, GENERATION, str, what=f"{what}: annotations")
    if not (number.isascii() and number.isdigit() and len(number) <= _DIGITS):
        raise Corrupt(
            f"{what}: generation {shown(number)} is not a number of 1 to {_DIGITS} digits"
        )
    tags: dict[str, Descriptor] = {}
    for i, entry in enumerate(take(document, "manifests", list, what=what)):
        where = f"{what}: manifests[{i}]"
        tag = _tag(entry)
        if tag in tags:
            raise Corrupt(f"{where}: {shown(tag)} appears twice")
        if tag is not None:
            tags[tag] = Descriptor.from_json(entry, what=where)
    return Index(
        data=data,
        generation=int(number),
        head=_digest_or_none(annotations, HEAD, what=what),
        tags=tags,
        intact=_is_intact(data, annotations.get(CHECKSUM)),
    )


def _tag(entry: object) -> str | None:
    """Give the tag of an index entry; skopeo leaves entries without one where it moved a tag."""
    annotations = entry.get("annotations") if isinstance(entry, dict) else None
    tag = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
    return tag if isinstance(tag, str) else None


def _is_intact(data: bytes, checksum: object) -> bool:
    if not isinstance(checksum, str) or not checksum.isascii():
        return False
    return digest_of(data.replace(checksum.encode(), _ZERO.encode(), 1)) == checksum
