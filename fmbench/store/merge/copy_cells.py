"""Copies what a store lacks from other stores: whole cells, under a temporary name first, and checked."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fmbench.errors import DamagedFile, EarlierFile, StoreError, UserError
from fmbench.io.file_lock import StoppedWaiting, held, never_wait
from fmbench.store.atomic_files import copy_atomically, explained
from fmbench.store.cell_folder import SEALED, CellFolder
from fmbench.store.merge.compare import FAILED, FINISHED, NOTHING, StoredCell, difference, look, new_metrics, sums
from fmbench.store.merge.outcome import Merged, MergeResult
from fmbench.store.open_store import open_store
from fmbench.store.remote.address import is_url
from fmbench.store.sampler_timings import hardware_of, key_of, place_of
from fmbench.store.store import SECTIONS, Store
from fmbench.store.store_mark import check_claimable, claim, is_store

FOR_FIGURES = ("real-*.safetensors", "t-density-*.json")
"""What of a store's cache a report is drawn with (see `fmbench.executors.tasks`); a run makes it, a report does not."""

_STAGED = re.compile(r"cell-\w{8}")
"""The name of a folder of its own that a cell is copied to, below its section and key."""

Tell = Callable[[int, int], None]
"""Called with the number of cells that are done and that of all."""


def open_sources(paths: Sequence[str | Path], into: Path) -> list[Store]:
    """Return the stores at `paths`, each once and without the one that is merged into. Raises UserError.

    Of a store by URL all files are fetched first.
    """
    found: dict[Path, Store] = {}
    for address in paths:
        if is_url(address):
            store = open_store(address)
            if store.root.resolve() != into.resolve():
                found.setdefault(store.root.resolve(), _fetched(store))
            continue
        path = Path(address)
        if not path.is_dir():
            raise UserError(f"{path} is no folder; give the store of another machine, such as other/.fmbench")
        if not is_store(Store(path)):
            inside = path / ".fmbench"
            hint = f"did you mean {inside}?" if inside.is_dir() else "give the .fmbench folder of another machine"
            raise UserError(f"{path} has no mark of a store and holds no cells, so it is not a store; {hint}")
        if path.resolve() in into.resolve().parents:
            raise UserError(f"{path} is only read, and {into} lies in it; choose another folder with --into")
        if path.resolve() != into.resolve():
            found.setdefault(path.resolve(), Store(path))
    if not found:
        raise UserError(f"{into} is the store that is merged into; name the store of another machine, too")
    return list(found.values())


def _fetched(store: Store) -> Store:
    """Return a store by URL, all of whose files are on this disk. Raises UserError where it is none."""
    if not is_store(store):
        raise UserError(f"{store} has no mark of a store and holds no cells, so it is not a store; give another")
    store.pull_all()
    return store


def merge(sources: Sequence[Store], into: Store, *, dry_run: bool = False, tell: Tell | None = None) -> MergeResult:
    """Copy into a store what the sources have and it lacks; `dry_run` reads everything and writes nothing.

    Repeated, it copies what is not there yet. Raises StoreError where the store cannot be written, with what was copied
    before kept, or is a folder that is none, and UserError where another merge into it is under way.
    """
    check_claimable(into, "nothing is merged into it")
    for section in SECTIONS:
        into.pull(section, into.keys(section) if into.mirror is not None else ())
    names = [[(section, key) for section in SECTIONS for key in source.keys(section)] for source in sources]
    total = sum(map(len, names))
    cells: list[Merged] = []
    planned: dict[tuple[str, str], CellFolder] = {}
    with contextlib.nullcontext() if dry_run else _alone(into):
        for source, found in zip(sources, names, strict=True):
            joining = _Joining(source, into, dry_run, planned)
            for section, key in found:
                cells.append(joining.settle(section, key))
                if tell is not None:
                    tell(len(cells), total)
            if not dry_run:
                _copy_for_figures(source, into)
        if not dry_run:
            into.send_shared()
    passed_over = [text for store in (*sources, into) for text in store.passed_over()]
    return MergeResult(str(into), tuple(cells), dry_run, tuple(passed_over + _strangers(into)))


