"""The models that the daemon serves: load them, and follow the references that name them."""
