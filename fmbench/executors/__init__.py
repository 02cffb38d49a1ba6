"""Executors compute tasks somewhere and tell what happens; what is computed goes to the store, never through them."""
