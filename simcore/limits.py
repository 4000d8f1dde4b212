"""Name every limit of the TrueNorth core once.

Sources: Cassidy et al. 2013 (neuron model), Akopyan et al. 2015 (core, scheduler and routing), as collected in
`docs/neuron.md`.  Converter, simulator and image reader all import these names.
"""

from __future__ import annotations

from typing import Final

AXONS: Final = 256
"""Axons of a core: rows of the crossbar."""

NEURONS: Final = 256
"""Neurons of a core: columns of the crossbar."""

AXON_TYPES: Final = 4
"""Axon types G; a neuron has one weight for each of them."""

WEIGHT_MAX: Final = 255
"""Largest magnitude of a synaptic weight s_G: signed 9 bit, kept symmetric."""

LEAK_MAX: Final = 255
"""Largest magnitude of the leak lambda: sign and 8 bits."""

THRESHOLD_MAX: Final = 2**18 - 1
"""Largest positive threshold alpha and negative threshold beta: 18 bit, unsigned."""

POTENTIAL_MIN: Final = -(2**19)
"""Lowest membrane potential: signed 20 bit."""

POTENTIAL_MAX: Final = 2**19 - 1
"""Highest membrane potential: signed 20 bit."""

RESET_MAX: Final = POTENTIAL_MAX
"""Largest magnitude of the reset value R: it and -R both fit the membrane."""

THRESHOLD_BITS_MAX: Final = 15
"""Widest mask of the stochastic threshold: eta is drawn from 0..2**TM - 1, TM has 4 bits."""

RANDOM_BITS: Final = 8
"""Bits of the random number that a stochastic weight or leak is compared with."""

DELAY_MIN: Final = 1
"""Shortest axonal delay in ticks."""

DELAY_MAX: Final = 15
"""Longest axonal delay in ticks: 4-bit field of the scheduler."""

SCHEDULER_SLOTS: Final = 16
"""Ticks that the scheduler of a core holds: now and 15 ahead."""

TICK_MS: Final = 1.0
"""Chip time of one tick, in ms."""

CHIP_CORES: Final = 4096
"""Cores of one TrueNorth chip (64 x 64)."""

HOPS_MAX: Final = 255
"""Farthest target core in x and in y: signed 9 bit each."""

MAX_CORES: Final = 2**16
"""Cores of one image (16 chips): our own bound, which keeps a hostile file from asking for more memory."""

TARGET_NONE: Final = -1
"""`target_core` of a neuron whose spikes go nowhere."""

TARGET_OUTPUT: Final = -2
"""`target_core` of a neuron whose spikes leave the chip on an output line."""
