"""Which cells of a store may go."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from fmbench.plan import Plan
from fmbench.plan.references import References
from fmbench.registry import Registry
from fmbench.states import portrait_key, sampler_key
from fmbench.store import SECTIONS, CellFolder, Store
from fmbench.timings import key_of


@dataclass(frozen=True)
class Unused:
    """A cell that may be removed; `size` in bytes."""

    section: str
    key: str
    folder: CellFolder
    size: int


def find_unused(
    store: Store, plans: Iterable[tuple[Plan, Registry]], older_than: float | None = None, *, only_failed: bool = False
) -> list[Unused]:
    """Return the cells that no plan uses; where asked for, only those older than some days, or only failed ones."""
    used = set()
    for plan, registry in plans:
        used |= {key for cell in plan.evaluations for key in (cell.key, sampler_key(cell))}
        for cell in plan.trainings:
            used |= {cell.key, portrait_key(cell.key), *([cell.study_key] if cell.teacher else [])}
        used |= {cell.key for cell in References(plan, registry).cells}
    newest = time.time() - older_than * 86_400 if older_than is not None else float("inf")
    found = []
    for section in SECTIONS:
        for key in store.keys(section):
            folder = store.folder(section, key)
            failed = (folder.path / "failure.json").exists()
            named = key_of(key) if section == "sampler" else key
            if named not in used and folder.path.stat().st_mtime <= newest and (failed or not only_failed):
                found.append(Unused(section, key, folder, folder.size()))
    return found
