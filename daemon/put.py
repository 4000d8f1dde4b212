"""Drop files into a spool so that they arrive whole or not at all, whatever happens to the producer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .errors import PutError
from .files import durable
from .spool import names
from .spool.folder import PUT_PREFIX, Spool
from .spool.shards import lanes

if TYPE_CHECKING:
    from pathlib import Path


def opened(path: Path, lane: str = "") -> Spool:
    """Open a spool to put files into; made when it does not exist.

    Raises
    ------
    PutError
        The spool has no such lane: only a daemon makes one, so that nothing waits where nobody answers.
    SpoolError
        It cannot be used.

    """
    if lane not in {"", *lanes(path)}:
        raise PutError(
            f"spool {path}: no lane {lane!r}; a daemon makes it (--serve NAME=REFERENCE)"
        )
    return Spool.make(path, lane=lane)


def put(spool: Spool, file: Path) -> str:
    """Copy a file into the inbox, with its marker where the spool has one; when this returns, it survives a power cut.

    The bytes go to tmp/ first, and appear in in/ under the file's own name at one instant.  Killed at any moment,
    either the whole file is in in/ or nothing is.

    Returns
    -------
    str
        Its name in in/.

    Raises
    ------
    PutError
        Not a readable file, a name that the daemon would not read, or one that waits in in/ already.

    """
    name = file.name
    if names.skipped(name) or names.kind(name) is None:
        raise PutError(
            f"{file}: the name must end in {', '.join(names.KINDS)} and not begin with a dot"
        )
    temporary = f"{PUT_PREFIX}{os.getpid()}-{os.urandom(6).hex()}"
    try:
        _copy(spool, file, temporary)
        durable.link(spool.tmp, temporary, spool.inbox, name)
        if spool.marker:
            os.close(durable.create(spool.inbox, name + spool.marker))
        os.fsync(spool.inbox)
    except FileExistsError:
        raise PutError(f"{file}: {name} waits in {spool.inbox_path} already") from None
    except OSError as fault:
        raise PutError(f"{file}: {fault.strerror}") from None
    finally:
        durable.unlink(spool.tmp, temporary)
    return name


def _copy(spool: Spool, file: Path, temporary: str) -> None:
    with file.open("rb") as source:
        fd = durable.create(spool.tmp, temporary)
        try:
            while chunk := source.read(durable.CHUNK_BYTES):
                durable.write_all(fd, chunk)
            os.fsync(fd)
        finally:
            os.close(fd)
