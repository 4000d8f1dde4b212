"""Draw the crossbar: all of it, with its lines and copies, and one corner in readable size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.colors import to_rgb

from ...simcore import limits
from ..network.place import CODEBOOK, COPIES, unit_neurons
from ..network.unplace import is_spread
from .theme import INK, MUTED, SCHEMES, SERIES, draw

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ...simcore import CoreImage

KINDS: Final = ("word to hidden", "hidden to hidden", "gate to readout", "hidden to readout")
"""Kinds of connections, in the order of the colours."""

_SHOWN_LINES: Final = 2
_SHOWN_UNITS: Final = 3


def axon_groups(image: CoreImage, core: int) -> dict[str, tuple[int, int]]:
    """Return the axons of a core's word lines, hidden lines and gate, as (first, last + 1)."""
    coding = image.coding
    line, on, axon = image.inputs.T
    words = 0 if coding is None else coding.word_lines
    gate = -1 if coding is None else coding.gate_line
    groups = {
        "word": axon[(on == core) & (line < words)],
        "hidden": image.target_axon[image.target_core == core],
        "gate": axon[(on == core) & (line == gate)],
    }
    return {n: (int(a.min()), int(a.max()) + 1) for n, a in groups.items() if len(a)}


def neuron_groups(image: CoreImage, core: int) -> dict[str, tuple[int, int]]:
    """Return the neurons of a core's hidden units and readout, as (first, last + 1)."""
    target = image.target_core[core]
    groups = {
        "hidden": np.flatnonzero(target >= 0),
        "readout": np.flatnonzero(target == limits.TARGET_OUTPUT),
    }
    return {n: (int(a.min()), int(a.max()) + 1) for n, a in groups.items() if len(a)}


def crossbar_picture(image: CoreImage, core: int) -> Markup:
    """Draw every synapse of a core, coloured by the kind of connection."""
    synapses = image.synapses()[core]
    rows, columns = axon_groups(image, core), neuron_groups(image, core)
    kinds = _kinds(image, rows, columns)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        # A bitmap cannot follow CSS variables: draw one for each colour scheme, and let CSS show the right one.
        for scheme, colours in SCHEMES.items():
            shown = np.zeros((*synapses.shape, 4))
            shown[..., :3] = np.array([to_rgb(c) for c in colours["series"]])[kinds]
            shown[..., 3] = synapses
            axes.imshow(shown, interpolation="none", gid=f"class-{scheme}-only")
        _brackets(axes, rows, columns, image, core)
        for i, kind in enumerate(KINDS):
            if (synapses & (kinds == i)).any():
                axes.plot([], [], "s", color=SERIES[i], label=kind)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.03), ncols=4, handletextpad=0.2)

    description = (
        f"{int(synapses.sum()):,} of {synapses.size:,} synapses are set. Axons from the top: "
        + ", ".join(f"{n} {a} to {b - 1}" for n, (a, b) in rows.items())
        + ". Neurons from the left: "
        + ", ".join(f"{n} {a} to {b - 1}" for n, (a, b) in columns.items())
        + "."
    )
    return draw(f"crossbar-{core}", f"Crossbar of core {core}", description, paint, size=(7.2, 7.2))


def _kinds(
    image: CoreImage, rows: dict[str, tuple[int, int]], columns: dict[str, tuple[int, int]]
) -> NDArray[np.intp]:
    """Return the kind of connection of each crosspoint: intp (axons, neurons), an index into KINDS."""
    kinds = np.full((limits.AXONS, limits.NEURONS), KINDS.index("hidden to readout"))
    for kind, name in enumerate(("word", "hidden", "gate")):
        kinds[slice(*rows.get(name, (0, 0)))] = kind
    # With the head on the host, hidden neurons themselves leave the core: there is no readout on it.
    if image.head is None and "hidden" in rows and "readout" in columns:
        kinds[slice(*rows["hidden"]), slice(*columns["readout"])] = len(KINDS) - 1
    return kinds


def _brackets(
    axes: Axes,
    rows: dict[str, tuple[int, int]],
    columns: dict[str, tuple[int, int]],
    image: CoreImage,
    core: int,
) -> None:
    """Label the groups along the left and top edges, with a tick for every line and every unit."""
    axes.set(xlim=(-0.5, limits.NEURONS - 0.5), ylim=(limits.AXONS - 0.5, -0.5))
    axes.spines[["top", "right"]].set_visible(True)
    for spine in axes.spines.values():
        spine.set_linewidth(0.6)
    counts = {"word": "word lines", "hidden": "hidden lines", "gate": "gate"}
    marks: list[float] = []
    for name, (a, b) in rows.items():
        lines = (b - a) // COPIES
        label = counts[name] if name == "gate" else f"{lines} {counts[name]}\nx {COPIES} axons"
        axes.plot([-7, -7], [a, b - 1], color=INK, linewidth=1.2, clip_on=False)
        axes.text(-11, (a + b - 1) / 2, label, ha="right", va="center", rotation=0)
        axes.axhline(b - 0.5, color=MUTED, linewidth=0.5, linestyle=":")
        marks += [n - 0.5 for n in range(a, b + 1, COPIES)]
    axes.set_yticks([], [])
    axes.set_yticks(marks, minor=True)
    marks = []
    for name, (a, b) in columns.items():
        label, step = _of_columns(name, b - a, image, core)
        axes.plot([a, b - 1], [-7, -7], color=INK, linewidth=1.2, clip_on=False)
        axes.text((a + b - 1) / 2, -10, label, ha="center", va="bottom")
        axes.axvline(b - 0.5, color=MUTED, linewidth=0.5, linestyle=":")
        marks += [n - 0.5 for n in range(a, b + 1, step)]
    axes.set_xticks([], [])
    axes.set_xticks(marks, minor=True)
    axes.tick_params(which="minor", top=True, bottom=False, length=3, width=0.5)


