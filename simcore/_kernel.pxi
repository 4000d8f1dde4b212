# The chip kernel in Cython: the same ticks as reference.py, bit for bit, for any number of cores.
# Included by one .pyx for each instruction set, so that the C compiler vectorises one source for each (_dispatch.py).
#
# Event-driven: only the crossbar rows of spiking axons are read, and a core at rest (no spike arrives, and a tick
# without spikes changed no potential and fired nothing) is not computed at all until a spike arrives.
# Threads share a chip by cores: each computes its own, keeps the spikes that it sends in a scheduler of its own, from
# which the others take theirs, and all threads meet at the end of every tick.

cimport cython
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #include <sched.h>
    #if defined(__SSE2__)
    #include <immintrin.h>
    #endif

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

    /* A crossbar row, of any alignment: the compiler maps it to what the CPU has. */
    typedef unsigned long long row256 __attribute__((vector_size(32), aligned(1), may_alias));
    typedef unsigned long long word64 __attribute__((may_alias));
    typedef unsigned int word32 __attribute__((may_alias));
    typedef int16_t weights16 __attribute__((vector_size(32), aligned(2), may_alias));
    typedef int16_t bits16 __attribute__((may_alias, aligned(1)));

    /* spread[b]: bit k of byte b as 0 or 1 in byte k (of a little-endian word). */
    static word64 spread[256];
    static void fill_spread(void)
    {
        for (int b = 0; b < 256; b++)
            for (int k = 0; k < 8; k++)
                ((unsigned char *) &spread[b])[k] = b >> k & 1;
    }

    /* sum[j] += weights[j] * (rows of the list with bit j set), for n < 2^planes axons of one type, n <= 128.
       The rows are counted bit-sliced: plane p holds bit p of all 256 counts. */
    static inline __attribute__((always_inline)) void add_planes(
        const unsigned char *crossbar, const unsigned char *list, int n, const int16_t *weights, int16_t *sum,
        const int planes)
    {
        row256 plane[8];
        word64 count[32];
        for (int p = 0; p < planes; p++)
            plane[p] = (row256) {0};
        for (int k = 0; k < n; k++) {
            row256 carry = *(const row256 *) (crossbar + 32 * (int) list[k]);
            for (int p = 0; p < planes; p++) {
                row256 both = plane[p] & carry;
                plane[p] ^= carry;
                carry = both;
            }
        }
    #if defined(__AVX512BW__) && defined(__AVX512VL__)
        for (int b = 0; b < 8; b++) {
            __m256i total = _mm256_setzero_si256();
            for (int p = 0; p < planes; p++)
                total = _mm256_mask_add_epi8(
                    total, ((const word32 *) &plane[p])[b], total, _mm256_set1_epi8((char) (1 << p)));
            _mm256_storeu_si256((__m256i *) count + b, total);
        }
    #elif defined(__AVX2__)
        const __m256i byte = _mm256_setr_epi64x(
            0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
        const __m256i bit = _mm256_set1_epi64x((long long) 0x8040201008040201ULL);
        for (int b = 0; b < 8; b++) {
            __m256i total = _mm256_setzero_si256();
            for (int p = 0; p < planes; p++) {
                __m256i bits = _mm256_set1_epi32((int) ((const word32 *) &plane[p])[b]);
                bits = _mm256_and_si256(_mm256_shuffle_epi8(bits, byte), bit);
                bits = _mm256_and_si256(_mm256_cmpeq_epi8(bits, bit), _mm256_set1_epi8((char) (1 << p)));
                total = _mm256_add_epi8(total, bits);
            }
            _mm256_storeu_si256((__m256i *) count + b, total);
        }
    #else
        for (int b = 0; b < 32; b++) {
            word64 total = 0;
            for (int p = 0; p < planes; p++)
                total += spread[((const unsigned char *) &plane[p])[b]] << p;
            count[b] = total;
        }
    #endif
        for (int j = 0; j < 256; j++)
            sum[j] += (int16_t) (weights[j] * ((const unsigned char *) count)[j]);
    }

    /* The same for one row, without counting: faster where vectors are wide. */
    #if defined(__AVX2__)
    static inline void add_row(const unsigned char *crossbar_row, const int16_t *weights, int16_t *sum)
    {
        const weights16 bit = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, -32768};
        for (int v = 0; v < 16; v++) {
            weights16 bits = (weights16) {0} + ((const bits16 *) crossbar_row)[v];
            ((weights16 *) sum)[v] += ((const weights16 *) weights)[v] & (weights16) ((bits & bit) == bit);
        }
    }

    #endif

    static inline void add_rows(
        const unsigned char *crossbar, const unsigned char *list, int n, const int16_t *weights, int16_t *sum)
    {
    #if defined(__AVX2__)
        if (n <= 2) {
            for (int k = 0; k < n; k++)
                add_row(crossbar + 32 * (int) list[k], weights, sum);
            return;
        }
    #endif
        switch (32 - __builtin_clz(n)) {
        case 1: add_planes(crossbar, list, n, weights, sum, 1); break;
        case 2: add_planes(crossbar, list, n, weights, sum, 2); break;
        case 3: add_planes(crossbar, list, n, weights, sum, 3); break;
        case 4: add_planes(crossbar, list, n, weights, sum, 4); break;
        case 5: add_planes(crossbar, list, n, weights, sum, 5); break;
        default: add_planes(crossbar, list, n, weights, sum, 8); break;
        }
    }

    /* The bytes 0 or 1 of 64 neurons as the bits of a word. */
    static inline unsigned long long gather_bits(const unsigned char *fired)
    {
        unsigned long long bits = 0;
    #if defined(__AVX2__)
        for (int b = 0; b < 2; b++) {
            __m256i bytes = _mm256_loadu_si256((const __m256i *) (fired + 32 * b));
            bits |= (unsigned long long) (unsigned) _mm256_movemask_epi8(_mm256_slli_epi16(bytes, 7)) << (32 * b);
        }
    #elif defined(__SSE2__)
        for (int b = 0; b < 4; b++) {
            __m128i bytes = _mm_loadu_si128((const __m128i *) (fired + 16 * b));
            bits |= (unsigned long long) (unsigned) _mm_movemask_epi8(_mm_slli_epi16(bytes, 7)) << (16 * b);
        }
    #else
        for (int b = 0; b < 8; b++)
            bits |= (((const word64 *) fired)[b] * 0x0102040810204080ULL >> 56) << (8 * b);
    #endif
        return bits;
    }

    static inline void add_16(unsigned short *to, int n, int shared)
    {
        if (shared) __atomic_fetch_add(to, (unsigned short) n, __ATOMIC_RELAXED); else *to += n;
    }
    static inline void add_32(int *to, int n, int shared)
    {
        if (shared) __atomic_fetch_add(to, n, __ATOMIC_RELAXED); else *to += n;
    }
    static inline void add_64(long long *to, long long n)
    {
        __atomic_fetch_add(to, n, __ATOMIC_RELAXED);
    }

    static inline void fetch(const void *address) { __builtin_prefetch(address); }

    /* Wait until all threads have come here for the `round`-th time. */
    static inline void meet(long long *arrived, long long threads, long long round)
    {
        if (threads == 1) return;
        __atomic_add_fetch(arrived, 1, __ATOMIC_ACQ_REL);
        for (int spins = 0; __atomic_load_n(arrived, __ATOMIC_ACQUIRE) < round * threads; spins++)
            if (spins > 4000) sched_yield();
    }
    """
    int cpu_level() noexcept nogil
    int bits_in(uint64_t bits) noexcept nogil
    int lowest_bit(uint64_t bits) noexcept nogil
    void add_rows(
        const uint8_t* crossbar, const uint8_t* axons, int n, const int16_t* weights, int16_t* sum) noexcept nogil
    void fill_spread()
    uint64_t gather_bits(const uint8_t* fired) noexcept nogil
    void add_16(uint16_t* to, int n, int shared) noexcept nogil
    void add_32(int32_t* to, int n, int shared) noexcept nogil
    void add_64(int64_t* to, int64_t n) noexcept nogil
    void fetch(const void* address) noexcept nogil
    void meet(int64_t* arrived, int64_t threads, int64_t round) noexcept nogil

cdef enum:
    AXONS = 256
    TYPES = 4
    NEURONS = 256
    WORDS = 4  # 64-bit words of a core's axon bits
    SLOTS = 16
    POTENTIAL_MIN = -(1 << 19)
    POTENTIAL_MAX = (1 << 19) - 1
    ROWS_OF_16_BIT = 128  # rows of |weight| <= 255 whose sum stays inside int16
    DRAW_LEAK = 256  # draws of _random.py
    DRAW_THRESHOLD = 257


fill_spread()


def level():
    """Tell what this CPU runs: 0 the platform's base, 1 AVX2, 2 AVX-512 (F, BW, VL)."""
    return cpu_level()


