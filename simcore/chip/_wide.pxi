# One core in 32-bit arithmetic, for potentials that 16 bits cannot hold and for the stochastic modes.
# Neurons, and with them weights and parameters, are in word order (_chip.h).

cdef extern from "_chip.h":
    int add_rows(
        const uint8_t* crossbar, const uint8_t* axons, int n, const int16_t* weights, int16_t* sum) noexcept nogil
    void clear_drive(int16_t* drive) noexcept nogil

cdef enum:
    ROWS_IN_INT16 = 128  # rows of |weight| <= 255 whose sum stays inside int16: 128 * 255 = 32640


cdef struct Spiking:
    # The axons of a core that spike in a tick, by type.
    int n[AXON_TYPES]
    uint8_t axon[AXON_TYPES][AXONS]


cdef inline int synapses(
    const uint8_t* crossbar, const int16_t* weights, const Spiking* spiking, int32_t* drive
) noexcept nogil:
    """Compute drive[j] = sum over spiking axons i of w_ij s_j[G_i], from crossbar bits and weights (4, 256) by type.

    Sums up to 128 rows in 16 bits before adding them to the 32-bit drive.  Returns the synaptic events: the set bits
    of the rows.
    """
    cdef int16_t part[NEURONS]
    cdef int kind, j, some, done, added = 0, events = 0
    memset(drive, 0, NEURONS * sizeof(int32_t))
    memset(part, 0, sizeof(part))
    for kind in range(AXON_TYPES):
        done = 0
        while done < spiking.n[kind]:
            some = spiking.n[kind] - done
            if some > ROWS_IN_INT16 - added:
                some = ROWS_IN_INT16 - added
            events += add_rows(crossbar, spiking.axon[kind] + done, some, weights + kind * NEURONS, part)
            done += some
            added += some
            if added == ROWS_IN_INT16:
                for j in range(NEURONS):
                    drive[j] += part[j]
                memset(part, 0, sizeof(part))
                added = 0
    for j in range(NEURONS):
        drive[j] += part[j]
    return events


cdef inline int narrow_synapses(
    const uint8_t* crossbar, const int16_t* weights, const Spiking* spiking, int16_t* drive
) noexcept nogil:
    """Compute the same in 16 bits, for a core whose headroom guarantees that no sum leaves them."""
    cdef int kind, done, some, events = 0
    clear_drive(drive)
    for kind in range(AXON_TYPES):
        done = 0
        while done < spiking.n[kind]:
            some = spiking.n[kind] - done
            if some > ROWS_IN_INT16:  # add_rows counts up to 128 rows
                some = ROWS_IN_INT16
            events += add_rows(crossbar, spiking.axon[kind] + done, some, weights + kind * NEURONS, drive)
            done += some
    return events


