"""Lay the parameters of an image out for the kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .image import CoreImage


def weight_rows(image: CoreImage) -> NDArray[np.int16]:
    """Write out the weight of every axon on every neuron, w_ij s_j[G_i]: int16 (cores, 256 axons, 256 neurons)."""
    by_type = np.take_along_axis(
        np.ascontiguousarray(image.weights.transpose(0, 2, 1)),
        image.axon_type[:, :, None].astype(np.intp),
        axis=1,
    )
    return by_type * image.synapses()


def fixed_rows(image: CoreImage) -> NDArray[np.int16]:
    """Write out the weights that are not stochastic; the others are zero (see `weight_rows`)."""
    stochastic = image.stochastic_weights[:, None, :] >> image.axon_type[:, :, None] & 1
    return np.where(stochastic == 1, np.int16(0), weight_rows(image))


def noise_table(image: CoreImage) -> NDArray[np.int32]:
    """Lay out what only noisy cores need.

    Returns
    -------
    int32 (cores, 7, 256)
        stochastic weights (4 bits), stochastic leak, threshold mask, reset mode, kappa, epsilon and reset value.

    """
    rows = [
        image.stochastic_weights,
        image.stochastic_leak,
        (1 << image.threshold_bits.astype(np.int32)) - 1,
        image.reset_mode,
        image.kappa,
        image.epsilon,
        image.reset,
    ]
    return np.ascontiguousarray(np.stack(rows, axis=1), dtype=np.int32)


def noisy_cores(image: CoreImage) -> NDArray[np.uint8]:
    """Mark the cores with any stochastic mode, uint8 (cores,)."""
    noisy = image.stochastic_weights | image.stochastic_leak | image.threshold_bits
    return noisy.any(axis=1).astype(np.uint8)


def neuron_table(image: CoreImage) -> NDArray[np.int32]:
    """Lay out neuron parameters, every reset mode as (V & keep) + add.

    Returns
    -------
    int32 (cores, 8, 256)
        leak, leak reversal mask, threshold, -neg_threshold, and keep and add of the positive, then the negative side.

    """
    alpha, beta, R = image.threshold, image.neg_threshold, image.reset
    gamma, kappa = image.reset_mode, image.kappa == 1
    keep = np.where(gamma == 0, 0, -1)
    rows = [
        image.leak,
        np.where(image.epsilon == 1, -1, 0),
        alpha,
        -beta,
        keep,
        np.choose(gamma, [R, -alpha, 0]),
        np.where(kappa, 0, keep),
        np.where(kappa, -beta, np.choose(gamma, [-R, beta, 0])),
    ]
    return np.ascontiguousarray(np.stack(rows, axis=1), dtype=np.int32)
