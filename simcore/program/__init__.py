"""The work of the program spikewatch-sim: inspect, measure, plot, trace, report."""
