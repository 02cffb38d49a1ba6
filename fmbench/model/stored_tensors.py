"""Tensors that a cell of the store holds as safetensors, which have no place for code."""

from __future__ import annotations

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from fmbench.errors import DamagedFile
from fmbench.store.cell_folder import CellFolder


def stored_tensors(folder: CellFolder, name: str) -> dict[str, Tensor]:
    """Return the tensors of a file in a cell's folder by name.

    Raises DamagedFile where it is not what was written, and where it is but holds something else: checksums say what
    was written, and not by whom.
    """
    payload = folder.read(name)
    try:
        return load(payload)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:  # KeyError: a type that torch has not
        raise DamagedFile(f"{folder.path / name} holds no tensors ({type(error).__name__})") from error
