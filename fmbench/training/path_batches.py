"""What the members of a fleet learn from at a step: samples of their paths, those of alike members in one call."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Generator, Tensor

from fmbench.cells.cells import TrainingCell
from fmbench.components.contracts import PathSample, TDistribution
from fmbench.isolation.inplace_guard import guard_inplace
from fmbench.model.build import Components
from fmbench.model.context import WorkerContext
from fmbench.training.batch_sampler import Batch, shared_samplers
from fmbench.training.joint_tensors import FIELDS, join_samples, join_steps, joined, same_but_for_rounding, split_sample

AHEAD, SMALL = 8, 2**12
"""So many steps are sampled at once where a batch has at most so many numbers."""


@dataclass(frozen=True)
class Times:
    """Neighbours in a fleet that share a t-distribution; `digest` is that of its spec."""

    digest: str
    t_distribution: TDistribution
    members: range


@dataclass
class MemberBlock:
    """Neighbours in a fleet, from member `first` to before `last`, that share objective and path.

    `joint_sample_ok` and `joint_loss_ok` say whether one call for all of them gives what calls one by one give; None
    is: not yet known.
    """

    first: int
    last: int
    times: list[Times]
    parts: Components
    objective: str
    joint_sample_ok: bool | None = None
    joint_loss_ok: bool | None = None


@dataclass
class JointBatch:
    """A joint sample of neighbours that share an objective. `block` is the first of them."""

    block: MemberBlock
    members: int
    sample: PathSample


class PathBatchSampler:
    """Draws the samples of a fleet's cells, one step after the other.

    Members stand in the order of `in_order`. What their draws share is drawn once (see `shared_samplers`); noise of a
    path is drawn for each member from its own generator. Small examples are sampled several steps ahead, in one call.
    """

    def __init__(self, cells: Sequence[TrainingCell], parts: Sequence[Components], context: WorkerContext) -> None:
        self._samplers = shared_samplers(cells, parts, context)
        self._noise = [context.generator(cell, "path_noise") for cell in cells]
        self._ahead = steps_ahead(cells[0], parts[0])
        self._last: int = cells[0].settings["steps"]
        self._waiting: list[list[JointBatch]] = []
        self._taken = 0
        self._before: list[dict[str, Any]] = []
        self._drawn: dict[int, list[Batch]] = {}
        self._joined: dict[tuple[Any, ...], Tensor] = {}
        self._blocks = []
        for members in _runs(range(len(cells)), lambda member: _alike(cells[member])[:2]):
            runs = _runs(members, lambda member: cells[member].t_distribution.digest)
            times = [Times(cells[r.start].t_distribution.digest, parts[r.start].t_distribution, r) for r in runs]
            first = members.start
            self._blocks.append(MemberBlock(first, members.stop, times, parts[first], cells[first].objective.digest))

    def draw(self, step: int) -> list[JointBatch]:
        """Return the samples of a step, each step once and in order, from the first member to the last."""
        if not self._waiting:
            first = step - self._taken
            self._before = self._states(range(len(self._samplers))) if self._ahead > 1 else []
            self._waiting = self._sample_steps(range(first, min(first + self._ahead, max(self._last, step + 1))))
            del self._waiting[: self._taken]
        joint_batches = self._waiting.pop(0)
        self._taken = self._taken + 1 if self._waiting else 0
        return joint_batches

    def _sample_steps(self, steps: range) -> list[list[JointBatch]]:
        """Return the samples of some steps."""
        if len(self._samplers) == len(steps) == 1:
            return [self._sample_alone(steps[0])]
        samplers = dict.fromkeys(self._samplers)
        self._drawn = {id(sampler): [sampler.batch(step) for step in steps] for sampler in samplers}
        self._joined.clear()
        sampled = [(block, self._sample(block, len(steps))) for block in self._blocks]
        self._drawn = {}
        joint_batches: list[list[JointBatch]] = [[] for _ in steps]
        for _, group in groupby(sampled, key=lambda pair: (pair[0].objective, pair[1].epsilon is None)):
            blocks, samples = zip(*group, strict=True)
            members = blocks[-1].last - blocks[0].first
            whole = join_samples(samples, len(steps))
            of_steps = split_sample(whole, len(steps)) if len(steps) > 1 else [whole]
            for joint_batch, sample in zip(joint_batches, of_steps, strict=True):
                joint_batch.append(JointBatch(blocks[0], members, sample))
        return joint_batches

    def _sample_alone(self, step: int) -> list[JointBatch]:
        """Return the sample of a member alone: nothing is to be joined, so none of that is paid for."""
        block, batch = self._blocks[0], self._samplers[0].batch(step)
        t = _quantile(block.times[0].t_distribution, batch.u)
        sample = _sampled(block.parts, batch.x_0, batch.x_1, t, self._noise[0])
        if batch.y is not None:
            sample.y = batch.y
        return [JointBatch(block, 1, sample)]

    def _sample(self, block: MemberBlock, steps: int) -> PathSample:
        """Return the sample of a block's members: all members of the first step, of the second, ..."""
        x_0, x_1 = (self._of_members(name, range(block.first, block.last)) for name in ("x_0", "x_1"))
        t = join_steps([self._times(times) for times in block.times], steps)
        generators = self._noise[block.first : block.last]
        if block.joint_sample_ok is None:
            block.joint_sample_ok = len(generators) * steps == 1 or self._alike_together(block, x_0, x_1, t, steps)
        if block.joint_sample_ok:
            sample = _sampled(block.parts, x_0, x_1, t, generators[0])
        else:
            sample = _sample_apart(block.parts, x_0, x_1, t, generators * steps)
        if next(iter(self._drawn.values()))[0].y is not None:
            sample.y = self._of_members("y", range(block.first, block.last))
        return sample

    def _of_members(self, name: str, members: range) -> Tensor:
        """Return a field of the members' batches as one, step by step; blocks of the same draws have the same one."""
        drawn = [id(self._samplers[member]) for member in members]
        key = (name, *drawn)
        if key not in self._joined:
            steps = range(len(self._drawn[drawn[0]]))
            self._joined[key] = joined(getattr(self._drawn[each][step], name) for step in steps for each in drawn)
        return self._joined[key]

    def _times(self, times: Times) -> Tensor:
        """Return t of neighbours that share a t-distribution; those of the same draws have the same tensor."""
        key = (times.digest, *(id(self._samplers[member]) for member in times.members))
        if key not in self._joined:
            self._joined[key] = _quantile(times.t_distribution, self._of_members("u", times.members))
        return self._joined[key]

    def _alike_together(self, block: MemberBlock, x_0: Tensor, x_1: Tensor, t: Tensor, steps: int) -> bool:
        """Whether a path gives the same for all at once; not so where it draws noise, which is each member's own."""
        noise = self._noise[block.first : block.last]
        spares = [Generator(x_0.device) for _ in noise]
        for spare, generator in zip(spares, noise, strict=True):
            spare.set_state(generator.get_state())
        before = spares[0].get_state()
        together = _sampled(block.parts, x_0, x_1, t, spares[0])
        if not torch.equal(before, spares[0].get_state()):
            return False
        apart = _sample_apart(block.parts, x_0, x_1, t, spares * steps)
        return all(same_but_for_rounding(getattr(together, name), getattr(apart, name)) for name in FIELDS)

    def _states(self, members: Iterable[int]) -> list[dict[str, Any]]:
        """Return the members' states from which the next sample is drawn; those that share draws share theirs."""
        pairs = [(self._samplers[member], self._noise[member]) for member in members]
        drawn = {id(sampler): sampler.dump() for sampler in dict.fromkeys(sampler for sampler, _ in pairs)}
        return [{"draws": drawn[id(sampler)], "path_noise": noise.get_state()} for sampler, noise in pairs]

    def dump(self, member: int) -> dict[str, Any]:
        """Return what a member's checkpoint must hold, for `torch.save`."""
        if self._waiting:
            return {**self._before[member], "taken": self._taken}
        return {**self._states([member])[0], "taken": 0}

    def load(self, member: int, content: dict[str, Any]) -> None:
        """Take a member's state from what `dump` returned for the same cell at the same step as the other members."""
        self._samplers[member].load(content["draws"])
        self._noise[member].set_state(content["path_noise"])
        self._waiting, self._taken = [], content["taken"]


