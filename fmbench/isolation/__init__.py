"""Keeps what one component does to the process, to tensors and to random generators from all other cells."""
