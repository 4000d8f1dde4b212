"""The result of a batch of runs, filled in by the kernels or by the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from ..records import ArrayRecord, counted

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
class Outcome(ArrayRecord):
    """The result of a batch of n runs; counts are those of the chip.

    Two outcomes are equal if all their arrays are; `len` returns n.

    Attributes
    ----------
    counts : int32 (n, output lines)
        Output spikes per line in the counted ticks of each run.
    spikes : int64 (n, 3)
        Spikes: input (onto axons, from outside), hidden (sent from neurons to axons), output (on output lines).
    synaptic_events : int64 (n,)
        Set crossbar bits in the rows of spiking axons, over all ticks.
    raster : uint16 (ticks of all runs, output lines) or None
        Spikes on each output line at each tick; None if the run did not record them.

    """

    counts: NDArray[np.int32]
    spikes: NDArray[np.int64]
    synaptic_events: NDArray[np.int64]
    raster: NDArray[np.uint16] | None = None

    def __len__(self) -> int:
        return len(self.counts)

    def __repr__(self) -> str:
        parts = [counted(len(self), "run"), counted(self.counts.shape[1], "output line")]
        if self.raster is not None:
            parts.append(f"{counted(len(self.raster), 'tick')} recorded")
        return f"<Outcome: {', '.join(parts)}>"

    @classmethod
    def zeros(cls, runs: int, lines: int, ticks: int | None = None) -> Self:
        """Make an outcome of zeros for a kernel to add to.

        Parameters
        ----------
        runs, lines
            Number of runs, and of output lines.
        ticks
            Ticks of all runs, to record the output raster; None: record none.

        """
        return cls(
            counts=np.zeros((runs, lines), dtype=np.int32),
            spikes=np.zeros((runs, 3), dtype=np.int64),
            synaptic_events=np.zeros(runs, dtype=np.int64),
            raster=None if ticks is None else np.zeros((ticks, lines), dtype=np.uint16),
        )
