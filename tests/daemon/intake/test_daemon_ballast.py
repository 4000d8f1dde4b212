"""The ballast: a file that is removed when the disk is full, also on a disk that really is full."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from daemon_support import MODEL, Bench, check_log, content, program, until

from spikewatch.daemon.files import durable
from spikewatch.daemon.spool.folder import BALLAST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    MakeBench = Callable[..., AbstractContextManager[Bench]]

GOOD = "Who wrote Hamlet ?"
MIB = 1 << 20


@contextmanager
def small_disk(tmp_path: Path, registry: Path, ballast: int) -> Iterator[Path]:
    """Run a daemon without a reserve on a disk of 4 MiB; yield the path of its spool for us, once it is ready."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare")
    mount = ["unshare", "-Urm", "sh", "-c", 'mount -t tmpfs -o size=4m none "$0" && exec "$@"']
    point, log = tmp_path / "small", tmp_path / "log"
    point.mkdir()
    if subprocess.run([*mount, point, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mounts here")
    command = [sys.executable, "-m", "spikewatch.daemon.cli", "run", "--spool", point / "spool",
               "--registry", registry, "--model", MODEL, "--log-format", "json",
               "--scan-s", "0.05", "--min-free-bytes", "0", "--min-free-inodes", "0",
               "--ballast-bytes", str(ballast)]  # fmt: skip
    with log.open("wb") as out, subprocess.Popen([*mount, point, *command], stdout=out) as daemon:
        try:
            until(lambda: b'"daemon.ready"' in log.read_bytes(), "daemon.ready")
            yield Path(f"/proc/{daemon.pid}/root") / point.relative_to("/") / "spool"
        finally:
            daemon.kill()
    check_log(log)


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * 4096)
        except OSError as fault:
            assert fault.errno == errno.ENOSPC


@pytest.mark.parametrize("name", ["a.txt", "bad.txt"])
def test_on_a_full_disk_an_input_is_settled_in_the_space_of_the_ballast(
    tmp_path: Path, registry: Path, name: str
) -> None:
    with small_disk(tmp_path, registry, MIB) as spool:
        ballast = spool / "tmp" / BALLAST
        until(ballast.exists, "the ballast")
        assert ballast.stat().st_blocks * 512 >= MIB, "it really takes the space"
        hidden = spool / "tmp" / "put-test"
        hidden.write_bytes(b"\xff" if name == "bad.txt" else GOOD.encode())
        fill(spool / "filler")
        hidden.rename(spool / "in" / name)
        where = "failed" if name == "bad.txt" else "done"
        until(
            lambda: name in content(spool / where), f"{name} in {where}/, with the disk still full"
        )
        assert not ballast.exists()
        (spool / "filler").unlink()
        until(ballast.exists, "the ballast again")


def test_the_ballast_has_the_size_of_its_setting_and_survives_starts_and_checks(
    make_bench: MakeBench, registry: Path
) -> None:
    with make_bench(ballast_bytes=MIB) as hand:
        file = hand.path / "tmp" / BALLAST
        for size in (3 * MIB, 0):
            hand.settings.replace(replace(hand.settings(), ballast_bytes=size))
            hand.turn(passed_s=2.0)
            assert (file.stat().st_size if file.exists() else 0) == size
    with make_bench(ballast_bytes=MIB) as hand:
        inode = file.stat().st_ino
    found = program("check", "--spool", hand.path, "--registry", registry, "--model", MODEL)
    assert f"ballast of {MIB} bytes" in found.stdout
    with make_bench(ballast_bytes=MIB):
        assert file.stat().st_ino == inode, "a start keeps the file"


def test_a_refused_write_removes_the_ballast_until_there_is_space(
    hand: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    file = hand.path / "tmp" / BALLAST
    assert file.stat().st_size == MIB
    with monkeypatch.context() as patch:
        patch.setattr(durable, "sync_files", full)
        hand.drop("a.txt", GOOD)
        hand.turn()
        hand.service.finish()
    assert not file.exists()
    hand.run()
    hand.turn(passed_s=2.0)
    assert content(hand.path / "done") == {"a.txt"}
    assert file.stat().st_size == MIB
