"""Models that leave the registry as archives, and models that come in from outside."""
