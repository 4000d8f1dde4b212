# The program kernel: many questions on the small network that program.derive made of a core image.
# Equal to `simulate` on the image, spikes and counts of the chip included.

cdef extern from "_derived.h":
    enum:
        LANES
        MAX_VECTORS
        BLOCK
    ctypedef struct Layer:
        const int16_t* sums
        const int32_t* alpha
        const int32_t* floors
        const int32_t* guard
        const int16_t* narrow
        int vectors, tail, shift
        uint64_t hidden
    ctypedef struct Group:
        int32_t* U
        const int32_t* leak
        const int32_t* alpha
        const int32_t* floors
        const int32_t* guard
        const int32_t* weights
        int lanes
    int lane_place(int lane) noexcept nogil
    int run_block(
        const Layer* net, int ticks, const uint64_t* signals, uint64_t* flight, int32_t* potential, int16_t* drives,
        int16_t* top) noexcept nogil
    int run_group(
        const Group* group, int ticks, const int16_t* drives, int stride, int32_t* spikes, int32_t* total
    ) noexcept nogil
    void add_counters(
        int ticks, const int16_t* counters, int stride, int64_t* first, int64_t* second) noexcept nogil


cdef enum:
    OUT_LANES = 8 * NEURONS  # output neurons with their padding, at most
    MAX_TICKS = 255  # of a step
    MAX_WORDS = 1024  # of a question (coding.py)
    MAX_LINES = 256  # output lines whose largest counts are read (head.py)


cdef struct Tables:
    # program.Program, and what follows from it
    Layer layer
    int delay, T, drain_steps, lanes, hidden, drives, gate_spikes
    int drive_0  # of the tail's lanes
    int64_t copies  # neurons that every hidden spike stands for; 0: see spikes_of_lane
    bint reverse, both, every, largest
    int lines  # output lines
    const int32_t* potential  # of the lanes, U, in the order of lane_place
    const int32_t* spikes_of_lane  # neurons that one hidden spike stands for
    const int32_t* outputs  # (5, output lanes): U, leak, alpha, floor, guard
    int output_lanes
    const int32_t* group_start  # (drives + 1,) output lanes of each drive
    const int32_t* group_line
    const int32_t* most_leak
    const uint8_t* at_floor  # whether a drive's output neurons begin at their floor
    const int32_t* output_spikes
    const int32_t* exit_start
    const int32_t* exits
    uint64_t leaving  # hidden lanes whose class drives output lines, too
    const int32_t* leaving_spikes
    const int32_t* leaving_start
    const int32_t* leaving_exits


cdef struct State:
    # one question
    int32_t U[MAX_VECTORS * 16]
    int32_t out_U[OUT_LANES]
    uint8_t at_floor[NEURONS]
    uint64_t flight[BLOCK]  # hidden spikes on their way, by tick of arrival modulo the delay
    int64_t sent_in, sent_hidden, sent_out, events


cdef inline void begin(const Tables* net, State* s) noexcept nogil:
    memcpy(s.U, net.potential, net.lanes * sizeof(int32_t))
    memcpy(s.out_U, net.outputs, net.output_lanes * sizeof(int32_t))
    memcpy(s.at_floor, net.at_floor, net.drives)
    memset(s.flight, 0, sizeof(s.flight))
    s.sent_in = s.sent_hidden = s.sent_out = s.events = 0


cdef inline void leave(
    const int32_t* start, const int32_t* exits, int unit, int32_t n, int32_t* counts
) noexcept nogil:
    """Add n spikes of a class to the output lines that it drives."""
    cdef int k
    for k in range(start[unit], start[unit + 1]):
        counts[exits[2 * k]] += n * exits[2 * k + 1]


cdef bint run_outputs(
    const Tables* net, State* s, int ticks, const int16_t* drives, const int16_t* top, int32_t* counts
) noexcept nogil:
    """Run the output neurons that can do anything in this block; return whether one passed its guard."""
    cdef int32_t spikes[OUT_LANES]
    cdef Group group
    cdef int d, j, first, found
    cdef int32_t n
    for d in range(net.drives):
        # at the floor, and nothing lifts it: it stays there, and the floor is below the threshold
        if s.at_floor[d] and top[net.drive_0 + d] + net.most_leak[d] <= 0:
            continue
        first = net.group_start[d]
        group.U = s.out_U + first
        group.leak = net.outputs + net.output_lanes + first
        group.alpha = net.outputs + 2 * net.output_lanes + first
        group.floors = net.outputs + 3 * net.output_lanes + first
        group.guard = net.outputs + 4 * net.output_lanes + first
        group.weights = net.output_spikes + first
        group.lanes = net.group_start[d + 1] - first
        found = run_group(&group, ticks, drives + net.drive_0 + d, net.layer.tail * LANES, spikes, &n)
        if found < 0:
            return True
        s.at_floor[d] = found
        s.sent_out += n
        if counts == NULL or n == 0:
            continue
        if net.group_line[d] >= 0:
            counts[net.group_line[d]] += n
            continue
        for j in range(group.lanes):
            leave(net.exit_start, net.exits, first + j, spikes[j], counts)
    return False


