"""Fleets evaluate as one: samples of several trained cells of one network shape, drawn by one batched program."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, cast

import torch
from torch import Tensor

from fmbench.cells.cells import EvaluationCell
from fmbench.cells.guidance import GuidanceChoice
from fmbench.components import contracts
from fmbench.evaluation.sample_batches import why_in_blocks
from fmbench.evaluation.sampling import Drawn, noise_role, sampler, solver_and_times, usual_batch
from fmbench.isolation import global_random
from fmbench.model.batched.networks import Networks
from fmbench.model.trained_model import Trained, guidance_component
from fmbench.model.velocity import ModelVelocity
from fmbench.runtime.device import synchronise


class NotBatchedError(Exception):
    """A solver wants what the members of a fleet do not share."""


class _OwnPath:
    """Stands for the path where members have different ones."""

    def __getattr__(self, name: str) -> Any:
        raise NotBatchedError(
            f"the solver or the guidance looks at {name} of the path, and the members have different paths"
        )


@dataclass(frozen=True)
class _Conversion:
    """Converts the joint output of members, those that are alike in one call. Members stand as in the output."""

    members: Sequence[Trained]

    def velocity(self, output: Tensor, x: Tensor, t: Tensor, path: contracts.ProbabilityPath) -> Tensor:
        """Return the velocities `(members * batch, *shape)`."""
        rows, found, first = len(x) // len(self.members), [], 0
        for _, group in groupby(self.members, key=lambda m: (m.cell.objective.digest, m.cell.path.digest)):
            alike = list(group)
            own = slice(first, first := first + rows * len(alike))
            parts = alike[0].parts
            found.append(parts.objective.velocity(output[own], x[own], t[own], parts.path))
        return found[0] if len(found) == 1 else torch.cat(found)


def joint_velocity(members: Sequence[Trained], guidance: GuidanceChoice, weights: Any) -> ModelVelocity:
    """Return the velocity of members, whose states and labels stand one member after the other."""
    for member in members:
        member.velocity(guidance, weights)  # so that its module has these weights
    networks = Networks([member.module for member in members])
    own = members[0].parts
    path = (
        own.path if len({m.cell.path.digest for m in members}) == 1 else cast("contracts.ProbabilityPath", _OwnPath())
    )
    parts = replace(own, objective=cast("contracts.Objective", _Conversion(members)), path=path)
    context = members[0].context
    generator = context.generator(members[0].cell, "solver_noise")
    module, most = cast("torch.nn.Module", networks), context.evaluation_batch
    component = guidance_component(guidance, context)
    return ModelVelocity(module, parts, component, context.device, generator, most, len(members))


@torch.no_grad()
def draw_batched(members: Sequence[Trained], cell: EvaluationCell) -> list[Drawn]:
    """Return what `draw_samples` does for each member; they share the sampler of `cell`, an evaluation of the first.

    Raises NotBatchedError where the solver is adaptive, draws noise, or looks at its batch or at paths that differ, and
    where the guidance asks for weaker models, of which each member may have its own.
    """
    began = time.perf_counter()
    if cell.weaker is not None:
        raise NotBatchedError("the guidance asks for weaker models, which are each member's own")
    velocity = joint_velocity(members, cell.guidance, cell.weights_name)
    shape = members[0].parts.dataset.shape
    if why := why_in_blocks(*solver_and_times(members[0], cell), velocity.path, shape, velocity.guidance):
        raise NotBatchedError(why)
    noise, random = velocity.generator.get_state(), global_random.state(members[0].context.device)
    integrate = sampler(members[0], cell, velocity)
    n, usual = int(cell.settings["samples"]), usual_batch(members[0])
    sizes = [min(usual, n - first) for first in range(0, n, usual)]
    role = noise_role(cell, "evaluation")
    calls: list[int] = []
    samples: list[list[Tensor]] = [[] for _ in members]
    for first, size in zip(range(0, n, usual), sizes, strict=True):
        before = velocity.calls
        labels = [member.labels(first, size) for member in members]
        y = None if labels[0] is None else torch.cat([own for own in labels if own is not None])
        drawn = integrate(torch.cat([member.source(first, size, role) for member in members]), y)
        for own, piece in zip(samples, drawn.chunk(len(members)), strict=True):
            own.append(piece)
        calls.append((velocity.calls - before) // len(members))
    drew = not global_random.alike(random, global_random.state(members[0].context.device))
    if drew or not torch.equal(noise, velocity.generator.get_state()):
        raise NotBatchedError("the solver draws noise, which is each member's own")
    synchronise(members[0].context.device)
    seconds = (time.perf_counter() - began) / len(members)
    pieces = zip(members, samples, strict=True)
    together = len(members)
    return [
        Drawn(torch.cat(own), member.labels(0, n), sizes, calls, seconds, members=together) for member, own in pieces
    ]


def in_order(members: Sequence[Trained]) -> list[Trained]:
    """Return members so that those whose output is converted in one call are neighbours."""
    return sorted(members, key=lambda m: (m.cell.objective.digest, m.cell.path.digest, m.cell.seed, m.cell.key))
