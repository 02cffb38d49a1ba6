"""Fleets: networks of one shape trained as one batched program."""
