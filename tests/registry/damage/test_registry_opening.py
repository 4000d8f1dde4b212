"""Create and open a registry; read one on a read-only file system."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from registry_support import fork, model_files, publish, wait

import spikewatch.registry
from spikewatch.registry import NotFound, Registry, StorageError, bundled


def test_init_can_be_repeated_and_leaves_an_empty_directory(tmp_path: Path) -> None:
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
    with pytest.raises(StorageError, match=r"^creating registry .*: not a directory$"):
        Registry.init(tmp_path / "file")


def test_a_file_is_not_opened_as_a_registry(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotFound, match="^registry .*/file: not a directory$"):
        Registry(tmp_path / "file")


def test_a_missing_directory_is_neither_opened_nor_created(tmp_path: Path) -> None:
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


def test_a_model_can_be_published_into_an_empty_directory(registry: Registry) -> None:
    (registry.root / "trec").mkdir()
    publish(registry, "1.0.0")
    assert registry.verify().ok


def test_a_copy_without_empty_directories_and_lock_can_be_read_and_written(
    registry: Registry,
) -> None:
    """Imitate a copy by git or in a wheel."""
    pin = publish(registry, "1.0.0", "production")
    (registry.root / "trec" / ".ingest").rmdir()
    (registry.root / "trec" / ".journal" / "lock").unlink()
    assert registry.verify().ok
    assert registry.load("trec:production").pin == pin
    publish(registry, "1.1.0", "production")
    assert registry.verify().ok


def test_the_bundled_registry_is_in_the_package() -> None:
    assert bundled() == Path(spikewatch.registry.__file__).parent / "bundled"
    assert Registry(bundled()).models() == ["trec"]


WRITING_EVENTS = {
    "os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.utime",
    "os.chmod", "os.chown", "os.truncate", "fcntl.flock", "fcntl.lockf",
}  # fmt: skip
WRITING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def test_readers_write_nothing_and_take_no_lock(registry: Registry) -> None:
    """Refuse every writing call by the interpreter's audit events while a child process reads."""
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


def test_an_error_of_the_file_system_is_one_line(registry: Registry) -> None:
    publish(registry, "1.0.0")
    lock = registry.root / "trec" / ".journal" / "lock"
    lock.unlink()
    lock.mkdir()
    message = f"^setting trec:production in {re.escape(str(registry.root))}: Is a directory$"
    with pytest.raises(StorageError, match=message):
        registry.set_alias("trec", "production", "1.0.0")
