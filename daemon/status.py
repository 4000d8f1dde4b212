"""Look at a spool from outside: what is in its folders, who works on it, and whether a daemon could."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from . import durable, names
from . import model as models
from .errors import DaemonError
from .inbox import leases_work
from .spool import FOLDERS, Spool, holder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .settings import Settings

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that `check` tried: what, whether it works, and what was found."""

    what: str
    ok: bool
    found: str


def _links(spool: Spool) -> Finding:
    """Try on files in tmp/ what claiming and committing rest on."""
    one, two = f"link-{os.getpid()}-a", f"link-{os.getpid()}-b"
    os.close(durable.create(spool.tmp, one))
    try:
        durable.link(spool.tmp, one, spool.tmp, two)
        same = durable.same_file(durable.look(spool.tmp, one), durable.look(spool.tmp, two))
    except OSError as fault:
        return Finding(what="links", ok=False, found=f"hard links are refused: {fault.strerror}")
    finally:
        durable.unlink(spool.tmp, one)
        durable.unlink(spool.tmp, two)
    return Finding(what="links", ok=same, found="hard links work")


def check(settings: Settings) -> Iterator[Finding]:
    """Try everything that a daemon with these settings needs, without disturbing one that runs."""
    try:
        with Spool.make(settings.spool) as spool:
            yield Finding(what="folders", ok=True, found=f"{settings.spool}, one file system")
            yield _links(spool)
            leases = leases_work(spool)
            told = (
                "tell open writers"
                if leases
                else f"do not; files settle for {settings.settle_s:g} s"
            )
            yield Finding(what="leases", ok=True, found=told)
            pid = holder(settings.spool)
            yield Finding(
                what="lock", ok=True, found="free" if pid is None else f"held by process {pid}"
            )
    except DaemonError as e:
        yield Finding(what="folders", ok=False, found=str(e))
    try:
        model = models.load(settings)
        answers = model.classifier.classify(["What is a spike ?"])
    except DaemonError as e:
        yield Finding(what="model", ok=False, found=str(e))
    else:
        ticks = int(answers.ticks.sum())
        yield Finding(what="model", ok=True, found=f"{model.pin}, answers in {ticks} ticks")
