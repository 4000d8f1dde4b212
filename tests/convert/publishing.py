"""What the tests of publishing share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spikewatch.convert.publishing.conversion import Converted, Source
from spikewatch.convert.publishing.publish import convert_and_publish

if TYPE_CHECKING:
    from pathlib import Path

    from spikewatch.registry import Pin

CLOSED = "closed-form"


def source(folder: Path, **changes: Path) -> Source:
    files: dict[str, Any] = {
        "model": folder / "model.onnx",
        "tokenizer": folder / "tokenizer.json",
        "labels": folder / "labels.json",
        "calibrate": folder / "calibrate.txt",
    }
    return Source(**(files | changes))


def published(folder: Path, made: Source | None = None, **changes: Any) -> tuple[Pin, Converted]:
    """Publish as tiny 1.0.0 in closed form, into the folder `registry`, if nothing else is said."""
    options: dict[str, Any] = {
        "registry": folder / "registry",
        "name": "tiny",
        "version": "1.0.0",
        "recipe": CLOSED,
    }
    return convert_and_publish(made or source(folder), **(options | changes))
