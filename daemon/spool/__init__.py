"""The spool folder: its names, what it demands of the file system, and how results are committed."""
