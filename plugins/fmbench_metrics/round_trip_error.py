"""How far data end from themselves, taken to noise along the flow and brought back by the sampler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Ge

from fmbench import Metric
from fmbench.errors import Diverged, NotDefined
from fmbench_metrics.solver_error import distance, flow_ends
from fmbench_metrics.validation import examples, labelled, reference

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Evidence

BATCH = 256


class RoundTripError(Metric):
    """sqrt(E|x - x_1|^2 / d): how far data x_1 end from themselves, taken to noise and brought back by the sampler.

    Test data are taken from t=1 to t=0 along dx/dt = v(x, t), with v of the cell's network, weights and guidance, and
    from there to t=1 by the cell's solver on its grid. That is the error of reconstructing or editing data by their
    noise, for which samplers are run backwards. Over the NFE it falls with the solver's order.

    Like solver_error it says nothing of how good the samples are. Where it differs: that error is at the samples, this
    one at the data, where a network may be followed less easily.

    The way to noise is by the classic Runge-Kutta method of order 4 in s, where t = sin^2(pi s/2), on equal steps, so
    that the velocity at t=0 and t=1 counts for nothing. `round_trip_error_reference` is the error of going back by the
    same method: what is not the solver's. Both are found once for each network, weights and guidance, by eight calls of
    the network a step, and none of them is in the NFE.

    A solver that draws noise is left out: it does not bring the noise back to where it came from.

    Args:
        points: the most test examples, drawn at random, the same for all cells of a seed.
        steps: Runge-Kutta steps each way.
    """

    reference = "fmbench's docs/measurements.md, Errors of a sampler and of an estimate"
    unit = "data units"

    def __init__(self, *, points: Annotated[int, Ge(1)] = 256, steps: Annotated[int, Ge(2)] = 128) -> None:
        self.points = points
        self.steps = steps

    @torch.no_grad()
    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the error, and that of a fine method both ways.

        Raises NotDefined where the solver drew noise or the guidance is stateful, Diverged where an end is not finite.
        """
        solve = evidence.solve
        if solve is None:
            raise NotDefined(
                "the solver draws noise of its own, or the guidance remembers its calls, so that data are not brought "
                "back from their noise"
            )
        data, y = examples(evidence, self.points, evidence.generator("round_trip_data"))
        key = f"round_trip_error {len(data)} {self.steps}"
        if key not in evidence.remembered:
            evidence.remembered[key] = self._noise(evidence, data, y)
        x_0, again = evidence.remembered[key]
        ends = []
        for rows in torch.split(torch.arange(len(data), device=data.device), BATCH):
            given = None if y is None else y[rows]
            with labelled(evidence.velocity, given):
                ends.append(solve(x_0[rows].to(data.dtype), given))
        found = _finite(torch.cat(ends), "the solver takes", "back to values")
        return {
            "round_trip_error": distance(found.double(), data.double()),
            "round_trip_error_reference": distance(again, data.double()),
        }

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return the held-out set, and whether the network was given the labels."""
        return {**reference(evidence), "labels": evidence.is_conditional}

    def _noise(self, evidence: Evidence, data: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return where the flow takes `data` `(n, *shape)` at t=0, and these at t=1 again, both float64."""
        noise: list[Tensor] = []
        again: list[Tensor] = []
        for rows in torch.split(torch.arange(len(data), device=data.device), BATCH):
            with labelled(evidence.velocity, None if y is None else y[rows]) as velocity:
                noise.append(flow_ends(velocity, data[rows], self.steps, backwards=True))
                again.append(flow_ends(velocity, noise[-1].to(data.dtype), self.steps))
        return _finite(torch.cat(noise), "the flow takes", "to noise"), torch.cat(again)


def _finite(x: Tensor, before: str, after: str) -> Tensor:
    """Return `x` `(n, *shape)`. Raises Diverged where an example is not finite, in these words."""
    if bad := int((~torch.isfinite(x.flatten(1)).all(1)).sum()):
        raise Diverged(f"{before} {bad} of {len(x)} test examples {after} that are not finite")
    return x
