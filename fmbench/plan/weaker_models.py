"""Weaker models: the training cells by which a guidance steers, which the plan trains before they are asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fmbench.cells.cells import TrainingCell
from fmbench.cells.component_spec import ComponentSpec, Settings
from fmbench.cells.guidance import GuidanceChoice
from fmbench.errors import SuiteError
from fmbench.plan.axes import COMPONENT_AXES, Axes
from fmbench.plan.compatibility import Gap
from fmbench.plan.evaluations import Samplings
from fmbench.plan.named_trainings import NamedTraining, unmet_need
from fmbench.plan.result_code import result_code_fingerprint
from fmbench.plan.teachers import Teachers
from fmbench.plan.training_settings import training_settings
from fmbench.suite import SETTINGS, changed_training, settings_fault

if TYPE_CHECKING:
    from fmbench.plugins.registry import Registry

CHANGEABLE = tuple(axis for axis in COMPONENT_AXES[1:] if axis != "path")
"""The kinds in which a weaker model may differ: on another path x_t is distributed differently, on other data too."""
EXAMPLE = "{network: {mlp: {width: 16}}, steps: 200}"

UNSET = object()
"""Stands for a setting that the weaker model does not have."""
Changes = tuple[Mapping[str, ComponentSpec], Mapping[str, Any], Mapping[str, ComponentSpec]]
"""Components by kind, settings, and these as values of their axes."""


class WeakerModels:
    """Makes the weaker models of a suite's evaluations."""

    def __init__(self, axes: Axes, registry: Registry, teachers: Teachers, granted: frozenset[str]) -> None:
        self._axes, self._registry, self._teachers, self._granted = axes, registry, teachers, granted
        self._changes: dict[str, Changes | None] = {}
        self._has_any = any(registry.attribute(spec, "weaker") for spec in axes.specs("guidance"))

    def completed(self, cell: TrainingCell, samplings: Samplings) -> tuple[Samplings, list[Gap]]:
        """Return the samplings of a training cell with their weaker models, and why others are left out.

        Without weaker models they are the tuple that was given, which other training cells share. Raises SuiteError
        where the suite names what cannot be a weaker model.
        """
        if not self._has_any or all(self._changes_of(sampling.guidance) is None for sampling in samplings):
            return samplings, []
        kept, gaps = [], []
        for sampling in samplings:
            weaker = self._weaker(cell, sampling.guidance)
            if isinstance(weaker, Gap):
                gaps.append(weaker)
            else:
                kept.append(sampling if weaker is None else replace(sampling, weaker=weaker))
        return tuple(kept), gaps

    def _weaker(self, cell: TrainingCell, guidance: GuidanceChoice) -> TrainingCell | Gap | None:
        """Return the weaker model of a training cell and a guidance, with its teacher where its coupling has one."""
        changes = self._changes_of(guidance)
        if changes is None or not isinstance(guidance, ComponentSpec):
            return None
        components, changed, values = changes
        settings = Settings({name: v for name, v in {**cell.settings.values, **changed}.items() if v is not UNSET})
        if fault := settings_fault(settings.values):
            place = self._axes.place(guidance, self._registry.attribute(guidance, "weaker"))
            raise SuiteError(f"the weaker model of guidance {guidance}: {fault}", str(place))
        code = result_code_fingerprint("training")
        varied = tuple(values.get(spec.kind, spec) for spec in cell.varied)
        own = {"settings": settings, "varied": varied, "teacher": None, "code": code}
        untaught = replace(cell, **components, **own)  # type: ignore[arg-type]
        weaker = self._teachers.taught(untaught)
        if isinstance(weaker, Gap):
            return weaker
        gap = unmet_need(weaker, "weaker model", self._registry, self._granted)
        return Gap(f"{gap.cell} guidance={guidance}", gap.reason) if gap else weaker

    def _changes_of(self, guidance: GuidanceChoice) -> Changes | None:
        """Return in which components and settings a guidance's weaker model differs; None where it has none."""
        if not isinstance(guidance, ComponentSpec):
            return None
        if guidance.digest not in self._changes:
            parameter = self._registry.attribute(guidance, "weaker")
            self._changes[guidance.digest] = self._read(guidance, parameter) if parameter else None
        return self._changes[guidance.digest]

    def _read(self, guidance: ComponentSpec, parameter: str) -> Changes:
        training = self._axes.suite.training
        beside, place = (
            "the model that it guides, whose data and path it shares,",
            self._axes.place(guidance, parameter),
        )
        about = ("weaker model", beside, CHANGEABLE, EXAMPLE, str(place), SETTINGS)
        weaker = NamedTraining(self._registry, guidance, parameter, *about)
        components, settings = weaker.changes()
        try:
            own = changed_training(training, settings)
        except ValueError as error:
            weaker.refuse(f"the weaker model of guidance {guidance.name}: {error}")
        whole, axes = training_settings(own), own.settings
        values = {name: axes[name][0] for name in settings if name in axes}
        return components, {name: whole.get(name, UNSET) for name in settings}, values
