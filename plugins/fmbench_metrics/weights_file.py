"""Files of weights that do not ship: where they are looked for, how they are read, what is said where that fails."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fmbench import DataError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class WeightsFile:
    """The weights of a network: the file's name in torch hub's cache, and where somebody else may download it."""

    network: str
    name: str
    source: str

    def path(self, given: str | None) -> Path:
        """Return the given path, else that in torch hub's cache. Raises DataError where there is no file."""
        path = Path(given).expanduser() if given else Path(torch.hub.get_dir()) / "checkpoints" / self.name
        if not path.is_file():
            raise DataError(
                f"this metric needs {self.network}'s weights, and {path} is not there. fmbench downloads nothing: get "
                f"{self.source} and put it there, or name a file with the metric's parameter weights."
            )
        return path

    def read(self, path: Path) -> dict[str, Tensor]:
        """Return the tensors of a safetensors file, or of a torch file that is a plain dictionary of tensors.

        Raises DataError for any other: no pickle is run.
        """
        try:
            state = _tensors(path)
        except Exception as error:  # torch.load documents no exceptions: pickle's, zip's, and its own
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise self.refused(path, f"is not a file of weights that can be read ({reason})") from error
        if not isinstance(state, Mapping):
            raise self.refused(path, f"must hold a dictionary of tensors; found {type(state).__name__}")
        return dict(state)

    def refused(self, path: Path, reason: str) -> DataError:
        """Return the error that says what is wrong with a file, and which one is wanted."""
        return DataError(f"{path} {reason}. Get {self.source}")


def _tensors(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)  # key: what file_hash says
    return torch.load(path, map_location="cpu", weights_only=True)  # key: what file_hash says


def file_hash(path: Path) -> str:
    """Return the sha256 of a file: torch hub's counts in no key, but in the identity of scores."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def state_of(path: Path) -> tuple[int, int]:
    """Return what changes where a file is written anew."""
    facts = path.stat()
    return facts.st_mtime_ns, facts.st_size
