"""Training cells that components name by how they differ from the cell beside them: a teacher, a weaker model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from fmbench.cells.cells import TrainingCell
from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.written_component import named
from fmbench.errors import ComponentError, PluginError, SuiteError
from fmbench.plan.compatibility import Gap, condition_gap, provided_by, required_by
from fmbench.plan.given_models import LABELS

if TYPE_CHECKING:
    from fmbench.plugins.registry import Registry


@dataclass(frozen=True)
class NamedTraining:
    """Reads what a component's parameter says of the cell that it names, and refuses what cannot be one.

    `role` is what the cell is to the component ("teacher"), and `beside` the cell that it differs from ("its student");
    `kinds` are those in which it may, and `settings` the keys of `training` that may have other values. `example` is
    what a user may write, and `place` where that is.
    """

    registry: Registry
    owner: ComponentSpec
    parameter: str
    role: str
    beside: str
    kinds: Sequence[str]
    example: str
    place: str
    settings: Sequence[str] = ()

    @property
    def _of(self) -> str:
        return f"the {self.role} of {self.owner.kind} {self.owner.name}"

    def changes(self) -> tuple[dict[str, ComponentSpec], dict[str, Any]]:
        """Return the components that the cell has in place of others, by kind, and its own settings.

        Raises SuiteError where the suite names what there is not, PluginError where the component has no such
        parameter.
        """
        written = self._written()
        components = {kind: self._spec(kind, value) for kind, value in written.items() if kind not in self.settings}
        return components, {name: written[name] for name in written if name in self.settings}

    def _written(self) -> Mapping[str, Any]:
        owner, parameter = self.owner, self.parameter
        if parameter not in owner.parameters:
            raise PluginError(
                f"{owner.kind} {owner.name!r} of {owner.owner}: it names its {self.role} by {parameter!r}, which is no "
                f"parameter of it; its parameters: {', '.join(owner.parameters) or 'none'}"
            )
        written = owner.parameters[parameter]
        if not isinstance(written, Mapping) or not written:
            self.refuse(
                f"the {parameter} of {owner.kind} {owner.name} is written {{kind: component}}; found {written!r}. "
                f"Write {self.example}, say."
            )
        return written

    def _spec(self, kind: str, written: Any) -> ComponentSpec:
        """Resolve a component, written as `name` or `{name: {parameters}}`."""
        if kind not in self.kinds:
            choices = ", ".join((*self.kinds, *self.settings))
            self.refuse(f"{self._of} may differ from {self.beside} in {choices}; found {kind!r}.")
        try:
            name, parameters = named(written)
        except ValueError:
            self.refuse(
                f"{self._of}: a {kind} is written as its name or as {{name: {{parameters}}}}; found {written!r}."
            )
        try:
            return self.registry.spec(kind, name, parameters)
        except ComponentError as error:
            self.refuse(f"{self._of}: {error}")

    def refuse(self, text: str) -> NoReturn:
        """Raise the SuiteError that says so, at the component's place."""
        raise SuiteError(text, self.place)


def unmet_need(cell: TrainingCell, role: str, registry: Registry, granted: frozenset[str]) -> Gap | None:
    """Return where a component of a cell needs what no other of its components provides; None where none does."""
    for spec in cell.components:
        others = [other for other in cell.components if other is not spec]
        provided = {each for other in others for each in provided_by(other, registry)}
        lacking = sorted(required_by(spec, registry) - provided - granted)
        if lacking:
            reason = f"its {role}'s {spec} needs {lacking[0]!r}, which its other components do not provide"
            return Gap(f"dataset={cell.dataset} path={cell.path}", reason)
    gap = condition_gap(cell.dataset, cell.network, registry) if LABELS in granted else None
    return gap and Gap(gap.cell, f"of its {role}, {gap.reason}")
