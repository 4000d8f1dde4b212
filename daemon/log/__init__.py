"""The structured log: events, their lines, and where the lines go."""
