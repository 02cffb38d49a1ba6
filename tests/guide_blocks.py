"""The blocks of a guide that its reader works through: files that are saved, and commands that are typed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SAVED = re.compile(r"\bsave\b[^`]*`([\w./-]+)`", re.IGNORECASE)


@dataclass(frozen=True)
class Step:
    """What the reader does with one block: types its lines, or saves it as `file`; `heading` stands above it."""

    heading: str
    text: str
    file: str = ""

    def do(self, folder: Path, environment: Mapping[str, str], more: str = "") -> Path:
        """Do it in a folder, with `more` after each `fmbench run`; return the folder in which the reader is then.

        Raises AssertionError, with what was printed, where a command fails.
        """
        if self.file:
            (folder / self.file).write_text(self.text)
            return folder
        lines = [f"{line} {more}" if line.startswith("fmbench run") else line for line in self.text.splitlines()]
        script = "\n".join(["set -e", *lines, "echo", "pwd"])
        done = subprocess.run(
            ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{self.text}\n{done.stdout}\n{done.stderr}"
        return Path(done.stdout.splitlines()[-1])


def steps_of(page: Path) -> Iterator[Step]:
    """Yield what a reader does, in order; a block of Python that nothing says to save is only looked at."""
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        before = text[: found.start()]
        heading = before.rpartition("\n#")[2].lstrip("# ").partition("\n")[0]
        saved = _SAVED.search(before.rstrip().rpartition("\n\n")[2])
        if found[1] == "bash":
            yield Step(heading, found[2])
        elif found[1] == "python" and saved:
            yield Step(heading, found[2], saved[1])
