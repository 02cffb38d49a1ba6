"""Why a cell of the product is left out: what its components need and do not get, and what a solver cannot spend."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, cast

from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.keys import digest
from fmbench.cells.setting_axes import setting_value
from fmbench.cells.snapshots import post_hoc_length
from fmbench.components.solver_times import fault_of, solver_times
from fmbench.errors import PluginError
from fmbench.plan.axes import COMPONENT_AXES, EVALUATION_AXES, NOT_ASKED, TRAINING_AXES, Axes, Indices, shown_choice
from fmbench.plan.given_models import GIVEN, LABELS, NO_LABEL, TRAINED
from fmbench.plan.given_samples import MADE_ELSEWHERE
from fmbench.plan.guidance import Guidances
from fmbench.plan.plan import NETWORK, MetricRule, Scope, with_granted
from fmbench.plan.result_code import result_code_fingerprint
from fmbench.suite import Suite

if TYPE_CHECKING:
    from fmbench.components.contracts import Grid
    from fmbench.plugins.registry import Registry

CONDITIONS = {"classes": "labels", "vectors": "vectors"}
"""What a dataset provides whose examples have conditions, and what a network must then take; see `fmbench.Dataset`."""
GRANTED = {LABELS: "training.class_conditional: true", NO_LABEL: "training.label_dropout above 0"}
"""Capabilities that settings grant: the network is told the condition; it can be asked without one."""
DECLARED = {LABELS: "labels: true", NO_LABEL: "no_label, its index of no label"}
"""The same, of a model that exists already."""
OF_SAMPLES = "samples_only"
"""What a metric provides whose score is of samples and labels alone, so that real data have one too."""
NO_AVERAGE = "no average"
"""What is said among the capabilities of trainings whose ema is 0."""
OF_WEIGHTS = ("weights", "at_step")
"""The evaluation axes that say which weights of a training."""


class Gap(NamedTuple):
    """What left-out cells have in common, and why they are left out."""

    cell: str
    reason: str


class Missing(NamedTuple):
    """A component of an evaluation needs what nobody in its cell provides; who could have, the training cell tells."""

    axis: str
    number: int
    capability: str


class Rules:
    """Judges cells, given as indices into the axes."""

    def __init__(self, suite: Suite, axes: Axes, registry: Registry) -> None:
        self.suite, self.axes, self.registry = suite, axes, registry
        self.guidances = Guidances(axes, registry)
        kinds = [axis for axis in (*COMPONENT_AXES, "solver", "grid") if axes.specs(axis)]
        self.provides = {kind: [self._provided(spec) for spec in axes.specs(kind)] for kind in kinds}
        self._times_faults: dict[tuple[int, int], str] = {}
        self.requires = {kind: [self._required(spec) for spec in axes.specs(kind)] for kind in kinds}

    def _provided(self, spec: ComponentSpec) -> frozenset[str]:
        if spec.is_registered:
            return provided_by(spec, self.registry)
        return self.axes.samples[spec.digest].provides if spec.digest in self.axes.samples else frozenset()

    def _required(self, spec: ComponentSpec) -> frozenset[str]:
        return required_by(spec, self.registry) if spec.is_registered else frozenset()

    def all_provided(self, others: Iterable[ComponentSpec]) -> dict[str, frozenset[str]]:
        """Return what each component of the axes and each of some others provides, by its digest."""
        specs = {kind: self.axes.specs(kind) for kind in self.provides}
        found = {spec.digest: self.provides[kind][i] for kind in specs for i, spec in enumerate(specs[kind])}
        for spec in others:
            if spec.digest not in found:
                found[spec.digest] = provided_by(spec, self.registry)
        return found

    def capabilities(self, training: Indices) -> frozenset[str]:
        """Return what the components of a training cell provide together."""
        pairs = zip(COMPONENT_AXES, training, strict=False)
        return with_granted(frozenset().union(*(self.provides[axis][index] for axis, index in pairs)), self.granted)

    def is_averaged(self, training: Indices) -> bool:
        """Tell whether the weights of a training cell have a moving average; a model has one kind of weights."""
        ema = training[TRAINING_AXES.index("ema")]
        return ema == NOT_ASKED or setting_value(self.axes.specs("ema")[ema]) != 0

    def training_steps(self, training: Indices) -> int:
        """Return the number of steps of a training cell; 0 of what was made elsewhere."""
        index = training[TRAINING_AXES.index("steps")]
        return 0 if index == NOT_ASKED else int(self.axes.specs("steps")[index].name)

    @cached_property
    def granted(self) -> frozenset[str]:
        """What the suite's settings grant, of GRANTED."""
        training = self.suite.training
        if not training.class_conditional:
            return frozenset({NO_LABEL})
        return frozenset({LABELS, NO_LABEL} if training.label_dropout else {LABELS})

    def training_gap(self, training: Indices) -> Gap | None:
        """Return why a training cell is left out, or None."""
        cell = dict(zip(COMPONENT_AXES, training, strict=False))
        if MADE_ELSEWHERE in self.provides["network"][cell["network"]]:
            return None
        given = GIVEN in self.provides["network"][cell["network"]]
        granted = frozenset() if given else self.granted
        for axis, index in cell.items():
            others = granted.union(*(self.provides[a][i] for a, i in cell.items() if a != axis))
            for capability in sorted(self.requires[axis][index] - others):
                return self.gap(axis, self.axes.words(axis, index), capability, training)
        if LABELS not in granted:
            return None
        dataset, network = (self.axes.specs(axis)[cell[axis]] for axis in ("dataset", "network"))
        return condition_gap(dataset, network, self.registry)

    def evaluation_gap(self, evaluation: Indices, capabilities: frozenset[str], steps: int) -> Gap | Missing | None:
        """Return why an evaluation is left out of training cells with these capabilities and so many steps, or None."""
        if MADE_ELSEWHERE in capabilities:
            return None
        solver, grid, _, _, guidance, _ = evaluation
        for capability in sorted(frozenset(self.guidances.requires[guidance]) - capabilities):
            return self._guidance_gap(guidance, capability, is_given=GIVEN in capabilities)
        if gap := self._weights_gap(evaluation, capabilities, steps):
            return gap
        if self.steps(evaluation) == 0:
            return self._budget_gap(evaluation)
        present = {"solver": solver} if grid == NOT_ASKED else {"solver": solver, "grid": grid}
        for axis, index in present.items():
            others = capabilities.union(*(self.provides[a][i] for a, i in present.items() if a != axis))
            for capability in sorted(self.requires[axis][index] - others):
                return Missing(axis, index, capability)
        return self._times_gap(evaluation)

    def _guidance_gap(self, guidance: int, capability: str, *, is_given: bool) -> Gap | Missing:
        """Say that a guidance needs what the training cell lacks."""
        if isinstance(self.axes.values["guidance"][guidance], ComponentSpec) or capability not in GRANTED:
            return Missing("guidance", guidance, capability)
        needed = f"a model with {DECLARED[capability]}" if is_given else GRANTED[capability]
        return Gap(self.axes.words("guidance", guidance), f"guidance other than 1 needs {needed}")

    def _weights_gap(self, evaluation: Indices, capabilities: frozenset[str], steps: int) -> Gap | None:
        """Return why a training of so many steps, or a model that exists already, has no such weights, or None."""
        weights, at_step = (self.axes.values[axis][evaluation[EVALUATION_AXES.index(axis)]] for axis in OF_WEIGHTS)
        cell, given, held = f"weights={weights}", GIVEN in capabilities, self.axes.values
        if given and weights != "ema":
            return Gap(cell, "a model that exists already has one kind of weights, which stands as ema")
        if NO_AVERAGE in capabilities and weights == "raw" and "ema" in held["weights"]:
            some = "ema=0 " if len(held["ema"]) > 1 else ""
            return Gap(f"{some}{cell}", "training.ema is 0, so the averaged weights are the raw ones")
        if post_hoc_length(str(weights)) is not None and not self.suite.training.post_hoc_ema:
            return Gap(cell, "averages that are made afterwards need training.post_hoc_ema: true")
        if not isinstance(at_step, int) or at_step == steps:
            return None
        if given:
            return Gap(f"at_step={at_step}", "a model that exists already is not trained here, so it has no such step")
        if at_step > steps:
            return Gap(f"at_step={at_step}", f"a training of {steps} steps has no such step")
        if weights not in {"ema", "raw"}:
            return Gap(f"{cell} at_step={at_step}", "they are made of the whole training, and are those of its end")
        return None

    def _times_gap(self, evaluation: Indices) -> Gap | None:
        """Return why a grid cannot be cut into as many steps as the NFE pays for, or None."""
        grid, steps = evaluation[EVALUATION_AXES.index("grid")], self.steps(evaluation)
        if grid == NOT_ASKED or steps is None:
            return None
        if (grid, steps) not in self._times_faults:
            self._times_faults[grid, steps] = self._times_fault(self.axes.specs("grid")[grid], steps)
        if not (fault := self._times_faults[grid, steps]):
            return None
        return Gap(f"{self.axes.words('grid', grid)} {self.axes.words('nfe', evaluation[-1])}", fault)

    def _times_fault(self, spec: ComponentSpec, steps: int) -> str:
        """Return what is wrong with a grid's times, or nothing; asked of the grid itself where it is not known.

        A grid that cannot be built or that fails stays in the plan: its cells fail, each with the grid's own error.
        """
        if steps <= self.registry.attribute(spec, "distinct_steps") and self.registry.has_defaults(spec):
            return ""
        try:
            return fault_of(solver_times(cast("Grid", self.registry.build(spec)), steps))
        except Exception:
            return ""

    def steps(self, evaluation: Indices) -> int | None:
        """Return the steps that spend the NFE exactly; 0 where there are none, None where nobody sets them."""
        solver, grid, _, _, guidance, nfe = evaluation
        if nfe == NOT_ASKED or not self.axes.specs("solver")[solver].is_registered:
            return None
        budget = self.axes.values["nfe"][nfe]
        assert isinstance(budget, int)
        if not self.guidances.calls[guidance]:
            return self.guidances.steps(solver, grid, guidance, budget)[0]
        per_step, offset = self._cost(evaluation)
        steps, rest = divmod(budget - offset, per_step)
        return steps if steps > 0 and not rest else 0

    def _cost(self, evaluation: Indices) -> tuple[int, int]:
        """Return the network's calls a step and besides, for a guidance that always makes as many calls."""
        solver, _, _, _, guidance, _ = evaluation
        calls = self.guidances.calls[guidance]
        per_step, offset = self._costs[solver]
        return calls * per_step, calls * offset

    @cached_property
    def _costs(self) -> list[tuple[int, int]]:
        """Calls a step and calls besides, of each solver."""
        costs = []
        for spec in self.axes.specs("solver"):
            if not spec.is_registered:
                costs.append((1, 0))
                continue
            per_step, offset = (self.registry.attribute(spec, name) for name in ("nfe_per_step", "nfe_offset"))
            if not isinstance(per_step, int) or per_step < 1 or not isinstance(offset, int):
                raise PluginError(
                    f"solver {spec.name!r} of {spec.owner}: nfe_per_step must be a whole number, 1 or more, and "
                    f"nfe_offset a whole number; found {per_step!r} and {offset!r}"
                )
            costs.append((per_step, offset))
        return costs

    def _budget_gap(self, evaluation: Indices) -> Gap:
        solver, grid, _, _, guidance, nfe = evaluation
        words = f"{self.axes.words('solver', solver)} {self.axes.words('nfe', nfe)}"
        if not self.guidances.calls[guidance]:
            asked = self.axes.values["nfe"][nfe]
            assert isinstance(asked, int)
            reason = self.guidances.steps(solver, grid, guidance, asked)[1]
            return Gap(f"{words} {self.axes.words('guidance', guidance)} {self.axes.words('grid', grid)}", reason)
        name, budget = self.axes.specs("solver")[solver].name, shown_choice(self.axes.values["nfe"][nfe])
        per_step, offset = self._cost(evaluation)
        if (per_step, offset) != self._costs[solver]:
            name = f"{name} under guidance {shown_choice(self.axes.values['guidance'][guidance])}"
        if offset:
            calls = f"{per_step if per_step > 1 else ''}N {'+' if offset > 0 else '-'} {abs(offset)}"
            reason = f"{name} calls the network {calls} times in N steps; {budget} is no such number"
        else:
            reason = f"{name} calls the network {per_step} times a step; {budget} is not a multiple of it"
        return Gap(words, reason)

    def gap(self, kind: str, words: str, capability: str, training: Indices) -> Gap:
        """Say that a component (`words`) needs what the training cell lacks, and who could have provided it.

        Who could: the components of those kinds of which the suite holds one that does.
        """
        name = words.partition("=")[2]
        if capability in GRANTED:
            given = GIVEN in self.provides["network"][training[COMPONENT_AXES.index("network")]]
            return Gap(words, f"{name} needs {capability!r}: set {(DECLARED if given else GRANTED)[capability]}")
        if kind == "guidance" and capability == TRAINED:
            axis = TRAINING_AXES.index("network")
            model = self.axes.words("network", training[axis])
            return Gap(f"{model} {words}", f"{name} needs a model that is trained here; this one existed before")
        able = [a for a in COMPONENT_AXES if a != kind and any(capability in p for p in self.provides[a])]
        if not able:
            return Gap(words, f"{name} needs {capability!r}, which no component of the suite provides")
        culprits = {axis: training[TRAINING_AXES.index(axis)] for axis in able}
        names = [str(self.axes.values[axis][index]) for axis, index in culprits.items()]
        lacking = f"{names[0]} does not provide" if len(names) == 1 else f"none of {', '.join(names)} provides"
        cell = [self.axes.words(axis, index) for axis, index in culprits.items()]
        cell.append(words)
        return Gap(" ".join(sorted(cell, key=_order)), f"{name} needs {capability!r}, which {lacking}")

    def metric_gap(self, rule: MetricRule, lacking: str, training: Indices) -> Gap:
        """Say that a metric needs what a training cell, or samples in its place, have not."""
        words, name = f"metric={rule.spec}", str(rule.spec)
        network = TRAINING_AXES.index("network")
        if MADE_ELSEWHERE not in self.provides["network"][training[network]]:
            return self.gap("metric", words, lacking, training)
        if lacking == LABELS:
            return Gap(f"{self.axes.words('network', training[network])} {words}", f"{name} needs samples with labels")
        if lacking in (NETWORK, TRAINED):
            reason = f"{name} is no metric of samples alone ({OF_SAMPLES!r}); made elsewhere, they have no network"
            return Gap(words, reason)
        return self.gap("metric", words, lacking, training)

    def metric_rules(self) -> tuple[list[MetricRule], list[tuple[ComponentSpec, str]]]:
        """Return the metrics that the number of samples is enough for, and the others with the reason."""
        rules, refused = [], []
        samples = self.suite.evaluation.samples
        for spec in self.axes.metrics:
            least = self.registry.attribute(spec, "minimum_samples")
            scope: Scope = self.registry.attribute(spec, "scope")
            if least > samples:
                refused.append((spec, f"{spec.name} needs {least} samples or more; evaluation.samples is {samples}"))
            else:
                of_samples = scope == "evaluation" and OF_SAMPLES in provided_by(spec, self.registry)
                requires = required_by(spec, self.registry) | (set() if of_samples else {NETWORK})
                rules.append(MetricRule(_measured(spec, scope), scope, requires))
        return rules, refused


