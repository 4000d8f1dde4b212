"""Look at a spool from outside: what is in its folders, and who works on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..errors import DaemonError
from ..spool import names
from ..spool.folder import FOLDERS
from ..spool.shards import Shard, holder, lanes, own, sharing
from . import state_files
from .spool_counts import changed_s, files

if TYPE_CHECKING:
    from collections.abc import Sequence
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
        The daemon that runs on it, the first one of several; None when none does, 0 when its pid is not known.
    shards
        The daemon of each shard, likewise; empty where the spool is not shared.
    folders
        By name.
    lanes
        The folders of each lane, likewise.
    daemon
        What the daemon that runs on it says of itself (`status.json`); None when none does, or it has not yet.

    """

    spool: str
    holder_pid: int | None
    shards: dict[int, int | None]
    folders: dict[str, Folder]
    lanes: dict[str, dict[str, Folder]]
    daemon: dict[str, Any] | None

    def as_dict(self) -> dict[str, Any]:
        """Give it as plain values for JSON."""
        return asdict(self)


def status(path: Path, *, now_s: float, folders: Sequence[str] = FOLDERS) -> Status:
    """Look at a spool; changes nothing and needs no daemon.

    Parameters
    ----------
    path
        The spool.
    now_s
        Wall time, from which ages are counted.
    folders
        Which to count: done/ may have grown large.

    Raises
    ------
    DaemonError
        There is no spool at this path, or it cannot be read.

    """
    try:
        missing = [folder for folder in FOLDERS if not (path / folder).is_dir()]
    except OSError as fault:
        raise DaemonError(f"{path}: {fault.strerror}") from None
    if missing:
        raise DaemonError(f"{path} is no spool: {missing[0]}/ is missing")
    found = {
        lane: {folder: _folder(path / folder / lane, folder, now_s) for folder in folders}
        for lane in ("", *lanes(path))
    }
    pid, shards = holder(path), sharing(path)
    return Status(
        spool=str(path),
        holder_pid=pid,
        shards=shards,
        folders=found.pop(""),
        lanes=found,
        daemon=_daemon(path, pid, shards),
    )


def _daemon(path: Path, pid: int | None, shards: dict[int, int | None]) -> dict[str, Any] | None:
    """Read what the daemon says, unless it is of one that was there before."""
    number = next((n for n, its in shards.items() if its is not None and its == pid), None)
    shard = None if number is None else Shard(number=number, of=len(shards))
    document = state_files.read(path / own(state_files.STATUS_FILE, shard))
    current = pid is not None and document.get("pid") == pid
    return document if current and document.get("schema") == state_files.STATUS_SCHEMA else None


def _folder(path: Path, folder: str, now_s: float) -> Folder:
    changed = []
    try:
        for entry in files(path):
            left_out = folder in _UNCOUNTED and entry.name.endswith(_UNCOUNTED[folder])
            if entry.name.endswith(_COUNTED.get(folder, "")) and not left_out:
                changed.append(changed_s(entry))
    except OSError as fault:
        raise DaemonError(f"{path}: {fault.strerror}") from None
    times = [at for at in changed if at is not None]
    oldest = round(max(now_s - min(times), 0.0), 3) if times else None
    return Folder(files=len(times), oldest_age_s=oldest)
