"""Split texts into word ids with the tables of a compiled tokenizer (lookup.py), without the GIL."""

from cpython.unicode cimport PyUnicode_Check
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

import numpy as np

cdef extern from "Python.h":
    int PyUnicode_KIND(object)
    void* PyUnicode_DATA(object)
    int PyUnicode_IS_ASCII(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)

cdef extern from "_lookup.h":
    ctypedef struct Edge:
        pass
    ctypedef struct Pair:
        pass
    ctypedef struct Trie:
        const Edge *edges
        const int32_t *node_words
        const int32_t *word_ids
        uint64_t edge_mask, seed
        int64_t inner
    ctypedef struct Added:
        const int32_t *text
        const int32_t *ends
        const int32_t *ids
        const uint8_t *flags
        int64_t first, last
    ctypedef struct Lookup:
        const int32_t *byte_index
        const int32_t *map_index
        const int32_t *map_cells
        const int32_t *pool
        const int32_t *merged
        const int32_t *steps
        const uint8_t *byte_cells
        const uint8_t *records
        const int64_t *merges
        const int64_t *code
        const uint64_t *slots
        int64_t merge_count, step_count, longest
        uint64_t slot_mask, seed
        int32_t unknown, model
        Trie trie
        const double *scores
        const Pair *pairs
        const int32_t *byte_ids
        const int32_t *letters
        const int32_t *letter_slots
        uint64_t pair_mask, letter_mask
        double unknown_score
        int32_t most_characters, flags
        int64_t normalizers
        Added raw, normalized
        const int32_t *frame
        int64_t frame_count, kept, pad_length, pad_multiple
        int32_t pad_id
        int cut_left, pad_left
    ctypedef struct Work:
        int64_t *ids
        int64_t id_count
    void work_free(Work* w) noexcept nogil
    int64_t place_words(
        uint64_t seed, const uint8_t* bytes, const int32_t* ends, const int32_t* ids, int64_t n, uint8_t* records,
        uint64_t* slots, uint64_t slot_mask) noexcept nogil
    int64_t build_trie(
        Trie* trie, Edge* edges, int32_t* node_words, const uint8_t* bytes, const int32_t* ends, int64_t n) noexcept nogil
    int64_t walk(const Trie* trie, const uint8_t* bytes, int64_t n) noexcept nogil
    void place_pairs(uint64_t seed, const int32_t* rows, int64_t n, Pair* pairs, uint64_t mask) noexcept nogil
    void place_letters(
        uint64_t seed, const int32_t* letters, int64_t n, int32_t* slots, uint64_t mask) noexcept nogil
    void index_added(Added* a) noexcept nogil
    void fuse_ascii(Lookup* t) noexcept nogil
    int split_text(const Lookup* t, Work* w, const void* data, int kind, int ascii, int64_t n) noexcept nogil


cdef struct Text:
    void* data
    int64_t length
    int kind, ascii


cdef int64_t slots_for(int64_t n):
    """Return the size of a hash table of n entries, a power of two; at most two places of three are taken."""
    cdef int64_t size = 2
    while size < 3 * n // 2 + 1:
        size *= 2
    return size


