"""What libraries warn of while a unit is computed: each warning once, with the component whose code it is."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from fmbench.isolation.plugin_traceback import MOST_SHOWN, lines_here, own_line, to_blame

MOST_WARNINGS = 100
"""Different ones that a worker says."""
MOST_ALIKE = 3
"""Different ones that a worker says of one line of code: a loop may make up any number of them."""


class LibraryWarnings:
    """Takes warnings in place of `warnings.showwarning`. `components` returns those that may be to blame."""

    def __init__(self, components: Callable[[], Iterable[tuple[str, object]]]) -> None:
        self._components = components
        self._waiting: deque[str] = deque()
        self._told: set[str] = set()
        self._alike: Counter[str] = Counter()

    def new(self) -> Iterator[str]:
        """Yield what was warned of since the last look."""
        while self._waiting:
            yield self._waiting.popleft()

    def take(
        self, message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object, **__: object
    ) -> None:
        """Take a warning; it is said once."""
        lines = lines_here()
        own, blamed = own_line(lines), to_blame(lines, self._components())
        where = str(own) if blamed and own else f"{Path(filename).name}, line {lineno}"
        said = " ".join(str(message).split())[:MOST_SHOWN]
        text = f"{blamed}: {category.__name__}: {said} ({where})".removeprefix(": ")
        if text in self._told or len(self._told) >= MOST_WARNINGS:
            return
        self._alike[where] += 1
        if self._alike[where] <= MOST_ALIKE:
            self._told.add(text)
            last = "; more of this line are not shown" if self._alike[where] == MOST_ALIKE else ""
            self._waiting.append(f"{text}{last}")
