"""Answering: from an input in work/ to the lines of its result."""
