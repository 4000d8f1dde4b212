"""Constrain a float network until a core can hold it, and match its spikes to it."""
