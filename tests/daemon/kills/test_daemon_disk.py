"""Full disks: no free bytes or no free inodes, on a small file system of their own."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from daemon_lives import at_rest
from daemon_namespace import island
from daemon_support import bench, content, spool_of, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from daemon_lives import Nursery

FILES = {
    f"{i}.txt": f"who wrote hamlet ?\nhow far is the moon {'the ' * i}?\n".encode()
    for i in range(5)
}


@pytest.fixture
def expected(tmp_path: Path, registry: Path) -> dict[str, bytes]:
    """Answer the files without disturbance; return the results."""
    clean = spool_of(tmp_path / "clean")
    with bench(clean, registry) as hand:
        for name, data in FILES.items():
            hand.drop(name, data)
        hand.run()
    return dict(at_rest(clean).results)


def fill_bytes(folder: Path) -> None:
    """Write until the disk is full to the last page."""
    with (folder / "ballast").open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(b"x" * 4096)
        except OSError as fault:
            assert fault.errno == errno.ENOSPC


def fill_inodes(folder: Path) -> None:
    """Create files until no inode is free."""
    (folder / "ballast").mkdir()
    try:
        for i in range(10**6):
            (folder / "ballast" / str(i)).touch()
    except OSError as fault:
        assert fault.errno == errno.ENOSPC


def empty(folder: Path) -> None:
    """Free the space again."""
    ballast = folder / "ballast"
    for path in ballast.iterdir() if ballast.is_dir() else [ballast]:
        path.unlink()


def drop(spool: Path, when_ready: Callable[[], None]) -> None:
    """Write files, and rename them into in/ when the disk is full; a rename needs no space."""
    for name, data in FILES.items():
        (spool / "tmp" / f"put-{name}").write_bytes(data)
    when_ready()
    for name in FILES:
        (spool / "tmp" / f"put-{name}").rename(spool / "in" / name)


def settled(spool: Path, expected: dict[str, bytes]) -> None:
    """Wait until all files are answered; the results must equal those of an undisturbed run."""
    until(lambda: content(spool / "done") == set(FILES), "all in done/")
    until(lambda: not content(spool / "work") | content(spool / "tmp"), "work/ and tmp/ empty")
    rest = at_rest(spool)
    assert rest.waiting == frozenset()
    assert dict(rest.results) == expected
    assert dict(rest.done) == FILES
    assert dict(rest.failed) == {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Disk:
    """A small disk of its own.

    Attributes
    ----------
    lives
        Starts daemons that see it.
    point, inside
        Its path for these daemons, and for the test.
    fill
        Uses up all its bytes, or all its inodes.

    """

    lives: Nursery
    point: Path
    inside: Path
    fill: Callable[[], None]


@pytest.fixture(
    params=[
        pytest.param(("size=512k,nr_inodes=400", fill_bytes), id="no room"),
        pytest.param(("size=4m,nr_inodes=90", fill_inodes), id="no inodes"),
    ]
)
def disk(request: pytest.FixtureRequest, registry: Path, tmp_path: Path) -> Iterator[Disk]:
    options, fill = request.param
    with island(registry, tmp_path / "small", options) as (lives, inside):
        yield Disk(lives=lives, point=tmp_path / "small", inside=inside, fill=lambda: fill(inside))


def test_a_disk_without_room_makes_the_work_wait_and_loses_nothing(
    disk: Disk, expected: dict[str, bytes]
) -> None:
    """There is no reserve, so that the work itself meets the full disk."""
    disk.lives.start(disk.point / "spool", min_free_bytes=0, min_free_inodes=0, scan_s=0.05)
    disk.lives.wait_for("daemon.ready")
    spool = disk.inside / "spool"
    drop(spool, disk.fill)
    until(
        lambda: (
            disk.lives.events("request.retry", code="ENOSPC")
            + disk.lives.events("daemon.fault", code="ENOSPC")
        ),
        "complaints",
    )
    disk.lives.wait_for("disk.low")
    assert content(spool / "failed") == set()
    waiting = content(spool / "in") | {n for n in content(spool / "work") if n[0] != "."}
    assert waiting | content(spool / "done") == set(FILES)
    empty(disk.inside)
    settled(spool, expected)
    disk.lives.wait_for("disk.ok")
    until(lambda: len(disk.lives.events("request.done")) >= len(FILES), "request.done")
    assert {e["attempt"] for e in disk.lives.events("request.done")} == {1}


def test_with_a_reserve_claims_stop_before_the_disk_is_full(
    disk: Disk, expected: dict[str, bytes]
) -> None:
    disk.lives.start(disk.point / "spool", min_free_bytes=1 << 16, min_free_inodes=16, scan_s=0.05)
    disk.lives.wait_for("daemon.ready")
    spool = disk.inside / "spool"

    def low() -> None:
        disk.fill()
        disk.lives.wait_for("disk.low")

    drop(spool, low)
    assert content(spool / "in") == set(FILES)
    empty(disk.inside)
    settled(spool, expected)
    assert not disk.lives.events("request.retry") + disk.lives.events("daemon.fault")


def test_a_start_on_a_full_disk_is_one_line_for_another_start(
    disk: Disk, expected: dict[str, bytes]
) -> None:
    spool = spool_of(disk.inside / "spool")
    drop(spool, disk.fill)
    disk.lives.start(disk.point / "spool", scan_s=0.05, min_free_bytes=0, min_free_inodes=0)
    assert disk.lives.exit_code() == os.EX_TEMPFAIL
    (line,) = disk.lives.said().splitlines()
    assert line.startswith(f"spikewatchd: spool {disk.point / 'spool'}: ")
    assert line.endswith("No space left on device")
    assert content(spool / "in") == set(FILES)
    empty(disk.inside)
    assert disk.lives.live(disk.point / "spool", min_free_bytes=0, min_free_inodes=0) == 0
    settled(spool, expected)
