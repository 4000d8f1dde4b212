"""Lay the parameters of an image out for the chip kernel."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from .. import limits
from ._random import core_keys
from .constants import KIND_GENERAL, KIND_NOISY, KIND_PLAIN, KIND_REVERSAL, NARROW_MAX

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from ..image import CoreImage

Scalar = TypeVar("Scalar", bound=np.generic)

BYTE_ORDER: Final = np.arange(limits.NEURONS).reshape(32, 8).T.ravel()
"""The neuron at each position of an array in byte order: neuron 8 b + k is at position 32 k + b (see `_chip.h`)."""

WORD_ORDER: Final = BYTE_ORDER.reshape(8, 16, 2).transpose(0, 2, 1).ravel()
"""The neuron at each position in word order: of every 32 in byte order, the even ones, then the odd ones."""

CACHE_LINE: Final = 64
"""Size of a cache line in bytes."""

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


def chip_tables(image: CoreImage, lines: int) -> dict[str, NDArray[Any]]:
    """Compute everything that `ChipRunner` reads, by the names of its arguments.

    Parameters
    ----------
    image
        A valid image.
    lines
        Input lines of the rasters to be run, at least those of the image.

    """
    index, distinct = prototypes(image)
    neurons = neuron_table(distinct)
    drives_outputs, targets = target_tables(image)
    line_start, line_words, line_masks, line_spikes = line_tables(image, lines)
    tables: dict[str, NDArray[Any]] = {
        "crossbar": image.crossbar,
        "axon_types": axon_types(image),
        "prototype": index,
        "byte_weights": byte_weights(distinct),
        "weights": fixed_weights(distinct)[..., WORD_ORDER],
        "headroom": headroom_table(distinct),
        "kinds": core_kinds(distinct),
        "neurons": neurons,
        "narrow": narrow_table(neurons),
        "noise": noise_table(distinct),
        "keys": core_keys(image.seed),
        "potential": first_potentials(image),
        "routes": route_table(image),
        "drives_outputs": drives_outputs,
        "targets": targets,
        "line_copies": line_copies(image, lines),
        "line_start": line_start,
        "line_words": line_words,
        "line_masks": line_masks,
        "line_spikes": line_spikes,
    }
    return {name: aligned(table) for name, table in tables.items()}


def aligned(array: NDArray[Scalar]) -> NDArray[Scalar]:
    """Return the array itself if it begins at a cache line, else a copy that does.

    NumPy aligns arrays to 16 bytes only, so half of all crossbar rows and vectors would straddle two cache lines.
    """
    if array.ctypes.data % CACHE_LINE == 0 and array.flags.c_contiguous:
        return array
    copy = aligned_empty(array.shape, array.dtype)
    copy[...] = array
    return copy


def aligned_empty(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Allocate an array that begins at a cache line."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + CACHE_LINE, dtype=np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return memory[start : start + size].view(dtype).reshape(shape)


def weight_rows(image: CoreImage) -> NDArray[np.int16]:
    """Compute the weight of every axon on every neuron, w_ij s_j[G_i]: int16 (cores, 256 axons, 256 neurons).

    Stochastic weights count as zero.
    """
    by_type = np.take_along_axis(
        fixed_weights(image), image.axon_type[:, :, None].astype(np.intp), axis=1
    )
    return by_type * image.synapses()


def fixed_weights(image: CoreImage) -> NDArray[np.int16]:
    """Lay out weights by axon type, int16 (cores, 4, 256), neuron by neuron; stochastic weights are zero."""
    types = np.arange(limits.AXON_TYPES)[:, None]
    stochastic = image.stochastic_weights[:, None, :] >> types & 1 == 1
    by_type = image.weights.transpose(0, 2, 1)
    return np.ascontiguousarray(np.where(stochastic, np.int16(0), by_type))


def core_kinds(image: CoreImage) -> NDArray[np.uint8]:
    """Classify each core by the arithmetic that it needs, uint8 (cores,): one of KIND_*."""
    noisy = (image.stochastic_weights | image.stochastic_leak | image.threshold_bits).any(axis=1)
    plain = (image.reset_mode == 1) & (image.kappa == 1) & (image.epsilon == 0)
    # For plain cores the 16-bit kernel checks only the upper bound of potentials: their floor must imply the lower one.
    plain &= image.neg_threshold <= NARROW_MAX
    kinds = np.where(image.epsilon.any(axis=1), KIND_REVERSAL, KIND_GENERAL)
    kinds = np.where(plain.all(axis=1), KIND_PLAIN, kinds)
    return np.where(noisy, KIND_NOISY, kinds).astype(np.uint8)


def byte_weights(image: CoreImage) -> NDArray[np.int8]:
    """Lay out weights by axon type in bytes, int8 (cores, 4, 256) in byte order; larger weights are clipped.

    The kernel does not use a clipped weight: it adds in bytes only where the magnitudes sum to at most 127.
    """
    weights = fixed_weights(image)[..., BYTE_ORDER]
    return np.ascontiguousarray(np.clip(weights, -128, 127), dtype=np.int8)


def headroom_table(image: CoreImage) -> NDArray[np.int32]:
    """Compute how much a tick may add to the potentials of a core while 16-bit arithmetic stays exact.

    A potential of -2^14..2^14 - 1 that synapses and leak together change by at most 2^14 - 1 stays inside -2^15 + 1 ..
    2^15 - 2, where neither 16 nor 20 bits saturate; for the steps after that see `narrow_table`.

    Returns
    -------
    int32 (cores, 5)
        First the largest allowed sum of the weights of all spikes of a tick, -1 for cores that need 32 bits at every
        tick (stochastic ones, and those with an absolute reset beyond 16 bits); then the largest magnitude of a
        weight for each axon type.

    """
    beyond = ((image.reset_mode == 0) & (np.abs(image.reset) > _INT16.max)).any(axis=1)
    headroom = NARROW_MAX - np.abs(image.leak.astype(np.int32)).max(axis=1)
    headroom[beyond | (core_kinds(image) == KIND_NOISY)] = -1
    largest = np.abs(fixed_weights(image)).max(axis=2)
    return np.ascontiguousarray(np.column_stack([headroom, largest]), dtype=np.int32)


def noise_table(image: CoreImage) -> NDArray[np.int32]:
    """Lay out the parameters that only noisy cores need, in word order.

    Returns
    -------
    int32 (cores, 11, 256)
        Stochastic weights (4 bits), stochastic leak, threshold mask, reset mode, kappa, epsilon, reset value, and the
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
    """Lay out neuron parameters in word order.

    Every reset mode is written as (V & keep) + add, so that the kernel needs no branch: absolute reset keeps nothing
    and adds R, linear reset keeps V and subtracts alpha, no reset keeps V and adds 0 (equations 6 and 7 of
    `docs/neuron.md`).

    Returns
    -------
    int32 (cores, 8, 256)
        Leak, leak reversal mask, threshold, -neg_threshold, and keep and add of the positive, then the negative side.

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
    """Clip `neuron_table` to 16 bits, for cores with headroom (`headroom_table`).

    A clipped value is never reached: a potential of at most 2^15 - 2 is below a threshold of 2^15 - 1, and one of at
    least -2^15 + 1 above a threshold of -2^15.  What such a threshold would have added on reset is not used either.
    """
    return np.clip(neurons, _INT16.min, _INT16.max).astype(np.int16)


def line_tables(
    image: CoreImage, lines: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint64], NDArray[np.int32]]:
    """List the axons that each input line reaches, as bits of 64-bit words of a core's axons.

    Returns
    -------
    start : int32 (lines + 1,)
        Line l has the entries start[l] .. start[l + 1] - 1 of the other arrays.
    words : int32 (n,)
        Number of the 64-bit word: 4 core + axon // 64.
    masks : uint64 (n,)
        The axons of that word.
    spikes : int32 (n,)
        Number of these axons.

    """
    line, core, axon = image.inputs.astype(np.int64).T
    # One integer for each (line, word of axons), so that sorting groups the axons by line and then by word.
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


def line_copies(image: CoreImage, lines: int) -> NDArray[np.int32]:
    """Find blocks of 64 input lines that feed 64 axons one to one in the same order; the kernel copies them as a word.

    Returns
    -------
    int32 (raster words,)
        The word of axons that such a block feeds, 4 core + axon // 64; -1 for other words of the raster.

    """
    # At least one word, even without input lines: the kernel takes the address of the first.
    copies = np.full(max(1, -(-lines // 64)), -1, dtype=np.int32)
    table = image.inputs[np.argsort(image.inputs[:, 0], kind="stable")].astype(np.int64)
    for word in range(len(copies)):
        line, core, axon = table[table[:, 0] // 64 == word].T
        place = 4 * core + axon // 64
        if len(line) and (line % 64 == axon % 64).all() and (place == place[0]).all():
            copies[word] = place[0]
    # A line of the block that feeds no axon, or several, must not be copied as one bit.
    fed = np.bincount(image.inputs[:, 0], minlength=64 * len(copies)).reshape(-1, 64)
    used = np.arange(64 * len(copies)).reshape(-1, 64) < lines
    copies[((fed != 1) & used).any(axis=1)] = -1
    return copies


def route_table(image: CoreImage) -> NDArray[np.uint32]:
    """Pack the route of every neuron into one word, uint32 (cores, 256) in byte order.

    The word holds the delay (from bit 24), the target core (16 bits) and the axon (8 bits), so that the low 24 bits
    number the axons of the chip.  For a neuron that drives an output line, it is the number of that line.
    """
    # Negative targets (none, an output line) would be huge as uint32; their words do not use `core`.
    core = np.maximum(image.target_core, 0).astype(np.uint32) << np.uint32(8)
    delay = image.delay.astype(np.uint32) << np.uint32(24)
    axon = image.target_axon.astype(np.uint32)
    routes = np.where(image.target_core >= 0, delay | core | axon, axon)
    return np.ascontiguousarray(routes[:, BYTE_ORDER])


def axon_types(image: CoreImage) -> NDArray[np.uint64]:
    """Lay out the types of the axons as bits, uint64 (cores, 2, 4): the low bits of all axons, then the high bits."""
    # Bits are packed in little-endian order and read as such, so axon i is bit i % 64 of its word on every machine.
    planes = np.ascontiguousarray(np.stack([image.axon_type & 1, image.axon_type >> 1], axis=1))
    return np.packbits(planes, axis=2, bitorder="little").view("<u8").astype(np.uint64)


def first_potentials(image: CoreImage) -> NDArray[np.int32]:
    """Lay out the initial potentials in word order, int32 (cores, 256)."""
    return np.ascontiguousarray(image.potential[:, WORD_ORDER])


def prototypes(image: CoreImage) -> tuple[NDArray[np.int32], CoreImage]:
    """Find the cores that differ in the parameters of their neurons; chips often repeat a few.

    Returns
    -------
    index : int32 (cores,)
        The distinct core that each core equals.
    distinct : CoreImage
        The distinct cores, to compute tables from.

    """
    arrays = [np.ascontiguousarray(getattr(image, name)) for name in _PARAMETERS]
    numbers: dict[bytes, int] = {}
    index = np.empty(image.cores, dtype=np.int32)
    for c in range(image.cores):
        key = b"".join([array[c].tobytes() for array in arrays])
        index[c] = numbers.setdefault(key, len(numbers))
    first = np.unique(index, return_index=True)[1]
    return index, replace(image, **{n: getattr(image, n)[first] for n in _PARAMETERS})


def target_tables(image: CoreImage) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
    """Mark the neurons that drive axons, and those that drive output lines.

    Returns
    -------
    drives_outputs : uint8 (cores,)
        Whether any neuron of the core drives an output line.
    targets : uint64 (cores, 2, 4)
        One bit for each neuron in byte order: first those that drive axons, then those that drive output lines.

    """
    kinds = np.stack([image.target_core >= 0, image.target_core == limits.TARGET_OUTPUT], axis=1)
    ordered = np.ascontiguousarray(kinds[..., BYTE_ORDER])
    bits = np.packbits(ordered, axis=2, bitorder="little").view("<u8").astype(np.uint64)
    return np.asarray(kinds[:, 1].any(axis=1), dtype=np.uint8), bits
