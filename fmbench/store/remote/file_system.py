"""The file systems of fsspec: one is opened for a URL, and what each says of an object is brought to one form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from fmbench.errors import StoreError
from fmbench.store.remote.address import shown, without_secrets

BUCKETED = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss"})
"""Protocols without folders: no path has to be made before a file."""


class Object(NamedTuple):
    """What a listing says of an object: bytes, what changes with its content, and when it was written (epoch)."""

    size: int
    identity: str
    modified: float = 0.0


def opened(url: str) -> tuple[str, Any, str]:
    """Return protocol, fsspec's file system and root of a URL; its listings are asked anew each time."""
    from fsspec.core import url_to_fs

    protocol = url.partition("://")[0].lower()
    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": protocol in BUCKETED}
    if protocol in ("file", "local"):
        options["auto_mkdir"] = True
    try:
        files, root = url_to_fs(url, **options)
    except ImportError as error:
        package = "fmbench[s3]" if protocol in ("s3", "s3a") else ""
        advice = f"pip install '{package}'" if package else f"install that package ({shown(str(error))})"
        raise StoreError(f"a store at {protocol}:// needs a package that is not installed: {advice}") from None
    except Exception as error:  # of any file system
        why = without_secrets(f"{type(error).__name__}: {error}", url)
        raise StoreError(
            f"the store {shown(url)} cannot be opened: {why}; give a folder, or "
            "a URL of a file system that fsspec knows, such as s3://bucket/path"
        ) from None
    return protocol, files, str(root).rstrip("/")


def object_of(status: Mapping[str, Any]) -> Object:
    """Return what a file system says of an object, in whatever words."""
    times = ("LastModified", "last_modified", "mtime", "created", "modified", "updated")
    names = ("ETag", "etag", "md5Hash", "content_md5", "generation", *times)
    identity = next((status[name] for name in names if status.get(name)), "")
    moment = next((status[name] for name in times if status.get(name)), 0.0)
    modified = moment.timestamp() if hasattr(moment, "timestamp") else moment
    return Object(
        int(status.get("size") or 0),
        str(identity).strip('"'),
        float(modified) if isinstance(modified, int | float) else 0.0,
    )
