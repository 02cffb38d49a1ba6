"""A sign that code was run: a folder that only hostile files make."""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch


class Bomb:
    """What makes a folder when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the call that unpickling makes."""
        return os.mkdir, (str(self.canary),)


def pickles(canary: Path) -> dict[str, bytes]:
    """Return files of every form in which a pickle travels; loading any of them makes the folder `canary`."""
    bomb, plain = Bomb(canary), io.BytesIO()
    found = {f"pickle {protocol}": pickle.dumps(bomb, protocol) for protocol in (0, 2, 5)}
    found["optimised pickle"] = pickletools.optimize(pickle.dumps({"weight": bomb}, 4))
    torch.save({"weight": bomb, "bias": torch.zeros(3)}, plain)
    found["torch zip"] = plain.getvalue()
    legacy = io.BytesIO()
    torch.save({"weight": bomb}, legacy, _use_new_zipfile_serialization=False)
    found["torch legacy"] = legacy.getvalue()
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:  # as torch before 0.1.10 wrote it
        for name in ("sys_info", "pickle", "tensors", "storages"):
            data = pickle.dumps(bomb, 2)
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    found["torch tar"] = tar.getvalue()
    objects = np.array([bomb], dtype=object)
    npy, npz = io.BytesIO(), io.BytesIO()
    np.save(npy, objects, allow_pickle=True)
    np.savez(npz, x=objects, mu=objects, sigma=objects)
    found["npy"], found["npz"] = npy.getvalue(), npz.getvalue()
    script = io.BytesIO()
    with zipfile.ZipFile(script, "w") as archive_of_code:  # what TorchScript's loader and Python itself look for
        archive_of_code.writestr("archive/data.pkl", pickle.dumps(bomb, 2))
        archive_of_code.writestr("archive/version", "3")
        archive_of_code.writestr("archive/code/__torch__.py", "import os")
        archive_of_code.writestr("__main__.py", f"import os; os.mkdir({str(canary)!r})")
    found["torch script"] = script.getvalue()
    return found


def is_live(content: bytes) -> bool:
    """Whether a pickle would run code: what the tests below must be able to show."""
    return b"mkdir" in content
