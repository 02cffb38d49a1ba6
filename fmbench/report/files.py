"""Files of a report, each written under a temporary name and renamed, so that nobody ever reads half of one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fmbench.errors import StoreError


class Folder:
    """The folder of one report. Raises StoreError where it cannot be made or written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._refusal(error) from error

    def write(self, name: str, content: str | bytes) -> Path:
        """Write one file, whole or not at all, and return its path."""
        data = content.encode() if isinstance(content, str) else content
        target = self.path / name
        temporary = ""
        try:
            handle, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=self.path)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(target)
        except OSError as error:
            if temporary:
                Path(temporary).unlink(missing_ok=True)
            raise self._refusal(error) from error
        return target

    def _refusal(self, error: OSError) -> StoreError:
        reason = error.strerror or str(error)
        return StoreError(
            f"the report's folder must be writable; {self.path} is not ({reason}). Mend its permissions, free some "
            "space, or choose another folder with --reports."
        )
