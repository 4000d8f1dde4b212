"""Opening and creating a registry, and reading where nothing may be written."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
from registry_support import fork, model_files, publish, wait

from spikewatch.registry import NotFound, Registry, StorageError, bundled

if TYPE_CHECKING:
    from pathlib import Path


def test_init_may_be_repeated_and_leaves_nothing(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "models"
    for _ in range(2):
        assert Registry.init(root).models() == []
        assert list(root.iterdir()) == []


def test_init_refuses_a_file_system_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    message = f"^registry {re.escape(str(tmp_path))}: no hard links here: Operation not permitted$"
    with pytest.raises(StorageError, match=message):
        Registry.init(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_init_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"^creating registry .*: File exists$"):
        Registry.init(tmp_path / "file")


def test_a_missing_directory_is_not_opened_nor_made(tmp_path: Path) -> None:
    root = tmp_path / "models"
    with pytest.raises(NotFound, match=f"^registry {re.escape(str(root))}: no such directory$"):
        Registry(root)
    assert not root.exists()


def test_other_directories_are_not_models(registry: Registry) -> None:
    publish(registry, "1.0.0")
    (registry.root / "notes").mkdir()
    (registry.root / "README").touch()
    (registry.root / ".git").mkdir()
    assert registry.models() == ["trec"]
    assert registry.verify().ok


def test_an_empty_directory_may_become_a_model(registry: Registry) -> None:
    (registry.root / "trec").mkdir()
    publish(registry, "1.0.0")
    assert registry.verify().ok


def test_a_copy_without_empty_directories_and_lock_can_be_read_and_written(
    registry: Registry,
) -> None:
    """What git or a wheel carries."""
    pin = publish(registry, "1.0.0", "production")
    (registry.root / "trec" / ".ingest").rmdir()
    (registry.root / "trec" / ".journal" / "lock").unlink()
    assert registry.verify().ok
    assert registry.load("trec:production").pin == pin
    publish(registry, "1.1.0", "production")
    assert registry.verify().ok


def test_bundled_is_below_the_package() -> None:
    assert bundled().name == "bundled"
    assert (bundled().parent / "store.py").is_file()


WRITING_EVENTS = {
    "os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.utime",
    "os.chmod", "os.chown", "os.truncate", "fcntl.flock", "fcntl.lockf",
}  # fmt: skip
WRITING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def test_readers_write_nothing_and_take_no_lock(registry: Registry) -> None:
    """So they work where they may not write: checked by the interpreter's own audit events."""
    pin = publish(registry, "1.0.0", "production")
    for path in [registry.root, *registry.root.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)

    def refuse(event: str, args: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(args[2], int) and args[2] & WRITING_FLAGS
        if event in WRITING_EVENTS or writes:
            os.write(2, f"{event} {args}\n".encode())
            os._exit(99)

    def read() -> None:
        sys.dont_write_bytecode = True
        sys.addaudithook(refuse)
        reader = Registry(registry.root)
        assert reader.resolve("trec:production") == pin
        assert reader.load("trec:production").files == model_files("1.0.0")
        assert reader.show("trec:1.0.0").aliases == ("production",)
        assert len(reader.list()) == 2
        assert reader.verify().ok

    try:
        assert wait(fork(read)) == 0
    finally:
        for path in [registry.root, *registry.root.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)


def test_what_the_file_system_refuses_is_one_line(registry: Registry) -> None:
    publish(registry, "1.0.0")
    lock = registry.root / "trec" / ".journal" / "lock"
    lock.unlink()
    lock.mkdir()
    message = f"^setting trec:production in {re.escape(str(registry.root))}: Is a directory$"
    with pytest.raises(StorageError, match=message):
        registry.set_alias("trec", "production", "1.0.0")
