"""Build the sections on cost and origin: energy, limits, provenance."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from ...simcore.power import METHODS, SOURCES, estimate
from ..evaluation.model_card import facts
from ..evaluation.tables import head_line, use_table
from .charts import energy_chart
from .evaluation_sections import attempt
from .parts import Plot, ReportTable, Section

if TYPE_CHECKING:
    from .report_data import ReportData

_NAMES = {"paper": "method A", "static_marginal": "method B"}


def energy(report: ReportData) -> Section:
    """Return the section with the energy of a question, estimated by both methods."""
    section = Section(name="energy", title="Energy of a question")
    section.text.append(
        "Estimates for a TrueNorth chip, never measurements of the machine that simulates it."
        f" {head_line(report.evaluation)}"
    )
    taken: dict[str, tuple[int, float, float]] = {}
    mean = report.evaluation.get("per_question")
    if mean is not None:
        built = attempt(lambda: _mean(mean), "per_question", section.missing)
        if built is not None:
            taken["mean question"] = (report.image.cores, *built)
    else:
        section.missing.append("The model has no mean figures per question: pass --data FILE.")
    found = report.explanation
    if found is not None:
        own = float(found.course.synaptic_events.sum())
        taken["this question"] = (found.image.cores, len(found.course.lines), own)
    if not taken:
        return section
    chart: dict[str, tuple[float, float]] = {}
    rows = []
    for name, (cores, ticks, events) in taken.items():
        whole = estimate(cores=cores, ticks=ticks, synaptic_events=events)
        still = estimate(cores=cores, ticks=ticks, synaptic_events=0)
        for method, uj in whole.energy_uj.items():
            at_rest = still.energy_uj[method]
            chart[f"{name},\n{_NAMES[method]}"] = (at_rest, uj - at_rest)
            power = f"{whole.power_uw[method]:.2f}"
            size = [f"{ticks:,.0f}", f"{events:,.0f}"]
            rows.append([f"{name}, {_NAMES[method]}", *size, power, f"{uj:.3f}"])
    section.plots.append(
        Plot(
            svg=energy_chart(chart),
            caption="Energy by both methods, and the part of it that synaptic events cause.",
            table=ReportTable(
                caption="The same in numbers.",
                head=["of", "ticks", "events", "uW", "uJ"],
                rows=rows,
            ),
        )
    )
    section.tables.append(
        ReportTable(
            caption="The methods and where their constants come from.",
            head=["method", "power", "source"],
            rows=[[f"{_NAMES[m]} ({m})", text, SOURCES[m]] for m, text in METHODS.items()],
            words=(1, 2),
        )
    )
    return section


def _mean(found: Any) -> tuple[float, float]:
    """Return the mean ticks and synaptic events of a question, from `eval.json`."""
    return float(found["ticks"]), float(found["synaptic_events"])


def limits(report: ReportData) -> Section:
    """Return the section with the use of every limit."""
    head, rows = use_table(report.evaluation)
    use = report.evaluation["utilisation"].values()
    return Section(
        name="limits",
        title="Use of the hardware's limits",
        text=[
            "Every limit of the chip, and the method's own (lines and levels), for the fullest core and the largest"
            " value; counted from the core image for this report."
        ],
        tables=[
            ReportTable(
                caption="How much of each limit is used.",
                head=head,
                rows=rows,
                bars=[u["used"] / u["limit"] for u in use],
            )
        ],
    )


def provenance(report: ReportData) -> Section:
    """Return the section with digests and origin of the model."""
    details, evaluation = report.details, report.evaluation
    description = details.annotations.get("org.opencontainers.image.description", "")
    known = [
        ["model", details.pin.name],
        ["version", details.pin.version or "none: the digest alone"],
        ["manifest", details.pin.digest],
        ["published", details.created],
        ["description", description],
        *([f"config.{name}", value] for name, value in facts(details.config)),
        *_data("figures", evaluation.get("data")),
        *_data("calibration", evaluation.get("calibration")),
        ["report by", f"spikewatch {version('spikewatch')}"],
    ]
    layers = [[layer.path, f"{layer.size:,}", layer.digest] for layer in details.layers]
    section = Section(
        name="provenance",
        title="Provenance and digests",
        text=[
            "The manifest's digest covers the layers' digests, which cover every byte; all were verified when the model"
            " was loaded for this report."
        ],
        tables=[
            ReportTable(caption="Where it comes from.", head=["", ""], rows=known, long=(1,)),
            ReportTable(
                caption="Layers.", head=["file", "bytes", "SHA-256 digest"], rows=layers, long=(2,)
            ),
        ],
    )
    network = evaluation.get("network")
    if isinstance(network, dict):
        rows = [[name, value] for name, value in facts(network)]
        section.tables.append(
            ReportTable(caption="The network.", head=["", ""], rows=rows, long=(1,), folded=True)
        )
    if report.training is None:
        section.missing.append("The model has no training.json: how it was trained is unknown.")
    else:
        own = {k: v for k, v in report.training.items() if k != "cross_validation"}
        rows = [[name, value] for name, value in facts(own)]
        section.tables.append(
            ReportTable(
                caption="Training, from training.json.",
                head=["", ""],
                rows=rows,
                long=(1,),
                folded=True,
            )
        )
    return section


def _data(what: str, found: Any) -> list[list[str]]:
    """Return a table row with name and digest of a file of questions, if `eval.json` has them."""
    if not isinstance(found, dict):
        return []
    return [[f"{what}, questions of", f"{found.get('file')}, sha256:{found.get('sha256')}"]]
