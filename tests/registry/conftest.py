from __future__ import annotations

import shutil
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from registry_support import HourlyClock, Result, Run, publish
from remote_support import FakeRegistry

from spikewatch.registry import Registry, cli, times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHM = Path("/dev/shm")  # noqa: S108 - it has no other name


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder in memory, for tests with thousands of fsyncs.

    What killed and racing processes leave there is the same as on a disk; only the fsyncs cost nothing.
    """
    if not SHM.is_dir():
        yield tmp_path
        return
    with TemporaryDirectory(dir=SHM, prefix="spikewatch-") as folder:
        yield Path(folder)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry.init(tmp_path / "models")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a store with two versions and an alias, shared by tests that do not change it."""
    registry = Registry.init(tmp_path_factory.mktemp("good"))
    publish(registry, "1.0.0", "production")
    publish(registry, "1.1.0")
    registry.set_alias("trec", "production", "1.1.0", actor="ann", reason="better")
    return registry.root


@pytest.fixture
def store(good: Path, tmp_path: Path) -> Registry:
    """Copy the good store, for a test that damages it."""
    shutil.copytree(good, tmp_path / "models", symlinks=True)
    return Registry(tmp_path / "models")


@pytest.fixture
def edge(tmp_path: Path) -> Registry:
    return Registry.init(tmp_path / "edge")


@pytest.fixture
def upstream() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        yield server


@pytest.fixture(autouse=True)
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hide the user's own Docker config; return the folder of the test's."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return tmp_path / "docker"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Record the n-th change of a registry at n hours after 2026-02-01T00:00:00Z."""
    monkeypatch.setattr(HourlyClock, "hours", 0)
    monkeypatch.setattr(times, "datetime", HourlyClock)


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def pause(waits: list[float]) -> Callable[[float], None]:
    """Return a pause that records the waits between attempts instead of waiting."""

    def note(seconds: float) -> None:
        if seconds:
            waits.append(seconds)

    return note


def open_files() -> Counter[str]:
    """Count this process's descriptors by what they are open on."""
    found: Counter[str] = Counter()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor of the listing itself
            found[str(link.readlink()).partition(":")[0]] += 1
    return found


@pytest.fixture(autouse=True)
def no_leaked_descriptor() -> Iterator[None]:
    """Check after each test that it closed every file it opened."""
    if not Path("/proc/self/fd").is_dir():
        yield
        return
    before = open_files()
    yield
    assert not open_files() - before


@pytest.fixture
def run(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Return a function that runs the program on the test's registry."""
    monkeypatch.setenv("SPIKEWATCH_REGISTRY", str(registry.root))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*args: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["spikewatch-registry", *args])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return Result(caught.value.code, *capsys.readouterr())

    return call
