"""Tensors that are kept on the disk, so that the processes of a suite compute them once."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import load, save

from fmbench import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

log = logging.getLogger(__name__)


def kept(file: Path, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the tensors of a file, on the CPU; where it is not there, or damaged, compute and keep them.

    They are of any shape. Name the file after all that they depend on. Raises DataError where it cannot be written.
    """
    found = _read(file)
    if found is None:
        found = compute()
        _write(file, found)
    return found


def _read(path: Path) -> dict[str, Tensor] | None:
    """Return the tensors of a file; None where there is no file, or not the one that was written."""
    if not path.is_file():
        return None
    payload = path.read_bytes()  # key: the name says what it was made of
    checksum, content = payload[:64], payload[64:]
    if _checksum(path, content) == checksum:
        try:
            return load(content)
        except SafetensorError as error:
            log.warning("%s cannot be read (%s); its content is computed again", path, error)
            return None
    log.warning("%s does not have its checksum; its content is computed again", path)
    return None


def _checksum(path: Path, content: bytes) -> bytes:
    """Return the checksum of a file's name and content: the name says what it depends on, so no other file is it."""
    return hashlib.sha256(path.name.encode() + b"\n" + content).hexdigest().encode()


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a file whole or not at all, checksum first. Raises DataError where the folder cannot be written."""
    payload = save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            whole = type(path)(folder) / path.name
            with whole.open("wb") as stream:
                stream.write(_checksum(path, payload) + payload)
                stream.flush()
                os.fsync(stream.fileno())
            whole.replace(path)
    except OSError as error:
        raise DataError(f"{path.name}, made of real data, cannot be kept in {path.parent}: {error}") from error
