/* The model "bpe": a piece begins as a word per character (or byte), and pairs of neighbours merge, the pair that was
   learnt first before the others, the leftmost of equal pairs first. */

#ifndef SPIKEWATCH_LOOKUP_BPE_H
#define SPIKEWATCH_LOOKUP_BPE_H

#include "_lookup_words.h"

enum { FEW = 32 };           /* pieces of at most this many parts are merged by looking at all pairs each time */
enum { NO_PAIR = INT32_MAX }; /* rank of two neighbours that do not merge */

static inline uint64_t pair_place(uint64_t seed, int32_t a, int32_t b, uint64_t mask)
{
    uint64_t h = (seed ^ ((uint64_t) (uint32_t) a << 32 | (uint32_t) b)) * 0x9E3779B97F4A7C15u;
    return (h ^ h >> 32) & mask;
}

/* Return the merge of two words, or one with the rank NO_PAIR. */
static inline Pair pair_of(const Lookup *t, int32_t a, int32_t b)
{
    uint64_t at = pair_place(t->seed, a, b, t->pair_mask);
    for (; t->pairs[at].made >= 0; at = (at + 1) & t->pair_mask)
        if (t->pairs[at].a == a && t->pairs[at].b == b) return t->pairs[at];
    return (Pair) {a, b, -1, NO_PAIR};
}

/* Fill the hash table of merges: rows of two words and the word that they make, in order of rank.  Of equal pairs the
   first is kept. */
static void place_pairs(uint64_t seed, const int32_t *rows, int64_t n, Pair *pairs, uint64_t mask)
{
    for (uint64_t at = 0; at <= mask; at++) pairs[at].made = -1;
    for (int64_t i = 0; i < n; i++) {
        const int32_t *row = rows + 3 * i;
        uint64_t at = pair_place(seed, row[0], row[1], mask);
        while (pairs[at].made >= 0 && (pairs[at].a != row[0] || pairs[at].b != row[1])) at = (at + 1) & mask;
        if (pairs[at].made < 0) pairs[at] = (Pair) {row[0], row[1], row[2], (int32_t) i};
    }
}

/* Fill the hash table of letters: places hold the number of a row, plus 1 (0: free).  A row is a character, and its words
   as the first, an inner, the last and the only character of a piece (-1: none). */
static void place_letters(uint64_t seed, const int32_t *letters, int64_t n, int32_t *slots, uint64_t mask)
{
    for (int64_t i = 0; i < n; i++) {
        uint64_t at = pair_place(seed, 0, letters[5 * i], mask);
        while (slots[at] && letters[5 * (int64_t) (slots[at] - 1)] != letters[5 * i]) at = (at + 1) & mask;
        if (!slots[at]) slots[at] = (int32_t) i + 1;
    }
}

/* Return the word of a character at a place (0 first, 1 inner, 2 last, 3 only), or -1. */
static inline int32_t letter_of(const Lookup *t, uint32_t c, int place)
{
    uint64_t at = pair_place(t->seed, 0, (int32_t) c, t->letter_mask);
    for (; t->letter_slots[at]; at = (at + 1) & t->letter_mask) {
        const int32_t *row = t->letters + 5 * (int64_t) (t->letter_slots[at] - 1);
        if ((uint32_t) row[0] == c) return row[1 + place];
    }
    return -1;
}

/* The parts of a piece as it is read.  `waiting` unknown words are written before the next known word, and words of
   single bytes before them: tokenizers 0.23 does so (merge_word). */
typedef struct {
    int32_t *ids;
    int64_t n;
    int waiting;
} Parts;

static inline void known_part(const Lookup *t, Parts *parts, int32_t id)
{
    if (parts->waiting) parts->ids[parts->n++] = t->unknown;
    parts->waiting = 0;
    parts->ids[parts->n++] = id;
}

static inline int unknown_part(const Lookup *t, Parts *parts)
{
    if (t->flags & DROP_UNKNOWN) return 0;
    if (t->unknown < 0) return UNKNOWN_WORD;
    if (parts->waiting && !(t->flags & FUSE_UNKNOWN)) parts->ids[parts->n++] = t->unknown;
    parts->waiting = 1;
    return 0;
}

/* Read the parts of a piece; parts->ids holds at least 4 * (last - first) + 1. */
static int read_parts(const Lookup *t, Work *w, int64_t first, int64_t last, int64_t bytes, Parts *parts)
{
    int failed = 0;
    if (t->flags & BYTE_LEVEL) {
        for (int64_t i = 0; i < bytes && !failed; i++) {
            int32_t id = t->byte_ids[(uint8_t) w->key[i]];
            if (id >= 0) known_part(t, parts, id); else failed = unknown_part(t, parts);
        }
    } else {
        const uint8_t *key = (const uint8_t *) w->key;
        for (int64_t i = first; i < last && !failed; i++) {
            uint32_t c = w->text[i];
            int size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4, all = t->flags & BYTE_FALLBACK;
            int32_t id = letter_of(t, c, i + 1 < last ? i > first : i > first ? 2 : 3);
            if (id >= 0) {
                known_part(t, parts, id);
            } else {
                for (int k = 0; all && k < size; k++) all = t->byte_ids[key[k]] >= 0;
                for (int k = 0; all && k < size; k++) parts->ids[parts->n++] = t->byte_ids[key[k]];
                if (!all) failed = unknown_part(t, parts);
            }
            key += size;
        }
    }
    if (parts->waiting) parts->ids[parts->n++] = t->unknown;
    return failed;
}

