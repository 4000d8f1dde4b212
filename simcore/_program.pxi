# The program kernel: many questions on the small network that program.derive made of a core image.
# Equal to `simulate` on the image, spikes and counts of the chip included.

cdef extern from *:
    """
    /* drive[0..16 vectors - 1] = sum of rows[list[k]], with the sums kept in registers. */
    static inline __attribute__((always_inline)) void sum_fixed(
        const int16_t *rows, int stride, const unsigned char *list, int n, int16_t *drive, const int vectors)
    {
        weights16 total[8];
        for (int v = 0; v < vectors; v++)
            total[v] = (weights16) {0};
        for (int k = 0; k < n; k++) {
            const weights16 *row = (const weights16 *) (rows + stride * (int) list[k]);
            for (int v = 0; v < vectors; v++)
                total[v] += row[v];
        }
        for (int v = 0; v < vectors; v++)
            ((weights16 *) drive)[v] = total[v];
    }

    static inline void sum_weights(
        const int16_t *rows, int vectors, const unsigned char *list, int n, int16_t *drive)
    {
        int stride = 16 * vectors;
        while (vectors > 4) {
            sum_fixed(rows, stride, list, n, drive, 4);
            rows += 64; drive += 64; vectors -= 4;
        }
        switch (vectors) {
        case 1: sum_fixed(rows, stride, list, n, drive, 1); break;
        case 2: sum_fixed(rows, stride, list, n, drive, 2); break;
        case 3: sum_fixed(rows, stride, list, n, drive, 3); break;
        default: sum_fixed(rows, stride, list, n, drive, 4); break;
        }
    }
    """
    void sum_weights(
        const int16_t* rows, int vectors, const uint8_t* list, int n, int16_t* drive) noexcept nogil


cdef struct Tables:
    # program.Program; `even_lines` and `even_classes` say that every line, and every class with routes, stands for
    # the same number of spikes
    const int16_t* weights
    const int32_t* events
    const int32_t* potential
    const int32_t* leak
    const int32_t* alpha
    const int32_t* minus_beta
    const int32_t* groups
    const int32_t* most_leak
    const int32_t* line_start
    const int32_t* line_signals
    const int32_t* line_spikes
    const int32_t* route_start
    const int32_t* routes
    const int32_t* hidden_spikes
    const int32_t* output_spikes
    const int32_t* exit_start
    const int32_t* exits
    uint64_t leaving[WORDS]
    int vectors, classes, drives, singles, first_signal, common_delay, routed, line_words, signal_words
    bint lines_are_signals, even_lines, even_classes


cdef struct State:
    # one run
    int32_t V[NEURONS]
    uint8_t fired[NEURONS]
    uint64_t scheduler[SLOTS][WORDS]
    bint quiet[NEURONS]
    int64_t sent_in, sent_hidden, sent_out, events
    int t


cdef inline void step_singles(const Tables* net, const int16_t* drive, State* s) noexcept nogil:
    """Leak, fire and linear reset with a floor, for classes that have a drive of their own."""
    cdef int j
    cdef int32_t v, up
    for j in range(net.singles):
        v = s.V[j] + drive[j]
        v = POTENTIAL_MAX if v > POTENTIAL_MAX else v
        v += net.leak[j]
        v = POTENTIAL_MAX if v > POTENTIAL_MAX else v
        up = -(v >= net.alpha[j])
        v -= net.alpha[j] & up
        s.V[j] = net.minus_beta[j] if v < net.minus_beta[j] else v
        s.fired[j] = <uint8_t> (up & 1)


cdef inline bint step_group(const Tables* net, int first, int last, int32_t drive, State* s) noexcept nogil:
    """The same for classes that share a drive; tell whether all of them ended at their floor, silent."""
    cdef int j
    cdef int32_t v, up, above = 0
    for j in range(first, last):
        v = s.V[j] + drive
        v = POTENTIAL_MAX if v > POTENTIAL_MAX else v
        v += net.leak[j]
        v = POTENTIAL_MAX if v > POTENTIAL_MAX else v
        up = -(v >= net.alpha[j])
        v -= net.alpha[j] & up
        v = net.minus_beta[j] if v < net.minus_beta[j] else v
        above |= (v ^ net.minus_beta[j]) | up
        s.V[j] = v
        s.fired[j] = <uint8_t> (up & 1)
    return above == 0


