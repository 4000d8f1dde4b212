"""Build the sections on the core itself: weight levels, crossbar, and the run of one question."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...simcore import limits
from ..evaluation.tables import step_table
from ..network.constrained import LEVEL_MAX, LEVEL_MIN
from ..network.place import CODEBOOK, COPIES
from ..network.unplace import is_spread
from .charts import weight_chart
from .crossbar import axon_groups, corner, crossbar_picture
from .parts import Plot, ReportTable, Section
from .raster import MOST_STEPS, question_raster

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...simcore import CoreImage
    from ..network.constrained import ConstrainedNetwork
    from .report_data import ReportData

_NOT_PLACED = (
    "spikewatch-convert did not place this core: its hidden units do not have four neurons each."
)


def weights(report: ReportData) -> Section:
    """Return the section with the histogram of the weight levels."""
    section = Section(name="weights", title="Weight levels")
    placed = report.placed
    if placed is None:
        section.missing.append(_NOT_PLACED)
        return section
    levels = list(range(LEVEL_MIN, LEVEL_MAX + 1))
    counts = {
        name: [int((values == level).sum()) for level in levels]
        for name, values in _levels(report.image, placed).items()
    }
    total = np.sum(list(counts.values()), axis=0)
    rows = [
        [f"{level:+d}", *(str(v[i]) for v in counts.values()), str(total[i])]
        for i, level in enumerate(levels)
    ]
    used = int((total > 0).sum())
    section.text.append(
        "At every neuron, a line's four axons have the weights g * (-8, 4, 2, 1), where g depends on the neuron, so"
        f" the crossbar's bits select one of 16 levels for each weight. {int(total.sum()):,} weights use {used} of the"
        " 16 levels; the four copies of a unit count once."
    )
    section.plots.append(
        Plot(
            svg=weight_chart(counts, levels),
            caption="Histogram of the 16 weight levels, read from the crossbar.",
            table=ReportTable(
                caption="Weights on each level.", head=["level", *counts, "all"], rows=rows
            ),
        )
    )
    return section


def _levels(image: CoreImage, placed: ConstrainedNetwork) -> dict[str, NDArray[np.int64]]:
    """Return the levels of all weights that may differ from 0, by the kind of connection."""
    joined = np.broadcast_to(placed.connected(), placed.levels.shape)
    words = np.arange(placed.levels.shape[1]) < placed.n_in
    levels = placed.levels.astype(np.int64)
    found = {
        "words": levels[:, words][joined[:, words]],
        "recurrence": levels[:, ~words][joined[:, ~words]],
    }
    if image.head is None:
        found["readout"] = np.concatenate([_readout(image, c) for c in range(image.cores)])
    return found


def _readout(image: CoreImage, core: int) -> NDArray[np.int64]:
    """Return the levels of the readout, read from one neuron of each class; the readout's codebook is negated."""
    at = np.flatnonzero(image.target_core[core] == limits.TARGET_OUTPUT)
    _, first = np.unique(image.target_axon[core, at], return_index=True)
    a, b = axon_groups(image, core)["hidden"]
    bits = image.synapses()[core][a:b, at[first]].astype(np.int64)
    levels = -np.tensordot(bits.reshape(-1, COPIES, len(first)), CODEBOOK, axes=(1, 0))
    if is_spread(image):  # a unit is read out on one of the cores that have its line
        levels = levels[levels.any(axis=1)]
    return levels.ravel()


def crossbar(report: ReportData) -> Section:
    """Return the section with a picture of each core's crossbar."""
    section = Section(name="crossbar", title="The crossbar")
    image = report.image
    if report.placed is None:
        section.missing.append(_NOT_PLACED)
        return section
    last = "the readout neurons of a class" if image.head is None else "their fifth copies"
    copies = "four copies"
    if is_spread(image):
        copies += " for each core that has their line"
        last = "the readout neurons of a class" if image.head is None else "their last copies"
    for core in range(image.cores):
        number = f" of core {core}" if image.cores > 1 else ""
        section.plots.append(
            Plot(
                svg=crossbar_picture(image, core),
                caption=(
                    f"Crossbar{number}: 256 axons from top to bottom, 256 neurons from left to right; each dot is a"
                    " synapse. Ticks at the left mark lines of four axons, ticks at the top hidden units of"
                    f" {copies} and {last}."
                ),
                wide=True,
            )
        )
    svg, head, rows = corner(image, 0)
    section.plots.append(
        Plot(
            svg=svg,
            caption=(
                "The first lines and units, bit by bit. A neuron has one target axon, so a hidden unit is four equal"
                " neurons, one for each axon of its line; a weight is the sum of g * (-8, 4, 2, 1) over the set bits."
            ),
            table=ReportTable(caption="The same weights as levels.", head=head, rows=rows),
        )
    )
    return section


def question(report: ReportData) -> Section:
    """Return the section with the spike raster of one question."""
    section = Section(name="question", title="One question, word by word")
    found = report.explanation
    if found is None:
        section.missing.append(report.unanswered)
        return section
    coding = found.image.coding
    order = ""
    if coding is not None and coding.direction == "reverse":
        order = " The network reads from the last word to the first."
    if found.bidirectional:
        order = " In every step the network reads one word from each end."
    sent = found.course.spikes.sum(axis=0).tolist()
    each = "once for each of its copies" if is_spread(found.image) else "four times"
    section.text.append(
        f"“{found.question}” is answered {found.labels[found.label]}: {len(found.tokens)} words,"
        f" {len(found.course.lines)} ticks, {sent[0]:,} spikes onto axons from outside, {sent[1]:,} between"
        f" neurons (each hidden unit counts {each}), {sent[2]:,} leaving the core,"
        f" {int(found.course.synaptic_events.sum()):,} synaptic events.{order}"
    )
    cut = ""
    if len(found.course.spikes) > MOST_STEPS:
        cut = f" Only the last {MOST_STEPS} of {len(found.course.spikes)} steps are drawn."
    head, rows = step_table(found)
    section.plots.append(
        Plot(
            svg=question_raster(found),
            caption=(
                "Every spike of the word lines, the hidden units (one of their copies) and the readout. Below:"
                " the score of the classes if the question ended at each word; the evidence grows with every word"
                f" read.{cut}"
            ),
            table=ReportTable(
                caption=(
                    "The same in numbers. A code is one hexadecimal digit 0 to f for each word line; the classes'"
                    " columns hold their scores if the question ended at that word."
                ),
                head=head,
                rows=rows,
                words=(1, 2, len(head) - 1),
                folded=len(rows) > MOST_STEPS,
            ),
            wide=True,
        )
    )
    return section
