# The chip kernel: runs the same ticks as reference.py, bit for bit, for any number of cores.
#
# The kernel is event-driven: it reads only the crossbar rows of spiking axons, and skips a core at rest (its last tick
# received no spike, changed no potential and fired nothing) until a spike arrives.
# The potentials of a core are kept in 16 bits while they fit (tables.headroom_table), in 32 bits otherwise.
# Threads share the cores of a chip.  Each takes the next chunk of cores that no thread has taken in this tick, so that a
# slow thread does less.  It writes the spikes that it sends into its own scheduler, so no thread writes where
# another does; the thread that computes the target core collects them from all schedulers.  All threads wait for each
# other at the end of every tick.
#
# A tick of one thread is: take a chunk, collect its spikes, compute it (tick_chunk), send its spikes.  The loop in
# ChipRunner.run works on two chunks at a time: it prefetches the memory of the next chunk while it computes one.

cdef extern from "_chip.h":
    ctypedef struct Tick:
        uint64_t fired[4]
        int outside
        int happened
        int events
    int count_256(const void* bits) noexcept nogil
    int list_256(const uint64_t* bits, uint32_t base, uint32_t* list) noexcept nogil
    void narrow_few(
        const uint8_t* crossbar, const uint16_t* spikes, int n, const int8_t* weights, const int16_t* p, int kind,
        int16_t* V, uint8_t* tally, Tick* tick) noexcept nogil
    void narrow_many(
        const int16_t* drive, const int16_t* p, int kind, int16_t* V, uint8_t* tally, Tick* tick) noexcept nogil
    void pack_fired(const uint8_t* fired, uint8_t* tally, uint64_t* bits) noexcept nogil

cdef extern from "_threads.h":
    void add_16(uint16_t* to, int n, int shared) noexcept nogil
    void add_32(int32_t* to, int n, int shared) noexcept nogil
    void add_64(int64_t* to, int64_t n) noexcept nogil
    void prefetch(const void* address) noexcept nogil
    int64_t take_next(int64_t* barrier, int64_t n, int shared) noexcept nogil
    void wait_for_all(int64_t* barrier, int64_t threads, int64_t round) noexcept nogil

cdef enum:
    CHUNK = 16  # cores that a thread takes at a time, and that it prefetches together
    FEW_SPIKES = 20  # up to about this many spikes of a core, adding rows one by one is faster than counting them
    FEW_SUM = 127  # largest sum of weights that fits a signed byte
    TALLY_TICKS = 255  # ticks after which a byte of the tally could overflow
    CACHED_CORES = 64  # the rows and routes of more cores do not stay in the cache: they are prefetched


cdef struct Chip:
    # The tables of ChipRunner and, for the run of one thread, its work space.
    const uint8_t* crossbar
    const uint64_t* axon_types
    const int32_t* prototype
    const int8_t* byte_weights
    const int16_t* weights
    const int32_t* headroom
    const uint8_t* kinds
    const int32_t* neurons
    const int16_t* narrow
    const int32_t* noise
    const uint64_t* keys
    const int32_t* potential
    const uint32_t* routes
    const uint8_t* drives_outputs
    const uint64_t* targets
    const int32_t* line_copies
    const int32_t* line_start
    const int32_t* line_words
    const uint64_t* line_masks
    const int32_t* line_spikes
    int16_t* V
    int32_t* wide_V
    uint8_t* wide  # whether each core keeps its potentials in wide_V
    uint8_t* resting  # whether each core is at rest
    uint8_t* tally  # output spikes of each neuron since the last add_tally
    uint64_t* schedulers  # (threads, SCHEDULER_SLOTS, cores, WORDS): bits of the axons that spike in each slot's tick
    uint64_t* own_scheduler  # of this thread
    Py_ssize_t cores, slot_words, words  # slot_words: words of one slot; words: of one tick of the raster
    int thread, threads
    bint prefetching, record
    int64_t sent_in, sent_hidden, sent_out, events


