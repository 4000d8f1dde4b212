"""Settle finished jobs: make them final, in groups, and log them."""
