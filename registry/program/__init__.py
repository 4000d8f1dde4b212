"""The commands of `spikewatch-registry`."""
