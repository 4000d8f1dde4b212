"""Helpers of the registry's tests: a small model, the files of a registry, a clock, child processes."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import traceback
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

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
    """Return the files of a model; models of different seeds differ only in the core image."""
    return {
        "core.safetensors": hashlib.sha256(seed.encode()).digest() * 64,
        "labels.json": b'["ABBR","DESC"]',
        "eval.json": json.dumps({"stages": STAGES}).encode(),
    }


def publish(registry: Registry, version: str, alias: str | None = None, name: str = "trec") -> Pin:
    return registry.publish(name, version, model_files(version), created=CREATED, alias=alias)


def snapshot(root: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a directory by its path, without the lock files."""
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


def blob_path(registry: Registry, digest: str, name: str = "trec") -> Path:
    """Return the path of a blob."""
    return registry.root / name / "blobs" / "sha256" / digest.removeprefix("sha256:")


def blob_of(registry: Registry, ref: str, path: str) -> Path:
    """Return the path of the blob of one of a model's files."""
    layers = {layer.path: layer.digest for layer in registry.show(ref).layers}
    return blob_path(registry, layers[path], ref.partition(":")[0])


def index_entry(registry: Registry, digest: str) -> dict[str, Any]:
    """Return the entry of a manifest in the index of trec."""
    index = json.loads((registry.root / "trec" / "index.json").read_bytes())
    return next(entry for entry in index["manifests"] if entry["digest"] == digest)


def append_entry(registry: Registry, **fields: object) -> None:
    """Append an entry to the journal of trec, as another program could: a copy of the newest with other fields."""
    newest = max((registry.root / "trec" / ".journal").glob("*.json"))
    data = newest.read_bytes()
    generation = int(newest.stem) + 1
    chain = {"gen": generation, "prev": f"sha256:{hashlib.sha256(data).hexdigest()}"}
    entry = json.dumps(json.loads(data) | chain | fields, sort_keys=True, separators=(",", ":"))
    newest.with_name(f"{generation:08d}.json").write_text(entry)


def checksummed(index: dict[str, Any]) -> bytes:
    """Return an index as the registry writes it, with a valid checksum, whatever its content."""
    value = "sha256:" + 64 * "0"
    index.get("annotations", {})["org.spikewatch.checksum"] = value
    data = json.dumps(index, sort_keys=True, separators=(",", ":")).encode()
    return data.replace(value.encode(), f"sha256:{hashlib.sha256(data).hexdigest()}".encode(), 1)


class HourlyClock(datetime):
    """A clock that advances by one hour whenever it is read."""

    hours = 0

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        cls.hours += 1
        return cls(2026, 2, 1, tzinfo=tz) + timedelta(hours=cls.hours)


def fork(work: Callable[[], object]) -> int:
    """Run a function in a child process and return its pid; it exits with 0, or prints a traceback and FAILED."""
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
    """Wait for a process; return its exit code, or minus the number of the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Gate:
    """A barrier that holds child processes until the parent opens it, so that they start together."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()

    def enter(self) -> None:
        os.close(self.write)
        os.read(self.read, 1)
        os.close(self.read)

    def open(self) -> None:
        os.close(self.read)
        os.close(self.write)
