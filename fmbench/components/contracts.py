"""What a component of each kind promises.

**Time convention**, everywhere: state `x` has shape `(batch, *shape)`, time `t` has shape `(batch,)` in [0, 1];
**t=0 is the source (noise), t=1 is the data**. Networks and velocities are called `(x, t)` or `(x, t, y)`.

A component is a class whose annotated keyword parameters are its configuration:

```python
class Lipman(AffinePath):
    def __init__(self, *, sigma_min: Annotated[float, Ge(0)] = 0.0) -> None: ...
```

Components leave the tensors that they are given as they are: others are given the same ones. A path, t-distribution,
objective or metric that changes one in place fails its cell.

Parameters and the class attributes below are read from the source without importing it: write them as literals.
This module does not import torch.
"""

from __future__ import annotations

import pathlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from fmbench.components.gaussian_mixture import Mixture


VALIDATION = "validation"
"""The third split, and what a dataset provides that has it."""


class Component(ABC):  # noqa: B024  (each kind has abstract methods of its own)
    """The base of every kind.

    Attributes:
        reference: where the method comes from (paper and equation, or library).
        provides: capabilities that the other components of a cell may rely on, such as "images" or "affine".
        requires: capabilities that some other component of the cell must provide; a cell without them is left out by
            the plan, with the reason on record. The suite's settings grant "labels" (the network is told the condition,
            a class or a vector) and "no_label" (it can be asked without one).
        files: data files beside the module (weights, say) that count in the component's fingerprint.
        content: names of parameters that are files or folders whose content counts in a cell's key. A value that is no
            text names none: null, or a number.
        omitted_defaults: names of parameters that count in keys and in the seeds of draws only where they differ from
            their defaults: those that were added to a component whose results are kept.
        by_parameter: attributes, all but `files`, that a value of a parameter sets: `{parameter: {value: {attribute:
            value}}}`, such as `{"size": {"large": {"minimum_samples": 1000}}}`. For that value they stand in place of
            the attributes of the same class and of its bases. `...`, written last, stands for any other value. What
            several parameters of one class say of a tuple, such as `provides`, is joined. A component that fmbench
            builds has them as its own.
        registered_name: the name under which the component was built, which fmbench sets: several names may stand for
            one class. What a class itself says holds where somebody else builds it.
    """

    reference: ClassVar[str] = ""
    provides: ClassVar[tuple[str, ...]] = ()
    requires: ClassVar[tuple[str, ...]] = ()
    files: ClassVar[tuple[str, ...]] = ()
    content: ClassVar[tuple[str, ...]] = ()
    omitted_defaults: ClassVar[tuple[str, ...]] = ()
    by_parameter: ClassVar[Mapping[str, Mapping[Any, Mapping[str, Any]]]] = {}
    registered_name: str = ""


class Dataset(Component):
    """Data `x_1` and the source `x_0` that flows into it.

    Capabilities in use: "images" (shape `(channels, height, width)`, values in [-1, 1]), "points" (shape `(dim,)`),
    "classes" (labels 0..classes-1), "vectors" (condition vectors of `condition_width` numbers), "density"
    (`log_density` is exact), "mixture" (`mixture` is the data's exact distribution), "normal_source" (`source` is the
    standard normal), "validation" (`load` knows a third split, on which suites choose settings and weights, so that
    test data choose nothing). What provides "classes" or "vectors" provides "conditions", too, without saying so.

    Attributes:
        shape: shape of one example; may be set in `__init__`.
        classes: number of classes, 0 when there are none.
        condition_width: numbers of an example's condition vector, 0 when there are none; then there are no classes.
    """

    shape: tuple[int, ...]
    classes: int = 0
    condition_width: int = 0

    @abstractmethod
    def load(self, split: Literal["train", "test"]) -> tuple[Tensor, Tensor | None]:
        """Return float32 data `(n, *shape)` and conditions: int64 labels `(n,)`, float32 vectors, or None.

        Vectors are `(n, condition_width)` and finite.

        The splits are disjoint and the same on every call and machine. Raises DataError when the data cannot be had.
        A dataset that provides "validation" takes `split` "validation" too; what is in that split is not in "train".
        """

    def describe(self) -> str:
        """Say in a sentence or two what `load` will read: how many examples of how many classes, what is left out, why.

        Shown by `fmbench plan` and before a run, so it must be quick: list files, read none, and import no torch. Empty
        where there is nothing to say.
        """
        return ""

    def source(self, n: int, generator: Generator) -> Tensor:
        """Draw `x_0`, float32 `(n, *shape)` on the generator's device: standard normal unless overridden."""
        import torch

        return torch.randn((n, *self.shape), generator=generator, device=generator.device)

    def log_density(self, x: Tensor) -> Tensor | None:
        """Return the exact log-density of the data at `x`, `(batch,)`, in nats; None where it is not known."""
        return None

    def mixture(self) -> Mixture | None:
        """Return the data's distribution where it is a mixture of Gaussians; None where it is not."""
        return None


