from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from support import tiny_model_files

from spikewatch.registry import Registry

pytest.register_assert_rewrite("daemon_support")

from daemon_support import Bench, bench, spool_of  # noqa: E402 - its asserts are to explain themselves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


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
    """Start a service on an empty spool, to be turned by hand."""
    with bench(spool, registry) as made:
        yield made


@pytest.fixture
def make_bench(spool: Path, registry: Path) -> Callable[..., Any]:
    """Make a service with other settings on the same spool."""
    return lambda **options: bench(spool, registry, **options)
