/* The inner loops of the chip kernel, over many neurons at once.  They use the vector extensions of GCC and Clang, so
   that one source serves every CPU; intrinsics appear only where these compilers would not find the instruction.

   The 256 neurons of a core are in one of two orders, chosen so that a row of the crossbar (256 bits) can be used
   without shuffling it:
   - byte order (tables.BYTE_ORDER): neuron 8 b + k is at position 32 k + b.  Bit k of each of the 32 bytes of a row
     then belongs to the k-th group of 32 positions; shifting all bytes left by one brings the next group to the sign
     bits.
   - word order (tables.WORD_ORDER): of every 32 positions in byte order, first the even ones, then the odd ones.  That
     is how 32 bytes fall apart when they are read as 16 words of 16 bits: low bytes, then high bytes.

   AXONS, KIND_PLAIN and other capitals without a definition here are macros from limits.py and constants.py (setup.py). */

#ifndef SPIKEWATCH_CHIP_H
#define SPIKEWATCH_CHIP_H

#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__AVX2__)
#define PART 32 /* bytes of a vector: a crossbar row is one vector of AVX2, or two of SSE2 or NEON */
#else
#define PART 16
#endif

typedef int8_t bytes __attribute__((vector_size(PART), aligned(1), may_alias));
typedef int16_t words __attribute__((vector_size(PART), aligned(2), may_alias));
typedef uint16_t counts __attribute__((vector_size(PART), aligned(2), may_alias));
typedef uint64_t word64 __attribute__((aligned(1), may_alias));
/* Functions are always inlined where an argument is a constant at the call: each call gets its own specialised code. */
#define INLINE static inline __attribute__((always_inline))

enum { LEAK, IS_REVERSED, ALPHA, MINUS_BETA, UP_KEEP, UP_ADD, DOWN_KEEP, DOWN_ADD }; /* rows of tables.neuron_table */

#if defined(__AVX2__)
INLINE words larger(words a, words b) { return (words) _mm256_max_epi16((__m256i) a, (__m256i) b); }
INLINE words smaller(words a, words b) { return (words) _mm256_min_epi16((__m256i) a, (__m256i) b); }
INLINE uint32_t signs(bytes a) { return (uint32_t) _mm256_movemask_epi8((__m256i) a); }
/* Combine the low bytes of the words of one with the high bytes of the other. */
INLINE bytes interleaved(words even, words odd)
{
    return (bytes) _mm256_blendv_epi8((__m256i) even, (__m256i) odd, _mm256_set1_epi16((short) 0xFF00));
}
#else
#if defined(__SSE2__)
INLINE words larger(words a, words b) { return (words) _mm_max_epi16((__m128i) a, (__m128i) b); }
INLINE words smaller(words a, words b) { return (words) _mm_min_epi16((__m128i) a, (__m128i) b); }
INLINE uint32_t signs(bytes a) { return (uint32_t) _mm_movemask_epi8((__m128i) a); }
#else
INLINE words larger(words a, words b) { words m = a > b; return (a & m) | (b & ~m); }
INLINE words smaller(words a, words b) { words m = a < b; return (a & m) | (b & ~m); }
INLINE uint32_t signs(bytes a)
{
    uint32_t bits = 0;
    for (int i = 0; i < PART; i++)
        bits |= (uint32_t) (a[i] < 0) << i;
    return bits;
}
#endif
INLINE bytes interleaved(words even, words odd)
{
    const words odds = (words) {0} + (int16_t) 0xFF00;
    return (bytes) ((even & ~odds) | (odd & odds));
}
#endif

