"""Teachers: the training cells that couplings learn from, which the plan trains first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from fmbench.cells.cells import TrainingCell
from fmbench.cells.component_spec import ComponentSpec
from fmbench.plan.axes import COMPONENT_AXES
from fmbench.plan.compatibility import Gap
from fmbench.plan.named_trainings import NamedTraining, unmet_need
from fmbench.plan.result_code import result_code_fingerprint
from fmbench.suite import Suite

if TYPE_CHECKING:
    from fmbench.plugins.registry import Registry

CHANGEABLE = COMPONENT_AXES[1:]
"""The kinds in which a teacher may differ from its student: all but the dataset."""


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
        if gap := unmet_need(teacher, "teacher", self._registry, self._granted):
            return Gap(f"{gap.cell} coupling={cell.coupling}", gap.reason)
        return replace(cell, teacher=teacher, code=result_code_fingerprint("taught training"))

    def changes(self, coupling: ComponentSpec) -> Mapping[str, ComponentSpec]:
        """Return by kind in which components the teacher differs from the student; none where there is no teacher."""
        if coupling.digest not in self._changes:
            parameter = self._registry.attribute(coupling, "teacher")
            self._changes[coupling.digest] = self._named(coupling).changes()[0] if parameter else {}
            if parameter:
                self._check_end(coupling)
        return self._changes[coupling.digest]

    def _named(self, coupling: ComponentSpec) -> NamedTraining:
        parameter, place = (
            self._registry.attribute(coupling, "teacher"),
            str(self._suite.place("training", "couplings")),
        )
        example = "{coupling: independent}"
        return NamedTraining(self._registry, coupling, parameter, "teacher", "its student", CHANGEABLE, example, place)

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
                self._named(coupling).refuse(
                    f"coupling {coupling} is taught by a cell with coupling {following}, whose teacher comes back "
                    "to it. Give the teacher a coupling without one: {coupling: independent}, say."
                )
            chain.append(following)
