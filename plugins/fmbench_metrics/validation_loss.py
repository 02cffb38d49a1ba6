"""The loss on held-out data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from fmbench import Metric
from fmbench_metrics.memory import content_hash, remember

if TYPE_CHECKING:
    from fmbench import Evidence

DRAWS = 4096
BATCH = 512


class ValidationLoss(Metric):
    """The objective's loss on the test split, under uniform t, fixed noise and the averaged weights.

    The test split is gone through as often as 4,096 draws need; t is stratified over them. Because t is uniform
    whatever the training drew, values are comparable between t-distributions of one path and objective. They are
    *not* comparable between paths or objectives, whose targets differ.
    """

    reference = "fmbench's design, evidence.md 5"
    scope = "training"
    within = ("path", "objective")

    @torch.no_grad()
    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the mean loss."""
        data, labels = evidence.real("test")
        generator, own_noise = evidence.generator("validation"), evidence.generator("validation_path")
        n = len(data) * -(-DRAWS // len(data))
        strata = torch.randperm(n, generator=generator, device=generator.device)
        t = (strata + torch.rand(n, generator=generator, device=generator.device)) / n
        rows = torch.arange(n, device=data.device) % len(data)
        losses = []
        for chosen, t_batch in zip(torch.split(rows, BATCH), torch.split(t.to(data), BATCH), strict=True):
            x_0 = evidence.dataset.source(len(chosen), generator).to(data)
            sample = evidence.path.sample(x_0, data[chosen], t_batch, own_noise)
            sample.y = labels[chosen] if evidence.classes and labels is not None else None
            arguments = () if sample.y is None else (sample.y,)
            output = evidence.module(sample.x_t, sample.t, *arguments)
            losses.append(evidence.objective.loss(output.float(), sample))
        return {"validation_loss": float(torch.cat(losses).double().mean())}

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return the held-out set and the number of draws."""
        data = evidence.real("test")[0]
        return {
            "reference": remember(data, "content", lambda: content_hash(data)),
            "reference_split": "test",
            "reference_n": len(data),
            "draws": len(data) * -(-DRAWS // len(data)),
        }
