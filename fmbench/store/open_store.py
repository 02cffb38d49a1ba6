"""Opening a store by its address: a folder, or a URL of any file system that fsspec knows."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from fmbench.store.remote.address import cache_folder, checked_url, is_url, shown
from fmbench.store.store import Store

HOME = "FMBENCH_HOME"
"""The environment variable with the store's address."""


def store_address(home: str | Path | None = None) -> str | Path:
    """Return the address that is meant: `home`, else FMBENCH_HOME, else the folder .fmbench."""
    return home or os.environ.get(HOME) or ".fmbench"


def shown_home(home: str | Path) -> str:
    """Return the address of a store as it may be shown or stored: without passwords and tokens."""
    return shown(str(home)) if is_url(home) else str(home)


def open_store(home: str | Path | None = None, *, look: bool = True) -> Store:
    """Return the store at an address, else at FMBENCH_HOME, else in .fmbench. Nothing is written to it.

    Raises StoreError where a store by URL does not answer, or the package for it is not installed; without `look`
    only when it is first used.
    """
    address = store_address(home)
    if not is_url(address):
        return Store(Path(address))
    url = checked_url(str(address))
    store = _of_process(url, cache_folder(url), os.getpid())
    if look and store.mirror is not None:
        store.mirror.look_at_root()
    return store


@cache
def _of_process(url: str, folder: Path, process: int) -> Store:
    """Return the one store of a process at a URL: what it works on is known to all that ask for the store."""
    from fmbench.store.remote.mirror import Mirror
    from fmbench.store.remote.objects import Objects

    mirror = Mirror(Objects(url), folder / "store", folder / "synced")
    return Store(mirror.root, mirror.leases, mirror)
