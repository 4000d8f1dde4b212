"""Corpora and a Dask cluster of real processes for the tests of batches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from typing import TYPE_CHECKING, Any

from daemon_support import MODEL, PATIENCE_S, until

from spikewatch.daemon.batch import BatchSettings, parts
from spikewatch.daemon.batch.run import run
from spikewatch.simcore.question_files import ReadOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spikewatch.daemon.batch.run import BatchOutcome
    from spikewatch.simcore.question_files import InputRecord


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A scheduler and its workers, each a process without a nanny."""

    address: str
    workers: list[subprocess.Popen[bytes]]

    def settings(self, registry: Path, inputs: list[str], out: Path, **more: Any) -> BatchSettings:
        given = {"inputs": inputs, "out": str(out), "registry": registry, "model": MODEL} | more
        return BatchSettings(scheduler=self.address, **given)

    def run(self, registry: Path, inputs: list[str], out: Path, **more: Any) -> BatchOutcome:
        return run(self.settings(registry, inputs, out, **more), lambda _: None)


@contextmanager
def dask_program(folder: Path, *arguments: str, **environment: str) -> Iterator[Any]:
    """Run `dask ...`, and kill it at the end."""
    command = [sys.executable, "-m", "dask", *arguments]
    folder.mkdir(exist_ok=True)
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | environment, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE_S)


@contextmanager
def dask_scheduler(folder: Path, **environment: str) -> Iterator[str]:
    """Run a scheduler; yield its address."""
    file = folder / "scheduler.json"
    options = (
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--no-dashboard",
        "--scheduler-file",
        str(file),
    )
    with dask_program(folder, "scheduler", *options, **environment):
        until(lambda: file.is_file() and file.read_text().endswith("}"), "the scheduler's file")
        yield json.loads(file.read_text())["address"]


def dask_worker(folder: Path, address: str, *options: str) -> Any:
    """Run a worker with one thread and no nanny."""
    fixed = ("--no-nanny", "--nthreads", "1", "--no-dashboard", "--local-directory", str(folder))
    return dask_program(folder, "worker", address, *fixed, *options)


def asked_in_parts(data: bytes, kind: str, part_bytes: int) -> tuple[list[InputRecord], int]:
    """Cut an input, read every part separately, and return all questions and the number of parts."""
    found = parts.scan(BytesIO(data), kind, part_bytes=part_bytes, options=ReadOptions())
    questions: list[InputRecord] = []
    for part in found.parts:
        with parts.part_questions(BytesIO(data), kind, found.head, part) as asked:
            questions += chain.from_iterable(asked)
    return questions, len(found.parts)


def partitions(out: Path, name: str) -> list[Path]:
    """Return the partitions of an input, in order."""
    (folder,) = [path for path in out.iterdir() if path.name.startswith(f"{name}.")]
    return sorted(path for path in folder.iterdir() if not path.name.endswith(".summary.json"))
