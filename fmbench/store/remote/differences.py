"""In what a cell's folder on this disk and its objects differ: which files are to be sent, and which objects go."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fmbench.io.json_forms import parsed
from fmbench.io.regular_files import names_in, read_regular
from fmbench.store.cell_folder import CELL_FILE
from fmbench.store.checkpoints import NAME as CHECKPOINT
from fmbench.store.remote.file_system import Object
from fmbench.store.remote.synced import File

RESULT = "result.json"
_OBJECT = re.compile(r"[^/.][^/]*")
"""An object in a cell's place that is a file of its folder; names that begin with a dot are leases."""

Files = dict[str, Object]
"""The objects of a cell, by name."""


def of_cell(listed: Files) -> Files:
    """Return those objects in a cell's place that are files of its folder."""
    return {name: found for name, found in listed.items() if _OBJECT.fullmatch(name)}


def is_own(name: str) -> bool:
    """Whether a file of a cell is one that fmbench writes, leases aside: others are neither sent nor removed."""
    return not name.startswith(".") and CELL_FILE.fullmatch(name) is not None


def is_small(name: str) -> bool:
    """Whether a file is fetched before it is asked for: JSON."""
    return name.endswith(".json")


def same(one: Object, other: Object) -> bool:
    """Whether two looks at an object saw the same content."""
    return one.size == other.size and one.identity == other.identity


def stamp(path: Path) -> int:
    """Return when a file was last changed (ns); 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def files_here(folder: Path) -> dict[str, int]:
    """Return the files of fmbench in a cell's folder, and when each was last changed (ns)."""
    found = {name: stamp(folder / name) for name in names_in(folder) if is_own(name)}
    return {name: when for name, when in found.items() if when}


def is_alike(path: Path, there: Object, known: File | None) -> bool:
    """Whether a file is as its object, by what is on record of both."""
    return known is not None and known.stamp != 0 and same(known.object, there) and known.stamp == stamp(path)


def to_send(here: Mapping[str, int], there: Files, known: Mapping[str, File]) -> list[str]:
    """Return the files of a folder whose objects are not there, or are others."""

    def is_sent(name: str) -> bool:
        if name not in there or CHECKPOINT.fullmatch(name):
            return name in there  # a checkpoint's name holds its checksum
        return name in known and known[name].stamp == here[name] and same(known[name].object, there[name])

    return [name for name in here if not is_sent(name)]


def to_remove(
    folder: Path, here: Mapping[str, int], there: Files, known: Mapping[str, File], **work: bool
) -> list[str]:
    """Return the objects that are to go: of files that were removed here, and what nothing vouches for any more.

    A large file that was never fetched is none of these, as long as the result vouches for it. `work` says what was
    done with the cell: that it was `discarded`, that its `checkpoints_dropped`.
    """
    vouched = _vouched(folder / RESULT)
    newest = max((int(m[1]) for name in here if (m := CHECKPOINT.fullmatch(name))), default=-1)
    discarded, dropped = work.get("discarded", False), work.get("checkpoints_dropped", False)

    def goes(name: str) -> bool:
        was_here = name in known and known[name].stamp != 0
        if match := CHECKPOINT.fullmatch(name):
            is_over = folder.parent.name == "training" and (vouched is not None or int(match[1]) < newest)
            return discarded or dropped or was_here or is_over
        if is_small(name):
            return True
        return name not in (vouched or ()) and (discarded or vouched is not None or was_here)

    return [name for name in there if name not in here and is_own(name) and goes(name)]


def _vouched(result: Path) -> Mapping[str, Any] | None:
    """Return the files that a result vouches for, None where there is none that can be read."""
    try:
        files = parsed(read_regular(result))["body"]["files"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return files if isinstance(files, dict) else None
