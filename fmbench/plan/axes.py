"""The axes of a suite, resolved: every value once, and the products that the suite asks for, as indices into them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.keys import canonical
from fmbench.cells.setting_axes import SETTING_AXES
from fmbench.errors import ComponentError, PluginError
from fmbench.plan.given_models import given_axes, labelled
from fmbench.plan.given_samples import KINDS_UNKNOWN, GivenSamples, given_samples, unknown
from fmbench.suite import AXES, AxisValue, ComponentRef, Position, Problem, Suite, raise_problems, read_setting

if TYPE_CHECKING:
    from fmbench.plugins.registry import Registry

COMPONENT_AXES = ("dataset", "path", "coupling", "t_distribution", "objective", "network")
"""The training axes that hold components."""
TRAINING_AXES = (*COMPONENT_AXES, *SETTING_AXES, "seed")
EVALUATION_AXES = ("solver", "grid", "weights", "at_step", "guidance", "nfe")
GIVEN_SEEDS = (0,)
"""The seeds of a model's cells, of the noise from which they are sampled, where the suite has none."""
OF_TRAININGS = frozenset(TRAINING_AXES[1:])
"""The axes that a model has values of its own on: all training axes but the dataset."""
NOT_ASKED = -1
"""The index that stands for what there is not: grid and NFE of an adaptive solver, and what of samples nobody says; the
settings of a model.
"""

Choice = ComponentSpec | str | int | float
"""A value of an axis, resolved."""
Indices = tuple[int, ...]
"""A cell: the index of its value on each training axis, or on each evaluation axis."""


@dataclass
class Product:
    """One product: the values of each axis as indices, and the groups of axes that run in step."""

    values: dict[str, Indices]
    zipped: Sequence[tuple[str, ...]]
    adaptive: frozenset[int]
    _evaluations: dict[tuple[int | None, ...], tuple[Indices, ...]] = field(default_factory=dict)

    def cells(self) -> Iterator[tuple[Indices, tuple[Indices, ...]]]:
        """Yield each training cell with its evaluation cells; training cells with the same ones share the tuple."""
        groups = self._groups()
        leading = [group for group in groups if set(group) & set(TRAINING_AXES)]
        following = [group for group in groups if not set(group) & set(TRAINING_AXES)]
        for rows in product(*map(self._rows, leading)):
            chosen = _chosen(leading, rows)
            fixed = tuple(chosen.get(axis) for axis in EVALUATION_AXES)
            if fixed not in self._evaluations:
                self._evaluations[fixed] = self._evaluation_cells(chosen, following)
            yield tuple(chosen[axis] for axis in TRAINING_AXES), self._evaluations[fixed]

    def _groups(self) -> list[tuple[str, ...]]:
        """Return all axes in order, those that run in step as one group at the place of the first of them."""
        group_of = {axis: group for group in self.zipped for axis in group}
        return list(dict.fromkeys(group_of.get(axis, (axis,)) for axis in AXES))

    def _rows(self, group: tuple[str, ...]) -> list[Indices]:
        return list(dict.fromkeys(zip(*(self.values[axis] for axis in group), strict=True)))

    def _evaluation_cells(self, fixed: dict[str, int], groups: list[tuple[str, ...]]) -> tuple[Indices, ...]:
        cells: dict[Indices, None] = {}
        for rows in product(*map(self._rows, groups)):
            chosen = fixed | _chosen(groups, rows)
            if chosen["solver"] in self.adaptive:
                chosen |= {"grid": NOT_ASKED, "nfe": NOT_ASKED}
            cells[tuple(chosen[axis] for axis in EVALUATION_AXES)] = None
        return tuple(cells)


def _chosen(groups: Sequence[tuple[str, ...]], rows: Sequence[Indices]) -> dict[str, int]:
    pairs = zip(groups, rows, strict=True)
    return {axis: index for group, row in pairs for axis, index in zip(group, row, strict=True)}


