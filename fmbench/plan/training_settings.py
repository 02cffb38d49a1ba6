"""How a training cell is trained, as plain values: what of a suite's `training` counts in keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.setting_axes import setting_value
from fmbench.suite import Training


def training_settings(training: Training, chosen: Iterable[ComponentSpec] = ()) -> dict[str, Any]:
    """Return what a training cell must know besides its components, as plain JSON values.

    `chosen` are its values on the axes of settings; of those that are not among them, it has the suite's first.

    Without labels their dropout is 0, so that it counts in no key; nor do parts of a batch where there is one. An `ema`
    that is warmed up is its decay alone.
    """
    first = {axis: setting_value(values[0]) for axis, values in training.settings.items()}
    settings = first | {spec.kind: setting_value(spec) for spec in chosen}
    for name in ("gradient_clip", "precision", "class_conditional"):
        settings[name] = getattr(training, name)
    settings["label_dropout"] = training.label_dropout if training.class_conditional else 0.0
    if training.accumulate > 1:
        settings["accumulate"] = training.accumulate
    if training.stratified_t:
        settings["stratified_t"] = True
    return settings
