"""A folder as `save_pretrained` of the library diffusers writes it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbench import DataError, Model
from fmbench_models._conventions import Prediction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from fmbench import Dataset, ProbabilityPath

NETWORKS = ("UNet2DModel",)
"""The classes that are called as (x, timestep) and return `.sample`."""
PLACES = ("", "unet", "transformer")
"""Where a pipeline's folder has its network."""
SCHEDULERS = {"flow_prediction": "velocity", "epsilon": "noise", "sample": "x_1"}
"""What the scheduler's configuration calls a prediction, and what fmbench does."""
TIMESTEPS = 1000


class Diffusers(Model):
    """A UNet2DModel of diffusers, alone or in a pipeline's folder, with its conventions of time.

    Time runs from the data at 0 to the noise at 1 and is multiplied by 1,000, as the library's flow-matching pipelines
    do. Where the folder has a scheduler, what it predicts must be what is declared. Nothing is fetched: the folder is
    read as it is, from safetensors. Needs `pip install 'fmbench[networks]'`.

    Args:
        folder: the folder: with `config.json` itself, or in `unet` or `transformer`.
        path: the probability path in which it was trained; flow-matching pipelines of the library have linear.
        predicts: what its output is; for flow matching the velocity, noise - data in the library's time.

    Raises:
        DataError: the folder holds no such network, or its scheduler contradicts what is declared.
    """

    reference = "diffusers (Hugging Face): UNet2DModel, FlowMatchEulerDiscreteScheduler"
    requires = ("images",)
    content = ("folder",)

    def __init__(
        self, *, folder: str, path: dict[str, Any] | str = "linear", predicts: Prediction = "velocity"
    ) -> None:
        if importlib.util.find_spec("diffusers") is None:
            raise ImportError(
                "this model is read by diffusers, which is not installed. Run: pip install 'fmbench[networks]'"
            )
        self.folder = Path(folder).expanduser()
        self.predicts = predicts

    def build(self, dataset: Dataset, path: ProbabilityPath, network: Any) -> nn.Module:
        """Return the network in fmbench's time."""
        import diffusers

        from fmbench_models._conventions import InOurTime

        place, config = self._config()
        name = str(config.get("_class_name"))
        if name not in NETWORKS:
            raise DataError(f"{place} holds a {name}; what is read so far: {', '.join(NETWORKS)}")
        self._check_scheduler()
        try:
            unet = getattr(diffusers, name).from_pretrained(place, local_files_only=True, use_safetensors=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise DataError(f"{place} cannot be read by diffusers: {str(error)[:300]}") from error
        if unet.config.in_channels != dataset.shape[0]:
            has, wants = unet.config.in_channels, dataset.shape
            raise DataError(f"{place} is for pictures of {has} channels, and those of the dataset are {tuple(wants)}")
        return InOurTime(_tensor_of(unet), "data_at_zero", TIMESTEPS, turns=self.predicts == "velocity")

    def _config(self) -> tuple[Path, Mapping[str, Any]]:
        places = [self.folder / place for place in PLACES if (self.folder / place / "config.json").is_file()]
        if not places:
            where = " or ".join(str(self.folder / place / "config.json") for place in PLACES)
            raise DataError(f"there is no network in {self.folder}: neither {where} is there")
        return places[0], _read(places[0] / "config.json")

    def _check_scheduler(self) -> None:
        """Raise DataError where the folder's scheduler predicts something else than is declared."""
        file = self.folder / "scheduler" / "scheduler_config.json"
        if not file.is_file():
            return
        config = _read(file)
        flows = str(config.get("_class_name", "")).startswith("FlowMatch")
        written = "flow_prediction" if flows else str(config.get("prediction_type", "epsilon"))
        found = SCHEDULERS.get(written)
        if found is None:
            raise DataError(f"{file} predicts {written}, which is not read so far; {', '.join(SCHEDULERS)} are")
        if found != self.predicts:
            raise DataError(f"{file} predicts {written}: set predicts: {found}, and the path that belongs to it")


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as JSON: {error}") from error
    if not isinstance(found, dict):
        raise DataError(f"{file} must hold an object")
    return found


def _tensor_of(unet: Any) -> nn.Module:
    """Return a network of diffusers as a module that returns a tensor."""
    from torch import nn

    class Sample(nn.Module):
        """Takes the tensor out of what the library returns."""

        def __init__(self) -> None:
            super().__init__()
            self.unet = unet

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            """Return the network's output, of the shape of `x`."""
            output: Tensor = self.unet(x, t).sample
            return output

    return Sample()
