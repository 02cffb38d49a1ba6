"""The suite file as frozen, typed models. Keys are those of the file; what is left out has the default shown here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.ema_decay import averages_said
from fmbench.cells.guidance import CLASSIFIER_FREE
from fmbench.cells.setting_axes import SETTING_AXES
from fmbench.suite.field_types import (
    MOST,
    Axis,
    ComponentRef,
    ComponentType,
    Entries,
    Flag,
    Fraction,
    Listed,
    Name,
    NumberOrComponent,
    OneOf,
    Positive,
    Rule,
    Seed,
    Setting,
    TextLine,
    Whole,
    fault,
)
from fmbench.suite.positions import Position, place_of
from fmbench.suite.resources import Resources
from fmbench.suite.samples import SamplesEntry
from fmbench.suite.setting_axes import SettingType, setting_spec
from fmbench.suite.strict_model import StrictModel
from fmbench.suite.training_settings import AdamW, Average, Constant, Ema, Optimizer, Schedule
from fmbench.suite.weights import END, AtStep, Weights

DatasetRef = Annotated[ComponentRef, ComponentType("dataset")]
PathRef = Annotated[ComponentRef, ComponentType("path")]
CouplingRef = Annotated[ComponentRef, ComponentType("coupling")]
TDistributionRef = Annotated[ComponentRef, ComponentType("t_distribution")]
ObjectiveRef = Annotated[ComponentRef, ComponentType("objective")]
NetworkRef = Annotated[ComponentRef, ComponentType("network")]
ModelRef = Annotated[ComponentRef, ComponentType("model")]
SolverRef = Annotated[ComponentRef, ComponentType("solver")]
GridRef = Annotated[ComponentRef, ComponentType("grid")]
GuidanceValue = Annotated[float | ComponentRef, NumberOrComponent("guidance", short_for=(CLASSIFIER_FREE, "weight"))]
MetricRef = Annotated[ComponentRef, ComponentType("metric")]
OptimizerRef = Annotated[ComponentRef, SettingType("optimizer", "adamw", "adam", "adamax", "sgd")]
ScheduleRef = Annotated[ComponentRef, SettingType("schedule", "constant", "cosine")]
StepsRef = Annotated[ComponentRef, SettingType("steps")]
BatchSizeRef = Annotated[ComponentRef, SettingType("batch_size")]
EmaRef = Annotated[ComponentRef, SettingType("ema")]

AXES: dict[str, tuple[str, ...]] = {
    "dataset": ("datasets",),
    "path": ("training", "paths"),
    "coupling": ("training", "couplings"),
    "t_distribution": ("training", "t_distributions"),
    "objective": ("training", "objectives"),
    "network": ("training", "networks"),
    **{axis: ("training", axis) for axis in SETTING_AXES},
    "seed": ("training", "seeds"),
    "solver": ("evaluation", "solvers"),
    "grid": ("evaluation", "grids"),
    "weights": ("evaluation", "weights"),
    "at_step": ("evaluation", "at_steps"),
    "guidance": ("evaluation", "guidance"),
    "nfe": ("evaluation", "nfe"),
}
"""The axes of the product by the singular that `exclude` uses, in order, and where the file lists them."""

AxisValue = ComponentRef | ComponentSpec | str | int | float
"""A value of an axis."""


Precision = Annotated[Literal["auto", "float32", "bf16"], OneOf("a precision", "auto", "float32", "bf16")]
Compile = Annotated[Literal["auto"] | Annotated[bool, Field(strict=True)], Rule("auto, true or false")]
SettingName = Annotated[str, OneOf("a setting", *SETTING_AXES)]
KeepState = Annotated[Literal["auto"] | Annotated[bool, Field(strict=True)], Rule("auto, true or false")]


class Training(StrictModel):
    """The training axes, and how every training cell is trained."""

    paths: Axis[PathRef] = Field(description="Probability paths between noise (t=0) and data (t=1).")
    couplings: Axis[CouplingRef] = Field((ComponentRef("independent"),), description="How noise and data are paired.")
    t_distributions: Axis[TDistributionRef] = Field(
        (ComponentRef("uniform"),), description="Distributions from which training draws t."
    )
    objectives: Axis[ObjectiveRef] = Field((ComponentRef("velocity"),), description="What the network learns.")
    networks: Axis[NetworkRef] = Field(description="Networks.")
    seeds: Axis[Seed] = Field((0,), description="Seeds; every cell of a seed sees the same draws.")
    steps: Setting[Whole] = Field(description="Optimiser steps.")
    batch_size: Setting[Whole] = Field((128,), description="Examples a step.")
    accumulate: Whole = Field(
        1, description="Equal parts in which a batch is computed, one after the other, where memory is short."
    )
    optimizer: Setting[Optimizer] = Field(
        (AdamW(name="adamw", lr=1e-3),), description="The optimizer, {adamw: {lr: 1e-3}} say."
    )
    schedule: Setting[Schedule] = Field((Constant(name="constant"),), description="The learning rate over the steps.")
    gradient_clip: Annotated[Positive | None, Rule("a number above 0, or null")] = Field(
        None, description="Largest norm of the gradient; null for none."
    )
    ema: Setting[Average] = Field(
        (Ema(decay=0.999, warmup=True),),
        description="Decay of the weights' moving average, 0 for none. A number is warmed up as (1+step)/(10+step), so "
        "that 0.999 ends as 0.9955 after 2,000 steps; {decay: 0.999, warmup: false} is 0.999 from the first step on.",
    )
    stratified_t: Flag = Field(
        False, description="Whether the times of a batch are spread evenly: one in each of batch_size equal parts."
    )
    post_hoc_ema: Flag = Field(
        False,
        description="Whether two more averages are kept on the way, of which weights {post_hoc_ema: {length: 0.1}} are "
        "made afterwards.",
    )
    keep_state: KeepState = Field(
        "auto",
        description="Whether the state after the last step is kept, from which a longer training goes on; auto keeps "
        "that of trainings that took a minute, up to 256 MiB.",
    )
    precision: Precision = Field("auto", description="auto takes bf16 where it pays.")
    compile: Compile = Field("auto", description="Whether to use torch.compile; auto does where that saves time.")
    class_conditional: Flag = Field(
        False, description="Whether the network is told the class, or the condition vector."
    )
    label_dropout: Fraction = Field(
        0.1, description="Share of labels, or condition vectors, hidden in class-conditional training."
    )

    @property
    def settings(self) -> dict[str, tuple[ComponentSpec, ...]]:
        """The values of the settings that may be axes, by axis."""
        return {axis: tuple(setting_spec(axis, value) for value in getattr(self, axis)) for axis in SETTING_AXES}


NO_TRAINING = Training.model_construct(
    paths=(), networks=(), seeds=(), optimizer=(), schedule=(), steps=(), batch_size=(), ema=()
)
"""What a suite has that trains nothing."""


class Evaluation(StrictModel):
    """The evaluation axes, and how every evaluation cell is evaluated."""

    solvers: Axis[SolverRef] = Field((), description="Solvers of dx/dt = v(x, t).")
    grids: Axis[GridRef] = Field((ComponentRef("uniform"),), description="Where a solver's steps lie.")
    weights: Axis[Weights] = Field(
        ("ema",),
        description="Weights to evaluate: ema, the moving average; raw, as the last step left them; best, those of the "
        "least loss on validation data; {post_hoc_ema: {length: 0.1}}, an average over that part of the training.",
    )
    at_steps: Axis[AtStep] = Field(
        (END,), description="Steps of the training whose weights are evaluated, [500, 1000, end] say."
    )
    nfe: Axis[Whole] = Field((), description="Budgets: calls of the velocity a sample.")
    guidance: Axis[GuidanceValue] = Field(
        (1.0,), description="Guidance; a number is the weight of classifier-free guidance, 1 for none."
    )
    samples: Whole = Field(2000, description="Samples a cell.")
    noise_draws: Whole = Field(
        1,
        description="Draws of a cell's samples, each from other noise: with more than one, every score of samples has "
        "its standard deviation over them beside it, as <metric>_noise_sd.",
    )
    batch_size: Annotated[Whole | None, Rule("a whole number, 1 or more, or null", MOST)] = Field(
        None, description="Most samples that a network is called with at once; null lets the machine decide."
    )
    keep_samples: Annotated[Whole | None, Rule("a whole number, 1 or more, or null", MOST)] = Field(
        None, description="Samples of a cell that stay on disk; null for fmbench's choice."
    )
    metrics: Axis[MetricRef] = Field(description="What is measured.")
    floor: Flag = Field(True, description="Whether real data are scored too, at the same number of samples.")
    oracle: Flag = Field(
        True, description="Whether the exact velocity is sampled from too, where the data are a known mixture."
    )


class Tracking(StrictModel):
    """What MLflow is given besides numbers and pictures; it changes no key."""

    log_models: Flag = Field(
        False, description="Whether trained networks become models that mlflow.pytorch.load_model loads."
    )


class Selection(StrictModel):
    """Some values of some axes: what an entry of `exclude` or `include` names, and `baseline`.

    A component without parameters stands for any parameters; with some, for those with these values.
    """

    dataset: Axis[DatasetRef] = ()
    path: Axis[PathRef] = ()
    coupling: Axis[CouplingRef] = ()
    t_distribution: Axis[TDistributionRef] = ()
    objective: Axis[ObjectiveRef] = ()
    network: Axis[Annotated[ComponentRef, ComponentType("network", "model")]] = ()
    optimizer: Axis[OptimizerRef] = ()
    schedule: Axis[ScheduleRef] = ()
    steps: Axis[StepsRef] = ()
    batch_size: Axis[BatchSizeRef] = ()
    ema: Axis[EmaRef] = ()
    seed: Axis[Seed] = ()
    solver: Axis[SolverRef] = ()
    grid: Axis[GridRef] = ()
    weights: Axis[Weights] = ()
    at_step: Axis[AtStep] = ()
    guidance: Axis[GuidanceValue] = ()
    nfe: Axis[Whole] = ()

    @property
    def axes(self) -> dict[str, tuple[AxisValue, ...]]:
        """The values by axis, for the axes that are named."""
        return {name: getattr(self, name) for name in AXES if getattr(self, name)}

    @model_validator(mode="after")
    def _names_an_axis(self) -> Selection:
        if not self.axes:
            raise fault(f"this selects nothing: name one axis or more of {', '.join(AXES)}.")
        return self

    @model_serializer(mode="wrap")
    def _named_axes(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {axis: values for axis, values in handler(self).items() if values}

    def __str__(self) -> str:
        return " ".join(f"{axis}={','.join(map(str, values))}" for axis, values in self.axes.items())


class Tune(StrictModel):
    """Which settings each training combination takes at its own best, and by what that is chosen on validation data."""

    axes: Axis[SettingName] = Field(description="Settings with several values, [optimizer] say.")
    metric: Annotated[Annotated[str, Field(strict=True)] | None, Rule("the name of a metric, or null")] = Field(
        None, description="The metric of the suite that chooses; null for the first that judges samples."
    )
    at: Selection | None = Field(
        None, description="The one way of sampling that chooses, {solver: heun, nfe: 8} say, where there are several."
    )

    @model_validator(mode="after")
    def _names_samplers(self) -> Tune:
        sampled = [axis for axis, keys in AXES.items() if keys[0] == "evaluation"]
        if wrong := [axis for axis in (self.at.axes if self.at else ()) if axis not in sampled]:
            raise fault(f"this names a way of sampling, by {', '.join(sampled)}; found {wrong[0]}.", "at", wrong[0])
        return self


_PLURALS = tuple(keys[-1] for keys in AXES.values())
AxisName = Annotated[str, OneOf("an axis", *_PLURALS)]


class Suite(StrictModel):
    """A suite file, checked as far as that goes without knowing the components."""

    name: Name = Field(description="Names the report's folder and the MLflow experiment.")
    description: TextLine = Field("", description="The question that the suite answers.")
    datasets: Axis[DatasetRef] = Field(description="Datasets.")
    training: Training = Field(NO_TRAINING, description="What is trained; a suite may have models in its place.")
    models: Axis[ModelRef] = Field((), description="Models that exist already: each is evaluated on every dataset.")
    model_seeds: Axis[Seed] = Field(
        (),
        description="Seeds of the noise that models are sampled from; those of training, or 0, where none are named.",
    )
    samples: Entries[SamplesEntry] = Field(
        (), description="Samples that were made elsewhere: they are scored as they are."
    )
    evaluation: Evaluation
    resources: Resources | None = Field(
        None, description="What a worker is given, {gpu: 0.25, cpu: 1, memory: 4GB} say; it changes no key."
    )
    tracking: Tracking | None = Field(
        None, description="What MLflow is given besides numbers and pictures, {log_models: true} say."
    )
    exclude: Entries[Selection] = Field((), description="Cells to leave out, of the product and of include.")
    include: Entries[Selection] = Field(
        (), description="Further products: the axes named here in place of the suite's, the others as they are."
    )
    zip: Annotated[tuple[Axis[AxisName], ...], Listed(0)] = Field(
        (), description="Groups of axes that run in step, [[paths, t_distributions]] say."
    )
    baseline: Selection | None = Field(None, description="The cells against which the others are compared.")
    tune: Tune | None = Field(
        None, description="Compares trainings each at its own best setting, chosen on validation data."
    )
    _root: Any = PrivateAttr(None)
    _path: str = PrivateAttr("")

    @model_validator(mode="after")
    def _has_networks(self) -> Suite:
        if not self.trains and not self.models and not self.samples:
            others = "'models' or 'samples' what exists already"
            raise fault(f"the key 'training' is missing in a suite. Add it, or under {others}.")
        if self.model_seeds and not self.models:
            raise fault("model_seeds is for models; the suite has none. Remove it, or add models.", "model_seeds")
        for key in ("solvers", "nfe"):
            if not getattr(self.evaluation, key) and (self.trains or self.models):
                said = str(Evaluation.model_fields[key].description).rstrip(".")
                raise fault(f"the key {key!r} is missing in evaluation ({said}). Add it.", "evaluation")
        return self

    @model_validator(mode="after")
    def _baseline_is_of_the_last_step(self) -> Suite:
        if self.baseline is not None and self.baseline.at_step:
            text = "a baseline names no at_step, for tables compare the last step that is evaluated. Remove it."
            raise fault(text, "baseline", "at_step")
        return self

    @property
    def trains(self) -> bool:
        """Whether anything is trained."""
        return self.training is not NO_TRAINING

    @property
    def path(self) -> str:
        """The file that the suite was read from, as it was given; empty where there is none."""
        return self._path

    @property
    def axes(self) -> dict[str, tuple[AxisValue, ...]]:
        """The values of each axis, by the axis's name in the singular, in the order of AXES."""
        sections: dict[str, Any] = {"training": self.training, "evaluation": self.evaluation}
        values = {axis: getattr(sections.get(keys[0], self), keys[-1]) for axis, keys in AXES.items()}
        return values | self.training.settings

    @property
    def zipped(self) -> list[tuple[str, ...]]:
        """The groups of axes that run in step, by their names in the singular."""
        singular = {keys[-1]: axis for axis, keys in AXES.items()}
        return [tuple(singular[name] for name in group) for group in self.zip]

    @property
    def averages(self) -> str:
        """The averages of the weights in words."""
        training = self.settings()["training"]
        return averages_said(training["ema"], training["steps"])

    @property
    def root(self) -> Any:
        """The values as they were read, which know where they are written; None where there is no file."""
        return self._root

    def place(self, *location: str | int) -> Position:
        """Return where a value of the suite is written, or what is nearest around it."""
        return place_of(self._root, location) if self._root is not None else Position(self._path)

    def settings(self) -> dict[str, Any]:
        """Return the suite as plain values, defaults filled in; written as YAML they are the same suite."""
        left_out = set() if self.trains else {"training"}
        left_out |= {name for name in ("models", "model_seeds", "samples") if not getattr(self, name)}
        found = self.model_dump(mode="json", exclude_none=True, exclude=left_out)
        found["evaluation"] = {key: value for key, value in found["evaluation"].items() if value != []}
        return found

    def baseline_labels(self) -> dict[str, Any] | None:
        """Return the baseline as the suite writes it, by axis: one value, or a list of those that count as it."""
        if self.baseline is None:
            return None
        written = self.baseline.model_dump(mode="json")
        written |= {
            axis: [ref.written() for ref in getattr(self.baseline, axis)] for axis in written if axis in SETTING_AXES
        }
        return {axis: values[0] if len(values) == 1 else values for axis, values in written.items()}
