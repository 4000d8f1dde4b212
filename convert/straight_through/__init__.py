"""Rounding and spiking with a gradient (needs torch)."""
