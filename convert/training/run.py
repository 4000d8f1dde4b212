"""Train on one part of the questions, evaluate on the other, and write the network's files."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from ..errors import TrainingError
from ..network.grid import to_onnx
from ..progress import silent
from ..straight_through.one_thread import one_thread
from .loop import accuracy, fit
from .network import WAYS, ElmanNet, own_words
from .teacher import answers, train_teachers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import nn

    from ..network.grid import GridNetwork
    from ..progress import OnProgress
    from ..words.question_files import Example
    from .corpus import Corpus, Split
    from .inputs import TrainingInputs
    from .settings import TrainingSettings

__all__ = ["FILES", "TrainingReport", "check_out", "train_on"]

FILES: Final = ("model.onnx", "tokenizer.json", "labels.json", "training.json")
"""Files that `train` writes as input of `publish`."""

DEV_FILE: Final = "dev.tsv"
"""The held-out questions with their labels, for `evaluate` and for `publish --evaluate`."""

CALIBRATION_FILE: Final = "calibration.tsv"
"""The training part, for `publish --calibrate`; it contains no question of the dev split."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingReport:
    """The result of a training run.

    Attributes
    ----------
    out
        The folder that the files were written to.
    labels
        Class names in order of the outputs.
    questions, dev
        Number of questions trained on, and number held out.
    accuracies
        Share of right answers to the held-out questions, 0..1: of the `teachers` together (if there are
        any), of the `float` model as exported, with 16 activity levels (`integer`), and with spikes and the
        exact readout (`spiking`). Empty if no question was held out.
    minutes
        Wall-clock time.
    """

    out: Path
    labels: tuple[str, ...]
    questions: int
    dev: int
    accuracies: dict[str, float]
    minutes: float

    def __str__(self) -> str:
        text = (
            f"{self.out}: {len(self.labels)} classes, {self.questions} questions,"
            f" {self.minutes:.1f} minutes"
        )
        if not self.accuracies:
            return f"{text}; no question was held out"
        figures = ", ".join(f"{name} {value:.1%}" for name, value in self.accuracies.items())
        return f"{text}; on {self.dev} held-out questions: {figures}"


