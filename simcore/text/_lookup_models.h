/* The models: from pieces of the text to word ids. */

#ifndef SPIKEWATCH_LOOKUP_MODELS_H
#define SPIKEWATCH_LOOKUP_MODELS_H

#include "_lookup_bpe.h"
#include "_lookup_unigram.h"
#include "_lookup_wordpiece.h"

/* Append the word ids of all pieces to w->ids, one for each piece. */
static int whole_words(const Lookup *t, Work *w)
{
    int known = 1;
    if (!RESERVE(w, ids, w->id_count + w->piece_count) || !RESERVE(w, key, 4 * t->longest + 8)) return NO_MEMORY;
    for (int64_t k = 0; k < w->piece_count; k++) {
        int32_t id = find_word(t, w, w->pieces[2 * k], w->pieces[2 * k + 1]);
        known &= id >= 0;
        w->ids[w->id_count++] = id;
    }
    return known ? 0 : UNKNOWN_WORD;
}

/* Append the word ids of all pieces to w->ids; return 0, UNKNOWN_WORD if the tokenizer cannot encode a piece, or another
   error.  A model of several ids a piece reserves `key` and `ids` for each piece. */
static int append_ids(const Lookup *t, Work *w)
{
    int failed = 0;
    if (t->model == WORD_LEVEL) return whole_words(t, w);
    w->fuel += STEPS_PER_CHARACTER * w->length;
    for (int64_t k = 0; k < w->piece_count && !failed; k++) {
        int64_t first = w->pieces[2 * k], last = w->pieces[2 * k + 1];
        switch (t->model) {
        case WORDPIECE: failed = run_wordpiece(t, w, first, last); break;
        case UNIGRAM: failed = run_unigram(t, w, first, last); break;
        default: failed = run_bpe(t, w, first, last);
        }
    }
    return failed;
}

#endif
