"""What runs are called: the components and settings that vary in the suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.component_spec import ELSEWHERE
from fmbench.cells.guidance import guidance_label
from fmbench.cells.setting_axes import SETTING_AXES
from fmbench.results.records import TRAINING_AXES
from fmbench.tracking.run_params import NAME_LENGTH, cut


def varying_axes(settings: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the axes on which a suite's settings have several values, None when they do not say."""
    found: dict[str, Any] = {}
    for section in (settings, settings.get("training"), settings.get("evaluation")):
        found |= section if isinstance(section, Mapping) else {}
    if not found or any(settings.get(name) for name in ("include", "models", "samples")):
        return None  # an evaluation's samples are another thing
    axes = {
        axis: found.get(axis if axis in {"guidance", "weights", *SETTING_AXES} else f"{axis}s")
        for axis in (*TRAINING_AXES, "grid", "weights", "guidance")
    }
    return frozenset(axis for axis, values in axes.items() if isinstance(values, Sequence) and len(values) > 1)


def training_name(cell: TrainingCell, axes: frozenset[str] | None, *, seed: bool = True) -> str:
    """Return a run's name: the components and settings that vary in the suite, and the seed if that is asked for."""
    known = [spec for spec in cell.components if spec.name != ELSEWHERE]
    shown = [str(spec) for spec in known if axes is None or spec.kind in axes]
    settings = [f"{spec.kind}={spec}" for spec in cell.varied]
    return cut(" ".join([*shown, *settings, *([f"seed={cell.seed}"] if seed else [])]), NAME_LENGTH)


def evaluation_name(cell: EvaluationCell, axes: frozenset[str] | None, *, seed: bool = True) -> str:
    """Return a run's name with the solver first, because legends cut the end off."""
    own = [str(cell.solver)]
    if cell.grid is not None and (axes is None or "grid" in axes):
        own.append(str(cell.grid))
    if cell.weights_name != "ema" or "weights" in (axes or ()):
        own.append(cell.weights_name)
    if cell.guidance != 1.0 or "guidance" in (axes or ()):
        own.append(f"guidance={guidance_label(cell.guidance)}")
    return cut(" | ".join(filter(None, (" ".join(own), training_name(cell.training, axes, seed=seed)))), NAME_LENGTH)
