"""Evaluation: trained cells in, samples, measured NFE and metrics in the store out."""
