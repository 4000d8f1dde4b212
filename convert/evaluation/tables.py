"""Format the figures of an evaluation as text tables, for the terminal, the model card and the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from ...simcore.power import METHODS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TextIO

    from .explain import Explanation

Rows = tuple[list[str], list[list[str]]]
"""Column heads, and the rows of cells."""

MOST_CLASSES: Final = 8
"""Largest number of classes that get a column each in a table of evidence; of more, the best three are named."""

WIDTH: Final = 10_000
"""Console width for rich, in columns: so large that tables take the width they need and no cell is cut."""


def stage_table(evaluation: Mapping[str, Any]) -> Rows:
    """Return accuracy, loss and agreement of each stage as a table."""
    head = ["stage", "accuracy", "loss", "as before", f"as {next(iter(evaluation['stages']))}"]
    rows = [
        [
            stage,
            _percent(f["accuracy"]),
            "" if f["loss"] is None else f"{100 * f['loss']:+.2f}",
            _percent(f["agreement_before"]),
            _percent(f["agreement"]),
        ]
        for stage, f in evaluation["stages"].items()
    ]
    return head, rows


def class_table(evaluation: Mapping[str, Any]) -> Rows:
    """Return precision, recall and support of each class as a table."""
    rows = [
        [label, _percent(f["precision"]), _percent(f["recall"]), str(f["support"])]
        for label, f in evaluation["classes"].items()
    ]
    return ["class", "precision", "recall", "support"], rows


def confusion_table(evaluation: Mapping[str, Any]) -> Rows:
    """Return the confusion matrix as a table: true classes in rows, answers in columns."""
    confusion = evaluation["confusion"]
    labels = confusion["labels"]
    rows = [[label, *map(str, row)] for label, row in zip(labels, confusion["matrix"], strict=True)]
    return ["truth \\ answer", *labels, "none"], rows


def question_table(evaluation: Mapping[str, Any]) -> Rows:
    """Return the mean words, ticks, spikes, events, power and energy of a question as a table."""
    mean = evaluation["per_question"]
    rows = [
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
    cores = mean["cores"]
    return [f"on {cores} core{'s' * (cores > 1)}", "mean"], rows


def cores_title(tried: Sequence[Mapping[str, Any]]) -> str:
    """Return what `cores_table` shows."""
    return f"Numbers of cores, on {tried[0]['questions']} questions that only chose between them"


def cores_table(tried: Sequence[Mapping[str, Any]]) -> Rows:
    """Return what students on different numbers of cores do with a question as a table."""
    methods = list(tried[0]["energy_uj"])
    rows = [
        [
            str(t["cores"]),
            _percent(t["agreement"]),
            f"{t['ticks']:.0f}",
            *[f"{t['energy_uj'][m]:.2f} uJ" for m in methods],
        ]
        for t in tried
    ]
    return ["cores", "as teacher", "ticks", *[f"energy, {m}" for m in methods]], rows


def use_table(evaluation: Mapping[str, Any]) -> Rows:
    """Return the use of each limit as a table."""
    rows = [
        [what, f"{use['used']:,}", f"{use['limit']:,}", f"{100 * use['used'] / use['limit']:.3g}%"]
        for what, use in evaluation["utilisation"].items()
    ]
    return ["limit", "used", "of", "share"], rows


def response_table(found: Mapping[str, Any]) -> Rows:
    """Return mean and deviation of the spike count for each artificial activity as a table."""
    rows = [
        [
            str(level["activity"]),
            f"{level['spikes']:.2f}",
            f"{level['deviation']:.2f}",
            f"{level['samples']:,}",
        ]
        for level in found["levels"]
    ]
    return ["activity", "spikes, mean", "deviation", "samples"], rows


def unit_line(found: Mapping[str, Any]) -> str:
    """Return one sentence on errors and correlations of the hidden units; part of the model card."""
    errors = np.array([unit["error"] for unit in found["units"]])
    related = [unit["correlation"] for unit in found["units"] if unit["correlation"] is not None]
    middle = f"{np.median(related):.3f}, least {min(related):.3f}" if related else "none"
    return (
        f"Over {len(errors)} hidden units: mean absolute error {errors.mean():.2f} spikes in a step"
        f" (largest {errors.max():.2f}); correlation, median {middle}."
    )


def head_line(evaluation: Mapping[str, Any]) -> str:
    """Return one sentence on where the answer is computed; part of the model card."""
    if evaluation["head"] == "core":
        return "Readout: neurons of the core."
    return (
        "Readout: the host weighs the spikes of the core's hidden units; what that takes is not in ticks, power and"
        " energy, which are the chip's."
    )


def show(evaluation: Mapping[str, Any], file: TextIO | None = None) -> None:
    """Print an evaluation: stages, classes, responses, cost per question and use of the limits.

    Parameters
    ----------
    evaluation
        The content of `eval.json`.
    file
        Stream to print to; None: standard output.

    """
    console = Console(file=file, highlight=False, width=WIDTH)
    by_recurrence = evaluation["float_by_recurrence"]
    console.print(
        f"{evaluation['questions']} questions, {evaluation['without_words']} without a word"
        + (
            f", {by_recurrence} of a length that the model file does not accept"
            if by_recurrence
            else ""
        )
    )
    console.print(head_line(evaluation))
    parts = {"Stages": stage_table(evaluation)}
    tried = evaluation.get("teacher", {}).get("cores_tried")
    if tried:
        parts[cores_title(tried)] = cores_table(tried)
    if evaluation["classes"] is not None:
        parts["Classes"] = class_table(evaluation)
        parts["Confusion"] = confusion_table(evaluation)
    if evaluation["responses"] is not None:
        parts["Responses of the hidden units"] = response_table(evaluation["responses"])
    parts["Per question"] = question_table(evaluation)
    parts["Use of the limits"] = use_table(evaluation)
    for title, (head, rows) in parts.items():
        shown = Table(title=title, title_justify="left", caption_justify="left")
        if head[0] == "activity":
            shown.caption = unit_line(evaluation["responses"])
        for i, name in enumerate(head):
            shown.add_column(name, justify="right" if i else "left", no_wrap=True)
        for row in rows:
            shown.add_row(*row)
        console.print(shown)


def step_table(found: Explanation) -> Rows:
    """Return a question's steps as a table: codes, spikes, and the evidence for all classes or for the best three."""
    course, labels = found.course, found.labels
    classes = list(labels) if len(labels) <= MOST_CLASSES else ["most evidence"]
    head = ["step", "word", "code", "input", "hidden", "output", "events", *classes, "label"]
    rows = []
    for s, spikes in enumerate(course.spikes.tolist()):
        counts = [f"{n:,}" for n in (*spikes, int(course.synaptic_events[s]))]
        code, evidence, label = "", [""] * len(classes), ""
        if s < len(course.order):
            code = activities(course.codes[s].tolist())
            scores = course.evidence[s]
            best = np.argsort(
                -scores, kind="stable"
            ).tolist()  # stable: of equal scores, the first class wins
            evidence = [f"{n:,}" for n in scores.tolist()]
            if len(labels) > MOST_CLASSES:
                evidence = [", ".join(f"{labels[c]} {scores[c]:,}" for c in best[:3])]
            label = labels[best[0]]
        rows.append([str(s + 1), found.heading(s), code, *counts, *evidence, label])
    return head, rows


