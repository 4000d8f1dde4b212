"""The kernel for any CPU of the platform."""

include "_kernel.pxi"
include "_program.pxi"
