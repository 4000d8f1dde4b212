"""Read, check and build the documents of a model version, and check the types of its files."""
