"""Ways to damage the files of a store, and the problems that verify reports."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from registry_support import checksummed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spikewatch.registry import Registry


def flip_first(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])


def flip_middle(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def flip_last(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def remove(path: Path) -> None:
    path.unlink()


def link(path: Path) -> None:
    """Replace the file by a symbolic link to the same bytes: its target could change later."""
    other = path.with_name("elsewhere")
    path.rename(other)
    path.symlink_to(other)


def dangle(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nowhere")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES = [
    flip_first, flip_middle, flip_last, truncate, empty, zero, grow, remove, link, dangle, folder,
    fifo,
]  # fmt: skip


def edit_index(
    store: Registry, edit: Callable[[dict[str, Any]], object], *, checksum: bool = True
) -> None:
    path = store.root / "trec" / "index.json"
    index = json.loads(path.read_bytes())
    edit(index)
    plain = json.dumps(index, sort_keys=True, separators=(",", ":")).encode()
    path.write_bytes(checksummed(index) if checksum else plain)


def problems(store: Registry) -> list[str]:
    return [f"{problem.path}: {problem.what}" for problem in store.verify().problems]