cdef struct Spiking:
    # the axons of a core that spike in a tick, by type
    int n[TYPES]
    uint8_t axon[TYPES][AXONS]


cdef inline void synapses(
    const uint8_t* crossbar, const int16_t* weights, const Spiking* spiking, int32_t* drive
) noexcept nogil:
    """drive[j] = sum over spiking axons i of w_ij s_j[G_i], from crossbar bits and weights (4, 256) by axon type."""
    cdef int16_t part[NEURONS]
    cdef int kind, j, some, done, added = 0
    memset(drive, 0, NEURONS * sizeof(int32_t))
    memset(part, 0, sizeof(part))
    for kind in range(TYPES):
        done = 0
        while done < spiking.n[kind]:
            some = spiking.n[kind] - done
            if some > ROWS_OF_16_BIT - added:
                some = ROWS_OF_16_BIT - added
            add_rows(crossbar, spiking.axon[kind] + done, some, weights + kind * NEURONS, part)
            done += some
            added += some
            if added == ROWS_OF_16_BIT:
                for j in range(NEURONS):
                    drive[j] += part[j]
                memset(part, 0, sizeof(part))
                added = 0
    for j in range(NEURONS):
        drive[j] += part[j]


cdef inline int update(
    const int32_t* p, const int32_t* drive, int32_t* V, uint8_t* fired, bint reversals
) noexcept nogil:
    """Leak, threshold, fire and reset all neurons of a core; return whether any fired or changed its potential.

    `reversals` (constant where this is called) says whether any neuron has leak reversal.  `p` holds eight rows of parameters, one value per neuron (see tables.neuron_table):
    leak, leak reversal mask, threshold, -neg_threshold, and for the positive and the negative side a mask to keep
    the potential and a value to add; so that every reset mode is the same arithmetic.
    """
    cdef int j, happened = 0
    cdef int32_t v, w, sign, reverse, up, down
    cdef const int32_t* leak = p
    cdef const int32_t* reversal = p + NEURONS
    cdef const int32_t* alpha = p + 2 * NEURONS
    cdef const int32_t* minus_beta = p + 3 * NEURONS
    cdef const int32_t* up_keep = p + 4 * NEURONS
    cdef const int32_t* up_add = p + 5 * NEURONS
    cdef const int32_t* down_keep = p + 6 * NEURONS
    cdef const int32_t* down_add = p + 7 * NEURONS
    for j in range(NEURONS):
        v = V[j] + drive[j]
        v = POTENTIAL_MIN if v < POTENTIAL_MIN else v
        v = POTENTIAL_MAX if v > POTENTIAL_MAX else v
        if reversals:
            reverse = reversal[j]
            sign = (v > 0) - (v < 0)
            w = v + leak[j] * ((reverse & sign) | (~reverse & 1))
            # (v ^ w) < 0: the leak changed the sign; with leak reversal it stops at zero
            w = w & ~(reverse & ((v ^ w) >> 31))
        else:
            w = v + leak[j]
        w = POTENTIAL_MIN if w < POTENTIAL_MIN else w
        w = POTENTIAL_MAX if w > POTENTIAL_MAX else w
        up = -(w >= alpha[j])
        down = -(w < minus_beta[j]) & ~up
        w = (
            (up & ((w & up_keep[j]) + up_add[j]))
            | (down & ((w & down_keep[j]) + down_add[j]))
            | (~(up | down) & w)
        )
        happened |= up | (w ^ V[j])
        V[j] = w
        fired[j] = <uint8_t> (up & 1)
    return happened