cdef struct Arrived:
    # The spikes that arrive at the chunk of cores first..last - 1 in a tick.
    Py_ssize_t first, last
    int n[CHUNK]  # number of spikes of each core
    uint64_t axons[CHUNK][WORDS]
    # Only for cores with few spikes: where their list begins, and a bound on what these spikes add to a potential.
    int start[CHUNK]
    int sum[CHUNK]
    uint16_t spike[CHUNK * FEW_SPIKES]  # 256 type + axon


cdef struct Sent:
    # The neurons of a chunk that send a spike to an axon; list_256 writes one entry beyond the list.
    int n
    uint32_t neuron[CHUNK * NEURONS + 1]


cdef inline void begin_run(Chip* chip) noexcept nogil:
    """Reset this thread's share of the cores to their initial state, and clear its scheduler and counters."""
    cdef Py_ssize_t c, first = chip.cores * chip.thread // chip.threads
    cdef Py_ssize_t last = chip.cores * (chip.thread + 1) // chip.threads
    # The tally needs no reset: the last counted tick of a run adds it to the counts and clears it (add_tally).
    memset(&chip.resting[first], 0, last - first)
    memset(chip.own_scheduler, 0, SCHEDULER_SLOTS * chip.slot_words * sizeof(uint64_t))
    for c in range(first, last):
        store_potentials(chip, c, &chip.potential[c * NEURONS])
    chip.sent_in = chip.sent_hidden = chip.sent_out = chip.events = 0


cdef inline void store_potentials(Chip* chip, Py_ssize_t c, const int32_t* V) noexcept nogil:
    """Store the potentials of a core in 16 bits if they fit and the core has headroom, else in 32."""
    cdef int j
    cdef int32_t low = 0, high = 0
    cdef int16_t* narrow = &chip.V[c * NEURONS]
    if chip.headroom[chip.prototype[c] * (AXON_TYPES + 1)] >= 0:
        for j in range(NEURONS):
            low = V[j] if V[j] < low else low
            high = V[j] if V[j] > high else high
        if low >= -NARROW_MAX - 1 and high <= NARROW_MAX:
            for j in range(NEURONS):
                narrow[j] = <int16_t> V[j]
            chip.wide[c] = 0
            return
    if V != &chip.wide_V[c * NEURONS]:  # tick_wide has computed them in place
        memcpy(&chip.wide_V[c * NEURONS], V, NEURONS * sizeof(int32_t))
    chip.wide[c] = 1


cdef inline void widen(Chip* chip, Py_ssize_t c) noexcept nogil:
    """Move the potentials of a core from 16 to 32 bits."""
    cdef int j
    for j in range(NEURONS):
        chip.wide_V[c * NEURONS + j] = chip.V[c * NEURONS + j]
    chip.wide[c] = 1


cdef inline void deliver_inputs(Chip* chip, const uint64_t* lines, int slot) noexcept nogil:
    """Put the spikes of the input lines into this thread's scheduler, for the tick of `slot`."""
    cdef uint64_t* axons = chip.own_scheduler + slot * chip.slot_words
    cdef Py_ssize_t word, line, k
    cdef uint64_t bits
    for word in range(chip.words):
        bits = lines[word]
        if chip.line_copies[word] >= 0:  # 64 lines that feed 64 axons in the same order
            axons[chip.line_copies[word]] |= bits
            chip.sent_in += bits_in(bits)
            continue
        while bits:
            line = word * 64 + lowest_bit(bits)
            bits &= bits - 1
            for k in range(chip.line_start[line], chip.line_start[line + 1]):
                axons[chip.line_words[k]] |= chip.line_masks[k]
                chip.sent_in += chip.line_spikes[k]


