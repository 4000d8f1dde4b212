"""The journal of a model: every change that was ever committed to it, in order.

The journal is the model's source of truth. Each change is one file, `.journal/00000042.json`, which holds the digest
of the file before it. The entries thus form a hash chain: an edited entry no longer matches its successor. Replaying
the chain up to a generation gives the state of the model at that generation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..errors import BadReference, Corrupt
from ..formats.json_documents import Descriptor, canonical, parse_json, take
from ..formats.tags import Tags
from ..references import Digest, check_digest, digest_of, is_alias, is_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["GENERATION_DIGITS", "MAX_ENTRY", "Change", "ModelState", "digest_or_none", "entry_name"]

MAX_ENTRY: Final = 64 * 2**10
"""Largest journal entry in bytes."""

GENERATION_DIGITS: Final = 8
"""Decimal digits of a generation in the name of its journal entry."""


def entry_name(generation: int) -> str:
    """Return the file name of a journal entry; generations count from 1."""
    return f"{generation:0{GENERATION_DIGITS}d}.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One journal entry: it adds, moves or removes one tag.

    Attributes
    ----------
    generation
        Number of the entry, from 1.
    previous
        Digest of the entry before; None for the first.
    operation
        `publish`, `withdraw`, `alias`, `rollback`, `remove`, `import`, `pull`, `attach` or `gc`. It is recorded for
        people: a replay applies every operation in the same way.
    tag
        The version, alias or attachment that changes.
    source
        Digest of the manifest that the tag pointed to before; None if the tag did not exist.
    target
        The manifest that the tag points to from now on; None if the tag is removed.
    time
        RFC 3339, UTC, by the writer's clock.
    actor, reason
        Who made the change, and why.

    """

    generation: int
    previous: Digest | None
    operation: str
    tag: str
    source: Digest | None
    target: Descriptor | None
    time: str
    actor: str
    reason: str

    def to_bytes(self) -> bytes:
        """Return the entry's canonical JSON, whose digest the next entry records."""
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
        """Parse a journal entry.

        Parameters
        ----------
        data
            Content of the entry's file.
        what
            The file's path, for the error's text.

        Raises
        ------
        Corrupt
            The bytes are not a journal entry.

        """
        document = parse_json(data, what=what)
        target = document.get("to") if isinstance(document, dict) else None
        text = {
            key: take(document, key, str, what=what)
            for key in ("op", "ref", "time", "actor", "reason")
        }
        return cls(
            generation=take(document, "gen", int, what=what),
            previous=digest_or_none(document, "prev", what=what),
            operation=text["op"],
            tag=text["ref"],
            source=digest_or_none(document, "from", what=what),
            target=None if target is None else Descriptor.from_json(target, what=f"{what}: to"),
            time=text["time"],
            actor=text["actor"],
            reason=text["reason"],
        )


def digest_or_none(document: Mapping[str, Any], key: str, *, what: str) -> Digest | None:
    """Return the digest at a key of a JSON object; None if the key is absent or null.

    Raises
    ------
    Corrupt
        The value is not a digest.

    """
    if document.get(key) is None:
        return None
    try:
        return check_digest(take(dict(document), key, str, what=what))
    except BadReference as e:
        raise Corrupt(f"{what}: {key!r}: {e}") from None


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelState:
    """The targets of all tags of a model at one generation; the default is the state before the first change.

    Attributes
    ----------
    generation
        Number of the newest journal entry that the state includes; 0 for none.
    head
        Digest of that entry; None for generation 0.
    tags
        Version, alias or attachment to manifest.
    withdrawn
        Withdrawn version to the digest it had: the name may only ever be published again with that digest.

    """

    generation: int = 0
    head: Digest | None = None
    tags: Tags = field(default_factory=Tags)
    withdrawn: Mapping[str, Digest] = field(default_factory=dict)

    def replay(self, changes: Iterator[tuple[Change, bytes]], *, what: str) -> ModelState:
        """Return the state after the journal's next entries.

        Parameters
        ----------
        changes
            Entries with their bytes; the first has generation `self.generation + 1`.
        what
            The journal's path, for the error's text.

        Raises
        ------
        Corrupt
            An entry does not follow from the one before it.

        """
        generation, head = self.generation, self.head
        # Tags are copied once at the end: copying thousands of them per entry would make a replay quadratic.
        moved: dict[str, Descriptor | None] = {}
        withdrawn = dict(self.withdrawn)
        for change, data in changes:
            current = (moved if change.tag in moved else self.tags).get(change.tag)
            where = f"{what}/{entry_name(generation + 1)}"
            _check_follows(change, generation, head, current, where)
            moved[change.tag] = change.target
            withdrawn.pop(change.tag, None)  # if it was withdrawn, its bytes are published again
            if change.target is None and change.source is not None and is_version(change.tag):
                withdrawn[change.tag] = change.source
            generation, head = generation + 1, digest_of(data)
        tags = self.tags.changed(moved) if moved else self.tags
        return ModelState(generation=generation, head=head, tags=tags, withdrawn=withdrawn)

    def version_of(self, digest: Digest) -> str | None:
        """Return the version that has this digest, or None.

        There is at most one: the manifest contains its version, so two versions differ in their digests.
        """
        return next(filter(is_version, self.tags.of(digest)), None)

    def aliases_of(self, digest: Digest) -> tuple[str, ...]:
        """Return the aliases that point to this digest, sorted."""
        return tuple(sorted(filter(is_alias, self.tags.of(digest))))


def _check_follows(
    change: Change, generation: int, head: Digest | None, current: Descriptor | None, where: str
) -> None:
    """Raise Corrupt unless the change follows the entry `generation` with digest `head`."""
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
