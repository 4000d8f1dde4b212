"""The structured log: event names, the logger, and the destinations of its lines."""