@dataclass(slots=True)
class PathSample:
    """A draw from a probability path: what an objective needs to compute its loss.

    `x_t` and `dx_t` have the shape of `x_0` and `x_1`; `dx_t` is the conditional velocity, d x_t / d t. `epsilon` is
    the extra noise of a stochastic path, None elsewhere. `y` are the conditions that the network is told, None without.
    """

    x_0: Tensor
    x_1: Tensor
    t: Tensor
    x_t: Tensor
    dx_t: Tensor
    epsilon: Tensor | None = None
    y: Tensor | None = None


Coefficients = tuple["Tensor", "Tensor", "Tensor", "Tensor"]
"""`alpha_t, sigma_t, d_alpha_t, d_sigma_t`, each of the shape and dtype of `t`."""


class ProbabilityPath(Component):
    """A probability path p_t between the source (t=0) and the data (t=1), given as a conditional flow.

    Capabilities in use: "affine" (it is an `AffinePath`), "gaussian" (`gaussian` is defined), "straight" (x_t is
    t x_1 + (1-t) x_0).
    """

    @abstractmethod
    def sample(self, x_0: Tensor, x_1: Tensor, t: Tensor, generator: Generator) -> PathSample:
        """Draw `x_t` and its velocity for paired `x_0`, `x_1` of shape `(batch, *shape)` at `t` of shape `(batch,)`.

        `generator` is for paths with noise of their own; draws from it depend only on the shape of `x_0`.
        """

    def gaussian(self, t: Tensor) -> Coefficients:
        """Return the coefficients of the affine path with the same marginals and the same marginal velocity.

        Each is of the shape of `t`, `(batch,)`. That is for a standard normal source that is paired independently: then
        x_t given x_1 is normal with mean alpha_t x_1 and deviation sigma_t, and what the path draws besides is part of
        that noise.
        """
        raise NotImplementedError(f'{type(self).__name__} does not provide "gaussian"')


Path = ProbabilityPath
"""The name by which plugins know it."""


class AffinePath(ProbabilityPath):
    """x_t = alpha_t x_1 + sigma_t x_0, with dx_t = d_alpha_t x_1 + d_sigma_t x_0 (Lipman et al. 2024, eq. 4.14)."""

    provides = ("affine", "gaussian")

    @abstractmethod
    def coefficients(self, t: Tensor) -> Coefficients:
        """Return `alpha_t, sigma_t, d_alpha_t, d_sigma_t`, each of the shape and dtype of `t`."""

    def gaussian(self, t: Tensor) -> Coefficients:
        """Return the path's own coefficients, each of the shape of `t`."""
        return self.coefficients(t)

    def sample(self, x_0: Tensor, x_1: Tensor, t: Tensor, generator: Generator) -> PathSample:
        """Combine `x_0` and `x_1`, both `(batch, *shape)`, by the coefficients at `t` `(batch,)`."""
        alpha_t, sigma_t, d_alpha_t, d_sigma_t = (expand(c, x_1) for c in self.coefficients(t))
        return PathSample(x_0, x_1, t, alpha_t * x_1 + sigma_t * x_0, d_alpha_t * x_1 + d_sigma_t * x_0)


