"""Networks and spikes in the formats of other tools."""