cdef inline void collect_spikes(Chip* chip, int slot, Arrived* arrived) noexcept nogil:
    """Collect the spikes that arrive at a chunk from the schedulers of all threads; list those of cores with few."""
    cdef uint32_t list[CHUNK * FEW_SPIKES + 1]
    cdef uint64_t* axons
    cdef uint64_t* bits
    cdef Py_ssize_t c, first = arrived.first
    cdef int k, word, g, i, listed = 0
    for k in range(arrived.last - first):
        bits = arrived.axons[k]
        for word in range(WORDS):
            bits[word] = 0
        # Clearing the words of another thread's scheduler is no race: in this tick that thread writes only to later
        # slots, because a delay is 1..15 ticks and there are 16 slots.
        for g in range(chip.threads):
            axons = chip.schedulers + (g * SCHEDULER_SLOTS + slot) * chip.slot_words + (first + k) * WORDS
            for word in range(WORDS):
                bits[word] |= axons[word]
                axons[word] = 0
        arrived.n[k] = count_256(bits)
        arrived.start[k] = listed
        arrived.sum[k] = 0
        if arrived.n[k] <= FEW_SPIKES:
            listed += list_256(bits, k * AXONS, list + listed)
    for i in range(listed):
        arrived.spike[i] = with_type(chip, arrived, list[i])
    if chip.prefetching:
        prefetch_chunk(chip, arrived)


cdef inline uint16_t with_type(const Chip* chip, Arrived* arrived, uint32_t spike) noexcept nogil:
    """Return 256 type + axon for a spike (256 core of the chunk + axon); add the largest weight of its type to `sum`."""
    cdef uint32_t k = spike >> 8, axon = spike & 0xFF
    cdef const uint64_t* types = &chip.axon_types[(arrived.first + k) * 2 * WORDS + (axon >> 6)]
    cdef uint32_t kind = (types[0] >> (axon & 63) & 1) | (types[WORDS] >> (axon & 63) & 1) << 1
    arrived.sum[k] += chip.headroom[chip.prototype[arrived.first + k] * (AXON_TYPES + 1) + 1 + kind]
    if chip.prefetching:
        prefetch(&chip.crossbar[((arrived.first + k) * AXONS + axon) * (NEURONS >> 3)])
    return <uint16_t> (kind << 8 | axon)


cdef inline void prefetch_chunk(const Chip* chip, const Arrived* arrived) noexcept nogil:
    """Prefetch the potentials of a chunk, and the crossbar rows of its cores with many spikes."""
    cdef Py_ssize_t c
    cdef int at, word
    cdef uint64_t bits
    for c in range(arrived.first, arrived.last):
        for at in range(0, NEURONS, 32):  # 32 potentials of 16 bits are one cache line
            prefetch(&chip.V[c * NEURONS + at])
        if arrived.n[c - arrived.first] > FEW_SPIKES:
            for word in range(WORDS):
                bits = arrived.axons[c - arrived.first][word]
                while bits:
                    prefetch(&chip.crossbar[(c * AXONS + word * 64 + lowest_bit(bits)) * (NEURONS >> 3)])
                    bits &= bits - 1


cdef inline int sort_by_type(
    const Chip* chip, Py_ssize_t c, const uint64_t* axons, Spiking* spiking
) noexcept nogil:
    """List the spiking axons of a core by type; return a bound on what they add to a potential."""
    cdef const uint64_t* types = &chip.axon_types[c * 2 * WORDS]
    cdef const int32_t* headroom = &chip.headroom[chip.prototype[c] * (AXON_TYPES + 1)]
    # The four counts share one register, 16 bits each: counting in memory would wait for each store to be loaded again.
    cdef uint64_t bits, n = 0
    cdef int at, word, shift, total = 0
    for word in range(WORDS):
        bits = axons[word]
        while bits:
            at = lowest_bit(bits)
            bits &= bits - 1
            # 16 times the type; the count of that type, at most 256, is the place of the next axon in its list
            shift = (types[word] >> at & 1) << 4 | (types[WORDS + word] >> at & 1) << 5
            spiking.axon[shift >> 4][n >> shift & 0x1FF] = <uint8_t> (64 * word + at)
            n += <uint64_t> 1 << shift
    for at in range(AXON_TYPES):
        spiking.n[at] = n >> 16 * at & 0xFFFF
        total += spiking.n[at] * headroom[1 + at]
    return total


