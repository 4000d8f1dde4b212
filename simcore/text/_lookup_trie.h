/* A trie over the bytes of the words: which words does a text begin with? */

#ifndef SPIKEWATCH_LOOKUP_TRIE_H
#define SPIKEWATCH_LOOKUP_TRIE_H

#include "_lookup_tables.h"

/* Nodes are numbers, 0 is the root.  Edges are a hash table with open addressing: the key is the node and the byte, plus
   1 (0: free).  lookup.py bounds the bytes of all words to 2**23, so that a key has 32 bits. */

static inline uint64_t edge_place(uint64_t seed, uint32_t key, uint64_t mask)
{
    uint64_t h = (seed ^ key) * 0x9E3779B97F4A7C15u;
    return (h ^ h >> 32) & mask;
}

/* Return the node that a byte leads to, or 0: there is none. */
static inline uint32_t child_of(const Trie *trie, uint32_t node, uint8_t byte)
{
    uint32_t key = (node << 8 | byte) + 1;
    uint64_t at = edge_place(trie->seed, key, trie->edge_mask);
    for (; trie->edges[at].key; at = (at + 1) & trie->edge_mask)
        if (trie->edges[at].key == key) return trie->edges[at].child;
    return 0;
}

/* Fill the edges (zeroed before) and the word of each node; return the number of nodes. */
static int64_t build_trie(Trie *trie, Edge *edges, int32_t *node_words, const uint8_t *bytes, const int32_t *ends, int64_t n)
{
    uint32_t nodes = 1;
    node_words[0] = -1;
    for (int64_t i = 0; i < n; i++) {
        uint32_t node = 0;
        for (int64_t k = i ? ends[i - 1] : 0; k < ends[i]; k++) {
            uint32_t key = (node << 8 | bytes[k]) + 1;
            uint64_t at = edge_place(trie->seed, key, trie->edge_mask);
            while (edges[at].key && edges[at].key != key) at = (at + 1) & trie->edge_mask;
            if (!edges[at].key) {
                edges[at] = (Edge) {key, nodes};
                node_words[nodes++] = -1;
            }
            node = edges[at].child;
        }
        node_words[node] = (int32_t) i;
    }
    return nodes;
}

/* Return the node that bytes lead to from the root, or -1: no word begins with them. */
static inline int64_t walk(const Trie *trie, const uint8_t *bytes, int64_t n)
{
    uint32_t node = 0;
    for (int64_t i = 0; i < n; i++)
        if (!(node = child_of(trie, node, bytes[i]))) return -1;
    return node;
}

#endif
