"""One cell of a comparison as somebody writes it who has no harness: train, sample, score.

    python one_cell.py '{"dataset": "digits", "path": "linear", ...}'

A plain loop with the same network, batch, steps, optimiser, schedule and moving average as the suite's cell, then the
same solver and the same scores, once. Networks, the small feature extractor and its quantiser are imported from the
files that hold them, as one would import one's own; torch-fidelity computes FID and KID. It prints what it found.
"""

import json
import math
import resource
import statistics
import sys
import time

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fmbench_networks.mlp import MLP
from fmbench_networks.small_unet import SmallUNet

NETWORKS = {"mlp": MLP, "small_unet": SmallUNet}
OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
DRAWS, TIMED_BATCH, REPEATS = 4096, 64, 7


def digits():
    """Return training and test pictures, `(n, 1, 8, 8)` in [-1, 1]: every fifth of each class is a test picture."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = torch.from_numpy(bunch.images).float()[:, None] / 8 - 1
    order = torch.argsort(torch.from_numpy(bunch.target), stable=True)
    test = torch.zeros(len(x), dtype=torch.bool)
    test[order[::5]] = True
    return x[~test], x[test]


def eight_gaussians():
    """Return training and test points on a circle of radius 5."""
    generator = torch.Generator().manual_seed(0)
    angle = torch.randint(0, 8, (25_000,), generator=generator) * (math.pi / 4)
    x = 5 * torch.stack([angle.cos(), angle.sin()], 1) + 0.1**0.25 * torch.randn(25_000, 2, generator=generator)
    return x[:20_000], x[20_000:]


def linear(t):
    """Return alpha, sigma and their derivatives."""
    return t, 1 - t, torch.ones_like(t), -torch.ones_like(t)


def cosine(t):
    """Return alpha, sigma and their derivatives."""
    alpha, sigma = torch.sin(math.pi / 2 * t), torch.cos(math.pi / 2 * t)
    return alpha, sigma, math.pi / 2 * sigma, -math.pi / 2 * alpha


def vp(t):
    """Return alpha, sigma and their derivatives; the last is clipped near t=1."""
    left = (1 - t).clamp(min=1e-4)
    rate, total = 0.1 + 19.9 * left, 0.1 * left + 9.95 * left**2
    alpha = torch.exp(-total / 2)
    sigma = torch.sqrt(1 - alpha**2)
    return alpha, sigma, rate * alpha / 2, -rate * alpha**2 / (2 * sigma)


DATASETS = {"digits": digits, "eight_gaussians": eight_gaussians}
PATHS = {"linear": linear, "cosine": cosine, "vp": vp}
TIMES = {
    "uniform": lambda n: torch.rand(n),
    "beta": lambda n: torch.distributions.Beta(0.5, 0.5).sample((n,)),
    "u_shaped": lambda n: 0.5 + torch.asinh((2 * torch.rand(n) - 1) * math.sinh(2)) / 4,
    "logit_normal": lambda n: torch.sigmoid(torch.randn(n)),
    "mode": lambda n: (u := torch.rand(n)) * 2.29 - 1.29 * torch.sin(math.pi / 2 * u) ** 2,
}


def flow_loss(model, path, x_1, t):
    """Return the squared error of the velocity."""
    x_0 = torch.randn_like(x_1)
    alpha, sigma, d_alpha, d_sigma = (each.view(-1, *[1] * (x_1.ndim - 1)) for each in PATHS[path](t))
    return ((model(alpha * x_1 + sigma * x_0, t) - (d_alpha * x_1 + d_sigma * x_0)) ** 2).mean()


def train(cell, data):
    """Return the averaged network after a plain loop."""
    model = NETWORKS[cell["network"]](**cell["network_parameters"]).build(tuple(data.shape[1:]), 0)
    optimizer = OPTIMIZERS[cell["optimizer"]](model.parameters(), **cell["optimizer_parameters"])
    steps, warm_up = cell["steps"], cell["warm_up"]

    def rate(step):
        if step < warm_up:
            return (step + 1) / (warm_up + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(cell["ema"]))
    for _ in range(steps):
        x_1 = data[torch.randint(0, len(data), (cell["batch_size"],))]
        loss = flow_loss(model, cell["path"], x_1, TIMES[cell["t_distribution"]](len(x_1)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        average.update_parameters(model)
    return average.module


def euler(v, x, t, h):
    """Return the state after a step."""
    return x + h * v(x, t)


def midpoint(v, x, t, h):
    """Return the state after a step."""
    return x + h * v(x + h / 2 * v(x, t), t + h / 2)


def heun(v, x, t, h):
    """Return the state after a step."""
    k_1 = v(x, t)
    return x + h / 2 * (k_1 + v(x + h * k_1, t + h))


def rk4(v, x, t, h):
    """Return the state after a step."""
    k_1 = v(x, t)
    k_2 = v(x + h / 2 * k_1, t + h / 2)
    k_3 = v(x + h / 2 * k_2, t + h / 2)
    return x + h / 6 * (k_1 + 2 * k_2 + 2 * k_3 + v(x + h * k_3, t + h))


STEPS = {"euler": (euler, 1), "midpoint": (midpoint, 2), "heun": (heun, 2), "rk4": (rk4, 4)}


def sample(cell, model, shape, n):
    """Return n samples, integrated in batches of 256."""

    def v(x, t):
        return model(x, torch.full((len(x),), t))

    batches = []
    for first in range(0, n, 256):
        x = torch.randn(min(256, n - first), *shape)
        if cell["solver"] == "ab2":
            h, before = 1 / cell["nfe"], None
            for step in range(cell["nfe"]):
                now = v(x, step * h)
                x = x + h * (now if before is None else 1.5 * now - 0.5 * before)
                before = now
        else:
            advance, cost = STEPS[cell["solver"]]
            h = cost / cell["nfe"]
            for step in range(cell["nfe"] // cost):
                x = advance(v, x, step * h, h)
        batches.append(x)
    return torch.cat(batches)


def fid_and_kid(samples, real):
    """Return both scores of features of a small network trained on digits."""
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric

    from fmbench_metrics.extractor import small_extractor
    from fmbench_metrics.quantiser import quantise

    extractor = small_extractor("digits", "cpu")
    fake, true = (extractor.features(quantise(x)) for x in (samples, real))
    fid = fid_statistics_to_metric(fid_features_to_statistics(fake), fid_features_to_statistics(true), verbose=False)
    options = {"kid_subsets": 100, "kid_subset_size": 1000, "verbose": False}
    return fid | kid_features_to_metric(fake, true, **options)


def sliced_wasserstein(samples, real):
    """Return the distance over 256 directions."""
    directions = torch.nn.functional.normalize(torch.randn(256, samples.shape[1]), dim=1)
    x, y = ((directions @ each.T).sort(1).values for each in (samples, real))
    n, m = x.shape[1], y.shape[1]
    nearest = (torch.arange(max(n, m)) + 0.5) / max(n, m)
    return float((x[:, (nearest * n).long()] - y[:, (nearest * m).long()]).square().mean().sqrt())


def milliseconds(cell, model, shape):
    """Return the milliseconds a sample, after a warm-up."""
    taken = []
    for _ in range(2 + REPEATS):
        started = time.perf_counter()
        sample(cell, model, shape, TIMED_BATCH)
        taken.append(time.perf_counter() - started)
    return 1000 * statistics.median(taken[2:]) / TIMED_BATCH


def main():
    """Train, sample, score, print."""
    cell = json.loads(sys.argv[1])
    torch.manual_seed(cell["seed"])
    data, held_out = DATASETS[cell["dataset"]]()
    started = time.perf_counter()
    model = train(cell, data).eval()
    found = {"train_seconds": time.perf_counter() - started}
    with torch.no_grad():
        samples = sample(cell, model, data.shape[1:], cell["samples"])
        rows = torch.arange(DRAWS) % len(held_out)
        t = torch.rand(DRAWS)
        losses = [flow_loss(model, cell["path"], held_out[r], t[r]) for r in rows.split(512)]
        found["validation_loss"] = float(torch.stack(losses).mean())
        if "fid_digits" in cell["metrics"]:
            found |= fid_and_kid(samples, data)
        if "sliced_wasserstein" in cell["metrics"]:
            found["sliced_wasserstein"] = sliced_wasserstein(samples, held_out)
        if "sample_ms" in cell["metrics"]:
            found["sample_ms"] = milliseconds(cell, model, data.shape[1:])
    found["parameters"] = sum(p.numel() for p in model.parameters())
    found["peak_memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    torch.save(model.state_dict(), "model.pt")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
