"""Retry inputs that an earlier process or a fault left in work/: each is answered alone until it is settled."""
