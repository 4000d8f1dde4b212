/* Split one text into word ids with a compiled tokenizer.  lookup.py describes the tables and has checked every index
   in them, so nothing here checks bounds of tables again. */

#ifndef SPIKEWATCH_LOOKUP_H
#define SPIKEWATCH_LOOKUP_H

#include "_lookup_forms.h"
#include "_lookup_insert.h"
#include "_lookup_models.h"
#include "_lookup_patterns.h"

/* Fuse the first steps for ASCII: find how many of them map every ASCII character to one ASCII character, independently
   of its neighbours, and fill a table with the results of these steps. */
static void fuse_ascii(Lookup *t)
{
    name_bytes(t);
    for (int c = 0; c < 128; c++) t->ascii[c] = (uint8_t) c;
    for (t->fused = 0; t->fused < t->step_count; t->fused++) {
        const int32_t *step = t->steps + 4 * t->fused;
        if (step[0] > FORM) break;
        for (int c = 0; c < 128; c++) {
            int32_t cell = cell_of(t, step[1], t->ascii[c]);
            /* unsigned, so that this refuses negative results and lists (SPELLED) as well */
            if (step[0] == FORM ? cell || byte_of(t, MARKS, t->ascii[c]) : (uint32_t) (t->ascii[c] + cell) > 127) {
                t->fused = 0; /* split_text then ignores the half-changed table */
                return;
            }
            t->ascii[c] += cell;
        }
    }
    for (int c = 0; c < 128; c++) t->ascii_symbols[c] = (uint8_t) byte_of(t, CLASSES, t->ascii[c]);
}

/* Copy an ASCII text with the fused steps applied, and its symbols. */
static int read_ascii(const Lookup *t, Work *w, const uint8_t *data, int64_t n)
{
    uint64_t present = (uint64_t) 1 << END;
    if (!RESERVE(w, text, n) || !RESERVE(w, symbols, n)) return NO_MEMORY;
    for (int64_t i = 0; i < n; i++) {
        w->text[i] = t->ascii[data[i]];
        w->symbols[i] = t->ascii_symbols[data[i]];
        present |= (uint64_t) 1 << w->symbols[i];
    }
    w->present = present;
    w->length = n;
    return 0;
}

/* Copy a Python string of 1, 2 or 4 bytes per character; LONE_SURROGATE if it has one. */
static int read_text(Work *w, const void *data, int kind, int64_t n)
{
    uint32_t seen = 0;
    if (!RESERVE(w, text, n)) return NO_MEMORY;
    if (kind == 1) {
        for (int64_t i = 0; i < n; i++) w->text[i] = ((const uint8_t *) data)[i];
    } else if (kind == 2) {
        /* Surrogates are 0xD800..0xDFFF; without a branch, the compiler can vectorise the test. */
        for (int64_t i = 0; i < n; i++) {
            w->text[i] = ((const uint16_t *) data)[i];
            seen |= w->text[i] >> 11 == 0xD800 >> 11;
        }
    } else {
        for (int64_t i = 0; i < n; i++) {
            w->text[i] = ((const uint32_t *) data)[i];
            seen |= w->text[i] >> 11 == 0xD800 >> 11;
        }
    }
    w->length = n;
    return seen ? LONE_SURROGATE : 0;
}

/* Make the text one piece, unless it has been split already (piece_count >= 0). */
static int first_piece(Work *w)
{
    if (w->piece_count >= 0) return 0;
    if (!RESERVE(w, pieces, 2)) return NO_MEMORY;
    w->pieces[0] = 0;
    w->pieces[1] = w->length;
    w->piece_count = w->length > 0;
    return 0;
}

/* Append the word ids of one text to w->ids, or a single -1 if it has a word that the tokenizer cannot encode; return 0,
   or NO_MEMORY, TOO_MANY_STEPS or LONE_SURROGATE. */
static int split_text(const Lookup *t, Work *w, const void *data, int kind, int ascii, int64_t n)
{
    ascii = ascii && t->fused;
    w->present = 0;
    w->at_start = 1;
    w->most = GROWTH * (n + SLACK);
    int failed = ascii ? read_ascii(t, w, data, n) : read_text(w, data, kind, n);
    w->piece_count = -1;
    w->choice_count = 0;
    for (int64_t k = ascii ? t->fused : 0; k < t->step_count && !failed; k++) {
        const int32_t *step = t->steps + 4 * k;
        if (step[0] <= FORM) w->present = 0;  /* the characters change, so their symbols do */
        if (step[0] == MAP) {
            failed = run_map(t, w, step[1]);
        } else if (step[0] == FORM) {
            failed = run_form(t, w, step[1], step[2]);
        } else if (step[0] == REPLACE) {
            failed = run_replace(t, w, step);
        } else if (step[0] == PREFIX) {
            failed = run_prefix(t, w, step);
        } else if (step[0] == BYTES) {
            failed = run_bytes(t, w);
        } else {
            failed = first_piece(w);
            if (!failed) failed = run_split(t, w, step);
        }
    }
    if (!failed) failed = first_piece(w);
    if (failed) return failed;
    int64_t first = w->id_count;
    failed = append_ids(t, w);
    if (failed != UNKNOWN_WORD) return failed;
    w->id_count = first;
    if (!RESERVE(w, ids, first + 1)) return NO_MEMORY;
    w->ids[w->id_count++] = -1;
    return 0;
}

#endif
