/* The vocabulary: from a piece of text to a word id. */

#ifndef SPIKEWATCH_LOOKUP_WORDS_H
#define SPIKEWATCH_LOOKUP_WORDS_H

#include "_lookup_tables.h"

/* The vocabulary is a hash table with open addressing.  A slot has 8 bytes: the upper half of the hash, and the place of
   the word's record in units of 8 bytes, plus 1 (0: free).  A record is the word's id, its length, and its UTF-8 bytes
   padded to a multiple of 8. */

/* Hash a key, 8 bytes at a time; bytes up to the next multiple of 8 must be zero. */
static inline uint64_t hash_of(uint64_t seed, const char *key, int64_t length)
{
    uint64_t h = seed ^ (uint64_t) length, part;
    for (int64_t i = 0; i < length; i += 8) {
        memcpy(&part, key + i, 8);
        h = (h ^ part) * 0x9E3779B97F4A7C15u;
        h ^= h >> 29;
    }
    h *= 0xBF58476D1CE4E5B9u;
    return h ^ h >> 32;
}

/* Return whether a slot's word is `key`; the upper halves of the hashes are compared first. */
static inline int is_word(const uint8_t *records, uint64_t slot, uint64_t h, const char *key, int64_t length)
{
    if (slot >> 32 != h >> 32) return 0;
    const uint8_t *record = records + ((slot & 0xFFFFFFFF) - 1) * 8;
    int32_t own;
    memcpy(&own, record + 4, 4);
    return own == length && !memcmp(record + 8, key, (size_t) length);
}

/* Write records and slots, both zeroed before; the records have 8 bytes to spare.  Return n, or the index of the first
   duplicate word: going on would compare each of many equal words with all before it. */
static int64_t place_words(
    uint64_t seed, const uint8_t *bytes, const int32_t *ends, const int32_t *ids, int64_t n, uint8_t *records,
    uint64_t *slots, uint64_t slot_mask)
{
    int64_t place = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t begin = i ? ends[i - 1] : 0;
        int32_t length = (int32_t) (ends[i] - begin);
        memcpy(records + place, &ids[i], 4);
        memcpy(records + place + 4, &length, 4);
        memcpy(records + place + 8, bytes + begin, (size_t) length);
        uint64_t h = hash_of(seed, (char *) records + place + 8, length), at = h & slot_mask;
        for (; slots[at]; at = (at + 1) & slot_mask)
            if (is_word(records, slots[at], h, (char *) records + place + 8, length)) return i;
        slots[at] = (h >> 32 << 32) | (uint64_t) (place / 8 + 1);
        place += 8 + (length + 7) / 8 * 8;
    }
    return n;
}

/* Write the UTF-8 bytes of characters first .. last of the text to `key`, followed by 8 zero bytes; return how many
   bytes there are.  The caller has reserved 4 * (last - first) + 8 bytes of `key`. */
static inline int64_t spell(Work *w, int64_t first, int64_t last)
{
    char *key = w->key;
    const uint32_t *text = w->text;
    int64_t n = 0;
    for (int64_t i = first; i < last; i++) {
        uint32_t c = text[i];
        if (c < 0x80) {
            key[n++] = (char) c;
        } else if (c < 0x800) {
            key[n++] = (char) (0xC0 | c >> 6);
            key[n++] = (char) (0x80 | (c & 63));
        } else if (c < 0x10000) {
            key[n++] = (char) (0xE0 | c >> 12);
            key[n++] = (char) (0x80 | (c >> 6 & 63));
            key[n++] = (char) (0x80 | (c & 63));
        } else {
            key[n++] = (char) (0xF0 | c >> 18);
            key[n++] = (char) (0x80 | (c >> 12 & 63));
            key[n++] = (char) (0x80 | (c >> 6 & 63));
            key[n++] = (char) (0x80 | (c & 63));
        }
    }
    memset(key + n, 0, 8);
    return n;
}

/* Return the id of a word of n UTF-8 bytes, or -1; bytes up to the next multiple of 8 must be zero. */
static inline int32_t id_of(const Lookup *t, const char *key, int64_t n)
{
    uint64_t h = hash_of(t->seed, key, n);
    for (uint64_t at = h & t->slot_mask; t->slots[at]; at = (at + 1) & t->slot_mask) {
        if (!is_word(t->records, t->slots[at], h, key, n)) continue;
        int32_t id;
        memcpy(&id, t->records + ((t->slots[at] & 0xFFFFFFFF) - 1) * 8, 4);
        return id;
    }
    return -1;
}

/* Return the id of the word that characters first .. last of the text spell, or the unknown word's.  The caller has
   reserved 4 * longest + 8 bytes of `key`. */
static inline int32_t find_word(const Lookup *t, Work *w, int64_t first, int64_t last)
{
    /* More characters than the longest word has bytes: not a word.  This also bounds what `key` must hold. */
    if (last - first > t->longest) return t->unknown;
    int32_t id = id_of(t, w->key, spell(w, first, last));
    return id < 0 ? t->unknown : id;
}

static inline int push_id(Work *w, int32_t id)
{
    if (!RESERVE(w, ids, w->id_count + 1)) return NO_MEMORY;
    w->ids[w->id_count++] = id;
    return 0;
}

static inline int push_unknown(const Lookup *t, Work *w)
{
    return t->unknown < 0 ? UNKNOWN_WORD : push_id(w, t->unknown);
}

#endif
