"""Command line `spikewatch-convert`: train, publish, evaluate, explain, report."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ..command_line import Program, one_line, run
from ..registry import Registry, RegistryError, bundled
from ..simcore import SimcoreError
from ..simcore.question_files import ReadOptions  # noqa: TC001 - typer evaluates annotations
from .commands_training import add_training
from .errors import ConvertError
from .evaluation.explain import explain as explain_question
from .evaluation.tables import show, show_explanation
from .options import (
    Actor,
    Alias,
    AsJson,
    Calibrate,
    Cores,
    Evaluate,
    KeepTeacher,
    More,
    Output,
    PadId,
    PadSide,
    PadTo,
    Readout,
    Reason,
    Recipe,
    Reference,
    Store,
    Student,
    TruncateSide,
    Version,
    reads_questions,
)
from .words.question_files import AS_USUAL

PROGRAM = "spikewatch-convert"
EXTRAS = {
    "onnx": "convert",
    "onnxruntime": "convert",
    "scipy": "convert",
    "tokenizers": "convert",
    "torch": "train",
    "matplotlib": "report",
    "jinja2": "report",
}
"""Libraries that the base install lacks, with the extra that installs each."""

app = Program(PROGRAM)


def _version(asked: bool) -> None:
    if asked:
        from .. import __version__  # noqa: PLC0415 - looked up in the installed files, only when asked for

        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Turn trained Elman RNNs into spiking core images, and publish them."""


add_training(app)


def main() -> None:
    """Run the program; print our own errors as one line on stderr, and exit with code 2."""
    run(app, PROGRAM, _explain)


def _explain(error: Exception) -> tuple[str, int] | None:
    if isinstance(error, (ConvertError, SimcoreError, RegistryError)):
        return str(error), 2
    if isinstance(error, ModuleNotFoundError):
        name = str(error.name).partition(".")[0]
        if name in EXTRAS:
            return f"{name} is not installed: pip install 'spikewatch[{EXTRAS[name]}]'", 2
    return None


@app.command()
@reads_questions
def publish(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The trained network, ONNX.")],
    tokenizer: Annotated[Path, typer.Option(help="tokenizer.json (Hugging Face tokenizers).")],
    labels: Annotated[
        Path, typer.Option(help="labels.json: class names in the order of the outputs.")
    ],
    calibrate: Calibrate,
    registry: Annotated[
        Path,
        typer.Option(
            envvar="SPIKEWATCH_REGISTRY", help="Registry folder; created if it is missing."
        ),
    ],
    name: Annotated[str, typer.Option(help="Model name.")],
    version: Version,
    recipe: Recipe = None,
    readout: Readout = "core",
    seed: Annotated[int, typer.Option(help="Seed of the distillation.", min=0, max=2**32)] = 0,
    alias: Alias = None,
    evaluate: Evaluate = None,
    training: Annotated[
        Path | None, typer.Option(help="training.json written by train, for the model card.")
    ] = None,
    vectors: Annotated[
        Path | None,
        typer.Option(
            help="Word vectors (word2vec, fastText, GloVe), for a model whose inputs are word vectors."
        ),
    ] = None,
    output: Output = None,
    pad_to: PadTo = None,
    pad_id: PadId = None,
    pad_side: PadSide = None,
    truncate_side: TruncateSide = None,
    student: Student = None,
    keep_teacher: KeepTeacher = False,
    cores: Cores = "1",
    more: More = None,
    actor: Actor = None,
    reason: Reason = "",
    as_json: AsJson = False,
    reading: ReadOptions = AS_USUAL,
) -> None:
    """Convert a trained network and publish it.

    The network is read, checked against onnxruntime, constrained, matched to spiking neurons, placed on the core and
    evaluated before it is published. A network of another kind teaches an Elman network to answer as it does.
    """
    created = (
        _created()
    )  # before the import, because onnx reads SOURCE_DATE_EPOCH too, without a check
    from .progress import progress_bar  # noqa: PLC0415 - not needed by --help
    from .publishing.publish import convert_and_publish  # noqa: PLC0415 - onnxruntime takes a second to import
    from .publishing.source import Source  # noqa: PLC0415 - onnxruntime takes a second to import

    source = Source(
        model=model,
        tokenizer=tokenizer,
        labels=labels,
        calibrate=calibrate,
        evaluate=evaluate,
        training=training,
        vectors=vectors,
        reading=reading,
        output=output,
        pad_to=pad_to,
        pad_id=pad_id,
        pad_side=pad_side,
        truncate_side=truncate_side,
        more=tuple(more or ()),
    )
    with progress_bar() as progress:
        pin, converted = convert_and_publish(
            source,
            name,
            version,
            registry=registry,
            recipe=recipe,
            readout=readout,
            seed=seed,
            student=student,
            keep_teacher=keep_teacher,
            cores=cores,
            alias=alias,
            created=created,
            actor=actor,
            reason=reason,
            note=progress.note,
            progress=progress,
        )
    if as_json:
        _print(json.dumps({"model": str(pin), **converted.evaluation}, indent=2))
        return
    show(converted.evaluation)
    _print(f"published {pin}")


