"""What a worker shares between cells: registry, store, device, data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Generator, Tensor

from fmbench.cells.cells import TrainingCell
from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.reference_cell import ReferenceCell
from fmbench.cells.seeds import seed_for
from fmbench.components import contracts
from fmbench.components.dataset_checks import Split, check_split, splits_of
from fmbench.errors import DataError, ProcessChanged
from fmbench.isolation import global_random
from fmbench.isolation.inplace_guard import Mark, marks
from fmbench.isolation.process_state import guard_class, strangers_at_work, unchanged
from fmbench.plugins.registry import Registry
from fmbench.runtime.background_threads import PrefetchPool
from fmbench.store.store import Store


@dataclass
class WorkerContext:
    """What a process that computes cells keeps between them.

    `threads` and `jobs` are recorded with every training: how many threads computed it, and how many processes shared
    the machine. `checkpoint_seconds` is how much work a killed training may lose. `spoilt` says, once a component has
    changed the process, which did and how: what is computed here after that would be another's. `keeps_to_blocks` is
    what trying a solver has shown (see `sample_batches.why_in_blocks`), by solver, grid, steps, guidance, path and
    dataset. `counted` is what a call of a network writes for each example (see `batch_size.elements_of`).
    """

    registry: Registry
    store: Store
    device: str = "cpu"
    threads: int = 1
    jobs: int = 1
    checkpoint_seconds: float = 15.0
    evaluation_batch: int | None = None
    keep_samples: int | None = None
    spoilt: str = ""
    keeps_to_blocks: dict[tuple[object, ...], str] = field(default_factory=dict, repr=False)
    counted: dict[tuple[object, ...], float] = field(default_factory=dict, repr=False)
    prefetch_pool: PrefetchPool = field(init=False, repr=False)
    _built: dict[str, Any] = field(default_factory=dict, repr=False)
    _loaded: dict[tuple[str, Split], tuple[Tensor, Tensor | None]] = field(default_factory=dict, repr=False)
    _data: dict[tuple[str, Split], tuple[Tensor, Tensor | None]] = field(default_factory=dict, repr=False)
    _versions: dict[tuple[str, Split], list[Mark]] = field(default_factory=dict, repr=False)
    _declared: dict[str, tuple[ComponentSpec, dict[str, Any]]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.prefetch_pool = PrefetchPool(self.device, self.threads, self.jobs)

    def build(self, spec: ComponentSpec) -> Any:
        """Return the component of a spec, built once a process."""
        if spec.digest not in self._built:
            with global_random.seeded(seed_for(0, f"build/{spec.text}"), self.device):
                built = self.registry.build(spec)
            guard_class(f"{spec.kind} {spec.name}", type(built), own=spec.is_own)
            self._built[spec.digest], self._declared[spec.digest] = built, (spec, declared(spec, built))
        return self._built[spec.digest]

    @property
    def components(self) -> list[tuple[str, object]]:
        """What was built: "solver heun" and the component, say."""
        return [(f"{spec.kind} {spec}", self._built[digest]) for digest, (spec, _) in self._declared.items()]

    def altered(self) -> str:
        """Return the component whose parameters, or what its kind promises, somebody changed; "" where none was."""
        for digest, (spec, held) in self._declared.items():
            now = vars(self._built[digest])
            for name, value in held.items():
                if name not in now or not _same(now[name], value):
                    return f"{name} of {spec.kind} {spec}"
        return ""

    @contextmanager
    def unchanged(self, who: str, part: ComponentSpec | None = None) -> Iterator[None]:
        """Raise ProcessChanged where what is called inside changes the process or a component, whether it fails or not.

        What it has computed, and what is computed here after it, would then be another's. `part` is the component that
        is called inside, where it is a part of a unit, which is compared as a whole at its end. That is enough as long
        as there are only fmbench's own components, which change nothing.
        """
        if part is not None and part.is_own and not strangers_at_work():
            yield
            return
        try:
            with unchanged(who, part and part.digest):
                yield
        except (ProcessChanged, KeyboardInterrupt):
            raise
        except BaseException as error:
            if altered := self.altered():
                failed = f"it failed, too, with {type(error).__name__}"
                raise ProcessChanged(f"{_altered(who, altered)}; {failed}") from error
            raise
        if altered := self.altered():
            raise ProcessChanged(_altered(who, altered))

    def load(self, spec: ComponentSpec, split: Split) -> tuple[Tensor, Tensor | None]:
        """Return a dataset's split in the machine's memory, loaded and checked once a process. Raises DataError."""
        if (spec.digest, split) not in self._loaded:
            dataset: contracts.Dataset = self.build(spec)
            if split not in splits_of(dataset):
                raise DataError(f"{spec} has no validation split: it does not provide {contracts.VALIDATION!r}")
            seed = seed_for(0, f"load/{split}", spec.text)
            with unchanged(f"dataset {spec}"), global_random.seeded(seed, self.device):
                loaded = dataset.load(split)  # type: ignore[arg-type]  # of a third split know those that provide it
                self._loaded[spec.digest, split] = check_split(str(spec), dataset, split, loaded)
            self._declared[spec.digest] = spec, declared(spec, dataset)  # it may know of its shape only now
        return self._loaded[spec.digest, split]

    def data(self, spec: ComponentSpec, split: Split) -> tuple[Tensor, Tensor | None]:
        """Return a dataset's split on the device, put there once a process."""
        if (spec.digest, split) not in self._data:
            x, y = self.load(spec, split)
            found = (x.to(self.device), None if y is None else y.to(self.device))
            self._data[spec.digest, split], self._versions[spec.digest, split] = found, marks(found)
        return self._data[spec.digest, split]

    def reload_modified(self) -> bool:
        """Forget data that somebody changed in place, so that they are loaded anew; return whether there were any."""
        spoilt = [key for key, then in self._versions.items() if marks(self._data[key]) != then]
        for key in spoilt:
            for memory in (self._loaded, self._data, self._versions):
                memory.pop(key, None)
        return bool(spoilt)

    def generator(self, cell: TrainingCell | ReferenceCell, role: str) -> Generator:
        """Return the generator of a role: the same for every cell of this seed and dataset."""
        return Generator(self.device).manual_seed(seed_for(cell.seed, role, cell.dataset.text))

    @property
    def cache(self) -> Path:
        """The folder for reference statistics."""
        return self.store.cache()


def declared(spec: ComponentSpec, component: Any) -> dict[str, Any]:
    """Return those attributes of a component that are its parameters, or that its kind promises, by name."""
    promised = contracts.CONTRACTS[spec.kind]
    held = getattr(component, "__dict__", {})
    return {name: value for name, value in held.items() if name in spec.parameters or hasattr(promised, name)}


def _altered(who: str, what: str) -> str:
    return f"{who} changed {what}, which others use: a component may change only itself"


def _same(one: Any, other: Any) -> bool:
    try:
        return one is other or bool(one == other)
    except Exception:  # they cannot be compared, so they are not one
        return False
