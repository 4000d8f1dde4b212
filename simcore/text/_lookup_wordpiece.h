/* The model "wordpiece": the longest word that a piece begins with, then the longest inner word, and so on. */

#ifndef SPIKEWATCH_LOOKUP_WORDPIECE_H
#define SPIKEWATCH_LOOKUP_WORDPIECE_H

#include "_lookup_trie.h"
#include "_lookup_words.h"

/* Append the ids of the piece of characters first .. last; return 0, or an error.  A piece that has too many characters,
   or that no sequence of longest matches covers, is the unknown word as a whole. */
static int run_wordpiece(const Lookup *t, Work *w, int64_t first, int64_t last)
{
    const Trie *trie = &t->trie;
    if (last - first > t->most_characters) return push_unknown(t, w);
    if (!RESERVE(w, key, 4 * (last - first) + 8)) return NO_MEMORY;
    int64_t n = spell(w, first, last), begin = 0, kept = w->id_count;
    int32_t whole = n <= t->longest ? id_of(t, w->key, n) : -1;
    if (whole >= 0) return push_id(w, whole);
    while (begin < n) {
        int64_t node = begin ? trie->inner : 0, p = begin, end = -1;
        int32_t word = -1;
        for (; node >= 0 && p < n; p++) {
            uint32_t next = child_of(trie, (uint32_t) node, (uint8_t) w->key[p]);
            if (!next) break;
            node = next;
            if (trie->node_words[node] < 0) continue;
            word = trie->node_words[node];
            end = p + 1;
        }
        w->fuel -= p - begin + 1;
        if (w->fuel < 0) return TOO_MANY_STEPS;
        if (end < 0) {
            w->id_count = kept;
            return push_unknown(t, w);
        }
        int failed = push_id(w, trie->word_ids[word]);
        if (failed) return failed;
        begin = end;
    }
    return 0;
}

#endif
