# The chip kernel: the same ticks as reference.py, bit for bit, for any number of cores.
#
# Event-driven: only the crossbar rows of spiking axons are read, and a core at rest (no spike arrives, and a tick
# without spikes changed no potential and fired nothing) is not computed at all until a spike arrives.
# Potentials are kept in 16 bits as long as they fit (tables.narrow_table), in 32 otherwise, core by core.
# Threads share a chip by cores: each takes the next chunk of cores that nobody has, so that a slow thread does less; it
# keeps the spikes that it sends in a scheduler of its own, from which the thread that computes their target takes
# them; and all threads meet at the end of every tick.

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
    void fetch(const void* address) noexcept nogil
    int64_t take(int64_t* meeting, int64_t n, int shared) noexcept nogil
    void meet(int64_t* meeting, int64_t threads, int64_t round) noexcept nogil

cdef enum:
    CHUNK = 16  # cores that a thread takes at a time, and by which it reads ahead
    FEW_SPIKES = 20  # of a core: adding row after row is faster than counting rows up to about that many
    FEW_SUM = 127  # largest sum of weights in a byte
    NARROW_MIN = -(1 << 14)  # potentials that are kept in 16 bits
    NARROW_MAX = (1 << 14) - 1
    TALLY_TICKS = 255  # that a byte can count
    NOISY = 3  # tables.KIND_NOISY


cdef struct Chip:
    # the arguments of `simulate`, for one thread
    const uint8_t* crossbar
    const uint64_t* axon_types
    const int32_t* prototype
    const int8_t* byte_weights
    const int16_t* weights
    const int32_t* room
    const uint8_t* kinds
    const int32_t* neurons
    const int16_t* narrow
    const int32_t* noise
    const uint64_t* keys
    const int32_t* potential
    const uint32_t* routes
    const uint8_t* leaves
    const uint64_t* kinds_of_target
    const int32_t* copies
    const int32_t* line_start
    const int32_t* line_words
    const uint64_t* line_masks
    const int32_t* line_spikes
    int16_t* V
    int32_t* wide_V
    uint8_t* wide
    uint8_t* resting
    uint8_t* tally
    uint64_t* schedulers
    uint64_t* mine
    Py_ssize_t cores, slot_words, words
    int thread, threads
    bint far, record
    int64_t sent_in, sent_hidden, sent_out, events


cdef struct Arrived:
    # the spikes that arrive at a chunk of cores in a tick
    Py_ssize_t first, last
    int n[CHUNK]  # of each core
    uint64_t axons[CHUNK][WORDS]
    # of cores with few spikes: where their list begins, and the largest magnitude of what they add to a potential
    int start[CHUNK]
    int sum[CHUNK]
    uint16_t spike[CHUNK * FEW_SPIKES]  # 256 type + axon


cdef struct Sent:
    # the neurons of a chunk that send a spike to an axon
    int n
    uint32_t neuron[CHUNK * NEURONS + 1]


cdef inline void begin_run(Chip* chip) noexcept nogil:
    """Bring this thread's share of the cores to their initial state."""
    cdef Py_ssize_t c, first = chip.cores * chip.thread // chip.threads
    cdef Py_ssize_t last = chip.cores * (chip.thread + 1) // chip.threads
    memset(&chip.resting[first], 0, last - first)
    memset(chip.mine, 0, SLOTS * chip.slot_words * sizeof(uint64_t))
    for c in range(first, last):
        keep(chip, c, &chip.potential[c * NEURONS])
    chip.sent_in = chip.sent_hidden = chip.sent_out = chip.events = 0


cdef inline void keep(Chip* chip, Py_ssize_t c, const int32_t* V) noexcept nogil:
    """Keep the potentials of a core in as many bits as they need."""
    cdef int j
    cdef int32_t low = 0, high = 0
    cdef int16_t* narrow = &chip.V[c * NEURONS]
    if chip.room[chip.prototype[c] * (TYPES + 1)] >= 0:
        for j in range(NEURONS):
            low = V[j] if V[j] < low else low
            high = V[j] if V[j] > high else high
        if low >= NARROW_MIN and high <= NARROW_MAX:
            for j in range(NEURONS):
                narrow[j] = <int16_t> V[j]
            chip.wide[c] = 0
            return
    if V != &chip.wide_V[c * NEURONS]:
        memcpy(&chip.wide_V[c * NEURONS], V, NEURONS * sizeof(int32_t))
    chip.wide[c] = 1


