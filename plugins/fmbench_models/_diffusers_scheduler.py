"""What a scheduler's configuration says of the network beside it: what it predicts, its path, and its timesteps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from fmbench import AffinePath, DataError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from fmbench import ProbabilityPath

PREDICTIONS = {"flow_prediction": "velocity", "epsilon": "noise", "sample": "x_1", "v_prediction": "v"}
"""What the library calls a prediction, and what fmbench does."""
SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2")
"""Those that the path ddpm has."""
TOLERANCE = 2e-4
"""How far alpha_t and sigma_t of the path may be from the scheduler's."""


def timesteps_of(config: Mapping[str, Any], file: Path, path: ProbabilityPath, predicts: str) -> tuple[float, float]:
    """Return by what the network's time is multiplied, and what is added, where time runs from the data at 0.

    A flow-matching network is told 1000 (1-t). One of T discrete timesteps is told T (1-t) - 1: timestep k lies at
    t = 1 - (k + 1)/T. Raises DataError where the scheduler contradicts what is declared, or is of a kind that is not
    read.
    """
    matches = str(config.get("_class_name", "")).startswith("FlowMatch")
    flows = matches or bool(config.get("use_flow_sigmas"))
    written = "flow_prediction" if matches else str(config.get("prediction_type", "epsilon"))
    found = PREDICTIONS.get(written)
    if found is None or (not flows and "beta_schedule" not in config) or config.get("invert_sigmas"):
        kind = f"{config.get('_class_name')} that predicts {written}"
        raise DataError(f"{file} is of a {kind}, which is not read so far: FlowMatch... and those of DDPM's betas are")
    if found != predicts:
        raise DataError(f"{file} predicts {written}: set predicts: {found}, and the path that belongs to it")
    steps = int(config.get("num_train_timesteps", 1000))
    if flows:
        t = torch.linspace(0, 1, 101, dtype=torch.float64)
        _check(path, t, t, 1 - t, file, "linear")
        return float(steps), 0.0
    from diffusers import DDPMScheduler

    kept = DDPMScheduler.from_config(dict(config)).alphas_cumprod.double()
    t = 1 - torch.arange(1, steps + 1, dtype=torch.float64) / steps
    _check(path, t, kept.sqrt(), (1 - kept).sqrt(), file, _ddpm(config, steps))
    return float(steps), -1.0


def _check(path: ProbabilityPath, t: Tensor, alpha: Tensor, sigma: Tensor, file: Path, name: str) -> None:
    """Raise DataError where the path's coefficients at `t` `(n,)` are not those of the scheduler, `(n,)`."""
    if isinstance(path, AffinePath):
        alpha_t, sigma_t, _, _ = path.coefficients(t)
        off = max(float((alpha_t - alpha).abs().max()), float((sigma_t - sigma).abs().max()))
        if off <= TOLERANCE:
            return
    choice = f"set path: {name}" if name else "no path that comes with fmbench has them"
    raise DataError(f"the path {type(path).__name__} is not that of {file}: alpha_t and sigma_t differ; {choice}")


def _ddpm(config: Mapping[str, Any], steps: int) -> str:
    """Return the path ddpm as a suite writes it for a configuration; empty where it has no such schedule."""
    schedule = config["beta_schedule"]
    if schedule not in SCHEDULES or config.get("trained_betas") or config.get("rescale_betas_zero_snr"):
        return ""
    said: dict[str, Any] = {} if schedule == "linear" else {"schedule": schedule}
    if schedule != "squaredcos_cap_v2":
        usual = {"beta_start": 1e-4, "beta_end": 0.02}
        said |= {name: config[name] for name, value in usual.items() if config.get(name, value) != value}
    said |= {} if steps == 1000 else {"timesteps": steps}
    return f"{{ddpm: {{{', '.join(f'{name}: {value}' for name, value in said.items())}}}}}" if said else "ddpm"
