"""The kernel for x86-64 CPUs with AVX-512 (F, BW and VL)."""

include "_kernel.pxi"
include "_wide.pxi"
include "_chip.pxi"
include "_derived.pxi"
