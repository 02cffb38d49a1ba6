"""What tells a store from other folders: nothing is removed from, or merged into, a folder that is none.

A store has a mark, a file at its root. One that was begun before there were marks is known by a cell in it, and gets
the mark when it is next written to.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from fmbench.errors import DamagedFile, EarlierFile, StoreError
from fmbench.io.json_forms import WHOLE, Fields, fitted
from fmbench.io.regular_files import read_regular
from fmbench.store.atomic_files import write_atomically
from fmbench.store.lease_files import HOLDERS
from fmbench.store.store import SECTIONS, Store

MARK = "fmbench-store.json"
FORMAT = 1
_FORM = Fields({"format": WHOLE})
_OWN = {MARK, *SECTIONS, "cache", "fleets", "tracking", "reports", HOLDERS, "leases", "merging", "merging.lock"}
_OWN |= {"spool", "detached"}
"""What lies at the root of a store."""


def is_store(store: Store) -> bool:
    """Tell whether a folder is a store: it has the mark, or holds a cell. Raises StoreError for a newer fmbench's."""
    return _has_mark(store.root) or any(_cells(store))


def check_store(store: Store, verb: str) -> None:
    """Raise StoreError unless a folder is a store, or nothing at all; `verb` says what must not be done otherwise."""
    if not is_store(store) and not _is_nothing(store.root):
        raise StoreError(
            f"{store} is not a store of fmbench, so {verb}: it has no {MARK}, and none of its subfolders holds a "
            "cell; give the .fmbench folder of a run"
        )


def claim(store: Store) -> None:
    """Make a folder a store: see that it can be written to, and leave the mark in it. Raises StoreError."""
    store.check_writable()
    if not _has_mark(store.root):
        body = {"format": FORMAT, "about": "A store of fmbench: `fmbench clean` removes cells from it."}
        write_atomically(store.root / MARK, (json.dumps(body) + "\n").encode())
        if store.mirror is not None:
            store.mirror.send_mark()


def check_claimable(store: Store, verb: str) -> None:
    """Raise StoreError unless a folder is a store, or holds nothing but what a store has; `verb` as above."""
    try:
        strangers = {path.name for path in store.root.iterdir()} - _OWN
    except OSError:
        return  # it is not there yet, or cannot be listed, which `claim` says
    if strangers:
        check_store(store, verb)


def _has_mark(root: Path) -> bool:
    path = root / MARK
    try:
        mark = fitted(read_regular(path, 2**16), _FORM, path)
    except (OSError, DamagedFile):
        return False
    if mark["format"] > FORMAT:
        raise StoreError(
            f"the store {root} has format {mark['format']}, and this fmbench reads {FORMAT}: use the fmbench that "
            "wrote it, or choose another store with --home or FMBENCH_HOME"
        )
    return True


def _cells(store: Store) -> Iterator[str]:
    """Yield the keys of cells that are whole, those of earlier versions of fmbench too."""
    for section in SECTIONS:
        for key in store.keys(section):
            try:
                if store.folder(section, key).cell() is not None:
                    yield key
            except EarlierFile:
                yield key
            except (DamagedFile, StoreError):
                continue


def _is_nothing(root: Path) -> bool:
    """Whether there is no folder, or an empty one."""
    try:
        return not any(root.iterdir())
    except FileNotFoundError:
        return not root.is_symlink()
    except OSError:
        return False
