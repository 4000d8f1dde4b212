"""Write the model card: what a model is, how it was made and what was measured, in Markdown.

The card is a layer of the published model: changing its text changes the digest of every model published again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..network.constrained import MAX_FAN_IN
from .tables import (
    class_table,
    confusion_table,
    cores_table,
    cores_title,
    head_line,
    question_table,
    response_table,
    stage_table,
    table,
    unit_line,
    use_table,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .tables import Rows

_NUMBERS: Final = ("one", "two", "three", "four", "five", "six", "seven", "eight")

CORES: Final = {
    n: f"{word} TrueNorth core{'s' * (n > 1)}" for n, word in enumerate(_NUMBERS, start=1)
}
"""Names of numbers of cores."""

PAPER: Final = {"float": 0.85, "fan-in": 0.784, "spiking": 0.74}
"""Accuracies of Diehl et al. 2016 on TREC, by the stage that they compare with (2015 workshop figures)."""


def model_card(
    title: str, evaluation: Mapping[str, Any], training: Mapping[str, Any] | None
) -> str:
    """Write the model card of a converted model.

    Parameters
    ----------
    title
        Name and version.
    evaluation
        The content of `eval.json`.
    training
        The content of `training.json`, or None if the model has none.

    """
    network = evaluation["network"]
    first = next(iter(evaluation["stages"]))
    labelled = evaluation["confusion"] is not None
    lines = [
        f"# {title}",
        "",
        (
            f"An Elman RNN with {network['input_lines']} input lines, {network['hidden_units']} hidden units"
            f" ({network['activation']}) and {network['classes']} classes, constrained to 16 weight levels and"
            f" 16 activity levels and placed on {CORES[network['cores']]} (256 axons x 256 neurons)."
        ),
        *_imitation(evaluation),
        "",
        "## Stages",
        "",
        *_stages(evaluation),
        "",
        (
            f"Counted on {evaluation['questions']} questions of `{evaluation['data']['file']}`"
            f" (sha256 `{evaluation['data']['sha256'][:12]}`), of which {evaluation['without_words']} hold no word;"
            f" responses matched on {evaluation['calibration']['questions']} calibration questions of"
            f" `{evaluation['calibration']['file']}`, whose labels were not used."
        ),
        *own_questions(evaluation, training),
        (
            f"`as {first}` and `as before` are the shares of questions answered as by the {first} stage and by the"
            " stage before; `loss` is the accuracy lost since the stage before, in points. The spiking stage is the"
            " core simulated spike for spike, as the daemon runs it. The figures of Diehl et al. 2016 are those of its"
            " authors, on their own test questions."
        ),
        "",
        "## On the core",
        "",
        *_core(evaluation),
    ]
    lines += ["", "### Use of the limits", "", *table(*use_table(evaluation))]
    tried = evaluation.get("teacher", {}).get("cores_tried")
    if tried:
        lines += ["", "## Cores", "", *table(*cores_table(tried)), "", f"{cores_title(tried)}."]
    if evaluation["responses"] is not None:
        lines += ["", "## Responses", "", *_responses(evaluation["responses"])]
    if labelled:
        lines += ["", "## Classes", "", *table(*class_table(evaluation))]
        lines += ["", "## Confusion", "", *table(*confusion_table(evaluation))]
    if training is not None and "cross_validation" in training:
        lines += ["", "## Cross-validation", "", *_cross_validation(training["cross_validation"])]
        training = {k: v for k, v in training.items() if k != "cross_validation"}
    if training is not None:
        lines += ["", "## Training", "", *(f"- {name}: {value}" for name, value in facts(training))]
    return "\n".join(lines) + "\n"


def own_questions(evaluation: Mapping[str, Any], training: Mapping[str, Any] | None) -> list[str]:
    """Return a warning if the figures were counted on the calibration questions themselves."""
    if evaluation["data"]["sha256"] != evaluation["calibration"]["sha256"]:
        return []
    if "teacher" in evaluation:
        return [
            "These questions were held out: they taught the student nothing, and chose nothing."
        ]
    line = "These are the calibration questions themselves"
    if training is not None:
        line += (
            ", which the network was trained on: the figures are no estimate for other questions"
        )
        if "cross_validation" in training:
            line += "; those of the cross-validation below are"
    return [f"{line}."]


def _cross_validation(found: Mapping[str, Any]) -> list[str]:
    """Return table and caption of the cross-validation: every fold answered by networks trained without it."""
    return [*table(*validation_table(found)), "", validation_line(found)]


def validation_table(found: Mapping[str, Any]) -> Rows:
    """Return the figures of a cross-validation as a table."""
    rows = [
        [stage, f"{f['mean']:.2%}", "" if f["sd"] is None else f"{f['sd']:.2%}"]
        for stage, f in found["stages"].items()
    ]
    return ["stage", "accuracy", "sd over seeds"], rows


def validation_line(found: Mapping[str, Any]) -> str:
    """Return a sentence that states what was cross-validated."""
    return (
        f"{found['folds']} folds of {found['questions']} questions (seed {found['fold_seed']}), each answered by"
        f" networks trained and published without it by the same recipe; mean over"
        f" {len(found['seeds'])} seeds."
    )


def _imitation(evaluation: Mapping[str, Any]) -> list[str]:
    """Return what a student imitates, and how well; nothing if the network is no student."""
    teacher = evaluation.get("teacher")
    if teacher is None:
        return []
    agreed = evaluation["stages"]["spiking"]["agreement"]
    rest = "nothing else of the file is in this model"
    if teacher["kept"]:
        rest = "the file itself is kept beside it as `teacher.onnx`, and never run on the edge"
    return [
        "",
        (
            f"It is an imitation of `{teacher['file']}` (sha256 `{teacher['sha256']}`), agreeing with it on"
            f" {agreed:.1%} of {evaluation['questions']} questions. It was taught by that file's answers to"
            f" {teacher['questions'] + teacher['more']} questions and to variations of them; {rest}."
        ),
    ]


def _stages(evaluation: Mapping[str, Any]) -> list[str]:
    head, rows = stage_table(evaluation)
    paper = [f"{PAPER[row[0]]:.1%}" if row[0] in PAPER else "" for row in rows]
    rows = [[*row, figure] for row, figure in zip(rows, paper, strict=True)]
    return table([*head, "Diehl et al. 2016"], rows)


def _core(evaluation: Mapping[str, Any]) -> list[str]:
    network = evaluation["network"]
    rows = [["lines", f"{network['lines_used']} of {MAX_FAN_IN * network['cores']}"]]
    if evaluation["head"] == "core":
        rows.append(["readout neurons per class", str(network["readout_neurons_per_class"])])
    head, more = question_table(evaluation)
    return [
        *table(head, rows + more),
        "",
        head_line(evaluation),
        "Power and energy are estimates for the chip (methods: docs/power.md), never measurements of the host.",
    ]


def _responses(found: Mapping[str, Any]) -> list[str]:
    return [
        *table(*response_table(found)),
        "",
        (
            f"Spikes of a hidden unit on the core in a step, by the activity that the integer stage has there"
            f" ({found['questions']} questions). {unit_line(found)}"
        ),
    ]


def facts(document: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return a nested document as flat (dotted name, value) pairs."""
    found = []
    for key, value in document.items():
        if isinstance(value, dict):
            found += facts(value, f"{prefix}{key}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            found.append((f"{prefix}{key}", text))
    return found
