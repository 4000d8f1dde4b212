"""Heads for the host: integer weights for the hidden units' spike counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ...simcore import HostHead
from ..network.constrained import T

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..network.constrained import ConstrainedNetwork

    F64 = NDArray[np.float64]

STEP_MAX: Final = 2**20
"""Bound of what one step adds to a score: scores of 1,024 words fit 32 bits, and weights have about ten bits."""

_RIDGE: Final = 1e-2
"""Ridge of the fit, which pulls towards the constrained network's own head, as a share of the counts' mean variance."""


def host_heads(network: ConstrainedNetwork, counts: F64, logits: F64 | None) -> list[HostHead]:
    """Return candidates for the head: the constrained network's own, and one fitted to the float network's logits.

    Parameters
    ----------
    network
        The network; its own head has 16 levels.
    counts
        float64 (questions, n_hidden): the spike counts that the core delivers (see `readout_counts`).
    logits
        float64 (questions, classes): wanted logits; None: return the network's own head only.

    """
    own = network.readout_levels * network.readout_scale[:, None]
    heads = [_rounded(own, network.readout_bias)]
    if logits is not None:
        heads.append(_rounded(*_fitted(own, counts, logits)))
    return heads


def _fitted(own: F64, counts: F64, logits: F64) -> tuple[F64, F64]:
    """Fit a head to logits less their mean over the classes, by least squares with a ridge towards the present head."""
    wanted = logits - logits.mean(axis=1, keepdims=True)
    own = own - own.mean(axis=0)
    mean = counts.mean(axis=0)
    centred = counts - mean
    moment = centred.T @ centred / len(counts)
    moment += np.eye(len(moment)) * (_RIDGE * np.trace(moment) / len(moment) + 1e-12)
    # fit only what the present head leaves, so that the ridge pulls towards it and not towards zero
    left = wanted - centred @ own.T
    weights = own + np.linalg.solve(moment, centred.T @ left / len(counts)).T
    return weights, wanted.mean(axis=0) - weights @ mean


def _rounded(weights: F64, bias: F64) -> HostHead:
    """Round a head to integers, less the mean over the classes, which changes no label."""
    weights, bias = weights - weights.mean(axis=0), bias - bias.mean()
    # the largest score that one step can add, over the classes
    most = float((T * np.abs(weights).sum(axis=1) + np.abs(bias)).max())
    # rounding may add up to T / 2 for each unit, and 1 / 2 for the bias
    unit = (STEP_MAX - weights.shape[1] * T) / most if most > 0 else 1.0
    return HostHead(
        weights=np.round(weights * unit).astype(np.int32),
        bias=np.round(bias * unit).astype(np.int32),
    )
