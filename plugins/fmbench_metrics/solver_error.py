"""How far a solver's samples end from where the network's flow takes their noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Ge

from fmbench import DataError, Metric
from fmbench.errors import Diverged, NotDefined
from fmbench_metrics.validation import labelled

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Evidence, Velocity

BATCH = 256


class SolverError(Metric):
    """sqrt(E|x_N - x*|^2 / d), d being the dimension: the samples' distance from the ends of the flow itself.

    x_N is a sample and x* where dx/dt = v(x, t) ends from the same source sample and label, with v of the same network,
    weights and guidance. So the error is the solver's alone: it has no floor, 256 samples tell it, and over the NFE it
    falls with the solver's order, which is minus the slope of a log-log plot. Whether the samples are good it does not
    say: where a network predicts x_1 and errs near t=1, its flow ends at worse samples than a few steps do, and the few
    steps have the larger error.

    The ends x* are found by the classic Runge-Kutta method of order 4 in s, where t = sin^2(pi s/2), on equal steps.
    The velocity at t=0 and t=1 then counts for nothing, where those made of x_1- or noise-predictions have poles that
    are clipped. Once for each network, weights and guidance, this takes six calls of the network a step, and none of
    them is in the NFE: four for the steps, and two for steps of twice the length. `solver_error_reference` is the
    distance between the ends of the two, and more than x* is off, but for what lies within the clip: there x* of an
    exact noise prediction is off by 1e-4, and by equal steps in t by 5e-3. A solver error that is not far above that,
    or above what the network rounds, about 1e-6 of the data in float32 and 1e-2 in bfloat16, says little of the solver.

    Of a model that works in latents, the decoded ends are compared.

    Adaptive solvers have a value as others do, at the NFE that they took. A solver that draws noise is left out: its
    samples are those of another random path through the same marginals, whose distance from x* does not shrink with the
    steps.

    Args:
        samples: the first so many samples are compared, or all where there are fewer.
        steps: Runge-Kutta steps from t=0 to t=1, an even number.
    """

    reference = (
        "Hairer, Norsett and Wanner 1993, Solving Ordinary Differential Equations I, section II.3: the global error"
    )
    unit = "data units"

    def __init__(self, *, samples: Annotated[int, Ge(1)] = 256, steps: Annotated[int, Ge(2)] = 128) -> None:
        if steps % 2:
            raise ValueError(f"solver_error halves the number of steps, so steps must be even; found {steps}")
        self.samples = samples
        self.steps = steps

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the error, and how far the flow's ends may be off.

        Raises NotDefined where the solver drew noise or the guidance is stateful, Diverged where an end is not finite.
        """
        if evidence.samples is None:
            raise DataError("solver_error judges samples; this evidence has none.")
        if evidence.source is None:
            raise NotDefined(
                "the solver draws noise of its own, or the guidance remembers its calls, so that samples do not "
                "approach the ends of one flow"
            )
        n = self._count(evidence)
        key = f"solver_error {n} {self.steps}"
        if key not in evidence.remembered:
            evidence.remembered[key] = self._ends(evidence, n)
        ends, coarse = evidence.remembered[key]
        found = evidence.samples[:n].double()
        return {"solver_error": distance(found, ends), "solver_error_reference": distance(coarse, ends)}

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return the number of samples that are compared, and whether they have labels."""
        return {"samples_n": self._count(evidence), "labels": evidence.is_conditional}

    def _count(self, evidence: Evidence) -> int:
        return 0 if evidence.samples is None else min(self.samples, len(evidence.samples))

    @torch.no_grad()
    def _ends(self, evidence: Evidence, n: int) -> tuple[Tensor, Tensor]:
        """Return where the flow takes the first n source samples, `(n, *shape)`, and the same with half the steps."""
        assert evidence.source is not None
        x_0, y, space = evidence.source(n), evidence.labels, evidence.own_space
        found: tuple[list[Tensor], list[Tensor]] = ([], [])
        for rows in torch.split(torch.arange(n, device=x_0.device), BATCH):
            given = y[rows] if evidence.is_conditional and y is not None else None
            with labelled(space.velocity if space else evidence.velocity, given) as velocity:
                for ends, steps in zip(found, (self.steps, self.steps // 2), strict=True):
                    end = flow_ends(velocity, x_0[rows], steps)
                    ends.append(space.decode(end.to(x_0.dtype)).double() if space else end)
        fine, coarse = (torch.cat(ends) for ends in found)
        if bad := int((~torch.isfinite(fine.flatten(1)).all(1)).sum()):
            raise Diverged(f"the flow itself takes {bad} of {n} source samples to values that are not finite")
        return fine, coarse


def flow_ends(velocity: Velocity, x_0: Tensor, steps: int, backwards: bool = False) -> Tensor:
    """Return where the flow of a velocity takes `x_0` `(batch, *shape)`, float64, by RK4 on equal steps in s.

    The velocity is asked in the dtype of `x_0`, and never at t=0 and t=1, where dt/ds is 0. With `backwards`, `x_0` is
    at t=1 and is taken to t=0.
    """

    def rate(half_steps: int, x: Tensor) -> Tensor:
        if half_steps in (0, 2 * steps):
            return torch.zeros_like(x)
        angle = math.pi / 2 * (2 * steps - half_steps if backwards else half_steps) / (2 * steps)
        t = x_0.new_full((len(x),), math.sin(angle) ** 2)
        return math.pi / 2 * math.sin(2 * angle) * velocity(x.to(x_0.dtype), t).double()

    x, h = x_0.double(), (-1 if backwards else 1) / steps
    for start in range(0, 2 * steps, 2):
        k_1 = rate(start, x)
        k_2 = rate(start + 1, x + h / 2 * k_1)
        k_3 = rate(start + 1, x + h / 2 * k_2)
        k_4 = rate(start + 2, x + h * k_3)
        x = x + h / 6 * (k_1 + 2 * (k_2 + k_3) + k_4)
    return x


def distance(x: Tensor, y: Tensor) -> float:
    """Return the root mean square difference of `x` and `y` `(n, *shape)`, over all dimensions of all examples."""
    return float((x - y).square().mean().sqrt())
