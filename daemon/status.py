"""Look at a spool from outside: what is in its folders, and who works on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from . import names
from .errors import DaemonError
from .spool import FOLDERS, holder

if TYPE_CHECKING:
    from pathlib import Path

_COUNTED = {"out": names.RESULT}
_UNCOUNTED = {"failed": names.REPORT}


@dataclass(frozen=True, kw_only=True, slots=True)
class Folder:
    """Files in a folder, and the age in seconds of the oldest (None without files).

    In out/ the results are counted, in failed/ the inputs.
    """

    files: int
    oldest_age_s: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """A spool at one moment.

    Attributes
    ----------
    spool
        Its path.
    holder_pid
        The daemon that runs on it; None when none does, 0 when its pid is not known.
    folders
        By name.

    """

    spool: str
    holder_pid: int | None
    folders: dict[str, Folder]

    def as_dict(self) -> dict[str, Any]:
        """Give it as plain values for JSON."""
        return asdict(self)


def status(path: Path, *, now_s: float) -> Status:
    """Look at a spool; changes nothing and needs no daemon.

    Parameters
    ----------
    path
        The spool.
    now_s
        Wall time, from which ages are counted.

    Raises
    ------
    DaemonError
        There is no spool at this path.

    """
    folders = {folder: _folder(path / folder, folder, now_s) for folder in FOLDERS}
    return Status(spool=str(path), holder_pid=holder(path), folders=folders)


def _folder(path: Path, folder: str, now_s: float) -> Folder:
    changed = []
    try:
        for entry in path.iterdir():
            name = entry.name
            wanted = name.endswith(_COUNTED.get(folder, "")) and not name.startswith(".")
            if wanted and not (folder in _UNCOUNTED and name.endswith(_UNCOUNTED[folder])):
                changed.append(entry.lstat().st_ctime)
    except FileNotFoundError:
        if not path.is_dir():
            raise DaemonError(f"{path.parent} is no spool: {folder}/ is missing") from None
    except OSError as fault:
        raise DaemonError(f"{path}: {fault.strerror}") from None
    oldest = round(max(now_s - min(changed), 0.0), 3) if changed else None
    return Folder(files=len(changed), oldest_age_s=oldest)
