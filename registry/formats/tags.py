"""Map the tags of a model to manifests, cheaply for indexes with thousands of tags.

Most readers look up a single tag. A descriptor is therefore parsed from the index's JSON at the look-up: parsing all of
them would take longer than reading the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from .json_documents import Descriptor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..references import Digest

__all__ = ["REF_NAME", "Tags"]

REF_NAME: Final = "org.opencontainers.image.ref.name"


class Tags(Mapping[str, Descriptor]):
    """An immutable mapping of tags to the manifests they point to.

    Looking up a tag raises `Corrupt` if its entry in the index is malformed.

    Parameters
    ----------
    entries
        Descriptor by tag, or the index's entry as parsed from JSON.
    what
        Where they come from, for error messages.

    """

    __slots__ = ("_entries", "_what")

    def __init__(
        self, entries: Mapping[str, Descriptor | dict[str, Any]] | None = None, *, what: str = ""
    ) -> None:
        self._entries = dict(entries or {})
        self._what = what

    def __getitem__(self, tag: str) -> Descriptor:
        entry = self._entries[tag]
        if isinstance(entry, Descriptor):
            return entry
        return Descriptor.from_json(entry, what=f"{self._what}: {tag}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, tag: object) -> bool:
        return tag in self._entries

    def of(self, digest: Digest) -> list[str]:
        """Return the tags that point to this digest."""
        return [tag for tag, entry in self._entries.items() if _digest(entry) == digest]

    def changed(self, targets: Mapping[str, Descriptor | None]) -> Tags:
        """Return a copy in which the given tags point to new targets; tags with the target None are removed."""
        entries = self._entries | {tag: to for tag, to in targets.items() if to is not None}
        for tag in targets:
            if targets[tag] is None:
                entries.pop(tag, None)
        return Tags(entries, what=self._what)

    def to_json(self) -> list[dict[str, Any]]:
        """Return the index's entries as JSON, sorted by tag."""
        # An entry that no change replaced is written as it was read.
        return [
            entry.to_json() | {"annotations": {REF_NAME: tag}}
            if isinstance(entry, Descriptor)
            else entry
            for tag, entry in sorted(self._entries.items())
        ]


def _digest(entry: Descriptor | dict[str, Any]) -> object:
    return entry.digest if isinstance(entry, Descriptor) else entry.get("digest")
