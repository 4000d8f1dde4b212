"""What the registry's tests share: a small model, real processes, a look at the whole store."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spikewatch.registry import Pin, Registry

CREATED = datetime(2026, 1, 1, tzinfo=UTC)
FAILED = 71
CONFIG = {"architecture": "elman", "capabilities": {"inputTypes": ["text"]}}
NOTES = {"org.opencontainers.image.licenses": "Apache-2.0", "org.spikewatch.dev": "85.0"}

STAGES = {
    "float": {"accuracy": 0.86, "agreement": 1.0},
    "spiking": {"accuracy": 0.845, "agreement": 0.97},
}


class Result(NamedTuple):
    code: int | str | None
    out: str
    err: str


class Run(Protocol):
    def __call__(self, *args: str) -> Result: ...


def model_files(seed: str = "") -> dict[str, bytes]:
    """Give the files of a model; seeds differ in the core image and share the rest."""
    return {
        "core.safetensors": hashlib.sha256(seed.encode()).digest() * 64,
        "labels.json": b'["ABBR","DESC"]',
        "eval.json": json.dumps({"stages": STAGES}).encode(),
    }


def publish(registry: Registry, version: str, alias: str | None = None, name: str = "trec") -> Pin:
    return registry.publish(name, version, model_files(version), created=CREATED, alias=alias)


def snapshot(root: Path) -> dict[str, bytes]:
    """Read every file below a directory but the locks."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def blob_of(registry: Registry, ref: str, path: str) -> Path:
    """Give the blob that holds a file of a model."""
    layers = {layer.path: layer.digest for layer in registry.show(ref).layers}
    name = ref.partition(":")[0]
    return registry.root / name / "blobs" / "sha256" / layers[path].removeprefix("sha256:")


def checksummed(index: dict[str, Any]) -> bytes:
    """Write an index as the registry does, so that only its content is wrong."""
    value = "sha256:" + 64 * "0"
    index.get("annotations", {})["org.spikewatch.checksum"] = value
    data = json.dumps(index, sort_keys=True, separators=(",", ":")).encode()
    return data.replace(value.encode(), f"sha256:{hashlib.sha256(data).hexdigest()}".encode(), 1)


def fork(work: Callable[[], object]) -> int:
    """Run the function in a process of its own; it exits 0, or FAILED with a traceback."""
    pid = os.fork()
    if pid:
        return pid
    code = FAILED
    try:
        work()
        code = 0
    except BaseException:  # noqa: BLE001 -- a child must never return into pytest
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def wait(pid: int) -> int:
    """Wait for a process; its exit code, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Gate:
    """Holds processes until the parent opens it, so that they start together."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()

    def enter(self) -> None:
        os.close(self.write)
        os.read(self.read, 1)
        os.close(self.read)

    def open(self) -> None:
        os.close(self.read)
        os.close(self.write)