def activities(code: list[int]) -> str:
    """Format a code as one hexadecimal digit per line; as decimal numbers if an activity exceeds 15."""
    if max(code, default=0) > 15:
        return " ".join(map(str, code))
    return "".join(f"{a:x}" for a in code)


def show_explanation(found: Explanation, file: TextIO | None = None) -> None:
    """Print what the core does with a question.

    Parameters
    ----------
    found
        The question's run.
    file
        Stream to print to; None: standard output.

    """
    console = Console(file=file, highlight=False, markup=False, emoji=False, width=WIDTH)
    head, rows = step_table(found)
    shown = Table(title="Word by word, as the core reads them", title_justify="left")
    for i, name in enumerate(head):
        left = name in {"word", "code", "label", "most evidence"} or i == 0
        shown.add_column(name, justify="left" if left else "right", no_wrap=True)
    for row in rows:
        shown.add_row(*row)
    console.print(shown)
    coding = found.image.coding
    if coding is not None and coding.direction == "reverse":
        console.print("The network reads from the last word to the first.")
    course = found.course
    sent = course.spikes.sum(axis=0).tolist()
    console.print(f"label            {found.labels[found.label]}")
    console.print(f"words            {len(found.tokens)}")
    console.print(f"chip time        {len(course.lines)} ticks of 1 ms")
    console.print(f"spikes           {sent[0]:,} input, {sent[1]:,} hidden, {sent[2]:,} output")
    console.print(f"synaptic events  {int(course.synaptic_events.sum()):,}")
    energy = found.energy.energy_uj
    for method, power in found.energy.power_uw.items():
        console.print(
            f"estimated energy {energy[method]:.3f} uJ at {power:.2f} uW ({METHODS[method]})"
        )


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of an aligned Markdown table."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [head, ["-" * w for w in widths], *rows]
    return [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in lines
    ]
