"""What others can see of a running daemon."""
