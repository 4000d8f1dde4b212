/* The inner loops of the derived-network kernel: a block of ticks of a derived network (derive.py computes the network,
 * _derived.pxi calls these functions).
 *
 * No recurrent spike arrives within the block in which it was fired, so every drive of a block is known before the block
 * begins.  A tick adds up the drives of the signals that spike, eight signals at a time, from a table of the sums for
 * all 256 subsets of eight signals; then it steps the hidden neurons.
 *
 * Potentials are kept relative to the threshold, U = V - alpha, so that a neuron fires if U >= 0: its sign bit says so.
 *
 * LANES, MAX_LANES and DELAY_MAX are macros from limits.py and constants.py (setup.py).
 */
#ifndef SPIKEWATCH_DERIVED_H
#define SPIKEWATCH_DERIVED_H

#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

enum {
    MAX_VECTORS = MAX_LANES / LANES,
    GROUPS = 8,        /* groups of eight signals: the bytes of a 64-bit word */
    BLOCK = DELAY_MAX, /* most ticks of a block: the longest delay of the chip */
};

/* The lanes of a block: first the hidden neurons, then the drives that only output neurons read, then the counters. */
typedef struct {
    const int16_t *sums;   /* (GROUPS, 256, vectors, LANES): drive of each subset of a group; hidden lanes: plus leak */
    const int32_t *alpha;  /* (vectors, LANES), as the next two, in the order of `lane_place` */
    const int32_t *floors; /* lowest U */
    const int32_t *guard;  /* a U above it could pass the 20-bit ceiling within a block */
    const int16_t *narrow; /* (3, vectors, LANES) in lane order: alpha, lowest U, and -1 for hidden lanes or 0;
                              NULL if 16 bits do not hold them */
    int vectors;
    int tail;              /* the last vectors, which hold all lanes that are not hidden neurons: 1, or all of them */
    int shift;             /* bit of hidden lane 0 in a word of signals */
    uint64_t hidden;       /* one bit for each hidden lane, lane 0 lowest */
} HiddenLanes;

/* Output neurons that share a drive; derive.py pads them to 8 or to a multiple of 16. */
typedef struct {
    int32_t *U;             /* potentials: read and written */
    const int32_t *leak, *alpha, *floors, *guard;
    const int32_t *weights; /* neurons of the chip that one spike stands for */
    int lanes;
} Group;

#if defined(__AVX2__)

/* Return the position of a lane's 32-bit parameters: unpacking a 256-bit vector of 16-bit lanes works in each half on its
   own, so it yields lanes 0-3 and 8-11, then 4-7 and 12-15. */
static inline int lane_place(int lane)
{
    static const int place[LANES] = {0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15};
    return lane / LANES * LANES + place[lane % LANES];
}

/* Return the sign bits of the first 64 lanes in lane order.  Overwrites lanes[vectors], which must exist. */
INLINE uint64_t signs_of(__m256i *lanes, const int vectors)
{
    uint64_t bits = 0;
    lanes[vectors] = _mm256_setzero_si256(); /* the partner of the last vector if their number is odd */
    for (int v = 0; v < vectors && v < 4; v += 2) {
        /* packing works in each half on its own: 0xD8 swaps the middle quarters back into lane order */
        __m256i bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(lanes[v], lanes[v + 1]), 0xD8);
        bits |= (uint64_t) (uint32_t) _mm256_movemask_epi8(bytes) << (LANES * v);
    }
    return bits;
}

/* Store the drives of a tick, and update the largest of each. */
INLINE void keep_drives(const __m256i *sum, const int vectors, __m256i *drives, __m256i *most)
{
    for (int v = 0; v < vectors; v++) {
        _mm256_storeu_si256(drives + v, sum[v]);
        most[v] = _mm256_max_epi16(most[v], sum[v]);
    }
}

/* Compute, for every tick and group, the offset in bytes of the row of `sums` for the signals that spike.  It fits 16
   bits: at most 255 * 32 * MAX_VECTORS = 65280. */
