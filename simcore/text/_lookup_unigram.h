/* The model "unigram": of all ways to write a piece as words, the one with the highest sum of scores. */

#ifndef SPIKEWATCH_LOOKUP_UNIGRAM_H
#define SPIKEWATCH_LOOKUP_UNIGRAM_H

#include "_lookup_trie.h"
#include "_lookup_words.h"

/* Find the best way to each end: `best` is its score, `from` where its last word begins (-1: not reached yet) and
   `last_ids` that word's id.  The order of the additions, and that the first of equal scores is kept, are those of the
   library (tokenizers 0.23, encode_optimized): the results depend on both. */
static int find_best(const Lookup *t, Work *w, int64_t n, double *best, int32_t *from, int32_t *last_ids)
{
    const Trie *trie = &t->trie;
    const uint8_t *key = (const uint8_t *) w->key;
    best[0] = 0;
    for (int64_t i = 0; i <= n; i++) from[i] = -1;
    for (int64_t begin = 0, size; begin < n; begin += size) {
        uint32_t node = 0;
        int64_t p = begin;
        int alone = 0;  /* whether the character itself is a word */
        size = key[begin] < 0x80 ? 1 : key[begin] < 0xE0 ? 2 : key[begin] < 0xF0 ? 3 : 4;
        for (; p < n && (node = child_of(trie, node, key[p])); p++) {
            int32_t word = trie->node_words[node];
            if (word < 0) continue;
            double score = t->scores[word] + best[begin];
            if (from[p + 1] < 0 || score > best[p + 1]) {
                best[p + 1] = score;
                from[p + 1] = (int32_t) begin;
                last_ids[p + 1] = trie->word_ids[word];
            }
            alone |= p + 1 - begin == size;
        }
        w->fuel -= p - begin + 1;
        if (w->fuel < 0) return TOO_MANY_STEPS;
        if (alone) continue;
        double score = t->unknown_score + best[begin];
        if (from[begin + size] < 0 || score > best[begin + size]) {
            if (t->unknown < 0) return UNKNOWN_WORD;
            best[begin + size] = score;
            from[begin + size] = (int32_t) begin;
            last_ids[begin + size] = t->unknown;
        }
    }
    return 0;
}

/* Append what unknown characters become, which are bytes begin .. end of the key: the word that they spell together, the
   words of their bytes, or the unknown word. */
static int push_fused(const Lookup *t, Work *w, int64_t begin, int64_t end)
{
    const uint8_t *key = (const uint8_t *) w->key;
    int64_t node = walk(&t->trie, key + begin, end - begin);
    if (node > 0 && t->trie.node_words[node] >= 0) return push_id(w, t->trie.word_ids[t->trie.node_words[node]]);
    int all = t->flags & BYTE_FALLBACK;
    for (int64_t i = begin; all && i < end; i++) all = t->byte_ids[key[i]] >= 0;
    if (!all) return push_unknown(t, w);
    for (int64_t i = begin; i < end; i++) {
        int failed = push_id(w, t->byte_ids[key[i]]);
        if (failed) return failed;
    }
    return 0;
}

/* Append the ids of the piece of characters first .. last; return 0, or an error. */
static int run_unigram(const Lookup *t, Work *w, int64_t first, int64_t last)
{
    if (!RESERVE(w, key, 4 * (last - first) + 8)) return NO_MEMORY;
    int64_t n = spell(w, first, last);
    int32_t whole = n <= t->longest ? id_of(t, w->key, n) : -1;
    if (whole >= 0) return push_id(w, whole);
    if (n >= INT32_MAX) return TOO_MANY_STEPS;
    if (!RESERVE(w, best, n + 1) || !RESERVE(w, links, 3 * (n + 1))) return NO_MEMORY;
    int32_t *from = w->links, *last_ids = from + n + 1, *next = last_ids + n + 1;
    int failed = find_best(t, w, n, w->best, from, last_ids);
    if (failed) return failed;
    for (int64_t end = n; end > 0; end = from[end]) next[from[end]] = (int32_t) end;
    for (int64_t begin = 0, end; begin < n && !failed; begin = end) {
        end = next[begin];
        if (last_ids[end] != t->unknown) {
            failed = push_id(w, last_ids[end]);
            continue;
        }
        while (end < n && last_ids[next[end]] == t->unknown) end = next[end];
        failed = push_fused(t, w, begin, end);
    }
    return failed;
}

#endif
