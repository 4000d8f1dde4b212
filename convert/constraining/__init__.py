"""From a float network to one that a core can hold."""