INLINE void find_rows(
    const HiddenLanes *net, const int vectors, int ticks, const uint64_t *signals, const uint64_t *flight,
    uint16_t rows[][GROUPS])
{
    const __m128i size = _mm_set1_epi16(32 * vectors);
    for (int t = 0; t < ticks; t++) {
        __m128i groups = _mm_cvtsi64_si128((long long) (signals[t] | flight[t] << net->shift));
        _mm_storeu_si128((__m128i *) rows[t], _mm_mullo_epi16(_mm_cvtepu8_epi16(groups), size));
    }
}

/* Sum the drives of the signals that spike in one tick.  Partial sums may wrap, modulo 2^16; derive.py proves that the
   total fits, so it is right. */
INLINE void sum_drives(const int16_t *sums, const int vectors, const uint16_t *rows, __m256i *sum)
{
    for (int g = 0; g < GROUPS; g++) {
        const char *row = (const char *) sums + g * (256 * 32 * vectors) + rows[g];
        for (int v = 0; v < vectors; v++) {
            __m256i drive = _mm256_loadu_si256((const __m256i *) row + v);
            sum[v] = g ? _mm256_add_epi16(sum[v], drive) : drive;
        }
    }
}

/* Run `ticks` ticks of the hidden neurons, whose potentials must not be above their guards.
   `signals` (ticks,) are the spikes on the input lines.  `flight` (ticks,) holds the hidden spikes that arrive, bit j for
   lane j; they are replaced by those that are fired, which arrive one delay later.  The drives of the tail vectors are
   written to `drives` (ticks, tail, LANES), and the largest of each to `top` (tail, LANES). */
INLINE void block_of(
    const HiddenLanes *net, const int vectors, const int tail, int ticks, const uint64_t *signals, uint64_t *flight,
    int32_t *potential, int16_t *drives, int16_t *top)
{
    const __m256i *alpha = (const __m256i *) net->alpha, *floors = (const __m256i *) net->floors;
    const int16_t *sums = net->sums;
    const uint64_t neurons = net->hidden;
    uint16_t rows[BLOCK][GROUPS];
    __m256i U[2 * MAX_VECTORS], most[MAX_VECTORS];
    for (int v = 0; v < 2 * vectors; v++)
        U[v] = _mm256_loadu_si256((const __m256i *) potential + v);
    find_rows(net, vectors, ticks, signals, flight, rows);
    for (int v = 0; v < tail; v++)
        most[v] = _mm256_set1_epi16(INT16_MIN);
    for (int t = 0; t < ticks; t++) {
        __m256i sum[MAX_VECTORS], signs[MAX_VECTORS + 1];
        sum_drives(sums, vectors, rows[t], sum);
        for (int v = 0; v < vectors; v++) {
            /* interleaving words with their signs extends them to 32 bits */
            __m256i minus = _mm256_srai_epi16(sum[v], 15);
            __m256i u[2] = {_mm256_unpacklo_epi16(sum[v], minus), _mm256_unpackhi_epi16(sum[v], minus)};
            for (int h = 0; h < 2; h++) {
                const int w = 2 * v + h;
                u[h] = _mm256_add_epi32(U[w], u[h]);
                /* subtract alpha where u >= 0; these neurons end at V - alpha >= 0, which is not below the floor */
                U[w] = _mm256_andnot_si256(_mm256_srai_epi32(u[h], 31), _mm256_loadu_si256(alpha + w));
                U[w] = _mm256_max_epi32(_mm256_sub_epi32(u[h], U[w]), _mm256_loadu_si256(floors + w));
            }
            signs[v] = _mm256_packs_epi32(u[0], u[1]); /* saturates, which keeps the sign; back in lane order */
        }
        flight[t] = ~signs_of(signs, vectors) & neurons;
        keep_drives(sum + vectors - tail, tail, (__m256i *) drives + t * tail, most);
    }
    for (int v = 0; v < 2 * vectors; v++)
        _mm256_storeu_si256((__m256i *) potential + v, U[v]);
    for (int v = 0; v < tail; v++)
        _mm256_storeu_si256((__m256i *) top + v, most[v]);
}

/* Run the same block in 16 bits.  Returns 0 if the result is exact; otherwise 1, and then only `drives` has changed.

   A potential above NARROW_TOP starts from NARROW_TOP, and the difference is added again at the end.  That is exact if
   the neuron fires at every tick even so: then the difference changed the outcome of no tick.  A sum that saturates
   at INT16_MAX is found in `largest`, and makes the block inexact, too. */
