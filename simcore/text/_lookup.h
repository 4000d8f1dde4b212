/* Split one text into word ids with a compiled tokenizer.  lookup.py describes the tables and has checked every index
   in them, so nothing here checks bounds of tables again. */

#ifndef SPIKEWATCH_LOOKUP_H
#define SPIKEWATCH_LOOKUP_H

#include "_lookup_added.h"
#include "_lookup_forms.h"
#include "_lookup_frame.h"
#include "_lookup_insert.h"
#include "_lookup_models.h"
#include "_lookup_splits.h"

/* Prepare the search for added tokens. */
static void index_added(Added *a)
{
    memset(a->starts, 0, sizeof a->starts);
    for (int64_t k = a->first; k < a->last; k++) a->starts[a->text[k ? a->ends[k - 1] : 0] & 255] = 1;
}

/* Fuse the first steps for ASCII: find how many of them map single characters independently of their neighbours, and
   fill a table with what these steps make of each ASCII character. */
static void fuse_ascii(Lookup *t)
{
    /* Added tokens are looked for after the normalizers, so nothing after these may be fused with them. */
    int64_t most = t->normalized.first < t->normalized.last ? t->normalizers : t->step_count;
    name_bytes(t);
    for (uint32_t c = 0; c < 128; c++) t->ascii[c] = c;
    for (t->fused = 0; t->fused < most; t->fused++) {
        const int32_t *step = t->steps + 4 * t->fused;
        if (step[0] > FORM) break;
        for (int c = 0; c < 128; c++) {
            uint32_t to = t->ascii[c];
            if (to == NOT_FUSED) continue;
            int32_t cell = cell_of(t, step[1], to);
            int changes = step[0] == FORM ? cell || byte_of(t, MARKS, to) || is_syllable(to) : cell >= SPELLED;
            t->ascii[c] = changes ? NOT_FUSED : to + (uint32_t) cell;
        }
    }
    for (int c = 0; c < 128; c++)
        t->ascii_symbols[c] = t->ascii[c] == NOT_FUSED ? UNFUSED : (uint8_t) byte_of(t, CLASSES, t->ascii[c]);
    /* Where most texts have such a character, looking for it first would only cost time. */
    if (t->ascii[' '] == NOT_FUSED || t->ascii['e'] == NOT_FUSED) t->fused = 0;
}

/* Copy an ASCII text with the fused steps applied, and its symbols; return whether all its characters are fused. */
static inline int read_ascii(const Lookup *t, Work *w, const uint8_t *data, int64_t n)
{
    uint64_t present = (uint64_t) 1 << END;
    uint32_t *text = w->text;
    uint8_t *symbols = w->symbols;
    for (int64_t i = 0; i < n; i++) {
        uint8_t symbol = t->ascii_symbols[data[i]];
        text[i] = t->ascii[data[i]];
        symbols[i] = symbol;
        present |= (uint64_t) 1 << symbol;
    }
    w->present = present;
    w->length = n;
    return !(present >> UNFUSED);
}

