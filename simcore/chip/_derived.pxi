# The derived-network kernel: answers one question on the smaller network that derive.py computes from a core image.
# The result equals that of the chip kernel on the image, the counts of the chip included.

cdef extern from "_derived.h":
    enum:
        MAX_VECTORS
        BLOCK
    ctypedef struct HiddenLanes:
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
        const HiddenLanes* net, int ticks, const uint64_t* signals, uint64_t* flight, int32_t* potential, int16_t* drives,
        int16_t* top) noexcept nogil
    int run_group(
        const Group* group, int ticks, const int16_t* drives, int stride, int32_t* spikes, int32_t* total
    ) noexcept nogil
    void add_counters(
        int ticks, const int16_t* counters, int stride, int64_t* first, int64_t* second) noexcept nogil


cdef enum:
    MAX_OUTPUTS = OUTPUT_LANES * NEURONS  # output neurons with their padding: at most 8 for each neuron


cdef struct Tables:
    # A DerivedNetwork (derive.py documents the arrays), and the coding of the classifier.
    HiddenLanes lanes
    int delay, T, drain_steps, lane_count, hidden, drives, gate_spikes
    int first_drive  # position of drive 0 within the tail vectors (HiddenLanes.tail)
    int64_t copies  # neurons that one hidden spike stands for, if the same for all lanes; else 0: see spikes_of_lane
    bint reverse, both, every, largest
    int lines  # output lines
    const int32_t* potential  # initial U of the lanes, in the order of lane_place
    const int32_t* spikes_of_lane
    const int32_t* outputs  # (5, output_count): U, leak, alpha, floor, guard
    int output_count
    const int32_t* group_start
    const int32_t* group_line
    const int32_t* most_leak
    const uint8_t* at_floor
    const int32_t* output_spikes
    const int32_t* exit_start
    const int32_t* exits
    uint64_t leaving  # bits of the hidden lanes whose class also drives output lines
    const int32_t* leaving_spikes
    const int32_t* leaving_start
    const int32_t* leaving_exits


cdef struct QuestionState:
    int32_t U[MAX_LANES]
    int32_t out_U[MAX_OUTPUTS]
    uint8_t at_floor[NEURONS]  # of each drive: whether all of its output neurons are at their floor
    uint64_t flight[BLOCK]  # bits of the hidden spikes in flight, by tick of arrival modulo the delay
    int64_t sent_in, sent_hidden, sent_out, events


cdef inline void begin_question(const Tables* net, QuestionState* s) noexcept nogil:
    """Reset the potentials, the spikes in flight and the counters."""
    memcpy(s.U, net.potential, net.lane_count * sizeof(int32_t))
    memcpy(s.out_U, net.outputs, net.output_count * sizeof(int32_t))
    memcpy(s.at_floor, net.at_floor, net.drives)
    memset(s.flight, 0, sizeof(s.flight))
    s.sent_in = s.sent_hidden = s.sent_out = s.events = 0


cdef inline void add_exits(
    const int32_t* start, const int32_t* exits, int unit, int32_t n, int32_t* counts
) noexcept nogil:
    """Add n spikes of a class to the counts of the output lines that it drives."""
    cdef int k
    for k in range(start[unit], start[unit + 1]):
        counts[exits[2 * k]] += n * exits[2 * k + 1]


cdef bint run_outputs(
    const Tables* net, QuestionState* s, int ticks, const int16_t* drives, const int16_t* top, int32_t* counts
) noexcept nogil:
    """Run the output neurons that can leave their floor in this block; return whether one began above its guard."""
    cdef int32_t spikes[MAX_OUTPUTS]
    cdef Group group
    cdef int d, j, first, found
    cdef int32_t n
    for d in range(net.drives):
        # Neurons at their floor stay there if no tick of the block lifts them; and the floor is below the threshold
        # (merging.is_plain), so they do not fire either.
        if s.at_floor[d] and top[net.first_drive + d] + net.most_leak[d] <= 0:
            continue
        first = net.group_start[d]
        group.U = s.out_U + first
        group.leak = net.outputs + net.output_count + first
        group.alpha = net.outputs + 2 * net.output_count + first
        group.floors = net.outputs + 3 * net.output_count + first
        group.guard = net.outputs + 4 * net.output_count + first
        group.weights = net.output_spikes + first
        group.lanes = net.group_start[d + 1] - first
        found = run_group(&group, ticks, drives + net.first_drive + d, net.lanes.tail * LANES, spikes, &n)
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
            add_exits(net.exit_start, net.exits, first + j, spikes[j], counts)
    return False


