# The core in Cython: the same ticks as reference.py, bit for bit.  Included by one .pyx for each instruction set,
# so that the C compiler vectorises the same source for each (see _dispatch.py).

cimport cython
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    static inline int lowest_bit(unsigned long long bits) { return __builtin_ctzll(bits); }
    #if defined(__x86_64__)
    static inline int cpu_has_avx2(void) { return __builtin_cpu_supports("avx2") != 0; }
    #else
    static inline int cpu_has_avx2(void) { return 0; }
    #endif
    """
    int lowest_bit(uint64_t bits) noexcept nogil
    int cpu_has_avx2() noexcept nogil

cdef enum:
    AXONS = 256
    NEURONS = 256
    WORDS = 4  # 64-bit words of a core's axon bits
    SLOTS = 16
    POTENTIAL_MIN = -(1 << 19)
    POTENTIAL_MAX = (1 << 19) - 1
    OUTPUT = -2
    ROWS_OF_16_BIT = 128  # rows of |weight| <= 255 whose sum stays inside int16


def has_avx2():
    """Tell whether this CPU runs AVX2 code."""
    return bool(cpu_has_avx2())


cdef inline void add_rows(
    const int16_t* rows, const uint64_t* axons, int32_t* drive
) noexcept nogil:
    """Synapses: drive[j] = sum over spiking axons of their weight on neuron j."""
    cdef int16_t part[NEURONS]
    cdef const int16_t* row
    cdef uint64_t bits
    cdef int word, j, added = 0
    memset(drive, 0, NEURONS * sizeof(int32_t))
    memset(part, 0, sizeof(part))
    for word in range(WORDS):
        bits = axons[word]
        while bits:
            row = rows + (word * 64 + lowest_bit(bits)) * NEURONS
            bits &= bits - 1
            for j in range(NEURONS):
                part[j] = <int16_t> (part[j] + row[j])
            added += 1
        if added and (word & 1):  # two words hold at most ROWS_OF_16_BIT axons
            for j in range(NEURONS):
                drive[j] += part[j]
            memset(part, 0, sizeof(part))
            added = 0


cdef inline int update(
    const int32_t* p, const int32_t* drive, int32_t* V, uint8_t* fired
) noexcept nogil:
    """Leak, threshold, fire and reset all neurons of a core; return whether any fired.

    `p` holds eight rows of parameters, one value per neuron (see tables.neuron_table):
    leak, leak reversal mask, threshold, -neg_threshold, and for the positive and the negative side a mask to keep
    the potential and a value to add; so that every reset mode is the same arithmetic.
    """
    cdef int j, any_fired = 0
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
        V[j] = (
            (up & ((w & up_keep[j]) + up_add[j]))
            | (down & ((w & down_keep[j]) + down_add[j]))
            | (~(up | down) & w)
        )
        fired[j] = <uint8_t> (up & 1)
        any_fired |= up
    return any_fired


# Draws of _random.py, the same numbers.
cdef enum:
    DRAW_LEAK = 256
    DRAW_THRESHOLD = 257


cdef inline uint64_t draw(uint64_t key, int64_t t, int j, int k) noexcept nogil:
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
    const int32_t* p, const int32_t* noise, uint64_t key, int64_t t, const uint64_t* axons,
    const uint8_t* crossbar, const uint8_t* axon_type, const int16_t* weights,
    const int32_t* drive, int32_t* V, uint8_t* fired
) noexcept nogil:
    """Run all neurons of a core with stochastic modes, one after the other, in the order of the equations.

    `p` is as in `update`, `noise` as tables.noise_table.
    """
    cdef int j, i, word, any_fired = 0
    cdef int32_t v, w, lam, alpha, beta, eta, gamma
    cdef uint64_t bits
    for j in range(NEURONS):
        v = V[j] + drive[j]
        if noise[j]:
            for word in range(WORDS):
                bits = axons[word]
                while bits:
                    i = word * 64 + lowest_bit(bits)
                    bits &= bits - 1
                    if noise[j] >> axon_type[i] & 1 and crossbar[i * (NEURONS >> 3) + (j >> 3)] >> (j & 7) & 1:
                        v += chance(weights[j * 4 + axon_type[i]], draw(key, t, j, i))
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
        any_fired |= fired[j]
        if fired[j]:
            v = noise[6 * NEURONS + j] if gamma == 0 else v - alpha if gamma == 1 else v
        elif noise[4 * NEURONS + j]:
            v = -beta if v < -beta else v
        elif v < -(beta + eta):
            v = -noise[6 * NEURONS + j] if gamma == 0 else v + beta + eta if gamma == 1 else v
        V[j] = v
    return any_fired


@cython.boundscheck(False)
@cython.wraparound(False)
@cython.initializedcheck(False)
def simulate(
    const int16_t[:, :, ::1] rows,
    const uint16_t[:, ::1] fan_out,
    const int32_t[:, :, ::1] neurons,
    const uint8_t[::1] noisy,
    const int32_t[:, :, ::1] noise,
    const uint64_t[::1] keys,
    const uint8_t[:, :, ::1] crossbar,
    const uint8_t[:, ::1] axon_type,
    const int16_t[:, :, ::1] weights,
    const int32_t[:, ::1] potential,
    const int32_t[:, ::1] target_core,
    const int32_t[:, ::1] target_axon,
    const uint8_t[:, ::1] delay,
    const int32_t[::1] line_start,
    const int32_t[:, ::1] line_axons,
    const uint64_t[:, ::1] raster,
    const int64_t[::1] starts,
    const int64_t[::1] counted,
    int32_t[:, ::1] V,
    uint64_t[:, :, ::1] scheduler,
    int32_t[:, ::1] counts,
    int64_t[:, ::1] spikes,
    int64_t[::1] events,
    uint16_t[:, ::1] out_raster,
    bint record,
):
    """Run a batch of questions; every argument was checked and allocated by run.Simulator.

    Shapes, with C cores, L input lines, N runs, t ticks of all runs, O output lines: rows (C, 256, 256),
    fan_out (C, 256) synapses of each axon, neurons (C, 8, 256) and noise (C, 7, 256) as in tables.py, line_start (L + 1,) into line_axons (n, 2) of
    core and axon, raster (t, words), starts (N + 1,), counted (N,); work space V (C, 256), scheduler (16, C, 4);
    results counts (N, O), spikes (N, 3), events (N,), out_raster (t, O) if `record`.
    """
    with nogil:
        _simulate(
            rows, fan_out, neurons, noisy, noise, keys, crossbar, axon_type, weights, potential,
            target_core, target_axon, delay, line_start, line_axons, raster,
            starts, counted, V, scheduler, counts, spikes, events, out_raster, record,
        )


@cython.boundscheck(False)
@cython.wraparound(False)
@cython.initializedcheck(False)
cdef void _simulate(
    const int16_t[:, :, ::1] rows,
    const uint16_t[:, ::1] fan_out,
    const int32_t[:, :, ::1] neurons,
    const uint8_t[::1] noisy,
    const int32_t[:, :, ::1] noise,
    const uint64_t[::1] keys,
    const uint8_t[:, :, ::1] crossbar,
    const uint8_t[:, ::1] axon_type,
    const int16_t[:, :, ::1] weights,
    const int32_t[:, ::1] potential,
    const int32_t[:, ::1] target_core,
    const int32_t[:, ::1] target_axon,
    const uint8_t[:, ::1] delay,
    const int32_t[::1] line_start,
    const int32_t[:, ::1] line_axons,
    const uint64_t[:, ::1] raster,
    const int64_t[::1] starts,
    const int64_t[::1] counted,
    int32_t[:, ::1] V,
    uint64_t[:, :, ::1] scheduler,
    int32_t[:, ::1] counts,
    int64_t[:, ::1] spikes,
    int64_t[::1] events,
    uint16_t[:, ::1] out_raster,
    bint record,
) noexcept nogil:
    cdef int32_t drive[NEURONS]
    cdef uint8_t fired[NEURONS]
    cdef Py_ssize_t run, c, k, t, line, word
    cdef Py_ssize_t cores = V.shape[0]
    cdef uint64_t bits
    cdef uint64_t* axons
    cdef int32_t target, axon
    cdef int slot, arrive, j, some
    cdef bint counting
    for run in range(starts.shape[0] - 1):
        memcpy(&V[0, 0], &potential[0, 0], cores * NEURONS * sizeof(int32_t))
        memset(&scheduler[0, 0, 0], 0, SLOTS * cores * WORDS * sizeof(uint64_t))
        for t in range(starts[run], starts[run + 1]):
            slot = (t - starts[run]) & (SLOTS - 1)
            counting = t >= starts[run + 1] - counted[run]
            for word in range(raster.shape[1]):
                bits = raster[t, word]
                while bits:
                    line = word * 64 + lowest_bit(bits)
                    bits &= bits - 1
                    for k in range(line_start[line], line_start[line + 1]):
                        axon = line_axons[k, 1]
                        scheduler[slot, line_axons[k, 0], axon >> 6] |= (<uint64_t> 1) << (axon & 63)
                    spikes[run, 0] += line_start[line + 1] - line_start[line]
            for c in range(cores):
                axons = &scheduler[slot, c, 0]
                for word in range(WORDS):
                    bits = axons[word]
                    while bits:
                        events[run] += fan_out[c, word * 64 + lowest_bit(bits)]
                        bits &= bits - 1
                add_rows(&rows[c, 0, 0], axons, drive)
                if noisy[c]:
                    some = update_noisy(
                        &neurons[c, 0, 0], &noise[c, 0, 0], keys[c], t - starts[run], axons,
                        &crossbar[c, 0, 0], &axon_type[c, 0], &weights[c, 0, 0], drive, &V[c, 0], fired,
                    )
                else:
                    some = update(&neurons[c, 0, 0], drive, &V[c, 0], fired)
                memset(axons, 0, WORDS * sizeof(uint64_t))
                if not some:
                    continue
                for j in range(NEURONS):
                    if not fired[j]:
                        continue
                    target = target_core[c, j]
                    axon = target_axon[c, j]
                    if target >= 0:
                        arrive = (slot + delay[c, j]) & (SLOTS - 1)
                        scheduler[arrive, target, axon >> 6] |= (<uint64_t> 1) << (axon & 63)
                        spikes[run, 1] += 1
                    elif target == OUTPUT:
                        spikes[run, 2] += 1
                        if counting:
                            counts[run, axon] += 1
                        if record:
                            out_raster[t, axon] += 1
