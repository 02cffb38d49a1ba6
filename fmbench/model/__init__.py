"""From a cell to what computes it: components, data, network, velocity, trained weights."""
