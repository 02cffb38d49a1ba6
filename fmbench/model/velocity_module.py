"""A trained network as a module of torch that gives its velocity: what is saved for others to load."""

from __future__ import annotations

from torch import Tensor, nn

from fmbench.components import contracts
from fmbench.model.dummy_inputs import network_inputs
from fmbench.model.trained_model import Trained
from fmbench.runtime.device import device_type


class VelocityModule(nn.Module):
    """The velocity dx/dt of a trained network: t=0 is noise, t=1 data. Called with `(x, t)` or `(x, t, labels)`.

    It holds the averaged weights, those of evaluations that ask for no others, and calls the network in the precision
    of the training. Pickled, it names classes of fmbench and of the plugins that it was made with.
    """

    def __init__(
        self, network: nn.Module, objective: contracts.Objective, path: contracts.ProbabilityPath, precision: str
    ) -> None:
        super().__init__()
        self.network, self.objective, self.path, self.precision = network, objective, path, precision
        self.example: tuple[Tensor, ...] = ()

    def forward(self, x: Tensor, t: Tensor | float, labels: Tensor | None = None) -> Tensor:
        """Return the velocity, `(batch, *shape)` like `x`; `t` is `(batch,)` or one number for all."""
        import torch

        times = torch.as_tensor(t, dtype=x.dtype, device=x.device).expand(x.shape[0])
        low = self.precision == "bf16"
        with torch.autocast(device_type(str(x.device)), dtype=torch.bfloat16, enabled=low):
            output = self.network(x, times) if labels is None else self.network(x, times, labels)
        return self.objective.velocity(output.to(x.dtype), x, times, self.path)


def velocity_module(trained: Trained) -> VelocityModule:
    """Return the velocity of a trained cell with its averaged weights; `example` holds two random inputs."""
    parts = trained.parts
    module = VelocityModule(trained.module, parts.objective, parts.path, parts.precision)
    module.example = tuple(network_inputs(parts, 2, trained.context.device))
    return module.eval()
