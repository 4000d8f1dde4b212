"""Numbers that Python code and the compiled kernels share.

`setup.py` passes every integer of this module and of `limits.py` to the C compiler as a macro of the same name: each
number is written once and is a constant in the kernels' inner loops.  The build has no NumPy at hand, so neither
module imports more than `typing`.
"""

from __future__ import annotations

from typing import Final

KIND_PLAIN: Final = 0
"""Kind of a core whose neurons all have linear reset, kappa = 1 and no leak reversal: half of the arithmetic."""

KIND_GENERAL: Final = 1
"""Kind of a deterministic core without leak reversal."""

KIND_REVERSAL: Final = 2
"""Kind of a deterministic core in which some neuron has leak reversal (epsilon = 1)."""

KIND_NOISY: Final = 3
"""Kind of a core in which some neuron has a stochastic weight, leak or threshold."""

DRAW_LEAK: Final = 256
"""Number of the random draw for a stochastic leak; 0..255 are those for the synapses (`_random.py`)."""

DRAW_THRESHOLD: Final = 257
"""Number of the random draw for a stochastic threshold."""

NARROW_MAX: Final = 2**14 - 1
"""Potentials of -NARROW_MAX - 1..NARROW_MAX are kept in 16 bits (`tables.headroom_table`)."""

LANES: Final = 16
"""16-bit lanes of a 256-bit vector; the derived network pads its lanes to a multiple of it (`_derived.h`)."""

MAX_LANES: Final = 128
"""Most lanes of a derived network: eight vectors."""

SIGNALS: Final = 64
"""Most signals of a derived network: the bits of one word, and the lines of a core that feed four axons each."""

OUTPUT_LANES: Final = 8
"""Output neurons that share a drive are padded to this many, or to a multiple of twice as many."""
