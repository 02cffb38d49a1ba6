"""Trains small MLPs one after the other, as a tutorial does, and saves their weights.

    python mlp_loops.py MODELS STEPS

The last line that it prints holds the seconds that each training's steps took.
"""

import json
import sys
import time

import torch
from sklearn.datasets import make_moons
from torch import nn

BATCH = 128


def train(data, steps):
    """Return a trained network."""
    model = nn.Sequential(nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(steps):
        x_1 = data[torch.randint(0, len(data), (BATCH,))]
        x_0 = torch.randn_like(x_1)
        t = torch.rand(BATCH, 1)
        x_t = t * x_1 + (1 - t) * x_0
        loss = ((model(torch.cat([x_t, t], dim=1)) - (x_1 - x_0)) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


models, steps = int(sys.argv[1]), int(sys.argv[2])
points, _ = make_moons(500, noise=0.05, random_state=0)
data = torch.tensor(points, dtype=torch.float32)
seconds = []
for seed in range(models):
    torch.manual_seed(seed)
    started = time.perf_counter()
    model = train(data, steps)
    seconds.append(time.perf_counter() - started)
    torch.save(model.state_dict(), f"model{seed}.pt")
print(json.dumps(seconds))
