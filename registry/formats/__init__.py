"""The documents of a model version, and the files that it holds."""
