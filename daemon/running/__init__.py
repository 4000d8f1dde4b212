"""The life of a daemon: start, turns, reload, stop."""