cdef inline void begin(const Tables* net, State* s) noexcept nogil:
    memcpy(s.V, net.potential, net.classes * sizeof(int32_t))
    memset(s.fired, 0, sizeof(s.fired))
    memset(s.scheduler, 0, sizeof(s.scheduler))
    memset(s.quiet, 0, sizeof(s.quiet))
    s.sent_in = s.sent_hidden = s.sent_out = s.events = 0
    s.t = 0


cdef inline void arrive(const Tables* net, const uint64_t* lines, uint64_t* now, State* s) noexcept nogil:
    """Let the spikes of the input lines arrive at their signals."""
    cdef int word, line, k
    cdef uint64_t bits
    for word in range(net.line_words):
        bits = lines[word]
        if net.lines_are_signals and net.even_lines:
            now[word] |= bits
            s.sent_in += bits_in(bits) * net.line_spikes[0]
            continue
        while bits:
            line = word * 64 + lowest_bit(bits)
            bits &= bits - 1
            s.sent_in += net.line_spikes[line]
            for k in range(net.line_start[line], net.line_start[line + 1]):
                now[net.line_signals[k] >> 6] |= (<uint64_t> 1) << (net.line_signals[k] & 63)


cdef inline void send(const Tables* net, State* s, int32_t* counts) noexcept nogil:
    """Send the spikes of this tick on their ways; `counts` is NULL in ticks that are not counted."""
    cdef int word, j, k, slot
    cdef uint64_t bits, out
    for word in range((net.classes + 63) >> 6):
        bits = gather_bits(s.fired + 64 * word)
        out = bits & net.leaving[word]
        if word == 0 and net.first_signal >= 0 and net.even_classes:
            bits &= ((<uint64_t> 1) << (net.routed & 63)) - 1 if net.routed < 64 else ~(<uint64_t> 0)
            s.scheduler[(s.t + net.common_delay) & (SLOTS - 1)][0] |= bits << net.first_signal
            s.sent_hidden += bits_in(bits) * net.hidden_spikes[0]
            bits = 0
        elif net.first_signal >= 0 and net.even_classes:
            bits = 0
        while bits:
            j = word * 64 + lowest_bit(bits)
            bits &= bits - 1
            s.sent_hidden += net.hidden_spikes[j]
            for k in range(net.route_start[j], net.route_start[j + 1]):
                slot = (s.t + net.routes[2 * k + 1]) & (SLOTS - 1)
                s.scheduler[slot][net.routes[2 * k] >> 6] |= (<uint64_t> 1) << (net.routes[2 * k] & 63)
        while out:
            j = word * 64 + lowest_bit(out)
            out &= out - 1
            s.sent_out += net.output_spikes[j]
            if counts != NULL:
                for k in range(net.exit_start[j], net.exit_start[j + 1]):
                    counts[net.exits[2 * k]] += net.exits[2 * k + 1]


cdef inline void tick(const Tables* net, State* s, const uint64_t* lines, int32_t* counts) noexcept nogil:
    cdef int16_t drive[NEURONS]
    cdef uint8_t spiking[AXONS]
    cdef uint64_t* now = s.scheduler[s.t & (SLOTS - 1)]
    cdef uint64_t bits
    cdef int word, d, n = 0
    arrive(net, lines, now, s)
    for word in range(net.signal_words):
        bits = now[word]
        now[word] = 0
        while bits:
            spiking[n] = <uint8_t> (word * 64 + lowest_bit(bits))
            bits &= bits - 1
            s.events += net.events[spiking[n]]
            n += 1
    sum_weights(net.weights, net.vectors, spiking, n, drive)
    step_singles(net, drive, s)
    for d in range(net.singles, net.drives):
        # at the floor, and nothing lifts it: it stays there, and the floor is below the threshold
        if not s.quiet[d] or drive[d] + net.most_leak[d] > 0:
            s.quiet[d] = step_group(net, net.groups[d], net.groups[d + 1], drive[d], s)
    send(net, s, counts)
    s.t += 1


