"""Convert RANC's negative thresholds for neurons that reset only below them, as TrueNorth's do.

RANC has two kinds of reset at the negative threshold n (`neuron_reset_type`): type 0 resets at V < n, as the chip does;
type 1 at V <= n.  The potentials are integers, so V <= n is V < n + 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def reset_at_threshold(arrays: dict[str, Any]) -> None:
    """Change the negative thresholds of an image, read for type 0, to those that reset as RANC's type 1 does.

    An absolute reset (mode 0) gets the threshold n + 1.  A linear reset also subtracts its threshold, so it fits only
    where both types do the same.

    Raises
    ------
    ImageError
        No neuron of the chip does the same as one of the network; the text names core, neuron and field.

    """
    for c in range(len(arrays["seed"])):
        matters = differs(arrays, c)
        absolute = arrays["reset_mode"][c] == 0
        shifted = matters & absolute & (arrays["neg_threshold"][c] > 0)
        for j in np.nonzero(matters & ~shifted)[0].tolist():
            n = -int(arrays["neg_threshold"][c, j])
            with_what = (
                f"reset_potential {arrays['reset'][c, j]}" if absolute[j] else "reset_mode 1"
            )
            raise ImageError(
                f"core {c}, neuron {j}: negative_threshold {n} with {with_what} and neuron_reset_type 1:"
                f" RANC resets it at {n}, a neuron of the chip only below; use neuron_reset_type 0"
            )
        arrays["neg_threshold"][c, shifted] -= 1


def differs(arrays: dict[str, Any], c: int) -> NDArray[np.bool_]:
    """Return for which neurons of core c the type of the reset may matter, bool (256,).

    It does not where a reset at exactly the threshold changes nothing (threshold 0, to 0), or where the potential can
    never fall to the threshold.
    """
    n = -arrays["neg_threshold"][c]
    linear = arrays["reset_mode"][c] == 1
    unchanged = (n == 0) & (linear | (arrays["reset"][c] == 0))
    # After a spike a linear reset leaves 0 or more, an absolute one the reset potential.
    lowest = np.minimum(arrays["potential"][c], np.where(linear, 0, arrays["reset"][c]))
    synapses = np.unpackbits(arrays["crossbar"][c], axis=1, bitorder="little") == 1
    weights = arrays["weights"][c].T[arrays["axon_type"][c]]
    falls = (synapses & (weights < 0)).any(axis=0) | (arrays["leak"][c] < 0)
    matters: NDArray[np.bool_] = ~unchanged & (falls | (lowest <= n))
    return matters
