/* Patterns, and the step that replaces their matches.

   A pattern is a program of a backtracking machine that reads symbols and tries the leftmost choice first. */

#ifndef SPIKEWATCH_LOOKUP_PATTERNS_H
#define SPIKEWATCH_LOOKUP_PATTERNS_H

#include "_lookup_tables.h"

/* Look up the symbol of every character, and the set of symbols present, unless they are known. */
static inline int read_symbols(const Lookup *t, Work *w)
{
    if (w->present) return 0;
    if (!RESERVE(w, symbols, w->length)) return NO_MEMORY;
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

/* Push a choice to return to.  A loop that reads characters keeps a few choices for each; a loop that reads none would
   push for ever, and reaches the limit instead. */
static inline int keep_choice(Work *w, Choice choice)
{
    if (w->choice_count >= w->most) return TOO_MANY_STEPS;
    if (!RESERVE(w, choices, w->choice_count + 1)) return NO_MEMORY;
    w->choices[w->choice_count++] = choice;
    return 0;
}

/* Return where the match that begins at `p` ends, NO_MATCH, or an error.  Looks no further back than `begin`, and no
   further ahead than `end`.  Recursive only for AHEAD, to a depth of NESTED. */
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
            w->fuel -= (q - p) >> 3; /* eight characters of a run cost as much as one instruction */
            /* Keep only ends after which the next instruction can match: in[4] has the symbols that it accepts. */
            int64_t low = p + in[1];
            uint64_t next = (uint64_t) in[4];
            while (q >= low && !(next >> (q < end ? symbols[q] : END) & 1)) q--;
            if (q < low) break;
            if (q > low) {
                int failed = keep_choice(w, (Choice) {pc + 1, low, q - 1});
                if (failed) return failed;
            }
            p = q;
            ok = 1;
            break;
        }
        case FORK:
            ok = 1;
            if (mask >> symbol & 1) {
                int failed = keep_choice(w, (Choice) {(int32_t) in[1], p, p});
                if (failed) return failed;
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
        if (choice->high-- == choice->low) w->choice_count--; /* that was the last of its ends */
    }
}

/* Find the first match at or after `*p` that is not empty.  Return 1 and the match *p .. *last, 0 if there is none, or
   an error (< 0). */
static inline __attribute__((always_inline)) int find(
    const Lookup *t, Work *w, int32_t pc, int64_t begin, int64_t end, int64_t *p, int64_t *last)
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

/* Write characters step[2] .. step[3] of the pool over every match.  Matches are found in the text before the step, and
   symbols are replaced along with characters, so that the next step need not look them up again. */
static int run_replace(const Lookup *t, Work *w, const int32_t *step)
{
    int failed = read_symbols(t, w);
    if (failed || !((uint64_t) t->code[5 * (int64_t) step[1] + 3] & w->present)) return failed;
    int64_t count = step[3] - step[2], n = 0, done = 0, p = 0, last = 0;
    int found;
    w->fuel += STEPS_PER_CHARACTER * w->length;
    while ((found = find(t, w, step[1], 0, w->length, &p, &last)) > 0) {
        int64_t before = p - done;
        if (n + before + count > w->most) return TOO_MANY_STEPS;
        if (!RESERVE(w, spare, n + before + count) || !RESERVE(w, spare_symbols, n + before + count)) return NO_MEMORY;
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
    if (n + rest > w->most) return TOO_MANY_STEPS;
    if (!RESERVE(w, spare, n + rest) || !RESERVE(w, spare_symbols, n + rest)) return NO_MEMORY;
    memcpy(w->spare + n, w->text + done, (size_t) rest * sizeof *w->text);
    memcpy(w->spare_symbols + n, w->symbols + done, (size_t) rest);
    uint8_t *symbols = w->symbols;
    size_t capacity = w->symbols_capacity;
    w->symbols = w->spare_symbols; w->symbols_capacity = w->spare_symbols_capacity;
    w->spare_symbols = symbols; w->spare_symbols_capacity = capacity;
    swap_text(w, n + rest);
    return 0;
}

#endif