@contextlib.contextmanager
def _alone(into: Store) -> Iterator[None]:
    """Hold the store's lock on merging, and remove what a merge that was killed has left."""
    claim(into)
    staging = _staging(into)
    with contextlib.ExitStack() as stack:
        try:
            with explained(staging):
                staging.mkdir(parents=True, exist_ok=True)
                stack.enter_context(held(into.root / "merging.lock", never_wait))
        except StoppedWaiting as error:
            raise UserError(f"another merge into {into.root} is under way; wait until it has ended") from error
        for leftover in staging.iterdir():
            if _STAGED.fullmatch(leftover.name) and not leftover.is_symlink():
                _drop(leftover)
        try:
            yield
        except StoreError as error:
            raise StoreError(f"{error}; what was merged before is kept, and the same command goes on") from error
        finally:
            with contextlib.suppress(OSError):  # something of a stranger's is in it, which `merge` says
                staging.rmdir()


def _staging(into: Store) -> Path:
    """Return the folder in which cells are copied before they are moved to their place, all at once."""
    return into.root / "merging"


def _strangers(into: Store) -> list[str]:
    """Say what lies where cells are copied, and is no copy of a cell."""
    try:
        return [f"{path} is not of a merge" for path in sorted(_staging(into).iterdir())]
    except OSError:
        return []


@contextlib.contextmanager
def _staged(into: Store, section: str, key: str) -> Iterator[CellFolder]:
    """Make a new folder for the copy of a cell, and remove it if it is not moved to its place."""
    with explained(_staging(into)):
        apart = Path(tempfile.mkdtemp("", "cell-", _staging(into)))
    try:
        yield Store(apart).folder(section, key)
    finally:
        _drop(apart)


def _drop(apart: Path) -> None:
    """Remove what is left of a copy, but nothing that is no copy of a cell."""
    store = Store(apart)
    with contextlib.suppress(OSError, StoreError, StoppedWaiting):  # it stays, and `merge` says so
        for section in SECTIONS:
            for key in store.keys(section):
                store.folder(section, key).remove()
            if (apart / section).is_dir():
                (apart / section).rmdir()
        apart.rmdir()


class _Joining:
    """Merges one source. `planned` are the folders that a dry run would have copied, by section and key."""

    def __init__(self, source: Store, into: Store, dry_run: bool, planned: dict[tuple[str, str], CellFolder]) -> None:
        self.source, self.into, self.dry_run, self.planned = source, into, dry_run, planned
        self._settled: dict[tuple[str, str], Merged] = {}

    def settle(self, section: str, key: str) -> Merged:
        """Merge one cell, after the trainings that it was made from; return what became of it."""
        if (section, key) not in self._settled:
            circle = "it is made from itself"  # stands while what it was made from is settled
            self._settled[section, key] = Merged(self.source.root, section, key, "damaged", circle)
            try:
                outcome, why = self._join(section, key)
            except StoppedWaiting:
                outcome, why = (
                    "busy",
                    f"another process works on {section}/{key} of {self.into.root}; merge again later",
                )
            self._settled[section, key] = Merged(self.source.root, section, key, outcome, why)
        return self._settled[section, key]

    def _join(self, section: str, key: str) -> tuple[str, str]:
        try:
            there = look(self.source.folder(section, key), thorough=True)
        except EarlierFile as error:
            return "earlier", str(error)
        except DamagedFile as error:
            return "damaged", str(error)
        except (OSError, StoreError) as error:
            return "unreadable", _reason(error)
        if there.rank == NOTHING:
            return "unfinished", ""
        if why := self._strange(section, there):
            return "apart", why
        place = self._place(key, there) if section == "sampler" else key
        if self.dry_run:
            return self._decided(section, place, there)
        return self._put(section, place, there)

    def _strange(self, section: str, there: StoredCell) -> str:
        """Say why a cell does not belong to the training that the store has by now; "" where it does."""
        if section == "sampler" or there.rank == FAILED:
            return ""
        parents = (there.parts.get(name) for name in ("training", "teacher", "weaker"))
        return next(filter(None, (self._other_weights(each) for each in parents if isinstance(each, str))), "")

    def _other_weights(self, parent: str) -> str:
        """Say why what was made from a training is not what the store's own training would make; "" where it is."""
        if self.source.folder("training", parent).path.is_dir():
            self.settle("training", parent)
        theirs, mine = (_made_of(folder) for folder in (self.source.folder("training", parent), self._folder(parent)))
        if theirs is None or mine is None:
            return f"training {parent}, which it was made from, is not there whole"
        return "" if mine == theirs else f"training {parent}, which it was made from, has other weights here"

    def _folder(self, training: str) -> CellFolder:
        return self.planned.get(("training", training), self.into.folder("training", training))

    def _place(self, name: str, there: StoredCell) -> str:
        """Return the folder of the store in which the cost of a sampler, measured on its hardware, is kept."""
        key, hardware = key_of(name), hardware_of(there.result)
        if not hardware:
            return name
        own = {n: self.into.folder("sampler", n) for n in (place_of(key, hardware, {}), key)}
        results = {}
        for place, folder in own.items():
            with contextlib.suppress(DamagedFile):
                if folder.path.is_dir():
                    results[place] = folder.result() or {}
        return place_of(key, hardware, results)

    def _decided(self, section: str, key: str, there: StoredCell) -> tuple[str, str]:
        """Say what would become of a cell, and note what would be copied."""
        folder = self.planned.get((section, key), self.into.folder(section, key))
        here = _whole(folder)
        outcome, why = decide(section, here, there)
        if outcome in ("copied", "completed"):
            self.planned[section, key] = there.folder
        return outcome, why

    def _put(self, section: str, key: str, there: StoredCell) -> tuple[str, str]:
        """Bring a cell into the store: as a whole folder where there is none, else under the cell's lock."""
        folder = self.into.folder(section, key)
        with _staged(self.into, section, key) as staged:
            if self.into.mirror is None and not os.path.lexists(folder.path):
                if fault := _copy(there, staged):
                    return fault
                if _moved(staged.path, folder.path):
                    return "copied", ""
            with folder.lock(wait=False):
                here = _whole(folder)
                outcome, why = decide(section, here, there)
                if outcome == "extended" and here is not None:
                    folder.add_metrics(new_metrics(here, there))
                    if there.failure is None:
                        (folder.path / "failure.json").unlink(missing_ok=True)
                elif outcome in ("copied", "completed"):
                    if fault := _copy(there, staged):
                        return fault
                    _replace(staged, folder)
                return outcome, why


