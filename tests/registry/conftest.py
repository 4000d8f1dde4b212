from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from registry_support import Result, Run

from spikewatch.registry import Registry, cli

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry.init(tmp_path / "models")


@pytest.fixture(autouse=True)
def no_leaked_descriptor() -> Iterator[None]:
    """Every test of the registry leaves as many open files as it found."""
    folder = Path("/proc/self/fd")
    before = len(list(folder.iterdir())) if folder.is_dir() else 0
    yield
    after = len(list(folder.iterdir())) if folder.is_dir() else 0
    assert after <= before


@pytest.fixture
def run(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run the program on the test's registry."""
    monkeypatch.setenv("SPIKEWATCH_REGISTRY", str(registry.root))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*args: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["spikewatch-registry", *args])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return Result(caught.value.code, *capsys.readouterr())

    return call
