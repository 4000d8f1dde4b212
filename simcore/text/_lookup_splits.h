/* Steps that cut pieces. */

#ifndef SPIKEWATCH_LOOKUP_SPLITS_H
#define SPIKEWATCH_LOOKUP_SPLITS_H

#include "_lookup_patterns.h"

/* Append a piece to `spare_pieces`, unless it is empty. */
static int keep_piece(Work *w, int64_t *n, int64_t first, int64_t last)
{
    if (first == last) return 0;
    if (!RESERVE(w, spare_pieces, 2 * (*n + 1))) return NO_MEMORY;
    w->spare_pieces[2 * *n] = first;
    w->spare_pieces[2 * (*n)++ + 1] = last;
    return 0;
}

/* Make the n pieces of `spare_pieces` the pieces. */
static void swap_pieces(Work *w, int64_t n)
{
    int64_t *pieces = w->pieces;
    size_t capacity = w->pieces_capacity;
    w->pieces = w->spare_pieces; w->pieces_capacity = w->spare_pieces_capacity;
    w->spare_pieces = pieces; w->spare_pieces_capacity = capacity;
    w->piece_count = n;
}

/* Cut every piece at its matches: step[2] keeps the gaps between matches, step[3] the matches. */
static int run_split(const Lookup *t, Work *w, const int32_t *step)
{
    int failed = read_symbols(t, w), found = 0;
    int64_t n = 0, last = 0;
    w->fuel += STEPS_PER_CHARACTER * w->length;
    for (int64_t k = 0; !failed && k < w->piece_count; k++) {
        int64_t begin = w->pieces[2 * k], end = w->pieces[2 * k + 1], done = begin, p = begin;
        while (!failed && (found = find(t, w, step[1], begin, end, &p, &last)) > 0) {
            if (step[2]) failed = keep_piece(w, &n, done, p);
            if (step[3] && !failed) failed = keep_piece(w, &n, p, last);
            done = p = last;
        }
        if (found < 0) return found;
        if (step[2] && !failed) failed = keep_piece(w, &n, done, end);
    }
    swap_pieces(w, n);
    return failed;
}

/* The part of a piece that is still open: whether it ends with a match, and where it is; first < 0: there is none. */
typedef struct {
    int match;
    int64_t first, last;
} Part;

/* Go on from the open part to the next match or gap: join it, or keep the open part as a piece. */
static inline int next_part(Work *w, int64_t *n, int behavior, Part *open, int match, int64_t first, int64_t last)
{
    int joined = behavior == CONTIGUOUS ? match == open->match
        : behavior == MERGED_WITH_NEXT ? open->match && !match : match && !open->match;
    open->match = match;
    if (open->first >= 0 && joined) {
        open->last = last;
        return 0;
    }
    int failed = open->first < 0 ? 0 : keep_piece(w, n, open->first, open->last);
    open->first = first;
    open->last = last;
    return failed;
}

/* Cut every piece into matches and gaps, and join some of these: step[2] states which, step[3] makes each match a gap
   and each gap a match first. */
static int run_cut(const Lookup *t, Work *w, const int32_t *step)
{
    int failed = read_symbols(t, w), found = 0, gap = step[3] != 0;
    int64_t n = 0, last = 0;
    w->fuel += STEPS_PER_CHARACTER * w->length;
    for (int64_t k = 0; !failed && k < w->piece_count; k++) {
        int64_t begin = w->pieces[2 * k], end = w->pieces[2 * k + 1], done = begin, p = begin;
        Part open = {0, -1, -1};
        while (!failed && (found = find(t, w, step[1], begin, end, &p, &last)) > 0) {
            if (done < p) failed = next_part(w, &n, step[2], &open, gap, done, p);
            if (!failed) failed = next_part(w, &n, step[2], &open, !gap, p, last);
            done = p = last;
        }
        if (found < 0) return found;
        if (done < end && !failed) failed = next_part(w, &n, step[2], &open, gap, done, end);
        if (open.first >= 0 && !failed) failed = keep_piece(w, &n, open.first, open.last);
    }
    swap_pieces(w, n);
    return failed;
}

/* Cut every piece into chunks of so many characters. */
static int run_chunk(Work *w, int64_t length)
{
    int64_t n = 0;
    for (int64_t k = 0; k < w->piece_count; k++) {
        int64_t end = w->pieces[2 * k + 1];
        for (int64_t p = w->pieces[2 * k]; p < end; p += length)
            if (keep_piece(w, &n, p, p + length < end ? p + length : end)) return NO_MEMORY;
    }
    swap_pieces(w, n);
    return 0;
}

/* Cut every piece where the script changes.  Script 0 goes with any other; the library drops characters of script 0
   before the first of another script. */
static int run_scripts(const Lookup *t, Work *w)
{
    int64_t n = 0;
    for (int64_t k = 0; k < w->piece_count; k++) {
        int64_t end = w->pieces[2 * k + 1], first = -1;
        int last = 0;
        for (int64_t p = w->pieces[2 * k]; p < end; p++) {
            int script = byte_of(t, SCRIPT, w->text[p]);
            if (!script || script == last) continue;
            if (first >= 0 && keep_piece(w, &n, first, p)) return NO_MEMORY;
            first = p;
            last = script;
        }
        if (first >= 0 && keep_piece(w, &n, first, end)) return NO_MEMORY;
    }
    swap_pieces(w, n);
    return 0;
}

#endif