def provided_by(spec: ComponentSpec, registry: Registry) -> frozenset[str]:
    """Return what a component provides: what it says, and "conditions" where it says of which kind they are."""
    said = frozenset(registry.attribute(spec, "provides"))
    return said | {"conditions"} if said & set(CONDITIONS) else said


def required_by(spec: ComponentSpec, registry: Registry) -> frozenset[str]:
    """Return what a component requires."""
    return frozenset(registry.attribute(spec, "requires"))


def condition_gap(dataset: ComponentSpec, network: ComponentSpec, registry: Registry) -> Gap | None:
    """Return why a network cannot be told the conditions of a dataset's examples, or None."""
    provided = provided_by(dataset, registry)
    kinds = [kind for kind in CONDITIONS if kind in provided]
    if not kinds:
        rule = f"training.class_conditional needs {' or '.join(map(repr, CONDITIONS))}"
        return Gap(f"dataset={dataset}", f"{rule}, which {dataset} has not")
    takes = registry.attribute(network, "takes")
    if not any(CONDITIONS[kind] in takes for kind in kinds):
        wanted, found = " or ".join(CONDITIONS[kind] for kind in kinds), " and ".join(takes) or "no conditions"
        return Gap(f"dataset={dataset} network={network}", f"{dataset} has {wanted}, and {network} takes {found}")
    return None


def _measured(spec: ComponentSpec, scope: Scope) -> ComponentSpec:
    """Return a metric with all code that its values depend on and the key of what it judges does not hold."""
    if scope != "training":
        return spec
    return replace(spec, fingerprint=digest(spec.fingerprint, result_code_fingerprint("measurement")))


def _order(words: str) -> int:
    axis = words.partition("=")[0]
    return TRAINING_AXES.index(axis) if axis in TRAINING_AXES else len(TRAINING_AXES)
