"""Files on any fsspec store: read inputs in place, and write results that appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
import uuid
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar, cast

import fsspec
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import infer_compression

from ..errors import BatchError
from ..files import durable
from ..files.draft import Draft
from ..files.durable import Durability

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Value = TypeVar("Value")

HASH_BYTES: Final = 1 << 20
TEMPORARY: Final = ".tmp"
"""Ending of half-written files, whose names also begin with a dot."""


def expand(patterns: Iterable[str]) -> list[str]:
    """Return the sorted URLs, without duplicates, of the files that paths, URLs and globs name.

    Raises
    ------
    BatchError
        A pattern matches no file, or its store fails.

    """
    found: set[str] = set()
    for pattern in patterns:
        with store_errors(pattern):
            fs, path = url_to_fs(pattern)
            files = [path] if fs.isfile(path) else _glob(fs, path)
            found.update(fs.unstrip_protocol(file) for file in files)
        if not files:
            raise BatchError(f"{pattern}: no such file, and no file matches it as a glob")
    return sorted(found)


def _glob(fs: Any, path: str) -> list[str]:
    if "*" not in path and "?" not in path and "[" not in path:
        return []
    # Links are inputs like files, as they are when they are named; one that leads nowhere fails with its reason.
    return [
        file
        for file, facts in fs.glob(path, detail=True).items()
        if facts["type"] == "file" or (facts.get("islink") and not fs.isdir(file))
    ]


def is_parquet(url: str) -> bool:
    """Return whether a URL is that of a Parquet file, which may be compressed."""
    return (url.rpartition(".")[0] if compression(url) else url).lower().endswith(".parquet")


def compression(url: str) -> str | None:
    """Return fsspec's name of the compression that a URL's suffix indicates, or None."""
    return cast("str | None", infer_compression(url.lower()))


@contextmanager
def opened(url: str) -> Iterator[BinaryIO]:
    """Open an input for reading; Parquet is decompressed, because it is read out of order."""
    unpacked = compression(url) if is_parquet(url) else None
    with fsspec.open(url, "rb", compression=unpacked) as file:
        yield cast("BinaryIO", file)


def digest(file: BinaryIO, first: int = 0, last: int | None = None) -> tuple[str, int]:
    """Hash bytes first..last-1 of a file, by default all; return the sha256 (hexadecimal) and the number of bytes."""
    file.seek(first)
    total, size = hashlib.sha256(), 0
    while last is None or first + size < last:
        piece = file.read(HASH_BYTES if last is None else min(HASH_BYTES, last - first - size))
        if not piece:
            break
        total.update(piece)
        size += len(piece)
    return total.hexdigest(), size


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredFile:
    """Digest and size of a written file, and the value that its writer returned."""

    value: Any
    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """The folder for a batch's results, as every worker sees it.

    Attributes
    ----------
    url
        Absolute URL of the folder.

    """

    url: str

    @classmethod
    def make(cls, place: str) -> Store:
        """Create the folder that a path or URL names."""
        with store_errors(place):
            fs, path = url_to_fs(place)
            fs.makedirs(path, exist_ok=True)
            return cls(url=fs.unstrip_protocol(path).rstrip("/"))

    def read(self, name: str) -> bytes | None:
        """Read a small file; None if it does not exist."""
        with store_errors(self.place(name)):
            try:
                return bytes(self._fs.cat_file(self.place(name)))
            except FileNotFoundError:
                return None

    def digest(self, name: str) -> str | None:
        """Hash a file (sha256, hexadecimal); None if it does not exist."""
        with store_errors(self.place(name)):
            try:
                with self._fs.open(self.place(name), "rb") as file:
                    return digest(file)[0]
            except FileNotFoundError:
                return None

    def write(self, name: str, fill: Callable[[BinaryIO], Value]) -> StoredFile:
        """Write a file, which appears under its name only when it is complete.

        On a local disk the file is synced and renamed.  For another store it is first written to this machine, then
        copied under a temporary name and moved, so that no store shows a half-copied file under its final name.

        Parameters
        ----------
        name
            Name within this folder, with `/` between folders.
        fill
            Writes the content, within `store_errors`; if it raises, nothing is left behind.

        Raises
        ------
        BatchError
            The store fails.

        """
        if isinstance(self._fs, LocalFileSystem):
            return self._write_here(Path(self.place(name)), fill)
        with tempfile.TemporaryFile() as file:
            written = _filled(file, fill, name=self.place(name))
            with store_errors(self.place(name)):
                self._put(file, name)
        return written

    def _write_here(self, target: Path, fill: Callable[[BinaryIO], Value]) -> StoredFile:
        with store_errors(str(target)):
            target.parent.mkdir(parents=True, exist_ok=True)
            folder = os.open(target.parent, durable.FOLDER_FLAGS)
        try:
            with store_errors(str(target)):
                # 0o666: the user's umask decides who may read the results, as for any program's output.
                draft = Draft.named(folder, _temporary(target.name), mode=0o666)
            with closing(draft):
                with os.fdopen(draft.fd, "r+b", closefd=False) as file:
                    written = _filled(file, fill, name=str(target))
                with store_errors(str(target)):
                    durable.sync_files([draft.fd], volume=folder, level=Durability.STRICT)
                    draft.replace(target.name)
                    durable.sync_folder(folder, Durability.STRICT)
        finally:
            os.close(folder)
        return written

    def _put(self, file: BinaryIO, name: str) -> None:
        fs, target = self._fs, self.place(name)
        folder, _, last = target.rpartition("/")
        temporary = f"{folder}/{_temporary(last)}"
        fs.makedirs(folder, exist_ok=True)
        try:
            file.seek(0)
            with fs.open(temporary, "wb") as copy:
                while piece := file.read(HASH_BYTES):
                    copy.write(piece)
            # sftp and hdfs refuse to rename over an existing file.  A reader may find none for a moment, but no part
            # counts before its summary is written.
            if fs.exists(target):
                fs.rm_file(target)
            fs.mv(temporary, target)
        except BaseException:
            # The first error matters; the next run's `_tidy` removes what is left.
            with suppress(Exception):
                fs.rm_file(temporary)
            raise

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""
        with store_errors(self.place(name)), suppress(FileNotFoundError):
            self._fs.rm_file(self.place(name))

    def listing(self, folder: str) -> list[str]:
        """Return the names of the files in a folder; an empty list if it does not exist."""
        with store_errors(self.place(folder)):
            try:
                # refresh: fsspec caches listings, and the files of other workers would be missing.
                found = self._fs.ls(self.place(folder), detail=True, refresh=True)
            except FileNotFoundError:
                return []
            return [f["name"].rpartition("/")[2] for f in found if f["type"] == "file"]

    def place(self, name: str) -> str:
        """Return the path of a file on its store."""
        return f"{url_to_fs(self.url)[1]}/{name}"

    @property
    def _fs(self) -> Any:
        return url_to_fs(self.url)[0]


def _filled(file: BinaryIO, fill: Callable[[BinaryIO], Value], *, name: str) -> StoredFile:
    value = fill(file)
    with store_errors(name):
        file.flush()
        sha256, size = digest(file)
    return StoredFile(value=value, sha256=sha256, size=size)


def _temporary(name: str) -> str:
    """Return a name for the file while it is half written: hidden, and different for each writer."""
    return f".{name}.{uuid.uuid4().hex}{TEMPORARY}"


@contextmanager
def store_errors(what: str) -> Iterator[None]:
    """Convert a store's errors to a BatchError of one line."""
    try:
        yield
    except BatchError:
        raise
    except Exception as e:  # every store's library has its own exceptions
        reason = (e.strerror if isinstance(e, OSError) else None) or str(e) or type(e).__name__
        # Only `mkdir` raises this: a file is in the place of a folder.
        if isinstance(e, FileExistsError):
            reason = "Not a directory"
        raise BatchError(f"{what}: {' '.join(reason.split())}") from e
