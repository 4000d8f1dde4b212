# What both kernels use.  Included, with them, by one .pyx for each instruction set, so that the C compiler vectorises
# one source for each (_dispatch.py).

cimport cython
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #if defined(__x86_64__)
    static inline int cpu_level(void)
    {
        if (!__builtin_cpu_supports("avx2")) return 0;
        return 1 + (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
                    && __builtin_cpu_supports("avx512vl"));
    }
    #else
    static inline int cpu_level(void) { return 0; }
    #endif

    static inline int bits_in(unsigned long long bits) { return __builtin_popcountll(bits); }
    static inline int lowest_bit(unsigned long long bits) { return __builtin_ctzll(bits); }
    """
    int cpu_level() noexcept nogil
    int bits_in(uint64_t bits) noexcept nogil
    int lowest_bit(uint64_t bits) noexcept nogil

cdef enum:
    AXONS = 256
    TYPES = 4
    NEURONS = 256
    WORDS = 4  # 64-bit words of a core's axon bits
    SLOTS = 16
    POTENTIAL_MIN = -(1 << 19)
    POTENTIAL_MAX = (1 << 19) - 1


def level():
    """Tell what this CPU runs: 0 the platform's base, 1 AVX2, 2 AVX-512 (F, BW, VL)."""
    return cpu_level()