cdef inline void leave_hidden(
    const Tables* net, State* s, int ticks, const uint64_t* fired, int32_t* counts
) noexcept nogil:
    """Count the spikes of hidden classes that drive output lines, too."""
    cdef int t, j
    cdef uint64_t bits
    for t in range(ticks):
        bits = fired[t] & net.leaving
        while bits:
            j = lowest_bit(bits)
            bits &= bits - 1
            s.sent_out += net.leaving_spikes[j]
            if counts != NULL:
                leave(net.leaving_start, net.leaving_exits, j, 1, counts)


cdef inline bint block(
    const Tables* net, State* s, int slot, int ticks, const uint64_t* signals, int32_t* counts
) noexcept nogil:
    """Run ticks whose hidden spikes arrive from `slot` on; return whether a potential passed its guard."""
    cdef int16_t drives[BLOCK * MAX_VECTORS * 16]
    cdef int16_t top[MAX_VECTORS * 16]
    if run_block(&net.layer, ticks, signals, s.flight + slot, s.U, drives, top):
        return True
    add_counters(
        ticks, drives + net.drive_0 + net.drives, net.layer.tail * LANES, &s.events, &s.sent_hidden)
    if net.leaving:
        leave_hidden(net, s, ticks, s.flight + slot, counts)
    return run_outputs(net, s, ticks, drives, top, counts)


cdef inline int64_t on_their_way(const Tables* net, const State* s) noexcept nogil:
    """Count the neurons' spikes that were sent, but will never arrive."""
    cdef int64_t total = 0
    cdef int i
    cdef uint64_t bits
    for i in range(net.delay):
        bits = s.flight[i]
        if net.copies:
            total += net.copies * bits_in(bits)
            continue
        while bits:
            total += net.spikes_of_lane[lowest_bit(bits)]
            bits &= bits - 1
    return total


cdef inline bint look_up(
    const Tables* net, const uint64_t* word_signals, const int32_t* word_rows, int64_t known, const int64_t* ids,
    int64_t words, int32_t* rows
) noexcept nogil:
    """Find the code rows of words, and have their signals fetched; return whether all ids are known."""
    cdef int64_t k
    for k in range(words):
        if <uint64_t> ids[k] >= <uint64_t> known:
            return False
        rows[k] = word_rows[ids[k]]
        fetch(word_signals + <int64_t> rows[k] * net.T)
        fetch(word_signals + <int64_t> rows[k] * net.T + 8)
    return True


cdef inline void keep_largest(int lines, int32_t* counts, int32_t* of_step) noexcept nogil:
    """Let counts be the largest of any step so far, and begin another step."""
    cdef int k
    for k in range(lines):
        counts[k] = max(counts[k], of_step[k])
        of_step[k] = 0


cdef bint run_question(
    const Tables* net, const uint64_t* word_signals, const int32_t* word_spikes, const uint64_t* back_signals,
    const int32_t* back_spikes, const uint64_t* gate_signals, const int32_t* rows, int64_t words,
    int32_t* counts, State* s
) noexcept nogil:
    """Answer one question; return whether a potential passed its guard, and the answer is void."""
    cdef uint64_t joined[MAX_TICKS]
    cdef const uint64_t* others
    cdef int32_t of_step[MAX_LINES]
    cdef int32_t* into = counts
    cdef const uint64_t* signals
    cdef int T = net.T, ticks, slot = 0, offset, i, row
    cdef int64_t step, steps = words + net.drain_steps, read = 1 if net.every else words
    if net.drain_steps == 0:
        read -= 1
    if net.largest:
        into = of_step
        memset(of_step, 0, net.lines * sizeof(int32_t))
    begin(net, s)
    for step in range(steps):
        signals = gate_signals
        if step < words:
            row = rows[words - 1 - step if net.reverse else step]
            s.sent_in += word_spikes[row]
            signals = word_signals + <int64_t> row * T
            if net.both:
                row = rows[step if net.reverse else words - 1 - step]
                s.sent_in += back_spikes[row]
                others = back_signals + <int64_t> row * T
                for i in range(T):
                    joined[i] = signals[i] | others[i]
                signals = joined
            if step >= read:
                for i in range(T):
                    joined[i] = signals[i] | gate_signals[i]
                signals = joined
        if step >= read:
            s.sent_in += net.gate_spikes
        offset = 0
        while offset < T:
            ticks = min(net.delay - slot, T - offset)
            if block(net, s, slot, ticks, signals + offset, into if step >= read else NULL):
                return True
            offset += ticks
            slot = (slot + ticks) % net.delay
        if net.largest:
            keep_largest(net.lines, counts, of_step)
    s.sent_hidden += on_their_way(net, s)
    return False


