"""Finds plugins, reads what their components say of themselves, and builds components from names and parameters."""
