"""The kernel for any CPU of the platform."""

include "_kernel.pxi"
include "_wide.pxi"
include "_chip.pxi"
include "_derived.pxi"
