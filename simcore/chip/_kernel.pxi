# Declarations that both kernels use.  One .pyx for each instruction set includes this file and the kernels, so that the
# C compiler vectorises the same source for each of them (_dispatch.py chooses one at run time).

cimport cython
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #if defined(__x86_64__)
    static inline int detect_cpu_level(void)
    {
        if (!__builtin_cpu_supports("avx2")) return 0;
        return 1 + (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
                    && __builtin_cpu_supports("avx512vl"));
    }
    #else
    static inline int detect_cpu_level(void) { return 0; }
    #endif

    static inline int bits_in(unsigned long long bits) { return __builtin_popcountll(bits); }
    static inline int lowest_bit(unsigned long long bits) { return __builtin_ctzll(bits); }
    """
    int detect_cpu_level() noexcept nogil
    int bits_in(uint64_t bits) noexcept nogil
    int lowest_bit(uint64_t bits) noexcept nogil

    # Macros: setup.py passes every integer of limits.py and constants.py to the compiler.
    enum:
        AXONS
        AXON_TYPES
        NEURONS
        SCHEDULER_SLOTS
        POTENTIAL_MIN
        POTENTIAL_MAX
        RANDOM_BITS
        THRESHOLD_BITS_MAX
        MAX_WORDS
        TICKS_PER_STEP_MAX
        LARGEST_LINES
        KIND_PLAIN
        KIND_GENERAL
        KIND_REVERSAL
        DRAW_LEAK
        DRAW_THRESHOLD
        NARROW_MAX
        LANES
        MAX_LANES
        OUTPUT_LANES

cdef enum:
    WORDS = 4  # 64-bit words that hold one bit for each axon, or each neuron, of a core


def cpu_level():
    """Return the highest instruction set that this CPU supports: 0 the platform's base, 1 AVX2, 2 AVX-512 (F, BW, VL)."""
    return detect_cpu_level()
