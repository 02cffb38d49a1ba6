"""Keys: a hash of canonical JSON, the same on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

KEY_LENGTH = 20
"""Hexadecimal digits in a key: 80 bits, so that a million cells collide with a chance of about 4e-13."""


def canonical(value: Any) -> str:
    """Return JSON with sorted keys and no spaces: the one text of a value that is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(*texts: str) -> str:
    """Return the key of texts, in order; no two lists of texts share the text that is hashed."""
    return hashlib.sha256(joined_texts(texts).encode()).hexdigest()[:KEY_LENGTH]


def joined_texts(texts: Sequence[str]) -> str:
    """Return one text, which no other list of texts gives."""
    return "\n".join(texts) if len(texts) < 2 else "\n".join([",".join(str(len(t)) for t in texts), *texts])
