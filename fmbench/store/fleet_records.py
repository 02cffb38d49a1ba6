"""What the store keeps of fleets: who trains with whom, and endings that are not to be cut in two.

```
<root>/fleets/<name>-<number>.json    the fleets that cells were shared out to, written once
<root>/fleets/ended-<fleet>.json      results of a fleet whose files are written, as long as not all are in place
```

So whoever goes on with a plan, after a kill or beside another, trains the same cells together, to the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fmbench.cells.keys import digest
from fmbench.errors import DamagedFile
from fmbench.io.json_forms import OBJECT, Each, Fields, Rows
from fmbench.store.atomic_files import read_sealed, write_sealed, write_sealed_once
from fmbench.store.cell_folder import CellFolder
from fmbench.store.file_forms import KEY

FLEETS = Fields({"fleets": Rows(Rows(KEY))})
ENDED = Fields({"results": Each(OBJECT, KEY)})

Finished = tuple[CellFolder, Mapping[str, Any], tuple[str, ...]]
"""A cell's folder, its result and the files that it vouches for: what `CellFolder.finish` is called with."""


def recorded_fleets(root: Path, name: str) -> list[tuple[str, ...]]:
    """Return the fleets on record under a name, by the keys of their members, in the order in which they were noted."""
    fleets: list[tuple[str, ...]] = []
    number = 0
    while (fleets_then := _read(_composition(root, name, number), FLEETS)) is not None:
        fleets += (tuple(keys) for keys in fleets_then["fleets"])
        number += 1
    return fleets


def record_fleets(
    root: Path, name: str, fleets: Sequence[Sequence[str]], agree_on: Callable[[Path], None] = lambda path: None
) -> list[tuple[str, ...]]:
    """Note fleets under a name, beside those that are noted; return what is on record then.

    Of several drivers one is first: where another's record came before, nothing is noted. `agree_on` has what was noted
    be that of all machines (see `Store.agree_on`).
    """
    number = 0
    while _read(_composition(root, name, number), FLEETS) is not None:
        number += 1
    write_sealed_once(composition := _composition(root, name, number), {"fleets": [list(keys) for keys in fleets]})
    agree_on(composition)
    return recorded_fleets(root, name)


def finish_together(root: Path, endings: Sequence[Finished]) -> None:
    """Declare cells done, all or none of them: who is killed in between is made up for by `complete_endings`.

    Raises LeaseLost where another took over one of them.
    """
    if len(endings) < 2:
        for folder, result, files in endings:
            folder.finish(result, files)
        return
    bodies = {folder.path.name: folder.vouched(result, files) for folder, result, files in endings}
    for folder, _, _ in endings:
        folder.leases.check(folder.place)
    record = root / "fleets" / f"ended-{_digest(bodies)}.json"
    write_sealed(record, {"results": bodies})
    for folder, _, _ in endings:
        folder.finish_with(bodies[folder.path.name])
    record.unlink(missing_ok=True)


def complete_endings(root: Path, folders: Mapping[str, CellFolder]) -> None:
    """Declare those cells done that were not any more when their fleet had ended. The caller holds their locks."""
    for record in sorted((root / "fleets").glob("ended-*.json")):
        results = (_read(record, ENDED) or {"results": {}})["results"]
        for key in results.keys() & folders.keys():
            if folders[key].recorded() is None:
                folders[key].finish_with(results[key])
        if results and all((record.parents[1] / "training" / key / "result.json").exists() for key in results):
            record.unlink(missing_ok=True)


def _composition(root: Path, name: str, number: int) -> Path:
    return root / "fleets" / f"{name}-{number}.json"


def _digest(keys: Iterable[str]) -> str:
    return digest("fleet", *sorted(keys))


def _read(path: Path, form: Fields) -> dict[str, Any] | None:
    """Return a record; what is damaged is no record: it is removed, and made again where it is wanted."""
    try:
        return read_sealed(path, form)
    except DamagedFile:
        path.unlink(missing_ok=True)
        return None
