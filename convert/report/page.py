"""Render the report as one HTML page, and write it atomically."""

from __future__ import annotations

import os
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from ..errors import ConvertError
from ..words.question_files import AS_USUAL
from . import core_sections, cost_sections, evaluation_sections, imitation_section
from .report_data import gather
from .theme import SCHEMES

if TYPE_CHECKING:
    from ...registry import Registry
    from ...simcore.question_files import ReadOptions
    from .report_data import ReportData


def write_report(
    reference: str,
    out: Path,
    *,
    registry: Registry,
    question: str | None = None,
    data: Path | None = None,
    reading: ReadOptions = AS_USUAL,
) -> int:
    """Write the report on a published model.

    Parameters
    ----------
    reference
        The model's reference.
    out
        The HTML file; an existing file is replaced.
    registry
        The registry that holds the model.
    question, data, reading
        See `gather`.

    Returns
    -------
    int
        Size of the page, bytes.

    Raises
    ------
    ConvertError, SimcoreError, RegistryError
        If the model, the question, the data or `out` cannot be used; nothing is written then.

    """
    if out.is_dir() or not out.parent.is_dir():
        raise ConvertError(
            f"--out {out}: {'is a folder, expected a file' if out.is_dir() else 'no such folder'}"
        )
    details = registry.show(reference)
    pinned = f"{details.pin.name}@{details.pin.digest}"  # the alias may move between the two reads
    report = gather(registry.load(pinned), details, question=question, data=data, reading=reading)
    page = render(report).encode()
    try:
        _write(out, page)
    except OSError as e:
        raise ConvertError(f"--out {out}: {e.strerror}") from None
    return len(page)


def render(report: ReportData) -> str:
    """Render the page as HTML text; equal data gives equal text."""
    here = files(__package__ or "")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((here / "page.html").read_text(encoding="utf-8"))
    taught = imitation_section.imitation(report)
    sections = [
        *([] if taught is None else [taught]),
        evaluation_sections.stages(report),
        evaluation_sections.confusion(report),
        evaluation_sections.responses(report),
        core_sections.weights(report),
        core_sections.crossbar(report),
        core_sections.question(report),
        cost_sections.energy(report),
        cost_sections.limits(report),
        cost_sections.provenance(report),
    ]
    pin = report.details.pin
    return template.render(
        title=f"{pin.name} {pin.version or pin.digest[:19]}",
        digest=pin.digest,
        description=report.details.annotations.get("org.opencontainers.image.description", ""),
        published=report.details.created,
        labels=report.labels,
        sections=sections,
        schemes=SCHEMES,
        css=(here / "page.css").read_text(encoding="utf-8"),
    )


def _write(out: Path, page: bytes) -> None:
    """Write the page by an atomic rename, so that readers never see half of it."""
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(page)
        Path(name).chmod(0o644)  # mkstemp creates files that only the owner may read
        Path(name).replace(out)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
