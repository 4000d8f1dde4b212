"""The spool folder: its names, what it requires of the file system, claims and commits."""
