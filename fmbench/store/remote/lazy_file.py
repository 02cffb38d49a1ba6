"""A path whose file is fetched when somebody opens it, or asks the system for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


class LazyFile(type(Path())):  # type: ignore[misc]  # the class of paths of this system
    """The path of a file in a store's cache. `fetch` puts the file there; it is called once."""

    _fetch: Callable[[], object] | None = None

    def __new__(cls, path: Path, fetch: Callable[[], object]) -> LazyFile:
        """See the class."""
        made: LazyFile = super().__new__(cls, path)
        made._fetch = fetch
        return made

    def __init__(self, path: Path, fetch: Callable[[], object]) -> None:
        if type(Path()).__init__ is not object.__init__:  # as of Python 3.12
            super().__init__(path)

    def with_segments(self, *segments: str | os.PathLike[str]) -> Path:
        """Return a path that is made from this one: a plain one (as of Python 3.12)."""
        return Path(*segments)

    def __fspath__(self) -> str:
        fetch, self._fetch = self._fetch, None
        if fetch is not None:
            fetch()
        return str(self)

    def __reduce__(self) -> tuple[type[Path], tuple[str]]:
        return (Path, (str(self),))