def decide(section: str, here: StoredCell | None, there: StoredCell) -> tuple[str, str]:
    """Return what becomes of a cell that another store has, and why; `here` is None where the store's is damaged."""
    if here is None:
        return "completed", ""
    if there.farther_than(here):
        return ("copied" if here.rank == NOTHING else "completed"), ""
    if not there.rank == here.rank == FINISHED:
        return "there", ""
    if why := difference(section, here, there):
        return "differing", why
    news = new_metrics(here, there) or (here.failure is not None and there.failure is None)
    return ("extended" if news else "there"), ""


def _whole(folder: CellFolder) -> StoredCell | None:
    """Return what the store has of a cell; None where that is damaged."""
    try:
        return look(folder)
    except DamagedFile:
        return None
    except OSError as error:
        raise StoreError(_reason(error)) from error


def _made_of(folder: CellFolder) -> object:
    """Return the checksums of a finished training's files, None where it is not finished."""
    try:
        return sums(folder.recorded())
    except (DamagedFile, StoreError):
        return None


def _copy(there: StoredCell, staged: CellFolder) -> tuple[str, str] | None:
    """Copy a cell to a folder of its own and check the copy; return outcome and reason where that fails."""
    staged.discard()
    try:
        for file in there.files:
            copy_atomically(file, staged.path / file.name)
            if file.name in SEALED and staged.place != there.folder.place:  # a sampler's, of an older store
                staged.seal(file.name, there.folder.sealed(file.name) or {})
        copied = look(staged, thorough=True)
    except DamagedFile as error:
        return "damaged", f"{error}: it was copied from {there.folder.path}"
    except StoreError:
        raise
    except OSError as error:
        return "unreadable", _reason(error)
    if (copied.rank, copied.step) != (there.rank, there.step):
        return "damaged", f"{there.folder.path} changed while it was copied; merge again"
    return None


def _moved(staged: Path, place: Path) -> bool:
    """Move a folder to its place in one step; False where somebody has made that folder meanwhile."""
    with explained(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            staged.rename(place)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            raise
    return True


def _replace(staged: CellFolder, folder: CellFolder) -> None:
    """Put what was copied into a cell's folder, in place of what is there; what vouches for the rest comes last."""
    files = look(staged).files
    with explained(folder.path):
        folder.discard()
        for file in files:
            file.replace(folder.path / file.name)


def _copy_for_figures(source: Store, into: Store) -> None:
    """Copy what figures show besides cells, where the store does not have it; what cannot be read is no loss."""
    for pattern in FOR_FIGURES:
        for file in (source.root / "cache").glob(pattern):
            target = into.root / "cache" / file.name
            if not target.exists():
                with contextlib.suppress(OSError):
                    copy_atomically(file, target)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename} cannot be read: {error.strerror}"
    return str(error).partition(";")[0]
