"""The model card: what a model is, how it was made, and what was measured, in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

PAPER: Final = {"float": 0.85, "fan-in": 0.784, "spiking": 0.74}
"""Accuracies of Diehl et al. 2016 on TREC, by the stage they stand beside (2015 workshop figures)."""


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
        The content of `training.json`, where the model has one.

    """
    network = evaluation["network"]
    labelled = evaluation["confusion"] is not None
    lines = [
        f"# {title}",
        "",
        (
            f"An Elman RNN with {network['input_lines']} input lines, {network['hidden_units']} hidden units"
            f" ({network['activation']}) and {network['classes']} classes, constrained to 16 weight levels and"
            " 16 activity levels and placed on one TrueNorth core (256 axons x 256 neurons)."
        ),
        "",
        "## Stages",
        "",
        *_stages(evaluation, labelled=labelled),
        "",
        (
            f"Counted on {evaluation['questions']} questions of `{evaluation['data']['file']}`"
            f" (sha256 `{evaluation['data']['sha256'][:12]}`), of which {evaluation['without_words']} hold no word;"
            f" responses matched on {evaluation['calibration']['questions']} calibration questions of"
            f" `{evaluation['calibration']['file']}`, whose labels were not used."
        ),
        *_own_questions(evaluation, training),
        (
            "`agreement` is the share of questions answered as by the float stage; the spiking stage is the core"
            " simulated spike for spike, as the daemon runs it. The figures of Diehl et al. 2016 are those of its"
            " authors, on their own test questions."
        ),
        "",
        "## On the core",
        "",
        *_core(evaluation),
    ]
    if labelled:
        lines += ["", "## Confusion", "", *_confusion(evaluation["confusion"])]
    if training is not None and "cross_validation" in training:
        lines += ["", "## Cross-validation", "", *_cross_validation(training["cross_validation"])]
        training = {k: v for k, v in training.items() if k != "cross_validation"}
    if training is not None:
        lines += ["", "## Training", "", *_facts(training)]
    return "\n".join(lines) + "\n"


def _own_questions(evaluation: Mapping[str, Any], training: Mapping[str, Any] | None) -> list[str]:
    """Warn where the figures are of the questions that the model was made with."""
    if evaluation["data"]["sha256"] != evaluation["calibration"]["sha256"]:
        return []
    line = "These are the calibration questions themselves"
    if training is not None:
        line += (
            ", which the network was trained on: the figures are no estimate for other questions"
        )
        if "cross_validation" in training:
            line += "; those of the cross-validation below are"
    return [f"{line}."]


def _cross_validation(found: Mapping[str, Any]) -> list[str]:
    """Tabulate the figures of networks that were trained, by the same recipe, without what they answered."""
    rows = [
        [stage, f"{f['mean']:.2%}", "" if f["sd"] is None else f"{f['sd']:.2%}"]
        for stage, f in found["stages"].items()
    ]
    return [
        *table(["stage", "accuracy", "sd over seeds"], rows),
        "",
        (
            f"{found['folds']} folds of {found['questions']} questions (seed {found['fold_seed']}), each answered by"
            f" networks trained and published without it by the same recipe; mean over"
            f" {len(found['seeds'])} seeds."
        ),
    ]


def _stages(evaluation: Mapping[str, Any], *, labelled: bool) -> list[str]:
    head = ["stage", "accuracy", "agreement", "Diehl et al. 2016"]
    rows = []
    for stage, figures in evaluation["stages"].items():
        accuracy = f"{figures['accuracy']:.2%}" if labelled else "not labelled"
        paper = f"{PAPER[stage]:.1%}" if stage in PAPER else ""
        rows.append([stage, accuracy, f"{figures['agreement']:.2%}", paper])
    return table(head, rows)


def _core(evaluation: Mapping[str, Any]) -> list[str]:
    network, mean = evaluation["network"], evaluation["per_question"]
    rows = [
        ["lines", f"{network['lines_used']} of 64"],
        ["readout neurons per class", str(network["readout_neurons_per_class"])],
        ["words per question", f"{mean['words']:.1f}"],
        ["ticks per question (1 ms each)", f"{mean['ticks']:.0f}"],
        *[[f"{kind} spikes per question", f"{n:.0f}"] for kind, n in mean["spikes"].items()],
        ["synaptic events per question", f"{mean['synaptic_events']:.0f}"],
        *[[f"estimated power, {m}", f"{p:.2f} uW"] for m, p in mean["power_uw"].items()],
        *[
            [f"estimated energy per question, {m}", f"{e:.2f} uJ"]
            for m, e in mean["energy_uj"].items()
        ],
    ]
    return [
        *table(["", "mean"], rows),
        "",
        "Power and energy are estimates for the chip (methods: docs/power.md), never measurements of the host.",
    ]


def _confusion(confusion: Mapping[str, Any]) -> list[str]:
    labels = confusion["labels"]
    rows = [[label, *map(str, row)] for label, row in zip(labels, confusion["matrix"], strict=True)]
    return table(["truth \\ answer", *labels, "none"], rows)


def _facts(training: Mapping[str, Any], prefix: str = "") -> list[str]:
    """List nested facts as one bullet each."""
    lines = []
    for key, value in training.items():
        if isinstance(value, dict):
            lines += _facts(value, f"{prefix}{key}.")
        else:
            lines.append(f"- {prefix}{key}: {value}")
    return lines


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Write an aligned Markdown table."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [head, ["-" * w for w in widths], *rows]
    return [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in lines
    ]
