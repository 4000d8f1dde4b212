from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spikewatch.registry import Registry

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
