"""A folder as `save_pretrained` of the library diffusers writes it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Ge

from fmbench import DataError, Model
from fmbench_models._conventions import Conventions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from fmbench import Dataset, ProbabilityPath

NETWORKS = {
    "UNet2DModel": "UNet2DModel",
    "DiTTransformer2DModel": "DiTTransformer2DModel",
    "Transformer2DModel": "DiTTransformer2DModel",
}
"""The classes that are called as (x, timestep, class_labels) and return `.sample`, by the name in a configuration."""
AUTOENCODERS = ("AutoencoderKL", "AutoencoderDC", "AutoencoderTiny")
"""The classes that turn latents into pictures by `decode(latents).sample`."""
PLACES = ("", "unet", "transformer")
"""Where a pipeline's folder has its network."""
TIMESTEPS = 1000.0
LOADING = {"local_files_only": True, "use_safetensors": True, "low_cpu_mem_usage": False}
"""How folders are read: nothing is fetched or unpickled; the package accelerate, which may be missing, is not asked."""


class Diffusers(Model):
    """A network of diffusers, UNet2DModel or DiTTransformer2DModel, alone or in a pipeline's folder.

    Time runs from the data at 0 to the noise at 1, in 1,000 timesteps or as many as the folder's scheduler says. A
    scheduler must agree with what is declared: flow matching is `predicts: velocity` on the path linear, and DDPM's
    betas are the path ddpm. Channels that predict a variance are left away. Where the network works in the latents of
    the folder's `vae`, it starts from noise of their shape, and its samples are decoded. Nothing is fetched: the folder
    is read as it is, from safetensors. The autoencoder's weights count as parameters of the model. Needs `pip install
    'fmbench[networks]'`.

    Args:
        folder: the folder: with `config.json` itself, or in `unet` or `transformer`.
        path: the probability path in which it was trained; flow-matching pipelines of the library have linear, those
            of discrete timesteps, such as DiT, have ddpm.
        predicts: what its output is; for flow matching the velocity, noise - data in the library's time.
        latents: whether it works in the latents of the folder's `vae`, by which samples become pictures.
        labels: whether it takes class labels, as every DiT does.
        no_label: its index of "no label", which guidance needs: 1000 for a DiT of ImageNet; null where it has none.

    Raises:
        DataError: the folder holds no such network, or it contradicts what is declared.
    """

    reference = "diffusers (Hugging Face); Peebles and Xie 2023, DiT (arXiv:2212.09748)"
    requires = ("images",)
    content = ("folder",)
    by_parameter: ClassVar[Mapping[str, Any]] = {
        "latents": {True: {"requires": ("images", "normal_source")}},
        "labels": {True: {"provides": ("given", "labels"), "requires": ("images", "classes")}},
        "no_label": {None: {}, ...: {"provides": ("given", "no_label")}},
    }

    def __init__(
        self,
        *,
        folder: str,
        path: dict[str, Any] | str = "linear",
        predicts: Literal["velocity", "x_1", "noise", "v"] = "velocity",
        latents: bool = False,
        labels: bool = False,
        no_label: Annotated[int, Ge(0)] | None = None,
    ) -> None:
        if importlib.util.find_spec("diffusers") is None:
            raise ImportError(
                "this model is read by diffusers, which is not installed. Run: pip install 'fmbench[networks]'"
            )
        Conventions(predicts, labels=labels, no_label=no_label)  # says what does not go together
        self.folder = Path(folder).expanduser()
        self.predicts = predicts
        self.latents = latents
        self.labels = labels
        self.no_label = no_label

    def build(self, dataset: Dataset, path: ProbabilityPath, network: Any) -> nn.Module:
        """Return the network in fmbench's time."""
        place, config = self._config()
        name = str(config.get("_class_name"))
        if name not in NETWORKS or (name == "Transformer2DModel" and config.get("norm_type") != "ada_norm_zero"):
            raise DataError(
                f"{place} holds a {name}; what is read so far: {', '.join(dict.fromkeys(NETWORKS.values()))}"
            )
        scale, offset = self._timesteps(path)
        loaded = _loaded(NETWORKS[name], place)
        self._check_labels(loaded, dataset, place)
        said = Conventions(
            self.predicts, "data_at_zero", scale, labels=self.labels, no_label=self.no_label, offset=offset
        )
        module = said.of(_tensor_of(loaded), dataset, path)
        if self.latents:
            return self._with_decoder(module, loaded.config, place)
        if loaded.config.in_channels != dataset.shape[0]:
            has, wants = loaded.config.in_channels, tuple(dataset.shape)
            also = "; set latents: true where they are latents" if (self.folder / "vae").is_dir() else ""
            raise DataError(f"{place} is for pictures of {has} channels, and those of the dataset are {wants}{also}")
        return module

    def _config(self) -> tuple[Path, Mapping[str, Any]]:
        places = [self.folder / place for place in PLACES if (self.folder / place / "config.json").is_file()]
        if not places:
            where = " or ".join(str(self.folder / place / "config.json") for place in PLACES)
            raise DataError(f"there is no network in {self.folder}: neither {where} is there")
        return places[0], _read(places[0] / "config.json")

    def _timesteps(self, path: ProbabilityPath) -> tuple[float, float]:
        """Return scale and offset of the network's time. Raises DataError where nothing says them."""
        from fmbench_models._diffusers_scheduler import timesteps_of

        file = self.folder / "scheduler" / "scheduler_config.json"
        if file.is_file():
            return timesteps_of(_read(file), file, path, self.predicts)
        if self.predicts != "velocity":
            raise DataError(f"{file} is not there, and nothing else says which timestep is which of {self.predicts}")
        return TIMESTEPS, 0.0

    def _check_labels(self, network: Any, dataset: Dataset, place: Path) -> None:
        """Raise DataError where the network takes labels and is not said to, or the other way, or has too few."""
        table = _embedding_of(network)
        if (table is not None) != self.labels:
            takes = "takes no labels: set labels: false" if table is None else "takes labels: set labels: true"
            raise DataError(f"{place} {takes}")
        highest = max(dataset.classes - 1, self.no_label or 0)
        if table is not None and highest >= table:
            raise DataError(f"{place} knows {table} labels, no label among them, and is asked for number {highest}")

    def _with_decoder(self, module: nn.Module, config: Any, place: Path) -> nn.Module:
        folder = self.folder / "vae"
        name = str(_read(folder / "config.json").get("_class_name"))
        if name not in AUTOENCODERS:
            raise DataError(f"{folder} holds a {name}; what is read so far: {', '.join(AUTOENCODERS)}")
        vae, side = _loaded(name, folder), config.sample_size
        if side is None:
            raise DataError(f"{place / 'config.json'} must have sample_size, the height and width of the latents")
        if getattr(vae.config, "latents_mean", None) is not None:
            raise DataError(f"{folder} has latents_mean, a mean of each channel, which is not read so far")
        height, width = (side, side) if isinstance(side, int) else side
        return _decoding(module, vae, (config.in_channels, height, width))


