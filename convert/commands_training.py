"""The commands that train: `train` and `cross-validate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..command_line import one_line
from ..simcore.question_files import ReadOptions  # noqa: TC001 - typer evaluates annotations
from .options import Fine, Labelled, Vectors, WordNetFolder, reads_questions
from .words.question_files import AS_USUAL

__all__ = ["add_training"]


def add_training(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    for command in (train, cross_validate):
        app.command()(command)


@reads_questions
def train(
    data: Labelled,
    vectors: Vectors,
    out: Annotated[Path, typer.Option(help="Folder for the trained network.")],
    wordnet: WordNetFolder = None,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    fine: Fine = False,
    dev: Annotated[
        int | None, typer.Option(help="Number of questions to hold out, 0 for none; default: 500.")
    ] = None,
    search: Annotated[
        bool,
        typer.Option(
            "--search", help="First try splits of the lines, on a fifth of the training questions."
        ),
    ] = False,
    validation: Annotated[
        Path | None,
        typer.Option(help="cross-validation.json of the same recipe, to copy into training.json."),
    ] = None,
    reading: ReadOptions = AS_USUAL,
) -> None:
    """Train an Elman RNN for one core.

    Training is quantisation-aware first, and then runs with the core's spikes in the loop.
    """
    from . import training  # noqa: PLC0415 - torch takes seconds to import
    from .progress import progress_bar  # noqa: PLC0415 - not needed by --help

    with progress_bar() as progress:
        report = training.train(
            data,
            vectors,
            out,
            wordnet=wordnet,
            seed=seed,
            dev=dev,
            fine=fine,
            reading=reading,
            search=search,
            validation=validation,
            progress=progress,
        )
    typer.echo(str(report))


@reads_questions
def cross_validate(
    data: Labelled,
    vectors: Vectors,
    out: Annotated[Path, typer.Option(help="Folder for the figures; a stopped run resumes there.")],
    wordnet: WordNetFolder = None,
    folds: Annotated[int, typer.Option(help="Number of folds.")] = 5,
    seeds: Annotated[int, typer.Option(help="Number of seeds: 0, 1, ...")] = 3,
    fine: Fine = False,
    reading: ReadOptions = AS_USUAL,
) -> None:
    """Cross-validate a recipe, up to the spiking core.

    For every fold: train and convert a network without it, then count its right answers at every stage.
    """
    from . import training  # noqa: PLC0415 - torch takes seconds to import
    from .progress import progress_bar  # noqa: PLC0415 - not needed by --help

    with progress_bar() as progress:
        found = training.cross_validate(
            data,
            vectors,
            out,
            wordnet=wordnet,
            folds=folds,
            seeds=seeds,
            fine=fine,
            reading=reading,
            progress=progress,
            note=progress.note,
        )
    typer.echo(f"{found}\n\n{one_line(found.file)}")
