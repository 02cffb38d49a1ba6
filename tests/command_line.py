"""The command line, called in the process of a test: all that it says and its exit code, without starting Python."""

from __future__ import annotations

import gc
import io
import sys
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from fmbench import cli


def fmbench(*arguments: str, cwd: Path, **environment: str) -> CompletedProcess[str]:
    """Call `fmbench` with arguments in a folder; its streams are UTF-8, and no terminal."""
    said, told = (io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace", write_through=True) for _ in range(2))
    threshold, code = gc.get_threshold(), 0
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        for name, value in {"COLUMNS": "160", **environment}.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["fmbench", *arguments])
        patch.setattr(sys, "stdout", said)
        patch.setattr(sys, "stderr", told)
        try:
            cli.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        finally:
            gc.set_threshold(*threshold)
    out, errors = (stream.buffer.getvalue().decode() for stream in (said, told))  # type: ignore[attr-defined]
    return CompletedProcess(["fmbench", *arguments], code, out, errors)
