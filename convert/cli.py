"""Command line `spikewatch-convert`: train, publish, evaluate, explain, report."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ..registry import Registry, RegistryError, bundled
from ..simcore import SimcoreError
from .errors import ConvertError
from .evaluation.explain import explain as explain_question
from .evaluation.tables import show, show_explanation

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

WordNetFolder = Annotated[
    Path | None,
    typer.Option(help="Folder of WordNet 3.0's files (Debian: wordnet-base, /usr/share/wordnet)."),
]
Fine = Annotated[bool, typer.Option("--fine", help="Use TREC's fine labels.")]
Reference = Annotated[
    str, typer.Argument(metavar="REF", help="model:version, model:alias or model@digest.")
]
Store = Annotated[
    Path | None,
    typer.Option(
        "--registry",
        envvar="SPIKEWATCH_REGISTRY",
        help="Registry folder; default: the bundled one.",
    ),
]
Version = Annotated[str, typer.Option(help="SemVer of the new version.")]
Alias = Annotated[str | None, typer.Option(help="Alias to move to the new version.")]
Actor = Annotated[
    str | None, typer.Option(help="Who publishes, for the registry's journal; default: user@host.")
]
Reason = Annotated[str, typer.Option(help="Why, for the registry's journal.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]

app = typer.Typer(
    name=PROGRAM,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text: rich cuts long help off, and takes long to import
)


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


def main() -> None:
    """Run the program; print our own errors as one line on stderr, and exit with code 2."""
    try:
        app()
    except (ConvertError, SimcoreError, RegistryError) as e:
        _fail(str(e))
    except ModuleNotFoundError as e:
        name = str(e.name).partition(".")[0]
        if name not in EXTRAS:
            raise
        _fail(f"{name} is not installed: pip install 'spikewatch[{EXTRAS[name]}]'")


def _fail(message: str) -> NoReturn:
    typer.echo(f"{PROGRAM}: {message}", err=True)
    sys.exit(2)


@app.command()
def train(
    data: Annotated[Path, typer.Option(help="Labelled questions: .label (TREC), .tsv or .jsonl.")],
    vectors: Annotated[Path, typer.Option(help="Word vectors (word2vec, fastText, GloVe).")],
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
) -> None:
    """Train an Elman RNN for one core.

    Training is quantisation-aware first, and then runs with the core's spikes in the loop.
    """
    from . import training  # noqa: PLC0415 - torch takes seconds to import

    with training.progress_bar() as progress:
        report = training.train(
            data,
            vectors,
            out,
            wordnet=wordnet,
            seed=seed,
            dev=dev,
            fine=fine,
            search=search,
            validation=validation,
            progress=progress,
        )
    _print(str(report))


@app.command()
def cross_validate(
    data: Annotated[Path, typer.Option(help="Labelled questions: .label (TREC), .tsv or .jsonl.")],
    vectors: Annotated[Path, typer.Option(help="Word vectors (word2vec, fastText, GloVe).")],
    out: Annotated[Path, typer.Option(help="Folder for the figures; a stopped run resumes there.")],
    wordnet: WordNetFolder = None,
    folds: Annotated[int, typer.Option(help="Number of folds.")] = 5,
    seeds: Annotated[int, typer.Option(help="Number of seeds: 0, 1, ...")] = 3,
    fine: Fine = False,
) -> None:
    """Cross-validate a recipe, up to the spiking core.

    For every fold: train and convert a network without it, then count its right answers at every stage.
    """
    from . import training  # noqa: PLC0415 - torch takes seconds to import

    with training.progress_bar() as progress:
        found = training.cross_validate(
            data,
            vectors,
            out,
            wordnet=wordnet,
            folds=folds,
            seeds=seeds,
            fine=fine,
            progress=progress,
            note=lambda line: typer.echo(line, err=True),
        )
    _print(f"{found}\n\n{found.file}")


@app.command()
def publish(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The trained network, ONNX.")],
    tokenizer: Annotated[Path, typer.Option(help="tokenizer.json (Hugging Face tokenizers).")],
    labels: Annotated[
        Path, typer.Option(help="labels.json: class names in the order of the outputs.")
    ],
    calibrate: Annotated[
        Path,
        typer.Option(help="Calibration questions (.txt, .jsonl, .tsv, .label)."),
    ],
    registry: Annotated[
        Path,
        typer.Option(
            envvar="SPIKEWATCH_REGISTRY", help="Registry folder; created if it is missing."
        ),
    ],
    name: Annotated[str, typer.Option(help="Model name.")],
    version: Version,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="closed-form, distill, or labels (uses the labels of --calibrate); default: distill"
            " if torch is installed."
        ),
    ] = None,
    readout: Annotated[
        str,
        typer.Option(
            help="core: neurons of the core compute the answer; host: the core outputs its hidden"
            " spikes, and the daemon computes the answer from them."
        ),
    ] = "core",
    seed: Annotated[int, typer.Option(help="Seed of the distillation.", min=0, max=2**32)] = 0,
    alias: Alias = None,
    evaluate: Annotated[
        Path | None,
        typer.Option(
            help="Questions to evaluate every stage on; default: the calibration questions."
        ),
    ] = None,
    training: Annotated[
        Path | None, typer.Option(help="training.json written by train, for the model card.")
    ] = None,
    vectors: Annotated[
        Path | None,
        typer.Option(
            help="Word vectors (word2vec, fastText, GloVe), for a model whose inputs are word vectors."
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Output of MODEL that holds the logits; default: the one that is a classifier's.",
        ),
    ] = None,
    pad_to: Annotated[
        int | None,
        typer.Option(
            help="Words that your own code fills every question up to, after the tokenizer (longer ones"
            " are cut)."
        ),
    ] = None,
    pad_id: Annotated[
        int | None, typer.Option(help="With --pad-to: word id of the padding; default: 0.")
    ] = None,
    pad_side: Annotated[
        str | None, typer.Option(help="With --pad-to: left or right; default: right.")
    ] = None,
    truncate_side: Annotated[
        str | None,
        typer.Option(
            help="With --pad-to: the side at which long questions are cut, left (as Keras'"
            " pad_sequences does by default) or right; default: right."
        ),
    ] = None,
    actor: Actor = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Convert a trained network and publish it.

    The network is read, checked against onnxruntime, constrained, matched to spiking neurons, placed on the core and
    evaluated before it is published.
    """
    created = (
        _created()
    )  # before the import, because onnx reads SOURCE_DATE_EPOCH too, without a check
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
        output=output,
        pad_to=pad_to,
        pad_id=pad_id,
        pad_side=pad_side,
        truncate_side=truncate_side,
    )
    pin, converted = convert_and_publish(
        source,
        name,
        version,
        registry=registry,
        recipe=recipe,
        readout=readout,
        seed=seed,
        alias=alias,
        created=created,
        actor=actor,
        reason=reason,
        note=lambda line: typer.echo(line, err=True),
    )
    if as_json:
        _print(json.dumps({"model": str(pin), **converted.evaluation}, indent=2))
        return
    show(converted.evaluation)
    _print(f"published {pin}")


