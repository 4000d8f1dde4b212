"""Straight-through estimators: rounded weights and activities, and spikes, with a gradient (needs torch)."""
