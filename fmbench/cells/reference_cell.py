"""Reference cells: what scores are read against. Plain data, like the cells of a suite, but nothing is trained.

The **floor** is what a metric gives for real data in place of samples: no model can be told from perfect below it. The
**oracle** is the exact marginal velocity in place of a network's, where the data are a known mixture of Gaussians: what
a solver leaves of the distance when the network is perfect.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from fmbench.cells.component_spec import ComponentSpec, Settings, spec_as_dict
from fmbench.cells.keys import digest

Section = Literal["floor", "oracle"]
SPLIT_ANEW = "split anew"
"""What stands in the identity of a floor whose reference is not the metric's own, but one of the same size."""


@dataclass(frozen=True)
class ReferenceCell:
    """One reference for one seed, with the settings of the evaluations that it is compared with.

    A floor has neither path nor solver; an oracle has both, and shares its source samples with all cells of its seed.
    """

    section: Section
    dataset: ComponentSpec
    seed: int
    settings: Settings
    code: str = ""
    path: ComponentSpec | None = None
    solver: ComponentSpec | None = None
    grid: ComponentSpec | None = None
    nfe: int | None = None
    steps: int | None = None

    @cached_property
    def key(self) -> str:
        """The content address."""
        parts = (spec.digest if spec else "" for spec in (self.dataset, self.path, self.solver, self.grid))
        return digest(self.section, *parts, f"{self.nfe} {self.steps} {self.seed}", self.settings.text, self.code)

    def parts(self) -> dict[str, Any]:
        """Return what the key is made of, by name, for the store's cell.json."""
        specs = {"dataset": self.dataset, "path": self.path, "solver": self.solver, "grid": self.grid}
        return {
            **{kind: spec_as_dict(spec) for kind, spec in specs.items() if spec},
            "nfe": self.nfe,
            "steps": self.steps,
            "seed": self.seed,
            "settings": dict(self.settings.values),
            "code": self.code,
        }

    def __str__(self) -> str:
        budget = [f"nfe={self.nfe}"] if self.nfe is not None else []
        specs = [str(spec) for spec in (self.dataset, self.path, self.solver, self.grid) if spec]
        return " ".join([self.section, *specs, *budget, f"seed={self.seed}"])