cdef inline int update(
    const int32_t* p, const int32_t* drive, int32_t* V, uint8_t* fired, bint reversals
) noexcept nogil:
    """Leak, threshold, fire and reset all neurons of a core; return whether any fired or changed its potential.

    `p` holds the eight rows of `tables.neuron_table`.  Masks of 0 and -1 replace branches, so that the compiler can
    vectorise the loop: every reset mode is (V & keep) + add.  `reversals` is whether any neuron has leak reversal; it
    is a constant where this function is inlined.
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
            # (v ^ w) < 0 if the leak changed the sign: with leak reversal, V stops at zero instead.
            w = w & ~(reverse & ((v ^ w) >> 31))
        else:
            w = v + leak[j]
        w = POTENTIAL_MIN if w < POTENTIAL_MIN else w
        w = POTENTIAL_MAX if w > POTENTIAL_MAX else w
        up = -(w >= alpha[j])  # equation 6, with eta = 0: fires at the threshold itself
        down = -(w < minus_beta[j]) & ~up  # equation 7: strictly below, and never in the tick of a spike
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
    """Update a core of KIND_PLAIN, with half of the arithmetic: there the reset is a subtraction and a maximum."""
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
        # A neuron that fired has V - alpha >= 0 >= -beta, so this line acts only on the others, as equation 7 requires.
        v = minus_beta[j] if v < minus_beta[j] else v
        happened |= up | (v ^ V[j])
        V[j] = v
        fired[j] = <uint8_t> (up & 1)
    return happened


cdef inline uint64_t draw(uint64_t key, int64_t t, int j, int k) noexcept nogil:
    """Return the random number for tick t, neuron j and draw k, as `draw` in _random.py."""
    cdef uint64_t place = (<uint64_t> t << 17) + (<uint64_t> j << 9) + <uint64_t> k
    cdef uint64_t z = key + <uint64_t> 0x9E3779B97F4A7C15U * place
    z = (z ^ (z >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9U
    z = (z ^ (z >> 27)) * <uint64_t> 0x94D049BB133111EBU
    return z ^ (z >> 31)


cdef inline int32_t chance(int32_t s, uint64_t rho) noexcept nogil:
    """Return F(s, rho) sgn(s) of equation 2: the sign of s with probability (|s| + 1) / 256, otherwise 0."""
    cdef int32_t sign = (s > 0) - (s < 0)
    return sign if s * sign >= <int32_t> (rho >> (64 - RANDOM_BITS)) else 0


cdef inline int32_t saturate(int32_t v) noexcept nogil:
    return POTENTIAL_MIN if v < POTENTIAL_MIN else POTENTIAL_MAX if v > POTENTIAL_MAX else v


cdef int update_noisy(
    const int32_t* p, const int32_t* noise, uint64_t key, int64_t t, const Spiking* spiking,
    const uint8_t* crossbar, const int32_t* drive, int32_t* V, uint8_t* fired
) noexcept nogil:
    """Run a tick of a core of KIND_NOISY, neuron by neuron, in the order of the equations of docs/neuron.md.

    `p` is as in `update`, `noise` as in `tables.noise_table`; `drive` holds the sum of the weights that are not
    stochastic.  Returns 1: the next draw can differ, so such a core is never at rest.
    """
    cdef int at, j, i, k, kind
    cdef int32_t v, w, lam, alpha, beta, eta, gamma  # lam: lambda, a keyword of Python
    for at in range(NEURONS):
        j = (at & 15) << 4 | (at & 16) >> 1 | at >> 5  # the neuron at this position: tables.WORD_ORDER
        v = V[at] + drive[at]
        if noise[at]:
            for kind in range(AXON_TYPES):
                for k in range(spiking.n[kind] if noise[at] >> kind & 1 else 0):
                    i = spiking.axon[kind][k]
                    # The draw depends on neuron j and axon i, not on the order of this loop.
                    if crossbar[i * (NEURONS >> 3) + (j >> 3)] >> (j & 7) & 1:
                        v += chance(noise[(7 + kind) * NEURONS + at], draw(key, t, j, i))
        v = saturate(v)
        lam = p[at]
        if noise[NEURONS + at]:
            lam = chance(lam, draw(key, t, j, DRAW_LEAK))
        if noise[5 * NEURONS + at]:
            w = v + ((v > 0) - (v < 0)) * lam
            v = 0 if (v ^ w) < 0 else saturate(w)
        else:
            v = saturate(v + lam)
        # Equation 5.  Both thresholds of a tick use the same eta, but the negative one only if kappa is 0.
        eta = <int32_t> (draw(key, t, j, DRAW_THRESHOLD) >> (64 - THRESHOLD_BITS_MAX)) & noise[2 * NEURONS + at]
        alpha = p[2 * NEURONS + at] + eta
        beta = -p[3 * NEURONS + at]
        gamma = noise[3 * NEURONS + at]
        fired[at] = v >= alpha
        if fired[at]:
            v = noise[6 * NEURONS + at] if gamma == 0 else v - alpha if gamma == 1 else v
        elif noise[4 * NEURONS + at]:
            v = -beta if v < -beta else v
        elif v < -(beta + eta):
            v = -noise[6 * NEURONS + at] if gamma == 0 else v + beta + eta if gamma == 1 else v
        V[at] = v
    return 1
