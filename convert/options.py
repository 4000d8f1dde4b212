"""Options that several commands of `spikewatch-convert` have."""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ..simcore.question_files import ReadOptions
from .errors import DataError
from .words.question_files import AS_USUAL

if TYPE_CHECKING:
    from collections.abc import Callable

_KEYWORD: Final = inspect.Parameter.KEYWORD_ONLY

WordNetFolder = Annotated[
    Path | None,
    typer.Option(help="Folder of WordNet 3.0's files (Debian: wordnet-base, /usr/share/wordnet)."),
]
Labelled = Annotated[Path, typer.Option(help="Labelled questions: a table, .jsonl, TREC's .label.")]
Vectors = Annotated[Path, typer.Option(help="Word vectors (word2vec, fastText, GloVe).")]
Calibrate = Annotated[
    Path, typer.Option(help="Typical questions, to calibrate with (.txt, .jsonl, .csv, ...).")
]
Evaluate = Annotated[
    Path | None,
    typer.Option(help="Questions to evaluate every stage on; default: the calibration questions."),
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
Recipe = Annotated[
    str | None,
    typer.Option(
        help="closed-form, distill, or labels (uses the labels of --calibrate); default: distill"
        " if torch is installed."
    ),
]
Readout = Annotated[
    str,
    typer.Option(
        help="core: neurons of the core compute the answer; host: the core outputs its hidden"
        " spikes, and the daemon computes the answer from them."
    ),
]
PadTo = Annotated[
    int | None,
    typer.Option(
        help="Number of words to which your own code pads each question, after the tokenizer (longer ones"
        " are cut)."
    ),
]
PadId = Annotated[
    int | None, typer.Option(help="With --pad-to: word id of the padding; default: 0.")
]
PadSide = Annotated[str | None, typer.Option(help="With --pad-to: left or right; default: right.")]
TruncateSide = Annotated[
    str | None,
    typer.Option(
        help="With --pad-to: the side at which long questions are cut, left (as Keras'"
        " pad_sequences does by default) or right; default: right."
    ),
]
Student = Annotated[
    bool | None,
    typer.Option(
        "--student/--no-student",
        help="Teach an Elman network to answer as MODEL does, whatever network that is, or never do so;"
        " default: if MODEL is no Elman network that fits a core.",
    ),
]
KeepTeacher = Annotated[
    bool,
    typer.Option(
        "--keep-teacher",
        help="Publish MODEL with the student that it taught, as teacher.onnx; default: only its name and"
        " digest.",
    ),
]
Cores = Annotated[
    str,
    typer.Option(
        metavar="N|auto",
        help="Cores of a student, 1 to 8; auto: the fewest of 1, 2 and 4 that agree with MODEL within half a"
        " point of the best.",
    ),
]
More = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="More questions for a student, without labels (.txt, .jsonl, ...); may be given again.",
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Output of MODEL that holds the logits; default: found by its shape and the labels.",
    ),
]
Reason = Annotated[str, typer.Option(help="Why, for the registry's journal.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]
_READING: Final = {
    "encoding": Annotated[
        str,
        typer.Option(help="Encoding of question files without a byte order mark, such as cp1252."),
    ],
    "text_field": Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Column or key of the text; default: text, question or another usual name.",
        ),
    ],
    "label_field": Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Column or key of the label; default: label, class, intent."
        ),
    ],
}


def reads_questions(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say how question files are read, in place of a command's parameter `reading`."""
    own = inspect.signature(command, eval_str=True).parameters
    parameters = [
        *(each.replace(kind=_KEYWORD) for name, each in own.items() if name != "reading"),
        *(
            inspect.Parameter(name, _KEYWORD, default=getattr(AS_USUAL, name), annotation=option)
            for name, option in _READING.items()
        ),
    ]

    @functools.wraps(command)
    def run(**values: Any) -> None:
        given = {name: values.pop(name) for name in _READING}
        try:
            reading = ReadOptions(**given)
        except ValueError as e:
            raise DataError(f"encoding: {e}") from None
        command(**values, reading=reading)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # typer reads it
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run
