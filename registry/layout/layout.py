"""One model's directory: an OCI image layout with a journal.

::

    oci-layout  index.json  blobs/sha256/<64 hex>     what any OCI tool reads
    .journal/00000042.json  .journal/lock             the truth, and the writers' lock
    .ingest/<random>                                  files being written

What survives a crash (of a process at any point; of the machine as far as its disk honours fsync):
a change is committed when the link of its journal entry appears, and not before. The blobs it needs
are durable before that. ``index.json`` is swapped after it; when a crash comes between, readers
apply the journal's tail in memory and the next writer swaps the index. Readers write nothing and
take no lock.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import uuid
from typing import TYPE_CHECKING, Final

from ..errors import Corrupt
from ..formats.attachments import TYPES, Attachment, parse_attachment
from ..formats.manifest import MAX_MANIFEST, Manifest, parse_manifest
from ..references import digest_of
from .files import fingerprint, read_regular, sync_folder, temporaries
from .index import MAX_INDEX, parse_index, render_index
from .journal import MAX_ENTRY, Change, ModelState, entry_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from ..formats.json_documents import Descriptor
    from ..references import Digest
    from .files import Fingerprint
    from .index import Index

__all__ = ["LAYOUT", "Layout"]

LAYOUT: Final = b'{"imageLayoutVersion":"1.0.0"}'
"""The content of ``oci-layout``."""

# What flock says on file systems that have none; the link is then the only arbiter, and enough.
_NO_LOCKS: Final = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


class Layout:
    """The files of one model.

    Parameters
    ----------
    path
        The directory; its name is the model's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.blobs = path / "blobs" / "sha256"
        self.journal = path / ".journal"
        self.ingest = path / ".ingest"
        self.index = path / "index.json"
        self._seen: tuple[Fingerprint, Index] | None = None

    @property
    def exists(self) -> bool:
        """Whether there is a model here, whole or damaged."""
        return any((self.path / part).exists() for part in ("index.json", ".journal", "oci-layout"))

    def create(self) -> None:
        """Make the empty layout, all at once, unless there is one."""
        if self.exists:
            return
        made = self.path.with_name(f".new-{uuid.uuid4().hex}")
        new = Layout(made)
        try:
            for folder in (new.blobs, new.journal, new.ingest):
                folder.mkdir(parents=True)
            with temporaries(new.ingest, LAYOUT, render_index(ModelState())) as (marker, index):
                marker.replace(made / "oci-layout")
                index.replace(new.index)
            for folder in (new.blobs, new.blobs.parent, new.journal, made):
                sync_folder(folder)
            made.rename(self.path)
        except OSError as e:
            shutil.rmtree(made, ignore_errors=True)
            # Another process was first: a rename onto a directory needs it empty.
            if e.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
        sync_folder(self.path.parent)

    # Reading

    def blob_path(self, digest: Digest) -> Path:
        """Give the file of a blob."""
        return self.blobs / digest.removeprefix("sha256:")

    def read(self, descriptor: Descriptor, *, what: str) -> bytes:
        """Read a blob; the bytes returned have the descriptor's size and digest.

        Parameters
        ----------
        descriptor
            Its size is the limit of what is read.
        what
            Who needs the blob, for the error's text.

        Raises
        ------
        Corrupt
            When the blob is missing, no regular file, or holds other bytes.
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
        """Read and check a manifest.

        Raises
        ------
        Corrupt
            When its bytes or its content are wrong.
        """
        return parse_manifest(self._manifest_bytes(descriptor, what), what=f"{what}: manifest")

    def attachment(self, descriptor: Descriptor, *, what: str) -> Attachment:
        """Read and check the manifest of an attachment.

        Raises
        ------
        Corrupt
            When its bytes or its content are wrong.
        """
        return parse_attachment(self._manifest_bytes(descriptor, what), what=f"{what}: manifest")

    def _manifest_bytes(self, descriptor: Descriptor, what: str) -> bytes:
        if descriptor.size > MAX_MANIFEST:
            raise Corrupt(f"{what}: manifest of {descriptor.size} bytes, limit {MAX_MANIFEST}")
        return self.read(descriptor, what=what)

    def check(self, descriptor: Descriptor, *, what: str) -> tuple[Descriptor, ...]:
        """Read and check a manifest and every blob it names; give those blobs.

        Raises
        ------
        Corrupt
            When any of them is missing or wrong.
        """
        if descriptor.artifact_type in TYPES.values():
            blobs = self.attachment(descriptor, what=what).blobs
        else:
            blobs = self.manifest(descriptor, what=what).blobs
        for blob in blobs:
            self.read(blob, what=what)
        return blobs

    def read_index(self) -> Index:
        """Read ``index.json``.

        Raises
        ------
        Corrupt
            When it is missing or not ours.
        """
        # An index as it was when it was last read is not read again. It may have been overtaken
        # since: then the journal has newer entries, which readers apply in any case.
        seen = fingerprint(self.index)
        if seen is not None and self._seen is not None and self._seen[0] == seen:
            return self._seen[1]
        try:
            data = read_regular(self.index, limit=MAX_INDEX)
        except FileNotFoundError:
            raise Corrupt(f"{self.index}: is missing") from None
        index = parse_index(data, what=str(self.index))
        if seen is not None and index.intact and seen.settled and seen == fingerprint(self.index):
            self._seen = seen, index
        return index

    def entry(self, generation: int) -> tuple[Change, bytes] | None:
        """Read a journal entry; None when there is none.

        Raises
        ------
        Corrupt
            When the file is no entry.
        """
        path = self.journal / entry_name(generation)
        try:
            data = read_regular(path, limit=MAX_ENTRY)
        except FileNotFoundError:
            return None
        return Change.from_bytes(data, what=str(path)), data

    def entries(self, after: int) -> Iterator[tuple[Change, bytes]]:
        """Read the journal from a generation on, up to its end."""
        while (entry := self.entry(after := after + 1)) is not None:
            yield entry

    def state(self) -> ModelState:
        """Read what every tag means now: the index and the journal's tail.

        Raises
        ------
        Corrupt
            When they do not fit together.
        """
        index = self.read_index()
        if not index.intact:
            raise Corrupt(f"{self.index}: another program wrote it; verify says what it changed")
        entry = self.entry(index.state.generation)
        if index.state.head != (None if entry is None else digest_of(entry[1])):
            raise Corrupt(
                f"{self.index}: names {index.state.head} as journal entry {index.state.generation}, which is "
                f"{'missing' if entry is None else digest_of(entry[1])}"
            )
        return index.state.replay(self.entries(index.state.generation), what=str(self.journal))

    # Writing

    def stage(self, blobs: Mapping[Digest, bytes]) -> None:
        """Store blobs durably; one that is there with wrong bytes is healed.

        Parameters
        ----------
        blobs
            Digest to bytes that have it.
        """
        missing = {}
        for digest, data in blobs.items():
            if not self._holds(self.blob_path(digest), data):
                missing[self.blob_path(digest)] = data
        with temporaries(self.ingest, *missing.values()) as written:
            for temporary, path in zip(written, missing, strict=True):
                temporary.replace(path)
        sync_folder(self.blobs)

    @staticmethod
    def _holds(path: Path, data: bytes) -> bool:
        try:
            if read_regular(path, limit=len(data)) != data:
                return False
            # A blob about to be used must look young to a collector of unused ones.
            os.utime(path)
        except (FileNotFoundError, PermissionError, Corrupt):
            return False  # a fresh copy is younger still
        return True

    def commit(self, decide: Callable[[ModelState], Change | None]) -> ModelState:
        """Commit one change, against other processes and crashes.

        Parameters
        ----------
        decide
            Gives the change for a state, or None when there is nothing to do; raises to refuse.
            Called again when another process was first.

        Returns
        -------
        ModelState
            The state with the change in it.

        Raises
        ------
        Corrupt
            When the journal is damaged.
        """
        with self.locked():
            while True:
                state = self.state()
                change = decide(state)
                if change is None:
                    self._publish_index(state)
                    return state
                entry = change.to_bytes()
                then = state.replay(iter([(change, entry)]), what=str(self.journal))
                # Both are written before the commit: one wait for the disk instead of two.
                with temporaries(self.ingest, entry, render_index(then)) as (claim, index):
                    if self._claim(change.generation, claim):
                        self._swap_index(then, index)
                        return then
                if self.state().generation <= state.generation:
                    path = self.journal / entry_name(change.generation)
                    raise Corrupt(f"{path}: is in the way and cannot be read")

    def rebuild(self) -> None:
        """Write ``oci-layout``, and ``index.json`` from the journal, whatever they hold.

        Raises
        ------
        Corrupt
            When the journal is damaged: it does not chain, or lacks an entry that an intact index
            names.
        """
        with self.locked():
            try:
                intact = self.read_index().intact
            except Corrupt:
                intact = False
            if intact:
                self.state()  # the index is to be trusted: the journal must have what it names
            state = ModelState().replay(self.entries(0), what=str(self.journal))
            with temporaries(self.ingest, LAYOUT) as (marker,):
                marker.replace(self.path / "oci-layout")
            self._publish_index(state)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other writers waiting. A courtesy: correctness rests on the link alone."""
        descriptor = os.open(
            self.journal / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666
        )
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except OSError as e:
                if e.errno not in _NO_LOCKS:
                    raise
            yield
        finally:
            os.close(descriptor)  # drops the lock, as the kernel does for a killed process

    def _claim(self, generation: int, temporary: Path) -> bool:
        """Link the entry into the journal; False when another process took the generation."""
        path = self.journal / entry_name(generation)
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            # NFS may lose the reply of a link that was made, and report the retry's failure.
            if temporary.stat().st_nlink != 2 or not path.samefile(temporary):
                return False
        sync_folder(self.journal)
        return True

    def _publish_index(self, state: ModelState) -> None:
        """Make ``index.json`` this state, unless it is so."""
        data = render_index(state)
        try:
            if read_regular(self.index, limit=MAX_INDEX) == data:
                return
        except (FileNotFoundError, Corrupt):
            pass
        with temporaries(self.ingest, data) as (index,):
            self._swap_index(state, index)

    def _swap_index(self, state: ModelState, temporary: Path) -> None:
        """Swap ``index.json`` until it is the journal's last state.

        Without a working lock a slower process may put an older index over ours. Whoever swaps last
        looks at the journal after that, so the last index is the newest.

        The directory is not fsynced: should a power failure bring the index of before back, its
        readers apply the journal's tail, as they do between the commit and this.
        """
        temporary.replace(self.index)
        newer = state.replay(self.entries(state.generation), what=str(self.journal))
        if newer.generation > state.generation:
            self._publish_index(newer)
