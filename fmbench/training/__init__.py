"""Training: cells in, weights and loss history in the store out."""
