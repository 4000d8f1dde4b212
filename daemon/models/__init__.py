"""The models that the daemon serves, and what their references mean."""
