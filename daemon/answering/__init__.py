"""From an open input to its result records."""