/* Count the set bits of 256.  x86-64 has no population count before SSE4.2, so the base build sums within a word. */
INLINE int count_256(const void *bits)
{
    const word64 *b = (const word64 *) bits;
#if defined(__POPCNT__) || !defined(__x86_64__)
    return __builtin_popcountll(b[0]) + __builtin_popcountll(b[1]) + __builtin_popcountll(b[2])
           + __builtin_popcountll(b[3]);
#else
    uint64_t total = 0;
    for (int i = 0; i < 4; i++) {
        uint64_t x = b[i] - (b[i] >> 1 & 0x5555555555555555ULL);
        x = (x & 0x3333333333333333ULL) + (x >> 2 & 0x3333333333333333ULL);
        total += (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0FULL; /* at most 4 x 8 in a byte: no carry into the next one */
    }
    /* the product adds up the four 16-bit fields in its top one */
    total = (total & 0x00FF00FF00FF00FFULL) + (total >> 8 & 0x00FF00FF00FF00FFULL);
    return (int) (total * 0x0001000100010001ULL >> 48);
#endif
}

/* List the positions of the set bits of 256, plus `base`; return their number.  Writes one entry beyond the list.
   Usually few bits are set, so the first two of every 64 are listed without a branch, which the CPU would mispredict
   half of the time. */
INLINE int list_256(const uint64_t *bits, uint32_t base, uint32_t *list)
{
    const uint64_t last = 1ULL << 63; /* keeps ctz defined for 0 */
    int n = 0;
    for (int i = 0; i < 4; i++, base += 64) {
        uint64_t x = bits[i];
        for (int twice = 0; twice < 2; twice++) {
            /* written even if x is 0; n does not advance then, so the next entry overwrites it */
            list[n] = base + (uint32_t) __builtin_ctzll(x | last);
            n += x != 0;
            x &= x - 1;
        }
        for (; x; x &= x - 1)
            list[n++] = base + (uint32_t) __builtin_ctzll(x);
    }
    return n;
}

/* Compute sum[j] += weights[j] * (number of listed rows with bit j set), in word order, for n < 2^planes axons of one
   type, n <= 128.  Returns the set bits of the rows.
   The rows are counted bit-sliced: plane p holds bit p of all 256 counts, and adding a row is a ripple of half adders
   (XOR for the sum, AND for the carry) over whole vectors. */
INLINE int add_planes(
    const uint8_t *crossbar, const uint8_t *list, int n, const int16_t *weights, int16_t *sum, const int planes)
{
    int events = 0;
    bytes plane[8][32 / PART];
    memset(plane, 0, (size_t) planes * 32);
    for (int k = 0; k < n; k++)
        for (int part = 0; part < 32 / PART; part++) {
            bytes carry = ((const bytes *) (crossbar + 32 * (int) list[k]))[part];
            for (int p = 0; p < planes; p++) {
                bytes both = plane[p][part] & carry;
                plane[p][part] ^= carry;
                carry = both;
            }
        }
    for (int p = 0; p < planes; p++)
        events += count_256(plane[p]) << p;
    for (int k = 0; k < 8; k++)
        for (int part = 0; part < 32 / PART; part++) {
            bytes total = {0};
            /* Put the planes together, highest first.  x86 cannot shift bytes: the words are shifted, and `& 1` drops
               the bits that cross into the other byte. */
            for (int p = planes - 1; p >= 0; p--)
                total += total + ((bytes) ((counts) plane[p][part] >> k) & 1);
            int at = 32 * k + PART / 2 * part;
            words *even = (words *) (sum + at), *odd = (words *) (sum + at + 16);
            *even += (words) ((counts) total & 0xFF) * *(const words *) (weights + at);
            *odd += (words) ((counts) total >> 8) * *(const words *) (weights + at + 16);
        }
    return events;
}

/* Call `add_planes` with as few planes as hold a count of n. */
static inline int add_rows(
    const uint8_t *crossbar, const uint8_t *list, int n, const int16_t *weights, int16_t *sum)
{
    switch (32 - __builtin_clz((unsigned) n)) { /* bits of n; counts of 32 to 128 share one specialisation */
    case 1: return add_planes(crossbar, list, n, weights, sum, 1);
    case 2: return add_planes(crossbar, list, n, weights, sum, 2);
    case 3: return add_planes(crossbar, list, n, weights, sum, 3);
    case 4: return add_planes(crossbar, list, n, weights, sum, 4);
    case 5: return add_planes(crossbar, list, n, weights, sum, 5);
    default: return add_planes(crossbar, list, n, weights, sum, 8);
    }
}

/* The result of one tick of one core, apart from its potentials. */
typedef struct {
    uint64_t fired[4]; /* one bit for each neuron, in byte order */
    int outside;       /* whether a potential left -NARROW_MAX - 1..NARROW_MAX */
    int happened;      /* whether a neuron fired or changed its potential; in 16 bits, known for silent ticks only */
    int events;        /* synaptic events */
} Tick;

/* Leak, threshold, fire and reset for one vector of neurons with potentials v, as `update` in _wide.pxi; writes the new
   potentials to V and returns -1 for neurons that did not fire, 0 for those that did.
   No sum here leaves 16 bits: tables.narrow_table says why. */
INLINE words narrow_neurons(const int16_t *p, words *V, words v, const int kind, words *high, words *low)
{
#define ROW(r) (*(const words *) (p + 256 * (r)))
    words quiet;
    if (kind == KIND_PLAIN) {
        v += ROW(LEAK);
        quiet = ROW(ALPHA) > v;
        /* a neuron that fired has V - alpha >= 0 >= -beta: the maximum is equation 7, and acts on the others only */
        v = larger(v - (ROW(ALPHA) & ~quiet), ROW(MINUS_BETA));
    } else {
        if (kind == KIND_REVERSAL) {
            /* a comparison gives -1: sign is sgn(v), and Omega lambda of equations 3 and 4 needs no branch */
            words sign = (words) (v < 0) - (words) (v > 0);
            words w = v + ROW(LEAK) * ((ROW(IS_REVERSED) & sign) | (~ROW(IS_REVERSED) & 1));
            v = w & ~(ROW(IS_REVERSED) & ((v ^ w) < 0)); /* a reversed leak that would change the sign stops at 0 */
        } else {
            v += ROW(LEAK);
        }
        quiet = ROW(ALPHA) > v;
        words down = quiet & (ROW(MINUS_BETA) > v);
        v = (~quiet & ((v & ROW(UP_KEEP)) + ROW(UP_ADD))) | (down & ((v & ROW(DOWN_KEEP)) + ROW(DOWN_ADD)))
            | (quiet & ~down & v);
        *low = smaller(*low, v);
    }
    *high = larger(*high, v);
    *V = v;
    return quiet;
#undef ROW
}

/* Run a tick for the neurons of one part of a core.  Their drive is either `few`, bytes in registers, or `many`, words in
   memory, or none if both are NULL. */
INLINE void narrow_part(
    const int16_t *p, int16_t *V, const bytes *few, const int16_t *many, const int kind, const int part,
    uint8_t *tally, Tick *tick)
{
    words high = {0}, low = {0}, changed = {0};
#pragma GCC unroll 8 /* few[k] is a register only if k is a constant */
    for (int k = 0; k < 8; k++) {
        int at = 32 * k + PART / 2 * part;
        words *even = (words *) (V + at), *odd = (words *) (V + at + 16);
        words a = *even, b = *odd, v = a, w = b;
        if (few) { /* sign-extend the low bytes, then the high bytes, of each word */
            v += (words) ((counts) few[k] << 8) >> 8;
            w += (words) few[k] >> 8;
        } else if (many) {
            v += *(const words *) (many + at);
            w += *(const words *) (many + at + 16);
        }
        /* word order puts the even neurons of these 32 before the odd ones: interleaving gives byte order again */
        words quiet_even = narrow_neurons(p + at, even, v, kind, &high, &low);
        words quiet_odd = narrow_neurons(p + at + 16, odd, w, kind, &high, &low);
        bytes quiet = interleaved(quiet_even, quiet_odd);
        if (!few && !many)
            changed |= (a ^ *even) | (b ^ *odd) | (words) ~quiet;
        if (tally)
            *(bytes *) (tally + 32 * k + PART * part) += quiet + 1; /* quiet is -1, fired 0 */
        uint32_t fired = ~signs(quiet);
#if PART == 16
        fired &= 0xFFFF;
#endif
        tick->fired[k >> 1] |= (uint64_t) fired << (32 * (k & 1) + PART * part);
    }
    tick->outside |= signs((bytes) ((high > NARROW_MAX) | (low < -NARROW_MAX - 1))) != 0;
    if (!few && !many) /* nothing happened if every lane is unchanged: all sign bits of the comparison are set */
        tick->happened |= signs((bytes) (changed == 0)) != (uint32_t) ((1ULL << PART) - 1);
}

/* narrow_few, below, for a constant kind.  The drives stay in registers until all spikes are added. */
INLINE void narrow_few_of(
    const uint8_t *crossbar, const uint16_t *spikes, int n, const int8_t *weights, const int16_t *p, const int kind,
    int16_t *V, uint8_t *tally, Tick *tick)
{
    for (int part = 0; part < 32 / PART; part++) {
        bytes drive[8] = {{0}};
        for (int i = 0; i < n; i++) {
            bytes row = ((const bytes *) (crossbar + 32 * (spikes[i] & 0xFF)))[part];
            const bytes *weight = (const bytes *) (weights + (spikes[i] & 0xFF00)) + part;
            if (part == 0) /* the whole row at once, for all parts */
                tick->events += count_256(crossbar + 32 * (spikes[i] & 0xFF));
#pragma GCC unroll 8
            for (int k = 7; k >= 0; k--) { /* bit k of each byte of the row is now its sign bit */
                drive[k] += (row < 0) & weight[32 / PART * k];
                row += row;
            }
        }
        narrow_part(p, V, drive, 0, kind, part, tally, tick);
    }
}

/* narrow_many, below, for a constant kind. */
INLINE void narrow_many_of(
    const int16_t *drive, const int16_t *p, const int kind, int16_t *V, uint8_t *tally, Tick *tick)
{
    for (int part = 0; part < 32 / PART; part++)
        narrow_part(p, V, 0, drive, kind, part, tally, tick);
}

/* Run a tick of a core with 16-bit potentials V and parameters p (tables.narrow_table).  `tally`, if not NULL, counts the
   spikes of each neuron, in byte order.
   For few spikes (each 256 type + axon) whose weights cannot sum to more than a byte: */
static inline void narrow_few(
    const uint8_t *crossbar, const uint16_t *spikes, int n, const int8_t *weights, const int16_t *p, int kind,
    int16_t *V, uint8_t *tally, Tick *tick)
{
    memset(tick, 0, sizeof *tick);
    switch (kind) {
    case KIND_PLAIN: narrow_few_of(crossbar, spikes, n, weights, p, KIND_PLAIN, V, tally, tick); break;
    case KIND_GENERAL: narrow_few_of(crossbar, spikes, n, weights, p, KIND_GENERAL, V, tally, tick); break;
    default: narrow_few_of(crossbar, spikes, n, weights, p, KIND_REVERSAL, V, tally, tick); break;
    }
}

/* For many spikes, whose drive (int16, word order) was summed before; for none if `drive` is NULL. */
static inline void narrow_many(
    const int16_t *drive, const int16_t *p, int kind, int16_t *V, uint8_t *tally, Tick *tick)
{
    memset(tick, 0, sizeof *tick);
    enum { SILENT = 3 };
    switch (kind + (drive ? 0 : SILENT)) {
    case KIND_PLAIN: narrow_many_of(drive, p, KIND_PLAIN, V, tally, tick); break;
    case KIND_GENERAL: narrow_many_of(drive, p, KIND_GENERAL, V, tally, tick); break;
    case KIND_REVERSAL: narrow_many_of(drive, p, KIND_REVERSAL, V, tally, tick); break;
    case SILENT + KIND_PLAIN: narrow_many_of(0, p, KIND_PLAIN, V, tally, tick); break;
    case SILENT + KIND_GENERAL: narrow_many_of(0, p, KIND_GENERAL, V, tally, tick); break;
    default: narrow_many_of(0, p, KIND_REVERSAL, V, tally, tick); break;
    }
}

static inline void clear_drive(int16_t *drive)
{
    for (int i = 0; i < 512 / PART; i++) {
        ((words *) drive)[i] = (words) {0};
        __asm__ volatile("" ::: "memory"); /* else GCC turns the loop into `rep stos`, which is slow to start */
    }
}

/* Pack 0 or 1 for each neuron in word order into bits in byte order; `tally` as above. */
static inline void pack_fired(const uint8_t *fired, uint8_t *tally, uint64_t *bits)
{
    memset(bits, 0, 32);
    for (int i = 0; i < 256; i++) {
        int at = (i & ~31) | (i & 15) << 1 | (i >> 4 & 1); /* undoes the split into even and odd positions */
        bits[at >> 6] |= (uint64_t) fired[i] << (at & 63);
        if (tally)
            tally[at] += fired[i];
    }
}

#undef PART
#undef INLINE
#endif