cdef inline void count_hidden_exits(
    const Tables* net, QuestionState* s, int ticks, const uint64_t* fired, int32_t* counts
) noexcept nogil:
    """Count the output spikes of hidden classes that also drive output lines."""
    cdef int t, j
    cdef uint64_t bits
    for t in range(ticks):
        bits = fired[t] & net.leaving
        while bits:
            j = lowest_bit(bits)
            bits &= bits - 1
            s.sent_out += net.leaving_spikes[j]
            if counts != NULL:
                add_exits(net.leaving_start, net.leaving_exits, j, 1, counts)


cdef inline bint tick_block(
    const Tables* net, QuestionState* s, int slot, int ticks, const uint64_t* signals, int32_t* counts
) noexcept nogil:
    """Run `ticks` ticks, whose arriving hidden spikes begin at flight[slot].

    Adds output spikes to `counts`, unless it is NULL.  Returns whether a potential was above its guard: then the answer
    is void.
    """
    cdef int16_t drives[BLOCK * MAX_LANES]
    cdef int16_t top[MAX_LANES]
    if run_block(&net.lanes, ticks, signals, s.flight + slot, s.U, drives, top):
        return True
    add_counters(
        ticks, drives + net.first_drive + net.drives, net.lanes.tail * LANES, &s.events, &s.sent_hidden)
    if net.leaving:
        count_hidden_exits(net, s, ticks, s.flight + slot, counts)
    return run_outputs(net, s, ticks, drives, top, counts)


cdef inline int64_t spikes_in_flight(const Tables* net, const QuestionState* s) noexcept nogil:
    """Count the hidden spikes of the chip that are still in flight at the end: the counters add spikes as they arrive."""
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
    """Look up the code rows of words and prefetch their signals; return whether the encoder knows all ids."""
    cdef int64_t k
    for k in range(words):
        if <uint64_t> ids[k] >= <uint64_t> known:  # unsigned: negative ids are large
            return False
        rows[k] = word_rows[ids[k]]
        # The signals of a step of 15 ticks, 8 bytes each, are in two or three cache lines: prefetch the first two.
        prefetch(word_signals + <int64_t> rows[k] * net.T)
        prefetch(word_signals + <int64_t> rows[k] * net.T + 8)
    return True


cdef inline void keep_largest(int lines, int32_t* counts, int32_t* of_step) noexcept nogil:
    """Raise each count to that of the step, and clear the counts of the step."""
    cdef int k
    for k in range(lines):
        counts[k] = max(counts[k], of_step[k])
        of_step[k] = 0


cdef bint run_question(
    const Tables* net, const uint64_t* word_signals, const int32_t* word_spikes, const uint64_t* back_signals,
    const int32_t* back_spikes, const uint64_t* gate_signals, const int32_t* rows, int64_t words,
    int32_t* counts, QuestionState* s
) noexcept nogil:
    """Answer one question, given as code rows; return whether a potential passed its guard, so that the answer is void.

    DerivedRunner documents the signals and spikes.  `counts` (output lines,) must be zero.
    """
    cdef uint64_t joined[TICKS_PER_STEP_MAX]
    cdef const uint64_t* others
    cdef int32_t of_step[LARGEST_LINES]
    cdef int32_t* into = counts
    cdef const uint64_t* signals
    cdef int T = net.T, ticks, slot = 0, offset, i, row
    # The first step that is read.  Without drain steps the output lines spike one step earlier: in the word's own step.
    cdef int64_t step, steps = words + net.drain_steps, read = 1 if net.every else words
    if net.drain_steps == 0:
        read -= 1
    if net.largest:
        into = of_step
        memset(of_step, 0, net.lines * sizeof(int32_t))
    begin_question(net, s)
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
            if step >= read:  # in place if `signals` is `joined` already
                for i in range(T):
                    joined[i] = signals[i] | gate_signals[i]
                signals = joined
        if step >= read:
            s.sent_in += net.gate_spikes
        # A block ends where the step ends, or where flight wraps round: no spike arrives in the block that sent it.
        offset = 0
        while offset < T:
            ticks = min(net.delay - slot, T - offset)
            if tick_block(net, s, slot, ticks, signals + offset, into if step >= read else NULL):
                return True
            offset += ticks
            slot = (slot + ticks) % net.delay
        if net.largest:
            keep_largest(net.lines, counts, of_step)
    s.sent_hidden += spikes_in_flight(net, s)
    return False