cdef void tick_wide(
    Chip* chip, Py_ssize_t c, int64_t t, const Spiking* spiking, uint8_t* tally, Tick* tick
) noexcept nogil:
    """Run one tick of a core in 32 bits."""
    cdef int32_t drive[NEURONS]
    cdef uint8_t fired[NEURONS]
    cdef Py_ssize_t p = chip.prototype[c]
    cdef const int32_t* neurons = &chip.neurons[p * 8 * NEURONS]
    cdef const uint8_t* crossbar = &chip.crossbar[c * AXONS * (NEURONS >> 3)]
    cdef int32_t* V = &chip.wide_V[c * NEURONS]
    if not chip.wide[c]:
        widen(chip, c)
    tick.events = synapses(crossbar, &chip.weights[p * AXON_TYPES * NEURONS], spiking, drive)
    if chip.kinds[p] == KIND_PLAIN:
        tick.happened = update_plain(neurons, drive, V, fired)
    elif chip.kinds[p] == KIND_GENERAL:
        tick.happened = update(neurons, drive, V, fired, False)
    elif chip.kinds[p] == KIND_REVERSAL:
        tick.happened = update(neurons, drive, V, fired, True)
    else:
        tick.happened = update_noisy(
            neurons, &chip.noise[p * 11 * NEURONS], chip.keys[c], t, spiking, crossbar, drive, V, fired
        )
    pack_fired(fired, tally, tick.fired)
    store_potentials(chip, c, V)


cdef inline void tick_core(
    Chip* chip, Py_ssize_t c, int64_t t, const Arrived* arrived, uint8_t* tally, Tick* tick
) noexcept nogil:
    """Run one tick of a core, in 16 bits where that is exact, by the cheapest way that fits its spikes."""
    cdef int16_t drive[NEURONS]
    cdef Spiking spiking
    cdef Py_ssize_t k = c - arrived.first, p = chip.prototype[c]
    cdef const int16_t* narrow = &chip.narrow[p * 8 * NEURONS]
    cdef const uint8_t* crossbar = &chip.crossbar[c * AXONS * (NEURONS >> 3)]
    cdef int16_t* V = &chip.V[c * NEURONS]
    cdef int n = arrived.n[k], events
    if n == 0 and not chip.wide[c]:
        narrow_many(NULL, narrow, chip.kinds[p], V, tally, tick)
    elif n <= FEW_SPIKES and arrived.sum[k] <= FEW_SUM and not chip.wide[c]:
        narrow_few(
            crossbar, &arrived.spike[arrived.start[k]], n, &chip.byte_weights[p * AXON_TYPES * NEURONS],
            narrow, chip.kinds[p], V, tally, tick,
        )
    elif sort_by_type(chip, c, arrived.axons[k], &spiking) <= chip.headroom[p * (AXON_TYPES + 1)] and not chip.wide[c]:
        events = narrow_synapses(crossbar, &chip.weights[p * AXON_TYPES * NEURONS], &spiking, drive)
        narrow_many(drive, narrow, chip.kinds[p], V, tally, tick)
        tick.events = events  # narrow_many clears the tick
    else:
        tick_wide(chip, c, t, &spiking, tally, tick)
        return
    # The drive was below the headroom, so this tick was exact in 16 bits; from here the next one may not be.
    if tick.outside:
        widen(chip, c)


