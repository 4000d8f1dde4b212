"""Intake: notice new inputs, find them complete, and claim them while there is space for their results."""