INLINE int narrow_block_of(
    const HiddenLanes *net, const int vectors, const int tail, int ticks, const uint64_t *signals, uint64_t *flight,
    int32_t *potential, int16_t *drives, int16_t *top)
{
    enum { NARROW_TOP = 1 << 14 };
    const __m256i *alpha = (const __m256i *) net->narrow, *floors = alpha + vectors, *hidden = floors + vectors;
    const __m256i start = _mm256_set1_epi32(NARROW_TOP), full = _mm256_set1_epi16(INT16_MAX);
    __m256i U[MAX_VECTORS], most[MAX_VECTORS], largest[MAX_VECTORS], missed[MAX_VECTORS];
    __m256i wrong = _mm256_setzero_si256();
    const int16_t *sums = net->sums;
    const uint64_t neurons = net->hidden;
    uint64_t fired[BLOCK];
    uint16_t rows[BLOCK][GROUPS];
    find_rows(net, vectors, ticks, signals, flight, rows);
    for (int v = 0; v < vectors; v++) {
        __m256i low = _mm256_loadu_si256((const __m256i *) potential + 2 * v);
        __m256i high = _mm256_loadu_si256((const __m256i *) potential + 2 * v + 1);
        U[v] = _mm256_packs_epi32(_mm256_min_epi32(low, start), _mm256_min_epi32(high, start));
        largest[v] = _mm256_set1_epi16(INT16_MIN);
        missed[v] = _mm256_setzero_si256();
    }
    for (int v = 0; v < tail; v++)
        most[v] = _mm256_set1_epi16(INT16_MIN);
    for (int t = 0; t < ticks; t++) {
        __m256i sum[MAX_VECTORS], signs[MAX_VECTORS + 1];
        sum_drives(sums, vectors, rows[t], sum);
        for (int v = 0; v < vectors; v++) {
            /* saturating below is harmless: such a sum is below the floor, which the next lines raise it to */
            __m256i u = signs[v] = _mm256_adds_epi16(U[v], sum[v]);
            largest[v] = _mm256_max_epi16(largest[v], u);
            missed[v] = _mm256_or_si256(missed[v], u);
            u = _mm256_sub_epi16(u, _mm256_andnot_si256(_mm256_srai_epi16(u, 15), _mm256_loadu_si256(alpha + v)));
            U[v] = _mm256_max_epi16(u, _mm256_loadu_si256(floors + v));
        }
        fired[t] = ~signs_of(signs, vectors) & neurons;
        keep_drives(sum + vectors - tail, tail, (__m256i *) drives + t * tail, most);
    }
    for (int v = 0; v < vectors; v++) {
        __m256i low = _mm256_loadu_si256((const __m256i *) potential + 2 * v);
        __m256i high = _mm256_loadu_si256((const __m256i *) potential + 2 * v + 1);
        /* cut: lanes that started from NARROW_TOP and did not fire at some tick, or that saturated */
        __m256i cut = _mm256_packs_epi32(_mm256_cmpgt_epi32(low, start), _mm256_cmpgt_epi32(high, start));
        cut = _mm256_and_si256(cut, _mm256_srai_epi16(missed[v], 15));
        cut = _mm256_or_si256(cut, _mm256_cmpeq_epi16(largest[v], full));
        wrong = _mm256_or_si256(wrong, _mm256_and_si256(cut, _mm256_loadu_si256(hidden + v)));
    }
    if (!_mm256_testz_si256(wrong, wrong))
        return 1;
    for (int v = 0; v < vectors; v++) {
        __m256i minus = _mm256_srai_epi16(U[v], 15);
        __m256i u[2] = {_mm256_unpacklo_epi16(U[v], minus), _mm256_unpackhi_epi16(U[v], minus)};
        for (int h = 0; h < 2; h++) {
            __m256i *to = (__m256i *) potential + 2 * v + h;
            __m256i before = _mm256_loadu_si256(to);
            __m256i above = _mm256_sub_epi32(before, _mm256_min_epi32(before, start));
            _mm256_storeu_si256(to, _mm256_add_epi32(u[h], above));
        }
    }
    memcpy(flight, fired, ticks * sizeof(uint64_t));
    for (int v = 0; v < tail; v++)
        _mm256_storeu_si256((__m256i *) top + v, most[v]);
    return 0;
}

