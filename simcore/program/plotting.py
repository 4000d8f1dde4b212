"""Draw rasters and membrane traces as PNG or SVG (matplotlib, extra `[plot]`)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import SimcoreError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike

SUFFIXES: Final = (".png", ".svg")
"""Picture formats."""

_DPI: Final = 150
_WIDTH_PT: Final = 580
"""Approximate width of a panel in points."""

_SEPARATE_LINES: Final = 64
"""Most lines of a panel with gaps between them."""

_MOST_STROKES: Final = 20_000
"""Spikes of a panel beyond which an SVG has them as pixels, which keeps the file small."""


def plot(
    path: Path,
    spikes: ArrayLike,
    outputs: ArrayLike,
    *,
    neurons: Sequence[tuple[int, int]] = (),
    potentials: ArrayLike | None = None,
    title: str = "",
) -> None:
    """Draw input spikes, output spikes and membrane potentials in panels below each other.

    Parameters
    ----------
    path
        `.png` or `.svg`.
    spikes, outputs
        Spikes on the input and on the output lines, (ticks, lines).
    neurons, potentials
        (core, neuron) of each membrane, and their potentials at the end of each tick, (ticks, neurons).
    title
        Title of the figure.

    Raises
    ------
    SimcoreError
        The suffix is not one of SUFFIXES, or matplotlib is not installed.
    OSError
        The file cannot be written.

    """
    if path.suffix not in SUFFIXES:
        raise SimcoreError(
            f"{path}: unknown picture format, expected a name that ends in .png or .svg"
        )
    figures = _figures()
    panels = [(np.asarray(spikes), "input line"), (np.asarray(outputs), "output line")]
    count = len(panels) + (potentials is not None)
    figure = figures.Figure(figsize=(9, 2.4 * count + 0.6), layout="constrained")
    axes = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
    for axis, (raster, label) in zip(axes, panels, strict=False):
        _raster(axis, raster)
        axis.set_ylabel(label)
    if potentials is not None:
        _membranes(axes[-1], neurons, np.asarray(potentials))
    axes[-1].set_xlabel("tick")
    axes[-1].set_xlim(-0.5, max(1, len(panels[0][0])) - 0.5)
    axes[-1].xaxis.get_major_locator().set_params(integer=True)
    if title:
        figure.suptitle(title)
    figure.savefig(path, dpi=_DPI)


def _raster(axis: Any, raster: Any) -> None:
    """Draw each spike as a stroke that fills most of its tick and line, and is never too thin to see."""
    tick, line = np.nonzero(raster)
    width = max(0.6, 0.6 * _WIDTH_PT / max(1, len(raster)))
    # With many lines, gaps between them would be thinner than a pixel and make the raster grey.
    half = 0.4 if raster.shape[1] <= _SEPARATE_LINES else 0.5
    strokes = axis.vlines(tick, line - half, line + half, colors="black", linewidth=width)
    # Without snapping, strokes narrower than a pixel keep their place instead of all moving to the grid.
    strokes.set(capstyle="butt", snap=False)
    strokes.set_rasterized(len(tick) > _MOST_STROKES)
    axis.set_ylim(-0.5, max(1, raster.shape[1]) - 0.5)
    axis.yaxis.get_major_locator().set_params(integer=True)


def _membranes(axis: Any, neurons: Sequence[tuple[int, int]], potentials: Any) -> None:
    """Draw a stepped line for each membrane."""
    for k, (core, neuron) in enumerate(neurons):
        axis.step(
            np.arange(len(potentials)), potentials[:, k], where="post", label=f"{core}:{neuron}"
        )
    axis.set_ylabel("potential")
    axis.legend(title="core:neuron", fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))


def _figures() -> Any:
    """Import and return matplotlib.figure, without pyplot and its global state; raise if it is not installed."""
    try:
        return importlib.import_module("matplotlib.figure")
    except ImportError:
        raise SimcoreError(
            "plots need matplotlib: install it with `pip install spikewatch[plot]`"
        ) from None
