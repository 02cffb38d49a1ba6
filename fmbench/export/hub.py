"""Uploading an exported model to a model hub, by the hub's own library and with its own credentials."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

from fmbench.errors import UserError
from fmbench.export.folder import NAMES

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


def check_hub(name: str) -> Any:
    """Return the hub's interface. Raises UserError for a wrong name, and where its library is not installed."""
    if not NAME.fullmatch(name) or ".." in name or "--" in name:
        raise UserError(f"--to-hub takes USER/NAME, letters, digits, '-', '_' and '.'; found {name!r}")
    try:
        library = importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise UserError(
            "--to-hub needs the package huggingface_hub: pip install 'fmbench[hub]'. Without --to-hub the folder is "
            "written all the same."
        ) from error
    return library.HfApi()


def upload(api: Any, name: str, folder: Path, private: bool) -> str:
    """Upload the files of an exported model, and no others of the folder; return the address.

    Raises UserError where the hub refuses, without what it said of credentials.
    """
    try:
        api.create_repo(name, repo_type="model", private=private, exist_ok=True)
        done = api.upload_folder(repo_id=name, folder_path=str(folder), allow_patterns=list(NAMES), repo_type="model")
    except Exception as error:  # its errors are many, and of the network too
        status = getattr(getattr(error, "response", None), "status_code", None)
        why = f"{type(error).__name__}{f', status {status}' if status else ''}"
        raise UserError(
            f"the hub did not take {name} ({why}). `hf auth whoami` says as whom you are known there; the model is in "
            f"{folder}."
        ) from error
    return str(getattr(done, "commit_url", "") or f"{getattr(api, 'endpoint', '')}/{name}")