class Axes:
    """The values of every axis, the suite's own and those of `include`, each once. Raises SuiteError."""

    def __init__(self, suite: Suite, registry: Registry) -> None:
        self.suite = suite
        self.registry = registry
        self.values: dict[str, list[Choice]] = {axis: [] for axis in AXES}
        self._index: dict[tuple[str, Any], int] = {}
        self._specs: dict[tuple[str, str], ComponentSpec | None] = {}
        self._refs: dict[str, ComponentRef] = {}
        self._problems: list[Problem] = []
        own = {axis: self._indices(axis, values) for axis, values in suite.axes.items()}
        others = [{axis: self._indices(axis, v) for axis, v in entry.axes.items()} for entry in suite.include]
        metrics = [self._spec("metric", ref) for ref in suite.evaluation.metrics]
        given = self._given(suite.models)
        self.samples: dict[str, GivenSamples] = {}
        made = self._made_elsewhere([self.values["dataset"][index] for index in own["dataset"]])
        if not suite.trains:
            self._problems += [
                Problem(suite.place("include", number), f"include: {axis} is an axis of trainings; the suite has none.")
                for number, entry in enumerate(suite.include)
                for axis in entry.axes
                if axis in OF_TRAININGS
            ]
        raise_problems(self._problems)
        self.metrics = list(dict.fromkeys(spec for spec in metrics if spec is not None))
        self.adaptive = frozenset(
            index
            for index, spec in enumerate(self.specs("solver"))
            if spec.is_registered and registry.attribute(spec, "adaptive")
        )
        self.blocks = [Product(own, suite.zipped, self.adaptive)]
        for replaced in others:
            # An axis that is replaced no longer runs in step with the others.
            rest = [tuple(axis for axis in group if axis not in replaced) for group in suite.zipped]
            self.blocks.append(Product(own | replaced, [group for group in rest if group], self.adaptive))
        for replaced in ({}, *others):
            if not replaced.keys() & OF_TRAININGS:  # else it asks for trainings
                kept = [axis for axis in AXES if axis not in replaced and axis not in OF_TRAININGS]
                rest = [tuple(axis for axis in group if axis in kept) for group in suite.zipped]
                groups = [group for group in rest if group]
                self.blocks += [Product(own | replaced | one, groups, self.adaptive) for one in given]
        self.blocks += [Product(one, (), self.adaptive) for one in made]

    def _given(self, refs: Sequence[ComponentRef]) -> list[dict[str, Indices]]:
        """Return for each model the values of its cells as indices, by training axis but the dataset.

        Those that are refused are left out, and noted as problems.
        """
        specs = [(ref, spec) for ref in refs if (spec := self._spec("model", ref)) is not None]
        found: list[dict[str, Indices]] = []
        seeds = self.suite.model_seeds or self.suite.training.seeds or GIVEN_SEEDS
        try:
            models = labelled([spec for _, spec in specs], self.registry)
        except ComponentError:  # said below, each at its place
            models = [spec for _, spec in specs]
        for (ref, _), model in zip(specs, models, strict=True):
            try:
                choices = given_axes(model, self.registry)
            except (ComponentError, PluginError) as error:
                self._refuse(ref, error)
            else:
                found.append({axis: (self._number(axis, choice),) for axis, choice in choices.items()})
                found[-1]["seed"] = tuple(self._number("seed", seed) for seed in seeds)
                found[-1] |= dict.fromkeys(SETTING_AXES, (NOT_ASKED,))
        return found

    def _made_elsewhere(self, datasets: Sequence[Choice]) -> list[dict[str, Indices]]:
        """Return for each place of samples the values of its cell as indices, by axis; what is wrong is noted."""
        known = [spec for spec in datasets if isinstance(spec, ComponentSpec)]
        samples, problems = given_samples(self.suite, self.registry, known, [s.name for s in self.specs("network")])
        self._problems += problems
        self.samples = {each.spec.digest: each for each in samples}
        found: list[dict[str, Indices]] = []
        for each in samples:
            choices: dict[str, Choice] = {kind: unknown(kind) for kind in (*KINDS_UNKNOWN, "solver")}
            choices |= {"dataset": each.dataset, "network": each.spec, "seed": each.seed}
            choices |= {"weights": "ema", "guidance": 1.0, **({"nfe": each.nfe} if each.nfe else {})}
            indices = {axis: (self._number(axis, choice),) for axis, choice in choices.items()}
            found.append({axis: indices.get(axis, (NOT_ASKED,)) for axis in AXES})
        return found

    def specs(self, axis: str) -> list[ComponentSpec]:
        """Return the components of an axis."""
        return [value for value in self.values[axis] if isinstance(value, ComponentSpec)]

    def place(self, spec: ComponentSpec, parameter: str) -> Position:
        """Return where a component of the suite is first written, or a parameter of it."""
        return self._place(self._refs[spec.digest], parameter)

    def varied(self, training: Indices) -> tuple[ComponentSpec, ...]:
        """Return the settings of a training cell on those axes that hold several values."""
        chosen = dict(zip(TRAINING_AXES, training, strict=True))
        several = [axis for axis in SETTING_AXES if len(self.values[axis]) > 1 and chosen[axis] != NOT_ASKED]
        return tuple(self.specs(axis)[chosen[axis]] for axis in several)

    def words(self, axis: str, index: int) -> str:
        """Return a value as `axis=value`."""
        return f"{axis}={shown_choice(self.values[axis][index])}"

    def held(self, axis: str) -> str:
        """Return all values of an axis in words."""
        return ", ".join(map(shown_choice, self.values[axis]))

    def _indices(self, axis: str, values: Sequence[AxisValue]) -> Indices:
        found = []
        for value in values:
            choice: Choice | None = value if not isinstance(value, ComponentRef) else self._resolved(axis, value)
            if choice is not None:
                found.append(self._number(axis, choice))
        return tuple(found)

    def _number(self, axis: str, choice: Choice) -> int:
        """Return the index of a value on its axis, to which it is added where it is not there."""
        identity = choice.digest if isinstance(choice, ComponentSpec) else choice
        index = self._index.setdefault((axis, identity), len(self.values[axis]))
        if index == len(self.values[axis]):
            self.values[axis].append(choice)
        return index

    def _resolved(self, axis: str, ref: ComponentRef) -> ComponentSpec | None:
        return read_setting(axis, ref) if axis in SETTING_AXES else self._spec(axis, ref)

    def _spec(self, kind: str, ref: ComponentRef) -> ComponentSpec | None:
        """Resolve a component once; None, and a problem, where the registry refuses it."""
        written = (kind, canonical([ref.name, dict(ref.parameters)]))
        if written not in self._specs:
            try:
                spec = self._specs[written] = self.registry.spec(kind, ref.name, ref.parameters)
                self._refs.setdefault(spec.digest, ref)
                if kind == "guidance" and not self.registry.attribute(spec, "network_calls"):
                    self.registry.build(spec)  # whose calls are counted: what it refuses is said at its place
            except ComponentError as error:
                self._specs[written] = None
                self._refuse(ref, error)
        return self._specs[written]

    def _refuse(self, ref: ComponentRef, error: ComponentError | PluginError) -> None:
        self._problems.append(Problem(self._place(ref, getattr(error, "parameter", None)), str(error)))

    def _place(self, ref: ComponentRef, parameter: str | None) -> Position:
        place = ref.place(parameter)
        return place if place.source else Position(self.suite.path)


def shown_choice(choice: Choice) -> str:
    """Return a value of an axis as tables show it."""
    return f"{choice:g}" if isinstance(choice, float) else str(choice)