class Coupling(Component):
    """How source and data are paired before training sees them.

    Capabilities in use: "independent" (x_0 says nothing of its x_1).

    Attributes:
        pool: how many training batches are paired at once; may be set in `__init__`.
        permutes: whether pairing only reorders `x_0`; a coupling that draws pairs at random may repeat some.
        draws: whether pairing draws from its generator; else batches may be paired side by side in threads.
        teacher: the name of the parameter that says how the teacher's training cell differs from this one, as
            `{kind: component}`; "" for a coupling without a teacher. The plan trains the teacher first.
    """

    pool: int = 1
    permutes: ClassVar[bool] = True
    draws: ClassVar[bool] = True
    teacher: ClassVar[str] = ""

    @abstractmethod
    def pair(
        self, x_0: Tensor, x_1: Tensor, y: Tensor | None, generator: Generator
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return re-paired `x_0`, `x_1` `(batch, *shape)` and conditions `y`: labels `(batch,)`, vectors or None.

        The marginals stay as they are and conditions travel with their `x_1`. A pool of batches is given as one batch.
        """

    def fit(self, teacher: Velocity, source: Callable[[int], tuple[Tensor, Tensor | None]]) -> Mapping[str, Tensor]:
        """Return what pairing must know of the teacher. It is kept in the store, and handed to `with_fit`.

        Components that name this method `study`, as it was called before, work as they are.

        `source(n)` draws `x_0` `(n, *shape)` and n conditions, or None where the teacher takes none; set `teacher.y`
        to the conditions of a batch before asking for velocities.
        """
        return _earlier(self, "fit", "study")(teacher, source)  # type: ignore[no-any-return]

    def with_fit(self, fitted: Mapping[str, Tensor]) -> Coupling:
        """Return the coupling that pairs with what was fitted, tensors of any shape; this one stays as it is.

        Components that name this method `remember`, as it was called before, work as they are.
        """
        return _earlier(self, "with_fit", "remember")(fitted)  # type: ignore[no-any-return]


def _earlier(component: Component, method: str, earlier: str) -> Callable[..., Any]:
    """Return the method under its earlier name. Raises NotImplementedError where the component has neither."""
    found: Callable[..., Any] | None = getattr(component, earlier, None)
    if found is None:
        raise NotImplementedError(f"{type(component).__name__} names a teacher, so it must define {method}")
    return found


class TDistribution(Component):
    """The distribution from which training draws t in [0, 1]."""

    @abstractmethod
    def quantile(self, u: Tensor) -> Tensor:
        """Map uniforms `u` in (0, 1) to t, elementwise and increasing: the inverse CDF. Drawing is always this."""

    @abstractmethod
    def density(self, t: Tensor) -> Tensor:
        """Return the probability density at `t` in (0, 1), elementwise."""


class Objective(Component):
    """What the network's output means, and the loss that teaches it."""

    @abstractmethod
    def loss(self, output: Tensor, sample: PathSample) -> Tensor:
        """Return the loss of each example, `(batch,)`, averaged over the dimensions of an example."""

    @abstractmethod
    def velocity(self, output: Tensor, x: Tensor, t: Tensor, path: ProbabilityPath) -> Tensor:
        """Convert the network's output at `(x, t)` to the velocity that solvers integrate, of the shape of `x`."""


class Network(Component):
    """Builds a network that is called `(x, t)`, or `(x, t, y)` where it was built for classes or for vectors.

    Its module computes the same from the same inputs, whatever it was called with before: calls are shared, and what it
    does may be listed once for a fleet. One that draws from torch's global generator while it trains is trained alone.

    Attributes:
        bf16: whether autocast to bfloat16 pays where the device has it natively (convolutions and large products).
        channels_last: whether the module should be kept in torch's channels_last memory format.
        takes: which conditions it can be built for: "labels", "vectors".
    """

    bf16: ClassVar[bool] = False
    channels_last: ClassVar[bool] = False
    takes: ClassVar[tuple[str, ...]] = ("labels",)

    @abstractmethod
    def build(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return a module for examples of `shape`; its output has the shape of `x`.

        With `classes` > 0 it takes `y`, int64 `(batch,)`, values 0..classes, where `classes` itself means "no label".
        A network that takes "vectors" has a third parameter, `condition_width: int = 0`, and is given it where that is
        not 0: `y` is then float32 `(batch, condition_width)`, and a row with NaN means "no vector", for that example.
        Raises ValueError when the shape cannot be served.
        """


class Model(Component):
    """A network that exists already: it was trained elsewhere, or needs no training.

    It stands where a trained network stands: every solver, grid, NFE and metric takes it. What it was trained for is
    declared and never guessed: each model has a parameter `path`, the probability path, written as a suite writes it,
    and says what its output is in `predicts`. The samples of its dataset are what it is compared with. A model that
    takes labels provides "labels" and requires "classes", and "no_label" where it can be asked without one.

    Attributes:
        network: the parameter that holds the network which the weights are for: `{mlp: {width: 64}}` of the networks
            that are registered, or `{"file.py:Class": {...}}` of anybody's; empty where the model needs none.
        predicts: what the network's output is: "velocity", "x_1" (the data), "noise", "score" or "v" (alpha_t x_0 -
            sigma_t x_1); a parameter of this name goes before. All but the velocity need an affine path.
    """

    provides: ClassVar[tuple[str, ...]] = ("given",)
    network: ClassVar[str] = ""
    predicts: ClassVar[str] = "velocity"

    @abstractmethod
    def build(self, dataset: Dataset, path: ProbabilityPath, network: Any) -> nn.Module:
        """Return the network with its weights, called `(x, t)` in fmbench's time convention.

        `x` is `(batch, *dataset.shape)`, t `(batch,)`; the output has the shape of `x`, and is the velocity dx/dt (of
        "velocity" and "v"), the data, or the noise (of "noise" and "score"). One that takes labels is called `(x, t,
        y)`, y int64 `(batch,)`, where `dataset.classes` means "no label". `network` is what the parameter that the
        attribute names holds: a torch.nn.Module with any weights, or what a function of the user's returned; None
        without one. Raises DataError where the weights cannot be read, or do not fit.

        A network that works in a space of its own, such as latents, is returned as a module with `state_shape`, the
        shape of its `x`, and `decode(x)`, which returns data `(batch, *dataset.shape)`. Its source is the standard
        normal of that shape, so the model requires "normal_source". Metrics of its samples see the data; those that
        ask the velocity at data have no value.
        """


class Velocity(Protocol):
    """The velocity field that a solver integrates.

    Solvers of a diffusion form find the affine path in `path`; stochastic ones draw from `generator`. `y` are the
    conditions that the next calls are for, None where the network takes none; to set them begins an integration.
    """

    path: ProbabilityPath
    generator: Generator
    y: Tensor | None

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """Return dx/dt at `x` `(batch, *shape)` and `t` `(batch,)`, of the shape of `x`."""


class NetworkCalls(Protocol):
    """The velocities of networks, as a guidance asks for them at `x` `(batch, *shape)` and `t` `(batch,)`.

    Each call is one of the NFE. `memory` is what a guidance keeps during one integration of a batch: empty at its
    start, and there only where the guidance is `stateful`.
    """

    path: ProbabilityPath

    @property
    def memory(self) -> dict[str, Any]:
        """What the guidance keeps from one call to the next."""

    def conditional(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the velocity at `x` and `t` `(batch,)` given the labels, or the only one where there are none."""

    def unconditional(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the velocity at `x` and `t` `(batch,)` without a label."""

    def weaker(self, x: Tensor, t: Tensor) -> Tensor:
        """Return that of the weaker model at `x` and `t` `(batch,)`, given what `conditional` is given."""


class Guidance(Component):
    """Combines the velocities of one or two networks into the one that solvers integrate.

    It treats each example by itself, and `t` may differ between examples. A guidance that asks for what a network
    gives without a label requires "labels" and "no_label".

    Attributes:
        network_calls: how many of the `NetworkCalls` it makes where it always makes as many; 0 where that depends on t,
            or on the calls before. A plan then runs the solver on a velocity that costs nothing, and counts.
        stateful: whether the velocity depends on what was asked before in the same integration.
        weaker: the name of the parameter that says how the training of a weaker model differs from the cell's own, as
            `{kind: component}` and settings of `training`; "" for a guidance without one. The plan trains it once.
    """

    network_calls: ClassVar[int] = 2
    stateful: ClassVar[bool] = False
    weaker: ClassVar[str] = ""

    @abstractmethod
    def velocity(self, calls: NetworkCalls, x: Tensor, t: Tensor) -> Tensor:
        """Return dx/dt at `x` `(batch, *shape)` and `t` `(batch,)`, of the shape of `x`."""


class Solver(Component):
    """Integrates dx/dt = velocity(x, t) from t=0 to t=1.

    Attributes:
        nfe_per_step, nfe_offset: N steps call the velocity `nfe_per_step * N + nfe_offset` times.
        order: the order of convergence; None where the notion does not apply.
        adaptive: the solver chooses its own steps; the grid and the NFE of the suite do not apply, the NFE is measured.
    """

    nfe_per_step: ClassVar[int] = 1
    nfe_offset: ClassVar[int] = 0
    order: ClassVar[int | None] = None
    adaptive: ClassVar[bool] = False

    @abstractmethod
    def integrate(self, velocity: Velocity, x_0: Tensor, times: Tensor) -> Tensor:
        """Return `x_1` of the shape of `x_0`. `times` is `(steps + 1,)`, from 0 to 1, in the dtype of `x_0`."""


class Grid(Component):
    """Where a solver's steps lie.

    Attributes:
        distinct_steps: up to how many steps the times are known to increase in float32 too, in which solvers get them,
            with default parameters. For more steps, other parameters, and a grid that does not say it, a plan asks
            `times` itself, for which the grid is imported; it leaves out the evaluations where two times are equal.
    """

    distinct_steps: ClassVar[int] = 0

    @abstractmethod
    def times(self, steps: int) -> Tensor:
        """Return float64 times `(steps + 1,)`, strictly increasing from exactly 0 to exactly 1."""


@dataclass(frozen=True)
class TrainingFacts:
    """What was observed while a cell was trained. Times in seconds, memory in bytes.

    `fleet` is how many cells were trained as one program at the end. `seconds` is then the cell's share of the time,
    the fleet's divided by its members, and `peak_memory` that of all of them. `program` is how the network was
    computed: eager or with torch.compile, the memory format, and what was in the way of another. `pace` is the median
    time of a step, for each member of a fleet, in units of a calibration's (see `fmbench.runtime.calibration.Pace`),
    and `pace_iqr` the distance between its quartiles; 0 where that was not measured. `continued` is the step of a
    shorter training from which this one went on, whose seconds are counted; 0 where it began anew.
    """

    seconds: float
    steps: int
    peak_memory: int
    parameters: int
    device: str
    precision: str
    threads: int
    jobs: int
    hardware: str
    torch: str
    fleet: int = 1
    program: str = "eager"
    pace: float = 0.0
    pace_iqr: float = 0.0
    continued: int = 0


@dataclass
class OwnSpace:
    """The space in which a model works, where that is not the dataset's.

    `velocity` is asked at states `(batch, *state_shape)`, and `decode(x)` makes of them data `(batch, *shape)`.
    """

    velocity: Velocity
    decode: Callable[[Tensor], Tensor]


@dataclass
class Evidence:
    """What a metric may look at. Which fields are set depends on the metric's scope.

    Every scope: `dataset`, `path`, `objective`, `t_distribution`, `module` (the trained network with EMA weights, in
    eval mode), `velocity` (see `Velocity`), `training`, `seed`, `device`, `cache` (a folder for reference statistics:
    name files after what they depend on), `real(split)` (the data and conditions, on `device`) and `generator(role)` (a
    generator on `device`, the same for all cells of this seed and dataset). `classes` and `condition_width` are what
    `module` was built for: it takes labels or vectors where they are not 0.

    Scope "evaluation" adds `samples` `(n, *shape)` on `device`, `labels`, which are the conditions that they were
    drawn for, `(n,)` or `(n, condition_width)`, or None, and `nfe` (mean calls a sample). There `velocity` is that of
    the cell's guidance and weights, and `source(k)` returns the source samples `(k, *shape)` of which the solver made
    the first k samples, and `solve(x_0, y)` moves source samples `(batch, *shape)`, with conditions as in `labels` or
    None, to data by the cell's solver on its grid; both are None where the solver drew noise besides, or the guidance
    is stateful, so that source and velocity do not decide the samples. `remembered` is the metric's own dictionary for
    all evaluations of the same velocity and source: it keeps there what it need not compute for each of them.

    Scope "sampler" adds `draw(n)`, which makes n samples from start to end and synchronises the device.

    Where the model has a space of its own, such as latents, `own_space` says how its states move and become data.
    `samples` are data there too, and `source(k)` are states; `module` and `velocity`, called as if at data, raise
    NotDefined.
    """

    dataset: Dataset
    path: ProbabilityPath
    objective: Objective
    t_distribution: TDistribution
    module: nn.Module
    velocity: Velocity
    training: TrainingFacts
    seed: int
    device: str
    cache: pathlib.Path
    real: Callable[[Literal["train", "test"]], tuple[Tensor, Tensor | None]]
    generator: Callable[[str], Generator]
    classes: int = 0
    samples: Tensor | None = None
    labels: Tensor | None = None
    nfe: float | None = None
    draw: Callable[[int], Tensor] | None = None
    source: Callable[[int], Tensor] | None = None
    solve: Callable[[Tensor, Tensor | None], Tensor] | None = None
    own_space: OwnSpace | None = None
    remembered: dict[str, Any] = field(default_factory=dict)
    condition_width: int = 0

    @property
    def is_conditional(self) -> bool:
        """Whether `module` takes conditions."""
        return bool(self.classes or self.condition_width)

    def no_condition(self, n: int) -> Tensor | None:
        """Return the conditions that tell `module` of n examples that they have none; None where it takes none."""
        from fmbench.components.conditions import no_condition, some_conditions

        y = some_conditions(n, self.classes, self.condition_width, self.device)
        return None if y is None else no_condition(y, self.classes)


class Metric(Component):
    """A number that says how good a cell is.

    Capabilities in use: "samples_only" (scope "evaluation": the value depends on samples and labels alone, and the
    identity names the real split that they are compared with as "reference_split", so that real data of the other split
    have a value too, the floor), "own_reference" (they are compared with no split, but with what the metric brings, or
    with nothing: the floor is that of the test split), "bias_over_n" (its expected value is a + b / n in the number n
    of samples).

    Attributes:
        better: "lower" or "higher".
        unit: of the value, "" for a pure number.
        version: raised whenever the same evidence would give another value.
        minimum_samples: with fewer samples the plan leaves the metric out and says so.
        scope: "training" (once a training cell), "evaluation" (once an evaluation cell) or "sampler" (a cost that
            depends on the network's shape, solver, grid, NFE and guidance but not on the weights; measured alone on the
            device).
        within: kinds of component that two values must share to be comparable, such as ("path", "objective").
        over: in scope "training", what the values after the first run over, such as "t" for one value a bin; figures
            draw them as a curve, the values evenly spread over [0, 1], and tables leave them out.
    """

    better: ClassVar[Literal["lower", "higher"]] = "lower"
    unit: ClassVar[str] = ""
    version: ClassVar[int] = 1
    minimum_samples: ClassVar[int] = 0
    scope: ClassVar[Literal["training", "evaluation", "sampler"]] = "evaluation"
    within: ClassVar[tuple[str, ...]] = ()
    over: ClassVar[str] = ""

    @abstractmethod
    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return values by name. The first bears the metric's `registered_name`; others start with it and `_`.

        A metric of scope "training" that compares with an estimate of its own says the noise of that as `<name>_floor`:
        what a perfect model would have on average, the same for all cells of a seed. Tables show it as the floor.

        All are finite: a metric with a value that is not has failed, and its row says so. Raise an error that says why
        where there is no value: `fmbench.errors.NotDefined` where there can be none, which is no failure.

        Draws of randomness come from `evidence.generator(role)`: the same for all cells of a seed.
        """

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return what two values must share to be comparable (extractor, reference set, sample count, ...)."""
        return {}

    def prepare(self) -> None:
        """Check, before anything is trained, that what the metric needs is at hand. Raises DataError if it is not."""


CONTRACTS: dict[str, type[Component]] = {
    "dataset": Dataset,
    "path": ProbabilityPath,
    "coupling": Coupling,
    "t_distribution": TDistribution,
    "objective": Objective,
    "network": Network,
    "model": Model,
    "solver": Solver,
    "grid": Grid,
    "guidance": Guidance,
    "metric": Metric,
}
"""The contract of each kind, in the order in which a cell is written."""

KINDS = tuple(CONTRACTS)


def expand(coefficient: Tensor, like: Tensor) -> Tensor:
    """Reshape `(batch,)` to `(batch, 1, ..., 1)` so that it multiplies a tensor of shape `(batch, *shape)`."""
    return coefficient.reshape(-1, *[1] * (like.ndim - 1))
