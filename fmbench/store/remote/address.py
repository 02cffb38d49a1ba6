"""Addresses of stores: what is a URL, how it may be shown, and where on this disk its cache lies."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import unquote

from fmbench.errors import StoreError

CACHE = "FMBENCH_CACHE"
"""The environment variable with the folder in which caches of stores lie."""
HIDDEN = "***"
SHORT = 4
"""Letters of a secret; a shorter one may be part of any word."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]*://")
_CREDENTIALS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^/@\s]*)@")
_SECRET = re.compile(r"([?&;][\w.-]*(?:pass|pwd|token|secret|key|sig|cred|auth)[\w.-]*=)([^&;#\s]+)", re.IGNORECASE)


def is_url(home: str | os.PathLike[str]) -> bool:
    """Tell whether a store's address is a URL, such as s3://bucket/path, and no folder."""
    return isinstance(home, str) and _URL.match(home) is not None


def checked_url(url: str) -> str:
    """Return a store's URL without slashes at its end. Raises StoreError for one that cannot be a store."""
    if "::" in url:
        raise StoreError(f"{shown(url)} is a chain of file systems, and a store has one: give s3://bucket/path, say")
    if url.lower().startswith("memory:"):
        raise StoreError("memory:// is seen by one process alone, and fmbench computes in several: give file:///FOLDER")
    bare = url.rstrip("/")
    if not bare.partition("://")[2].strip("/"):
        raise StoreError(f"{shown(url)} names no place: give a bucket and a path, such as s3://bucket/path")
    return bare


def shown(url: str) -> str:
    """Return a URL, or a text with URLs in it, as it may be shown or stored: without passwords and tokens."""

    def masked(match: re.Match[str]) -> str:
        user, colon, _ = match[2].partition(":")
        return f"{match[1]}{user}:{HIDDEN}@" if colon else f"{match[1]}{HIDDEN}@"

    return _SECRET.sub(rf"\1{HIDDEN}", _CREDENTIALS.sub(masked, url))


def without_secrets(text: str, url: str) -> str:
    """Return what a library says of a URL without the secrets in it, also where the library took it apart."""
    named = [match[2].partition(":") for match in _CREDENTIALS.finditer(url)]
    secrets = [password if colon else user for user, colon, password in named]
    secrets += [match[2] for match in _SECRET.finditer(url)]
    for secret in sorted({*secrets, *map(unquote, secrets)} - {""}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN) if len(secret) >= SHORT else text.replace(f"{secret}@", f"{HIDDEN}@")
    return shown(text)


def cache_folder(url: str) -> Path:
    """Return the folder of a store's cache: below FMBENCH_CACHE, else below the user's cache folder."""
    caches = os.environ.get(CACHE)
    if not caches:
        base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
        caches = str(Path(base) / "fmbench" / "stores")
    bare = shown(url)  # a new password is no new store
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", bare.rpartition("/")[2]).strip("-.") or "store"
    return Path(caches).absolute() / f"{name[:40]}-{hashlib.sha256(bare.encode()).hexdigest()[:12]}"