cdef enum:
    NO_WORDS = -1  # labels of questions.py
    TOO_LONG = -2
    VOID = -3


@cython.final
@cython.boundscheck(False)
@cython.wraparound(False)
@cython.initializedcheck(False)
cdef class ProgramRunner:
    """A program.Program made ready to answer questions; safe to use from several threads.

    Beside the fields of Program: `word_signals` (code rows, T) are the signals of each code at each tick of a step,
    `word_spikes` (code rows,) its input spikes, `back_signals` and `back_spikes` those of the lines that read from the
    other end, where `both` says that there are any, `gate_signals` (T,) and `gate_spikes` those of the gate line in a step
    that is read, `word_rows` (words,) the code row of each word id; `every` says that all steps are read, but for a
    first one that drain steps make up for, `largest` that each of the output `lines` counts its largest step.
    """

    cdef Tables net
    cdef const uint64_t[:, ::1] word_signals
    cdef const int32_t[::1] word_spikes
    cdef const int32_t[::1] word_rows
    cdef const uint64_t[:, ::1] back_signals
    cdef const int32_t[::1] back_spikes
    cdef const uint64_t[::1] gate_signals
    cdef int64_t longest
    cdef object kept

    def __cinit__(
        self,
        *,
        const int16_t[:, :, ::1] sums,
        const int32_t[:, ::1] lanes,
        const int16_t[:, ::1] narrow,
        int hidden,
        int drives,
        int shift,
        int delay,
        const int32_t[::1] spikes_of_lane,
        const int32_t[:, ::1] outputs,
        const int32_t[::1] group_start,
        const int32_t[::1] group_line,
        const int32_t[::1] most_leak,
        const uint8_t[::1] at_floor,
        const int32_t[::1] output_spikes,
        const int32_t[::1] exit_start,
        const int32_t[:, ::1] exits,
        const int32_t[::1] leaving_spikes,
        const int32_t[::1] leaving_start,
        const int32_t[:, ::1] leaving_exits,
        const uint64_t[:, ::1] word_signals,
        const int32_t[::1] word_spikes,
        const int32_t[::1] word_rows,
        const uint64_t[:, ::1] back_signals,
        const int32_t[::1] back_spikes,
        bint both,
        const uint64_t[::1] gate_signals,
        int32_t gate_spikes,
        int drain_steps,
        bint reverse,
        bint every,
        bint largest,
        int lines,
        int64_t longest,
    ):
        cdef Tables* net = &self.net
        cdef int j, row, vectors = sums.shape[2] // LANES
        cdef int32_t[:, ::1] placed = lanes.copy()
        for row in range(4):
            for j in range(lanes.shape[1]):
                placed[row, lane_place(j)] = lanes[row, j]
        self.kept = (
            sums, placed, narrow, spikes_of_lane, outputs, group_start, group_line, most_leak, at_floor,
            output_spikes, exit_start, exits, leaving_spikes, leaving_start, leaving_exits,
        )
        self.word_signals, self.word_spikes, self.word_rows = word_signals, word_spikes, word_rows
        self.back_signals, self.back_spikes = back_signals, back_spikes
        if longest > MAX_WORDS:
            raise ValueError(f"questions of {longest} words, limit {MAX_WORDS}")
        if largest and lines > MAX_LINES:
            raise ValueError(f"largest counts of {lines} lines, limit {MAX_LINES}")
        self.gate_signals, self.longest = gate_signals, longest
        net.layer.sums = &sums[0, 0, 0]
        net.layer.alpha = &placed[1, 0]
        net.layer.floors = &placed[2, 0]
        net.layer.guard = &placed[3, 0]
        net.layer.narrow = &narrow[0, 0] if narrow.shape[0] else NULL
        net.layer.vectors = vectors
        net.layer.tail = 1 if hidden // LANES == vectors - 1 else vectors
        net.layer.shift = shift & 63
        net.layer.hidden = ~(<uint64_t> 0) if hidden == 64 else ((<uint64_t> 1) << hidden) - 1
        net.potential = &placed[0, 0]
        net.lanes, net.hidden, net.drives = vectors * LANES, hidden, drives
        net.drive_0 = hidden - (vectors - net.layer.tail) * LANES
        net.copies = spikes_of_lane[0] if hidden else 0
        for j in range(hidden):
            if spikes_of_lane[j] != spikes_of_lane[0]:
                net.copies = 0
        net.delay, net.T, net.drain_steps = delay, gate_signals.shape[0], drain_steps
        net.reverse, net.both, net.gate_spikes = reverse, both, gate_spikes
        net.every, net.largest, net.lines = every, largest, lines
        net.spikes_of_lane = &spikes_of_lane[0] if hidden else NULL
        net.output_lanes = outputs.shape[1]
        net.outputs = &outputs[0, 0] if outputs.shape[1] else NULL
        net.group_start = &group_start[0]
        net.group_line = &group_line[0] if drives else NULL
        net.most_leak = &most_leak[0] if drives else NULL
        net.at_floor = &at_floor[0] if drives else NULL
        net.output_spikes = &output_spikes[0] if outputs.shape[1] else NULL
        net.exit_start = &exit_start[0]
        net.exits = &exits[0, 0] if exits.shape[0] else NULL
        net.leaving = 0
        for j in range(hidden):
            if leaving_spikes[j]:
                net.leaving |= (<uint64_t> 1) << j
        net.leaving_spikes = &leaving_spikes[0] if hidden else NULL
        net.leaving_start = &leaving_start[0]
        net.leaving_exits = &leaving_exits[0, 0] if leaving_exits.shape[0] else NULL

    def answer(
        self,
        const int64_t[::1] ids,
        const int64_t[::1] starts,
        Py_ssize_t first,
        Py_ssize_t last,
        int32_t[::1] label,
        int32_t[:, ::1] scores,
        int64_t[:, ::1] spikes,
        int64_t[::1] events,
        int64_t[::1] ticks,
        int32_t[::1] words,
    ):
        """Answer questions first..last - 1 into their rows of the arrays of an Answers, whose scores are zero.

        `ids` are the word ids of all questions, `starts` (n + 1,) where each question's begin.  Returns how many are
        labelled VOID, since a potential came near its 20-bit ceiling: the chip kernel must answer them.  Where a question
        q holds a word id without a code, or ends before it begins, it returns -1 - q, and the arrays are not complete.
        """
        cdef State s
        cdef int32_t rows[MAX_WORDS]
        cdef Py_ssize_t q, k, c
        cdef int64_t n, void = 0
        with nogil:
            for q in range(first, last):
                n = starts[q + 1] - starts[q]
                words[q] = <int32_t> n
                if n < 0:
                    void = -1 - q
                    break
                if n == 0 or n > self.longest:
                    label[q] = NO_WORDS if n == 0 else TOO_LONG
                    spikes[q, 0] = spikes[q, 1] = spikes[q, 2] = events[q] = ticks[q] = 0
                    continue
                if not look_up(
                    &self.net, &self.word_signals[0, 0], &self.word_rows[0], self.word_rows.shape[0],
                    &ids[starts[q]], n, rows,
                ):
                    void = -1 - q
                    break
                if run_question(
                    &self.net, &self.word_signals[0, 0], &self.word_spikes[0], &self.back_signals[0, 0],
                    &self.back_spikes[0], &self.gate_signals[0], rows, n, &scores[q, 0], &s,
                ):
                    label[q] = VOID
                    void += 1
                    continue
                spikes[q, 0], spikes[q, 1], spikes[q, 2] = s.sent_in, s.sent_hidden, s.sent_out
                events[q] = s.events
                ticks[q] = (n + self.net.drain_steps) * self.net.T
                k = 0
                for c in range(1, scores.shape[1]):
                    if scores[q, c] > scores[q, k]:
                        k = c
                label[q] = <int32_t> k
        return void
