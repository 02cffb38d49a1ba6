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

FIXED = ("index.html", "records.csv", "references.csv", "validation.csv", "table.md", "table.tex")
"""The files of a report that are no figures."""
MODE = 0o644
"""Everybody may read a report, whatever the umask: a web server, say."""
GENERATOR = '<meta name="generator" content="fmbench">'


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
        return sorted(name for name in {*FIXED, *self.former_figures()} if (self.path / name).is_file())

    def former_figures(self) -> set[str]:
        """Return the figures that the report now in the folder links to; none where its page is not fmbench's."""
        try:
            page = read_regular(self.path / "index.html").decode()
        except (OSError, UnicodeDecodeError):
            return set()  # a first report, or no page of ours
        return set(re.findall(r'<a href="(\w+\.(?:png|svg|gif))">', page)) if GENERATOR in page else set()

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
