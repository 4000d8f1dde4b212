"""What the program `spikewatch-sim` does beside running networks."""
