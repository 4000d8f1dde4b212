"""Every limit of the TrueNorth core, and our own bounds on images and questions, each defined once.

Sources: Cassidy et al. 2013 (neuron model), Akopyan et al. 2015 (core, scheduler and routing), as collected in
`docs/neuron.md`.  The converter, the simulator and the image reader import these names; `setup.py` passes the integers
to the C compiler as macros (see `chip/constants.py`), so this module imports nothing but `typing`.
"""

from __future__ import annotations

from typing import Final

AXONS: Final = 256
"""Axons of a core: rows of the crossbar."""

NEURONS: Final = 256
"""Neurons of a core: columns of the crossbar."""

AXON_TYPES: Final = 4
"""Axon types G; a neuron has one weight for each type."""

WEIGHT_MAX: Final = 255
"""Largest magnitude of a synaptic weight s_G: 9 bits, signed; -256 is left out to keep the range symmetric."""

LEAK_MAX: Final = 255
"""Largest magnitude of the leak lambda: sign and 8 bits."""

THRESHOLD_MAX: Final = 2**18 - 1
"""Largest positive threshold alpha and negative threshold beta: 18 bits, unsigned."""

POTENTIAL_MIN: Final = -(2**19)
"""Lowest membrane potential: 20 bits, signed."""

POTENTIAL_MAX: Final = 2**19 - 1
"""Highest membrane potential: 20 bits, signed."""

RESET_MAX: Final = POTENTIAL_MAX
"""Largest magnitude of the reset value R: both R and -R fit the membrane."""

THRESHOLD_BITS_MAX: Final = 15
"""Widest mask of the stochastic threshold: eta is drawn from 0..2**TM - 1, and TM has 4 bits."""

RANDOM_BITS: Final = 8
"""Bits of the random number that a stochastic weight or leak is compared with."""

DELAY_MIN: Final = 1
"""Shortest axonal delay in ticks."""

DELAY_MAX: Final = 15
"""Longest axonal delay in ticks: a 4-bit field of the scheduler."""

SCHEDULER_SLOTS: Final = 16
"""Ticks that the scheduler of a core holds: the current one and the next 15."""

TICK_MS: Final = 1.0
"""Chip time of one tick, in ms."""

CHIP_CORES: Final = 4096
"""Cores of one TrueNorth chip (64 x 64)."""

HOPS_MAX: Final = 255
"""Largest distance of a target core in x and in y: 9 bits each, signed."""

MAX_CORES: Final = 2**16
"""Most cores of one image (16 chips): our own bound, so that a hostile file cannot claim more memory."""

TARGET_NONE: Final = -1
"""`target_core` of a neuron without a target."""

TARGET_OUTPUT: Final = -2
"""`target_core` of a neuron whose spikes leave the chip on an output line."""

MAX_WORDS: Final = 1024
"""Longest question in words: our own bound."""

TICKS_PER_STEP_MAX: Final = 255
"""Most ticks of one step of a question: our own bound, so that activities fit one byte."""

LARGEST_LINES: Final = 256
"""Most output lines of an image whose readout is "max": our own bound, because it records the spikes of every tick."""

MAX_LINES: Final = 2**20
"""Most input or output lines of an image: our own bound, one line for each axon of a chip (4096 x 256)."""

MAX_CLASSES: Final = 2**12
"""Most classes of a head: our own bound."""

GRID_MAX: Final = 2**16 - 1
"""Highest x and y of a core in a grid: our own bound, 1,024 chips of 64 x 64 cores along each side."""
