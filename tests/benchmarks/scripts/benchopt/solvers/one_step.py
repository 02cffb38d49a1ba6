"""One step of training of a tiny network, for each of CELLS seeds."""

import os

import torch
from benchopt import BaseSolver
from torch import nn


class Solver(BaseSolver):
    """A plain training step."""

    name = "one step"
    sampling_strategy = "run_once"
    parameters = {"seed": list(range(int(os.environ["CELLS"])))}  # noqa: RUF012

    def set_objective(self, data):
        """Take the points."""
        self.data = data

    def run(self, _):
        """Train for one step."""
        torch.manual_seed(self.seed)
        self.model = nn.Sequential(nn.Linear(3, 16), nn.SiLU(), nn.Linear(16, 2))
        optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        x_1 = self.data[torch.randint(0, len(self.data), (64,))]
        x_0, t = torch.randn_like(x_1), torch.rand(64, 1)
        output = self.model(torch.cat([t * x_1 + (1 - t) * x_0, t], dim=1))
        loss = ((output - (x_1 - x_0)) ** 2).mean()
        loss.backward()
        optimizer.step()

    def get_result(self):
        """Hand over the network."""
        return {"model": self.model}
