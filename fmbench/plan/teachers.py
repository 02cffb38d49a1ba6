"""Teachers: the training cells that couplings learn from, which the plan trains first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from fmbench.cells.cells import TrainingCell
from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.written_component import named
from fmbench.errors import ComponentError, PluginError, SuiteError
from fmbench.plan.axes import TRAINING_AXES
from fmbench.plan.compatibility import Gap, condition_gap, provided_by, required_by
from fmbench.plan.result_code import result_code_fingerprint
from fmbench.suite import Suite

if TYPE_CHECKING:
    from fmbench.plugins.registry import Registry

CHANGEABLE = TRAINING_AXES[1:-1]
"""The kinds in which a teacher may differ from its student: all but the dataset and the seed."""


class Teachers:
    """Makes the teachers of a suite's training cells."""

    def __init__(self, suite: Suite, registry: Registry, granted: frozenset[str]) -> None:
        self._suite = suite
        self._granted = granted
        self._registry = registry
        self._changes: dict[str, dict[str, ComponentSpec]] = {}

    def taught(self, cell: TrainingCell) -> TrainingCell | Gap:
        """Return the cell with its teacher, and the teacher with its own; as it is where its coupling has none.

        Where the components of the teacher do not go together, return why the cell is left out. Raises SuiteError where
        the suite names what cannot be a teacher.
        """
        changes = self.changes(cell.coupling)
        if not changes:
            return cell
        teacher = self.taught(replace(cell, **changes))  # type: ignore[arg-type]
        if isinstance(teacher, Gap):
            return teacher
        if (gap := self._gap(teacher, cell.coupling)) is not None:
            return gap
        return replace(cell, teacher=teacher, code=result_code_fingerprint("taught training"))

    def changes(self, coupling: ComponentSpec) -> Mapping[str, ComponentSpec]:
        """Return by kind in which components the teacher differs from the student; none where there is no teacher."""
        if coupling.digest not in self._changes:
            parameter = self._registry.attribute(coupling, "teacher")
            written = self._written(coupling, parameter) if parameter else {}
            self._changes[coupling.digest] = {kind: self._spec(coupling, kind, v) for kind, v in written.items()}
            if parameter:
                self._check_end(coupling)
        return self._changes[coupling.digest]

    def _written(self, coupling: ComponentSpec, parameter: str) -> Mapping[str, Any]:
        """Return what a coupling's parameter says of its teacher. Raises PluginError where it has no such parameter."""
        if parameter not in coupling.parameters:
            raise PluginError(
                f"coupling {coupling.name!r} of {coupling.owner}: its attribute 'teacher' names {parameter!r}, which "
                f"is no parameter of it; its parameters: {', '.join(coupling.parameters) or 'none'}"
            )
        written = coupling.parameters[parameter]
        if not isinstance(written, Mapping) or not written:
            self._refuse(
                f"the {parameter} of coupling {coupling.name} is written {{kind: component}}; found {written!r}. "
                "Write {coupling: independent}, say."
            )
        return written

    def _spec(self, coupling: ComponentSpec, kind: str, written: Any) -> ComponentSpec:
        """Resolve a component of the teacher, written as `name` or `{name: {parameters}}`."""
        where = f"the teacher of coupling {coupling.name}"
        if kind not in CHANGEABLE:
            self._refuse(f"{where} may differ from its student in {', '.join(CHANGEABLE)}; found {kind!r}.")
        try:
            name, parameters = named(written)
        except ValueError:
            self._refuse(f"{where}: a {kind} is written as its name or as {{name: {{parameters}}}}; found {written!r}.")
        try:
            return self._registry.spec(kind, name, parameters)
        except ComponentError as error:
            self._refuse(f"{where}: {error}")

    def _check_end(self, coupling: ComponentSpec) -> None:
        """Raise SuiteError where teachers have teachers without end."""
        chain = [coupling]
        while True:
            following = self.changes(chain[-1]).get("coupling")
            if following is None and self.changes(chain[-1]):
                following = chain[-1]
            if following is None:
                return
            if following.digest in {spec.digest for spec in chain}:
                self._refuse(
                    f"coupling {coupling} is taught by a cell with coupling {following}, whose teacher comes back "
                    "to it. Give the teacher a coupling without one: {coupling: independent}, say."
                )
            chain.append(following)

    def _gap(self, teacher: TrainingCell, coupling: ComponentSpec) -> Gap | None:
        """Return where a component of the teacher needs what no other of its components provides."""
        for spec in teacher.components:
            others = [other for other in teacher.components if other is not spec]
            provided = {each for other in others for each in provided_by(other, self._registry)}
            lacking = sorted(required_by(spec, self._registry) - provided - self._granted)
            if lacking:
                reason = f"its teacher's {spec} needs {lacking[0]!r}, which its other components do not provide"
                return Gap(f"dataset={teacher.dataset} path={teacher.path} coupling={coupling}", reason)
        gap = condition_gap(teacher.dataset, teacher.network, self._registry) if "labels" in self._granted else None
        return gap and Gap(f"{gap.cell} coupling={coupling}", f"of its teacher, {gap.reason}")

    def _refuse(self, text: str) -> NoReturn:
        raise SuiteError(text, str(self._suite.place("training", "couplings")))

    def provides(self, cells: Iterable[TrainingCell]) -> dict[str, frozenset[str]]:
        """Return what the components of all teachers of some cells provide, by digest."""
        specs = {spec.digest: spec for cell in cells if cell.teacher for spec in cell.teacher.components}
        return {key: provided_by(spec, self._registry) for key, spec in specs.items()}