def steps_ahead(cell: TrainingCell, parts: Components) -> int:
    """Return how many steps of a cell are sampled at once: several where calls cost more than what they compute."""
    elements = cell.settings["batch_size"] * math.prod(parts.dataset.shape)
    return AHEAD if elements <= SMALL else 1


def in_order(cells: Sequence[TrainingCell]) -> list[TrainingCell]:
    """Return cells so that those which can be computed in one call are neighbours."""
    return sorted(cells, key=lambda cell: (*_alike(cell), cell.seed, cell.key))


def inputs(joint_batches: Sequence[JointBatch]) -> list[Tensor]:
    """Return what the members' networks are called with: `x_t`, `t` and, where they take them, labels."""
    samples = [joint_batch.sample for joint_batch in joint_batches]
    found = [joined(sample.x_t for sample in samples), joined(sample.t for sample in samples)]
    labels = [sample.y for sample in samples if sample.y is not None]
    return [*found, joined(labels)] if labels else found


def _runs(members: range, key: Callable[[int], Any]) -> list[range]:
    """Return the longest runs of neighbours that have the same key."""
    runs = [list(group) for _, group in groupby(members, key=key)]
    return [range(run[0], run[-1] + 1) for run in runs]


def _alike(cell: TrainingCell) -> tuple[str, str, str]:
    """Return what members share that are neighbours: the first two are sampled in one call."""
    return cell.objective.digest, cell.path.digest, cell.t_distribution.digest


def _sample_apart(parts: Components, x_0: Tensor, x_1: Tensor, t: Tensor, noise: Sequence[Generator]) -> PathSample:
    """Return the joint sample of members, each sampled by itself with its own generator."""
    n = len(noise)
    pieces = zip(x_0.chunk(n), x_1.chunk(n), t.chunk(n), noise, strict=True)
    return join_samples([_sampled(parts, *piece) for piece in pieces], 1)


def _sampled(parts: Components, x_0: Tensor, x_1: Tensor, t: Tensor, noise: Generator) -> PathSample:
    """Return the joint sample; several members and steps are given the same tensors."""
    return guard_inplace(parts.path, (x_0, x_1, t), lambda: parts.path.sample(x_0, x_1, t, noise))


def _quantile(t_distribution: TDistribution, u: Tensor) -> Tensor:
    """Return the times of uniforms, which other t-distributions are given, too."""
    return guard_inplace(t_distribution, (u,), lambda: t_distribution.quantile(u))
