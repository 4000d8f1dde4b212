"""Estimate the power and energy that a TrueNorth chip would take.

These are estimates from published operating points of the chip, never measurements of the machine that simulates it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from . import limits
from .records import ArrayRecord, counted

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

CHIP_POWER_MW: Final = 70.0
"""Power of a whole chip, from which Diehl et al. 2016 compute 17 uW: 70 mW / 4096 cores = 17.09 uW per core."""

STATIC_POWER_MW: Final = 64.43
"""Power of a whole chip at 0.8 V without synaptic events: a fit of the rate sweep in Akopyan et al. 2015, fig. 17."""

EVENT_ENERGY_PJ: Final = 2.297
"""Marginal energy of one synaptic event at 0.8 V, in pJ: the slope of the same fit."""

METHODS: Final = {
    "paper": "used cores x 70 mW / 4096 (method A, as Diehl et al. 2016)",
    "static_marginal": "used cores x 64.43 mW / 4096 + 2.297 pJ per synaptic event at 0.8 V (method B)",
}
"""Names of both methods, as results and logs use them, and their formulas."""

SOURCES: Final = {
    "paper": "70 mW for the 4096 cores of a chip: the arithmetic behind the 17 uW of Diehl et al. 2016"
    " (arXiv 1601.04187)",
    "static_marginal": "fit of the rate sweep in Akopyan et al. 2015 (IEEE TCAD 34, no. 10), figure 17, at 0.8 V and"
    " 128 synapses per axon; the sweep's third point is met within 0.6 %",
}
"""Sources of the constants of both methods."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
class Energy(ArrayRecord):
    """Power and energy by both methods, for one run (floats) or for several (float64 arrays).

    Two estimates are equal if all their figures are; `len` returns the number of runs.

    Attributes
    ----------
    paper_uw, paper_uj
        Method A: power in uW (mean over the ticks), and energy in uJ.
    marginal_uw, marginal_uj
        Method B, likewise.

    """

    paper_uw: Any
    paper_uj: Any
    marginal_uw: Any
    marginal_uj: Any

    def __len__(self) -> int:
        return len(np.atleast_1d(self.paper_uw))

    def __repr__(self) -> str:
        figures = (f"{np.sum(uj):.4g} uJ ({name})" for name, uj in self.energy_uj.items())
        return f"<Energy: {counted(len(self), 'run')}, {', '.join(figures)}>"

    @property
    def power_uw(self) -> dict[str, Any]:
        """Power in uW by method name."""
        return {"paper": self.paper_uw, "static_marginal": self.marginal_uw}

    @property
    def energy_uj(self) -> dict[str, Any]:
        """Energy in uJ by method name."""
        return {"paper": self.paper_uj, "static_marginal": self.marginal_uj}


def estimate(*, cores: int, ticks: ArrayLike, synaptic_events: ArrayLike) -> Energy:
    """Estimate power and energy of runs on the chip.

    Parameters
    ----------
    cores
        Number of used cores.
    ticks
        Chip ticks of 1 ms, a number or an array.
    synaptic_events
        Synaptic events in those ticks, of the same shape.

    Returns
    -------
    Energy
        Floats, or float64 arrays of the shape of `ticks`.  A run of 0 ticks has the static power and no energy.

    """
    seconds: NDArray[np.float64] = np.asarray(ticks, dtype=np.float64) * limits.TICK_MS * 1e-3
    events = np.asarray(synaptic_events, dtype=np.float64)
    paper_uw, static_uw = _static_uw(cores)
    rate = np.divide(events, seconds, out=np.zeros_like(seconds), where=seconds > 0)
    # events/s x pJ = pW, a millionth of a uW
    marginal_uw = static_uw + rate * EVENT_ENERGY_PJ * 1e-6
    figures = {
        "paper_uw": np.full_like(seconds, paper_uw),
        "paper_uj": paper_uw * seconds,
        "marginal_uw": marginal_uw,
        "marginal_uj": marginal_uw * seconds,
    }
    return Energy(**{k: v if v.ndim else float(v) for k, v in figures.items()})


def _static_uw(cores: int) -> tuple[float, float]:
    """Return the power of so many cores in uW without synaptic events, by both methods."""
    return (
        cores * CHIP_POWER_MW * 1e3 / limits.CHIP_CORES,
        cores * STATIC_POWER_MW * 1e3 / limits.CHIP_CORES,
    )
