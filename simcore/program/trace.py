"""Record membrane potentials, with the NumPy reference (slow: it computes every neuron in every tick)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import limits
from ..chip.reference import ReferenceChip
from ..errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from ..image import CoreImage


def trace(
    image: CoreImage, spikes: ArrayLike, neurons: Sequence[tuple[int, int]]
) -> NDArray[np.int64]:
    """Run an image and record membrane potentials.

    Parameters
    ----------
    image
        Any valid image.
    spikes
        0/1 (ticks, input lines).
    neurons
        (core, neuron) of each membrane to record.

    Returns
    -------
    int64 (ticks, neurons)
        Potentials at the end of each tick, after fire and reset.

    Raises
    ------
    ImageError
        The image is not valid.
    InputError
        A neuron is not in the image, or the spikes have another shape.

    """
    image.validate()
    lines = np.asarray(spikes, dtype=np.uint8)
    if lines.ndim != 2 or lines.shape[1] < image.input_lines:
        raise InputError(f"spikes: shape {lines.shape}, expected (ticks, {image.input_lines})")
    for core, neuron in neurons:
        if not (0 <= core < image.cores and 0 <= neuron < limits.NEURONS):
            raise InputError(
                f"trace {core}:{neuron}: limits core 0..{image.cores - 1}, neuron 0..255"
            )
    chip = ReferenceChip(image)
    core_of = [core for core, _ in neurons]
    neuron_of = [neuron for _, neuron in neurons]
    potentials = np.zeros((len(lines), len(neurons)), dtype=np.int64)
    for t, line in enumerate(lines):
        chip.tick(line)
        potentials[t] = chip.V[core_of, neuron_of]  # after fire and reset
    return potentials
