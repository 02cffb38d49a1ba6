"""The folder of a site: written whole, and nobody else's file in it touched."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from fmbench.errors import UserError
from fmbench.io.json_forms import TEXT, WHOLE, Fields, Rows, parsed
from fmbench.io.regular_files import read_regular
from fmbench.io.whole_files import write_whole

MARK = "fmbench-site.json"
"""The file that says that a folder is a site of fmbench's, and which files are its own."""
FORM = Fields({"format": WHOLE, "files": Rows(TEXT)})
MODE = 0o644


def check_site_folder(folder: Path) -> list[str]:
    """Return the files of the site that is in a folder, none where it is empty or not there.

    Raises UserError where the folder holds anything else: nothing of it is overwritten.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; a site needs a folder. Choose another with -o.")
    if not folder.exists() or not any(folder.iterdir()):
        return []
    try:
        found = parsed(read_regular(folder / MARK))
    except (OSError, ValueError):
        found = None
    if found is None or FORM.misfit(found):
        raise UserError(f"{folder} is not empty, and no site of fmbench's: choose another folder with -o, or empty it.")
    return [name for name in found["files"] if _is_inside(name)]


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a site, by their path in it, and remove those of the site that was there before.

    Raises UserError where the folder is not the site's, or cannot be written.
    """
    former = check_site_folder(folder)
    try:
        _write(folder / MARK, _mark({*former, *files}))  # first: what is cut short is a site still, and written anew
        for name, content in files.items():
            _write(folder / name, content)
        for name in set(former) - files.keys():
            (folder / name).unlink(missing_ok=True)
        for place in sorted({(folder / name).parent for name in former} - {folder}, reverse=True):
            if place.is_dir() and not any(place.iterdir()):
                place.rmdir()
        _write(folder / MARK, _mark(files))
    except OSError as error:
        raise UserError(
            f"the site {folder} cannot be written: {error.strerror or error}; free some space, or choose another "
            "folder with -o."
        ) from error


def _mark(names: Iterable[str]) -> bytes:
    return f"{json.dumps({'format': 1, 'files': sorted(names)}, indent=1)}\n".encode()


def _write(path: Path, content: bytes) -> None:
    """Write a file that is not there, or holds something else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_bytes() != content:
        write_whole(path, content, flush=False, mode=MODE)


def _is_inside(name: str) -> bool:
    """Tell whether a name leads to a file in the folder: a mark that was edited must remove nothing elsewhere."""
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts and bool(path.name)
