"""One model's directory, and how to read it.

::

    oci-layout  index.json  blobs/sha256/<64 hex>     what any OCI tool reads
    .journal/00000042.json  .journal/lock             the source of truth, and the writers' lock
    .ingest/<machine>-<random>                        files being written

Readers write nothing and take no lock. How the directory changes, and what survives a crash: see `commit`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import Corrupt
from ..formats.attachments import TYPES, Attachment, parse_attachment
from ..formats.manifest import MAX_MANIFEST, Manifest, parse_manifest
from ..references import digest_of
from .files import fingerprint, read_regular
from .index import MAX_INDEX, parse_index
from .journal import MAX_ENTRY, Change, entry_name
from .unfinished import INGEST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..formats.json_documents import Descriptor
    from ..references import Digest
    from .files import Fingerprint
    from .index import Index
    from .journal import ModelState

__all__ = ["LAYOUT", "Layout"]

LAYOUT: Final = b'{"imageLayoutVersion":"1.0.0"}'
"""The content of `oci-layout`."""


class Layout:
    """The files of one model: a layout in the terms of OCI, https://github.com/opencontainers/image-spec.

    Parameters
    ----------
    path
        The directory, named after the model; it need not exist.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.blobs = path / "blobs" / "sha256"
        self.journal = path / ".journal"
        self.ingest = path / INGEST
        self.index = path / "index.json"
        self._cached: tuple[Fingerprint, Index] | None = None

    @property
    def exists(self) -> bool:
        """Whether there is a model in the directory, intact or damaged."""
        return any((self.path / part).exists() for part in ("index.json", ".journal", "oci-layout"))

    def blob_path(self, digest: Digest) -> Path:
        """Return the path of a blob."""
        return self.blobs / digest.removeprefix("sha256:")

    def read(self, descriptor: Descriptor, *, what: str) -> bytes:
        """Return a blob, whose bytes match the descriptor's size and digest.

        Parameters
        ----------
        descriptor
            Its size is the limit of what is read.
        what
            Who needs the blob, for the error's text.

        Raises
        ------
        Corrupt
            The blob is missing, is not a regular file, or has other bytes.

        """
        try:
            data = read_regular(self.blob_path(descriptor.digest), limit=descriptor.size)
        except FileNotFoundError:
            raise Corrupt(f"{what}: blob {descriptor.digest} is missing") from None
        except Corrupt as e:
            raise Corrupt(f"{what}: {e}") from None
        found = digest_of(data)
        if len(data) != descriptor.size or found != descriptor.digest:
            raise Corrupt(
                f"{what}: blob {descriptor.digest} of {descriptor.size} bytes holds "
                f"{len(data)} bytes with {found}"
            )
        return data

    def manifest(self, descriptor: Descriptor, *, what: str) -> Manifest:
        """Return the manifest of a version, verified and parsed.

        Raises
        ------
        Corrupt
            Its bytes or its content are wrong.

        """
        return parse_manifest(self.read_manifest(descriptor, what=what), what=f"{what}: manifest")

    def attachment(self, descriptor: Descriptor, *, what: str) -> Attachment:
        """Return the manifest of an attachment, verified and parsed.

        Raises
        ------
        Corrupt
            Its bytes or its content are wrong.

        """
        return parse_attachment(self.read_manifest(descriptor, what=what), what=f"{what}: manifest")

    def read_manifest(self, descriptor: Descriptor, *, what: str) -> bytes:
        """Return the bytes of any manifest, verified.

        Raises
        ------
        Corrupt
            As for `read`, or the manifest is too large.

        """
        if descriptor.size > MAX_MANIFEST:
            raise Corrupt(f"{what}: manifest of {descriptor.size} bytes, limit {MAX_MANIFEST}")
        return self.read(descriptor, what=what)

    def blobs_of(self, descriptor: Descriptor, *, what: str) -> tuple[Descriptor, ...]:
        """Return the blobs that a manifest refers to; only the manifest itself is read.

        Raises
        ------
        Corrupt
            The manifest's bytes or its content are wrong.

        """
        if descriptor.artifact_type in TYPES.values():
            return self.attachment(descriptor, what=what).blobs
        return self.manifest(descriptor, what=what).blobs

    def check(self, descriptor: Descriptor, *, what: str) -> tuple[Descriptor, ...]:
        """Read a manifest and every blob it refers to, and return these blobs.

        Raises
        ------
        Corrupt
            Any of them is missing or wrong.

        """
        blobs = self.blobs_of(descriptor, what=what)
        for blob in blobs:
            self.read(blob, what=what)
        return blobs

    def read_index(self) -> Index:
        """Return the content of `index.json`, which another program may have written.

        Raises
        ------
        Corrupt
            It is missing, or lacks the registry's annotations.

        """
        # The file is not read again while its fingerprint is unchanged. A cached index may be older than the journal;
        # that does no harm, because readers apply the journal's newer entries anyway.
        seen = fingerprint(self.index)
        if seen is not None and self._cached is not None and self._cached[0] == seen:
            return self._cached[1]
        try:
            data = read_regular(self.index, limit=MAX_INDEX)
        except FileNotFoundError:
            raise Corrupt(f"{self.index}: is missing") from None
        index = parse_index(data, what=str(self.index))
        # Cached only if the file did not change while it was read, and if its next change is sure to show.
        if seen is not None and index.intact and seen.settled and seen == fingerprint(self.index):
            self._cached = seen, index
        return index

    def entry(self, generation: int) -> tuple[Change, bytes] | None:
        """Return a journal entry and its bytes; None if it does not exist.

        Raises
        ------
        Corrupt
            The file is not a journal entry.

        """
        path = self.journal / entry_name(generation)
        try:
            data = read_regular(path, limit=MAX_ENTRY)
        except FileNotFoundError:
            return None
        return Change.from_bytes(data, what=str(path)), data

    def entries(self, after: int) -> Iterator[tuple[Change, bytes]]:
        """Yield the journal's entries after a generation, up to its end."""
        while (entry := self.entry(after := after + 1)) is not None:
            yield entry

    def state(self) -> ModelState:
        """Return what every tag points to now: the index, and the journal's newer entries applied to it.

        Raises
        ------
        Corrupt
            Index and journal do not agree, or another program wrote the index.

        """
        index = self.read_index()
        if not index.intact:
            raise Corrupt(f"{self.index}: another program wrote it; verify says what it changed")
        generation, head = index.state.generation, index.state.head
        entry = self.entry(generation)
        if head != (None if entry is None else digest_of(entry[1])):
            raise Corrupt(
                f"{self.index}: names {head} as journal entry {generation}, which is "
                f"{'missing' if entry is None else digest_of(entry[1])}"
            )
        return index.state.replay(self.entries(generation), what=str(self.journal))