#else

static inline int lane_place(int lane) { return lane; }

/* Pack 64 bytes of 0 or 1 into bits, in order. */
static inline uint64_t bits_of(const unsigned char *bytes)
{
    uint64_t bits = 0, eight;
    for (int b = 0; b < 8; b++) {
#if defined(__SSE2__)
        /* shift each 0 or 1 into the sign bit of its byte */
        eight = (uint64_t) (_mm_movemask_epi8(_mm_slli_epi16(_mm_loadl_epi64((const __m128i *) (bytes + 8 * b)), 7)) & 255);
#else
        memcpy(&eight, bytes + 8 * b, 8);
        eight = eight * 0x0102040810204080ULL >> 56; /* moves byte i to bit 56 + i; no two products share a bit */
#endif
        bits |= eight << (8 * b);
    }
    return bits;
}

/* Run a block on any CPU; see block_of for AVX2. */
INLINE void block_of(
    const HiddenLanes *net, const int vectors, const int tail, int ticks, const uint64_t *signals, uint64_t *flight,
    int32_t *potential, int16_t *drives, int16_t *top)
{
    const int lanes = vectors * LANES, first = (vectors - tail) * LANES;
    for (int j = first; j < lanes; j++)
        top[j - first] = INT16_MIN;
    for (int t = 0; t < ticks; t++) {
        int16_t sum[MAX_VECTORS * LANES];
        unsigned char up[MAX_VECTORS * LANES] = {0};
        const uint64_t spiking = signals[t] | flight[t] << net->shift;
        const int16_t *row[GROUPS];
        for (int g = 0; g < GROUPS; g++)
            row[g] = net->sums + (g * 256 + (int) (spiking >> (8 * g) & 255)) * lanes;
        for (int j = 0; j < lanes; j++)
            sum[j] = row[0][j] + row[1][j] + row[2][j] + row[3][j] + row[4][j] + row[5][j] + row[6][j] + row[7][j];
        for (int j = 0; j < lanes; j++) {
            int32_t u = potential[j] + sum[j];
            int32_t fires = -(u >= 0);
            up[j] = fires & 1;
            u -= net->alpha[j] & fires;
            potential[j] = u > net->floors[j] ? u : net->floors[j];
        }
        flight[t] = bits_of(up) & net->hidden;
        for (int j = first; j < lanes; j++) {
            drives[t * tail * LANES + j - first] = sum[j];
            top[j - first] = top[j - first] > sum[j] ? top[j - first] : sum[j];
        }
    }
}

#define narrow_block_of(...) 1 /* written for AVX2 only: run every block in 32 bits */

#endif

/* Return whether a potential is above its guard, so that it could pass the 20-bit ceiling within a block. */
INLINE int above_guard(const HiddenLanes *net, const int vectors, const int32_t *potential)
{
    int above = 0;
    for (int j = 0; j < vectors * LANES; j++)
        above |= potential[j] > net->guard[j];
    return above;
}

#define BLOCK_OF(vectors, tail) \
    if (above_guard(net, vectors, potential)) \
        return 1; \
    if (!net->narrow || narrow_block_of(net, vectors, tail, ticks, signals, flight, potential, drives, top)) \
        block_of(net, vectors, tail, ticks, signals, flight, potential, drives, top); \
    return 0;

#define FOR_VECTORS(n) \
    case n: \
        if (net->tail == 1) { \
            BLOCK_OF(n, 1) \
        } \
        BLOCK_OF(n, n)

/* Call `block_of` with the numbers of vectors of this network as constants, in 16 bits where that is exact.  Returns 1 if
   a potential is above its guard: then nothing was run. */
static inline int run_block(
    const HiddenLanes *net, int ticks, const uint64_t *signals, uint64_t *flight, int32_t *potential, int16_t *drives,
    int16_t *top)
{
    switch (net->vectors) {
        FOR_VECTORS(1) FOR_VECTORS(2) FOR_VECTORS(3) FOR_VECTORS(4)
        FOR_VECTORS(5) FOR_VECTORS(6) FOR_VECTORS(7) FOR_VECTORS(8)
    }
    return 1;
}

