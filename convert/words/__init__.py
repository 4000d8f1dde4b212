"""Word-level data: tokenizers, word vectors, WordNet features and files of questions."""
