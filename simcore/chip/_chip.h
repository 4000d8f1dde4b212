/* What the chip kernel does to many neurons at once, in the compiler's vectors, so that one source serves every CPU.

   A core's 256 neurons are laid out in one of two orders (tables.BYTE_ORDER, tables.WORD_ORDER), both made so that a
   crossbar row needs no shuffling:
   - bytes: neuron 8 b + k at 32 k + b.  Bit k of every byte of a row belongs to the k-th 32 bytes; shifting the row's
     bytes left by one brings the next 32 neurons to the sign bits.
   - words: of every 32 bytes, the even ones, then the odd ones: what shifting the bytes as 16-bit words gives. */

#ifndef SPIKEWATCH_CHIP_H
#define SPIKEWATCH_CHIP_H

#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__AVX2__)
#define PART 32 /* bytes of a vector: a crossbar row is one vector or two */
#else
#define PART 16
#endif

typedef int8_t bytes __attribute__((vector_size(PART), aligned(1), may_alias));
typedef int16_t words __attribute__((vector_size(PART), aligned(2), may_alias));
typedef uint16_t counts __attribute__((vector_size(PART), aligned(2), may_alias));
typedef uint64_t word64 __attribute__((aligned(1), may_alias));
#define INLINE static inline __attribute__((always_inline))

enum { PLAIN, GENERAL, REVERSAL }; /* tables.KIND_* */
enum { LEAK, IS_REVERSED, ALPHA, MINUS_BETA, UP_KEEP, UP_ADD, DOWN_KEEP, DOWN_ADD }; /* rows of tables.neuron_table */

#if defined(__AVX2__)
INLINE words larger(words a, words b) { return (words) _mm256_max_epi16((__m256i) a, (__m256i) b); }
INLINE words smaller(words a, words b) { return (words) _mm256_min_epi16((__m256i) a, (__m256i) b); }
INLINE uint32_t signs(bytes a) { return (uint32_t) _mm256_movemask_epi8((__m256i) a); }
/* The even bytes of one and the odd ones of the other. */
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

/* The set bits of 256. */
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
        total += (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0FULL;
    }
    total = (total & 0x00FF00FF00FF00FFULL) + (total >> 8 & 0x00FF00FF00FF00FFULL);
    return (int) (total * 0x0001000100010001ULL >> 48);
#endif
}

/* List the set bits of 256, counted from `base`; returns how many.  Writes one more.
   Few are set: two of each 64 are listed without a branch that the CPU would guess wrong half of the time. */
INLINE int list_256(const uint64_t *bits, uint32_t base, uint32_t *list)
{
    const uint64_t last = 1ULL << 63;
    int n = 0;
    for (int i = 0; i < 4; i++, base += 64) {
        uint64_t x = bits[i];
        for (int twice = 0; twice < 2; twice++) {
            list[n] = base + (uint32_t) __builtin_ctzll(x | last);
            n += x != 0;
            x &= x - 1;
        }
        for (; x; x &= x - 1)
            list[n++] = base + (uint32_t) __builtin_ctzll(x);
    }
    return n;
}

/* sum[j] += weights[j] * (rows of the list with bit j set), words, for n < 2^planes axons of one type, n <= 128;
   returns the set bits of the rows.  The rows are counted bit-sliced: plane p holds bit p of all 256 counts. */
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
            for (int p = planes - 1; p >= 0; p--)
                total += total + ((bytes) ((counts) plane[p][part] >> k) & 1);
            int at = 32 * k + PART / 2 * part;
            words *even = (words *) (sum + at), *odd = (words *) (sum + at + 16);
            *even += (words) ((counts) total & 0xFF) * *(const words *) (weights + at);
            *odd += (words) ((counts) total >> 8) * *(const words *) (weights + at + 16);
        }
    return events;
}

static inline int add_rows(
    const uint8_t *crossbar, const uint8_t *list, int n, const int16_t *weights, int16_t *sum)
{
    switch (32 - __builtin_clz((unsigned) n)) {
    case 1: return add_planes(crossbar, list, n, weights, sum, 1);
    case 2: return add_planes(crossbar, list, n, weights, sum, 2);
    case 3: return add_planes(crossbar, list, n, weights, sum, 3);
    case 4: return add_planes(crossbar, list, n, weights, sum, 4);
    case 5: return add_planes(crossbar, list, n, weights, sum, 5);
    default: return add_planes(crossbar, list, n, weights, sum, 8);
    }
}

/* What a tick of a core with 16-bit potentials leaves behind, beside the potentials. */
typedef struct {
    uint64_t fired[4]; /* bits, in the order of bytes */
    int outside;       /* a potential left -2^14..2^14 - 1 */
    int happened;      /* a neuron fired or changed its potential; only told for silent ticks */
    int events;
} Tick;

/* Leak, threshold, fire and reset for one vector of neurons, as `update` in _wide.pxi; returns -1 for those that did
   not fire.  No sum here leaves 16 bits: see tables.narrow_table. */
