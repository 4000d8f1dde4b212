"""The status of a spool, read from outside: the files in its folders, and its daemon."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from ..errors import DaemonError
from ..spool import names
from ..spool.folder import FOLDERS, missing_folders
from ..spool.shards import Shard, holder, lanes, own, sharing
from . import state_files
from .spool_counts import changed_s, files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_COUNTED: Final = {"out": names.RESULT}
_UNCOUNTED: Final = {"failed": names.REPORT}
"""Suffixes of the files that are counted in a folder, and of those that are not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Folder:
    """The number of files in a folder, and the age in seconds of the oldest (None if there are none).

    In out/ only results are counted, and in failed/ only inputs.
    """

    files: int
    oldest_age_s: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """The status of a spool at one moment.

    Attributes
    ----------
    spool
        Path of the spool.
    holder_pid
        Pid of its daemon, or of the first of several; None if none is running, 0 if the pid is unknown.
    shards
        Pid of each shard's daemon, likewise; empty if the spool has no shards.
    folders
        Counts by folder name.
    lanes
        The same for each lane.
    daemon
        The running daemon's status document (`status.json`); None without a daemon, or before it has written one.

    """

    spool: str
    holder_pid: int | None
    shards: dict[int, int | None]
    folders: dict[str, Folder]
    lanes: dict[str, dict[str, Folder]]
    daemon: dict[str, Any] | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        return asdict(self)


def status(path: Path, *, now_s: float, folders: Sequence[str] = FOLDERS) -> Status:
    """Read the status of a spool without changing it; no daemon needs to be running.

    Parameters
    ----------
    path
        The spool.
    now_s
        Wall time against which ages are computed.
    folders
        The folders to count; done/ may be large.

    Raises
    ------
    DaemonError
        There is no spool at this path, or it cannot be read.

    """
    try:
        missing = missing_folders(path)
    except OSError as fault:
        raise DaemonError(f"{path}: {fault.strerror}") from None
    if missing:
        raise DaemonError(f"{path} is not a spool: {missing[0]}/ is missing")
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
    """Read the status document of the running daemon, but not one that an earlier daemon left."""
    # `pid` is the first running daemon's; if it runs a shard, its status file has that shard's name.
    number = next((n for n, each in shards.items() if each is not None and each == pid), None)
    shard = None if number is None else Shard(number=number, of=len(shards))
    document = state_files.read(path / own(state_files.STATUS_FILE, shard))
    current = pid is not None and document.get("pid") == pid
    return document if current and document.get("schema") == state_files.STATUS_SCHEMA else None


def _folder(path: Path, folder: str, now_s: float) -> Folder:
    changed = []
    try:
        for entry in files(path):
            skipped = folder in _UNCOUNTED and entry.name.endswith(_UNCOUNTED[folder])
            if entry.name.endswith(_COUNTED.get(folder, "")) and not skipped:
                changed.append(changed_s(entry))
    except OSError as fault:
        raise DaemonError(f"{path}: {fault.strerror}") from None
    times = [at for at in changed if at is not None]
    oldest = round(max(now_s - min(times), 0.0), 3) if times else None
    return Folder(files=len(times), oldest_age_s=oldest)
