"""The head on the host: integer rows for the hidden units' spike counts, and the choice between two heads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ..network.constrained import T
from ..network.place import HostHead

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..network.constrained import ConstrainedNetwork

    F64 = NDArray[np.float64]

STEP_MAX: Final = 2**20
"""A step adds less than it to a score: those of 1,024 words stay in 32 bits, and weights have about ten bits."""

_RIDGE: Final = 1e-2
"""Share of the counts' mean variance with which the fit holds on to the constrained network's own head."""


def host_heads(network: ConstrainedNetwork, counts: F64, logits: F64 | None) -> list[HostHead]:
    """List heads for the host: the constrained network's own, and one fitted to the float network's logits.

    Parameters
    ----------
    network
        The network, whose head has 16 levels.
    counts
        float64 (questions, n_hidden): the spike counts that the core delivers (see `spiking.read_counts`).
    logits
        float64 (questions, classes): what the head should give; None: there is nothing to fit.

    """
    own = network.readout_levels * network.readout_scale[:, None]
    heads = [_rounded(own, network.readout_bias)]
    if logits is not None:
        heads.append(_rounded(*_fitted(own, counts, logits)))
    return heads


def _fitted(own: F64, counts: F64, logits: F64) -> tuple[F64, F64]:
    """Fit a head to logits, up to what is equal for all classes, by least squares held to the present head."""
    wanted = logits - logits.mean(axis=1, keepdims=True)
    own = own - own.mean(axis=0)
    mean = counts.mean(axis=0)
    centred = counts - mean
    moment = centred.T @ centred / len(counts)
    moment += np.eye(len(moment)) * (_RIDGE * np.trace(moment) / len(moment) + 1e-12)
    left = wanted - centred @ own.T
    weights = own + np.linalg.solve(moment, centred.T @ left / len(counts)).T
    return weights, wanted.mean(axis=0) - weights @ mean


def _rounded(weights: F64, bias: F64) -> HostHead:
    """Round a head to integers; what all classes have in common is taken off, for it decides nothing."""
    weights, bias = weights - weights.mean(axis=0), bias - bias.mean()
    most = float((T * np.abs(weights).sum(axis=1) + np.abs(bias)).max())
    unit = (STEP_MAX - weights.shape[1] * T) / most if most > 0 else 1.0
    return HostHead(
        weights=np.round(weights * unit).astype(np.int32),
        bias=np.round(bias * unit).astype(np.int32),
    )
