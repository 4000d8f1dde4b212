"""Files on any fsspec store: inputs are read where they lie, results appear whole or not at all."""

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
from ..spool import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Value = TypeVar("Value")

HASH_BYTES: Final = 1 << 20
TEMPORARY: Final = ".tmp"
"""Ending of files that are half written; their names begin with a dot as well."""


def expand(patterns: Iterable[str]) -> list[str]:
    """Give the URLs of the files that paths, URLs and globs name, in order, each once.

    Raises
    ------
    BatchError
        A pattern names no file, or its store cannot be asked.

    """
    found: set[str] = set()
    for pattern in patterns:
        with asking(pattern):
            fs, path = url_to_fs(pattern)
            files = [path] if fs.isfile(path) else _glob(fs, path)
            found.update(fs.unstrip_protocol(file) for file in files)
        if not files:
            raise BatchError(f"{pattern}: no such file, and no glob of any")
    return sorted(found)


def _glob(fs: Any, path: str) -> list[str]:
    if "*" not in path and "?" not in path and "[" not in path:
        return []
    return [file for file, facts in fs.glob(path, detail=True).items() if facts["type"] == "file"]


def kind(url: str) -> str | None:
    """Give the suffix that says how an input is read, below that of a compression (see `names.kind`)."""
    if compression(url) is not None:
        url = url.rpartition(".")[0]
    if names.gzipped(url):  # compressed twice
        return None
    return ".parquet" if url.lower().endswith(".parquet") else names.kind(url)


def compression(url: str) -> str | None:
    """Give the compression that the end of a name says, as fsspec calls it."""
    return cast("str | None", infer_compression(url.lower()))


@contextmanager
def opened(url: str) -> Iterator[BinaryIO]:
    """Open an input to read it, decompressed."""
    with fsspec.open(url, "rb", compression=compression(url)) as file:
        yield cast("BinaryIO", file)


def digest(file: BinaryIO, first: int = 0, last: int | None = None) -> tuple[str, int]:
    """Hash the bytes first..last-1 of a file (sha256, hexadecimal), None: to its end; return their number too."""
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
    """What a file that was written holds, and what its writer returned."""

    value: Any
    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """The folder of a batch's results, as every worker sees it.

    Attributes
    ----------
    url
        Of the folder; absolute.

    """

    url: str

    @classmethod
    def make(cls, place: str) -> Store:
        """Name a folder by a path or URL, and make it."""
        with asking(place):
            fs, path = url_to_fs(place)
            fs.makedirs(path, exist_ok=True)
            return cls(url=fs.unstrip_protocol(path).rstrip("/"))

    def read(self, name: str) -> bytes | None:
        """Read a small file; None when it is not there."""
        with asking(self.place(name)):
            try:
                return bytes(self._fs.cat_file(self.place(name)))
            except FileNotFoundError:
                return None

    def digest(self, name: str) -> str | None:
        """Hash a file (sha256, hexadecimal); None when it is not there."""
        with asking(self.place(name)):
            try:
                with self._fs.open(self.place(name), "rb") as file:
                    return digest(file)[0]
            except FileNotFoundError:
                return None

    def write(self, name: str, fill: Callable[[BinaryIO], Value]) -> StoredFile:
        """Write a file: when this returns it is there, and before that its name does not show it.

        On a local disk it is synced and renamed.  Elsewhere it is written here, put under a temporary name and moved:
        no store shows a file that is half copied under its last name.

        Parameters
        ----------
        name
            In this folder, `/` between folders.
        fill
            Writes the content, in `asking`; what it raises leaves nothing behind.

        Raises
        ------
        BatchError
            The store refuses it.

        """
        if isinstance(self._fs, LocalFileSystem):
            return self._write_here(Path(self.place(name)), fill)
        with tempfile.TemporaryFile() as file:
            written = _filled(file, fill, name=self.place(name))
            with asking(self.place(name)):
                self._put(file, name)
        return written

    def _write_here(self, target: Path, fill: Callable[[BinaryIO], Value]) -> StoredFile:
        with asking(str(target)):
            target.parent.mkdir(parents=True, exist_ok=True)
            folder = os.open(target.parent, durable.FOLDER_FLAGS)
        try:
            with asking(str(target)):
                draft = Draft.named(folder, _temporary(target.name), mode=0o666)
            with closing(draft):
                with os.fdopen(draft.fd, "r+b", closefd=False) as file:
                    written = _filled(file, fill, name=str(target))
                with asking(str(target)):
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
            if fs.exists(target):  # sftp and hdfs rename onto nothing that is there
                fs.rm_file(target)
            fs.mv(temporary, target)
        except BaseException:
            with suppress(Exception):
                fs.rm_file(temporary)
            raise

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with asking(self.place(name)), suppress(FileNotFoundError):
            self._fs.rm_file(self.place(name))

    def listing(self, folder: str) -> list[str]:
        """Give the names of the files in a folder; none when there is no such folder."""
        with asking(self.place(folder)):
            try:
                found = self._fs.ls(self.place(folder), detail=True, refresh=True)
            except FileNotFoundError:
                return []
            return [f["name"].rpartition("/")[2] for f in found if f["type"] == "file"]

    def place(self, name: str) -> str:
        """Give the path of a file on its store."""
        return f"{url_to_fs(self.url)[1]}/{name}"

    @property
    def _fs(self) -> Any:
        return url_to_fs(self.url)[0]


def _filled(file: BinaryIO, fill: Callable[[BinaryIO], Value], *, name: str) -> StoredFile:
    value = fill(file)
    with asking(name):
        file.flush()
        sha256, size = digest(file)
    return StoredFile(value=value, sha256=sha256, size=size)


def _temporary(name: str) -> str:
    """Return a name for the file while it is half written: hidden, and different for each writer."""
    return f".{name}.{uuid.uuid4().hex}{TEMPORARY}"


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Say in one line what a store did not do."""
    try:
        yield
    except BatchError:
        raise
    except Exception as e:  # each store's library has errors of its own
        reason = (e.strerror if isinstance(e, OSError) else None) or str(e) or type(e).__name__
        raise BatchError(f"{what}: {' '.join(reason.split())}") from e
