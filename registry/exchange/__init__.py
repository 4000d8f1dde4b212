"""Models that leave as archives and come in from outside."""
