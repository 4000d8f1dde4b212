# The Python class of the chip kernel: a core image's tables, and the loop over runs and ticks.

@cython.final
@cython.boundscheck(False)
@cython.wraparound(False)
@cython.initializedcheck(False)
cdef class ChipRunner:
    """The tables of a core image, ready to run batches; safe to use from several threads at once.

    `tables.chip_tables` computes the arguments.  Their shapes, with C cores, P distinct cores, L input lines and W words of
    a tick of the raster (functions of tables.py in brackets):

    crossbar (C, 256, 32); axon_types (C, 2, 4) [axon_types]; prototype (C,), the distinct core whose parameters each core
    has [prototypes]; byte_weights (P, 4, 256) and weights (P, 4, 256) by axon type; headroom (P, 5) [headroom_table];
    kinds (P,) [core_kinds]; neurons and narrow (P, 8, 256) [neuron_table, narrow_table]; noise (P, 11, 256) or (0, 11, 256)
    [noise_table]; keys (C,) [_random.core_keys]; potential (C, 256); routes (C, 256) [route_table]; drives_outputs (C,) and
    targets (C, 2, 4) [target_tables]; line_copies (W,) [line_copies]; line_start (L + 1,), line_words, line_masks and
    line_spikes [line_tables].
    """

    cdef Chip tables
    cdef object kept  # the arrays that `tables` points into

    def __cinit__(
        self,
        *,
        const uint8_t[:, :, ::1] crossbar,
        const uint64_t[:, :, ::1] axon_types,
        const int32_t[::1] prototype,
        const int8_t[:, :, ::1] byte_weights,
        const int16_t[:, :, ::1] weights,
        const int32_t[:, ::1] headroom,
        const uint8_t[::1] kinds,
        const int32_t[:, :, ::1] neurons,
        const int16_t[:, :, ::1] narrow,
        const int32_t[:, :, ::1] noise,
        const uint64_t[::1] keys,
        const int32_t[:, ::1] potential,
        const uint32_t[:, ::1] routes,
        const uint8_t[::1] drives_outputs,
        const uint64_t[:, :, ::1] targets,
        const int32_t[::1] line_copies,
        const int32_t[::1] line_start,
        const int32_t[::1] line_words,
        const uint64_t[::1] line_masks,
        const int32_t[::1] line_spikes,
    ):
        cdef Chip* chip = &self.tables
        self.kept = (
            crossbar, axon_types, prototype, byte_weights, weights, headroom, kinds, neurons, narrow, noise, keys,
            potential, routes, drives_outputs, targets, line_copies, line_start, line_words, line_masks, line_spikes,
        )
        chip.crossbar = &crossbar[0, 0, 0]
        chip.axon_types = &axon_types[0, 0, 0]
        chip.prototype = &prototype[0]
        chip.byte_weights = &byte_weights[0, 0, 0]
        chip.weights = &weights[0, 0, 0]
        chip.headroom = &headroom[0, 0]
        chip.kinds = &kinds[0]
        chip.neurons = &neurons[0, 0, 0]
        chip.narrow = &narrow[0, 0, 0]
        chip.noise = &noise[0, 0, 0] if noise.shape[0] else NULL
        chip.keys = &keys[0]
        chip.potential = &potential[0, 0]
        chip.routes = &routes[0, 0]
        chip.drives_outputs = &drives_outputs[0]
        chip.targets = &targets[0, 0, 0]
        chip.line_copies = &line_copies[0]
        chip.line_start = &line_start[0]
        chip.line_words = &line_words[0] if line_words.shape[0] else NULL
        chip.line_masks = &line_masks[0] if line_masks.shape[0] else NULL
        chip.line_spikes = &line_spikes[0] if line_spikes.shape[0] else NULL
        chip.cores = crossbar.shape[0]
        chip.slot_words = crossbar.shape[0] * WORDS
        chip.words = line_copies.shape[0]
        chip.prefetching = crossbar.shape[0] > CACHED_CORES

    def run(
        self,
        *,
        const uint64_t[:, ::1] raster,
        const int64_t[::1] starts,
        const int64_t[::1] counted,
        int32_t[:, ::1] counts,
        int64_t[:, ::1] spikes,
        int64_t[::1] synaptic_events,
        uint16_t[:, ::1] out_raster,
        int16_t[:, ::1] V,
        int32_t[:, ::1] wide_V,
        uint8_t[:, ::1] flags,
        uint8_t[:, ::1] tally,
        uint64_t[:, :, :, ::1] schedulers,
        int64_t[::1] barrier,
        int thread,
        int threads,
    ):
        """Run a batch as thread number `thread` of the `threads` that share its cores.

        `Simulator` has checked and allocated the arguments.  With N runs, t ticks of all runs and O output lines: raster
        (t, words), starts (N + 1,) and counted (N,) as in `Simulator.run`; counts (N, O), spikes (N, 3), synaptic_events
        (N,) and out_raster (t, O) or None are those of an `Outcome` of zeros; the rest but for the numbers of the threads
        is the work space (simulator._workspace).
        """
        cdef Chip chip = self.tables
        cdef Arrived arrived[2]
        cdef Sent sent[2]
        cdef Py_ssize_t run, t, begin, end
        cdef int64_t rounds = 0, tallied
        cdef int slot, now
        cdef bint counting, flush
        cdef uint16_t* out = NULL
        cdef int64_t* place = &barrier[0]
        chip.V = &V[0, 0]
        chip.wide_V = &wide_V[0, 0]
        chip.wide = &flags[0, 0]
        chip.resting = &flags[1, 0]
        chip.tally = &tally[0, 0]
        chip.schedulers = &schedulers[0, 0, 0, 0]
        chip.own_scheduler = &schedulers[thread, 0, 0, 0]
        chip.thread = thread
        chip.threads = threads
        chip.record = out_raster is not None
        with nogil:
            for run in range(starts.shape[0] - 1):
                begin, end = starts[run], starts[run + 1]
                tallied = 0
                begin_run(&chip)
                if thread == 0 and begin < end:
                    deliver_inputs(&chip, &raster[begin, 0], 0)
                rounds += 1
                wait_for_all(place, threads, rounds)
                for t in range(begin, end):
                    slot = (t - begin) & (SCHEDULER_SLOTS - 1)
                    counting = t >= end - counted[run]
                    tallied += counting
                    flush = counting and (tallied % TALLY_TICKS == 0 or t == end - 1)
                    if chip.record:
                        out = &out_raster[t, 0]
                    now = 0
                    next_chunk(&chip, place, &arrived[0])
                    # The thread that takes the first chunk also delivers the inputs of the next tick.
                    if arrived[0].first == 0 and t + 1 < end:
                        deliver_inputs(&chip, &raster[t + 1, 0], (slot + 1) & (SCHEDULER_SLOTS - 1))
                    collect_spikes(&chip, slot, &arrived[0])
                    sent[1].n = 0
                    # A pipeline of two chunks: compute chunk `now`, collect the spikes of the one after it, and send
                    # those of the one before it.  The order is free, as no spike arrives in the tick that sends it.
                    while arrived[now].first < chip.cores:
                        next_chunk(&chip, place, &arrived[1 - now])
                        collect_spikes(&chip, slot, &arrived[1 - now])
                        tick_chunk(&chip, &arrived[now], t - begin, counting, out, &sent[now])
                        send_spikes(&chip, &sent[1 - now], slot)
                        if flush:
                            add_tally(&chip, arrived[now].first, arrived[now].last, &counts[run, 0])
                        now = 1 - now
                    send_spikes(&chip, &sent[1 - now], slot)
                    rounds += 1
                    wait_for_all(place, threads, rounds)
                add_64(&spikes[run, 0], chip.sent_in)
                add_64(&spikes[run, 1], chip.sent_hidden)
                add_64(&spikes[run, 2], chip.sent_out)
                add_64(&synaptic_events[run], chip.events)
