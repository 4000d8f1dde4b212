"""File-system calls, and writing that survives a crash."""
