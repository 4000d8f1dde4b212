"""Build the sections on the evaluation: stages, confusion, responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from ..evaluation.figures import class_figures
from ..evaluation.model_card import PAPER, own_questions, validation_line, validation_table
from ..evaluation.tables import class_table, confusion_table, response_table, stage_table, unit_line
from .charts import confusion_chart, response_chart, stage_chart, unit_chart
from .parts import Plot, ReportTable, Section

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .report_data import ReportData

Found = TypeVar("Found")

MOST_LABELS: Final = 12
"""Largest number of classes whose confusion matrix is shown as numbers; larger ones are drawn."""

_MOST_CONFUSIONS: Final = 20


def attempt(build: Callable[[], Found], key: str, missing: list[str]) -> Found | None:
    """Call `build`, which reads an `eval.json` of any version; if it fails, add a note to `missing` and return None."""
    try:
        return build()
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        missing.append(f"The model's eval.json has no {key} in a format that this version reads.")
        return None


def stages(report: ReportData) -> Section:
    """Return the section with the ledger: accuracy of every stage, compared with the paper's."""
    first = next(iter(report.stages), "float")
    start = first if first in {"teacher", "student"} else "float network"
    section = Section(name="stages", title=f"From the {start} to the core")
    if not report.stages:
        section.missing.append("The model has no figures of its stages: pass --data FILE.")
        return section
    section.text.append(_counted_on(report))
    training = report.training or {}
    section.text.extend(attempt(lambda: own_questions(report.evaluation, training), "", []) or [])
    validation, means = None, {}
    if "cross_validation" in training:
        found = training["cross_validation"]
        validation = attempt(lambda: _validation(found), "cross-validation", section.missing)
    if validation is not None:
        means = {s: f["mean"] for s, f in training["cross_validation"]["stages"].items()}
    accuracy = {s: f["accuracy"] for s, f in report.stages.items() if f["accuracy"] is not None}
    table = attempt(lambda: _ledger(report.stages, means), "stages", section.missing)
    if table is not None and accuracy:
        caption = (
            "Accuracy from stage to stage. The paper's 85, 78.4 and 74 % are shown at the stages that they belong to;"
            " they are its authors' figures, on their own test questions."
        )
        svg = attempt(lambda: stage_chart(accuracy, means, PAPER), "stages", section.missing)
        if svg is not None:
            section.plots.append(Plot(svg=svg, caption=caption, table=validation))
    elif table is not None:
        section.missing.append(
            "The questions have no labels, so accuracy is unknown: pass --data FILE with labels."
        )
    if table is not None:
        section.tables.append(table)
    return section


def _validation(found: Mapping[str, Any]) -> ReportTable:
    head, rows = validation_table(found)
    caption = f"Cross-validation, for questions that were not trained on: {validation_line(found)}"
    return ReportTable(caption=caption, head=head, rows=rows)


def _counted_on(report: ReportData) -> str:
    """Return a sentence on which questions the figures were counted, as far as known."""
    found = report.evaluation
    data, n, silent = (found.get(key) for key in ("data", "questions", "without_words"))
    if not isinstance(n, int):
        return f"Counted {report.counted}."
    text = f"{n:,} questions"
    if isinstance(data, dict):
        text += f" of {data.get('file')} (SHA-256 {str(data.get('sha256'))[:12]})"
    if isinstance(silent, int):
        text += f", {silent:,} of them without a word"
    return f"{text}, counted {report.counted}."


def _ledger(stages: Mapping[str, Mapping[str, Any]], means: Mapping[str, float]) -> ReportTable:
    head, rows = stage_table({"stages": stages})
    more = [
        [
            f"{means[s]:.1%}" if s in means else "",
            f"{100 * PAPER[s]:.3g}%" if s in PAPER else "",
        ]
        for s in stages
    ]
    columns = ["cross-validated", "Diehl et al. 2016"]
    if not means:
        columns, more = columns[1:], [m[1:] for m in more]
    return ReportTable(
        caption=(
            "The stage ledger. Loss: accuracy lost since the stage before, in points; the last two columns:"
            " share of the questions answered as by the stage before, and as by the first stage."
        ),
        head=[*head, *columns],
        rows=[[*row, *m] for row, m in zip(rows, more, strict=True)],
    )


