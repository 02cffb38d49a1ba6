"""What guidance asks of a cell, and the steps that spend an NFE exactly under it."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, cast

from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.keys import digest
from fmbench.components.solver_times import solver_times
from fmbench.components.step_counting import CannotCount, most_steps
from fmbench.errors import PluginError
from fmbench.plan.axes import Axes
from fmbench.plugins.guidance import guidance_spec

if TYPE_CHECKING:
    from fmbench.cells.guidance import GuidanceChoice
    from fmbench.components.contracts import Grid, Guidance, ProbabilityPath, Solver
    from fmbench.plugins.registry import Registry


class Guidances:
    """The guidance axis: components by index, None where there is no guidance."""

    def __init__(self, axes: Axes, registry: Registry) -> None:
        self._axes, self._registry = axes, registry
        self.specs = [guidance_spec(cast("GuidanceChoice", choice), registry) for choice in axes.values["guidance"]]
        self.requires = [self._attribute(spec, "requires", ()) for spec in self.specs]
        self.calls: list[int] = [self._attribute(spec, "network_calls", 1) for spec in self.specs]
        """The network's calls an evaluation of the velocity; 0 where they must be counted."""
        self.counted = lru_cache(maxsize=None)(self._counted)
        for spec, calls in zip(self.specs, self.calls, strict=True):
            if spec is not None and calls < 0:
                raise PluginError(
                    f"guidance {spec.name!r} of {spec.owner}: network_calls must be 0 or more; found {calls}"
                )

    def _attribute(self, spec: ComponentSpec | None, name: str, without: Any) -> Any:
        return without if spec is None else self._registry.attribute(spec, name)

    def with_code(self, guidance: int, code: str) -> str:
        """Return the code that counts in an evaluation's key: that of the core, and of what a number stands for."""
        spec = self.specs[guidance]
        is_number = not isinstance(self._axes.values["guidance"][guidance], ComponentSpec)
        return digest(code, spec.fingerprint) if spec is not None and is_number else code

    def steps(self, solver: int, grid: int, guidance: int, budget: int) -> tuple[int, str]:
        """Return the most steps that spend a budget exactly, by counting; 0, and why, where there are none."""
        try:
            steps = most_steps(partial(self.counted, solver, grid, guidance), budget)
            calls = self.counted(solver, grid, guidance, steps) if steps else 0
        except CannotCount as error:
            return 0, str(error)
        if calls == budget:
            return steps, ""
        names = [str(self._axes.values[axis][i]) for axis, i in (("solver", solver), ("guidance", guidance))]
        above = self.counted(solver, grid, guidance, steps + 1)
        fewer = f"{calls} times in {steps} step{'s' if steps > 1 else ''} and " if steps else ""
        return 0, f"{' under guidance '.join(names)} calls networks {fewer}{above} times in {steps + 1}, not {budget}"

    def _counted(self, solver: int, grid: int, guidance: int, steps: int) -> int:
        """Return how often networks are called in so many steps, on the first path of the suite that will do."""
        from fmbench.components.free_velocity import network_calls  # which imports torch

        build, axes = self._registry.build, self._axes
        why = "the suite has no path"
        for path in axes.specs("path"):
            try:
                times = solver_times(cast("Grid", build(axes.specs("grid")[grid])), steps)
                return network_calls(
                    cast("Guidance", build(cast("ComponentSpec", self.specs[guidance]))),
                    cast("Solver", build(axes.specs("solver")[solver])),
                    cast("ProbabilityPath", build(path)),
                    times,
                )
            except Exception as error:
                why = f"{type(error).__name__}: {error}"
        raise CannotCount(f"the network calls of {axes.specs('solver')[solver]} cannot be counted: {why}")
