"""Cells: plain, hashable data that says what is trained and evaluated, with its content address."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Literal

from fmbench.cells.component_spec import ELSEWHERE, ComponentSpec, Settings, spec_as_dict
from fmbench.cells.given_samples import SampleFiles
from fmbench.cells.guidance import GuidanceChoice, exact_text, guidance_label
from fmbench.cells.keys import KEY_LENGTH, canonical, digest, joined_texts
from fmbench.cells.snapshots import Kept, WeightsSnapshot, wanted_snapshots

Weights = str
"""Weights of a training: "ema", their moving average, "raw", as a step left them, "best", those that were best on
validation data, or what `post_hoc_weights` calls an average that is made afterwards.
"""

AT_STEP = " at step "
NOTHING_KEPT = Kept()
Compile = Literal["auto"] | bool
"""Whether torch.compile is used: where it is expected to save time, always, or never."""


@dataclass(frozen=True)
class TrainingCell:
    """One training: a component of each training kind, a seed, and settings as plain JSON values.

    `teacher` is the cell that must be trained first, where the coupling learns from one. `compile` says whether
    torch.compile may be used; that changes results to rounding alone, so it is no part of the key. `samples` says where
    samples lie that were made elsewhere: nothing is trained then, what they hold counts in the network's fingerprint,
    and of the components the dataset alone is known. `varied` shows those of the settings that have several values in
    the suite (see `setting_axes`), as specs with labels. `kept` is what is kept of the training besides its last
    weights, which it does not change: it is no part of the key.
    """

    dataset: ComponentSpec
    path: ComponentSpec
    coupling: ComponentSpec
    t_distribution: ComponentSpec
    objective: ComponentSpec
    network: ComponentSpec
    seed: int
    settings: Settings
    code: str = ""
    teacher: TrainingCell | None = None
    compile: Compile = field(default="auto", compare=False)
    samples: SampleFiles | None = field(default=None, compare=False)
    varied: tuple[ComponentSpec, ...] = field(default=(), compare=False)
    kept: Kept = field(default=Kept(), compare=False)

    @property
    def is_given(self) -> bool:
        """Whether a model that exists already stands in the network's place: it is taken, and not trained."""
        return self.network.kind == "model"

    @property
    def unit(self) -> str:
        """What counts of cells call it: a training, a model, or samples made elsewhere."""
        if self.samples is not None:
            return "samples"
        return "model" if self.is_given else "training"

    @property
    def components(self) -> tuple[ComponentSpec, ...]:
        """The six components, in the order of KINDS."""
        return (self.dataset, self.path, self.coupling, self.t_distribution, self.objective, self.network)

    @cached_property
    def key(self) -> str:
        """The content address of the trained weights. `code` is the fingerprint of the training loop itself."""
        components = (c.digest for c in self.components)
        taught = () if self.teacher is None else (self.teacher.key,)
        return digest("training", *components, str(self.seed), self.settings.text, self.code, *taught)

    @cached_property
    def fleet_key(self) -> str:
        """What cells share that can train as one fleet: dataset, network, settings, and the number of teachers."""
        rounds = str(sum(1 for _ in self.teachers))
        return digest("fleet", self.dataset.digest, self.network.digest, self.settings.text, self.code, rounds)

    @cached_property
    def course_key(self) -> str:
        """What trainings share that are the same step by step, as far as each goes; "" where no other is.

        A schedule that is not constant depends on the number of steps from the first step on.
        """
        if self.is_given or self.samples is not None or self.settings["schedule"]["name"] != "constant":
            return ""
        settings = canonical({name: value for name, value in self.settings.values.items() if name != "steps"})
        taught = () if self.teacher is None else (self.teacher.key,)
        return digest("course", *(c.digest for c in self.components), str(self.seed), settings, self.code, *taught)

    @property
    def snapshots(self) -> tuple[WeightsSnapshot, ...]:
        """The weights to keep besides the last, in the order in which the training makes them."""
        return wanted_snapshots(self.kept, int(self.settings["steps"])) if self.kept != NOTHING_KEPT else ()

    @property
    def teachers(self) -> Iterator[TrainingCell]:
        """The teacher, its own teacher, and so on."""
        teacher = self.teacher
        while teacher is not None:
            yield teacher
            teacher = teacher.teacher

    @property
    def fit_key(self) -> str:
        """The key of what the coupling learns: of the teacher and the coupling, so that all students share it."""
        assert self.teacher is not None
        return digest("study", self.teacher.key, self.coupling.digest, self.code)

    def parts(self) -> dict[str, Any]:
        """Return what the key is made of, by name, for `fmbench why` and for the store's cell.json."""
        parts: dict[str, Any] = {c.kind: spec_as_dict(c) for c in self.components}
        taught = {} if self.teacher is None else {"teacher": self.teacher.key}
        return {**parts, "seed": self.seed, "settings": dict(self.settings.values), "code": self.code, **taught}

    def __str__(self) -> str:
        known = [str(spec) for spec in self.components if spec.name != ELSEWHERE]
        settings = [f"{spec.kind}={spec}" for spec in self.varied]
        return " ".join([*known, *settings, *([ELSEWHERE] if self.samples else []), f"seed={self.seed}"])


