"""Put the sections on one page, and write it whole or not at all."""

from __future__ import annotations

import os
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from ..errors import ConvertError
from . import anatomy, costs, results
from .report_data import gather
from .theme import SCHEMES

if TYPE_CHECKING:
    from ...registry import Registry
    from .report_data import ReportData


def write_report(
    reference: str,
    out: Path,
    *,
    registry: Registry,
    question: str | None = None,
    data: Path | None = None,
) -> int:
    """Write the report on a published model.

    Parameters
    ----------
    reference
        The model.
    out
        The page; a file that is there is replaced.
    registry
        Where the model is.
    question, data
        See `gather`.

    Returns
    -------
    int
        Bytes of the page.

    Raises
    ------
    ConvertError, SimcoreError, RegistryError
        The model, the question, the data or the page's place cannot be used; nothing is written.

    """
    if out.is_dir() or not out.parent.is_dir():
        raise ConvertError(f"--out {out}: {'a folder' if out.is_dir() else 'no such folder'}")
    details = registry.show(reference)
    pinned = f"{details.pin.name}@{details.pin.digest}"  # an alias may move in between
    report = gather(registry.load(pinned), details, question=question, data=data)
    page = render(report).encode()
    try:
        _write(out, page)
    except OSError as e:
        raise ConvertError(f"--out {out}: {e.strerror}") from None
    return len(page)


def render(report: ReportData) -> str:
    """Render the page; equal report gives equal text."""
    here = files(__package__ or "")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((here / "page.html").read_text(encoding="utf-8"))
    sections = [
        results.stages(report),
        results.confusion(report),
        results.responses(report),
        anatomy.weights(report),
        anatomy.crossbar(report),
        anatomy.question(report),
        costs.energy(report),
        costs.limits(report),
        costs.provenance(report),
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
    """Replace a file whole."""
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(page)
        Path(name).chmod(0o644)
        Path(name).replace(out)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