@app.command()
@reads_questions
def renew(
    reference: Reference,
    calibrate: Calibrate,
    registry: Annotated[Path, typer.Option(envvar="SPIKEWATCH_REGISTRY", help="Registry folder.")],
    version: Version,
    alias: Alias = None,
    actor: Actor = None,
    reason: Reason = "",
    reading: ReadOptions = AS_USUAL,
) -> None:
    """Publish a model again with a lookup and golden questions.

    The network is unchanged; only the files that newer versions of spikewatch add are made.
    """
    created = _created()
    from .publishing.renew import renew as run  # noqa: PLC0415 - onnxruntime takes a second to import

    pin = run(
        reference,
        registry=Registry(registry),
        version=version,
        calibrate=calibrate,
        reading=reading,
        alias=alias,
        created=created,
        actor=actor,
        reason=reason,
        note=lambda line: typer.echo(line, err=True),
    )
    _print(f"published {pin}")


@app.command()
@reads_questions
def evaluate(
    reference: Reference,
    data: Annotated[
        Path, typer.Option(help="Questions, with or without labels (.tsv, .csv, .jsonl, ...).")
    ],
    registry: Store = None,
    as_json: AsJson = False,
    reading: ReadOptions = AS_USUAL,
) -> None:
    """Count the right answers of a model, stage by stage."""
    from .publishing.publish import evaluate as run  # noqa: PLC0415 - onnxruntime takes a second to import

    figures = run(reference, data, registry=registry, reading=reading)
    if as_json:
        _print(json.dumps(figures, indent=2))
        return
    _print(figures["model"])
    show(figures)


@app.command()
def explain(
    reference: Reference,
    question: Annotated[
        str, typer.Argument(metavar="QUESTION", help="The question, in quotation marks.")
    ],
    registry: Store = None,
    as_json: AsJson = False,
) -> None:
    """Show what the core does with a question, word by word."""
    model = Registry(registry or bundled()).load(reference)
    found = explain_question(model.files, question)
    if as_json:
        _print(json.dumps({"model": str(model.pin), **found.as_json()}, indent=2))
        return
    _print(str(model.pin))
    show_explanation(found)


@app.command()
@reads_questions
def report(
    reference: Reference,
    out: Annotated[Path, typer.Option(help="HTML file to write; it is self-contained.")],
    question: Annotated[
        str | None,
        typer.Option(
            help='Question to follow word by word; default: the first of --data, or "Who wrote Hamlet?"'
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Questions to evaluate the model on (.tsv, .csv, .jsonl, ...); default: show the"
            " published figures."
        ),
    ] = None,
    registry: Store = None,
    reading: ReadOptions = AS_USUAL,
) -> None:
    """Write an HTML report on a published model.

    It shows figures, pictures of the core, energy and digests.
    """
    from .report import write_report  # noqa: PLC0415 - matplotlib takes a second to import

    size = write_report(
        reference,
        out,
        registry=Registry(registry or bundled()),
        question=question,
        data=data,
        reading=reading,
    )
    _print(one_line(f"{out}: {size:,} bytes"))


def _created() -> datetime:
    """Return the time of publishing: SOURCE_DATE_EPOCH, as in reproducible builds, or else the current time."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch is None:
        return datetime.now(UTC).replace(microsecond=0)
    if not epoch.isdecimal():
        raise ConvertError(f"SOURCE_DATE_EPOCH: {epoch!r}, expected seconds since 1970")
    try:
        return datetime.fromtimestamp(int(epoch), UTC)
    except (ValueError, OverflowError, OSError):
        raise ConvertError(f"SOURCE_DATE_EPOCH: {epoch}, after the year 9999") from None


def _print(text: str) -> None:
    typer.echo(text)