def check_out(out: Path) -> None:
    """Check that a folder can be written, or created, before the work whose result it shall hold.

    Raises
    ------
    TrainingError
        If it cannot.
    """
    try:
        there = next(path for path in (out, *out.absolute().parents) if path.exists())
    except OSError as e:
        raise TrainingError(f"{out}: {e.strerror or e}") from None
    if not there.is_dir():
        raise TrainingError(f"{out}: {there} is not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise TrainingError(f"{out}: the folder {there} is not writable")


def train_on(
    inputs: TrainingInputs,
    parts: Split,
    out: Path,
    *,
    seed: int,
    settings: TrainingSettings,
    rule: str,
    extra: Mapping[str, Any] | None = None,
    progress: OnProgress = silent,
) -> TrainingReport:
    """Train on the training part, evaluate on the dev part, and write the files.

    Parameters
    ----------
    inputs, parts
        The data, and its split.
    out, seed, settings, progress
        See `command.train`.
    rule
        Description of the split, for `training.json`.
    extra
        Additional entries of `training.json`.

    Raises
    ------
    TrainingError
        If `out` cannot be written.
    """
    started = time.monotonic()
    with one_thread(seed):
        teachers, net = _train(inputs, parts.train, settings, seed, progress)
        # rounded before it is evaluated, so that the figures are those of the network that is written
        network = net.snap()
        accuracies = _accuracies(teachers, net, parts.dev)
    report = TrainingReport(
        out=out,
        labels=inputs.labels,
        questions=len(parts.train),
        dev=len(parts.dev),
        accuracies=accuracies,
        minutes=(time.monotonic() - started) / 60,
    )
    record = _record(inputs, parts, seed, settings, network, rule)
    if accuracies:
        record["dev_accuracy"] = accuracies
    record |= extra or {}
    record["minutes"] = round(report.minutes, 2)
    _write(out, network, inputs, parts, record)
    return report


def _train(
    inputs: TrainingInputs,
    corpus: Corpus,
    settings: TrainingSettings,
    seed: int,
    progress: OnProgress,
) -> tuple[list[nn.Module], ElmanNet]:
    table, classes = inputs.table, len(inputs.labels)
    own = own_words(corpus.word_counts(len(table.rows)), settings.own_from)
    passes = len(settings.teachers) * settings.teacher_epochs
    passes += settings.epochs + settings.spiking_epochs
    done = 0

    def on_pass(stage: str) -> None:
        nonlocal done
        done += 1
        progress(stage=stage, done=done, total=passes)

    # Independent streams: another teacher does not change the order in which the others see the questions.
    *teaching, learning = np.random.default_rng(seed).spawn(len(settings.teachers) + 1)
    teachers = train_teachers(corpus, inputs, own, settings, teaching, on_pass)
    net = ElmanNet(table, own, classes, settings)
    fit(net, corpus, teachers, settings, learning, lambda: on_pass("network"))
    return teachers, net


def _accuracies(teachers: Sequence[nn.Module], net: ElmanNet, dev: Corpus) -> dict[str, float]:
    if not len(dev):
        return {}
    found = {}
    if teachers:
        right = answers(teachers, dev.ids).argmax(dim=1).numpy() == dev.labels
        found["teachers"] = float(right.mean())
    for way in WAYS:
        found[way] = accuracy(net, dev, way)
    return found


def _record(
    inputs: TrainingInputs,
    parts: Split,
    seed: int,
    settings: TrainingSettings,
    network: GridNetwork,
    rule: str,
) -> dict[str, Any]:
    """Return what is needed to reproduce the model: files (by name, without folders), settings, versions.

    The texts become part of the published model: changing one changes digests.
    """
    data, *words = inputs.sources.items()
    return {
        "method": (
            "Elman network on the grid of the core (16 weight levels, 16 activity levels), trained by"
            " back-propagation through time with straight-through gradients, then with the core's"
            " spike counts forward and the gradient of the clipped rate model backward; targets are"
            " the mean answers of the teachers to questions with words replaced at random; recurrent"
            " teachers learn the finest labels of the data"
            if settings.teachers
            else "as with teachers, but the targets are the smoothed labels"
        ),
        "data": {**data[1], "questions": len(parts.train)},
        **dict(words),
        "seed": seed,
        "settings": asdict(settings),
        "split": {"rule": rule, "dev": len(parts.dev), "dropped": parts.duplicates},
        "selection": (
            "none: fixed schedule; questions held out were answered once, at the end; how the settings"
            " were chosen is in docs/training.md"
        ),
        "classes": {
            "train": _class_counts(parts.train.questions),
            "dev": _class_counts(parts.dev.questions),
        },
        "vocabulary": len(network.rows),
        "distinct_codes": len(network.codes),
        "epochs": {
            "teachers": settings.teacher_epochs if settings.teachers else 0,
            "integer": settings.epochs,
            "spiking": settings.spiking_epochs,
        },
        "libraries": {"torch": torch.__version__, "numpy": np.__version__},
    }


def _class_counts(questions: Sequence[Example]) -> dict[str, int]:
    return dict(sorted(Counter(question.label or "" for question in questions).items()))


def _write(
    out: Path, network: GridNetwork, inputs: TrainingInputs, parts: Split, record: dict[str, Any]
) -> None:
    contents = {
        "model.onnx": to_onnx(network).SerializeToString(),
        "tokenizer.json": inputs.tokenizer.to_str().encode(),
        "labels.json": (json.dumps(list(inputs.labels)) + "\n").encode(),
        CALIBRATION_FILE: _tsv(parts.train.questions),
        "training.json": (json.dumps(record, indent=2) + "\n").encode(),
    }
    if len(parts.dev):
        contents[DEV_FILE] = _tsv(parts.dev.questions)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            # Atomic for each file, but not for the folder as a whole.
            temporary = out / f".{name}.tmp"
            temporary.write_bytes(content)
            temporary.replace(out / name)
    except OSError as e:
        raise TrainingError(f"{out}: {e.strerror or e}") from None


def _tsv(questions: Sequence[Example]) -> bytes:
    lines = [f"{q.label}\t{_field(q.text)}\n" for q in questions]
    return ("label\ttext\n" + "".join(lines)).encode()


def _field(text: str) -> str:
    # Line breaks in a text would end the record, so all white space becomes single blanks.
    text = " ".join(text.split())
    # A quote at the beginning would be read as that of a quoted field.
    return '"' + text.replace('"', '""') + '"' if text.startswith('"') else text
