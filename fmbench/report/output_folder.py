"""Files of a report, each written under a temporary name and renamed, so that nobody ever reads half of one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fmbench.errors import StoreError
from fmbench.io.printable_text import visible
from fmbench.io.regular_files import read_regular
from fmbench.io.whole_files import write_whole

RESULTS = "results.json"
"""The file of a report from which it is compared: each value with its identity (`fmbench.results.snapshot_file`)."""
FIXED = ("index.html", "records.csv", "references.csv", "validation.csv", RESULTS, "table.md", "table.tex")
"""The files of a report that are no figures."""
MODE = 0o644
"""Everybody may read a report, whatever the umask: a web server, say."""
GENERATOR = '<meta name="generator" content="fmbench">'
README = "README.md"
README_MARK = "<!-- fmbench writes this file anew with each report. Without this line it stays as it is. -->"
_LINK = re.compile(r'\]\((\w+\.(?:png|svg|gif))\)|<a href="(\w+\.(?:png|svg|gif))">')
"""How README.md, and pages of older versions, link to figures."""


class Folder:
    """The folder of one report. Raises StoreError where it cannot be made or written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written: set[str] = set()
        with self._writing():
            path.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, content: str | bytes) -> Path:
        """Write one file, whole or not at all, and return its path."""
        data = visible(content).encode() if isinstance(content, str) else content
        target = self.path / name
        with self._writing():
            write_whole(target, data, flush=False, mode=MODE)
        self.written.add(name)
        return target

    def files(self) -> list[str]:
        """Return the names of the report's files that are there."""
        names = {*FIXED, *self.former_figures(), *([README] if self._is_own(README, README_MARK) else [])}
        return sorted(name for name in names if (self.path / name).is_file())

    def former_figures(self) -> set[str]:
        """Return the figures that the report now in the folder links to; none where its files are not fmbench's."""
        own = [name for name, mark in ((README, README_MARK), ("index.html", GENERATOR)) if self._is_own(name, mark)]
        return {name for each in own for link in _LINK.findall(self._text(each)) for name in link if name}

    def may_write_readme(self) -> bool:
        """Tell whether README.md is not there, or was written by fmbench: a user's own stays."""
        return not (self.path / README).exists() or self._is_own(README, README_MARK)

    def _is_own(self, name: str, mark: str) -> bool:
        return mark in self._text(name)

    def _text(self, name: str) -> str:
        """Return the text of a file; "" where it is not there, or is no text."""
        try:
            return read_regular(self.path / name).decode()
        except (OSError, UnicodeDecodeError):
            return ""

    def remove(self, names: Iterable[str]) -> None:
        """Remove files of the folder; one that is not there is no error."""
        with self._writing():
            for name in names:
                (self.path / name).unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            raise StoreError(
                f"the report's folder must be writable; {self.path} is not ({reason}). Mend its permissions, free some "
                "space, or choose another folder with --reports."
            ) from error


def slug(text: str) -> str:
    """Return a text as a part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:40]
