"""Figures of data that are points in the plane."""
