"""The model that is served, and the alias that it follows."""
