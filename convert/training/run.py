"""Training on one part of the questions: the network's files and a report."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from ..errors import TrainingError
from .export import to_onnx
from .loop import accuracy, fit
from .network import WAYS, ElmanNet, own_words
from .progress import silent
from .teacher import answers, train_teachers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import nn

    from ..words.question_files import Example
    from .corpus import Corpus, Split
    from .export import GridNetwork
    from .inputs import TrainingInputs
    from .progress import OnProgress
    from .settings import TrainingSettings

__all__ = ["FILES", "TrainingReport", "train_on"]

FILES: Final = ("model.onnx", "tokenizer.json", "labels.json", "training.json")
"""What `train` writes for `publish`."""

DEV_FILE: Final = "dev.tsv"
"""The held-out questions with their labels, for `evaluate` and for `publish --evaluate`."""

CALIBRATION_FILE: Final = "calibration.tsv"
"""The training part, for `publish --calibrate`: it holds no question of the dev split."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingReport:
    """What a training came to.

    Attributes
    ----------
    out
        The folder with the files.
    labels
        Class names in order of the outputs.
    questions, dev
        Questions trained on, and held out.
    accuracies
        Share of the held-out questions answered rightly, 0..1: by the `teachers` together (where there
        were any), by the `float` model as exported, with 16 activity levels (`integer`), and by spikes
        with the exact readout (`spiking`). Empty where none were held out.
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
    """Train on one part of the inputs, answer the other, and write the files.

    Parameters
    ----------
    inputs, parts
        Data, and how it is split.
    out, seed, settings, progress
        See `command.train`.
    rule
        How the split was made, for `training.json`.
    extra
        More facts for `training.json`.

    Raises
    ------
    TrainingError
        `out` cannot be written.
    """
    started = time.monotonic()
    with _one_thread(seed):
        teachers, net = _train(inputs, parts.train, settings, seed, progress)
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

    def passed(stage: str) -> None:
        nonlocal done
        done += 1
        progress(stage=stage, done=done, total=passes)

    *teaching, learning = np.random.default_rng(seed).spawn(len(settings.teachers) + 1)
    teachers = train_teachers(corpus, inputs, own, settings, teaching, passed)
    net = ElmanNet(table, own, classes, settings)
    fit(net, corpus, teachers, settings, learning, lambda: passed("network"))
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


@contextmanager
def _one_thread(seed: int) -> Iterator[None]:
    """Seed torch and hold it to one thread, whose sums are always in the same order.

    Adam's moments of words that are rarely read decay into denormal numbers, on which a processor is
    slow: they are flushed to zero.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


def _record(
    inputs: TrainingInputs,
    parts: Split,
    seed: int,
    settings: TrainingSettings,
    network: GridNetwork,
    rule: str,
) -> dict[str, Any]:
    """Collect what reproduces the model; names of files, never where they are."""
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
            # A reader never sees half a file; the folder as a whole is no transaction.
            temporary = out / f".{name}.tmp"
            temporary.write_bytes(content)
            temporary.replace(out / name)
    except OSError as e:
        raise TrainingError(f"{out}: {e.strerror or e}") from None


def _tsv(questions: Sequence[Example]) -> bytes:
    # A TAB in a text would be read back as part of it; a line break would not, so none may stay.
    lines = [f"{q.label}\t{' '.join(q.text.split())}\n" for q in questions]
    return ("label\ttext\n" + "".join(lines)).encode()
