"""Power cuts: record what a program writes to a disk, and mount the disk as it was at any moment.

A real ext4 stands on a loop device on a recording disk (`disk_recorder.py`).  A disk keeps what was written before its
last flush; of later writes it may have lost any.  `Recording.cuts` yields such disks, each with the marks until then,
which are what had been acknowledged.  `Machine.mounted` mounts one.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE: Final = Path(__file__).parent
SIZE: Final = 24 << 20
"""Size of the disk in bytes: each cut copies all of it."""


@cache
def missing() -> str:
    """Return what a machine lacks to cut its power; empty if nothing."""
    for tool in ("unshare", "nsenter", "mkfs.ext4", "losetup"):
        if shutil.which(tool) is None:
            return f"no {tool}"
    try:
        import disk_recorder  # noqa: F401, PLC0415 - raises where libfuse is missing
    except (ImportError, OSError) as e:
        return f"no FUSE library: {e}"
    if not Path("/dev/fuse").exists():
        return "no /dev/fuse"
    tried = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"],
        capture_output=True,
        check=False,
    )
    return f"no mounts here: {tried.stderr.decode().strip()}" if tried.returncode else ""


class Machine:
    """A mount namespace of its own: what is mounted there goes with it."""

    def __init__(self) -> None:
        if missing():
            pytest.skip(missing())
        hold = [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            "echo; exec sleep infinity",
        ]
        self._holder = subprocess.Popen(hold, stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        self._holder.stdout.readline()  # the namespace is there
        self.enter: Final = ("nsenter", "--mount", "--target", str(self._holder.pid))
        """Command that runs another one inside."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.kill()
        self._holder.communicate()

    def run(self, *command: str | Path) -> None:
        """Run a command inside."""
        subprocess.run([*self.enter, *map(str, command)], check=True, stdout=subprocess.DEVNULL)

    def seen(self, path: Path) -> Path:
        """Return the path by which a path inside can be reached from outside."""
        return Path(f"/proc/{self._holder.pid}/root") / path.relative_to("/")

    @contextmanager
    def mounted(self, image: Path, point: Path) -> Iterator[Path]:
        """Mount a disk, as a machine does that starts after a power cut; yield its path from outside."""
        point.mkdir(exist_ok=True)
        self.run("mount", "-o", "loop", image, point)
        try:
            yield self.seen(point)
        finally:
            self.run("umount", "--lazy", point)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """A disk after a power cut.

    Attributes
    ----------
    name
        Where in the journal the power was cut, and what was lost.
    image
        The disk; valid until the next cut.
    marks
        All marks before the cut.

    """

    name: str
    image: Path
    marks: bytes


class Recording:
    """A fresh disk whose writes are recorded from `begin` on.

    Parameters
    ----------
    machine
        Where it is mounted.
    folder
        Folder in memory for image, journal and mount points.

    """

    def __init__(self, machine: Machine, folder: Path) -> None:
        self._machine = machine
        self._image, self._journal = folder / "disk", folder / "journal"
        self._copy, self._before = folder / "copy", folder / "before"
        self._fuse, self.point = folder / "fuse", folder / "point"
        for made in (self._fuse, self.point):
            made.mkdir()
        with self._image.open("wb") as image:
            image.truncate(SIZE)
        subprocess.run(["mkfs.ext4", "-q", self._image], check=True)
        command = [
            sys.executable,
            HERE / "disk_recorder.py",
            self._image,
            self._journal,
            self._fuse,
        ]
        self._recorder = subprocess.Popen([*machine.enter, *command], stderr=subprocess.PIPE)
        disk = machine.seen(self._fuse) / "disk"
        while not disk.exists():
            if self._recorder.poll() is not None:
                pytest.skip(f"no FUSE here: {self._recorder.communicate()[1].decode().strip()}")
            time.sleep(0.005)
        machine.run("mount", "-o", "loop", self._fuse / "disk", self.point)
        self.marks: Final = self._fuse / "marks"
        """File for marks, inside the machine."""

    def begin(self) -> None:
        """Make everything that is there durable, and record from here on."""
        self._machine.run("sync", "--file-system", self.point)
        shutil.copyfile(self._image, self._before)
        self._begin = self._journal.stat().st_size

    def end(self) -> None:
        """Stop recording, and take the disk away."""
        self._end = self._journal.stat().st_size
        self._machine.run("umount", "--lazy", self.point)
        self._recorder.terminate()
        self._recorder.communicate()

    def cuts(self, *, every_write: bool = False) -> Iterator[Cut]:
        """Yield disks as power cuts leave them.

        Between two flushes, the power is cut just before the second one, with all writes since the first one lost, and
        with half of them lost.  With `every_write`, it is also cut after each write, with all of them kept.
        """
        import disk_recorder as disk  # noqa: PLC0415 - raises where libfuse is missing

        image, copy = bytearray(self._before.read_bytes()), self._copy
        journal = memoryview(self._journal.read_bytes())[self._begin : self._end]
        rng, marks, loose, place, number = random.Random(0), b"", [], 0, 0

        def cut(name: str, kept: list[tuple[int, memoryview]]) -> Cut:
            copy.write_bytes(image)
            with copy.open("r+b") as file:
                for offset, data in kept:
                    file.seek(offset)
                    file.write(data)
            return Cut(name=f"entry {number}, {name}", image=copy, marks=marks)

        while place < len(journal):
            kind, offset, length = disk.HEADER.unpack_from(journal, place)
            data = journal[place + disk.HEADER.size :][:length]
            place += disk.HEADER.size + length
            number += 1
            if kind == disk.MARK:
                marks += bytes(data)
            elif kind == disk.WRITE:
                loose.append((offset, data))
                if every_write:
                    yield cut("all kept", loose)
            else:
                yield cut("all lost", [])
                if loose:
                    yield cut("half lost", [w for w in loose if rng.random() < 0.5])
                for offset, data in loose:
                    image[offset : offset + len(data)] = data
                loose = []
        yield cut("at the end, all lost", [])
        yield cut("at the end, half lost", [w for w in loose if rng.random() < 0.5])