/* Add up two 16-bit counters that are next to each other in the drives of every tick. */
static inline void add_counters(int ticks, const int16_t *counters, int stride, int64_t *first, int64_t *second)
{
    uint64_t sum = 0; /* one counter in each half: 15 times 65535 fits */
    for (int t = 0; t < ticks; t++) {
        uint32_t both;
        memcpy(&both, counters + t * stride, 4); /* little-endian: the first counter is the low half */
        sum += (uint64_t) (both >> 16) << 32 | (both & 65535);
#if defined(__GNUC__) && !defined(__clang__)
        __asm__("" : "+r"(sum)); /* keeps GCC from vectorising this loop, which makes it twice as slow */
#endif
    }
    *first += (int64_t) (sum & 0xFFFFFFFF);
    *second += (int64_t) (sum >> 32);
}

/* Potentials of one vector register. */
#if defined(__AVX2__)
enum { WIDTH = 8 };
#else
enum { WIDTH = 4 };
#endif
typedef int32_t potentials __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));

INLINE int any(potentials bits)
{
#if defined(__AVX2__)
    return !_mm256_testz_si256((__m256i) bits, (__m256i) bits);
#else
    int32_t found = 0;
    for (int j = 0; j < WIDTH; j++)
        found |= bits[j];
    return found != 0;
#endif
}

INLINE potentials at_least(potentials a, potentials b)
{
#if defined(__AVX2__)
    return (potentials) _mm256_max_epi32((__m256i) a, (__m256i) b);
#else
    potentials less = a < b;
    return (b & less) | (a & ~less);
#endif
}

/* Run a block of `lanes` output neurons from `first` on, all in registers; see run_group. */
INLINE int group_of(
    const Group *group, int first, const int lanes, int ticks, const int16_t *drives, int stride, int32_t *spikes,
    int32_t *total)
{
    potentials U[16 / WIDTH], n[16 / WIDTH], above = {0}, over = {0}, weighted = {0};
    const potentials *leak = (const potentials *) (group->leak + first);
    const potentials *alpha = (const potentials *) (group->alpha + first);
    const potentials *floors = (const potentials *) (group->floors + first);
    for (int v = 0; v < lanes / WIDTH; v++) {
        U[v] = ((const potentials *) (group->U + first))[v];
        over |= U[v] > ((const potentials *) (group->guard + first))[v];
        n[v] = (potentials) {0};
    }
    for (int t = 0; t < ticks; t++) {
        int32_t drive = drives[t * stride];
        for (int v = 0; v < lanes / WIDTH; v++) {
            U[v] += leak[v] + drive;
            potentials fires = U[v] >= 0;
            n[v] -= fires; /* a vector comparison gives -1 for true */
            U[v] -= alpha[v] & fires;
            U[v] = at_least(U[v], floors[v]);
        }
    }
    for (int v = 0; v < lanes / WIDTH; v++) {
        above |= U[v] ^ floors[v];
        ((potentials *) (group->U + first))[v] = U[v];
        ((potentials *) (spikes + first))[v] = n[v];
        weighted += n[v] * ((const potentials *) (group->weights + first))[v];
    }
    if (any(weighted))
        for (int j = 0; j < WIDTH; j++)
            *total += weighted[j];
    return any(over) ? -1 : !any(above);
}

/* Run a block of output neurons that share the drives drives[t * stride].  Writes the spikes of each lane to `spikes`
   (lanes,), and their sum times the weights to `total`.  Returns 1 if all ended at their floor, 0 if not, and -1 if a
   potential began above its guard: then the answer is void. */
static inline int run_group(
    const Group *group, int ticks, const int16_t *drives, int stride, int32_t *spikes, int32_t *total)
{
    *total = 0;
    if (group->lanes == 8)
        return group_of(group, 0, 8, ticks, drives, stride, spikes, total);
    int at_floor = 1;
    for (int first = 0; first < group->lanes; first += 16) {
        int found = group_of(group, first, 16, ticks, drives, stride, spikes, total);
        if (found < 0)
            return -1;
        at_floor &= found;
    }
    return at_floor;
}

#endif
