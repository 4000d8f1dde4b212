"""Small or removable file systems for tests, in a mount namespace that needs no root."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from daemon_lives import Nursery

if TYPE_CHECKING:
    from collections.abc import Iterator


def require() -> None:
    """Skip the test if file systems may not be mounted."""
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        pytest.skip("no unshare and nsenter")
    tried = subprocess.run(
        ["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"],
        capture_output=True,
        check=False,
    )
    if tried.returncode:
        pytest.skip(f"no mounts here: {tried.stderr.decode().strip()}")


@contextmanager
def island(registry: Path, point: Path, options: str) -> Iterator[tuple[Nursery, Path]]:
    """Mount a tmpfs that only the daemons of a nursery see; yield the nursery, and a path to the mount from outside.

    Parameters
    ----------
    registry
        Registry with their model.
    point
        The mount point.
    options
        Mount options, such as `size=256k,nr_inodes=60`.

    """
    require()
    point.mkdir()
    script = f'mount -t tmpfs -o {options} none "$0" && exec "$@"'
    prefix = ["unshare", "-Urm", "sh", "-c", script, str(point)]
    with Nursery(registry, point.with_name("island.log"), prefix=prefix) as nursery:
        nursery.live(point / "warm")  # returns when the mount exists
        inside = Path(f"/proc/{nursery.process.pid}/root") / point.relative_to("/")
        shutil.rmtree(inside / "warm")
        yield nursery, inside


def within(nursery: Nursery, *command: str | Path) -> None:
    """Run a command in the nursery's namespace."""
    target = str(nursery.process.pid)
    subprocess.run(
        ["nsenter", "-U", "-m", "--preserve-credentials", "-t", target, *command], check=True
    )