INLINE words narrow_neurons(const int16_t *p, words *V, words v, const int kind, words *high, words *low)
{
#define ROW(r) (*(const words *) (p + 256 * (r)))
    words quiet;
    if (kind == PLAIN) {
        v += ROW(LEAK);
        quiet = ROW(ALPHA) > v;
        v = larger(v - (ROW(ALPHA) & ~quiet), ROW(MINUS_BETA));
    } else {
        if (kind == REVERSAL) {
            words sign = (words) (v < 0) - (words) (v > 0);
            words w = v + ROW(LEAK) * ((ROW(IS_REVERSED) & sign) | (~ROW(IS_REVERSED) & 1));
            v = w & ~(ROW(IS_REVERSED) & ((v ^ w) < 0));
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

/* The neurons of one part of a core: their drive comes from bytes in registers, from words in memory, or is none. */
INLINE void narrow_part(
    const int16_t *p, int16_t *V, const bytes *few, const int16_t *many, const int kind, const int part,
    uint8_t *tally, Tick *tick)
{
    words high = {0}, low = {0}, changed = {0};
#pragma GCC unroll 8
    for (int k = 0; k < 8; k++) {
        int at = 32 * k + PART / 2 * part;
        words *even = (words *) (V + at), *odd = (words *) (V + at + 16);
        words a = *even, b = *odd, v = a, w = b;
        if (few) {
            v += (words) ((counts) few[k] << 8) >> 8;
            w += (words) few[k] >> 8;
        } else if (many) {
            v += *(const words *) (many + at);
            w += *(const words *) (many + at + 16);
        }
        words quiet_even = narrow_neurons(p + at, even, v, kind, &high, &low);
        words quiet_odd = narrow_neurons(p + at + 16, odd, w, kind, &high, &low);
        bytes quiet = interleaved(quiet_even, quiet_odd);
        if (!few && !many)
            changed |= (a ^ *even) | (b ^ *odd) | (words) ~quiet;
        if (tally)
            *(bytes *) (tally + 32 * k + PART * part) += quiet + 1;
        uint32_t fired = ~signs(quiet);
#if PART == 16
        fired &= 0xFFFF;
#endif
        tick->fired[k >> 1] |= (uint64_t) fired << (32 * (k & 1) + PART * part);
    }
    tick->outside |= signs((bytes) ((high > 16383) | (low < -16384))) != 0;
    if (!few && !many)
        tick->happened |= signs((bytes) (changed == 0)) != (uint32_t) ((1ULL << PART) - 1);
}

INLINE void narrow_few_of(
    const uint8_t *crossbar, const uint16_t *spikes, int n, const int8_t *weights, const int16_t *p, const int kind,
    int16_t *V, uint8_t *tally, Tick *tick)
{
    for (int part = 0; part < 32 / PART; part++) {
        bytes drive[8] = {{0}};
        for (int i = 0; i < n; i++) {
            bytes row = ((const bytes *) (crossbar + 32 * (spikes[i] & 0xFF)))[part];
            const bytes *weight = (const bytes *) (weights + (spikes[i] & 0xFF00)) + part;
            if (part == 0)
                tick->events += count_256(crossbar + 32 * (spikes[i] & 0xFF));
#pragma GCC unroll 8
            for (int k = 7; k >= 0; k--) {
                drive[k] += (row < 0) & weight[32 / PART * k];
                row += row;
            }
        }
        narrow_part(p, V, drive, 0, kind, part, tally, tick);
    }
}

INLINE void narrow_many_of(
    const int16_t *drive, const int16_t *p, const int kind, int16_t *V, uint8_t *tally, Tick *tick)
{
    for (int part = 0; part < 32 / PART; part++)
        narrow_part(p, V, 0, drive, kind, part, tally, tick);
}

/* A tick of a core with 16-bit potentials V and parameters p (tables.narrow_table); `tally`, where not NULL, takes
   up who fired.  Few spikes (256 type + axon), whose weights cannot sum to more than a byte: */
static inline void narrow_few(
    const uint8_t *crossbar, const uint16_t *spikes, int n, const int8_t *weights, const int16_t *p, int kind,
    int16_t *V, uint8_t *tally, Tick *tick)
{
    memset(tick, 0, sizeof *tick);
    switch (kind) {
    case PLAIN: narrow_few_of(crossbar, spikes, n, weights, p, PLAIN, V, tally, tick); break;
    case GENERAL: narrow_few_of(crossbar, spikes, n, weights, p, GENERAL, V, tally, tick); break;
    default: narrow_few_of(crossbar, spikes, n, weights, p, REVERSAL, V, tally, tick); break;
    }
}

/* The same with the drive of many spikes, or with none where `drive` is NULL. */
static inline void narrow_many(
    const int16_t *drive, const int16_t *p, int kind, int16_t *V, uint8_t *tally, Tick *tick)
{
    memset(tick, 0, sizeof *tick);
    switch (kind + (drive ? 0 : 3)) {
    case PLAIN: narrow_many_of(drive, p, PLAIN, V, tally, tick); break;
    case GENERAL: narrow_many_of(drive, p, GENERAL, V, tally, tick); break;
    case REVERSAL: narrow_many_of(drive, p, REVERSAL, V, tally, tick); break;
    case 3 + PLAIN: narrow_many_of(0, p, PLAIN, V, tally, tick); break;
    case 3 + GENERAL: narrow_many_of(0, p, GENERAL, V, tally, tick); break;
    default: narrow_many_of(0, p, REVERSAL, V, tally, tick); break;
    }
}

static inline void clear_drive(int16_t *drive)
{
    for (int i = 0; i < 512 / PART; i++) {
        ((words *) drive)[i] = (words) {0};
        __asm__ volatile("" ::: "memory"); /* gcc makes of this a string instruction, which is slow to start */
    }
}

/* Bits in the order of bytes from 0 or 1 for each neuron in the order of words; `tally` as above. */
static inline void pack_fired(const uint8_t *fired, uint8_t *tally, uint64_t *bits)
{
    memset(bits, 0, 32);
    for (int i = 0; i < 256; i++) {
        int at = (i & ~31) | (i & 15) << 1 | (i >> 4 & 1);
        bits[at >> 6] |= (uint64_t) fired[i] << (at & 63);
        if (tally)
            tally[at] += fired[i];
    }
}

#undef PART
#undef INLINE
#endif
