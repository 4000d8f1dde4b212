"""The commands of `spikewatch-registry`: parse the arguments, call the library, print the result."""
