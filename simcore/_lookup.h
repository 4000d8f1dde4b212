/* What a compiled tokenizer does to one text; lookup.py says what is in the tables, and has checked them. */

#ifndef SPIKEWATCH_LOOKUP_H
#define SPIKEWATCH_LOOKUP_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { PAGES = 0x1100, PAGE = 256 };  /* all code points in pages */
enum { CLASSES = 0, MARKS = 1 };      /* rows of byte_index */
enum { MAP, FORM, REPLACE, SPLIT };   /* kinds of steps */
enum { START, SET, RUN, FORK, JUMP, BEHIND, AHEAD, DONE };  /* instructions */
enum { END = 62 };                    /* the symbol of the end of a piece */
enum { SPELLED = 0x200000 };          /* from here on, cells of maps are places in the pool */
enum { SECOND = 0x80 };               /* of a mark: may merge into the character before it */
enum { NESTED = 8, GROWTH = 64, SLACK = 64 };
enum { STEPS = 1 << 24, STEPS_PER_CHARACTER = 256 };  /* of a pattern on one text, at most */
enum { NO_MATCH = -1, NO_MEMORY = -2, TOO_MANY_STEPS = -3, LONE_SURROGATE = -4 };

typedef struct {
    const int32_t *byte_index, *map_index, *map_cells, *pool, *merged, *steps;
    const uint8_t *byte_cells, *records;
    const int64_t *merges, *code;
    const uint64_t *slots;
    int64_t merge_count, step_count, longest;
    uint64_t slot_mask, seed;
    int32_t unknown;
    /* What the first `fused` steps make of a text in ASCII, letter by letter, and the symbols of that. */
    int64_t fused;
    uint8_t ascii[128], ascii_symbols[128];
} Lookup;

typedef struct {
    int32_t pc;
    int64_t low, high;  /* to be tried from high down to low */
} Choice;

typedef struct {
    uint32_t *text, *spare;
    uint8_t *symbols, *spare_symbols;
    int64_t *pieces, *spare_pieces, *ids;
    Choice *choices;
    char *key;
    size_t text_room, spare_room, symbols_room, spare_symbols_room, pieces_room, spare_pieces_room, ids_room, choices_room,
        key_room;
    int64_t length, most, piece_count, choice_count, id_count, fuel;
    uint64_t present;  /* symbols in the text; 0: not known */
} Work;

static inline int room(void **memory, size_t *have, size_t need, size_t item)
{
    if (need <= *have) return 1;
    size_t more = need + need / 2 + 64;
    void *grown = realloc(*memory, more * item);
    if (!grown) return 0;
    *memory = grown;
    *have = more;
    return 1;
}
#define ROOM(w, what, need) room((void **) &(w)->what, &(w)->what##_room, (size_t) (need), sizeof *(w)->what)

static inline void work_free(Work *w)
{
    free(w->text); free(w->spare); free(w->symbols); free(w->spare_symbols); free(w->pieces); free(w->spare_pieces);
    free(w->ids); free(w->choices); free(w->key);
}

static inline void swap_text(Work *w, int64_t length)
{
    uint32_t *text = w->text;
    size_t have = w->text_room;
    w->text = w->spare; w->text_room = w->spare_room;
    w->spare = text; w->spare_room = have;
    w->length = length;
}

static inline int byte_of(const Lookup *t, int row, uint32_t c)
{
    return t->byte_cells[t->byte_index[row * PAGES + (c >> 8)] * PAGE + (c & 255)];
}
static inline int32_t cell_of(const Lookup *t, int map, uint32_t c)
{
    return t->map_cells[t->map_index[map * PAGES + (c >> 8)] * PAGE + (c & 255)];
}

