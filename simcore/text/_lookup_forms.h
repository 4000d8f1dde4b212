/* Steps that change characters: maps, Unicode normal forms, white space to remove at the ends. */

#ifndef SPIKEWATCH_LOOKUP_FORMS_H
#define SPIKEWATCH_LOOKUP_FORMS_H

#include "_lookup_tables.h"

/* Replace every character as a map states: by the character at a fixed distance, or by a list in the pool.  In place
   as long as characters are replaced one by one; the first list makes it continue in `spare`. */
static int run_map(const Lookup *t, Work *w, int map)
{
    int64_t i = 0, n = 0;
    for (; i < w->length; i++) {
        int32_t cell = cell_of(t, map, w->text[i]);
        if (cell >= SPELLED) break;
        w->text[i] += (uint32_t) cell;
    }
    if (i == w->length) return 0;
    if (!RESERVE(w, spare, w->length + SLACK)) return NO_MEMORY;
    memcpy(w->spare, w->text, (size_t) i * sizeof *w->text);
    for (n = i; i < w->length; i++) {
        int32_t cell = cell_of(t, map, w->text[i]);
        const int32_t *spelled = cell < SPELLED ? NULL : t->pool + (cell - SPELLED);
        int32_t count = spelled ? spelled[0] : 1;
        if (n + count > w->most) return TOO_MANY_STEPS;
        if (!RESERVE(w, spare, n + count)) return NO_MEMORY;
        if (!spelled) w->spare[n++] = w->text[i] + (uint32_t) cell;
        else for (int k = 1; k <= count; k++) w->spare[n++] = (uint32_t) spelled[k];
    }
    swap_text(w, n);
    return 0;
}

/* Hangul syllables are composed and decomposed by arithmetic (Unicode Standard, section 3.12). */
enum { SYLLABLES = 0xAC00, L_BASE = 0x1100, V_BASE = 0x1161, T_BASE = 0x11A7, LS = 19, VS = 21, TS = 28 };

static inline int is_syllable(uint32_t c) { return c >= SYLLABLES && c < SYLLABLES + LS * VS * TS; }

/* Sort each run of combining marks by combining class, stably (Unicode's canonical ordering).  Insertion sort for short
   runs; counting sort for long ones, which a hostile text could otherwise make quadratic. */
static void sort_marks(const Lookup *t, uint32_t *text, uint32_t *spare, int64_t n)
{
    for (int64_t i = 0; i < n;) {
        int64_t first = i;
        while (i < n && (byte_of(t, MARKS, text[i]) & ~SECOND)) i++;
        int64_t count = i - first;
        uint32_t *run = text + first;
        if (count <= 16) {
            for (int64_t j = 1; j < count; j++) {
                uint32_t c = run[j];
                int mine = byte_of(t, MARKS, c) & ~SECOND;
                int64_t k = j;
                for (; k > 0 && (byte_of(t, MARKS, run[k - 1]) & ~SECOND) > mine; k--) run[k] = run[k - 1];
                run[k] = c;
            }
        } else {
            int64_t place[129] = {0}; /* ranks 0..127, shifted by one: the sums become the places of each rank */
            for (int64_t j = 0; j < count; j++) place[(byte_of(t, MARKS, run[j]) & ~SECOND) + 1]++;
            for (int k = 1; k < 129; k++) place[k] += place[k - 1];
            for (int64_t j = 0; j < count; j++) spare[place[byte_of(t, MARKS, run[j]) & ~SECOND]++] = run[j];
            memcpy(run, spare, (size_t) count * sizeof *run);
        }
        if (!count) i++;
    }
}

/* Return the composition of two characters, or 0 if there is none. */
static uint32_t merge(const Lookup *t, uint32_t a, uint32_t b)
{
    /* unsigned differences: one comparison checks both ends of a range */
    if (a - L_BASE < LS && b - V_BASE < VS) return SYLLABLES + ((a - L_BASE) * VS + (b - V_BASE)) * TS;
    if (is_syllable(a) && (a - SYLLABLES) % TS == 0 && b > T_BASE && b < T_BASE + TS) return a + (b - T_BASE);
    int64_t wanted = ((int64_t) a << 21) | b, low = 0, high = t->merge_count;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (t->merges[middle] < wanted) low = middle + 1; else high = middle;
    }
    return low < t->merge_count && t->merges[low] == wanted ? (uint32_t) t->merged[low] : 0;
}

/* Compose characters in place (Unicode's canonical composition); return the new length.  A mark composes with the last
   starter unless an earlier mark of the same or a higher class blocks it. */
static int64_t merge_marks(const Lookup *t, uint32_t *text, int64_t n)
{
    int64_t starter = -1, out = 0;
    int last = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t c = text[i];
        int mark = byte_of(t, MARKS, c) & ~SECOND;
        if (starter >= 0 && (last == 0 || last < mark)) { /* last 0: nothing is between the starter and c */
            uint32_t whole = merge(t, text[starter], c);
            if (whole) {
                text[starter] = whole;
                continue;
            }
        }
        last = mark;
        if (!mark) starter = out;
        text[out++] = c;
    }
    return out;
}

/* Apply a Unicode normal form: decompose, sort the marks and, if `merging`, compose.  A text in which no character
   decomposes and none is a mark or a second character of a composition is already in the form, and left alone. */
static int run_form(const Lookup *t, Work *w, int map, int merging)
{
    int64_t i = 0, n = 0;
    for (; i < w->length; i++) {
        uint32_t c = w->text[i];
        if (byte_of(t, MARKS, c) || cell_of(t, map, c) || (!merging && is_syllable(c))) break;
    }
    if (i == w->length) return 0;
    for (i = 0; i < w->length; i++) {
        uint32_t c = w->text[i];
        int32_t cell = cell_of(t, map, c);
        /* a syllable has at most three jamo */
        int32_t count = is_syllable(c) || cell < SPELLED ? 3 : t->pool[cell - SPELLED];
        if (!RESERVE(w, spare, n + count)) return NO_MEMORY;
        if (is_syllable(c)) {
            c -= SYLLABLES;
            w->spare[n++] = L_BASE + c / (VS * TS);
            w->spare[n++] = V_BASE + c / TS % VS;
            if (c % TS) w->spare[n++] = T_BASE + c % TS;
        } else if (cell < SPELLED) {
            w->spare[n++] = c + (uint32_t) cell;
        } else {
            for (int k = 1; k <= count; k++) w->spare[n++] = (uint32_t) t->pool[cell - SPELLED + k];
        }
        if (n > w->most) return TOO_MANY_STEPS;
    }
    swap_text(w, n);
    if (!RESERVE(w, spare, n)) return NO_MEMORY;
    sort_marks(t, w->text, w->spare, n);
    if (merging) w->length = merge_marks(t, w->text, n);
    return 0;
}

/* Remove white space at the begin, at the end, or at both. */
static int run_strip(const Lookup *t, Work *w, int left, int right)
{
    int64_t first = 0, last = w->length;
    while (left && first < last && byte_of(t, KINDS, w->text[first]) & IS_SPACE) first++;
    while (right && first < last && byte_of(t, KINDS, w->text[last - 1]) & IS_SPACE) last--;
    memmove(w->text, w->text + first, (size_t) (last - first) * sizeof *w->text);
    w->length = last - first;
    return 0;
}

#endif