cdef inline void widen(Chip* chip, Py_ssize_t c) noexcept nogil:
    """Keep the potentials of a core in 32 bits."""
    cdef int j
    for j in range(NEURONS):
        chip.wide_V[c * NEURONS + j] = chip.V[c * NEURONS + j]
    chip.wide[c] = 1


cdef inline void arrive(Chip* chip, const uint64_t* lines, int slot) noexcept nogil:
    """Let the spikes of the input lines arrive, by way of this thread's scheduler."""
    cdef uint64_t* axons = chip.mine + slot * chip.slot_words
    cdef Py_ssize_t word, line, k
    cdef uint64_t bits
    for word in range(chip.words):
        bits = lines[word]
        if chip.copies[word] >= 0:  # 64 lines for 64 axons in order
            axons[chip.copies[word]] |= bits
            chip.sent_in += bits_in(bits)
            continue
        while bits:
            line = word * 64 + lowest_bit(bits)
            bits &= bits - 1
            for k in range(chip.line_start[line], chip.line_start[line + 1]):
                axons[chip.line_words[k]] |= chip.line_masks[k]
                chip.sent_in += chip.line_spikes[k]


cdef inline void gather(Chip* chip, int slot, Arrived* arrived) noexcept nogil:
    """Collect the spikes that arrive at a chunk, from all threads; list them where they are few."""
    cdef uint32_t list[CHUNK * FEW_SPIKES + 1]
    cdef uint64_t* axons
    cdef uint64_t* bits
    cdef Py_ssize_t c, first = arrived.first
    cdef int k, word, g, i, listed = 0
    for k in range(arrived.last - first):
        bits = arrived.axons[k]
        for word in range(WORDS):
            bits[word] = 0
        for g in range(chip.threads):
            axons = chip.schedulers + (g * SLOTS + slot) * chip.slot_words + (first + k) * WORDS
            for word in range(WORDS):
                bits[word] |= axons[word]
                axons[word] = 0
        arrived.n[k] = count_256(bits)
        arrived.start[k] = listed
        arrived.sum[k] = 0
        if arrived.n[k] <= FEW_SPIKES:
            listed += list_256(bits, k * AXONS, list + listed)
    for i in range(listed):
        arrived.spike[i] = typed(chip, arrived, list[i])
    if chip.far:
        read_ahead(chip, arrived)


cdef inline uint16_t typed(const Chip* chip, Arrived* arrived, uint32_t spike) noexcept nogil:
    """Add the type to an axon of a chunk's core, and its largest weight to what the core is in for."""
    cdef uint32_t k = spike >> 8, axon = spike & 0xFF
    cdef const uint64_t* types = &chip.axon_types[(arrived.first + k) * 2 * WORDS + (axon >> 6)]
    cdef uint32_t kind = (types[0] >> (axon & 63) & 1) | (types[WORDS] >> (axon & 63) & 1) << 1
    arrived.sum[k] += chip.room[chip.prototype[arrived.first + k] * (TYPES + 1) + 1 + kind]
    if chip.far:
        fetch(&chip.crossbar[((arrived.first + k) * AXONS + axon) * (NEURONS >> 3)])
    return <uint16_t> (kind << 8 | axon)


cdef inline void read_ahead(const Chip* chip, const Arrived* arrived) noexcept nogil:
    """Read the potentials of a chunk ahead, and the crossbar rows of those with many spikes."""
    cdef Py_ssize_t c
    cdef int at, word
    cdef uint64_t bits
    for c in range(arrived.first, arrived.last):
        for at in range(0, NEURONS, 32):
            fetch(&chip.V[c * NEURONS + at])
        if arrived.n[c - arrived.first] > FEW_SPIKES:
            for word in range(WORDS):
                bits = arrived.axons[c - arrived.first][word]
                while bits:
                    fetch(&chip.crossbar[(c * AXONS + word * 64 + lowest_bit(bits)) * (NEURONS >> 3)])
                    bits &= bits - 1


