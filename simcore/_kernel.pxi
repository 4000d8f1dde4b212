# The chip kernel in Cython: the same ticks as reference.py, bit for bit, for any number of cores.
# Included by one .pyx for each instruction set, so that the C compiler vectorises one source for each (_dispatch.py).
#
# Event-driven: only the crossbar rows of spiking axons are read, and a core at rest (no spike arrives, and a tick
# without spikes changed no potential and fired nothing) is not computed at all until a spike arrives.
# Threads share a chip by cores: each computes its own, spikes to other cores are set atomically, and all threads meet
# at the end of every tick.

cimport cython
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #include <sched.h>

    #if defined(__x86_64__)
    static inline int cpu_has_avx2(void) { return __builtin_cpu_supports("avx2") != 0; }
    #else
    static inline int cpu_has_avx2(void) { return 0; }
    #endif

    static inline int lowest_bit(unsigned long long bits) { return __builtin_ctzll(bits); }

    /* Vectors of 16 weights, of any alignment: the compiler maps them to what the CPU has. */
    typedef int16_t weights16 __attribute__((vector_size(32), aligned(2), may_alias));

    /* drive[j] += sum of rows[list[k]][j], k = 0..n-1 and j = 0..127, with the sums kept in registers;
       n <= 128, so that |sum| <= 128 * 255 fits 16 bits. */
    static inline void add_half_rows(const int16_t *rows, const uint16_t *list, int n, int32_t *drive)
    {
        weights16 a0 = {0}, a1 = {0}, a2 = {0}, a3 = {0}, a4 = {0}, a5 = {0}, a6 = {0}, a7 = {0};
        int16_t sum[128];
        for (int k = 0; k < n; k++) {
            const weights16 *row = (const weights16 *) (rows + (int) list[k] * 256);
            a0 += row[0]; a1 += row[1]; a2 += row[2]; a3 += row[3];
            a4 += row[4]; a5 += row[5]; a6 += row[6]; a7 += row[7];
        }
        weights16 *to = (weights16 *) sum;
        to[0] = a0; to[1] = a1; to[2] = a2; to[3] = a3; to[4] = a4; to[5] = a5; to[6] = a6; to[7] = a7;
        for (int j = 0; j < 128; j++)
            drive[j] += sum[j];
    }

    /* sum[j] += weights[j] where bit j of the crossbar row is set, j = 0..255. */
    static inline void add_masked(const int16_t *weights, const uint16_t *row, int16_t *sum)
    {
        const weights16 bit = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, -32768};
        for (int v = 0; v < 16; v++) {
            weights16 bits = (weights16) {0} + (int16_t) row[v];
            ((weights16 *) sum)[v] += ((const weights16 *) weights)[v] & (weights16) ((bits & bit) == bit);
        }
    }

    static inline void set_bit(unsigned long long *word, unsigned long long bit, int shared)
    {
        if (shared) __atomic_fetch_or(word, bit, __ATOMIC_RELAXED); else *word |= bit;
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

    /* Wait until all threads have come here for the `round`-th time. */
    static inline void meet(long long *arrived, long long threads, long long round)
    {
        if (threads == 1) return;
        __atomic_add_fetch(arrived, 1, __ATOMIC_ACQ_REL);
        for (int spins = 0; __atomic_load_n(arrived, __ATOMIC_ACQUIRE) < round * threads; spins++)
            if (spins > 4000) sched_yield();
    }
    """
    int cpu_has_avx2() noexcept nogil
    int lowest_bit(uint64_t bits) noexcept nogil
    void add_half_rows(const int16_t* rows, const uint16_t* list, int n, int32_t* drive) noexcept nogil
    void add_masked(const int16_t* weights, const uint16_t* row, int16_t* sum) noexcept nogil
    void set_bit(uint64_t* word, uint64_t bit, int shared) noexcept nogil
    void add_16(uint16_t* to, int n, int shared) noexcept nogil
    void add_32(int32_t* to, int n, int shared) noexcept nogil
    void add_64(int64_t* to, int64_t n) noexcept nogil
    void meet(int64_t* arrived, int64_t threads, int64_t round) noexcept nogil

cdef enum:
    AXONS = 256
    NEURONS = 256
    WORDS = 4  # 64-bit words of a core's axon bits
    SLOTS = 16
    POTENTIAL_MIN = -(1 << 19)
    POTENTIAL_MAX = (1 << 19) - 1
    OUTPUT = -2
    ROWS_OF_16_BIT = 128  # rows of |weight| <= 255 whose sum stays inside int16
    DRAW_LEAK = 256  # draws of _random.py
    DRAW_THRESHOLD = 257


def has_avx2():
    """Tell whether this CPU runs AVX2 code."""
    return bool(cpu_has_avx2())


cdef inline void sum_rows(const int16_t* rows, const uint16_t* spiking, int n, int32_t* drive) noexcept nogil:
    """Synapses, from the table of weight rows: drive[j] = sum over spiking axons of their weight on neuron j."""
    cdef int some, done = 0
    memset(drive, 0, NEURONS * sizeof(int32_t))
    while done < n:
        some = ROWS_OF_16_BIT if n - done > ROWS_OF_16_BIT else n - done
        add_half_rows(rows, spiking + done, some, drive)
        add_half_rows(rows + 128, spiking + done, some, drive + 128)
        done += some


cdef inline void sum_bits(
    const uint8_t* crossbar, const uint8_t* axon_type, const int16_t* weights, const uint16_t* spiking, int n,
    int32_t* drive
) noexcept nogil:
    """Synapses, from crossbar bits and the weights (4, 256) by axon type: the same sums from a tenth of the memory."""
    cdef int16_t part[NEURONS]
    cdef int k, j, i
    memset(drive, 0, NEURONS * sizeof(int32_t))
    memset(part, 0, sizeof(part))
    for k in range(n):
        i = spiking[k]
        add_masked(weights + axon_type[i] * NEURONS, <const uint16_t*> (crossbar + i * (NEURONS >> 3)), part)
        if k % ROWS_OF_16_BIT == ROWS_OF_16_BIT - 1 or k == n - 1:
            for j in range(NEURONS):
                drive[j] += part[j]
            memset(part, 0, sizeof(part))


cdef inline int update(
    const int32_t* p, const int32_t* drive, int32_t* V, uint8_t* fired
) noexcept nogil:
    """Leak, threshold, fire and reset all neurons of a core; return whether any fired or changed its potential.

    `p` holds eight rows of parameters, one value per neuron (see tables.neuron_table):
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
        reverse = reversal[j]
        sign = (v > 0) - (v < 0)
        w = v + leak[j] * ((reverse & sign) | (~reverse & 1))
        # (v ^ w) < 0: the leak changed the sign; with leak reversal it stops at zero
        w = w & ~(reverse & ((v ^ w) >> 31))
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
    const int32_t* p, const int32_t* noise, uint64_t key, int64_t t, const uint16_t* spiking, int n,
    const uint8_t* crossbar, const uint8_t* axon_type, const int32_t* drive, int32_t* V, uint8_t* fired
) noexcept nogil:
    """All neurons of a core with stochastic modes, one after the other, in the order of the equations.

    `p` is as in `update`, `noise` as tables.noise_table; `drive` holds the weights that are not stochastic.
    """
    cdef int j, i, k, kind
    cdef int32_t v, w, lam, alpha, beta, eta, gamma
    for j in range(NEURONS):
        v = V[j] + drive[j]
        if noise[j]:
            for k in range(n):
                i = spiking[k]
                kind = axon_type[i]
                if noise[j] >> kind & 1 and crossbar[i * (NEURONS >> 3) + (j >> 3)] >> (j & 7) & 1:
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
    const int16_t[:, :, ::1] rows,
    const uint8_t[:, :, ::1] crossbar,
    const uint8_t[:, ::1] axon_type,
    const int16_t[:, :, ::1] weights,
    const uint16_t[:, ::1] fan_out,
    const uint8_t[::1] kind,
    const int32_t[:, :, ::1] neurons,
    const int32_t[:, :, ::1] noise,
    const uint64_t[::1] keys,
    const int32_t[:, ::1] potential,
    const int32_t[:, ::1] target_core,
    const int32_t[:, ::1] target_axon,
    const uint8_t[:, ::1] delay,
    const int32_t[::1] line_start,
    const int32_t[:, ::1] line_axons,
    const uint64_t[:, ::1] raster,
    const int64_t[::1] starts,
    const int64_t[::1] counted,
    int32_t[:, ::1] counts,
    int64_t[:, ::1] spikes,
    int64_t[::1] events,
    uint16_t[:, ::1] out_raster,
    bint record,
    int32_t[:, ::1] V,
    uint64_t[:, :, ::1] scheduler,
    uint8_t[::1] resting,
    int64_t[::1] arrived,
    Py_ssize_t first,
    Py_ssize_t last,
    int64_t threads,
):
    """Run cores first..last-1 of a batch; every argument was checked and allocated by run.Simulator.

    Shapes, with C cores, L input lines, N runs, t ticks of all runs, O output lines: rows (C, 256, 256), or none for
    large chips; weights (C, 4, 256) by axon type; fan_out (C, 256) synapses of each axon; kind (C,) as tables.KIND_*;
    neurons (C, 8, 256), noise (C, 11, 256) or none; line_start (L + 1,) into line_axons (n, 2) of core and axon;
    raster (t, words); starts (N + 1,), counted (N,); results counts (N, O), spikes (N, 3), events (N,), out_raster
    (t, O) if `record`; work space that all threads share: V (C, 256), scheduler (16, C, 4), resting (C,), arrived (1,).
    """
    cdef int32_t drive[NEURONS]
    cdef uint8_t fired[NEURONS]
    cdef uint16_t spiking[AXONS]
    cdef Py_ssize_t run, c, k, t, line, word
    cdef int64_t sent_in, sent_hidden, sent_out, seen, meetings = 0
    cdef uint64_t bits
    cdef uint64_t* axons
    cdef int32_t target, axon
    cdef int slot, arrive, j, n, happened, shared = threads > 1
    cdef bint counting, tabled = rows.shape[0] > 0
    with nogil:
        for run in range(starts.shape[0] - 1):
            memcpy(&V[first, 0], &potential[first, 0], (last - first) * NEURONS * sizeof(int32_t))
            memset(&resting[first], 0, last - first)
            for slot in range(SLOTS):
                memset(&scheduler[slot, first, 0], 0, (last - first) * WORDS * sizeof(uint64_t))
            sent_in = sent_hidden = sent_out = seen = 0
            meetings += 1
            meet(&arrived[0], threads, meetings)
            for t in range(starts[run], starts[run + 1]):
                slot = (t - starts[run]) & (SLOTS - 1)
                counting = t >= starts[run + 1] - counted[run]
                for word in range(raster.shape[1]):
                    bits = raster[t, word]
                    while bits:
                        line = word * 64 + lowest_bit(bits)
                        bits &= bits - 1
                        for k in range(line_start[line], line_start[line + 1]):
                            c = line_axons[k, 0]
                            if first <= c < last:
                                axon = line_axons[k, 1]
                                scheduler[slot, c, axon >> 6] |= (<uint64_t> 1) << (axon & 63)
                                sent_in += 1
                for c in range(first, last):
                    axons = &scheduler[slot, c, 0]
                    if resting[c] and not (axons[0] | axons[1] | axons[2] | axons[3]):
                        continue
                    n = 0
                    for word in range(WORDS):
                        bits = axons[word]
                        axons[word] = 0
                        while bits:
                            spiking[n] = <uint16_t> (word * 64 + lowest_bit(bits))
                            bits &= bits - 1
                            seen += fan_out[c, spiking[n]]
                            n += 1
                    if tabled:
                        sum_rows(&rows[c, 0, 0], spiking, n, drive)
                    else:
                        sum_bits(&crossbar[c, 0, 0], &axon_type[c, 0], &weights[c, 0, 0], spiking, n, drive)
                    if kind[c] == 0:
                        happened = update_plain(&neurons[c, 0, 0], drive, &V[c, 0], fired)
                    elif kind[c] == 1:
                        happened = update(&neurons[c, 0, 0], drive, &V[c, 0], fired)
                    else:
                        happened = update_noisy(
                            &neurons[c, 0, 0], &noise[c, 0, 0], keys[c], t - starts[run], spiking, n,
                            &crossbar[c, 0, 0], &axon_type[c, 0], drive, &V[c, 0], fired,
                        )
                    resting[c] = n == 0 and not happened
                    for k in range(NEURONS // 8):
                        bits = (<uint64_t*> fired)[k]
                        while bits:
                            j = k * 8 + (lowest_bit(bits) >> 3)
                            bits &= bits - 1
                            target = target_core[c, j]
                            axon = target_axon[c, j]
                            if target >= 0:
                                arrive = (slot + delay[c, j]) & (SLOTS - 1)
                                set_bit(&scheduler[arrive, target, axon >> 6], (<uint64_t> 1) << (axon & 63), shared)
                                sent_hidden += 1
                            elif target == OUTPUT:
                                sent_out += 1
                                if counting:
                                    add_32(&counts[run, axon], 1, shared)
                                if record:
                                    add_16(&out_raster[t, axon], 1, shared)
                meetings += 1
                meet(&arrived[0], threads, meetings)
            add_64(&spikes[run, 0], sent_in)
            add_64(&spikes[run, 1], sent_hidden)
            add_64(&spikes[run, 2], sent_out)
            add_64(&events[run], seen)