@app.command()
def renew(
    reference: Reference,
    calibrate: Annotated[
        Path,
        typer.Option(help="Typical questions (.txt, .jsonl, .tsv, .label)."),
    ],
    registry: Annotated[Path, typer.Option(envvar="SPIKEWATCH_REGISTRY", help="Registry folder.")],
    version: Version,
    alias: Alias = None,
    actor: Actor = None,
    reason: Reason = "",
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
        alias=alias,
        created=created,
        actor=actor,
        reason=reason,
        note=lambda line: typer.echo(line, err=True),
    )
    _print(f"published {pin}")


@app.command()
def evaluate(
    reference: Reference,
    data: Annotated[Path, typer.Option(help="Questions (.label, .tsv, .jsonl, .txt).")],
    registry: Store = None,
    as_json: AsJson = False,
) -> None:
    """Count the right answers of a model, stage by stage."""
    from .publishing.publish import evaluate as run  # noqa: PLC0415 - onnxruntime takes a second to import

    figures = run(reference, data, registry=registry)
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
            help="Questions to evaluate the model on (.label, .tsv, .jsonl, .txt); default: show the"
            " published figures."
        ),
    ] = None,
    registry: Store = None,
) -> None:
    """Write an HTML report on a published model.

    It shows figures, pictures of the core, energy and digests.
    """
    from .report import write_report  # noqa: PLC0415 - matplotlib takes a second to import

    size = write_report(
        reference, out, registry=Registry(registry or bundled()), question=question, data=data
    )
    _print(f"{out}: {size:,} bytes")


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
