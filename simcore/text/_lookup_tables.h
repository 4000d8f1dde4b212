/* The tables of a compiled tokenizer, and the working memory for a text.  lookup.py describes and checks the tables. */

#ifndef SPIKEWATCH_LOOKUP_TABLES_H
#define SPIKEWATCH_LOOKUP_TABLES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { PAGES = 0x1100, PAGE = 256 };  /* all code points, in pages */
enum { CLASSES, MARKS, KINDS, SCRIPT };  /* rows of byte_index; a lookup may lack the last two */
enum { IN_WORD = 1, IS_SPACE = 2 };   /* bits of KINDS */
enum { MAP, FORM, REPLACE, SPLIT, PREFIX, BYTES, CUT, STRIP, CHUNK, SCRIPTS };  /* kinds of steps */
enum { AT_START = 1 << 22 };          /* bit of a PREFIX's character: only at the start of the text */
enum { MERGED_WITH_PREVIOUS, MERGED_WITH_NEXT, CONTIGUOUS };  /* what CUT does with matches */
enum { SINGLE_WORD = 1, LSTRIP = 2, RSTRIP = 4 };  /* flags of added tokens */
enum { START, SET, RUN, FORK, JUMP, BEHIND, AHEAD, DONE };  /* instructions */
enum { LONGEST_PADDED = 1025 };      /* most words of a text after padding, one more than a model reads */
enum { END = 62 };                    /* symbol of the end of a piece */
enum { SPELLED = 0x200000 };          /* cells of maps from here on are places in the pool */
enum { SECOND = 0x80 };               /* bit of a mark: may compose with the character before it */
enum { NESTED = 8 };                  /* depth of look-ahead inside look-ahead */
enum { NOT_FUSED = 1 << 30, UNFUSED = 63 };  /* instead of a character and its symbol: the fused steps do not do it */
enum { GROWTH = 64, SLACK = 64 };     /* a text of n characters may grow to GROWTH * (n + SLACK) */
enum { STEPS = 1 << 24, STEPS_PER_CHARACTER = 256 };  /* most steps of a pattern on one text */
enum { WORD_LEVEL, WORDPIECE, UNIGRAM, BPE };  /* models */
enum { BYTE_LEVEL = 1, FUSE_UNKNOWN = 2, DROP_UNKNOWN = 4, BYTE_FALLBACK = 8 };  /* flags of a model */
enum { NO_MATCH = -1, NO_MEMORY = -2, TOO_MANY_STEPS = -3, LONE_SURROGATE = -4, UNKNOWN_WORD = -5 };

/* See _lookup_trie.h. */
typedef struct {
    uint32_t key, child;
} Edge;

typedef struct {
    const Edge *edges;
    const int32_t *node_words, *word_ids;  /* the word of each node (-1: none), and the id of each word */
    uint64_t edge_mask, seed;
    int64_t inner;  /* the node where words begin that do not begin a piece, or -1: there is none */
} Trie;

/* A merge of BPE: two words, the word that they make (-1: a free place of the hash table), and its rank. */
typedef struct {
    int32_t a, b, made, rank;
} Pair;
/* Added tokens first .. last - 1, sorted by their characters. */
typedef struct {
    const int32_t *text, *ends, *ids;
    const uint8_t *flags;
    int64_t first, last;
    uint8_t starts[256];  /* 1: a token begins with a character of this lowest byte */
} Added;

typedef struct {
    const int32_t *byte_index, *map_index, *map_cells, *pool, *merged, *steps;
    const uint8_t *byte_cells, *records;
    const int64_t *merges, *code;
    const uint64_t *slots;
    int64_t merge_count, step_count, longest;
    uint64_t slot_mask, seed;
    int32_t unknown;    /* the id of every other word, or -1: there is none */
    int32_t model;
    int64_t normalizers;         /* number of steps before the pre-tokenizer's */
    Added raw, normalized;       /* tokens to find before, and after normalisation */
    const int32_t *frame;        /* ids around the words of a text; -1: the words */
    int64_t frame_count;
    int64_t kept;                /* ids of a text that are kept */
    int64_t pad_length, pad_multiple;  /* a text is padded to the larger of both; multiple 0: not padded */
    int32_t pad_id;
    int cut_left, pad_left;
    /* of the models of parts of words, see subwords.py */
    Trie trie;
    const double *scores;
    const Pair *pairs;
    const int32_t *byte_ids, *letters, *letter_slots;
    uint64_t pair_mask, letter_mask;
    double unknown_score;
    int32_t most_characters, flags;
    /* What the first `fused` steps make of each ASCII character, or NOT_FUSED, and the symbol of the result. */
    int64_t fused;
    uint32_t ascii[128];
    uint8_t ascii_symbols[128];
    uint16_t byte_characters[256];
} Lookup;

typedef struct {
    int32_t pc;
    int64_t low, high;  /* ends still to be tried, from high down to low */
} Choice;

typedef struct {
    uint32_t *text, *spare, *whole;
    uint8_t *symbols, *spare_symbols;
    int64_t *pieces, *spare_pieces, *ids;
    Choice *choices;
    char *key;
    double *best;    /* these four are memory of the models of parts of words */
    int32_t *links, *parts;
    int64_t *heap;
    size_t text_capacity, spare_capacity, whole_capacity, symbols_capacity, spare_symbols_capacity, pieces_capacity, spare_pieces_capacity, ids_capacity, choices_capacity,
        key_capacity, best_capacity, links_capacity, parts_capacity, heap_capacity;
    int64_t length, piece_count, choice_count, id_count, fuel;
    int64_t first;     /* where the ids of the text begin in `ids` */
    int64_t slack;     /* how much further than to GROWTH * n characters the rest of the text may grow */
    int64_t most;      /* limit of the section's characters, and of open choices */
    int at_start;      /* the section begins where the text does */
    uint64_t present;  /* set of the symbols in the text; 0: `symbols` is out of date */
} Work;

/* Grow memory to at least `need` items; return 0 if there is none left. */
static inline int reserve(void **memory, size_t *capacity, size_t need, size_t item)
{
    if (need <= *capacity) return 1;
    size_t more = need + need / 2 + 64;
    void *grown = realloc(*memory, more * item);
    if (!grown) return 0;
    *memory = grown;
    *capacity = more;
    return 1;
}
#define RESERVE(w, what, need) reserve((void **) &(w)->what, &(w)->what##_capacity, (size_t) (need), sizeof *(w)->what)

static inline void work_free(Work *w)
{
    free(w->text); free(w->spare); free(w->whole); free(w->symbols); free(w->spare_symbols); free(w->pieces);
    free(w->spare_pieces); free(w->ids); free(w->choices); free(w->key); free(w->best); free(w->links); free(w->parts);
    free(w->heap);
}

/* Make `spare` the text, with a new length. */
static inline void swap_text(Work *w, int64_t length)
{
    uint32_t *text = w->text;
    size_t capacity = w->text_capacity;
    w->text = w->spare; w->text_capacity = w->spare_capacity;
    w->spare = text; w->spare_capacity = capacity;
    w->length = length;
}

/* Return the symbol (row CLASSES) or the mark (row MARKS) of a character. */
static inline int byte_of(const Lookup *t, int row, uint32_t c)
{
    return t->byte_cells[t->byte_index[row * PAGES + (c >> 8)] * PAGE + (c & 255)];
}
/* Return the cell of a character in a map: a distance, or SPELLED + place in the pool. */
static inline int32_t cell_of(const Lookup *t, int map, uint32_t c)
{
    return t->map_cells[t->map_index[map * PAGES + (c >> 8)] * PAGE + (c & 255)];
}

#endif