cdef inline int sort(const Chip* chip, Py_ssize_t c, const uint64_t* axons, Spiking* spiking) noexcept nogil:
    """List the spiking axons of a core by type; return the largest magnitude of what they add to a potential."""
    cdef const uint64_t* types = &chip.axon_types[c * 2 * WORDS]
    cdef const int32_t* room = &chip.room[chip.prototype[c] * (TYPES + 1)]
    cdef uint64_t bits, n = 0  # 16 bits for each type: to count in memory would wait for memory
    cdef int at, word, shift, total = 0
    for word in range(WORDS):
        bits = axons[word]
        while bits:
            at = lowest_bit(bits)
            bits &= bits - 1
            shift = (types[word] >> at & 1) << 4 | (types[WORDS + word] >> at & 1) << 5
            spiking.axon[shift >> 4][n >> shift & 0x1FF] = <uint8_t> (64 * word + at)
            n += <uint64_t> 1 << shift
    for at in range(TYPES):
        spiking.n[at] = n >> 16 * at & 0xFFFF
        total += spiking.n[at] * room[1 + at]
    return total


cdef void tick_wide(
    Chip* chip, Py_ssize_t c, int64_t t, const Spiking* spiking, uint8_t* tally, Tick* tick
) noexcept nogil:
    """One tick of a core in 32 bits."""
    cdef int32_t drive[NEURONS]
    cdef uint8_t fired[NEURONS]
    cdef Py_ssize_t p = chip.prototype[c]
    cdef const int32_t* neurons = &chip.neurons[p * 8 * NEURONS]
    cdef const uint8_t* crossbar = &chip.crossbar[c * AXONS * (NEURONS >> 3)]
    cdef int32_t* V = &chip.wide_V[c * NEURONS]
    if not chip.wide[c]:
        widen(chip, c)
    tick.events = synapses(crossbar, &chip.weights[p * TYPES * NEURONS], spiking, drive)
    if chip.kinds[p] == 0:
        tick.happened = update_plain(neurons, drive, V, fired)
    elif chip.kinds[p] == 1:
        tick.happened = update(neurons, drive, V, fired, False)
    elif chip.kinds[p] == 2:
        tick.happened = update(neurons, drive, V, fired, True)
    else:
        tick.happened = update_noisy(
            neurons, &chip.noise[p * 11 * NEURONS], chip.keys[c], t, spiking, crossbar, drive, V, fired
        )
    pack_fired(fired, tally, tick.fired)
    keep(chip, c, V)


cdef inline void tick_core(
    Chip* chip, Py_ssize_t c, int64_t t, const Arrived* arrived, uint8_t* tally, Tick* tick
) noexcept nogil:
    """One tick of a core, in 16 bits where that is exact."""
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
            crossbar, &arrived.spike[arrived.start[k]], n, &chip.byte_weights[p * TYPES * NEURONS],
            narrow, chip.kinds[p], V, tally, tick,
        )
    elif sort(chip, c, arrived.axons[k], &spiking) <= chip.room[p * (TYPES + 1)] and not chip.wide[c]:
        events = narrow_synapses(crossbar, &chip.weights[p * TYPES * NEURONS], &spiking, drive)
        narrow_many(drive, narrow, chip.kinds[p], V, tally, tick)
        tick.events = events
    else:
        tick_wide(chip, c, t, &spiking, tally, tick)
        return
    if tick.outside:
        widen(chip, c)


cdef inline void compute(
    Chip* chip, const Arrived* arrived, int64_t t, bint counting, uint16_t* out, Sent* sent
) noexcept nogil:
    """One tick of a chunk: list the neurons that send a spike, and read their routes ahead."""
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
        tally = &chip.tally[c * NEURONS] if counting and chip.leaves[c] else NULL
        tick_core(chip, c, t, arrived, tally, &tick)
        chip.resting[c] = arrived.n[c - arrived.first] == 0 and not tick.happened
        chip.events += tick.events
        targets = &chip.kinds_of_target[c * 2 * WORDS]
        for word in range(WORDS):
            sending[word] = tick.fired[word] & targets[word]
        count += list_256(sending, <uint32_t> (c * NEURONS), sent.neuron + count)
        if chip.leaves[c]:
            for word in range(WORDS):
                leaving[word] = tick.fired[word] & targets[WORDS + word]
            chip.sent_out += count_256(leaving)
            if chip.record:
                for word in range(WORDS):
                    bits = leaving[word]
                    while bits:
                        add_16(&out[chip.routes[c * NEURONS + word * 64 + lowest_bit(bits)]], 1, chip.threads > 1)
                        bits &= bits - 1
    if chip.far:
        for i in range(count):
            fetch(&chip.routes[sent.neuron[i]])
    sent.n = count
    chip.sent_hidden += count


