"""File-system calls, and files that appear whole and survive a crash."""
