"""Write out what `spikewatch-sim inspect` and `run` found, as text for people and as JSON objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .. import limits
from ..power import estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..chip.outcome import Outcome
    from ..exchange.formats import Network
    from .inspection import Inspection

_LINES_SHOWN: Final = 32
"""Most output lines whose spikes the text of a run lists."""


def inspection_text(network: Network, found: Inspection) -> str:
    """Return an inspection as text: counts, coding, head, and the use of each limit of the chip."""
    cells = found.cores * limits.NEURONS
    lines = [
        f"format          {network.format}",
        f"cores           {found.cores}",
        f"axons used      {found.axons} of {cells}",
        f"neurons used    {found.neurons} of {cells}",
        f"  copies        {found.copies}",
        f"  stochastic    {found.stochastic}",
        f"synapses        {found.synapses} of {cells * limits.AXONS}",
        f"input lines     {found.input_lines}",
        f"output lines    {found.output_lines}",
    ]
    coding = network.image.coding
    if coding is not None:
        lines.append(
            f"coding          {coding.ticks_per_step} ticks per step, {coding.word_lines} word lines,"
            f" read {coding.direction},\n{'':16}drain steps {coding.drain_steps}, gate line {coding.gate_line},"
            f" reads the {coding.readout}"
        )
    if network.image.head is not None:
        lines.append(f"head            on the host, {network.image.classes} classes")
    lines.append("\nlargest                         used    limit        %")
    lines += [f"{use.what:24}{use.used:12}{use.limit:9}{use.percent:9.1f}" for use in found.use]
    return "\n".join(lines)


def run_report(network: Network, outcome: Outcome) -> dict[str, Any]:
    """Return the figures of one run as a JSON object: spikes, synaptic events, output by line, estimated energy."""
    ticks = 0 if network.spikes is None else len(network.spikes)
    # an outcome of one run: row 0 is all of it
    events = int(outcome.synaptic_events[0])
    counts = outcome.counts[0]
    energy = estimate(cores=network.image.cores, ticks=ticks, synaptic_events=events)
    return {
        "ticks": ticks,
        "spikes": dict(zip(("input", "hidden", "output"), outcome.spikes[0].tolist(), strict=True)),
        "synaptic_events": events,
        "output_lines": {str(n): int(counts[n]) for n in np.nonzero(counts)[0]},
        "power_uw": energy.power_uw,
        "energy_uj": energy.energy_uj,
    }


def run_text(report: dict[str, Any]) -> str:
    """Return a run's report as text, with the membrane traces and the comparison that it may have."""
    spikes = report["spikes"]
    lines = [
        f"{report['ticks']} ticks, spikes {spikes['input']} input, {spikes['hidden']} hidden,"
        f" {spikes['output']} output, {report['synaptic_events']} synaptic events"
    ]
    lines += [
        f"estimated for the chip ({method}): {power:.2f} uW, {report['energy_uj'][method]:.3f} uJ"
        for method, power in report["power_uw"].items()
    ]
    if report["output_lines"]:
        shown = [f"{line}:{n}" for line, n in report["output_lines"].items()]
        rest = len(shown) - _LINES_SHOWN
        more = f" and {rest} more lines" if rest > 0 else ""
        lines.append(f"output spikes by line: {' '.join(shown[:_LINES_SHOWN])}{more}")
    if "trace" in report:
        names = list(report["trace"])
        lines.append("tick " + " ".join(f"{name:>9}" for name in names))
        columns = zip(*report["trace"].values(), strict=True)
        lines += [f"{t:4} " + " ".join(f"{v:9}" for v in row) for t, row in enumerate(columns)]
    if "difference" in report:
        found = report["difference"]
        lines.append(
            "equal to the file's output"
            if found is None
            else f"first difference: tick {found['tick']}, line {found['line']}:"
            f" {found['here']} here, {found['file']} in the file"
        )
    return "\n".join(lines)


def first_difference(network: Network, raster: NDArray[Any]) -> dict[str, int] | None:
    """Return the first output spike that differs from the file's, as a JSON object; None where all are equal."""
    expected = network.expected
    if expected is None:
        return None
    # RANC's bus shows at most one spike for each line and tick, however many neurons share the line.
    here = np.minimum(raster[: len(expected)], 1)
    different = np.argwhere(here != expected)
    if not len(different):
        return None
    tick, line = different[0].tolist()
    return {
        "tick": tick,
        "line": line,
        "here": int(here[tick, line]),
        "file": int(expected[tick, line]),
    }
