# The Python class of the derived-network kernel: the tables of a classifier, and the loop over questions.

@cython.final
@cython.boundscheck(False)
@cython.wraparound(False)
@cython.initializedcheck(False)
cdef class DerivedRunner:
    """A derived network with the codes of a classifier, ready to answer questions; safe to use from several threads.

    The arguments are the fields of `derive.DerivedNetwork` (but for those of its input lines), and, for steps of T ticks:

    word_signals : uint64 (code rows, T)
        The signals that each code sends at each tick of a step.
    word_spikes : int32 (code rows,)
        Input spikes of each code.
    back_signals, back_spikes
        The same for the backward lines, which read the words from the other end; used only if `both`.
    word_rows : int32 (words,)
        The code row of each word id.
    gate_signals, gate_spikes : uint64 (T,) and int
        Signals and input spikes of the gate line in a step that is read.
    drain_steps, reverse
        `Coding.drain_steps`, and whether `Coding.direction` is "reverse".
    every, largest
        Whether the readout is "mean" or "max", which read every step; and whether it is "max".
    lines
        Number of output lines.
    no_words, too_long, void
        Labels of a question without words, of one of more than MAX_WORDS words, and of one that the chip kernel must
        answer, because a potential came near the 20-bit ceiling.
    """

    cdef Tables net
    cdef const uint64_t[:, ::1] word_signals
    cdef const int32_t[::1] word_spikes
    cdef const int32_t[::1] word_rows
    cdef const uint64_t[:, ::1] back_signals
    cdef const int32_t[::1] back_spikes
    cdef const uint64_t[::1] gate_signals
    cdef int32_t no_words, too_long, void
    cdef object kept  # the arrays that `net` points into

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
        int32_t no_words,
        int32_t too_long,
        int32_t void,
    ):
        cdef Tables* net = &self.net
        cdef int j, row, vectors = sums.shape[2] // LANES
        cdef int32_t[:, ::1] placed = lanes.copy()  # in the order of lane_place
        for row in range(4):
            for j in range(lanes.shape[1]):
                placed[row, lane_place(j)] = lanes[row, j]
        self.kept = (
            sums, placed, narrow, spikes_of_lane, outputs, group_start, group_line, most_leak, at_floor,
            output_spikes, exit_start, exits, leaving_spikes, leaving_start, leaving_exits,
        )
        self.word_signals, self.word_spikes, self.word_rows = word_signals, word_spikes, word_rows
        self.back_signals, self.back_spikes = back_signals, back_spikes
        if largest and lines > LARGEST_LINES:  # run_question keeps the counts of a step on its stack
            raise ValueError(f"readout max of {lines} output lines, limit {LARGEST_LINES}")
        self.gate_signals = gate_signals
        self.no_words, self.too_long, self.void = no_words, too_long, void
        net.lanes.sums = &sums[0, 0, 0]
        net.lanes.alpha = &placed[1, 0]
        net.lanes.floors = &placed[2, 0]
        net.lanes.guard = &placed[3, 0]
        net.lanes.narrow = &narrow[0, 0] if narrow.shape[0] else NULL
        net.lanes.vectors = vectors
        # 1 if every lane that is not a hidden neuron is in the last vector: only that vector's drives are stored then.
        net.lanes.tail = 1 if hidden // LANES == vectors - 1 else vectors
        # With 64 input signals there is no hidden lane: `flight` is always 0, but C does not define a shift by 64.
        net.lanes.shift = shift & 63
        net.lanes.hidden = ~(<uint64_t> 0) if hidden == 64 else ((<uint64_t> 1) << hidden) - 1
        net.potential = &placed[0, 0]
        net.lane_count, net.hidden, net.drives = vectors * LANES, hidden, drives
        net.first_drive = hidden - (vectors - net.lanes.tail) * LANES
        net.copies = spikes_of_lane[0] if hidden else 0
        for j in range(hidden):
            if spikes_of_lane[j] != spikes_of_lane[0]:
                net.copies = 0
        net.delay, net.T, net.drain_steps = delay, gate_signals.shape[0], drain_steps
        net.reverse, net.both, net.gate_spikes = reverse, both, gate_spikes
        net.every, net.largest, net.lines = every, largest, lines
        net.spikes_of_lane = &spikes_of_lane[0] if hidden else NULL
        net.output_count = outputs.shape[1]
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
        int64_t[::1] synaptic_events,
        int64_t[::1] ticks,
        int32_t[::1] words,
    ):
        """Answer the questions first..last - 1 into their rows of the arrays of an `Answers` whose scores are zero.

        `ids` are the word ids of all questions; question q has ids[starts[q]] .. ids[starts[q + 1] - 1].  Returns the
        number of answers that are void: the chip kernel must answer these questions.  If question q holds a word id that
        the encoder does not know, or ends before it begins, it stops and returns -1 - q.
        """
        cdef QuestionState s
        cdef int32_t rows[MAX_WORDS]
        cdef Py_ssize_t q, k, c
        cdef int64_t n, found = 0
        with nogil:
            for q in range(first, last):
                n = starts[q + 1] - starts[q]
                words[q] = <int32_t> n
                if n < 0:
                    found = -1 - q
                    break
                if n == 0 or n > MAX_WORDS:
                    label[q] = self.no_words if n == 0 else self.too_long
                    spikes[q, 0] = spikes[q, 1] = spikes[q, 2] = synaptic_events[q] = ticks[q] = 0
                    continue
                if not look_up(
                    &self.net, &self.word_signals[0, 0], &self.word_rows[0], self.word_rows.shape[0],
                    &ids[starts[q]], n, rows,
                ):
                    found = -1 - q
                    break
                if run_question(
                    &self.net, &self.word_signals[0, 0], &self.word_spikes[0], &self.back_signals[0, 0],
                    &self.back_spikes[0], &self.gate_signals[0], rows, n, &scores[q, 0], &s,
                ):
                    label[q] = self.void
                    found += 1
                    continue
                spikes[q, 0], spikes[q, 1], spikes[q, 2] = s.sent_in, s.sent_hidden, s.sent_out
                synaptic_events[q] = s.events
                ticks[q] = (n + self.net.drain_steps) * self.net.T
                k = 0  # the first of the highest scores is the label
                for c in range(1, scores.shape[1]):
                    if scores[q, c] > scores[q, k]:
                        k = c
                label[q] = <int32_t> k
        return found
