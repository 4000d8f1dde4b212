"""Turn trained Elman RNNs into spiking core images, and publish them (workstation side)."""
