"""config.json: what the exported model is, as data."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.component_spec import ComponentSpec, spec_as_dict
from fmbench.cells.guidance import guidance_label
from fmbench.export.evidence import ScoredEvidence
from fmbench.export.winner import Winner
from fmbench.model.trained_model import NOISE_BLOCK

FORMAT = 1
T_CONVENTION = "t=0 is noise, t=1 is data; the velocity is dx/dt"


def config_of(winner: Winner, evidence: ScoredEvidence, weights: str) -> dict[str, Any]:
    """Return what config.json holds, plain JSON values."""
    cell, parts = winner.cell, winner.trained.parts
    training = cell if isinstance(cell, TrainingCell) else cell.training
    normal = bool(winner.block_seeds)
    noise: dict[str, Any] = {
        "distribution": "standard normal" if normal else "the dataset's own",
        "seed": training.seed,
    }
    if normal:
        noise |= {"block": NOISE_BLOCK, "block_seeds": winner.block_seeds}
    return {
        "format": FORMAT,
        "made_by": f"fmbench {version('fmbench')}",
        "program": winner.kind,
        "batch": winner.program.batch,
        "t_convention": T_CONVENTION,
        "shape": list(parts.dataset.shape),
        "state_shape": list(winner.examples["x_0"].shape[1:]),
        "classes": parts.classes,
        "conditional": parts.is_conditional,
        "precision": parts.precision,
        **{spec.kind: _component(spec) for spec in training.components},
        **(_sampler(cell) if isinstance(cell, EvaluationCell) else {"weights": weights}),
        "training": {"seed": training.seed, **training.settings.values},
        "noise": noise,
        "scores": [
            {
                "metric": score.name,
                "mean": score.value.mean,
                "half_width_95": score.value.half if score.value.known else None,
                "seeds": score.value.n,
                "samples": score.samples,
                "better": score.better,
            }
            for score in evidence.scores
        ],
        "checked": {"program": winner.differs, "stored_samples": winner.from_stored},
        "facts": facts_of(winner),
        "key": cell.key,
        "training_key": training.key,
    }


def _component(spec: ComponentSpec) -> dict[str, Any]:
    return {name: value for name, value in spec_as_dict(spec).items() if name != "kind"}


def _sampler(cell: EvaluationCell) -> dict[str, Any]:
    guidance = cell.guidance
    return {
        "solver": _component(cell.solver),
        "grid": _component(cell.grid) if cell.grid else None,
        "nfe": cell.nfe,
        "steps": cell.steps,
        "guidance": _component(guidance) if isinstance(guidance, ComponentSpec) else guidance,
        "weights": cell.weights_name,
    }


def facts_of(winner: Winner) -> dict[str, Any]:
    """Return what was observed while the cell was trained: hardware, torch, seconds, parameters."""
    facts = vars(winner.trained.facts)
    return {name: facts[name] for name in ("hardware", "device", "torch", "parameters", "steps", "seconds")}


def in_words(config: Mapping[str, Any], cell: TrainingCell | EvaluationCell) -> list[tuple[str, str]]:
    """Return what the model is, as rows of a table."""
    training = cell if isinstance(cell, TrainingCell) else cell.training
    rows = [(spec.kind.replace("_", "-"), str(spec)) for spec in training.components]
    if isinstance(cell, EvaluationCell):
        rows += [("solver", str(cell.solver)), ("grid", str(cell.grid) if cell.grid else "")]
        rows += [("NFE", f"{cell.nfe} in {cell.steps} steps"), ("guidance", guidance_label(cell.guidance))]
    rows += [("weights", str(config["weights"])), ("seed", str(training.seed))]
    return [*rows, ("trained", f"{training.settings['steps']} steps on {config['facts']['hardware']}")]
