"""The chip: its definition in NumPy, and the kernels that equal it bit for bit."""