/* Replace every character by what a map says: one at a fixed distance, or those spelled out in the pool. */
static int run_map(const Lookup *t, Work *w, int map)
{
    int64_t i = 0, n = 0;
    for (; i < w->length; i++) {
        int32_t cell = cell_of(t, map, w->text[i]);
        if (cell >= SPELLED) break;
        w->text[i] += (uint32_t) cell;
    }
    if (i == w->length) return 0;
    if (!ROOM(w, spare, w->length + SLACK)) return NO_MEMORY;
    memcpy(w->spare, w->text, (size_t) i * sizeof *w->text);
    for (n = i; i < w->length; i++) {
        int32_t cell = cell_of(t, map, w->text[i]);
        if (cell < SPELLED) {
            if (!ROOM(w, spare, n + 1)) return NO_MEMORY;
            w->spare[n++] = w->text[i] + (uint32_t) cell;
            continue;
        }
        const int32_t *spelled = t->pool + (cell - SPELLED);
        if (!ROOM(w, spare, n + spelled[0])) return NO_MEMORY;
        for (int k = 1; k <= spelled[0]; k++) w->spare[n++] = (uint32_t) spelled[k];
        if (n > w->most) return TOO_MANY_STEPS;
    }
    swap_text(w, n);
    return 0;
}

/* Hangul syllables are composed by arithmetic (Unicode, section 3.12). */
enum { SYLLABLES = 0xAC00, L_BASE = 0x1100, V_BASE = 0x1161, T_BASE = 0x11A7, LS = 19, VS = 21, TS = 28 };

static inline int is_syllable(uint32_t c) { return c >= SYLLABLES && c < SYLLABLES + LS * VS * TS; }

/* Bring combining marks, which may stand in any order, into that of their classes; marks of equal class stay. */
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
            int64_t place[129] = {0};
            for (int64_t j = 0; j < count; j++) place[(byte_of(t, MARKS, run[j]) & ~SECOND) + 1]++;
            for (int k = 1; k < 129; k++) place[k] += place[k - 1];
            for (int64_t j = 0; j < count; j++) spare[place[byte_of(t, MARKS, run[j]) & ~SECOND]++] = run[j];
            memcpy(run, spare, (size_t) count * sizeof *run);
        }
        if (!count) i++;
    }
}

/* The character that two merge into, or 0. */
static uint32_t merge(const Lookup *t, uint32_t a, uint32_t b)
{
    if (a - L_BASE < LS && b - V_BASE < VS) return SYLLABLES + ((a - L_BASE) * VS + (b - V_BASE)) * TS;
    if (is_syllable(a) && (a - SYLLABLES) % TS == 0 && b > T_BASE && b < T_BASE + TS) return a + (b - T_BASE);
    int64_t wanted = ((int64_t) a << 21) | b, low = 0, high = t->merge_count;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (t->merges[middle] < wanted) low = middle + 1; else high = middle;
    }
    return low < t->merge_count && t->merges[low] == wanted ? (uint32_t) t->merged[low] : 0;
}

