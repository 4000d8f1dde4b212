"""New inputs: noticed, found complete, and claimed while there is room for their results."""