def confusion(report: ReportData) -> Section:
    """Return the section with the confusion matrix and the figures of each class."""
    section = Section(name="confusion", title="Confusion matrix")
    found = report.evaluation.get("confusion")
    if found is None:
        section.missing.append(
            "The confusion matrix needs questions with labels, but these have none: pass --data FILE"
            " (.tsv, .label or .jsonl with labels)."
        )
        return section
    built = attempt(lambda: _matrix(found), "confusion", section.missing)
    if built is None:
        return section
    plots, tables = built
    section.plots.extend(plots)
    section.tables.extend(tables)
    section.text.append(
        "Rows are the true classes, columns the core's answers; the last column counts questions that"
        f" hold no word. {_counted_on(report)}"
    )
    return section


def _matrix(found: Mapping[str, Any]) -> tuple[list[Plot], list[ReportTable]]:
    labels = found["labels"]
    matrix = np.array(found["matrix"], dtype=np.int64)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    head, rows = class_table({"classes": class_figures(found)})
    classes = ReportTable(
        caption="Precision, recall and support of each class.", head=head, rows=rows
    )
    if len(labels) <= MOST_LABELS:
        head, rows = confusion_table({"confusion": found})
        caption = "Questions of each class by answer; shaded by the share of the class."
        whole = ReportTable(caption=caption, head=head, rows=rows, shades=shares.tolist())
        return [], [whole, classes]
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    names = [*labels, "none"]
    most = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_CONFUSIONS]
    # `most` are flat indices; confusions that never happened are left out.
    places = [divmod(int(n), wrong.shape[1]) for n in most if wrong.flat[n]]
    often = ReportTable(
        caption=f"The {len(places)} most frequent confusions.",
        head=["truth", "answer", "questions"],
        rows=[[labels[i], names[j], str(wrong[i, j])] for i, j in places],
        words=(1,),
    )
    caption = "Share of each true class by answer; the shade is the square root of the share."
    svg = confusion_chart(labels, shares)
    return [Plot(svg=svg, caption=caption, table=often, wide=True)], [classes]


def responses(report: ReportData) -> Section:
    """Return the section with the response curves: spiking against artificial neurons."""
    section = Section(name="responses", title="Artificial and spiking neurons")
    found = report.evaluation.get("responses")
    if found is None:
        section.missing.append(
            "The model has no responses of its units (early versions did not record them, and they are undefined if the"
            " core's units are not those of the integer stage): pass --data FILE to measure them now."
        )
        return section
    built = attempt(lambda: _responses(found), "responses", section.missing)
    if built is not None:
        section.plots.extend(built)
        section.text.append(
            "Both networks run whole questions independently and are compared unit by unit after every word: the"
            " activity 0 to 15 of the integer stage, and the spikes of the core's hidden unit in the same step."
        )
    return section


def _responses(found: Mapping[str, Any]) -> list[Plot]:
    head, rows = response_table(found)
    levels = ReportTable(caption="Spikes by artificial activity.", head=head, rows=rows)
    units = ReportTable(
        caption="Each hidden unit, per step.",
        head=["unit", "activity", "spikes", "mean error", "correlation"],
        rows=[
            [
                str(i),
                *(f"{u[k]:.2f}" for k in ("activity", "spikes", "error")),
                "" if u["correlation"] is None else f"{u['correlation']:.3f}",
            ]
            for i, u in enumerate(found["units"])
        ],
        folded=True,
    )
    caption = f"Response curve over {found['questions']} questions. {unit_line(found)}"
    return [
        Plot(svg=response_chart(found["levels"]), caption=caption, table=levels),
        Plot(
            svg=unit_chart(found["units"]),
            caption="Mean activity and mean spikes of each hidden unit, with its mean absolute error.",
            table=units,
        ),
    ]
