"""Words: tokenizers, vectors, WordNet and files of questions."""
