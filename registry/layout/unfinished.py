"""Remove what killed processes left, and nothing that a living one is writing.

Whatever is being written has a name that starts with this machine's mark, and its writer holds a shared lock on the
registry's directory, which the kernel drops when the process dies. A writer that gets the lock for itself is alone:
everything with this machine's mark is then of dead processes. Other machines' files are left to `gc` and its grace,
because not every network file system passes locks on to other machines.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import uuid
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["INGEST", "NEW", "QUARANTINE", "unfinished_name", "writing"]

QUARANTINE: Final = ".quarantine"
"""Directory below the registry in which archives are unpacked and verified."""
NEW: Final = ".new-"
"""What the names of models start with while they are created."""
INGEST: Final = ".ingest"
"""Directory below a model in which files are written before they get their names."""
_MACHINE: Final = f"{hashlib.sha256(os.uname().nodename.encode()).hexdigest()[:12]}-"


def unfinished_name() -> str:
    """Return a name that nobody else uses, for what `writing` removes if its writer is killed."""
    return f"{_MACHINE}{uuid.uuid4().hex}"


@contextlib.contextmanager
def writing(root: Path) -> Iterator[None]:
    """Remove what killed processes of this machine left in a registry; in the block, protect what this one writes.

    Parameters
    ----------
    root
        The registry's directory.

    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _is_alone(descriptor, root):
            # What cannot be removed disturbs nobody.
            with contextlib.suppress(OSError):
                _remove(root)
        with contextlib.suppress(
            OSError
        ):  # a file system without locks, where nothing is removed, either
            flock(descriptor, LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _is_alone(descriptor: int, root: Path) -> bool:
    """Lock the registry's directory; return False if another writer has it, or if locks have no effect here."""
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except OSError:
        return False
    second = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flock(second, LOCK_SH | LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    else:
        return False
    finally:
        os.close(second)


def _remove(root: Path) -> None:
    for path in list(root.iterdir()):
        if path.name.startswith(NEW + _MACHINE):
            shutil.rmtree(path, ignore_errors=True)
        elif path.name == QUARANTINE:
            for each in path.glob(f"{_MACHINE}*"):
                shutil.rmtree(each, ignore_errors=True)
            with contextlib.suppress(OSError):  # not empty
                path.rmdir()
        elif not path.name.startswith("."):
            for each in (path / INGEST).glob(f"{_MACHINE}*"):
                each.unlink(missing_ok=True)
