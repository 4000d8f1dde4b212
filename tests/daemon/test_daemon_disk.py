"""Disks that are really full: no room, no inodes, on a small file system of their own."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
from daemon_lives import at_rest
from daemon_namespace import island
from daemon_support import bench, content, spool_of, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILES = {
    f"{i}.txt": f"who wrote hamlet ?\nhow far is the moon {'the ' * i}?\n".encode()
    for i in range(5)
}


@pytest.fixture
def expected(tmp_path: Path, registry: Path) -> dict[str, bytes]:
    """Answer the files undisturbed."""
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
    """Make files until there can be no more."""
    (folder / "ballast").mkdir()
    try:
        for i in range(10**6):
            (folder / "ballast" / str(i)).touch()
    except OSError as fault:
        assert fault.errno == errno.ENOSPC


def empty(folder: Path) -> None:
    """Make room again."""
    ballast = folder / "ballast"
    for path in ballast.iterdir() if ballast.is_dir() else [ballast]:
        path.unlink()


def drop(spool: Path, when_ready: Callable[[], None]) -> None:
    """Write files, and rename them into in/ when there is no room left: that needs none."""
    for name, data in FILES.items():
        (spool / "tmp" / f"put-{name}").write_bytes(data)
    when_ready()
    for name in FILES:
        (spool / "tmp" / f"put-{name}").rename(spool / "in" / name)


def settled(spool: Path, expected: dict[str, bytes]) -> None:
    """Wait until all is answered; it must be as if nothing had happened."""
    until(lambda: content(spool / "done") == set(FILES), "all in done/")
    until(lambda: not content(spool / "work") | content(spool / "tmp"), "work/ and tmp/ empty")
    rest = at_rest(spool)
    assert rest.waiting == frozenset()
    assert dict(rest.results) == expected
    assert dict(rest.done) == FILES
    assert dict(rest.failed) == {}


FILLED = [
    pytest.param("size=512k,nr_inodes=400", fill_bytes, id="no room"),
    pytest.param("size=4m,nr_inodes=90", fill_inodes, id="no inodes"),
]


@pytest.mark.parametrize(("options", "fill"), FILLED)
def test_a_disk_without_room_makes_the_work_wait_and_loses_nothing(
    registry: Path,
    tmp_path: Path,
    expected: dict[str, bytes],
    options: str,
    fill: Callable[[Path], None],
) -> None:
    """No reserve is kept, so that the work meets the full disk itself."""
    point = tmp_path / "small"
    with island(registry, point, options) as (lives, inside):
        lives.start(point / "spool", min_free_bytes=0, min_free_inodes=0, scan_s=0.05)
        lives.wait_for("daemon.ready")
        spool = inside / "spool"
        drop(spool, lambda: fill(inside))
        until(
            lambda: (
                lives.events("request.retry", code="ENOSPC")
                + lives.events("daemon.fault", code="ENOSPC")
            ),
            "complaints",
        )
        lives.wait_for("disk.low")
        assert content(spool / "failed") == set()
        waiting = content(spool / "in") | {n for n in content(spool / "work") if n[0] != "."}
        assert waiting | content(spool / "done") == set(FILES)
        empty(inside)
        settled(spool, expected)
        lives.wait_for("disk.ok")
        until(lambda: len(lives.events("request.done")) >= len(FILES), "request.done")
        assert {e["attempt"] for e in lives.events("request.done")} == {1}


@pytest.mark.parametrize(("options", "fill"), FILLED)
def test_with_a_reserve_claims_stop_before_the_disk_is_full(
    registry: Path,
    tmp_path: Path,
    expected: dict[str, bytes],
    options: str,
    fill: Callable[[Path], None],
) -> None:
    point = tmp_path / "small"
    with island(registry, point, options) as (lives, inside):
        lives.start(point / "spool", min_free_bytes=1 << 16, min_free_inodes=16, scan_s=0.05)
        lives.wait_for("daemon.ready")
        spool = inside / "spool"

        def low() -> None:
            fill(inside)
            lives.wait_for("disk.low")

        drop(spool, low)
        assert content(spool / "in") == set(FILES)
        empty(inside)
        settled(spool, expected)
        assert not lives.events("request.retry") + lives.events("daemon.fault")


@pytest.mark.parametrize(("options", "fill"), FILLED)
def test_a_start_on_a_full_disk_is_one_line_for_another_start(
    registry: Path,
    tmp_path: Path,
    expected: dict[str, bytes],
    options: str,
    fill: Callable[[Path], None],
) -> None:
    point = tmp_path / "small"
    with island(registry, point, options) as (lives, inside):
        spool = spool_of(inside / "spool")
        drop(spool, lambda: fill(inside))
        lives.start(point / "spool", scan_s=0.05, min_free_bytes=0, min_free_inodes=0)
        assert lives.exit_code() == os.EX_TEMPFAIL
        (line,) = lives.said().splitlines()
        assert line.startswith(f"spikewatchd: spool {point / 'spool'}: ")
        assert line.endswith("No space left on device")
        assert content(spool / "in") == set(FILES)
        empty(inside)
        assert lives.live(point / "spool", min_free_bytes=0, min_free_inodes=0) == 0
        settled(spool, expected)
