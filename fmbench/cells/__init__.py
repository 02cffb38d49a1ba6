"""Cells: plain, hashable data that says what is trained and evaluated, with its key and its seeds."""
