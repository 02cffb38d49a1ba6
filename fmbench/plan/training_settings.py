"""How a training cell is trained, as plain values: what of a suite's `training` counts in keys."""

from __future__ import annotations

from typing import Any

from fmbench.suite import Training


def training_settings(training: Training) -> dict[str, Any]:
    """Return what a training cell must know besides its components, as plain JSON values.

    Without labels their dropout is 0, so that it counts in no key; nor do parts of a batch where there is one. An `ema`
    that is warmed up is its decay alone.
    """
    settings: dict[str, Any] = {"steps": training.steps, "batch_size": training.batch_size}
    settings["optimizer"] = training.optimizer.model_dump(mode="json")
    settings["schedule"] = training.schedule.model_dump(mode="json")
    settings["ema"] = training.ema.written()
    for name in ("gradient_clip", "precision", "class_conditional"):
        settings[name] = getattr(training, name)
    settings["label_dropout"] = training.label_dropout if training.class_conditional else 0.0
    if training.accumulate > 1:
        settings["accumulate"] = training.accumulate
    return settings
