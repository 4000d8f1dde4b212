"""A user's own pipeline, tokenizers and onnxruntime, and how the float stage of a conversion compares with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from spikewatch.convert.publishing.conversion import convert
from spikewatch.convert.publishing.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from spikewatch.convert.publishing.conversion import Converted


def own_logits(
    model: bytes, encode: Callable[[str], Sequence[int]], texts: Sequence[str]
) -> NDArray[np.float32]:
    """Return the logits of each text as a user computes them: one text at a time, ids (1, time)."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (ids,) = session.get_inputs()
    kind = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(float)": np.float32}
    fed = [{ids.name: np.array([encode(text)], dtype=kind[ids.type])} for text in texts]
    return np.array([session.run(None, each)[0].reshape(-1) for each in fed])


def own_answers(
    model: bytes, encode: Callable[[str], Sequence[int]], texts: Sequence[str]
) -> list[int]:
    """Return the class of each text (see `own_logits`)."""
    classes: list[int] = own_logits(model, encode, texts).argmax(axis=1).tolist()
    return classes


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """A conversion; `right` is the share of texts for which its float stage gives the user's own answer."""

    converted: Converted
    right: float
    notes: list[str]


def convert_as_user(
    folder: Path,
    *,
    model: bytes,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    own: Sequence[int],
    classes: int,
    calibration: int = 60,
    **options: Any,
) -> Outcome:
    """Convert in closed form, calibrated on some of the texts, and evaluated on all of them, labelled by `own`."""
    assert len(set(own)) > 1, "one answer for all texts shows nothing"
    names = [f"class-{i}" for i in range(classes)]
    paths = {
        name: folder / file
        for name, file in {
            "model": "model.onnx",
            "tokenizer": "tokenizer.json",
            "labels": "labels.json",
            "calibrate": "calibrate.txt",
            "evaluate": "texts.jsonl",
        }.items()
    }
    paths["model"].write_bytes(model)
    tokenizer.save(str(paths["tokenizer"]))
    paths["labels"].write_text(json.dumps(names))
    paths["calibrate"].write_text("\n".join(texts[:calibration]))
    lines = [
        json.dumps({"text": text, "label": names[i]}) for text, i in zip(texts, own, strict=True)
    ]
    paths["evaluate"].write_text("\n".join(lines))
    notes: list[str] = []
    made = convert(Source(**paths, **options), title="own", recipe="closed-form", note=notes.append)
    right = made.evaluation["stages"]["float"]["accuracy"]
    return Outcome(converted=made, right=right, notes=notes)
