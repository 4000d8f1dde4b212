"""Lay the parameters of an image out for the kernels."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from .. import limits

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from ..image import CoreImage

Scalar = TypeVar("Scalar", bound=np.generic)

KIND_PLAIN: Final = 0
KIND_GENERAL: Final = 1
KIND_REVERSAL: Final = 2
KIND_NOISY: Final = 3
"""Cores of linear reset, kappa and no leak reversal only; without leak reversal; deterministic; stochastic."""

BYTE_ORDER: Final = np.arange(limits.NEURONS).reshape(32, 8).T.ravel()
"""The neuron at each place of an array in the order of bytes: 8 b + k at 32 k + b (see _chip.h)."""

WORD_ORDER: Final = BYTE_ORDER.reshape(8, 16, 2).transpose(0, 2, 1).ravel()
"""The neuron at each place in the order of words: of 32 in the order of bytes, the even ones, then the odd ones."""

NARROW_MAX: Final = 2**14 - 1
"""Potentials of -NARROW_MAX - 1..NARROW_MAX are kept in 16 bits."""

CACHE_LINE: Final = 64
"""Bytes of a cache line."""

_INT16: Final = np.iinfo(np.int16)

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


def aligned(array: NDArray[Scalar]) -> NDArray[Scalar]:
    """Copy an array to where a cache line begins, unless it is there.

    NumPy's begin 16 bytes into one, so that half of all crossbar rows and vectors would lie on two.
    """
    if array.ctypes.data % CACHE_LINE == 0 and array.flags.c_contiguous:
        return array
    copy = aligned_empty(array.shape, array.dtype)
    copy[...] = array
    return copy


def aligned_empty(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Allocate an array that begins where a cache line does."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + CACHE_LINE, dtype=np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return memory[start : start + size].view(dtype).reshape(shape)


def weight_rows(image: CoreImage) -> NDArray[np.int16]:
    """Write out the weight of every axon on every neuron, w_ij s_j[G_i]: int16 (cores, 256 axons, 256 neurons).

    Stochastic weights are left out.
    """
    by_type = np.take_along_axis(
        fixed_weights(image), image.axon_type[:, :, None].astype(np.intp), axis=1
    )
    return by_type * image.synapses()


def fixed_weights(image: CoreImage) -> NDArray[np.int16]:
    """Lay out weights by axon type, zero where they are stochastic: int16 (cores, 4, 256), neuron by neuron."""
    types = np.arange(limits.AXON_TYPES)[:, None]
    stochastic = image.stochastic_weights[:, None, :] >> types & 1 == 1
    by_type = image.weights.transpose(0, 2, 1)
    return np.ascontiguousarray(np.where(stochastic, np.int16(0), by_type))


def core_kinds(image: CoreImage) -> NDArray[np.uint8]:
    """Tell which arithmetic each core needs, uint8 (cores,): one of KIND_*."""
    noisy = (image.stochastic_weights | image.stochastic_leak | image.threshold_bits).any(axis=1)
    plain = (image.reset_mode == 1) & (image.kappa == 1) & (image.epsilon == 0)
    # the kernel does not look for potentials below what 16 bits have room for where no floor lies there
    plain &= image.neg_threshold <= NARROW_MAX
    kinds = np.where(image.epsilon.any(axis=1), KIND_REVERSAL, KIND_GENERAL)
    kinds = np.where(plain.all(axis=1), KIND_PLAIN, kinds)
    return np.where(noisy, KIND_NOISY, kinds).astype(np.uint8)


def byte_weights(image: CoreImage) -> NDArray[np.int8]:
    """Lay out weights by axon type in bytes, int8 (cores, 4, 256) in the order of bytes; larger ones are cut off."""
    weights = fixed_weights(image)[..., BYTE_ORDER]
    return np.ascontiguousarray(np.clip(weights, -128, 127), dtype=np.int8)


def room_table(image: CoreImage) -> NDArray[np.int32]:
    """Tell how much a tick may add to the potentials of a core so that 16 bits are exact.

    A potential of -2^14..2^14 - 1, changed by at most 2^14 - 1 by synapses and leak together, stays inside -2^15 + 1 ..
    2^15 - 2, where neither 16 nor 20 bits saturate; see `narrow_table` for the steps after that.

    Returns
    -------
    int32 (cores, 5)
        Largest sum of the weights of all spikes of a tick, -1 for cores that need 32 bits at every tick (stochastic
        ones and those with an absolute reset to more than 16 bits); then the largest weight of each axon type.

    """
    far = ((image.reset_mode == 0) & (np.abs(image.reset) > _INT16.max)).any(axis=1)
    room = NARROW_MAX - np.abs(image.leak.astype(np.int32)).max(axis=1)
    room[far | (core_kinds(image) == KIND_NOISY)] = -1
    largest = np.abs(fixed_weights(image)).max(axis=2)
    return np.ascontiguousarray(np.column_stack([room, largest]), dtype=np.int32)


def noise_table(image: CoreImage) -> NDArray[np.int32]:
    """Lay out what only noisy cores need, in the order of words.

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
    return np.ascontiguousarray(np.stack(rows, axis=1)[..., WORD_ORDER], dtype=np.int32)


def neuron_table(image: CoreImage) -> NDArray[np.int32]:
    """Lay out neuron parameters in the order of words, every reset mode as (V & keep) + add.

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
    return np.ascontiguousarray(np.stack(rows, axis=1)[..., WORD_ORDER], dtype=np.int32)


def narrow_table(neurons: NDArray[np.int32]) -> NDArray[np.int16]:
    """Write `neuron_table` in 16 bits, for cores with room (`room_table`).

    What is cut off is never reached: a potential of at most 2^15 - 2 is below a threshold of 2^15 - 1, and one of at
    least -2^15 + 1 above one of -2^15, so the values that such a threshold would have added are not used either.
    """
    return np.clip(neurons, _INT16.min, _INT16.max).astype(np.int16)


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


def route_table(image: CoreImage) -> NDArray[np.uint32]:
    """Pack the route of every neuron into one word, uint32 (cores, 256) in the order of bytes.

    Delay (from bit 24) above target core (16 bits) above axon (8 bits), so that the low 24 bits number the axons of the
    chip; or the output line of a neuron that drives one.
    """
    core = np.maximum(image.target_core, 0).astype(np.uint32) << np.uint32(8)
    delay = image.delay.astype(np.uint32) << np.uint32(24)
    axon = image.target_axon.astype(np.uint32)
    routes = np.where(image.target_core >= 0, delay | core | axon, axon)
    return np.ascontiguousarray(routes[:, BYTE_ORDER])


def axon_types(image: CoreImage) -> NDArray[np.uint64]:
    """Lay out the types of the axons as bits, uint64 (cores, 2, 4): the low bit of each axon's, then the high bit."""
    planes = np.ascontiguousarray(np.stack([image.axon_type & 1, image.axon_type >> 1], axis=1))
    return np.packbits(planes, axis=2, bitorder="little").view("<u8").astype(np.uint64)


def first_potentials(image: CoreImage) -> NDArray[np.int32]:
    """Lay out the initial potentials in the order of words, int32 (cores, 256)."""
    return np.ascontiguousarray(image.potential[:, WORD_ORDER])


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
        neuron in the order of bytes, first those that drive axons, then those that drive output lines.

    """
    kinds = np.stack([image.target_core >= 0, image.target_core == limits.TARGET_OUTPUT], axis=1)
    ordered = np.ascontiguousarray(kinds[..., BYTE_ORDER])
    bits = np.packbits(ordered, axis=2, bitorder="little").view("<u8").astype(np.uint64)
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