@dataclass(frozen=True)
class EvaluationCell:
    """One evaluation of a training cell: solver, grid, NFE, guidance and weights, and settings.

    `nfe` is the budget of the suite and `steps` follows from it; an adaptive solver has neither, nor a grid. `weights`
    are those after training step `at_step`; None is the last one. `weaker` is the cell that must be trained, too, where
    the guidance is by a weaker model. Metrics are no part of the cell: they are computed for it, and kept under their
    own identity.
    """

    training: TrainingCell
    solver: ComponentSpec
    grid: ComponentSpec | None
    nfe: int | None
    steps: int | None
    guidance: GuidanceChoice
    weights: Weights
    settings: Settings
    code: str = ""
    weaker: TrainingCell | None = None
    at_step: int | None = None

    @property
    def weights_name(self) -> str:
        """Which weights of the training: `weights`, and the step where it is not the last."""
        return named_weights(self.weights, self.at_step)

    @property
    def components(self) -> tuple[ComponentSpec, ...]:
        """Solver, grid and guidance, as far as they are components."""
        return tuple(each for each in (self.solver, self.grid, self.guidance) if isinstance(each, ComponentSpec))

    @cached_property
    def guidance_text(self) -> str:
        """What keys hold of the guidance: a weight, or the component and the key of its weaker model."""
        return guidance_text(self.guidance, self.weaker)

    @property
    def on_validation(self) -> bool:
        """Whether the samples are another draw, scored against validation data, by which settings are chosen."""
        return self.settings.values.get("split") == "validation"

    @cached_property
    def key(self) -> str:
        """The content address of the samples; it contains the training cell's key."""
        grid = self.grid.digest if self.grid else ""
        asked = (self.nfe, self.steps, self.guidance_text, self.weights_name)
        sampling = sampling_digest(self.solver.digest, grid, *asked, self.settings.text, self.code)
        return digest("evaluation", self.training.key, sampling)

    def parts(self) -> dict[str, Any]:
        """Return what the key is made of, by name: of samples made elsewhere no training is in the store."""
        given = self.training.samples is not None
        return {
            **({"made_elsewhere": self.training.parts()} if given else {"training": self.training.key}),
            "solver": spec_as_dict(self.solver),
            "grid": spec_as_dict(self.grid) if self.grid else None,
            "nfe": self.nfe,
            "steps": self.steps,
            "guidance": spec_as_dict(self.guidance) if isinstance(self.guidance, ComponentSpec) else self.guidance,
            "weights": self.weights,
            **({} if self.at_step is None else {"at_step": self.at_step}),
            "settings": dict(self.settings.values),
            "code": self.code,
            **({} if self.weaker is None else {"weaker": self.weaker.key}),
        }

    def __str__(self) -> str:
        if self.training.samples is not None:
            return f"{self.training}" if self.nfe is None else f"{self.training} nfe={self.nfe}"
        budget = "adaptive" if self.nfe is None else f"{self.grid} nfe={self.nfe}"
        guided = "" if self.guidance == 1.0 else f" guidance={guidance_label(self.guidance)}"
        weights = "" if self.weights == "ema" else f" weights={self.weights}"
        split = " split=validation" if self.on_validation else ""
        step = "" if self.at_step is None else f" at_step={self.at_step}"
        return f"{self.training} {self.solver} {budget}{guided}{weights}{step}{split}"


def named_weights(weights: Weights, at_step: int | None) -> str:
    """Return what weights of a step are called: "ema" of the last one (None), else "ema at step 500"."""
    return weights if at_step is None else f"{weights}{AT_STEP}{at_step}"


def weights_and_step(name: str) -> tuple[Weights, int | None]:
    """Return the weights and the step that `named_weights` has named."""
    weights, _, step = name.partition(AT_STEP)
    return weights, int(step) if step else None


def guidance_text(guidance: GuidanceChoice, weaker: TrainingCell | None) -> str:
    """Return what keys hold of a guidance, given the weaker model where it has one."""
    return exact_text(guidance) if weaker is None else f"{exact_text(guidance)} {weaker.key}"


@lru_cache(maxsize=10_000)
def sampling_digest(
    solver: str, grid: str, nfe: int | None, steps: int | None, guidance: str, weights: str, settings: str, code: str
) -> str:
    """Return the content address of an evaluation without its training cell: many training cells share it."""
    return digest(solver, grid, f"{nfe} {steps} {guidance} {weights}", settings, code)


def evaluation_keys(training: str, samplings: Iterable[str]) -> Iterator[str]:
    """Yield the keys of a training cell's evaluations, given its key and their `sampling_digest`s.

    They are those of `EvaluationCell.key`; what all of them begin with is hashed once.
    """
    shared = joined_texts(("evaluation", training, "0" * KEY_LENGTH))[:-KEY_LENGTH]
    begun = hashlib.sha256(shared.encode())
    for sampling in samplings:
        hashed = begun.copy()
        hashed.update(sampling.encode())
        yield hashed.hexdigest()[:KEY_LENGTH]