def _of_columns(name: str, neurons: int, image: CoreImage, core: int) -> tuple[str, int]:
    """Return the label of a group of neurons, and how many neurons make one unit."""
    if name == "hidden":
        units = len(unit_neurons(image, core))
        each = f"\nx {COPIES} copies" if neurons == COPIES * units else f",\n{neurons} copies"
        return f"{units} hidden units{each}", COPIES
    if image.head is not None:
        which = "last" if is_spread(image) else "fifth"
        return f"{which} copies\n(to the host)", 1
    lines = len(np.unique(image.target_axon[core][image.target_core[core] == limits.TARGET_OUTPUT]))
    return f"readout: {lines} classes\nx {neurons // lines} neurons", max(1, neurons // lines)


def corner(image: CoreImage, core: int) -> tuple[Markup, list[str], list[list[str]]]:
    """Draw the crossbar bits of a core's first lines and units.

    Returns
    -------
    picture, head, rows
        The drawing, and its weights as a table with a row for each line and a column for each unit.

    Raises
    ------
    ConstraintError
        If the core's hidden units do not have four neurons each.

    """
    groups = axon_groups(image, core)
    units = unit_neurons(image, core)[:_SHOWN_UNITS]
    lines = [
        (f"{name} line {i}", a + COPIES * i)
        for name, (a, b) in groups.items()
        for i in range(min(_SHOWN_LINES, (b - a) // COPIES))
        if name != "gate"
    ]
    # A line's four axons and a unit's four neurons are adjacent (see network/place.py).
    axons = np.array([a + k for _, a in lines for k in range(COPIES)])
    neurons = np.array([u + k for u in units for k in range(COPIES)])
    bits = image.synapses()[core][np.ix_(axons, neurons)]
    levels = bits[:, ::COPIES].reshape(len(lines), COPIES, -1)
    levels = np.tensordot(levels.astype(np.int64), CODEBOOK, axes=(1, 0))

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        _cells(axes, bits, [name.startswith("word") for name, _ in lines])
        weights = [f"{w:+d} g" for w in CODEBOOK] * len(lines)
        axes.set_yticks(range(len(axons)), weights, fontsize=7)
        axes.set_xticks(range(len(neurons)), [str(n) for n in neurons], fontsize=7)
        axes.set_xlabel("neuron")
        for i, (name, _) in enumerate(lines):
            text = name.replace(" line", "\nline")
            axes.text(-3.4, COPIES * i + 1.5, text, ha="right", va="center")
        for i in range(len(units)):
            axes.text(COPIES * i + 1.5, -0.9, f"unit {i}", ha="center", va="bottom")

    head = ["weight level", *(f"unit {i}" for i in range(len(units)))]
    rows = [[name, *(f"{v:+d}" for v in row)] for (name, _), row in zip(lines, levels, strict=True)]
    description = (
        f"Synapses of {len(lines)} lines, four axons each, with {len(units)} hidden units, four equal neurons each;"
        " the bits that are set add up to the weight levels in the table."
    )
    name = f"corner-{core}"
    return (
        draw(name, "Lines and copies, bit by bit", description, paint, size=(4.8, 4.6)),
        head,
        rows,
    )


def _cells(axes: Axes, bits: NDArray[Any], from_words: list[bool]) -> None:
    """Draw set bits as squares, and a frame around the bits of each line and unit."""
    row, column = np.nonzero(bits)
    for words, colour in ((True, SERIES[0]), (False, SERIES[1])):
        own = np.array([from_words[r // COPIES] == words for r in row], dtype=np.bool_)
        axes.plot(column[own], row[own], "s", color=colour, markersize=8, alpha=0.85)
    axes.set(xlim=(-0.5, bits.shape[1] - 0.5), ylim=(bits.shape[0] - 0.5, -0.5))
    axes.set_aspect("equal")
    axes.spines[["top", "right"]].set_visible(True)
    axes.tick_params(length=0)
    for n in range(COPIES, bits.shape[0], COPIES):
        axes.axhline(n - 0.5, color=MUTED, linewidth=0.8)
    for n in range(COPIES, bits.shape[1], COPIES):
        axes.axvline(n - 0.5, color=MUTED, linewidth=0.8)
