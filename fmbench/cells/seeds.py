"""Seeds from roles, so that cells which differ in one component see the same draws."""

from __future__ import annotations

import hashlib


def seed_for(seed: int, role: str, dataset: str = "") -> int:
    """Return a 63-bit seed for one role, so that cells which differ in one component see the same draws.

    `dataset` is the text of the dataset's spec (`ComponentSpec.text`); the path, the t-distribution and all the rest
    never enter.
    """
    hashed = hashlib.sha256(f"{seed}\n{role}\n{dataset}".encode()).digest()
    return int.from_bytes(hashed[:8], "big") >> 1