cdef inline int update_plain(
    const int32_t* p, const int32_t* drive, int32_t* V, uint8_t* fired
) noexcept nogil:
    """The same for a core whose neurons all have linear reset, kappa and no leak reversal: half of the work."""
    cdef int j, happened = 0
    cdef int32_t v, up
    cdef const int32_t* leak = p
    cdef const int32_t* alpha = p + 2 * NEURONS
    cdef const int32_t* minus_beta = p + 3 * NEURONS
    for j in range(NEURONS):
        v = V[j] + drive[j]
        v = POTENTIAL_MIN if v < POTENTIAL_MIN else v
        v = POTENTIAL_MAX if v > POTENTIAL_MAX else v
        v += leak[j]
        v = POTENTIAL_MIN if v < POTENTIAL_MIN else v
        v = POTENTIAL_MAX if v > POTENTIAL_MAX else v
        up = -(v >= alpha[j])
        v -= alpha[j] & up
        v = minus_beta[j] if v < minus_beta[j] else v
        happened |= up | (v ^ V[j])
        V[j] = v
        fired[j] = <uint8_t> (up & 1)
    return happened


cdef inline uint64_t draw(uint64_t key, int64_t t, int j, int k) noexcept nogil:
    """The random number of _random.py for tick t, neuron j and draw k."""
    cdef uint64_t place = (<uint64_t> t << 17) + (<uint64_t> j << 9) + <uint64_t> k
    cdef uint64_t z = key + <uint64_t> 0x9E3779B97F4A7C15U * place
    z = (z ^ (z >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9U
    z = (z ^ (z >> 27)) * <uint64_t> 0x94D049BB133111EBU
    return z ^ (z >> 31)


cdef inline int32_t chance(int32_t s, uint64_t rho) noexcept nogil:
    """F(s, rho) sgn(s): the sign of s with probability about |s| / 256."""
    cdef int32_t sign = (s > 0) - (s < 0)
    return sign if s * sign >= <int32_t> (rho >> 56) else 0


cdef inline int32_t saturate(int32_t v) noexcept nogil:
    return POTENTIAL_MIN if v < POTENTIAL_MIN else POTENTIAL_MAX if v > POTENTIAL_MAX else v


cdef int update_noisy(
    const int32_t* p, const int32_t* noise, uint64_t key, int64_t t, const Spiking* spiking,
    const uint8_t* crossbar, const int32_t* drive, int32_t* V, uint8_t* fired
) noexcept nogil:
    """All neurons of a core with stochastic modes, one after the other, in the order of the equations.

    `p` is as in `update`, `noise` as tables.noise_table; `drive` holds the weights that are not stochastic.
    """
    cdef int j, i, k, kind
    cdef int32_t v, w, lam, alpha, beta, eta, gamma
    for j in range(NEURONS):
        v = V[j] + drive[j]
        if noise[j]:
            for kind in range(TYPES):
                for k in range(spiking.n[kind] if noise[j] >> kind & 1 else 0):
                    i = spiking.axon[kind][k]
                    if crossbar[i * (NEURONS >> 3) + (j >> 3)] >> (j & 7) & 1:
                        v += chance(noise[(7 + kind) * NEURONS + j], draw(key, t, j, i))
        v = saturate(v)
        lam = p[j]
        if noise[NEURONS + j]:
            lam = chance(lam, draw(key, t, j, DRAW_LEAK))
        if noise[5 * NEURONS + j]:
            w = v + ((v > 0) - (v < 0)) * lam
            v = 0 if (v ^ w) < 0 else saturate(w)
        else:
            v = saturate(v + lam)
        eta = <int32_t> (draw(key, t, j, DRAW_THRESHOLD) >> 49) & noise[2 * NEURONS + j]
        alpha = p[2 * NEURONS + j] + eta
        beta = -p[3 * NEURONS + j]
        gamma = noise[3 * NEURONS + j]
        fired[j] = v >= alpha
        if fired[j]:
            v = noise[6 * NEURONS + j] if gamma == 0 else v - alpha if gamma == 1 else v
        elif noise[4 * NEURONS + j]:
            v = -beta if v < -beta else v
        elif v < -(beta + eta):
            v = -noise[6 * NEURONS + j] if gamma == 0 else v + beta + eta if gamma == 1 else v
        V[j] = v
    return 1


@cython.boundscheck(False)
@cython.wraparound(False)
@cython.initializedcheck(False)
def simulate(
    const uint8_t[:, :, ::1] crossbar,
    const uint16_t[:, ::1] axon_table,
    const int32_t[::1] prototype,
    const int16_t[:, :, ::1] weights,
    const uint8_t[::1] kinds,
    const int32_t[:, :, ::1] neurons,
    const int32_t[:, :, ::1] noise,
    const uint64_t[::1] keys,
    const int32_t[:, ::1] potential,
    const uint64_t[:, ::1] routes,
    const uint8_t[::1] leaves,
    const uint64_t[:, :, ::1] kinds_of_target,
    const int32_t[::1] copies,
    const int32_t[::1] line_start,
    const int32_t[::1] line_words,
    const uint64_t[::1] line_masks,
    const int32_t[::1] line_spikes,
    const uint64_t[:, ::1] raster,
    const int64_t[::1] starts,
    const int64_t[::1] counted,
    int32_t[:, ::1] counts,
    int64_t[:, ::1] spikes,
    int64_t[::1] events,
    uint16_t[:, ::1] out_raster,
    bint record,
    int32_t[:, ::1] V,
    uint64_t[:, :, :, ::1] schedulers,
    uint8_t[::1] resting,
    uint8_t[:, ::1] tally,
    int64_t[::1] arrived,
    Py_ssize_t first,
    Py_ssize_t last,
    int thread,
    int threads,
):
    """Run cores first..last-1 of a batch; every argument was checked and allocated by run.Simulator.

    Shapes, with C cores, L input lines, N runs, t ticks of all runs, O output lines, P distinct cores: axon_table (C, 256)
    and prototype (C,), the distinct core that has each one's parameters; weights (P, 4, 256) by axon type; kinds (P,)
    as tables.KIND_*; neurons (P, 8, 256), noise (P, 11, 256) or none;
    routes (C, 256) as tables.route_table, leaves (C,) whether any neuron drives an output line, kinds_of_target
    (C, 2, 4) bits of the neurons that drive axons and output lines; copies (words,) as tables.line_copies; line_start (L + 1,) into line_words (n,) 4 core + 64-bit word, line_masks (n,) and line_spikes (n,) its axons; raster (t, words); starts (N + 1,), counted (N,); results counts (N, O), spikes (N, 3), events (N,), out_raster
    (t, O) if `record`; work space: V (C, 256), resting (C,), tally (C, 256) zeroed, arrived (1,) and schedulers (threads, 16, C, 4):
    each thread writes the spikes that it sends into its own, and at each tick takes up what the others have for it.
    """
    cdef int32_t drive[NEURONS]
    cdef uint8_t fired[NEURONS]
    cdef Spiking spiking
    cdef Py_ssize_t run, c, k, p, t, line, word
    cdef int64_t sent_in, sent_hidden, sent_out, seen, meetings = 0
    cdef uint64_t bits, route
    cdef uint64_t spikers[WORDS]
    cdef uint64_t leavers[WORDS]
    cdef int tallied = 0
    cdef bint far = V.shape[0] > 64  # routes of that many cores do not stay in the cache
    cdef uint64_t* axons
    cdef int32_t target, axon
    cdef uint64_t* axon_words
    cdef uint64_t* others
    cdef uint64_t* mine = &schedulers[thread, 0, 0, 0]
    cdef Py_ssize_t cores = V.shape[0]
    cdef int slot, arrive, i, g, j, happened, shared = threads > 1
    cdef bint counting, silent
    with nogil:
        for run in range(starts.shape[0] - 1):
            memcpy(&V[first, 0], &potential[first, 0], (last - first) * NEURONS * sizeof(int32_t))
            memset(&resting[first], 0, last - first)
            memset(mine, 0, SLOTS * cores * WORDS * sizeof(uint64_t))
            sent_in = sent_hidden = sent_out = seen = 0
            meetings += 1
            meet(&arrived[0], threads, meetings)
            for t in range(starts[run], starts[run + 1]):
                slot = (t - starts[run]) & (SLOTS - 1)
                counting = t >= starts[run + 1] - counted[run]
                axon_words = mine + slot * cores * WORDS
                for g in range(threads):  # what the other threads have sent here
                    if g != thread:
                        others = &schedulers[g, slot, first, 0]
                        for k in range((last - first) * WORDS):
                            axon_words[first * WORDS + k] |= others[k]
                        memset(others, 0, (last - first) * WORDS * sizeof(uint64_t))
                for word in range(raster.shape[1]):
                    bits = raster[t, word]
                    if copies[word] >= 0:  # 64 lines for 64 axons in order
                        if first <= copies[word] >> 2 < last:
                            axon_words[copies[word]] |= bits
                            sent_in += bits_in(bits)
                        continue
                    while bits:
                        line = word * 64 + lowest_bit(bits)
                        bits &= bits - 1
                        for k in range(line_start[line], line_start[line + 1]):
                            if first <= line_words[k] >> 2 < last:
                                axon_words[line_words[k]] |= line_masks[k]
                                sent_in += line_spikes[k]
                for c in range(first, last):
                    axons = axon_words + c * WORDS
                    p = prototype[c]
                    if far and c + 1 < last:  # the rows of the next core, while this one is computed
                        for word in range(WORDS):
                            bits = axons[WORDS + word]
                            while bits:
                                fetch(&crossbar[c + 1, word * 64 + lowest_bit(bits), 0])
                                fetch(&axon_table[c + 1, word * 64 + lowest_bit(bits)])
                                bits &= bits - 1
                    silent = not (axons[0] | axons[1] | axons[2] | axons[3])
                    if silent:
                        if resting[c]:
                            continue
                        memset(drive, 0, sizeof(drive))
                    memset(spiking.n, 0, sizeof(spiking.n))
                    if not silent:
                        for word in range(WORDS):
                            bits = axons[word]
                            axons[word] = 0
                            while bits:
                                i = word * 64 + lowest_bit(bits)
                                bits &= bits - 1
                                seen += axon_table[c, i] & 0x1FF
                                g = axon_table[c, i] >> 9
                                spiking.axon[g][spiking.n[g]] = <uint8_t> i
                                spiking.n[g] += 1
                        synapses(&crossbar[c, 0, 0], &weights[p, 0, 0], &spiking, drive)
                    if kinds[p] == 0:
                        happened = update_plain(&neurons[p, 0, 0], drive, &V[c, 0], fired)
                    elif kinds[p] == 1:
                        happened = update(&neurons[p, 0, 0], drive, &V[c, 0], fired, False)
                    elif kinds[p] == 2:
                        happened = update(&neurons[p, 0, 0], drive, &V[c, 0], fired, True)
                    else:
                        happened = update_noisy(
                            &neurons[p, 0, 0], &noise[p, 0, 0], keys[c], t - starts[run], &spiking,
                            &crossbar[c, 0, 0], drive, &V[c, 0], fired,
                        )
                    resting[c] = silent and not happened
                    for k in range(NEURONS // 64):
                        bits = gather_bits(fired + 64 * k)
                        spikers[k] = bits & kinds_of_target[c, 0, k]
                        leavers[k] = bits & kinds_of_target[c, 1, k]
                        sent_hidden += bits_in(spikers[k])
                        sent_out += bits_in(leavers[k])
                    if far:
                        for k in range(NEURONS // 64):
                            bits = spikers[k]
                            while bits:
                                fetch(&routes[c, k * 64 + lowest_bit(bits)])
                                bits &= bits - 1
                    for k in range(NEURONS // 64):
                        bits = spikers[k]
                        while bits:
                            route = routes[c, k * 64 + lowest_bit(bits)]
                            bits &= bits - 1
                            target = <int32_t> (route >> 32)
                            axon = <int32_t> (route >> 8) & 0xFF
                            arrive = (slot + <int> (route & 0xFF)) & (SLOTS - 1)
                            mine[(arrive * cores + target) * WORDS + (axon >> 6)] |= (<uint64_t> 1) << (axon & 63)
                    if counting and leaves[c]:
                        for j in range(NEURONS):
                            tally[c, j] += fired[j]
                    if record:
                        for k in range(NEURONS // 64):
                            bits = leavers[k]
                            while bits:
                                axon = <int32_t> (routes[c, k * 64 + lowest_bit(bits)] >> 8) & 0xFFFFFF
                                bits &= bits - 1
                                add_16(&out_raster[t, axon], 1, shared)
                if counting:
                    tallied += 1
                    if tallied == 255 or t == starts[run + 1] - 1:
                        tallied = 0
                        for c in range(first, last):
                            if leaves[c]:
                                for j in range(NEURONS):
                                    if tally[c, j] and kinds_of_target[c, 1, j >> 6] >> (j & 63) & 1:
                                        axon = <int32_t> (routes[c, j] >> 8) & 0xFFFFFF
                                        add_32(&counts[run, axon], tally[c, j], shared)
                                memset(&tally[c, 0], 0, NEURONS)
                meetings += 1
                meet(&arrived[0], threads, meetings)
            add_64(&spikes[run, 0], sent_in)
            add_64(&spikes[run, 1], sent_hidden)
            add_64(&spikes[run, 2], sent_out)
            add_64(&events[run], seen)
