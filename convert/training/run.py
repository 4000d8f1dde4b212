"""The whole training: files in, four files and a report out."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from ..data import read_questions
from ..errors import TrainingError
from ..tokenizer import WordTable, build_tokenizer
from ..vectors import read_vectors
from .corpus import Split, encode, split
from .export import to_onnx
from .loop import accuracy, fit
from .network import ElmanNet, own_words
from .progress import OnProgress, silent
from .settings import TrainingSettings
from .teacher import Teacher, answers, train_teacher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tokenizers import Tokenizer

    from ..data import Question
    from .export import GridNetwork

__all__ = ["FILES", "TrainingReport", "train"]

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
    teachers, float_, integer, spiking
        Share of the dev split answered rightly, 0..1: by the teachers together, by the float model as
        exported, with 16 activity levels, and by spikes with the exact readout. `teachers` is None
        where there were none.
    minutes
        Wall-clock time.
    """

    out: Path
    labels: tuple[str, ...]
    questions: int
    dev: int
    teachers: float | None
    float_: float
    integer: float
    spiking: float
    minutes: float

    def __str__(self) -> str:
        taught = "" if self.teachers is None else f"teachers {self.teachers:.1%}, "
        return (
            f"{self.out}: {len(self.labels)} classes, {self.questions} questions,"
            f" {self.minutes:.1f} minutes; on {self.dev} held-out questions: {taught}"
            f"float {self.float_:.1%}, integer {self.integer:.1%}, spiking {self.spiking:.1%}"
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Material:
    tokenizer: Tokenizer
    table: WordTable
    labels: tuple[str, ...]
    parts: Split


def train(
    data: Path,
    vectors: Path,
    out: Path,
    *,
    seed: int = 0,
    settings: TrainingSettings | None = None,
    fine: bool = False,
    progress: OnProgress = silent,
) -> TrainingReport:
    """Train an Elman network for one core, and write it as an ONNX model with its tokenizer.

    The same seed on the same machine and libraries gives the same model. Everything runs on one
    thread. The dev split decides nothing: it is answered once, at the end.

    Parameters
    ----------
    data
        Labelled questions (`.label`, `.tsv` or `.jsonl`).
    vectors
        Word vectors (`.vec` or `.vec.gz`).
    out
        Folder for the files; made where it is missing, written to at the end only.
    seed
        Of weights, order, augmentation and dropout, 0 or more; the split has its own seed.
    settings
        None: the defaults, which made the bundled model.
    fine
        Train on TREC's fine labels.
    progress
        Called after every pass over the questions.

    Raises
    ------
    DataError
        A file cannot be read.
    TrainingError
        The questions do not suffice, a setting does not fit, or `out` cannot be written.
    """
    started = time.monotonic()
    settings = settings or TrainingSettings()
    if seed < 0:
        raise TrainingError(f"seed: {seed}, at least 0 is needed")
    material = _read(data, vectors, settings, fine=fine)
    with _one_thread(seed):
        teachers, net = _train(material, settings, seed, progress)
        network = net.snap()
        dev = material.parts.dev
        figures = {
            "float": accuracy(net, dev, "float"),
            "integer": accuracy(net, dev, "integer"),
            "spiking": accuracy(net, dev, "spiking"),
        }
        taught = _taught(teachers, material)
    report = TrainingReport(
        out=out,
        labels=material.labels,
        questions=len(material.parts.train),
        dev=len(dev),
        teachers=taught,
        float_=figures["float"],
        integer=figures["integer"],
        spiking=figures["spiking"],
        minutes=(time.monotonic() - started) / 60,
    )
    record = _record(data, vectors, seed, settings, material, network)
    record["dev_accuracy"] = {"teachers": taught, **figures}
    record["minutes"] = round(report.minutes, 2)
    _write(out, network, material, record)
    return report


def _read(data: Path, vectors: Path, settings: TrainingSettings, *, fine: bool) -> _Material:
    questions = read_questions(data, labelled=True, fine=fine)
    labels = tuple(sorted({question.label or "" for question in questions}))
    settings.check_classes(len(labels))
    tokenizer, table = build_tokenizer(read_vectors(vectors))
    parts = split(encode(questions, tokenizer, labels), settings.dev, settings.dev_seed)
    missing = set(range(len(labels))) - set(parts.train.labels.tolist())
    if missing:
        names = ", ".join(labels[i] for i in sorted(missing))
        raise TrainingError(f"{data}: the training part has no question of class {names}")
    return _Material(tokenizer=tokenizer, table=table, labels=labels, parts=parts)


def _train(
    material: _Material, settings: TrainingSettings, seed: int, progress: OnProgress
) -> tuple[list[Teacher], ElmanNet]:
    corpus, table, classes = material.parts.train, material.table, len(material.labels)
    own = own_words(corpus.word_counts(len(table.rows)), settings.own_from)
    passes = len(settings.teachers) * settings.teacher_epochs
    passes += settings.epochs + settings.spiking_epochs
    done = 0

    def passed(stage: str) -> Callable[[], None]:
        def one_more() -> None:
            nonlocal done
            done += 1
            progress(stage=stage, done=done, total=passes)

        return one_more

    generators = np.random.default_rng(seed).spawn(len(settings.teachers) + 1)
    teachers = []
    for i, kind in enumerate(settings.teachers):
        teacher = Teacher(kind, table, own, classes, settings.own_dropout)
        train_teacher(teacher, corpus, settings, generators[i], passed(f"teacher {i + 1} {kind}"))
        teachers.append(teacher)
    net = ElmanNet(table, own, classes, settings)
    fit(net, corpus, teachers, settings, generators[-1], passed("network"))
    return teachers, net


def _taught(teachers: Sequence[Teacher], material: _Material) -> float | None:
    if not teachers:
        return None
    dev = material.parts.dev
    return float((answers(teachers, dev.ids).argmax(dim=1).numpy() == dev.labels).mean())


@contextmanager
def _one_thread(seed: int) -> Iterator[None]:
    """Seed torch and hold it to one thread, whose sums are always in the same order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def _record(
    data: Path,
    vectors: Path,
    seed: int,
    settings: TrainingSettings,
    material: _Material,
    network: GridNetwork,
) -> dict[str, Any]:
    """Collect what reproduces the model; names of files, never where they are."""
    parts = material.parts
    return {
        "method": (
            "Elman network on the grid of the core (16 weight levels, 16 activity levels), trained by"
            " back-propagation through time with straight-through gradients, then with the core's"
            " spike counts forward and the gradient of the clipped rate model backward; targets are"
            " the mean answers of the teachers to questions with words replaced at random"
            if settings.teachers
            else "as with teachers, but the targets are the smoothed labels"
        ),
        "data": {"file": data.name, "sha256": _sha256(data), "questions": len(parts.train)},
        "vectors": {"file": vectors.name, "sha256": _sha256(vectors)},
        "seed": seed,
        "settings": asdict(settings),
        "split": {
            "rule": (
                f"numpy PCG64({settings.dev_seed}).permutation of the questions that hold a word;"
                f" the first {settings.dev} are the dev split; of the others, those with the same"
                " words as one of the dev split are dropped"
            ),
            "dev": len(parts.dev),
            "dropped": parts.duplicates,
        },
        "selection": "none: fixed schedule; the dev split was answered once, at the end",
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


def _class_counts(questions: Sequence[Question]) -> dict[str, int]:
    return dict(sorted(Counter(question.label or "" for question in questions).items()))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write(out: Path, network: GridNetwork, material: _Material, record: dict[str, Any]) -> None:
    contents = {
        "model.onnx": to_onnx(network).SerializeToString(),
        "tokenizer.json": material.tokenizer.to_str().encode(),
        "labels.json": (json.dumps(list(material.labels)) + "\n").encode(),
        DEV_FILE: _tsv(material.parts.dev.questions),
        CALIBRATION_FILE: _tsv(material.parts.train.questions),
        "training.json": (json.dumps(record, indent=2) + "\n").encode(),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            # A reader never sees half a file; the folder as a whole is no transaction.
            temporary = out / f".{name}.tmp"
            temporary.write_bytes(content)
            temporary.replace(out / name)
    except OSError as e:
        raise TrainingError(f"{out}: {e.strerror or e}") from None


def _tsv(questions: Sequence[Question]) -> bytes:
    # A TAB in a text would be read back as part of it; a line break would not, so none may stay.
    lines = [f"{q.label}\t{' '.join(q.text.split())}\n" for q in questions]
    return ("label\ttext\n" + "".join(lines)).encode()
