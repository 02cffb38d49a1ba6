"""Folders of pictures, each picture one sample: which there are, in which order, and what their headers say."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

from fmbench.errors import DataError
from fmbench.io.printable_text import some, visible
from fmbench.io.regular_files import is_folder, read_regular

SUFFIXES = frozenset({".bmp", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_NUMBER = re.compile(r"(\d+)")


@dataclass(frozen=True)
class PictureFile:
    """A picture: its name within the folder, width, height and mode by its header, and the hash of its bytes."""

    name: str
    width: int
    height: int
    mode: str
    content: str

    @property
    def subfolder(self) -> str:
        """The folder directly below the whole one in which it lies; "" where it lies in none."""
        first, slash, _ = self.name.partition("/")
        return first if slash else ""


def natural_order(name: str) -> list[str | int]:
    """Return what names are sorted by: numbers in them count as numbers, so that 9.png comes before 10.png."""
    return [int(part) if number % 2 else part for number, part in enumerate(_NUMBER.split(name))]


def picture_names(folder: Path) -> list[str]:
    """Return the names of the pictures below a folder, relative to it, in natural order.

    Known by their suffix; hidden files and folders are left aside, and each real folder is walked once. Raises
    DataError where a folder cannot be listed.
    """
    return sorted(_below(folder, "", set()), key=natural_order)


def _below(folder: Path, place: str, seen: set[str]) -> Iterator[str]:
    real = os.path.realpath(folder / place)
    if real in seen:
        return
    seen.add(real)
    try:
        with os.scandir(folder / place) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{visible(str(folder / place))} cannot be listed: {error.strerror}") from error
    for entry in entries:
        name = f"{place}/{entry.name}" if place else entry.name
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            continue
        if is_folder(entry):
            yield from _below(folder, name, seen)
        elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:  # noqa: PTH122  (as Path.suffix, for many files)
            yield name


def look_at(folder: Path, name: str) -> PictureFile:
    """Read a picture's bytes, and what its header says. Raises DataError, which names the file, where it is none."""
    from PIL import Image, UnidentifiedImageError

    path = folder / name
    try:
        content = read_regular(path)
        with Image.open(BytesIO(content)) as picture:
            width, height, mode = *picture.size, picture.mode
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reason = visible(getattr(error, "strerror", None) or str(error))
        if isinstance(error, UnidentifiedImageError):
            reason = "its bytes are no picture's"
        text = f"{visible(str(path))} is not a picture that can be read ({reason}). Replace or remove it"
        raise DataError(text) from error
    return PictureFile(name, width, height, mode, hashlib.sha256(content).hexdigest())


def list_pictures(folder: Path, classes: int = 0) -> tuple[list[PictureFile], list[int]]:
    """Return the pictures below a folder in natural order, and no labels; or, with `classes`, those of its subfolders.

    Subfolders take turns, so that the first n pictures are of all of them: they are often classes, whether that is said
    or not. With `classes` they are numbered by their names where these are numbers, else in alphabetical order. Raises
    DataError where the folder or a picture cannot be read, or the subfolders are not the classes.
    """
    if not folder.is_dir():
        found = "it is no folder" if folder.exists() else "it does not exist"
        raise DataError(f"a folder of pictures is needed, but {visible(str(folder.absolute()))}: {found}")
    names = picture_names(folder)
    if not names:
        raise DataError(f"{visible(str(folder))} holds no picture; known suffixes: {', '.join(sorted(SUFFIXES))}")
    with ThreadPoolExecutor() as pool:  # on a disk across a network most of the time is waiting
        pictures = list(pool.map(partial(look_at, folder), names))
    if classes:
        of_class = _class_numbers(folder, pictures, classes)
    else:
        of_class = {name: number for number, name in enumerate(dict.fromkeys(each.subfolder for each in pictures))}
    seen = dict.fromkeys(of_class.values(), 0)
    turns = []
    for picture in pictures:
        label = of_class[picture.subfolder]
        turns.append((seen[label], label))
        seen[label] += 1
    order = sorted(range(len(pictures)), key=turns.__getitem__)
    return [pictures[i] for i in order], [turns[i][1] for i in order] if classes else []


def _class_numbers(folder: Path, pictures: Sequence[PictureFile], classes: int) -> dict[str, int]:
    """Return the class of each subfolder. Raises DataError where they are not as many as there are classes."""
    where = visible(str(folder))
    if stray := next((picture.name for picture in pictures if not picture.subfolder), ""):
        raise DataError(f"each subfolder of {where} is a class; {visible(stray)} lies in none. Move it into one")
    found = sorted({picture.subfolder for picture in pictures})
    if all(name.isdecimal() for name in found):
        numbers = {name: int(name) for name in found}
        if len(set(numbers.values())) == len(found) and max(numbers.values()) < classes:
            return numbers
    elif len(found) == classes:
        return {name: number for number, name in enumerate(found)}
    said = ", ".join(some([visible(name) for name in found], 5))
    raise DataError(
        f"the subfolders of {where} are the {classes} classes, 0 to {classes - 1} by name or all of them in "
        f"alphabetical order; found {len(found)}: {said}"
    )


def content_of(pictures: Sequence[PictureFile], labels: Sequence[int]) -> str:
    """Return a hash over what pictures hold and what they are labelled, in order; their names do not count."""
    hashed = hashlib.sha256()
    for number, picture in enumerate(pictures):
        hashed.update(f"{picture.content} {labels[number] if labels else ''};".encode())
    return hashed.hexdigest()
