"""Lay the parameters of an image out for the kernels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from . import limits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .image import CoreImage

KIND_PLAIN: Final = 0
KIND_GENERAL: Final = 1
KIND_REVERSAL: Final = 2
KIND_NOISY: Final = 3
"""Cores of linear reset, kappa and no leak reversal only; without leak reversal; deterministic; stochastic."""

_PARAMETERS: Final = (
    "weights",
    "leak",
    "threshold",
    "neg_threshold",
    "reset",
    "reset_mode",
    "kappa",
    "epsilon",
    "stochastic_weights",
    "stochastic_leak",
    "threshold_bits",
)


def weight_rows(image: CoreImage) -> NDArray[np.int16]:
    """Write out the weight of every axon on every neuron, w_ij s_j[G_i]: int16 (cores, 256 axons, 256 neurons).

    Stochastic weights are left out.
    """
    by_type = np.take_along_axis(
        fixed_weights(image), image.axon_type[:, :, None].astype(np.intp), axis=1
    )
    return by_type * image.synapses()


def fixed_weights(image: CoreImage) -> NDArray[np.int16]:
    """Lay out weights by axon type, zero where they are stochastic: int16 (cores, 4, 256)."""
    types = np.arange(limits.AXON_TYPES)[:, None]
    stochastic = image.stochastic_weights[:, None, :] >> types & 1 == 1
    by_type = image.weights.transpose(0, 2, 1)
    return np.ascontiguousarray(np.where(stochastic, np.int16(0), by_type))


def core_kinds(image: CoreImage) -> NDArray[np.uint8]:
    """Tell which arithmetic each core needs, uint8 (cores,): one of KIND_*."""
    noisy = (image.stochastic_weights | image.stochastic_leak | image.threshold_bits).any(axis=1)
    plain = (image.reset_mode == 1) & (image.kappa == 1) & (image.epsilon == 0)
    kinds = np.where(image.epsilon.any(axis=1), KIND_REVERSAL, KIND_GENERAL)
    kinds = np.where(plain.all(axis=1), KIND_PLAIN, kinds)
    return np.where(noisy, KIND_NOISY, kinds).astype(np.uint8)


def noise_table(image: CoreImage) -> NDArray[np.int32]:
    """Lay out what only noisy cores need.

    Returns
    -------
    int32 (cores, 11, 256)
        stochastic weights (4 bits), stochastic leak, threshold mask, reset mode, kappa, epsilon, reset value, and the
        weights for the four axon types; (0, 11, 256) where no core is noisy.

    """
    if not (core_kinds(image) == KIND_NOISY).any():
        return np.empty((0, 11, limits.NEURONS), dtype=np.int32)
    rows = [
        image.stochastic_weights,
        image.stochastic_leak,
        (1 << image.threshold_bits.astype(np.int32)) - 1,
        image.reset_mode,
        image.kappa,
        image.epsilon,
        image.reset,
        *image.weights.transpose(2, 0, 1),
    ]
    return np.ascontiguousarray(np.stack(rows, axis=1), dtype=np.int32)


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


def line_table(
    image: CoreImage, lines: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint64], NDArray[np.int32]]:
    """Lay out which axons each input line reaches, 64 axons of a core at a time.

    Returns
    -------
    start, words, masks, spikes
        int32 (lines + 1,) into the others; int32 4 core + word, uint64 the axons of that word, and int32 how many.

    """
    line, core, axon = image.inputs.astype(np.int64).T
    words = line * 4 * image.cores + 4 * core + axon // 64
    keys, group, spikes = np.unique(words, return_inverse=True, return_counts=True)
    masks = np.zeros(len(keys), dtype=np.uint64)
    np.bitwise_or.at(masks, group.reshape(-1), np.uint64(1) << (axon % 64).astype(np.uint64))
    start = np.searchsorted(keys // (4 * image.cores), np.arange(lines + 1))
    return (
        start.astype(np.int32),
        (keys % (4 * image.cores)).astype(np.int32),
        masks,
        spikes.astype(np.int32),
    )


def route_table(image: CoreImage) -> NDArray[np.uint64]:
    """Pack the route of every neuron into one word, uint64 (cores, 256).

    Target core (32 bits, two's complement) above axon or output line (24 bits) above delay (8 bits): one memory access
    for each spike.
    """
    core = image.target_core.astype(np.int64).astype(np.uint64) << np.uint64(32)
    axon = image.target_axon.astype(np.uint64) << np.uint64(8)
    return np.asarray(core | axon | image.delay.astype(np.uint64), dtype=np.uint64)


def axon_table(image: CoreImage) -> NDArray[np.uint16]:
    """Pack type and fan-out of every axon into one word, uint16 (cores, 256): 512 type + set crossbar bits."""
    fan_out = np.bitwise_count(image.crossbar).sum(axis=2, dtype=np.uint16)
    return np.asarray(fan_out | image.axon_type.astype(np.uint16) << np.uint16(9), dtype=np.uint16)


def prototypes(image: CoreImage) -> tuple[NDArray[np.int32], CoreImage]:
    """Find the cores that differ in the parameters of their neurons; chips often repeat a few.

    Returns
    -------
    index, distinct
        int32 (cores,): the distinct core that each one equals; and an image of the distinct ones, for the tables.

    """
    arrays = [np.ascontiguousarray(getattr(image, name)) for name in _PARAMETERS]
    numbers: dict[bytes, int] = {}
    index = np.empty(image.cores, dtype=np.int32)
    for c in range(image.cores):
        key = b"".join([array[c].tobytes() for array in arrays])
        index[c] = numbers.setdefault(key, len(numbers))
    first = np.unique(index, return_index=True)[1]
    return index, replace(image, **{n: getattr(image, n)[first] for n in _PARAMETERS})


def target_table(image: CoreImage) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
    """Tell which neurons drive axons and which output lines.

    Returns
    -------
    leaves, bits
        uint8 (cores,): whether any neuron of the core drives an output line; uint64 (cores, 2, 4): one bit for each
        neuron, first those that drive axons, then those that drive output lines.

    """
    kinds = np.stack([image.target_core >= 0, image.target_core == limits.TARGET_OUTPUT], axis=1)
    bits = np.packbits(kinds, axis=2, bitorder="little").view("<u8").astype(np.uint64)
    return np.asarray(kinds[:, 1].any(axis=1), dtype=np.uint8), bits


def line_copies(image: CoreImage, lines: int) -> NDArray[np.int32]:
    """Find blocks of 64 input lines that feed 64 axons in the same order, one each.

    Returns
    -------
    int32 (raster words,)
        Where such a block goes, 4 core + 64-bit word; -1 for other words of the raster.

    """
    copies = np.full(max(1, -(-lines // 64)), -1, dtype=np.int32)
    table = image.inputs[np.argsort(image.inputs[:, 0], kind="stable")].astype(np.int64)
    for word in range(len(copies)):
        line, core, axon = table[table[:, 0] // 64 == word].T
        place = 4 * core + axon // 64
        if len(line) and (line % 64 == axon % 64).all() and (place == place[0]).all():
            copies[word] = place[0]
    # a line of the block that feeds no axon would be copied too
    fed = np.bincount(image.inputs[:, 0], minlength=64 * len(copies)).reshape(-1, 64)
    used = np.arange(64 * len(copies)).reshape(-1, 64) < lines
    copies[((fed != 1) & used).any(axis=1)] = -1
    return copies
