"""Convert and publish small networks for several tests."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from networks import elman, save, weights
from support import TINY_LABELS, TINY_WORDS, tiny_tokenizer

from spikewatch.convert.publishing.conversion import Converted, convert
from spikewatch.convert.publishing.publish import convert_and_publish
from spikewatch.convert.publishing.source import Source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spikewatch.registry import Pin

CLOSED = "closed-form"


def write_inputs(folder: Path) -> Path:
    """Write all input files of publishing, and labelled held-out questions, into a folder; return it."""
    rng = np.random.default_rng(7)
    save(elman(weights(d=12), activation="Relu"), folder / "model.onnx")
    (folder / "tokenizer.json").write_bytes(tiny_tokenizer())
    (folder / "labels.json").write_text(json.dumps(TINY_LABELS))
    lines = [" ".join(rng.choice(TINY_WORDS[1:], n)) + "?" for n in rng.integers(1, 10, 150)]
    (folder / "calibrate.txt").write_text("\n".join(lines) + "\n")
    labelled = [f"{rng.choice(TINY_LABELS)}\t{line}" for line in lines[:60]]
    (folder / "held-out.tsv").write_text("\n".join([*labelled, "NUM\t?!"]) + "\n")
    return folder


def source(folder: Path, **changes: Path) -> Source:
    """Return the files of a folder as the source of a conversion, with some of them changed."""
    files: dict[str, Any] = {
        "model": folder / "model.onnx",
        "tokenizer": folder / "tokenizer.json",
        "labels": folder / "labels.json",
        "calibrate": folder / "calibrate.txt",
    }
    return Source(**(files | changes))


def published(folder: Path, made: Source | None = None, **changes: Any) -> tuple[Pin, Converted]:
    """Publish a source, by default as tiny 1.0.0 in closed form into the folder `registry`."""
    options: dict[str, Any] = {
        "registry": folder / "registry",
        "name": "tiny",
        "version": "1.0.0",
        "recipe": CLOSED,
    }
    return convert_and_publish(made or source(folder), **(options | changes))


@cache
def converted(
    model: bytes, readout: str, labels: tuple[str, ...] = TINY_LABELS, *, apart: bool = False
) -> Mapping[str, bytes]:
    """Return the files of a small network converted in closed form; with `apart`, each direction has its own core."""
    rng = np.random.default_rng(7)
    lines = [" ".join(rng.choice(TINY_WORDS[1:], n)) for n in rng.integers(1, 8, 40)]
    files = {
        "model.onnx": model,
        "tokenizer.json": tiny_tokenizer(),
        "labels.json": json.dumps(labels).encode(),
        "calibrate.txt": "\n".join(lines).encode(),
    }
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        if apart:  # otherwise the small network would fit one core
            patch.setattr("spikewatch.convert.constraining.bidirectional.LEAST_WORDS", 100.0)
        paths = {file.partition(".")[0]: Path(name) / file for file in files}
        for path, data in zip(paths.values(), files.values(), strict=True):
            path.write_bytes(data)
        source = Source(**paths)
        return convert(source, title="tiny", recipe="closed-form", readout=readout).files
