/* Added tokens: found in a text before anything else sees it, or after normalisation. */

#ifndef SPIKEWATCH_LOOKUP_ADDED_H
#define SPIKEWATCH_LOOKUP_ADDED_H

#include "_lookup_tables.h"

/* A text of 1, 2 or 4 bytes per character, and how far it has been searched. */
typedef struct {
    const void *data;
    int kind;
    int64_t length;
    int64_t next;         /* the next match begins here or later */
    int64_t done;         /* the last token found ends here, with the blanks that it takes along */
    int64_t blank, after; /* a run of blanks seen before: without it, tokens amid blanks would take quadratic time */
} Search;

static inline uint32_t character_at(const Search *s, int64_t i)
{
    if (s->kind == 1) return ((const uint8_t *) s->data)[i];
    if (s->kind == 2) return ((const uint16_t *) s->data)[i];
    return ((const uint32_t *) s->data)[i];
}

static inline int kind_at(const Lookup *t, const Search *s, int64_t i)
{
    return byte_of(t, KINDS, character_at(s, i));
}

/* Return the longest token that the text spells at p, and where it ends, or -1. */
static int64_t longest_token(const Added *a, const Search *s, int64_t p, int64_t *end)
{
    int64_t low = a->first, high = a->last, found = -1;
    for (int64_t depth = 0; p + depth < s->length; depth++) {
        /* All of low .. high - 1 are longer than `depth` and equal the text so far: keep those that go on as it does. */
        int32_t c = (int32_t) character_at(s, p + depth);
        int64_t from = low, to = high;
        while (from < to) {
            int64_t middle = (from + to) / 2;
            int64_t begin = middle ? a->ends[middle - 1] : 0;
            if (a->text[begin + depth] < c) from = middle + 1; else to = middle;
        }
        low = from;
        to = high;
        while (from < to) {
            int64_t middle = (from + to) / 2;
            int64_t begin = middle ? a->ends[middle - 1] : 0;
            if (a->text[begin + depth] > c) to = middle; else from = middle + 1;
        }
        high = from;
        if (low == high) break;
        /* The shortest is the first of them. */
        if (a->ends[low] - (low ? a->ends[low - 1] : 0) == depth + 1) {
            found = low++;
            *end = p + depth + 1;
            if (low == high) break;
        }
    }
    return found;
}

/* Return the next token, and where it begins and ends with the blanks that it takes along, or -1. */
static int64_t next_token(const Lookup *t, const Added *a, Search *s, int64_t *begin, int64_t *end)
{
    for (int64_t p = s->next; p < s->length; p++) {
        if (!a->starts[character_at(s, p) & 255]) continue;
        int64_t last = p, token = longest_token(a, s, p, &last);
        if (token < 0) continue;
        /* As in the library, the characters of a match are used up, whether or not it counts. */
        int64_t first = p;
        s->next = last;
        p = last - 1;
        int flags = a->flags[token];
        if (flags & SINGLE_WORD) {
            if (first > 0 && kind_at(t, s, first - 1) & IN_WORD) continue;
            if (last < s->length && kind_at(t, s, last) & IN_WORD) continue;
        }
        if (flags & LSTRIP) {
            if (first < s->done) first = s->done;
            while (first > s->done && kind_at(t, s, first - 1) & IS_SPACE) first--;
        }
        if (flags & RSTRIP) {
            if (last < s->blank || last > s->after) {
                s->blank = s->after = last;
                while (s->after < s->length && kind_at(t, s, s->after) & IS_SPACE) s->after++;
            }
            last = s->after;
        }
        *begin = first;
        *end = last;
        return token;
    }
    s->next = s->length;
    return -1;
}

/* Append an id. */
static inline int append_id(Work *w, int32_t id)
{
    if (!RESERVE(w, ids, w->id_count + 1)) return NO_MEMORY;
    w->ids[w->id_count++] = id;
    return 0;
}

#endif