/* Return whether a Python string of 1, 2 or 4 bytes per character has a surrogate. */
static int has_surrogate(const void *data, int kind, int64_t n)
{
    uint32_t seen = 0;
    if (kind == 2) for (int64_t i = 0; i < n; i++) seen |= ((const uint16_t *) data)[i] >> 11 == 0xD800 >> 11;
    if (kind == 4) for (int64_t i = 0; i < n; i++) seen |= ((const uint32_t *) data)[i] >> 11 == 0xD800 >> 11;
    return seen != 0;
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

static int run_step(const Lookup *t, Work *w, const int32_t *step)
{
    int failed;
    if (step[0] == REPLACE) return run_replace(t, w, step);
    if (step[0] < SPLIT || step[0] == STRIP) w->present = 0;  /* the symbols change */
    switch (step[0]) {
    case MAP: return run_map(t, w, step[1]);
    case FORM: return run_form(t, w, step[1], step[2]);
    case STRIP: return run_strip(t, w, step[1], step[2]);
    case PREFIX: return run_prefix(t, w, step);
    case BYTES: return run_bytes(t, w);
    }
    failed = first_piece(w);
    if (failed) return failed;
    switch (step[0]) {
    case CUT: return run_cut(t, w, step);
    case CHUNK: return run_chunk(w, step[1]);
    case SCRIPTS: return run_scripts(t, w);
    default: return run_split(t, w, step);
    }
}

/* Split the text from step k on, and append the ids of its pieces. */
static int split_words(const Lookup *t, Work *w, int64_t k)
{
    int failed = 0;
    w->piece_count = -1;
    w->choice_count = 0;
    for (; k < t->step_count && !failed; k++) failed = run_step(t, w, t->steps + 4 * k);
    if (!failed) failed = first_piece(w);
    return failed ? failed : append_ids(t, w);
}

/* Split the normalised text `whole` of n characters, in which the first token has been found. */
static int split_around_tokens(const Lookup *t, Work *w, Search *s, int64_t token, int64_t begin, int64_t end)
{
    int failed = 0, at_start = w->at_start;
    for (; !failed; token = next_token(t, &t->normalized, s, &begin, &end)) {
        int64_t last = token < 0 ? s->length : begin, n = last - s->done;
        if (n > 0) {
            if (!RESERVE(w, text, n)) return NO_MEMORY;
            memcpy(w->text, w->whole + s->done, (size_t) n * sizeof *w->text);
            w->length = n;
            w->present = 0;
            w->at_start = at_start && s->done == 0;
            failed = split_words(t, w, t->normalizers);
        }
        if (token < 0) break;
        if (!failed) failed = append_id(w, t->normalized.ids[token]);
        s->done = end;
    }
    return failed;
}

/* Append the ids of a section of the text, between added tokens. */
static int split_section(const Lookup *t, Work *w, const void *data, int kind, int ascii, int64_t n)
{
    int failed = 0;
    int64_t k = 0;
    w->present = 0;
    w->most = GROWTH * n + w->slack;
    w->choice_count = 0;
    if (!RESERVE(w, text, n) || !RESERVE(w, symbols, n)) return NO_MEMORY;
    if (ascii && t->fused && read_ascii(t, w, data, n)) {
        k = t->fused;
    } else {
        w->present = 0;
        failed = read_text(w, data, kind, n);
    }
    w->piece_count = -1;
    for (; k < t->normalizers && !failed; k++) failed = run_step(t, w, t->steps + 4 * k);
    if (failed) return failed;
    if (w->length > GROWTH * n) w->slack -= w->length - GROWTH * n;
    if (t->normalized.first < t->normalized.last) {
        Search s = {w->text, 4, w->length, 0, 0, -1, -1};
        int64_t begin, end, token = next_token(t, &t->normalized, &s, &begin, &end);
        if (token >= 0) {
            uint32_t *text = w->text;
            size_t capacity = w->text_capacity;
            w->text = w->whole; w->text_capacity = w->whole_capacity;
            w->whole = text; w->whole_capacity = capacity;
            return split_around_tokens(t, w, &s, token, begin, end);
        }
    }
    return split_words(t, w, k);
}

/* Append the ids of one text, without those that finish_ids adds. */
static int split_sections(const Lookup *t, Work *w, const void *data, int kind, int ascii, int64_t n)
{
    w->at_start = 1;
    if (t->raw.first == t->raw.last) return split_section(t, w, data, kind, ascii, n);
    int failed = has_surrogate(data, kind, n) ? LONE_SURROGATE : 0;
    Search s = {data, kind, n, 0, 0, -1, -1};
    while (!failed) {
        int64_t begin = n, end = n, token = next_token(t, &t->raw, &s, &begin, &end);
        if (s.done < begin) {
            w->at_start = s.done == 0;
            failed = split_section(t, w, (const uint8_t *) data + s.done * kind, kind, ascii, begin - s.done);
        }
        if (token < 0) break;
        if (!failed) failed = append_id(w, t->raw.ids[token]);
        s.done = end;
    }
    return failed;
}

/* Append the word ids of one text to w->ids, or a single -1 if it has a word that the tokenizer cannot encode; return 0,
   or NO_MEMORY, TOO_MANY_STEPS or LONE_SURROGATE. */
static int split_text(const Lookup *t, Work *w, const void *data, int kind, int ascii, int64_t n)
{
    w->first = w->id_count;
    w->slack = GROWTH * SLACK;
    w->fuel = STEPS * (t->step_count + 1);
    int failed = split_sections(t, w, data, kind, ascii, n);
    if (!failed) return finish_ids(t, w);
    if (failed != UNKNOWN_WORD) return failed;
    w->id_count = w->first;
    return append_id(w, -1);
}

#endif
