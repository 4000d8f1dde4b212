/* What happens to the ids of a text at the end: truncation, special tokens around them, and padding. */

#ifndef SPIKEWATCH_LOOKUP_FRAME_H
#define SPIKEWATCH_LOOKUP_FRAME_H

#include "_lookup_tables.h"

/* Put special tokens around the n ids from w->first on. */
static int add_frame(const Lookup *t, Work *w, int64_t n)
{
    int64_t total = t->frame_count + n, out = w->first + n;
    if (!RESERVE(w, ids, out + total)) return NO_MEMORY;
    /* Written behind the ids, and then moved to where they were. */
    for (int64_t k = 0; k < t->frame_count; k++) {
        if (t->frame[k] >= 0) {
            w->ids[out++] = t->frame[k];
        } else {
            memcpy(w->ids + out, w->ids + w->first, (size_t) n * sizeof *w->ids);
            out += n;
        }
    }
    total = out - w->first - n;
    memmove(w->ids + w->first, w->ids + w->first + n, (size_t) total * sizeof *w->ids);
    w->id_count = w->first + total;
    return 0;
}

static int pad(const Lookup *t, Work *w, int64_t n)
{
    int64_t wanted = (n + t->pad_multiple - 1) / t->pad_multiple * t->pad_multiple;
    if (wanted < t->pad_length) wanted = t->pad_length;
    if (wanted > LONGEST_PADDED) wanted = LONGEST_PADDED;
    if (wanted <= n) return 0;
    if (!RESERVE(w, ids, w->first + wanted)) return NO_MEMORY;
    int64_t *ids = w->ids + w->first;
    if (t->pad_left) memmove(ids + (wanted - n), ids, (size_t) n * sizeof *ids);
    for (int64_t k = t->pad_left ? 0 : n, last = t->pad_left ? wanted - n : wanted; k < last; k++) ids[k] = t->pad_id;
    w->id_count = w->first + wanted;
    return 0;
}

/* Truncate the ids of a text, frame and pad them, in this order. */
static int finish_ids(const Lookup *t, Work *w)
{
    int64_t n = w->id_count - w->first;
    int failed = 0;
    if (n > t->kept) {
        int64_t *ids = w->ids + w->first;
        if (t->cut_left) memmove(ids, ids + (n - t->kept), (size_t) t->kept * sizeof *ids);
        w->id_count = w->first + t->kept;
        n = t->kept;
    }
    if (t->frame_count) failed = add_frame(t, w, n);
    if (t->pad_multiple && !failed) failed = pad(t, w, w->id_count - w->first);
    return failed;
}

#endif