static int64_t merge_marks(const Lookup *t, uint32_t *text, int64_t n)
{
    int64_t starter = -1, out = 0;
    int last = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t c = text[i];
        int mark = byte_of(t, MARKS, c) & ~SECOND;
        if (starter >= 0 && (last == 0 || last < mark)) {
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

/* A normal form of Unicode: spell out, sort the marks, and merge. */
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
        int32_t count = is_syllable(c) || cell < SPELLED ? 3 : t->pool[cell - SPELLED];
        if (!ROOM(w, spare, n + count)) return NO_MEMORY;
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
    if (!ROOM(w, spare, n)) return NO_MEMORY;
    sort_marks(t, w->text, w->spare, n);
    if (merging) w->length = merge_marks(t, w->text, n);
    return 0;
}

/* Patterns: a backtracking machine on symbols, leftmost choice first. */

static inline int read_symbols(const Lookup *t, Work *w)
{
    if (w->present) return 0;
    if (!ROOM(w, symbols, w->length)) return NO_MEMORY;
    const int32_t *index = t->byte_index + CLASSES * PAGES;
    uint64_t present = (uint64_t) 1 << END;
    for (int64_t i = 0; i < w->length; i++) {
        uint32_t c = w->text[i];
        uint8_t symbol = t->byte_cells[index[c >> 8] * PAGE + (c & 255)];
        w->symbols[i] = symbol;
        present |= (uint64_t) 1 << symbol;
    }
    w->present = present;
    return 0;
}

/* Where the match that begins at `p` ends, or NO_MATCH.  Looks behind as far as `begin`, ahead as far as `end`. */
static int64_t match_at(
    const Lookup *t, Work *w, int32_t pc, int64_t begin, int64_t p, int64_t end, int nested)
{
    const uint8_t *symbols = w->symbols;
    int64_t base = w->choice_count;
    if (nested > NESTED) return TOO_MANY_STEPS;
    for (;;) {
        const int64_t *in = t->code + 5 * (int64_t) pc;
        uint64_t mask = (uint64_t) in[3];
        int symbol = p < end ? symbols[p] : END;
        int ok = 0;
        if (--w->fuel < 0) return TOO_MANY_STEPS;
        switch (in[0]) {
        case SET:
            ok = mask >> symbol & 1;
            p += ok;
            break;
        case RUN: {
            int64_t q = p, last = in[2] < end - p ? p + in[2] : end;
            while (q < last && mask >> symbols[q] & 1) q++;
            if (q - p < in[1]) break;
            w->fuel -= (q - p) >> 3;
            /* only the ends from which what follows can go on */
            int64_t low = p + in[1];
            uint64_t next = (uint64_t) in[4];
            while (q >= low && !(next >> (q < end ? symbols[q] : END) & 1)) q--;
            if (q < low) break;
            if (q > low) {
                if (!ROOM(w, choices, w->choice_count + 1)) return NO_MEMORY;
                w->choices[w->choice_count++] = (Choice) {pc + 1, low, q - 1};
            }
            p = q;
            ok = 1;
            break;
        }
        case FORK:
            ok = 1;
            if (mask >> symbol & 1) {
                if (!ROOM(w, choices, w->choice_count + 1)) return NO_MEMORY;
                w->choices[w->choice_count++] = (Choice) {(int32_t) in[1], p, p};
                break;
            }
            pc = (int32_t) in[1];
            continue;
        case JUMP:
            pc = (int32_t) in[1];
            continue;
        case BEHIND:
            ok = (p > begin && mask >> symbols[p - 1] & 1) != (in[2] != 0);
            break;
        case AHEAD: {
            int64_t found = match_at(t, w, pc + 1, begin, p, end, nested + 1);
            if (found < NO_MATCH) return found;
            if ((found >= 0) == (in[2] != 0)) break;
            pc = (int32_t) in[1];
            continue;
        }
        case DONE:
            w->choice_count = base;
            return p;
        default:  /* START */
            ok = 1;
        }
        if (ok) {
            pc++;
            continue;
        }
        if (w->choice_count == base) return NO_MATCH;
        Choice *choice = &w->choices[w->choice_count - 1];
        pc = choice->pc;
        p = choice->high;
        if (choice->high-- == choice->low) w->choice_count--;
    }
}

/* The first match from `*p` on; it is not empty.  1: *p .. *last is one, 0: there is none, < 0: failed. */
static int find(const Lookup *t, Work *w, int32_t pc, int64_t begin, int64_t end, int64_t *p, int64_t *last)
{
    uint64_t mask = (uint64_t) t->code[5 * (int64_t) pc + 3];
    for (; *p < end; ++*p) {
        if (!(mask >> w->symbols[*p] & 1)) continue;
        *last = match_at(t, w, pc + 1, begin, *p, end, 0);
        if (*last < NO_MATCH) return (int) *last;
        if (*last > *p) return 1;
    }
    return 0;
}

static int run_replace(const Lookup *t, Work *w, const int32_t *step)
{
    int failed = read_symbols(t, w);
    if (failed || !((uint64_t) t->code[5 * (int64_t) step[1] + 3] & w->present)) return failed;
    int64_t count = step[3] - step[2], n = 0, done = 0, p = 0, last = 0;
    int found;
    w->fuel = STEPS + STEPS_PER_CHARACTER * w->length;
    while ((found = find(t, w, step[1], 0, w->length, &p, &last)) > 0) {
        int64_t before = p - done;
        if (n + before + count > w->most) return TOO_MANY_STEPS;
        if (!ROOM(w, spare, n + before + count) || !ROOM(w, spare_symbols, n + before + count)) return NO_MEMORY;
        memcpy(w->spare + n, w->text + done, (size_t) before * sizeof *w->text);
        memcpy(w->spare_symbols + n, w->symbols + done, (size_t) before);
        n += before;
        for (int32_t k = step[2]; k < step[3]; k++) {
            w->spare[n] = (uint32_t) t->pool[k];
            w->spare_symbols[n] = (uint8_t) byte_of(t, CLASSES, (uint32_t) t->pool[k]);
            w->present |= (uint64_t) 1 << w->spare_symbols[n++];
        }
        done = p = last;
    }
    if (found < 0 || !done) return found;
    int64_t rest = w->length - done;
    if (!ROOM(w, spare, n + rest) || !ROOM(w, spare_symbols, n + rest)) return NO_MEMORY;
    memcpy(w->spare + n, w->text + done, (size_t) rest * sizeof *w->text);
    memcpy(w->spare_symbols + n, w->symbols + done, (size_t) rest);
    uint8_t *symbols = w->symbols;
    size_t have = w->symbols_room;
    w->symbols = w->spare_symbols; w->symbols_room = w->spare_symbols_room;
    w->spare_symbols = symbols; w->spare_symbols_room = have;
    swap_text(w, n + rest);
    return 0;
}

static int keep_piece(Work *w, int64_t *n, int64_t first, int64_t last)
{
    if (first == last) return 0;
    if (!ROOM(w, spare_pieces, 2 * (*n + 1))) return NO_MEMORY;
    w->spare_pieces[2 * *n] = first;
    w->spare_pieces[2 * (*n)++ + 1] = last;
    return 0;
}

/* Cut every piece at the matches: of `step`, 2 says whether gaps are kept, 3 whether matches are. */
static int run_split(const Lookup *t, Work *w, const int32_t *step)
{
    int failed = read_symbols(t, w), found = 0;
    int64_t n = 0, last = 0;
    w->fuel = STEPS + STEPS_PER_CHARACTER * w->length;
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
    int64_t *pieces = w->pieces;
    size_t have = w->pieces_room;
    w->pieces = w->spare_pieces; w->pieces_room = w->spare_pieces_room;
    w->spare_pieces = pieces; w->spare_pieces_room = have;
    w->piece_count = n;
    return failed;
}

/* Words: a table of 8-byte slots (upper half: of the hash, lower: place of the record in 8 bytes, plus 1), with
   records of id, length, and the word in UTF-8, padded to 8 bytes. */

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

/* Write the records and slots; both are zeroed, and the records end with 8 bytes more. */
static void place_words(
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
        while (slots[at]) at = (at + 1) & slot_mask;
        slots[at] = (h >> 32 << 32) | (uint64_t) (place / 8 + 1);
        place += 8 + (length + 7) / 8 * 8;
    }
}