cdef inline void tick_chunk(
    Chip* chip, const Arrived* arrived, int64_t t, bint counting, uint16_t* out, Sent* sent
) noexcept nogil:
    """Run one tick of a chunk: list the neurons that send a spike to an axon, and prefetch their routes.

    Output spikes are tallied if `counting`, and added to `out` (output lines,) if the run records them.
    """
    cdef Tick tick
    cdef Py_ssize_t c
    cdef uint64_t bits
    cdef uint64_t leaving[WORDS]
    cdef uint64_t sending[WORDS]
    cdef const uint64_t* targets
    cdef uint8_t* tally
    cdef int word, i, count = 0
    for c in range(arrived.first, arrived.last):
        if arrived.n[c - arrived.first] == 0 and chip.resting[c]:
            continue
        tally = &chip.tally[c * NEURONS] if counting and chip.drives_outputs[c] else NULL
        tick_core(chip, c, t, arrived, tally, &tick)
        chip.resting[c] = arrived.n[c - arrived.first] == 0 and not tick.happened
        chip.events += tick.events
        targets = &chip.targets[c * 2 * WORDS]
        for word in range(WORDS):
            sending[word] = tick.fired[word] & targets[word]
        count += list_256(sending, <uint32_t> (c * NEURONS), sent.neuron + count)
        if chip.drives_outputs[c]:
            for word in range(WORDS):
                leaving[word] = tick.fired[word] & targets[WORDS + word]
            chip.sent_out += count_256(leaving)
            if chip.record:
                for word in range(WORDS):
                    bits = leaving[word]
                    while bits:  # the route of a neuron that drives an output line is the number of that line
                        add_16(&out[chip.routes[c * NEURONS + word * 64 + lowest_bit(bits)]], 1, chip.threads > 1)
                        bits &= bits - 1
    if chip.prefetching:
        for i in range(count):
            prefetch(&chip.routes[sent.neuron[i]])
    sent.n = count
    chip.sent_hidden += count


cdef inline void send_spikes(Chip* chip, Sent* sent, int slot) noexcept nogil:
    """Put the spikes that a chunk sent in the tick of `slot` into this thread's scheduler.

    Two passes over the spikes: the first computes (and prefetches) the words, the second sets the bits.
    """
    cdef int i
    cdef uint32_t route
    cdef uint32_t bits[CHUNK * NEURONS]
    for i in range(sent.n):
        route = chip.routes[sent.neuron[i]]
        # the entry becomes the number of the target's word in the scheduler; tables.route_table packs the route
        sent.neuron[i] = <uint32_t> (
            ((slot + (route >> 24)) & (SCHEDULER_SLOTS - 1)) * chip.slot_words + (route >> 6 & 0x3FFFF)
        )
        bits[i] = route & 63
        if chip.prefetching:
            prefetch(&chip.own_scheduler[sent.neuron[i]])
    for i in range(sent.n):
        chip.own_scheduler[sent.neuron[i]] |= (<uint64_t> 1) << bits[i]


cdef inline void add_tally(Chip* chip, Py_ssize_t first, Py_ssize_t last, int32_t* counts) noexcept nogil:
    """Add the tallied spikes of a chunk to the counts of the output lines, and clear its tally."""
    cdef Py_ssize_t c
    cdef int j
    for c in range(first, last):
        if chip.drives_outputs[c]:
            for j in range(NEURONS):
                # the tally counts all spikes of the core, those to axons included
                if chip.tally[c * NEURONS + j] and chip.targets[(2 * c + 1) * WORDS + (j >> 6)] >> (j & 63) & 1:
                    add_32(&counts[chip.routes[c * NEURONS + j]], chip.tally[c * NEURONS + j], chip.threads > 1)
            memset(&chip.tally[c * NEURONS], 0, NEURONS)


cdef inline void next_chunk(Chip* chip, int64_t* barrier, Arrived* arrived) noexcept nogil:
    """Take a chunk of cores that no thread has taken in this tick; an empty one if none is left."""
    arrived.first = take_next(barrier, CHUNK, chip.threads > 1)
    if arrived.first > chip.cores:
        arrived.first = chip.cores
    arrived.last = arrived.first + CHUNK if arrived.first + CHUNK < chip.cores else chip.cores
