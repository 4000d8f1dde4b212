"""The spool folder: its names, its requirements of the file system, claims and commits."""