def _loaded(name: str, place: Path) -> Any:
    """Return a network of the library with the weights of a folder. Raises DataError."""
    import diffusers

    try:
        return getattr(diffusers, name).from_pretrained(place, **LOADING)
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{place} cannot be read by diffusers: {str(error)[:300]}") from error


def _embedding_of(network: Any) -> int | None:
    """Return how many labels a network knows, "no label" among them; None where it takes none."""
    if hasattr(network, "transformer_blocks"):
        return int(network.transformer_blocks[0].norm1.emb.class_embedder.embedding_table.num_embeddings)
    if network.class_embedding is None:
        return None
    return int(network.config.num_class_embeds or 0)


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as JSON: {error}") from error
    if not isinstance(found, dict):
        raise DataError(f"{file} must hold an object")
    return found


def _tensor_of(network: Any) -> nn.Module:
    """Return a network of diffusers as a module that returns a tensor of the shape of x."""
    from torch import nn

    class Sample(nn.Module):
        """Takes the tensor out of what the library returns, without the channels of a learned variance."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
            """Return the network's output, of the shape of `x`."""
            output: Tensor = self.network(x, t, class_labels=y).sample
            return output[:, : x.shape[1]] if output.shape[1] == 2 * x.shape[1] else output

    return Sample()


def _decoding(network: nn.Module, vae: Any, state_shape: tuple[int, ...]) -> nn.Module:
    """Return a network that works in the latents of an autoencoder of diffusers."""
    from torch import nn

    class Decoding(nn.Module):
        """A network with the autoencoder that makes pictures of its latents, as the library's pipelines do."""

        def __init__(self) -> None:
            super().__init__()
            self.network, self.vae, self.state_shape = network, vae, state_shape
            self.scale: float = vae.config.scaling_factor
            self.shift: float = getattr(vae.config, "shift_factor", None) or 0.0

        def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
            """Return the network's output at latents `x` `(batch, *state_shape)`."""
            output: Tensor = self.network(x, t) if y is None else self.network(x, t, y)
            return output

        def decode(self, x: Tensor) -> Tensor:
            """Return pictures `(batch, channels, height, width)` of latents `(batch, *state_shape)`."""
            pictures: Tensor = self.vae.decode(x / self.scale + self.shift).sample
            return pictures

    return Decoding()
