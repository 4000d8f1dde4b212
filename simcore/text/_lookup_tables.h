/* The tables of a compiled tokenizer, and the memory in which a text is worked on; lookup.py has checked the tables. */

#ifndef SPIKEWATCH_LOOKUP_TABLES_H
#define SPIKEWATCH_LOOKUP_TABLES_H

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
    int64_t length, piece_count, choice_count, id_count, fuel;
    int64_t most;      /* characters of the text, and choices that are open, at once */
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

#endif