cdef inline void send(Chip* chip, Sent* sent, int slot) noexcept nogil:
    """Put the spikes of a chunk into this thread's scheduler."""
    cdef int i
    cdef uint32_t route
    cdef uint32_t bits[CHUNK * NEURONS]
    for i in range(sent.n):
        route = chip.routes[sent.neuron[i]]
        sent.neuron[i] = <uint32_t> (
            ((slot + (route >> 24)) & (SLOTS - 1)) * chip.slot_words + (route >> 6 & 0x3FFFF)
        )
        bits[i] = route & 63
        if chip.far:
            fetch(&chip.mine[sent.neuron[i]])
    for i in range(sent.n):
        chip.mine[sent.neuron[i]] |= (<uint64_t> 1) << bits[i]


cdef inline void count_tally(Chip* chip, Py_ssize_t first, Py_ssize_t last, int32_t* counts) noexcept nogil:
    """Add what the cores of a chunk have tallied to the counts of the output lines."""
    cdef Py_ssize_t c
    cdef int j
    for c in range(first, last):
        if chip.leaves[c]:
            for j in range(NEURONS):
                if chip.tally[c * NEURONS + j] and chip.kinds_of_target[(2 * c + 1) * WORDS + (j >> 6)] >> (j & 63) & 1:
                    add_32(&counts[chip.routes[c * NEURONS + j]], chip.tally[c * NEURONS + j], chip.threads > 1)
            memset(&chip.tally[c * NEURONS], 0, NEURONS)


cdef inline void next_chunk(Chip* chip, int64_t* meeting, Arrived* arrived) noexcept nogil:
    """Take a chunk of cores that no thread has taken in this tick; an empty one when there is none."""
    arrived.first = take(meeting, CHUNK, chip.threads > 1)
    if arrived.first > chip.cores:
        arrived.first = chip.cores
    arrived.last = arrived.first + CHUNK if arrived.first + CHUNK < chip.cores else chip.cores


