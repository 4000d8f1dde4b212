"""Teach an Elman network on a core to answer as another network does, of whatever kind that is (needs torch)."""
