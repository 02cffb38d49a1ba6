"""What a suite's results come from, and when any of it changed: the suite, components of one's own, their data."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fmbench.errors import UserError
from fmbench.io.regular_files import expanded
from fmbench.runner.session import Options, Session, open_session
from fmbench.suite import suite_file

MOST = 20_000
"""Files that are looked at: a folder of more pictures is looked at as a whole."""

PASSING = (".pyc", ".swp", ".tmp")
"""How names of files end that come and go."""

Seen = dict[Path, tuple[int, int]]
"""When each file was changed, and its size; (0, 0) for one that is not there."""


def watched_files(suite: Path, options: Options) -> set[Path]:
    """Return the files and folders that a suite's results come from, but for fmbench's own and installed plugins'.

    Where the suite cannot be planned, they are the suite and what `--plugins` names.
    """
    found = {suite_file(suite), *(Path(given) for given in options.plugins if Path(given).exists())}
    try:
        return {file.absolute() for file in found | _of_plan(open_session(suite, options))}
    except UserError:
        return {file.absolute() for file in found}


def _of_plan(session: Session) -> set[Path]:
    """Return the code and data of a plan's components, but for fmbench's own."""
    found: set[Path] = set()
    cells = session.plan.trainings
    specs = {spec.digest: spec for cell in cells for spec in cell.components if spec.is_registered}
    specs |= {spec.digest: spec for cell in session.plan.evaluations for spec in (cell.solver, cell.grid) if spec}
    specs |= {spec.digest: spec for spec in session.plan.metrics}
    for spec in specs.values():
        if not spec.is_registered:
            continue
        code = session.registry.code(spec.kind, spec.name)
        if not spec.is_own:
            found |= {module.path for module in (*code.modules, *code.elsewhere)} | set(code.files)
        named = (spec.parameters.get(name) for name in code.content)
        found |= {path for name in named if isinstance(name, str) and (path := expanded(name)).exists()}
    for cell in cells:
        if cell.samples is not None:
            found |= {Path(place) for place in session.registry.contents if Path(place).exists()}
    return found


def look(files: Iterable[Path]) -> Seen:
    """Return how files are now, those in folders too, but for what Python and editors leave there."""
    seen: Seen = {}
    for file in files:
        inside = [file]
        if file.is_dir():
            inside += [each for each in sorted(file.rglob("*"))[:MOST] if not _is_passing(each)]
        for each in inside:
            try:
                state = each.stat()
            except OSError:
                seen[each] = (0, 0)
            else:
                seen[each] = (0, 0) if each.is_dir() else (state.st_mtime_ns, state.st_size)
    return seen


def _is_passing(file: Path) -> bool:
    hidden = any(part.startswith(".") or part == "__pycache__" for part in file.parts[-3:])
    return hidden or file.suffix in PASSING or file.name.endswith("~")


def changed(before: Seen, now: Seen) -> list[Path]:
    """Return the files that were changed, made or removed between two looks."""
    return sorted(file for file in before.keys() | now.keys() if before.get(file) != now.get(file))
