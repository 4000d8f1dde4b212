"""A daemon's life: start, turns, reload, stop."""
