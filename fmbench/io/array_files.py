"""Arrays in .npy, .npz and .safetensors files: found by their headers, read without unpickling anything.

This module does not import torch.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from fmbench.errors import DataError, did_you_mean
from fmbench.io.printable_text import visible

if TYPE_CHECKING:
    import numpy as np

WRITERS = {
    ".npy": "np.save(file, array)",
    ".npz": "np.savez(file, x=array)",
    ".safetensors": "safetensors.numpy.save_file({'x': array}, file)",
}
"""The formats by their suffix, and how a file of each is written."""
SAFETENSORS = {"F64": "float64", "F32": "float32", "F16": "float16", "BOOL": "bool"} | {
    f"{letter}{bits}": f"{word}{bits}" for letter, word in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)
}
"""What NumPy calls the types of safetensors; it has none of the others."""
MOST_NAMED = 8


@dataclass(frozen=True)
class StoredArray:
    """An array in a file, as its header tells. `key` is its name there, "" in a .npy file."""

    path: Path
    key: str
    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"array {self.key!r} of {shown(self.path)}" if self.key else shown(self.path)

    @property
    def form(self) -> str:
        """Its type and shape in words."""
        return f"{self.dtype} {self.shape}"

    def read(self) -> np.ndarray:
        """Return the numbers. Raises DataError where the file is broken."""
        import numpy as np

        with _reading(self.path):
            if self.path.suffix.lower() == ".safetensors":
                from safetensors import safe_open

                with safe_open(self.path, framework="np") as file:
                    return np.asarray(file.get_tensor(self.key))
            loaded = np.load(self.path, allow_pickle=False)
            if not self.key:
                return np.asarray(loaded)
            with loaded:
                return np.asarray(loaded[self.key])


def arrays_in(name: str) -> dict[str, StoredArray]:
    """Return the arrays of a file by name, that of a .npy file by "". Raises DataError where it is none of arrays."""
    path = Path(name).expanduser()
    return {key: StoredArray(path, key, *header) for key, header in _headers(path).items()}


def find_array(name: str, key: str | None, what: str) -> StoredArray:
    """Return the array `key` of a file, or its only array where `key` is None.

    `what` says in messages what it is to hold. Raises DataError where there is no such array, or it is one of
    Python objects.
    """
    path = Path(name).expanduser()
    held = _headers(path)
    if key is None and len(held) != 1:
        found = f"found {_listed(held)}" if held else "it holds none"
        raise DataError(
            f"{what} are one array, and {shown(path)} does not say which of its arrays that is; {found}. Name it "
            "(`key: NAME` for examples, `{key: NAME}` for labels and a source in the same file), or save it alone."
        )
    if key is not None and "" in held:
        raise DataError(
            f"a .npy file holds one array, which has no name; {what} are to be array {key!r} of {shown(path)}. Leave "
            "the name out, or save several arrays as .npz."
        )
    if key is not None and key not in held:
        near = did_you_mean(key, held)
        raise DataError(
            f"{what} are to be array {key!r} of {shown(path)}, which has none.{near} It has {_listed(held)}."
        )
    chosen = key if key is not None else next(iter(held))
    array = StoredArray(path, chosen, *held[chosen])
    _check_no_objects(array, what)
    return array


def _check_no_objects(array: StoredArray, what: str) -> None:
    if array.dtype == "object":
        raise DataError(
            f"{what} are numbers; {array} holds Python objects, which are pickled, and pickles can run code: they are "
            "not read. Make one array of numbers of it, np.array(list, dtype=np.float32), and save that."
        )


def _headers(path: Path) -> Mapping[str, tuple[tuple[int, ...], str]]:
    """Return shape and type of each array of a file, by name. Raises DataError where it is none of an array."""
    suffix = path.suffix.lower()
    if suffix not in WRITERS:
        ways = "; ".join(f"{each} ({how})" for each, how in WRITERS.items())
        raise DataError(f"files of arrays are known by their suffix: {ways}; found {shown(path)}. Save it as one.")
    if not path.is_file():
        found = "it is no file" if path.exists() else "it does not exist"
        raise DataError(
            f"a file of arrays is needed, but {shown(path.absolute())}: {found}. Relative paths begin in the folder "
            "where fmbench is started."
        )
    with _reading(path):
        if suffix == ".npy":
            with path.open("rb") as stream:
                return {"": _npy_header(stream, path.stat().st_size)}
        if suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if name.endswith(".npy")]
                return {name.removesuffix(".npy"): _member_header(archive, name) for name in names}
        return _safetensors_headers(path)


def _member_header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], str]:
    with archive.open(name) as stream:
        return _npy_header(stream, archive.getinfo(name).file_size)


def _npy_header(stream: IO[bytes], size: int) -> tuple[tuple[int, ...], str]:
    """Return the shape and the type of the array of which a stream of `size` bytes consists.

    Raises ValueError where the shape is not that of the bytes that follow: memory is never asked for by a header alone.
    """
    from numpy.lib import format as npy

    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(stream)
    told, left = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if min(shape, default=0) < 0 or (told > left and not dtype.hasobject):
        raise ValueError(f"its header tells of an array {tuple(shape)} of {dtype}, and {left:,} bytes follow")
    return tuple(shape), dtype.name


def _safetensors_headers(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
        return {
            name: (tuple(each.get_shape()), SAFETENSORS.get(each.get_dtype(), each.get_dtype()))
            for name, each in slices.items()
        }


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raise DataError, which says what to do, where a file is broken or no file of its suffix."""
    from safetensors import SafetensorError

    suffix = path.suffix.lower()
    broken = (MemoryError, OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, SafetensorError)
    try:
        yield
    except broken as error:
        reason = visible(" ".join(str(error).split())).rstrip(".")
        raise DataError(
            f"{shown(path)} cannot be read as a {suffix} file ({reason}); pickles are not read. Write it with "
            f"{WRITERS[suffix]}."
        ) from error


def shown(path: Path) -> str:
    """Return a path as a message shows it."""
    return visible(str(path))


def _listed(held: Mapping[str, object]) -> str:
    names = [repr(name) for name in held]
    return ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
