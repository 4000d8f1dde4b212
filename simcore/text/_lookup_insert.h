/* Steps that write characters without a pattern: a text before each piece, and characters for bytes. */

#ifndef SPIKEWATCH_LOOKUP_INSERT_H
#define SPIKEWATCH_LOOKUP_INSERT_H

#include "_lookup_tables.h"

/* Return whether a step writes its text before a piece that begins with `c`. */
static inline int is_prefixed(const Work *w, const int32_t *step, uint32_t c, int64_t begin)
{
    if (step[1] & AT_START && (begin || !w->at_start)) return 0;
    return (uint32_t) (step[1] & ~AT_START) != c + 1;
}

/* Write characters step[2] .. step[3] of the pool before the text if it is still whole, along with their symbols. */
static int prefix_text(const Lookup *t, Work *w, const int32_t *step)
{
    int64_t count = step[3] - step[2];
    if (!w->length || !is_prefixed(w, step, w->text[0], 0)) return 0;
    if (w->length + count > w->most) return TOO_MANY_STEPS;
    if (!RESERVE(w, text, w->length + count)) return NO_MEMORY;
    memmove(w->text + count, w->text, (size_t) w->length * sizeof *w->text);
    for (int64_t k = 0; k < count; k++) w->text[k] = (uint32_t) t->pool[step[2] + k];
    if (w->present) {
        if (!RESERVE(w, symbols, w->length + count)) return NO_MEMORY;
        memmove(w->symbols + count, w->symbols, (size_t) w->length);
        for (int64_t k = 0; k < count; k++) {
            w->symbols[k] = (uint8_t) byte_of(t, CLASSES, w->text[k]);
            w->present |= (uint64_t) 1 << w->symbols[k];
        }
    }
    w->length += count;
    return 0;
}

/* Write characters step[2] .. step[3] of the pool before each piece, except before those that begin with the character
   step[1] - 1; with AT_START, only before the beginning of the text. */
static int run_prefix(const Lookup *t, Work *w, const int32_t *step)
{
    int64_t count = step[3] - step[2], n = 0;
    if (w->piece_count < 0) return prefix_text(t, w, step);
    for (int64_t k = 0; k < w->piece_count; k++) {
        int64_t begin = w->pieces[2 * k], size = w->pieces[2 * k + 1] - begin;
        int64_t more = is_prefixed(w, step, w->text[begin], begin) ? count : 0;
        if (n + more + size > w->most) return TOO_MANY_STEPS;
        if (!RESERVE(w, spare, n + more + size)) return NO_MEMORY;
        w->pieces[2 * k] = n;
        for (int64_t i = 0; i < more; i++) w->spare[n++] = (uint32_t) t->pool[step[2] + i];
        memcpy(w->spare + n, w->text + begin, (size_t) size * sizeof *w->text);
        n += size;
        w->pieces[2 * k + 1] = n;
    }
    swap_text(w, n);
    w->present = 0;
    return 0;
}

/* Write the UTF-8 bytes of characters first .. last to `spare` from n on, as the character that stands for each byte;
   return where they end. */
static inline int64_t spell_bytes(const Lookup *t, Work *w, int64_t first, int64_t last, int64_t n)
{
    for (int64_t i = first; i < last; i++) {
        uint32_t c = w->text[i];
        if (c < 0x80) {
            w->spare[n++] = t->byte_characters[c];
            continue;
        }
        int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
        w->spare[n++] = t->byte_characters[(0xFF << (7 - more) & 0xFF) | c >> 6 * more];
        while (more--) w->spare[n++] = t->byte_characters[0x80 | (c >> 6 * more & 63)];
    }
    return n;
}

/* Write the bytes of the text, or those of each piece if it has been split already. */
static int run_bytes(const Lookup *t, Work *w)
{
    int64_t n = 0;
    if (!RESERVE(w, spare, 4 * w->length)) return NO_MEMORY; /* pieces do not overlap */
    if (w->piece_count < 0) {
        n = spell_bytes(t, w, 0, w->length, n);
    } else {
        for (int64_t k = 0; k < w->piece_count; k++) {
            int64_t begin = n;
            n = spell_bytes(t, w, w->pieces[2 * k], w->pieces[2 * k + 1], n);
            w->pieces[2 * k] = begin;
            w->pieces[2 * k + 1] = n;
        }
    }
    if (n > w->most) return TOO_MANY_STEPS;
    swap_text(w, n);
    w->present = 0;
    return 0;
}

/* Fill the table of characters that stand for bytes (GPT-2's): printable Latin-1 is itself, the others follow U+0100. */
static void name_bytes(Lookup *t)
{
    for (int byte = 0, next = 0x100; byte < 256; byte++) {
        int plain = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
        t->byte_characters[byte] = (uint16_t) (plain ? byte : next++);
    }
}

#endif
