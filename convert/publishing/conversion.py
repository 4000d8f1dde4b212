"""Convert a trained network to the files of a model."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...simcore import Classifier, golden
from ...simcore.limits import MAX_WORDS
from ...simcore.text.splitting import highest_id, read_tokenizer
from ..constraining.recipe import bring_to_core
from ..errors import ConstraintError, ConvertError, ModelFileError, ProofError
from ..evaluation.model_card import model_card
from ..evaluation.stages import describe_data, evaluate_stages, label_indices
from ..lookup import lookup_file
from ..network.constrained import CONSTRAINED_FILE
from ..network.elman import HEADS
from ..progress import OnProgress, silent
from ..read import prepare, read_model_bytes
from .cores import check_cores, fewest_cores
from .description import describe_network
from .imitation import TEACHER_FILE, imitation, named, refused
from .inputs import check_contents, read_network, read_small

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..constraining.recipe import PlacedNetwork, Recipe
    from ..network.elman import ElmanNetwork, Head
    from ..read import FloatModel
    from .imitation import Imitation
    from .inputs import Contents, Given
    from .source import Source


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Converted:
    """A converted model: its files as they are published, and its figures.

    Attributes
    ----------
    files : dict
        Bytes by file name.
    evaluation : dict
        The content of `eval.json`.

    """

    files: dict[str, bytes]
    evaluation: dict[str, Any]

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}: {len(data):,} bytes" for name, data in self.files.items())
        return f"<Converted {sizes}>"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Prepared:
    """A network on its cores, with the contents of the files that it was made from."""

    contents: Contents
    placed: PlacedNetwork


def convert(
    source: Source,
    *,
    title: str,
    recipe: str | None = None,
    readout: str = "core",
    seed: int = 0,
    student: bool | None = None,
    keep_teacher: bool = False,
    cores: int | str = 1,
    note: Callable[[str], None] = lambda _: None,
    progress: OnProgress = silent,
) -> Converted:
    """Turn a trained network into the files of a model: read, constrain, match, place, check.

    Parameters
    ----------
    source
        The files that the model is made from.
    title
        Name and version for the model card.
    recipe
        One of `recipe.RECIPES`; None: distil if torch is installed, otherwise use the closed form.
    readout
        Where the head is computed: "core", by neurons, or "host", from the hidden units' spikes.
    seed
        Seed of the distillation.
    student
        True: teach an Elman network to answer as the model file does, whatever that is; False: never; None: only if the
        file is not an Elman network that fits.
    keep_teacher
        Whether the file that taught a student is among the files, as `TEACHER_FILE`.
    cores
        Cores of a student, 1..8, or "auto" (see `cores`).
    note
        Called with one line before each step.
    progress
        Called after every pass of a distillation and every stage of the evaluation.

    Raises
    ------
    ConvertError, SimcoreError
        A file, the network or an option is not supported; the message is one line that names it.

    """
    head = check_readout(readout)
    if keep_teacher and student is False:
        raise ConvertError(
            "--keep-teacher: keeps the teacher of a student, which --no-student forbids"
        )
    numbers = check_cores(cores, student=student)
    prepare()
    given = read_small(source, recipe, note)

    def bring(
        given: Given, network: ElmanNetwork, float_model: FloatModel, recipe: Recipe
    ) -> Prepared:
        contents = check_contents(source, given, replace(network, head=head), float_model, note)
        return Prepared(contents=contents, placed=_placed(contents, recipe, seed, note, progress))

    refusal = None
    if student is not True:
        try:
            found = bring(given, *read_network(source, given, note), given.recipe)
            _note_unused(note, keep_teacher=keep_teacher, cores=cores)
            return _converted(source, found, title, None, note, progress)
        except (ModelFileError, ConstraintError) as e:
            if student is False or recipe == "closed-form" or isinstance(e, ProofError):
                raise
            refusal = e
        note(f"{refusal}; so an Elman network is taught to answer as the file does")
    labels = (lambda some: label_indices(some, given.names)) if given.recipe == "labels" else None
    try:
        with imitation(
            source,
            given.tokenizer,
            given.questions,
            given.names,
            more=[q.text for q in given.more],
            keep=keep_teacher,
            labels=labels,
            cores=numbers,
            seed=seed,
            note=note,
            progress=progress,
        ) as students:
            given = given.of_student(students[0])
            prepared = []
            for taught in students:
                network, float_model = read_model_bytes(
                    taught.model, what="student", longest=MAX_WORDS
                )
                network = replace(network, spread=taught.spread)
                # a student is on its cores' grid already, and has learned the labels if it was to learn them
                prepared.append(bring(given, network, float_model, "closed-form"))
            at = fewest_cores([p.placed for p in prepared], students, note)
            return _converted(source, prepared[at], title, students[at], note, progress)
    except ConvertError as e:
        if refusal is None:
            raise named(e, Path(source.model)) from None
        raise refused(refusal, e, Path(source.model)) from None


def _note_unused(note: Callable[[str], None], *, keep_teacher: bool, cores: int | str) -> None:
    """Report the student options that have no effect, because the file was read exactly."""
    if keep_teacher:
        note(
            "--keep-teacher: no teacher to keep, since the file was read exactly: it is model.onnx"
        )
    if str(cores) != "1":
        note(
            f"--cores {cores}: for students; the file was read exactly, and takes the cores that it needs"
        )


def _placed(
    contents: Contents,
    recipe: Recipe,
    seed: int,
    note: Callable[[str], None],
    progress: OnProgress,
) -> PlacedNetwork:
    """Constrain a network that was read, match and place it."""
    truth = label_indices(contents.worded, contents.names) if recipe == "labels" else None
    return bring_to_core(
        contents.network.with_mean(contents.words),
        contents.words,
        recipe,
        truth=truth,
        seed=seed,
        note=note,
        progress=progress,
    )


def _converted(
    source: Source,
    prepared: Prepared,
    title: str,
    teacher: Imitation | None,
    note: Callable[[str], None],
    progress: OnProgress,
) -> Converted:
    """Return the files of a placed network, and count its stages."""
    contents, placed = prepared.contents, prepared.placed
    files = _model_files(contents, placed, note)
    note(f"evaluating every stage on {len(contents.held_out)} questions")
    evaluation = evaluate_stages(
        questions=contents.held_out,
        files=files,
        float_model=contents.float_model,
        constrained=placed.constrained,
        teacher=None if teacher is None else teacher.answers,
        student=teacher is not None,
        progress=progress,
    )
    evaluation["data"] = describe_data(Path(source.evaluate or source.calibrate))
    calibrated_on = describe_data(Path(source.calibrate))
    evaluation["calibration"] = {**calibrated_on, "questions": len(contents.words)}
    evaluation["network"] = describe_network(contents.network, placed)
    if teacher is not None:
        evaluation["network"]["recipe"] = "student"
        evaluation["teacher"] = teacher.record
        if teacher.kept is not None:
            files[TEACHER_FILE] = teacher.kept
    files["eval.json"] = (json.dumps(evaluation, indent=2, sort_keys=True) + "\n").encode()
    training = None if contents.training is None else json.loads(contents.training)
    files["MODEL_CARD.md"] = model_card(title, evaluation, training).encode()
    return Converted(files=files, evaluation=evaluation)


def check_readout(wanted: str) -> Head:
    """Check where the head is to be computed, and return it.

    Raises
    ------
    ConvertError
        It is neither "core" nor "host".

    """
    for head in HEADS:
        if head == wanted:
            return head
    raise ConvertError(f"readout {wanted!r}: expected {', '.join(HEADS)}")


def golden_questions(texts: Sequence[str]) -> list[str]:
    """Choose the golden questions of a model, evenly from questions that have words."""
    chosen = np.linspace(0, len(texts) - 1, golden.QUESTIONS).astype(int)
    return [texts[i] for i in chosen]


def _model_files(
    contents: Contents, placed: PlacedNetwork, note: Callable[[str], None]
) -> dict[str, bytes]:
    """Return the files of the model, without those that follow from its evaluation (figures and model card)."""
    encoder = placed.network.encoder()
    # the tokenizer's words beyond the embedding have a row, which is never read, because they are unusable
    rows, words = len(encoder.rows), highest_id(read_tokenizer(contents.tokenizer)) + 1
    encoder = replace(
        encoder,
        rows=np.concatenate([encoder.rows, np.zeros(max(words - rows, 0), np.int32)]),
        skipped=tuple(sorted(contents.float_model.skipped)),
        unusable=(*sorted(contents.float_model.unusable), *range(rows, words)),
    )
    files = {
        "core.safetensors": placed.matched.image.to_bytes(),
        "encoder.safetensors": encoder.to_bytes(),
        "tokenizer.json": contents.tokenizer,
        "labels.json": contents.labels,
        "model.onnx": contents.float_model.data,
        CONSTRAINED_FILE: placed.constrained.to_bytes(),
    }
    # before the classifier: its golden answers must come from the lookup that the edge will use
    files |= lookup_file(contents.tokenizer, [q.text for q in contents.calibration], note)
    classifier = Classifier.from_files(files)
    files[golden.FILE] = golden.make(
        classifier, golden_questions([q.text for q in contents.worded])
    )
    if contents.training is not None:
        files["training.json"] = contents.training
    return files