@cython.boundscheck(False)
@cython.wraparound(False)
@cython.initializedcheck(False)
def simulate(
    const uint8_t[:, :, ::1] crossbar,
    const uint64_t[:, :, ::1] axon_types,
    const int32_t[::1] prototype,
    const int8_t[:, :, ::1] byte_weights,
    const int16_t[:, :, ::1] weights,
    const int32_t[:, ::1] room,
    const uint8_t[::1] kinds,
    const int32_t[:, :, ::1] neurons,
    const int16_t[:, :, ::1] narrow,
    const int32_t[:, :, ::1] noise,
    const uint64_t[::1] keys,
    const int32_t[:, ::1] potential,
    const uint32_t[:, ::1] routes,
    const uint8_t[::1] leaves,
    const uint64_t[:, :, ::1] kinds_of_target,
    const int32_t[::1] copies,
    const int32_t[::1] line_start,
    const int32_t[::1] line_words,
    const uint64_t[::1] line_masks,
    const int32_t[::1] line_spikes,
    const uint64_t[:, ::1] raster,
    const int64_t[::1] starts,
    const int64_t[::1] counted,
    int32_t[:, ::1] counts,
    int64_t[:, ::1] spikes,
    int64_t[::1] events,
    uint16_t[:, ::1] out_raster,
    bint record,
    int16_t[:, ::1] V,
    int32_t[:, ::1] wide_V,
    uint8_t[:, ::1] flags,
    uint8_t[:, ::1] tally,
    uint64_t[:, :, :, ::1] schedulers,
    int64_t[::1] meeting,
    int thread,
    int threads,
):
    """Be one of the threads that run a batch; every argument was checked and allocated by run.Simulator.

    Shapes, with C cores, L input lines, N runs, t ticks of all runs, O output lines, P distinct cores:
    crossbar (C, 256, 32), axon_types (C, 2, 4) as tables.axon_types, prototype (C,) the distinct core that has each
    one's parameters; byte_weights and weights (P, 4, 256) by axon type, room (P, 5), kinds (P,), neurons and narrow
    (P, 8, 256), noise (P, 11, 256) or none, as in tables; keys (C,), potential (C, 256), routes (C, 256) as
    tables.route_table, leaves (C,) and kinds_of_target (C, 2, 4) as tables.target_table; copies (words,) as
    tables.line_copies; line_start (L + 1,) into line_words, line_masks and line_spikes (n,) as tables.line_table;
    raster (t, words); starts (N + 1,), counted (N,).
    Results: counts (N, O), spikes (N, 3), events (N,), out_raster (t, O) if `record`, all zeroed.
    Work space: run._Space.
    """
    cdef Chip chip
    cdef Arrived arrived[2]
    cdef Sent sent[2]
    cdef Py_ssize_t run, t, begin, end
    cdef int64_t meetings = 0, tallied
    cdef int slot, now
    cdef bint counting, flush
    cdef uint16_t* out = NULL
    cdef int64_t* place = &meeting[0]
    chip.crossbar = &crossbar[0, 0, 0]
    chip.axon_types = &axon_types[0, 0, 0]
    chip.prototype = &prototype[0]
    chip.byte_weights = &byte_weights[0, 0, 0]
    chip.weights = &weights[0, 0, 0]
    chip.room = &room[0, 0]
    chip.kinds = &kinds[0]
    chip.neurons = &neurons[0, 0, 0]
    chip.narrow = &narrow[0, 0, 0]
    chip.noise = &noise[0, 0, 0] if noise.shape[0] else NULL
    chip.keys = &keys[0]
    chip.potential = &potential[0, 0]
    chip.routes = &routes[0, 0]
    chip.leaves = &leaves[0]
    chip.kinds_of_target = &kinds_of_target[0, 0, 0]
    chip.copies = &copies[0]
    chip.line_start = &line_start[0]
    chip.line_words = &line_words[0] if line_words.shape[0] else NULL
    chip.line_masks = &line_masks[0] if line_masks.shape[0] else NULL
    chip.line_spikes = &line_spikes[0] if line_spikes.shape[0] else NULL
    chip.V = &V[0, 0]
    chip.wide_V = &wide_V[0, 0]
    chip.wide = &flags[0, 0]
    chip.resting = &flags[1, 0]
    chip.tally = &tally[0, 0]
    chip.schedulers = &schedulers[0, 0, 0, 0]
    chip.mine = &schedulers[thread, 0, 0, 0]
    chip.cores = V.shape[0]
    chip.slot_words = V.shape[0] * WORDS
    chip.words = raster.shape[1]
    chip.thread = thread
    chip.threads = threads
    chip.far = V.shape[0] > 64  # the rows and routes of that many cores do not stay in the cache
    chip.record = record
    with nogil:
        for run in range(starts.shape[0] - 1):
            begin, end = starts[run], starts[run + 1]
            tallied = 0
            begin_run(&chip)
            if thread == 0 and begin < end:
                arrive(&chip, &raster[begin, 0], 0)
            meetings += 1
            meet(place, threads, meetings)
            for t in range(begin, end):
                slot = (t - begin) & (SLOTS - 1)
                counting = t >= end - counted[run]
                tallied += counting
                flush = counting and (tallied % TALLY_TICKS == 0 or t == end - 1)
                if record:
                    out = &out_raster[t, 0]
                now = 0
                next_chunk(&chip, place, &arrived[0])
                if arrived[0].first == 0 and t + 1 < end:
                    arrive(&chip, &raster[t + 1, 0], (slot + 1) & (SLOTS - 1))
                gather(&chip, slot, &arrived[0])
                sent[1].n = 0
                while arrived[now].first < chip.cores:
                    next_chunk(&chip, place, &arrived[1 - now])
                    gather(&chip, slot, &arrived[1 - now])
                    compute(&chip, &arrived[now], t - begin, counting, out, &sent[now])
                    send(&chip, &sent[1 - now], slot)
                    if flush:
                        count_tally(&chip, arrived[now].first, arrived[now].last, &counts[run, 0])
                    now = 1 - now
                send(&chip, &sent[1 - now], slot)
                meetings += 1
                meet(place, threads, meetings)
            add_64(&spikes[run, 0], chip.sent_in)
            add_64(&spikes[run, 1], chip.sent_hidden)
            add_64(&spikes[run, 2], chip.sent_out)
            add_64(&events[run], chip.events)
