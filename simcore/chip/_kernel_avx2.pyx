"""The kernels for x86-64 CPUs with AVX2."""

include "_kernel.pxi"
include "_wide.pxi"
include "_chip.pxi"
include "_chip_runner.pxi"
include "_derived.pxi"
include "_derived_runner.pxi"
