"""Draw the spike raster of one question, word by word, above the evidence for each class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from .theme import GRID, MUTED, SERIES, draw

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ...simcore import CoreImage
    from ..evaluation.explain import Explanation

MOST_STEPS: Final = 32
"""Largest number of steps drawn, counted from the end: more are unreadable and make the page large."""

_LOW: Final = 12
"""Number of rows below which the label of a group does not fit on three lines."""

_MOST_NAMES: Final = 12
"""Largest number of classes whose names are drawn at the readout's neurons."""

_PLAIN_WORDS: Final = 9
"""Largest number of words that are written horizontally above the raster."""


def question_raster(found: Explanation) -> Markup:
    """Draw the spikes of word lines, hidden units and readout in every step, and the evidence below them."""
    course, T = found.course, found.ticks_per_step
    steps = len(course.spikes)
    first = max(0, steps - MOST_STEPS)
    groups = _groups(found)
    rows = sum(spikes.shape[1] for _, spikes, _ in groups)
    height = float(np.clip(0.042 * rows, 2.2, 7))

    def paint(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[height, 2])
        _spikes(upper, [(n, s[first * T :], c) for n, s, c in groups], T * (steps - first))
        edges = T * np.arange(steps - first + 1) - 0.5
        upper.set_xlim(edges[0], edges[-1])
        for axes in (upper, lower):
            axes.vlines(
                edges, 0, 1, transform=axes.get_xaxis_transform(), color=GRID, linewidth=0.8
            )
        _words(upper, [found.heading(s) for s in range(first, steps)], T)
        _evidence(lower, found, first, T)
        lower.set_xlabel("tick of 1 ms")
        every = -(-(steps - first) // 16)  # at most 16 labels fit
        at = np.arange(0, steps - first, every)
        lower.xaxis.set_ticks(T * at, labels=T * (at + first))
        if found.image.head is None and len(found.labels) <= _MOST_NAMES:
            _classes(upper, found, sum(s.shape[1] + 2 for _, s, _ in groups[:-1]))

    label = found.labels[found.label]
    own = course.evidence[:, found.label].tolist()
    description = (
        f"{steps} steps of {T} ticks; the words in reading order: "
        + ", ".join(found.heading(s) for s in range(len(course.order)))
        + f". Evidence for {label} after each of them: {', '.join(f'{n:,}' for n in own)}."
    )
    title = "Spikes and evidence, word by word"
    return draw("raster", title, description, paint, size=(9.6, height + 3))


def _groups(found: Explanation) -> list[tuple[str, NDArray[Any], str]]:
    """Return the groups of rows in the raster: name, spikes (ticks, rows) and colour."""
    course, image = found.course, found.image
    words = course.codes.shape[1]
    hidden = found.unit_spikes
    if hidden is None:
        hidden = course.fired[:, image.target_core >= 0]
    groups = [
        ("word lines", course.lines[:, :words], SERIES[0]),
        ("hidden units", hidden, SERIES[1]),
    ]
    if image.head is None:
        core, neuron, _ = image.outputs[_by_class(image)].T
        groups.append(("readout neurons", course.fired[:, core, neuron], SERIES[3]))
    return groups


def _by_class(image: CoreImage) -> NDArray[np.intp]:
    """Return the order that sorts output neurons by their class."""
    return np.argsort(image.outputs[:, 2], kind="stable")


def _classes(axes: Axes, found: Explanation, top: int) -> None:
    """Write the class names to the right of the readout's neurons, which begin at row `top`."""
    lines = found.image.outputs[_by_class(found.image), 2]
    for c, name in enumerate(found.labels):
        at = np.flatnonzero(lines == c)
        axes.text(
            1.005,
            top + at.mean(),
            name,
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=8,
            color=SERIES[0] if c == found.label else MUTED,
        )
        axes.axhline(top + at.max() + 0.5, color=GRID, linewidth=0.6)


def _spikes(axes: Axes, groups: list[tuple[str, NDArray[Any], str]], ticks: int) -> None:
    """Draw each spike as a stroke; one path for all strokes of a group keeps the page small."""
    top, centres, names = 0, [], []
    for name, spikes, colour in groups:
        tick, row = np.nonzero(spikes)
        # Each stroke has two ends (tick, row - 0.4) and (tick, row + 0.4).
        ends = np.empty((2 * len(tick), 2))
        ends[:, 0] = np.repeat(tick, 2)
        ends[0::2, 1], ends[1::2, 1] = top + row - 0.4, top + row + 0.4
        codes = np.tile([Path.MOVETO, Path.LINETO], len(tick))
        path = Path(ends, codes) if len(tick) else Path(np.zeros((1, 2)))
        path.should_simplify = False  # simplification would merge strokes
        width = float(np.clip(300 / ticks, 0.5, 2.5))
        stroke = PathPatch(path, fill=False, edgecolor=colour, linewidth=width, capstyle="butt")
        axes.add_patch(stroke)
        centres.append(top + (spikes.shape[1] - 1) / 2)
        low = spikes.shape[1] < _LOW
        names.append(f"{spikes.shape[1]}{' ' if low else chr(10)}{name.replace(' ', chr(10))}")
        top += spikes.shape[1] + 2
        axes.axhline(top - 1.5, color=MUTED, linewidth=0.5)
    axes.set_ylim(top - 1.5, -1)
    axes.set_yticks(centres, names)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", bottom=False, labelbottom=False)


def _words(axes: Axes, words: list[str], ticks_per_step: int) -> None:
    """Write each word above its step."""
    level = len(words) <= _PLAIN_WORDS and max(map(len, words)) <= 100 // len(words)
    for s, word in enumerate(words):
        axes.text(
            (s + 0.5) * ticks_per_step - 0.5,
            1.01,
            word,
            transform=axes.get_xaxis_transform(),
            ha="center" if level else "left",
            va="bottom",
            rotation=0 if level else 40,
            rotation_mode="anchor",
            color=MUTED if word == "(drain)" else None,
            style="italic" if word == "(drain)" else "normal",
        )


def _evidence(axes: Axes, found: Explanation, first: int, ticks_per_step: int) -> None:
    """Draw the scores of the answer, the runner-up and, in the background, the other classes after every word."""
    evidence = found.course.evidence[first:]
    at = (np.arange(len(evidence)) + 0.5) * ticks_per_step - 0.5
    best = np.argsort(-evidence[-1], kind="stable")
    for c in best[2:]:
        label = "other classes" if c == best[2] else None
        axes.plot(at, evidence[:, c], ".-", color=MUTED, linewidth=0.8, alpha=0.6, label=label)
    for c, colour, style in zip(best[1::-1], (SERIES[2], SERIES[0]), ("s--", "o-"), strict=False):
        wide = 2.2 if c == best[0] else 1.4
        name = found.labels[c] + (" (the answer)" if c == best[0] else "")
        axes.plot(at, evidence[:, c], style, color=colour, linewidth=wide, markersize=5, label=name)
    axes.set_ylabel("score if the\nquestion ended here")
    axes.grid(axis="y")
    axes.margins(y=0.12)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[::-1],
        labels[::-1],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.25),
        ncols=3,
    )
