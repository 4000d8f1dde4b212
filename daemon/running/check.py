"""Check everything that a daemon needs, before one runs or while one does."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..errors import DaemonError
from ..files.mounts import mount_of
from ..intake.examining import leases_work
from ..intake.room import Reserve
from ..models.served import ModelSource
from ..monitoring.http_endpoint import address
from ..spool.folder import BALLAST, Spool, missing_folders
from ..spool.requirements import demand
from ..spool.shards import Shard, holder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """The outcome of one check: its name, whether it passed, and details."""

    what: str
    ok: bool
    found: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def _disk(spool: Spool, settings: Settings) -> Finding:
    """Check that more space is free than the reserve."""
    disk = os.fstatvfs(spool.out)
    reserve = Reserve.of(disk, settings)
    inodes = reserve.free_inodes if disk.f_files else "uncounted"  # btrfs reports 0 inodes in all
    return Finding(
        what="disk",
        ok=reserve.met(),
        found=f"{reserve.free_bytes} bytes free, {reserve.least_bytes} reserved; "
        f"{inodes} inodes free, {reserve.least_inodes} reserved; {_ballast(settings)}",
    )


def _ballast(settings: Settings) -> str:
    shard = Shard.parse(settings.shard)
    file = settings.spool / "tmp" / (shard.folder if shard else "") / BALLAST
    return f"ballast of {file.lstat().st_size} bytes" if file.is_file() else "no ballast"


def _creatable(path: Path, missing: list[str]) -> Finding:
    """Check whether `run` can create a spool, or the missing folders of one; nothing is created here."""
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    what = f"{', '.join(missing)} missing" if path.exists() else "it does not exist"
    ok = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    how = "run creates it" if ok else f"run cannot create it: {there} is not a writable folder"
    return Finding(what="folders", ok=ok, found=f"{path}: {what}; {how}")


def _spool(settings: Settings) -> Iterator[Finding]:
    if missing := missing_folders(settings.spool):
        yield _creatable(settings.spool, missing)
        return
    with Spool(settings.spool) as spool:
        demand(spool, network_fs=settings.network_fs)
        kind = mount_of(spool.work).kind
        yield Finding(what="folders", ok=True, found=f"{settings.spool}, one file system: {kind}")
        yield Finding(what="links", ok=True, found="hard links work")
        leases = not settings.network_fs and leases_work(spool)
        unchanged = f"do not work; a file must not change for {settings.settle_s:g} s"
        found = "reveal open writers" if leases else unchanged
        yield Finding(what="leases", ok=True, found=found)
        pid = holder(settings.spool)
        held = "free" if pid is None else f"held by process {pid or 'unknown'}"
        yield Finding(what="lock", ok=True, found=held)
        yield _disk(spool, settings)


def _model(what: str, source: ModelSource) -> Finding:
    try:
        model = source.load()
        answers = model.classifier.classify(["What is a spike ?"])
    except DaemonError as e:
        return Finding(what=what, ok=False, found=str(e))
    tested = "self-test passed" if model.self_test == "passed" else "no self-test"
    found = f"{model.pin}, answers in {int(answers.ticks.sum())} ticks, {tested}"
    return Finding(what=what, ok=True, found=found)


def _http(settings: Settings) -> Finding:
    try:
        address(settings.http, public=settings.http_public)
    except DaemonError as e:
        return Finding(what="http", ok=False, found=str(e))
    return Finding(what="http", ok=True, found=f"{settings.http} can be served")


def check(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each thing that a daemon with these settings needs; a running daemon is not disturbed."""
    try:
        yield from _spool(settings)
    except DaemonError as e:
        yield Finding(what="folders", ok=False, found=str(e))
    except OSError as fault:
        yield Finding(what="folders", ok=False, found=f"{settings.spool}: {fault.strerror}")
    if settings.http:
        yield _http(settings)
    yield _model("model", ModelSource(settings.registry, settings.model))
    for lane, reference in settings.models.items():
        yield _model(f"lane {lane}", ModelSource(settings.registry, reference))
