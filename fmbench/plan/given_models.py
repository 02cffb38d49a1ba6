"""Models that exist already, as training cells: what a model says of itself stands where others say how to train."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fmbench.cells.component_spec import ComponentSpec, Settings
from fmbench.cells.keys import digest
from fmbench.errors import ComponentError
from fmbench.plugins.own_code import at_parameter, named_by, with_network_code

if TYPE_CHECKING:
    from fmbench.plugins.registry import Registry

GIVEN = "given"
"""What a model provides, and how tables show what nobody knows of its training."""
AFFINE = "affine"
"""What a path provides on which predictions of the ends, the score and v stand for a velocity."""
TRAINED = "trained"
"""What all other cells provide: metrics of the training itself need it."""
OBJECTIVES = {
    "velocity": "velocity",
    "x_1": "x1_prediction",
    "noise": "noise_prediction",
    "score": "noise_prediction",
    "v": "velocity",
}
"""The objective by which the output of what `fmbench.Model.build` returns becomes the velocity."""
LABELS, NO_LABEL = "labels", "no_label"
"""What a model provides that takes labels, and one that can be asked without."""
SETTINGS = Settings(
    {"steps": 0, "batch_size": 0, "ema": 0.0, "class_conditional": False, "label_dropout": 0.0, "precision": "float32"}
)


def given_settings(capabilities: frozenset[str]) -> Settings:
    """Return the settings of a model's cells, given what the model provides."""
    return Settings({**SETTINGS.values, "class_conditional": True}) if LABELS in capabilities else SETTINGS


def given_axes(ref: ComponentSpec, registry: Registry) -> dict[str, ComponentSpec]:
    """Return the components of a model's cells by axis, all but the dataset.

    The network is the model itself. Coupling and t-distribution are the plain ones, by which metrics of the training
    loss judge it. Raises ComponentError where the model names what there is not.
    """
    predicts = ref.parameters.get("predicts") or registry.attribute(ref, "predicts")
    if predicts not in OBJECTIVES:
        choices = ", ".join(OBJECTIVES)
        raise ComponentError(
            f"parameter 'predicts' of model {ref.name!r} must be one of {choices}; found {predicts!r}",
            parameter="predicts",
        )
    if "path" not in ref.parameters:
        raise ComponentError(f"model {ref.name!r} of {ref.owner} has no parameter 'path'; each model needs one")
    name, parameters = named_by(ref, "path")
    with at_parameter(ref, "path"):
        path = registry.spec("path", name, parameters)
    if predicts != "velocity" and AFFINE not in registry.attribute(path, "provides"):
        raise ComponentError(
            f"model {ref.name!r} predicts {predicts}, which is a velocity only on an affine path, x_t = alpha_t x_1 + "
            f"sigma_t x_0; found path {path}. Name the path on which it was trained, or predicts: velocity",
            parameter="path",
        )
    return {
        "path": path,
        "coupling": _as_given(registry.spec("coupling", "independent")),
        "t_distribution": _as_given(registry.spec("t_distribution", "uniform")),
        "objective": registry.spec("objective", OBJECTIVES[predicts]),
        "network": with_network_code(registry, ref),
    }


def labelled(models: Sequence[ComponentSpec], registry: Registry) -> list[ComponentSpec]:
    """Return models with labels that tables have room for: files by their names, networks by theirs.

    Those that would look alike say the arguments of their networks, too, and else the whole of what the suite says.
    """
    short = [_short(model, registry) for model in models]
    longer = [_short(model, registry, arguments=True) for model in models]
    labels = [(label if short.count(label) == 1 else other) for label, other in zip(short, longer, strict=True)]
    return [
        replace(model, label=label if labels.count(label) == 1 else model.label)
        for model, label in zip(models, labels, strict=True)
    ]


def _short(model: ComponentSpec, registry: Registry, *, arguments: bool = False) -> str:
    network, files = registry.attribute(model, "network"), registry.attribute(model, "content")
    said = [Path(str(model.parameters.get(name))).name for name in files]
    if network:
        name, given = named_by(model, network)
        said.append(name.rpartition(":")[2])
        said += [f"{each}={value}" for each, value in given.items()] if arguments else []
    said += [f"{each}={text}" for each, text in registry.changed(model).items() if each not in (*files, network)]
    return f"{model.name}({', '.join(said)})" if said else model.name


def _as_given(spec: ComponentSpec) -> ComponentSpec:
    return replace(spec, label=GIVEN, fingerprint=digest(spec.fingerprint, GIVEN))
