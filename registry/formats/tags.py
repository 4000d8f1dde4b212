"""What every tag of a model means, for indexes of thousands of tags.

A reader wants one tag. Descriptors are therefore made from the index's JSON when they are asked for:
making all of them takes longer than reading the file.
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
    """Tag to manifest; immutable.

    Parameters
    ----------
    entries
        Tag to descriptor, or to the index's entry as read.
    what
        Where they come from, for the error's text.
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
        """List the tags that mean this digest."""
        return [tag for tag, entry in self._entries.items() if _digest(entry) == digest]

    def changed(self, targets: Mapping[str, Descriptor | None]) -> Tags:
        """Give these tags with some that mean something else, or nothing."""
        entries = self._entries | {tag: to for tag, to in targets.items() if to is not None}
        for tag in targets:
            if targets[tag] is None:
                entries.pop(tag, None)
        return Tags(entries, what=self._what)

    def to_json(self) -> list[dict[str, Any]]:
        """Write the index's entries, in the tags' order."""
        return [
            entry.to_json() | {"annotations": {REF_NAME: tag}}
            if isinstance(entry, Descriptor)
            else entry
            for tag, entry in sorted(self._entries.items())
        ]


def _digest(entry: Descriptor | dict[str, Any]) -> object:
    return entry.digest if isinstance(entry, Descriptor) else entry.get("digest")
