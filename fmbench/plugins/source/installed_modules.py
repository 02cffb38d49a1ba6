"""Which modules are installed with a distribution, and so are not part of a component's own code.

Those of the standard library and of folders named `site-packages` or `dist-packages` are, and elsewhere those that a
distribution's list of files names. An editable installation is none: what it stands for lies in its author's folder.
"""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

_SITES = {"site-packages", "dist-packages"}


def is_installed(top: str, file: Path | None, folders: Sequence[str]) -> bool:
    """Say whether the top-level module or package `top` is installed: its file, or the folders that it is spread over.

    What has neither, being built in, is.
    """
    entries = [_entry(file)] if file else [Path(folder) for folder in folders]
    return all(_is_library(entry) or top in _listed(entry.parent) for entry in entries)


def _entry(file: Path) -> Path:
    """Return what a top-level package or module is on the path: its folder, or its file."""
    return file.parent if file.name == "__init__.py" else file


def _is_library(entry: Path) -> bool:
    """Say whether a package or module is of the standard library, or lies in a folder that installers fill."""
    real = entry.resolve()
    if not _SITES.isdisjoint(real.parts) or any(real.is_relative_to(library) for library in _standard_library()):
        return True
    # There, a link leads to its author's folder.
    return not _SITES.isdisjoint(entry.parts) and not entry.is_symlink()


@lru_cache(maxsize=1)
def _standard_library() -> tuple[Path, ...]:
    return tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))


@lru_cache(maxsize=256)
def _listed(folder: Path) -> frozenset[str]:
    """Return the top-level names that distributions, those that are not editable, have put into a folder."""
    found: set[str] = set()
    for info in folder.glob("*.dist-info"):
        try:
            record, origin = (info / "RECORD").read_text(), info / "direct_url.json"
            editable = origin.exists() and json.loads(origin.read_text()).get("dir_info", {}).get("editable")
        except (OSError, ValueError, AttributeError):
            continue  # it names no files, so that none of them is known to be its
        if not editable:
            files = (line.partition(",")[0] for line in record.splitlines())
            found |= {file.partition("/")[0].removesuffix(".py") for file in files}
    return frozenset(found)
