"""Inputs that wait in work/ to be tried again."""
