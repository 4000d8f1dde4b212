"""Convert a trained network and publish it as a version of a model."""