/* Merge few parts; return how many remain. */
static int64_t merge_few(const Lookup *t, int32_t *ids, int64_t n)
{
    int32_t ranks[FEW], made[FEW];
    for (int64_t i = 0; i + 1 < n; i++) {
        Pair pair = pair_of(t, ids[i], ids[i + 1]);
        ranks[i] = pair.rank;
        made[i] = pair.made;
    }
    while (n > 1) {
        int64_t at = 0;
        for (int64_t i = 1; i + 1 < n; i++)
            if (ranks[i] < ranks[at]) at = i;
        if (ranks[at] == NO_PAIR) break;
        ids[at] = made[at];
        n--;
        for (int64_t i = at + 1; i < n; i++) {
            ids[i] = ids[i + 1];
            ranks[i - 1] = ranks[i];
            made[i - 1] = made[i];
        }
        for (int64_t i = at ? at - 1 : 0; i <= at && i + 1 < n; i++) {
            Pair pair = pair_of(t, ids[i], ids[i + 1]);
            ranks[i] = pair.rank;
            made[i] = pair.made;
        }
    }
    return n;
}

/* A heap of pairs, the lowest first: the rank in the upper half, the place of the left part in the lower. */
static inline void heap_push(int64_t *heap, int64_t *n, int64_t value)
{
    int64_t at = (*n)++;
    for (; at && heap[(at - 1) / 2] > value; at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    heap[at] = value;
}

static inline int64_t heap_pop(int64_t *heap, int64_t *n)
{
    int64_t top = heap[0], value = heap[--*n], at = 0;
    for (int64_t child; (child = 2 * at + 1) < *n; at = child) {
        child += child + 1 < *n && heap[child + 1] < heap[child];
        if (heap[child] >= value) break;
        heap[at] = heap[child];
    }
    heap[at] = value;
    return top;
}

/* Merge many parts with a heap, in n log n steps; return how many remain, or NO_MEMORY.  A pair that is no longer there
   when its turn comes is passed over: its left part is gone, or has another rank by now. */
static int64_t merge_many(const Lookup *t, Work *w, int32_t *ids, int64_t n)
{
    int64_t pairs = 0, out = 0;
    if (!RESERVE(w, heap, 3 * n) || !RESERVE(w, links, 4 * n)) return NO_MEMORY;
    int32_t *before = w->links, *after = before + n, *ranks = after + n, *made = ranks + n;
    for (int64_t i = 0; i < n; i++) {
        Pair pair = i + 1 < n ? pair_of(t, ids[i], ids[i + 1]) : (Pair) {0, 0, -1, NO_PAIR};
        before[i] = (int32_t) i - 1;
        after[i] = (int32_t) i + 1;
        ranks[i] = pair.rank;
        made[i] = pair.made;
        if (pair.rank != NO_PAIR) heap_push(w->heap, &pairs, (int64_t) pair.rank << 32 | i);
    }
    while (pairs) {
        int64_t top = heap_pop(w->heap, &pairs), at = top & 0xFFFFFFFF;
        if (ranks[at] != top >> 32) continue;
        int64_t gone = after[at];
        ids[at] = made[at];
        after[at] = after[gone];
        ranks[gone] = -1;  /* no rank: nothing in the heap refers to it any more */
        ids[gone] = -1;
        if (after[at] < n) before[after[at]] = (int32_t) at;
        ranks[at] = NO_PAIR;
        for (int64_t i = before[at] >= 0 ? before[at] : at;; i = at) {
            Pair pair = after[i] < n ? pair_of(t, ids[i], ids[after[i]]) : (Pair) {0, 0, -1, NO_PAIR};
            ranks[i] = pair.rank;
            made[i] = pair.made;
            if (pair.rank != NO_PAIR) heap_push(w->heap, &pairs, (int64_t) pair.rank << 32 | i);
            if (i == at) break;
        }
    }
    for (int64_t i = 0; i < n; i = after[i]) ids[out++] = ids[i];
    return out;
}

/* Append the ids of the piece of characters first .. last; return 0, or an error. */
static int run_bpe(const Lookup *t, Work *w, int64_t first, int64_t last)
{
    if (!RESERVE(w, key, 4 * (last - first) + 8)) return NO_MEMORY;
    int64_t bytes = spell(w, first, last);
    int32_t whole = bytes <= t->longest ? id_of(t, w->key, bytes) : -1;
    if (whole >= 0) return push_id(w, whole);
    if (bytes >= INT32_MAX / 4) return TOO_MANY_STEPS;
    if (!RESERVE(w, parts, 4 * (last - first) + 1)) return NO_MEMORY;
    Parts parts = {w->parts, 0, 0};
    int failed = read_parts(t, w, first, last, bytes, &parts);
    if (failed) return failed;
    int64_t n = parts.n <= FEW ? merge_few(t, parts.ids, parts.n) : merge_many(t, w, parts.ids, parts.n);
    if (n < 0) return (int) n;
    if (!RESERVE(w, ids, w->id_count + n)) return NO_MEMORY;
    for (int64_t i = 0; i < n; i++) w->ids[w->id_count++] = parts.ids[i];
    return 0;
}

#endif