static inline int32_t find_word(const Lookup *t, Work *w, int64_t first, int64_t last)
{
    char *key = w->key;
    int64_t n = 0;
    if (last - first > t->longest) return t->unknown;
    for (int64_t i = first; i < last; i++) {
        uint32_t c = w->text[i];
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
    uint64_t h = hash_of(t->seed, key, n);
    for (uint64_t at = h & t->slot_mask; t->slots[at]; at = (at + 1) & t->slot_mask) {
        if (t->slots[at] >> 32 != h >> 32) continue;
        const uint8_t *record = t->records + ((t->slots[at] & 0xFFFFFFFF) - 1) * 8;
        int32_t id, length;
        memcpy(&length, record + 4, 4);
        if (length != n || memcmp(record + 8, key, (size_t) n)) continue;
        memcpy(&id, record, 4);
        return id;
    }
    return t->unknown;
}

/* Find the steps that turn each letter of ASCII into one, whatever stands around it. */
static void fuse_ascii(Lookup *t)
{
    for (int c = 0; c < 128; c++) t->ascii[c] = (uint8_t) c;
    for (t->fused = 0; t->fused < t->step_count; t->fused++) {
        const int32_t *step = t->steps + 4 * t->fused;
        if (step[0] > FORM) break;
        for (int c = 0; c < 128; c++) {
            int32_t cell = cell_of(t, step[1], t->ascii[c]);
            if (step[0] == FORM ? cell || byte_of(t, MARKS, t->ascii[c]) : (uint32_t) (t->ascii[c] + cell) > 127) {
                t->fused = 0;
                return;
            }
            t->ascii[c] += cell;
        }
    }
    for (int c = 0; c < 128; c++) t->ascii_symbols[c] = (uint8_t) byte_of(t, CLASSES, t->ascii[c]);
}

static int read_ascii(const Lookup *t, Work *w, const uint8_t *data, int64_t n)
{
    uint64_t present = (uint64_t) 1 << END;
    if (!ROOM(w, text, n) || !ROOM(w, symbols, n)) return NO_MEMORY;
    for (int64_t i = 0; i < n; i++) {
        w->text[i] = t->ascii[data[i]];
        w->symbols[i] = t->ascii_symbols[data[i]];
        present |= (uint64_t) 1 << w->symbols[i];
    }
    w->present = present;
    w->length = n;
    return 0;
}

/* Copy a string of Python's, of 1, 2 or 4 bytes a character. */
static int read_text(Work *w, const void *data, int kind, int64_t n)
{
    uint32_t seen = 0;
    if (!ROOM(w, text, n)) return NO_MEMORY;
    if (kind == 1) {
        for (int64_t i = 0; i < n; i++) w->text[i] = ((const uint8_t *) data)[i];
    } else if (kind == 2) {
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

/* Append the word ids of one text; 0, or why not. */
static int split_text(const Lookup *t, Work *w, const void *data, int kind, int ascii, int64_t n)
{
    ascii = ascii && t->fused;
    w->present = 0;
    w->most = GROWTH * (n + SLACK);
    int failed = ascii ? read_ascii(t, w, data, n) : read_text(w, data, kind, n);
    w->piece_count = -1;
    w->choice_count = 0;
    for (int64_t k = ascii ? t->fused : 0; k < t->step_count && !failed; k++) {
        const int32_t *step = t->steps + 4 * k;
        if (step[0] <= FORM) w->present = 0;
        if (step[0] == MAP) {
            failed = run_map(t, w, step[1]);
        } else if (step[0] == FORM) {
            failed = run_form(t, w, step[1], step[2]);
        } else if (step[0] == REPLACE) {
            failed = run_replace(t, w, step);
        } else {
            if (w->piece_count < 0) {
                if (!ROOM(w, pieces, 2)) return NO_MEMORY;
                w->pieces[0] = 0;
                w->pieces[1] = w->length;
                w->piece_count = w->length > 0;
            }
            failed = run_split(t, w, step);
        }
    }
    if (failed) return failed;
    if (w->piece_count < 0) {
        if (!ROOM(w, pieces, 2)) return NO_MEMORY;
        w->pieces[0] = 0;
        w->pieces[1] = w->length;
        w->piece_count = w->length > 0;
    }
    if (!ROOM(w, ids, w->id_count + w->piece_count) || !ROOM(w, key, 4 * t->longest + 8)) return NO_MEMORY;
    for (int64_t k = 0; k < w->piece_count; k++)
        w->ids[w->id_count++] = find_word(t, w, w->pieces[2 * k], w->pieces[2 * k + 1]);
    return 0;
}

#endif
