# The program kernel: many questions on the small network that program.derive made of a core image.
# Equal to `simulate` on the image, spikes and counts of the chip included.

cdef enum:
    QUIET_GROUPS = 256


cdef inline void sum_weights(
    const int16_t* weights, Py_ssize_t width, const uint64_t* signals, int16_t* drive
) noexcept nogil:
    """drive[d] = sum over spiking signals of their weight; 16 bits hold every sum (proven by derive)."""
    cdef const int16_t* row
    cdef uint64_t bits
    cdef Py_ssize_t d
    cdef int word
    memset(drive, 0, width * sizeof(int16_t))
    for word in range(WORDS):
        bits = signals[word]
        while bits:
            row = weights + (word * 64 + lowest_bit(bits)) * width
            bits &= bits - 1
            for d in range(width):
                drive[d] = <int16_t> (drive[d] + row[d])


cdef inline void step_singles(
    Py_ssize_t n, const int16_t* drive, const int32_t* leak, const int32_t* alpha, const int32_t* minus_beta,
    int32_t* V, uint8_t* fired
) noexcept nogil:
    """Leak, fire and linear reset with a floor, for classes that have a drive of their own."""
    cdef Py_ssize_t j
    cdef int32_t v, up
    for j in range(n):
        v = V[j] + drive[j]
        v = POTENTIAL_MAX if v > POTENTIAL_MAX else v
        v += leak[j]
        v = POTENTIAL_MAX if v > POTENTIAL_MAX else v
        up = -(v >= alpha[j])
        v -= alpha[j] & up
        V[j] = minus_beta[j] if v < minus_beta[j] else v
        fired[j] = <uint8_t> (up & 1)


cdef inline bint step_group(
    Py_ssize_t n, int32_t drive, const int32_t* leak, const int32_t* alpha, const int32_t* minus_beta,
    int32_t* V, uint8_t* fired
) noexcept nogil:
    """The same for classes that share a drive; tell whether all of them ended at their floor, silent."""
    cdef Py_ssize_t j
    cdef int32_t v, up, above = 0
    for j in range(n):
        v = V[j] + drive
        v = POTENTIAL_MAX if v > POTENTIAL_MAX else v
        v += leak[j]
        v = POTENTIAL_MAX if v > POTENTIAL_MAX else v
        up = -(v >= alpha[j])
        v -= alpha[j] & up
        v = minus_beta[j] if v < minus_beta[j] else v
        above |= (v ^ minus_beta[j]) | up
        V[j] = v
        fired[j] = <uint8_t> (up & 1)
    return above == 0


@cython.boundscheck(False)
@cython.wraparound(False)
@cython.initializedcheck(False)
def run_program(
    const int16_t[:, ::1] weights,
    const int32_t[::1] signal_events,
    const int32_t[:, ::1] neurons,
    const int32_t[::1] groups,
    Py_ssize_t singles,
    const int32_t[::1] line_start,
    const int32_t[::1] line_signals,
    const int32_t[::1] line_spikes,
    const int32_t[::1] route_start,
    const int32_t[:, ::1] routes,
    const int32_t[::1] hidden_spikes,
    const int32_t[::1] output_spikes,
    const int32_t[::1] exit_start,
    const int32_t[:, ::1] exits,
    const uint64_t[:, ::1] raster,
    const int64_t[::1] starts,
    const int64_t[::1] counted,
    int32_t[:, ::1] counts,
    int64_t[:, ::1] spikes,
    int64_t[::1] events,
):
    """Run a batch of questions; the tables are those of program.Program, the rest is as in `simulate`."""
    cdef int32_t V[NEURONS]
    cdef uint8_t fired[NEURONS]
    cdef int16_t drive[NEURONS]
    cdef uint64_t scheduler[SLOTS][WORDS]
    cdef int32_t most_leak[QUIET_GROUPS]
    cdef bint quiet[QUIET_GROUPS]
    cdef Py_ssize_t width = weights.shape[1], classes = neurons.shape[1], drives = groups.shape[0] - 1
    cdef const int32_t* leak = &neurons[1, 0]
    cdef const int32_t* alpha = &neurons[2, 0]
    cdef const int32_t* minus_beta = &neurons[3, 0]
    cdef Py_ssize_t run, t, word, line, k, d, j, first
    cdef uint64_t bits
    cdef uint64_t* now
    cdef int64_t sent_in, sent_hidden, sent_out, happened
    cdef int slot, arrive
    cdef bint counting
    with nogil:
        for d in range(singles, drives):
            most_leak[d] = leak[groups[d]]
            for j in range(groups[d], groups[d + 1]):
                most_leak[d] = max(most_leak[d], leak[j])
        for run in range(starts.shape[0] - 1):
            memcpy(V, &neurons[0, 0], classes * sizeof(int32_t))
            memset(scheduler, 0, sizeof(scheduler))
            memset(quiet, 0, sizeof(quiet))
            memset(fired, 0, sizeof(fired))
            sent_in = sent_hidden = sent_out = happened = 0
            for t in range(starts[run], starts[run + 1]):
                slot = (t - starts[run]) & (SLOTS - 1)
                counting = t >= starts[run + 1] - counted[run]
                now = scheduler[slot]
                for word in range(raster.shape[1]):
                    bits = raster[t, word]
                    while bits:
                        line = word * 64 + lowest_bit(bits)
                        bits &= bits - 1
                        sent_in += line_spikes[line]
                        for k in range(line_start[line], line_start[line + 1]):
                            now[line_signals[k] >> 6] |= (<uint64_t> 1) << (line_signals[k] & 63)
                for word in range(WORDS):
                    bits = now[word]
                    while bits:
                        happened += signal_events[word * 64 + lowest_bit(bits)]
                        bits &= bits - 1
                sum_weights(&weights[0, 0], width, now, drive)
                memset(now, 0, WORDS * sizeof(uint64_t))
                step_singles(singles, drive, leak, alpha, minus_beta, V, fired)
                for d in range(singles, drives):
                    first = groups[d]
                    # at the floor, and nothing lifts it: it stays there, and the floor is below the threshold
                    if quiet[d] and drive[d] + most_leak[d] <= 0:
                        continue
                    quiet[d] = step_group(
                        groups[d + 1] - first, drive[d], leak + first, alpha + first, minus_beta + first,
                        V + first, fired + first,
                    )
                for k in range((classes + 7) // 8):
                    bits = (<uint64_t*> fired)[k]
                    while bits:
                        j = k * 8 + (lowest_bit(bits) >> 3)
                        bits &= bits - 1
                        sent_hidden += hidden_spikes[j]
                        sent_out += output_spikes[j]
                        for d in range(route_start[j], route_start[j + 1]):
                            arrive = (slot + routes[d, 1]) & (SLOTS - 1)
                            scheduler[arrive][routes[d, 0] >> 6] |= (<uint64_t> 1) << (routes[d, 0] & 63)
                        if counting:
                            for d in range(exit_start[j], exit_start[j + 1]):
                                counts[run, exits[d, 0]] += exits[d, 1]
            spikes[run, 0] += sent_in
            spikes[run, 1] += sent_hidden
            spikes[run, 2] += sent_out
            events[run] += happened
