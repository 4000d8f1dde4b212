"""Retrying: inputs left in work/ by an earlier process or a fault, tried again alone until they are settled."""
