"""Damaged files, and files with false sizes, are refused with one line, without a crash or a large allocation."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from images import neuron
from mutate import small_network, trimmed

from spikewatch.simcore import SimcoreError
from spikewatch.simcore.exchange import documents
from spikewatch.simcore.exchange.formats import open_network
from spikewatch.simcore.exchange.ibm_export import write_ibm
from spikewatch.simcore.exchange.ranc_export import write_ranc

if TYPE_CHECKING:
    from collections.abc import Callable

EACH = 1300
FORMATS = 9
MIB = 2**20


@pytest.mark.timeout(300)
def test_ten_thousand_damaged_files_of_all_formats_neither_crash_nor_take_memory() -> None:
    """Networks that are still accepted are also inspected, drawn and run, in a process with little memory."""
    script = Path(__file__).with_name("mutate.py")
    # On disk, writing 11,700 small files takes as long as reading them.
    memory = Path("/dev/shm")  # noqa: S108 - only as the parent of a new folder
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        child = subprocess.run(
            [sys.executable, script, folder, str(EACH)], capture_output=True, text=True, check=False
        )
    assert (child.returncode, child.stderr) == (0, "")
    found = json.loads(child.stdout)
    assert found["wrong"] == []
    counts = found["counts"]
    assert sum(counts.values()) == EACH * FORMATS >= 10_000
    assert len(counts) == 2 * FORMATS  # of every format some were read, and some refused
    assert min(counts.values()) >= 10


def patched_image(**entries: Any) -> bytes:
    """Change entries of an image's header."""
    data = small_network().to_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    for name, change in entries.items():
        header[name] |= change
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def ranc_document(tmp_path: Path) -> dict[str, Any]:
    write_ranc(small_network(), np.zeros((4, 4), np.uint8), tmp_path / "good.json")
    document: dict[str, Any] = json.loads(trimmed((tmp_path / "good.json").read_bytes()))
    return document


def long_ranc(tmp_path: Path) -> bytes:
    return json.dumps(ranc_document(tmp_path) | {"ticks": 10**12}).encode()


def many_ranc_cores(tmp_path: Path) -> bytes:
    document = ranc_document(tmp_path)
    document["network"]["cores"] = [{}] * 70_000
    return json.dumps(document).encode()


def many_ibm_cores(tmp_path: Path) -> bytes:
    write_ibm(small_network(), tmp_path / "good.json")
    text = (tmp_path / "good.json").read_text().replace('"coreCount":2', '"coreCount":70000')
    head, _, _ = text.partition('"core":')
    return (head + ",".join(['"core":{"id":0}'] * 70_000) + "}").encode()


def endless_run(tmp_path: Path) -> bytes:
    write_ibm(small_network(), tmp_path / "good.json")
    text = (tmp_path / "good.json").read_text()
    return re.sub(r'"types":\[[^]]*\]', '"types":["0:9999999999"]', text, count=1).encode()


CLAIMS: dict[str, tuple[str, Callable[[Path], bytes], str]] = {
    "header of 1 TiB": (
        "x.safetensors",
        lambda _: (2**40).to_bytes(8, "little") + small_network().to_bytes()[8:],
        "x.safetensors: not a safetensors file, or damaged: header of 1099511627776 bytes, limit ",
    ),
    "tensor of 1 TiB": (
        "x.safetensors",
        lambda _: patched_image(leak={"data_offsets": [0, 2**40]}),
        "x.safetensors: file of ",
    ),
    "shape of 2^40 cores": (
        "x.safetensors",
        lambda _: patched_image(leak={"shape": [2**40, 256]}),
        "x.safetensors: tensor 'leak': 1099511627776 cores, limit 65536",
    ),
    "10^12 ticks of RANC": ("x.json", long_ranc, "x.json: 1000000000000 ticks x "),
    "70,000 empty cores of RANC": (
        "x.json",
        many_ranc_cores,
        "x.json: 70000 cores, limits 1..65536",
    ),
    "70,000 empty cores of IBM": ("x.json", many_ibm_cores, "x.json: model: 70000 cores, limits "),
    "a range of 10^10": ("x.json", endless_run, "x.json: core 0, types: more than 256 values"),
}


@pytest.mark.parametrize("case", CLAIMS)
def test_a_false_size_is_refused_before_memory_is_allocated_for_it(
    tmp_path: Path, case: str
) -> None:
    name, make, message = CLAIMS[case]
    data = make(tmp_path)
    (tmp_path / name).write_bytes(data)
    # an empty object takes 64 bytes in Python and 4 in the text
    assert peak_of(tmp_path / name, message) < 24 * len(data) + MIB


def test_a_name_from_a_file_can_neither_break_the_line_nor_make_it_long(tmp_path: Path) -> None:
    (tmp_path / "in.sfti").write_text('{"a\\n\\u001b[31m' + "b" * 5000 + '": 1}\n')
    neuron().save(tmp_path / "x.safetensors")
    with pytest.raises(SimcoreError) as caught:
        open_network(tmp_path / "x.safetensors", tmp_path / "in.sfti")
    text = str(caught.value)
    assert r"line 1: unknown field a\n\x1b[31mbbbb" in text
    assert len(text) < 1100


@pytest.mark.parametrize("ending", ["9" * 9 + " 0\n", "300000000 0\n"])
def test_a_late_spike_does_not_make_a_long_raster(tmp_path: Path, ending: str) -> None:
    neuron().save(tmp_path / "x.safetensors")
    (tmp_path / "in.txt").write_text(f"0 0\n{ending}")
    message = f"{int(ending.split(maxsplit=1)[0]) + 16} ticks x 4 lines, limits 0..4194304"
    assert peak_of(tmp_path / "x.safetensors", message, tmp_path / "in.txt") < MIB


def test_a_sparse_file_of_a_terabyte_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    neuron().save(path)
    os.truncate(path, 2**40)
    assert peak_of(path, "x.safetensors: file of 1099511627776 bytes, its header describes ") < MIB


def test_a_small_file_that_unpacks_to_a_huge_one_is_not_unpacked_further_than_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "MAX_DOCUMENT", 4 * MIB)
    path = tmp_path / "x.json.gz"
    path.write_bytes(gzip.compress(bytes(64 * MIB), 1))
    assert path.stat().st_size < MIB
    assert peak_of(path, "x.json.gz: longer than the limit of 4194304 bytes") < 10 * MIB


def peak_of(path: Path, message: str, spikes: Path | None = None) -> int:
    """Open a network that must be refused with a line that contains `message`; return the peak memory in bytes."""
    tracemalloc.start()
    try:
        with pytest.raises(SimcoreError, match=re.escape(message)) as caught:
            open_network(path, spikes)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    return peak
