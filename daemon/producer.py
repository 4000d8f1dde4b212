"""Drop files into a spool, as a producer does: each arrives whole or not at all, even if this process is killed."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import PutError
from .files import durable
from .files.draft import Draft
from .files.durable import Durability
from .spool import names, unfinished
from .spool.folder import PUT_PREFIX, Spool
from .spool.shards import lanes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def put(spool: str | Path, path: str | Path, *, lane: str = "", done_marker: bool = False) -> str:
    """Copy a file into the inbox of a spool; when this returns, the copy survives a power cut.

    The bytes are written to tmp/ first and then linked into in/ under the file's own name.  A process that is killed at
    any moment leaves either the whole file in in/ or nothing.

    Parameters
    ----------
    spool
        Folder of the spool; it is created if it does not exist.
    path
        The file; its suffix must be one that the daemon reads.
    lane
        Drop the file into in/LANE/ instead of in/.
    done_marker
        Create the marker NAME.done as well, for a daemon with the setting `done_marker`.

    Returns
    -------
    str
        Its name in in/, from which the names of its results follow (`out/NAME.jsonl`).

    Raises
    ------
    PutError
        The file cannot be read, the daemon would ignore its name, a file of that name is already waiting, or the spool
        has no such lane.
    SpoolError
        The spool cannot be used.

    """
    with _opened(Path(spool), lane, done_marker=done_marker) as opened:
        return _put(opened, Path(path))


def put_all(
    spool: str | Path,
    paths: Iterable[str | Path],
    *,
    lane: str = "",
    done_marker: bool = False,
) -> Iterator[str]:
    """Put files one after the other (see `put`), and yield the name of each as soon as it is in in/."""
    with _opened(Path(spool), lane, done_marker=done_marker) as opened:
        for path in paths:
            yield _put(opened, Path(path))


def _opened(path: Path, lane: str, *, done_marker: bool) -> Spool:
    if lane not in {"", *lanes(path)}:
        # Only a daemon creates lanes, so that no file waits in a folder that nobody reads.
        raise PutError(
            f"spool {path}: no lane {lane!r}; a daemon creates it (--serve NAME=REFERENCE)"
        )
    return Spool.make(path, lane=lane, marker=names.MARKER if done_marker else "")


def _put(spool: Spool, file: Path) -> str:
    name = file.name
    if unfinished.skipped(name) or names.kind(name) is None:
        raise PutError(
            f"{file}: the name must end in {', '.join(names.KINDS)} and not begin with a dot"
        )
    temporary = f"{PUT_PREFIX}{os.getpid()}-{os.urandom(6).hex()}"
    try:
        with file.open("rb") as source, closing(Draft.named(spool.tmp, temporary)) as draft:
            while chunk := source.read(durable.CHUNK_BYTES):
                draft.write(chunk)
            durable.sync_files([draft.fd], volume=spool.tmp, level=Durability.STRICT)
            draft.place(spool.inbox, name)
            if spool.marker:  # only after the file itself, which it declares complete
                os.close(durable.create(spool.inbox, name + spool.marker))
            durable.sync_folder(spool.inbox, Durability.STRICT)
    except FileExistsError:
        raise PutError(
            f"{file}: {name} is already waiting in {spool.inbox_path}; rename the file"
        ) from None
    except OSError as fault:
        raise PutError(f"{file}: {fault.strerror}") from None
    return name