@cython.final
@cython.boundscheck(False)
@cython.wraparound(False)
@cython.initializedcheck(False)
cdef class ProgramRunner:
    """A program.Program made ready to run; safe to use from several threads.

    `most_leak` (drives,) is the largest leak of each drive's classes, `leaving` (4,) the bits of the classes that
    drive an output line, `even_lines` and `even_classes` whether every line, and every routed class, stands for the
    same number of spikes; the other arguments are the fields of program.Program.
    """

    cdef Tables net
    cdef object kept

    def __cinit__(
        self,
        const int16_t[:, ::1] weights,
        const int32_t[::1] events,
        const int32_t[:, ::1] neurons,
        const int32_t[::1] groups,
        int singles,
        bint lines_are_signals,
        const int32_t[::1] line_start,
        const int32_t[::1] line_signals,
        const int32_t[::1] line_spikes,
        int first_signal,
        int common_delay,
        const int32_t[::1] route_start,
        const int32_t[:, ::1] routes,
        const int32_t[::1] hidden_spikes,
        const int32_t[::1] output_spikes,
        const int32_t[::1] exit_start,
        const int32_t[:, ::1] exits,
        const int32_t[::1] most_leak,
        const uint64_t[::1] leaving,
        bint even_lines,
        bint even_classes,
    ):
        cdef Tables* net = &self.net
        self.kept = (
            weights, events, neurons, groups, line_start, line_signals, line_spikes, route_start, routes,
            hidden_spikes, output_spikes, exit_start, exits, most_leak,
        )
        net.weights = &weights[0, 0]
        net.events = &events[0]
        net.potential = &neurons[0, 0]
        net.leak = &neurons[1, 0]
        net.alpha = &neurons[2, 0]
        net.minus_beta = &neurons[3, 0]
        net.groups = &groups[0]
        net.most_leak = &most_leak[0]
        net.line_start = &line_start[0]
        net.line_signals = &line_signals[0] if line_signals.shape[0] else NULL
        net.line_spikes = &line_spikes[0] if line_spikes.shape[0] else NULL
        net.route_start = &route_start[0]
        net.routes = &routes[0, 0] if routes.shape[0] else NULL
        net.hidden_spikes = &hidden_spikes[0]
        net.output_spikes = &output_spikes[0]
        net.exit_start = &exit_start[0]
        net.exits = &exits[0, 0] if exits.shape[0] else NULL
        net.leaving[0], net.leaving[1], net.leaving[2], net.leaving[3] = leaving
        net.vectors = weights.shape[1] // 16
        net.classes = neurons.shape[1]
        net.drives = groups.shape[0] - 1
        net.singles = singles
        net.first_signal, net.common_delay, net.routed = first_signal, common_delay, routes.shape[0]
        net.line_words = (line_spikes.shape[0] + 63) // 64
        net.signal_words = (weights.shape[0] + 63) // 64
        net.lines_are_signals, net.even_lines, net.even_classes = lines_are_signals, even_lines, even_classes

    def run(
        self,
        const uint64_t[:, ::1] raster,
        const int64_t[::1] starts,
        const int64_t[::1] counted,
        int32_t[:, ::1] counts,
        int64_t[:, ::1] spikes,
        int64_t[::1] events,
    ):
        """Run a batch; the arguments are as in `simulate`."""
        cdef State s
        cdef Py_ssize_t run, t
        cdef int32_t* counting
        with nogil:
            for run in range(starts.shape[0] - 1):
                begin(&self.net, &s)
                for t in range(starts[run], starts[run + 1]):
                    counting = &counts[run, 0] if t >= starts[run + 1] - counted[run] else NULL
                    tick(&self.net, &s, &raster[t, 0], counting)
                spikes[run, 0], spikes[run, 1], spikes[run, 2] = s.sent_in, s.sent_hidden, s.sent_out
                events[run] = s.events

    def answer(
        self,
        const uint64_t[:, :, ::1] word_raster,
        const uint64_t[:, ::1] drain_raster,
        Py_ssize_t drain_steps,
        bint reverse,
        const int32_t[::1] rows,
        const int64_t[::1] starts,
        int32_t[:, ::1] counts,
        int64_t[:, ::1] spikes,
        int64_t[::1] events,
    ):
        """Answer questions whose input raster is never written out.

        word_raster (code rows, T, words) and drain_raster (T, words) hold the spikes of a step; rows are the code rows
        of all words, starts (N + 1,) where each question's begin; output spikes are counted in the drain steps.
        """
        cdef State s
        cdef Py_ssize_t q, w, t, n, row
        cdef Py_ssize_t T = drain_raster.shape[0]
        with nogil:
            for q in range(starts.shape[0] - 1):
                begin(&self.net, &s)
                n = starts[q + 1] - starts[q]
                for w in range(n):
                    row = rows[starts[q] + (n - 1 - w if reverse else w)]
                    for t in range(T):
                        tick(&self.net, &s, &word_raster[row, t, 0], NULL)
                for w in range(drain_steps):
                    for t in range(T):
                        tick(&self.net, &s, &drain_raster[t, 0], &counts[q, 0])
                spikes[q, 0], spikes[q, 1], spikes[q, 2] = s.sent_in, s.sent_hidden, s.sent_out
                events[q] = s.events