cdef class LookupTables:
    """The tables of a `Lookup`, laid out for speed.

    The caller has checked the arrays, and that no word is empty.  A duplicate word raises ValueError here: the hash
    table finds it without sorting all words.
    """

    cdef Lookup tables
    cdef object kept  # the arrays that `tables` points into

    def __cinit__(
        self,
        *,
        const int32_t[:, ::1] byte_index,
        const uint8_t[:, ::1] byte_cells,
        const int32_t[:, ::1] map_index,
        const int32_t[:, ::1] map_cells,
        const int32_t[::1] pool,
        const int64_t[::1] merges,
        const int32_t[::1] merged,
        const int64_t[:, ::1] code,
        const int32_t[:, ::1] steps,
        const uint8_t[::1] word_bytes,
        const int32_t[::1] word_ends,
        const int32_t[::1] word_ids,
        const int32_t[::1] added_text,
        const int32_t[::1] added_ends,
        const int32_t[::1] added_ids,
        const uint8_t[::1] added_flags,
        const int32_t[::1] frame,
        int64_t raw,
        int64_t normalizers,
        int32_t unknown,
        int32_t model,
        int64_t kept,
        bint cut_left,
        int64_t pad_length,
        int64_t pad_multiple,
        int32_t pad_id,
        bint pad_left,
        uint64_t seed,
        const int32_t[::1] settings=None,
        const uint8_t[::1] affix=None,
        const double[::1] scores=None,
        const int32_t[::1] byte_ids=None,
        const int32_t[:, ::1] letters=None,
        const int32_t[:, ::1] pairs=None,
    ):
        cdef Lookup* t = &self.tables
        cdef int64_t n = word_ids.shape[0], size = slots_for(n), i, begin = 0, total = 8
        t.longest = 0
        for i in range(n):
            t.longest = max(t.longest, word_ends[i] - begin)
            total += 8 + (word_ends[i] - begin + 7) // 8 * 8
            begin = word_ends[i]
        cdef uint8_t[::1] records = np.zeros(total, dtype=np.uint8)
        cdef uint64_t[::1] slots = np.zeros(size, dtype=np.uint64)
        t.seed, t.slot_mask, t.unknown, t.model = seed, size - 1, unknown, model
        cdef int64_t placed = 0, whole = n if settings is None else settings[0]
        if whole:
            with nogil:
                placed = place_words(
                    seed, &word_bytes[0], &word_ends[0], &word_ids[0], whole, &records[0], &slots[0], t.slot_mask
                )
        if placed < whole:
            raise ValueError(f"duplicate word {placed}")
        t.records, t.slots = &records[0], &slots[0]
        t.byte_index, t.byte_cells = &byte_index[0, 0], &byte_cells[0, 0]
        t.map_index = &map_index[0, 0] if map_index.shape[0] else NULL
        t.map_cells = &map_cells[0, 0] if map_cells.shape[0] else NULL
        t.pool = &pool[0] if pool.shape[0] else NULL
        t.merges = &merges[0] if merges.shape[0] else NULL
        t.merged = &merged[0] if merged.shape[0] else NULL
        t.merge_count = merges.shape[0]
        t.code = &code[0, 0] if code.shape[0] else NULL
        t.steps = &steps[0, 0] if steps.shape[0] else NULL
        t.step_count = steps.shape[0]
        t.normalizers = normalizers
        if added_ids.shape[0]:
            t.raw.text, t.raw.ends = &added_text[0], &added_ends[0]
            t.raw.ids, t.raw.flags = &added_ids[0], &added_flags[0]
        t.normalized = t.raw
        t.raw.first, t.raw.last, t.normalized.first, t.normalized.last = 0, raw, raw, added_ids.shape[0]
        index_added(&t.raw)
        index_added(&t.normalized)
        t.frame = &frame[0] if frame.shape[0] else NULL
        t.frame_count = frame.shape[0]
        t.kept, t.cut_left = kept, cut_left
        t.pad_length, t.pad_multiple, t.pad_id, t.pad_left = pad_length, pad_multiple, pad_id, pad_left
        fuse_ascii(t)
        self.kept = [
            byte_index, byte_cells, map_index, map_cells, pool, merges, merged, code, steps, records, slots,
            added_text, added_ends, added_ids, added_flags, frame,
        ]
        if settings is None:
            return
        t.most_characters, t.flags = settings[1], settings[2]
        t.byte_ids = &byte_ids[0] if byte_ids is not None else NULL
        t.scores = &scores[0] if scores is not None else NULL
        t.unknown_score = scores[n] if scores is not None else 0
        self.kept += [byte_ids, scores]
        if pairs is None:
            self.plant(word_bytes, word_ends, word_ids, affix)
        else:
            self.join(letters, pairs)

    cdef plant(self, const uint8_t[::1] word_bytes, const int32_t[::1] word_ends, const int32_t[::1] word_ids,
               const uint8_t[::1] affix):
        """Build the trie of all words."""
        cdef Trie* trie = &self.tables.trie
        cdef int64_t size = slots_for(word_bytes.shape[0]), n = word_ids.shape[0]
        cdef uint64_t[::1] edges = np.zeros(size, dtype=np.uint64)  # an Edge has 8 bytes
        cdef int32_t[::1] node_words = np.empty(word_bytes.shape[0] + 1, dtype=np.int32)
        trie.seed, trie.edge_mask = self.tables.seed, size - 1
        trie.edges, trie.node_words = <const Edge*> &edges[0], &node_words[0]
        trie.word_ids = &word_ids[0] if n else NULL
        node_words[0] = -1
        if n:
            with nogil:
                build_trie(trie, <Edge*> &edges[0], &node_words[0], &word_bytes[0], &word_ends[0], n)
        trie.inner = 0
        if affix is not None and affix.shape[0]:
            trie.inner = walk(trie, &affix[0], affix.shape[0])
        self.kept += [edges, node_words, word_ids]

    cdef join(self, const int32_t[:, ::1] letters, const int32_t[:, ::1] pairs):
        """Build the hash tables of letters and merges."""
        cdef Lookup* t = &self.tables
        cdef int64_t letter_count = letters.shape[0], pair_count = pairs.shape[0]
        cdef int64_t letter_size = slots_for(letter_count), pair_size = slots_for(pair_count)
        cdef int32_t[::1] letter_slots = np.zeros(letter_size, dtype=np.int32)
        cdef int32_t[:, ::1] placed = np.empty((pair_size, 4), dtype=np.int32)  # a Pair has 4 numbers
        t.letter_mask, t.pair_mask = letter_size - 1, pair_size - 1
        t.letters = &letters[0, 0] if letter_count else NULL
        t.letter_slots, t.pairs = &letter_slots[0], <const Pair*> &placed[0, 0]
        cdef const int32_t* rows = &pairs[0, 0] if pair_count else NULL
        with nogil:
            place_letters(t.seed, t.letters, letter_count, &letter_slots[0], t.letter_mask)
            place_pairs(t.seed, rows, pair_count, <Pair*> &placed[0, 0], t.pair_mask)
        self.kept += [letters, letter_slots, placed]

    def split(self, tuple texts):
        """Split texts; raise TypeError for the first that is not a str.

        Returns
        -------
        ids : int64
            Word ids of all texts.
        starts : int64 (n + 1,)
            Where the ids of each text begin.
        failed : int
            0, or the error of the text that could not be split (see _lookup_tables.h).
        i : int
            That text's position.
        """
        cdef Py_ssize_t n = len(texts), i
        cdef int64_t[::1] starts = np.zeros(n + 1, dtype=np.int64)
        cdef int64_t[::1] ids
        cdef int failed = 0
        cdef Work w
        cdef Text* found = <Text*> malloc((n + 1) * sizeof(Text))
        if found == NULL:
            raise MemoryError
        memset(&w, 0, sizeof(Work))
        try:
            for i in range(n):
                text = texts[i]
                if not PyUnicode_Check(text):
                    raise TypeError(f"text {i}: {type(text).__name__}, expected str")
                found[i].data, found[i].kind = PyUnicode_DATA(text), PyUnicode_KIND(text)
                found[i].length, found[i].ascii = PyUnicode_GET_LENGTH(text), PyUnicode_IS_ASCII(text)
            i = 0
            with nogil:
                for i in range(n):
                    failed = split_text(
                        &self.tables, &w, found[i].data, found[i].kind, found[i].ascii, found[i].length
                    )
                    if failed:
                        break
                    starts[i + 1] = w.id_count
            ids = np.empty(w.id_count, dtype=np.int64)
            if w.id_count:
                memcpy(&ids[0], w.ids, w.id_count * sizeof(int64_t))
        finally:
            work_free(&w)
            free(found)
        return ids.base, starts.base, failed, i
