"""From a cell, which is plain data, to the objects that compute it: components, data, network, generators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path as FilePath
from typing import Any

import torch
from torch import Generator, Tensor, nn

from fmbench import contracts, global_random
from fmbench.ahead import SideThreads
from fmbench.cells import ComponentSpec, TrainingCell, seed_for
from fmbench.dataset_checks import Split, check_split
from fmbench.errors import ProcessChanged, UserError
from fmbench.hardware import choose_precision, device_type
from fmbench.process_state import guard_class, unchanged
from fmbench.references import ReferenceCell
from fmbench.registry import Registry
from fmbench.store import Store
from fmbench.untouched import Mark, marks


@dataclass
class Workshop:
    """What a process that computes cells keeps between them.

    `threads` and `jobs` are recorded with every training: how many threads computed it, and how many processes shared
    the machine. `checkpoint_seconds` is how much work a killed training may lose. `spoilt` says, once a component has
    changed the process, which did and how: what is computed here after that would be another's.
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
    side_threads: SideThreads = field(init=False, repr=False)
    _built: dict[str, Any] = field(default_factory=dict, repr=False)
    _loaded: dict[tuple[str, Split], tuple[Tensor, Tensor | None]] = field(default_factory=dict, repr=False)
    _data: dict[tuple[str, Split], tuple[Tensor, Tensor | None]] = field(default_factory=dict, repr=False)
    _versions: dict[tuple[str, Split], list[Mark]] = field(default_factory=dict, repr=False)
    _declared: dict[str, tuple[ComponentSpec, dict[str, Any]]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.side_threads = SideThreads(self.device, self.threads, self.jobs)

    def build(self, spec: ComponentSpec) -> Any:
        """Return the component of a spec, built once a process."""
        if spec.digest not in self._built:
            with global_random.seeded(seed_for(0, f"build/{spec.text}"), self.device):
                built = self.registry.build(spec)
            guard_class(f"{spec.kind} {spec.name}", type(built))
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
    def unchanged(self, who: str) -> Iterator[None]:
        """Raise ProcessChanged where what is called inside changes the process or a component, whether it fails or not.

        What it has computed, and what is computed here after it, would then be another's.
        """
        try:
            with unchanged(who):
                yield
        except (ProcessChanged, KeyboardInterrupt):
            raise
        except BaseException as error:
            if altered := self.altered():
                raise ProcessChanged(
                    f"{_altered(who, altered)}; it failed, too, with {type(error).__name__}"
                ) from error
            raise
        if altered := self.altered():
            raise ProcessChanged(_altered(who, altered))

    def load(self, spec: ComponentSpec, split: Split) -> tuple[Tensor, Tensor | None]:
        """Return a dataset's split in the machine's memory, loaded and checked once a process. Raises DataError."""
        if (spec.digest, split) not in self._loaded:
            dataset: contracts.Dataset = self.build(spec)
            seed = seed_for(0, f"load/{split}", spec.text)
            with unchanged(f"dataset {spec}"), global_random.seeded(seed, self.device):
                self._loaded[spec.digest, split] = check_split(str(spec), dataset, split, dataset.load(split))
            self._declared[spec.digest] = spec, declared(spec, dataset)  # it may know of its shape only now
        return self._loaded[spec.digest, split]

    def data(self, spec: ComponentSpec, split: Split) -> tuple[Tensor, Tensor | None]:
        """Return a dataset's split on the device, put there once a process."""
        if (spec.digest, split) not in self._data:
            x, y = self.load(spec, split)
            found = (x.to(self.device), None if y is None else y.to(self.device))
            self._data[spec.digest, split], self._versions[spec.digest, split] = found, marks(found)
        return self._data[spec.digest, split]

    def drop_spoilt(self) -> bool:
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
    def cache(self) -> FilePath:
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


@dataclass
class Parts:
    """The components of a training cell, and what follows from them."""

    dataset: contracts.Dataset
    path: contracts.Path
    coupling: contracts.Coupling
    t_distribution: contracts.TDistribution
    objective: contracts.Objective
    network: contracts.Network
    classes: int
    precision: str

    def autocast(self, device: str) -> Callable[[], AbstractContextManager[object]]:
        """Return what makes the context in which the network is called: bfloat16 where that is the precision."""
        if self.precision != "bf16":
            return nullcontext
        return partial(torch.autocast, device_type(device), dtype=torch.bfloat16)


def assemble(cell: TrainingCell, workshop: Workshop) -> Parts:
    """Build the components of a cell. Raises ComponentError or DataError."""
    dataset, path, coupling, t_distribution, objective, network = map(workshop.build, cell.components)
    classes = dataset.classes if cell.settings["class_conditional"] else 0
    precision = choose_precision(cell.settings["precision"], network.bf16, workshop.device)
    return Parts(dataset, path, coupling, t_distribution, objective, network, classes, precision)


def make_module(cell: TrainingCell, parts: Parts, device: str) -> nn.Module:
    """Build the network with the initial weights of the cell's seed; the global random state is left as it was."""
    seed = seed_for(cell.seed, "initial_weights", cell.dataset.text)
    with unchanged(f"network {cell.network}"), global_random.seeded(seed, device):
        try:
            module = parts.network.build(parts.dataset.shape, parts.classes)
        except ValueError as error:
            raise UserError(f"network {cell.network} cannot be built for {cell.dataset}: {error}") from error
    module = module.to(device)
    if parts.network.channels_last:
        module = module.to(memory_format=torch.channels_last)
    return module


class ModelVelocity:
    """The velocity field of a trained network, with guidance, counting how often the network is called.

    `calls` counts calls of the network times their batch: divided by the number of samples it is the NFE a sample. Set
    `y` to the labels `(batch,)` before integrating a batch, or None where the network takes none. Guidance w gives
    v_none + w (v_y - v_none) (Ho & Salimans 2022, eq. 6 with w shifted by one) and costs two calls unless w is 0 or 1.
    The network is called with at most `most` examples at once, and `calls` does not say in how many pieces; None is no
    limit. Where it stands for several `members`, that is for each of them.
    """

    def __init__(
        self,
        module: nn.Module,
        parts: Parts,
        guidance: float,
        device: str,
        generator: Generator,
        most: int | None = None,
        members: int = 1,
    ) -> None:
        self.path = parts.path
        self.generator = generator
        self.y: Tensor | None = None
        self.calls = 0
        self.most = most
        self._members = members
        self._module = module
        self._parts = parts
        self._guidance = guidance
        self._autocast = parts.autocast(device)

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        if self.y is None:
            return self._velocity(x, t, None)
        if self._guidance == 1.0:
            return self._velocity(x, t, self.y)
        without = self._velocity(x, t, torch.full_like(self.y, self._parts.classes))
        if self._guidance == 0.0:
            return without
        return torch.lerp(without, self._velocity(x, t, self.y), self._guidance)

    def _velocity(self, x: Tensor, t: Tensor, y: Tensor | None) -> Tensor:
        self.calls += x.shape[0]
        with self._autocast():
            output = in_pieces(self._module, (x, t) if y is None else (x, t, y), self.most, self._members)
        return self._parts.objective.velocity(output.to(x.dtype), x, t, self._parts.path)


def in_pieces(call: Callable[..., Tensor], inputs: Sequence[Tensor], most: int | None, members: int = 1) -> Tensor:
    """Return `call(*inputs)`, made with at most `most` examples of each member at once.

    Inputs and output are `(members * batch, ...)`, one member after the other.
    """
    if most is None or len(inputs[0]) <= most * members:
        return call(*inputs)
    by_member = (torch.split(value.reshape(members, -1, *value.shape[1:]), most, 1) for value in inputs)
    outputs = [call(*(value.flatten(0, 1) for value in piece)) for piece in zip(*by_member, strict=True)]
    return torch.cat([value.reshape(members, -1, *value.shape[1:]) for value in outputs], 1).flatten(0, 1)
