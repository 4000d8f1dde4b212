from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from support import tiny_model_files

from spikewatch.registry import Registry

pytest.register_assert_rewrite("daemon_support", "daemon_lives", "daemon_scene")

from daemon_lives import Nursery, build_hook  # noqa: E402 - imported after its asserts are registered for rewriting
from daemon_scene import scene, undisturbed  # noqa: E402, F401 - fixtures, with asserts that are rewritten as well
from daemon_support import Bench, bench, spool_of  # noqa: E402 - imported after its asserts are registered for rewriting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHM = Path("/dev/shm")  # noqa: S108 - there is no other name for it


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish the tiny real model."""
    root = tmp_path_factory.mktemp("registry")
    created = datetime(2026, 1, 1, tzinfo=UTC)
    Registry.init(root).publish("tiny", "1.0.0", tiny_model_files(), created=created)
    return root


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return spool_of(tmp_path / "spool")


@pytest.fixture
def hand(spool: Path, registry: Path) -> Iterator[Bench]:
    """Start a service on an empty spool, to be driven turn by turn."""
    with bench(spool, registry) as made:
        yield made


@pytest.fixture
def make_bench(spool: Path, registry: Path) -> Callable[..., Any]:
    """Return a function that starts a service with other settings on the same spool."""
    return lambda **options: bench(spool, registry, **options)


@pytest.fixture(scope="session")
def hook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the library that disturbs file-system calls."""
    return build_hook(tmp_path_factory.mktemp("hook"))


@pytest.fixture(scope="session")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a folder in memory: a killed process leaves the same files as on a disk, and syncs cost nothing."""
    if not SHM.is_dir():
        yield tmp_path_factory.mktemp("memory")
        return
    with TemporaryDirectory(dir=SHM, prefix="spikewatch-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def lives(
    registry: Path, hook: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nursery]:
    """Yield a starter of daemons that start quickly and can be disturbed."""
    with Nursery(registry, tmp_path_factory.mktemp("lives") / "log", hook=hook) as nursery:
        yield nursery
