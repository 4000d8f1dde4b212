"""Build the section on what a student imitates: its teacher, how often it agrees, and how its shape was chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..evaluation.tables import cores_table, cores_title
from .evaluation_sections import attempt
from .parts import ReportTable, Section

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...registry import Teacher
    from .report_data import ReportData


def imitation(report: ReportData) -> Section | None:
    """Return the section on a student's teacher; None if the model is no student."""
    teacher, found = report.details.teacher, report.evaluation.get("teacher")
    if teacher is None or not isinstance(found, dict):
        return None
    section = Section(name="imitation", title="The teacher")
    section.text.append(
        f"This network was taught to answer as {teacher.file} does, a network of another kind. It learned from that"
        " file's answers to questions and to variations of them."
    )
    build = {"facts of its teaching": _facts, "trials": _trials}
    if "cores_tried" in found:
        build["numbers of cores"] = _cores
    for key, each in build.items():
        table = attempt(lambda each=each: each(teacher, found), key, section.missing)  # type: ignore[misc] # bound now
        if table is not None:
            section.tables.append(table)
    return section


def _facts(teacher: Teacher, found: Mapping[str, Any]) -> ReportTable:
    kept = "no: only its name and digest are" if teacher.kept is None else f"yes, as {teacher.kept}"
    lengths = f"{found['shortest']:,} or more"
    if found["longest"] is not None:
        lengths = f"{found['shortest']:,} to {found['longest']:,}"
    rows = [
        ["file", teacher.file],
        ["digest", teacher.digest],
        ["in this version", kept],
        ["output used", found["output"]],
        ["words that it takes", lengths],
        ["questions taught", f"{found['questions'] + found['more']:,}"],
        ["questions held out", f"{found['held_out']:,}"],
        ["of these, answered as by the teacher", f"{found['held_out_agreement']:.1%}"],
        ["shape", _shape(found["shape"])],
    ]
    caption = "The teacher, and the student's agreement with it on questions that taught and chose nothing."
    return ReportTable(caption=caption, head=["", ""], rows=rows, words=(1,), long=(1,))


def _trials(_: Teacher, found: Mapping[str, Any]) -> ReportTable:
    rows = [[_shape(t), f"{t['agreement']:.1%}"] for t in found["trials"]]
    agreed = [float(t["agreement"]) for t in found["trials"]]
    caption = "Short trainings that chose the shape, each judged by questions that it did not see."
    return ReportTable(
        caption=caption, head=["shape", "as the teacher"], rows=rows, bars=agreed, words=(0,)
    )


def _cores(_: Teacher, found: Mapping[str, Any]) -> ReportTable:
    tried = found["cores_tried"]
    head, rows = cores_table(tried)
    caption = f"{cores_title(tried)}. The fewest within half a point of the best were taken."
    return ReportTable(caption=caption, head=head, rows=rows)


def _shape(found: Mapping[str, Any]) -> str:
    reading = {"forward": "from the first word", "reverse": "from the last word"}
    return (
        f"{found['n_in']} input lines, {found['n_hidden']} hidden units, {found['readout']} of the states,"
        f" read {reading.get(found['direction'], found['direction'])}"
    )
