"""Which files below a folder are the pictures of which class and split, and what is left out. Nothing is opened.

This module does not import torch.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from fmbench import DataError

Split = Literal["train", "test", "validation"]

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
TEST_SHARE = 5
"""One picture in five is a test picture, as in `splits`, where the folder does not say which are."""
TRAIN, TEST, VALIDATION = ("train", "training"), ("test", "testing"), ("val", "valid", "validation")
"""What the folders of splits are called, in small letters."""
SYSTEM = (Path("/proc"), Path("/sys"))
"""Folders whose files are no files: they may have no end, or wait for ever."""
MOST_REASONS = 5
HASH_PARTS = 2**32
"""In so many parts hashes are cut for a share of the pictures."""


@dataclass(frozen=True)
class Pictures:
    """The pictures of a folder.

    `names` are their paths within it, with forward slashes, sorted, a tuple a split; `depth` is which part of a path is
    the class. `left_out` has the names of all else, by the reason.
    """

    folder: Path
    classes: tuple[str, ...]
    names: Mapping[Split, tuple[str, ...]]
    left_out: Mapping[str, Sequence[str]]
    depth: int = 0

    def labels(self, names: Sequence[str]) -> list[int]:
        """Return the class of each name, as a number."""
        index = {name: i for i, name in enumerate(self.classes)}
        return [index[name.split("/")[self.depth]] for name in names]

    def describe(self) -> str:
        """Say how many pictures of how many classes there are, how they are split, and what is left out and why."""
        counts = {split: len(names) for split, names in self.names.items()}
        classes = f" of {_counted(len(self.classes), 'class', 'classes')}" if self.classes else ", without classes"
        splits = ", ".join(f"{count} {split}" for split, count in counts.items())
        text = f"{_counted(sum(counts.values()), 'picture')}{classes}: {splits}, in {shown(self.folder)}."
        reasons = [
            f"{len(names)} {reason} (such as {shown(names[0])})" if len(names) > 1 else f"{shown(names[0])} ({reason})"
            for reason, names in self.left_out.items()
        ]
        more = [f"{len(reasons) - MOST_REASONS} more reasons"] if len(reasons) > MOST_REASONS else []
        return text + (f" Left out: {'; '.join(reasons[:MOST_REASONS] + more)}." if reasons else "")


def list_pictures(folder: Path, validation: float | Literal["folder"] = 0.0) -> Pictures:
    """Return the pictures below a folder. Raises DataError where there are none, or it is not clear what they are.

    `validation` is the share of the training pictures that is held out, or says that it lies in a folder of its own.
    """
    if not folder.is_dir():
        found = "it is a file" if folder.exists() else "it does not exist"
        raise DataError(f"image_folder needs a folder of pictures, but {shown(folder.absolute())}: {found}.")
    walk = _Walk(folder)
    if not walk.names:
        known = ", ".join(sorted(SUFFIXES))
        raise DataError(f"{shown(folder)} holds no picture{walk.instead('')}. Known suffixes: {known}.")
    if (splits := _split_folders(walk)) is not None:
        return _held_out(_as_split(walk, *splits, own_validation=validation == "folder"), validation)
    if validation == "folder":
        raise DataError(
            f"validation: folder takes the validation pictures from {shown(folder)}/val, beside train and test, and "
            f"{shown(folder)} is not split into folders. Lay it out so, or give a share such as 0.1."
        )
    classes = tuple(walk.inside(""))
    _check_classes(walk, "", classes)
    names: dict[Split, tuple[str, ...]] = {
        split: tuple(name for name in walk.names if split_of(name) == split) for split in ("train", "test")
    }
    return _held_out(Pictures(folder, classes, names, walk.left_out), validation)


def split_of(name: str) -> Split:
    """Return the split of a picture by the hash of its name alone."""
    return "test" if _hashed(name) % TEST_SHARE == 0 else "train"


def _held_out(pictures: Pictures, share: float | Literal["folder"]) -> Pictures:
    """Return pictures of which a share to train is the validation split: by a hash of each name alone."""
    if not share or share == "folder":
        return pictures
    train: dict[bool, list[str]] = {True: [], False: []}
    for name in pictures.names["train"]:
        train[_hashed(name) // TEST_SHARE % HASH_PARTS < share * HASH_PARTS].append(name)
    names: dict[Split, tuple[str, ...]] = {"train": tuple(train[False]), "test": pictures.names["test"]}
    return replace(pictures, names={**names, "validation": tuple(train[True])})


def _hashed(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big")


def shown(name: str | Path) -> str:
    """Return a name as it can be printed: bytes that are no UTF-8 are escaped."""
    return str(name).encode("utf-8", "backslashreplace").decode()


@dataclass
class _Walk:
    """What lies below a folder, through links to folders, each real folder once: under the first name in order."""

    folder: Path
    names: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    _seen: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._enter("", os.path.realpath(self.folder))
        self.names.sort()

    def inside(self, place: str) -> list[str]:
        """Return the names of the folders directly in one, sorted."""
        below = f"{place}/" if place else ""
        inner = (name.removeprefix(below) for name in self.folders if name.startswith(below))
        return sorted(name for name in inner if name and "/" not in name)

    def leave_out(self, place: str, reason: str) -> None:
        """Leave the pictures below a folder out."""
        gone = [name for name in self.names if name.startswith(f"{place}/")]
        self.names = [name for name in self.names if not name.startswith(f"{place}/")]
        self.left_out |= {reason: gone} if gone else {}

    def instead(self, place: str) -> str:
        """Say what a folder holds in place of pictures."""
        below = f"{place}/" if place else ""
        there = {
            reason: [name for name in names if name == place or name.startswith(below)]
            for reason, names in self.left_out.items()
        }
        said = [f"{len(names)} {reason}" for reason, names in there.items() if names]
        return f" ({'; '.join(said[:MOST_REASONS])})" if said else ""

    def _enter(self, place: str, real: str) -> None:
        """Walk a folder; recursion is as deep as folders are."""
        self._seen[real] = place
        try:
            with os.scandir(self.folder / place) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            raise DataError(f"image_folder cannot list {shown(self.folder / place)}: {error.strerror}.") from error
        for entry in entries:
            name = f"{place}/{entry.name}" if place else entry.name
            reason = self._look(name, entry)
            if reason:
                self.left_out.setdefault(reason, []).append(name)

    def _look(self, name: str, entry: os.DirEntry[str]) -> str:
        """Take a file or folder; return why it is left out, if it is."""
        if entry.name.startswith("."):
            return "hidden"
        if entry.name == "__MACOSX":
            return "that archives of macOS bring along"
        mode = _mode(entry)
        real = os.path.realpath(entry.path) if stat.S_ISDIR(mode) or entry.is_symlink() else ""
        if real and any(Path(real).is_relative_to(place) for place in SYSTEM):
            return "of the operating system"
        if stat.S_ISDIR(mode):
            self.folders.append(name)
            if real in self._seen:
                return f"a link to a folder that is read already, as {shown(self._seen[real] or '.')}"
            self._enter(name, real)
            return ""
        if not stat.S_ISREG(mode):
            return "no file but a pipe, socket or device"
        suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122  (as Path.suffix, for many files)
        if suffix not in SUFFIXES:
            return f"with suffix {shown(suffix)}" if suffix else "without a suffix"
        self.names.append(name)
        return ""


def _mode(entry: os.DirEntry[str]) -> int:
    """Return what kind of file an entry, or what it links to, is. Raises DataError for a link to nothing."""
    try:
        return entry.stat().st_mode
    except OSError as error:
        lost = entry.is_symlink() and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
        found = "is a link to nothing" if lost else f"cannot be read ({error.strerror})"
        raise DataError(f"{shown(entry.path)} {found}. Restore what it leads to, or remove it.") from error


def _check_classes(walk: _Walk, place: str, classes: Sequence[str]) -> None:
    """Raise DataError for a class without pictures, and for pictures beside classes."""
    below = f"{place}/" if place else ""
    names = [name.removeprefix(below) for name in walk.names if name.startswith(below)]
    found = {name.split("/")[0] for name in names if "/" in name}
    for name in classes:
        if name not in found:
            like = ", a folder though it is named like a picture," if Path(name).suffix.lower() in SUFFIXES else ""
            raise DataError(
                f"Each subfolder of {shown(walk.folder / place)} is a class, and {shown(name)!r}{like} holds no picture"
                f"{walk.instead(below + name)}. Put pictures into it, or move it away."
            )
    beside = [name for name in names if "/" not in name]
    if classes and beside:
        raise DataError(
            f"{shown(walk.folder / place)} has both subfolders (classes, such as {shown(classes[0])!r}) and pictures "
            f"beside them, such as {shown(beside[0])}: move the pictures into a subfolder, or the subfolders away."
        )


def _split_folders(walk: _Walk) -> tuple[str, list[str]] | None:
    """Return the folder of training pictures and those that may be of test pictures; None where folders are classes.

    Raises DataError where some folders are named like splits, and it is not clear what the others are.
    """
    folders = walk.inside("")
    kinds = {kind: [name for name in folders if name.lower() in kind] for kind in (TRAIN, TEST, VALIDATION)}
    named = [name for names in kinds.values() for name in names]
    others = [name for name in folders if name not in named]
    if not named or (len(named) == 1 and others):  # a class may well be called train
        return None
    rests = kinds[TEST] + kinds[VALIDATION]
    if len(kinds[TRAIN]) != 1 or not rests or others:
        said = ", ".join(shown(f"{name}/") for name in folders[:MOST_REASONS])
        one = shown(walk.folder / named[0])
        raise DataError(
            f"{shown(walk.folder)} holds {said}: folders named like splits are taken as such where there is one to "
            f"train, one to test (test/ or val/) and no other. Move the others away, or give one alone, folder: {one}, "
            "which is split by the pictures' names."
        )
    return kinds[TRAIN][0], rests


def _as_split(walk: _Walk, train: str, rests: Sequence[str], *, own_validation: bool) -> Pictures:
    """Return the pictures of a folder that is split on disk: the test pictures from test/ if it is laid out as train/
    is, else from val/. With `own_validation` those of val/ are the validation split, and test/ is needed too.
    """
    classes = walk.inside(train)
    _check_classes(walk, train, classes)
    alike = [rest for rest in rests if any(n.startswith(f"{rest}/") for n in walk.names)]
    alike = [rest for rest in alike if bool(walk.inside(rest)) == bool(classes)]
    if not alike:
        said = " or ".join(shown(f"{rest}/") for rest in rests)
        form = f"subfolders with pictures, as {train}/ has {len(classes)}" if classes else f"pictures, as {train}/ has"
        one = shown(walk.folder / train)
        raise DataError(
            f"test pictures of {shown(walk.folder)} are to come from {said}, which needs {form}. Lay it out so, or "
            f"give folder: {one}, which is split by the pictures' names."
        )
    places: dict[Split, str] = {"train": train, "test": alike[0]}
    if own_validation:
        if len(alike) < 2 or alike[0].lower() not in TEST or alike[1].lower() not in VALIDATION:
            raise DataError(
                f"validation: folder needs pictures in val/ and in test/ of {shown(walk.folder)}, both laid out as "
                f"{train}/ is; found {', '.join(shown(f'{rest}/') for rest in alike)}. Add the other, or give a share."
            )
        places["validation"] = alike[1]
    for place in list(places.values())[1:]:
        strangers = [name for name in walk.inside(place) if name not in classes]
        if strangers:
            raise DataError(
                f"classes of {shown(walk.folder / place)} are those of {train}/; {shown(strangers[0])!r} is none of "
                "them."
            )
        _check_classes(walk, place, walk.inside(place))
    for rest in rests:
        if rest not in places.values():
            walk.leave_out(rest, f"of {shown(rest)}/, since {shown(alike[0])}/ is the test split")
    _check_nothing_beside(walk, *places.values())
    names: dict[Split, tuple[str, ...]] = {
        split: tuple(name for name in walk.names if name.startswith(f"{place}/")) for split, place in places.items()
    }
    return Pictures(walk.folder, tuple(classes), names, walk.left_out, depth=1)


def _check_nothing_beside(walk: _Walk, *places: str) -> None:
    beside = [name for name in walk.names if name.split("/")[0] not in places]
    if beside:
        raise DataError(
            f"{shown(walk.folder)} has both folders of splits and pictures beside them, such as {shown(beside[0])}: "
            "move the pictures into one of the folders, or away."
        )


def _counted(n: int, noun: str, plural: str = "") -> str:
    return f"{n} {noun if n == 1 else plural or noun + 's'}"
