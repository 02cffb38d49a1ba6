"""What the members of a fleet learn from at a step, and their losses: alike members are computed in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import Any

import torch
from torch import Generator, Tensor

from fmbench.assembly import Parts, Workshop
from fmbench.cells import TrainingCell
from fmbench.contracts import PathSample, TDistribution
from fmbench.draws import Batch, shared_draws
from fmbench.fleet import joined

FIELDS = tuple(field.name for field in fields(PathSample))


@dataclass(frozen=True)
class Times:
    """Neighbours in a fleet that share a t-distribution; `digest` is that of its spec."""

    digest: str
    t_distribution: TDistribution
    members: range


@dataclass
class Block:
    """Neighbours in a fleet, from member `first` to before `last`, that share objective and path.

    `sampled` and `lost` say whether one call for all of them gives what calls one by one give; None is: not yet known.
    """

    first: int
    last: int
    times: list[Times]
    parts: Parts
    objective: str
    sampled: bool | None = None
    lost: bool | None = None


@dataclass
class Lesson:
    """A joint sample of neighbours that share an objective. `block` is the first of them."""

    block: Block
    members: int
    sample: PathSample


class Samples:
    """Draws the samples of a fleet's cells, one step after the other, and computes the members' losses.

    Members stand in the order of `in_order`. What their draws share is drawn once (see `shared_draws`); noise of a path
    is drawn for each member from its own generator.
    """

    def __init__(self, cells: Sequence[TrainingCell], parts: Sequence[Parts], workshop: Workshop) -> None:
        self._draws = shared_draws(cells, parts, workshop)
        self._noise = [workshop.generator(cell, "path_noise") for cell in cells]
        self._drawn: list[Batch] = []
        self._joined: dict[tuple[Any, ...], Tensor] = {}
        self._blocks = []
        for members in _runs(range(len(cells)), lambda member: _alike(cells[member])[:2]):
            runs = _runs(members, lambda member: cells[member].t_distribution.digest)
            times = [Times(cells[r.start].t_distribution.digest, parts[r.start].t_distribution, r) for r in runs]
            first = members.start
            self._blocks.append(Block(first, members.stop, times, parts[first], cells[first].objective.digest))

    def draw(self, step: int) -> list[Lesson]:
        """Return the samples of a step, each step once and in order, from the first member to the last."""
        if len(self._draws) == 1:
            return self._draw_alone(step)
        batches = {id(draws): draws.batch(step) for draws in dict.fromkeys(self._draws)}
        self._drawn = [batches[id(draws)] for draws in self._draws]
        self._joined.clear()
        sampled = [(block, self._sample(block)) for block in self._blocks]
        lessons = []
        for _, group in groupby(sampled, key=lambda pair: (pair[0].objective, pair[1].epsilon is None)):
            blocks, samples = zip(*group, strict=True)
            members = blocks[-1].last - blocks[0].first
            lessons.append(Lesson(blocks[0], members, _joined(samples)))
        return lessons

    def _draw_alone(self, step: int) -> list[Lesson]:
        """Return the sample of a member alone: nothing is to be joined, so none of that is paid for."""
        block, batch = self._blocks[0], self._draws[0].batch(step)
        t = block.times[0].t_distribution.quantile(batch.u)
        sample = block.parts.path.sample(batch.x_0, batch.x_1, t, self._noise[0])
        if batch.y is not None:
            sample.y = batch.y
        return [Lesson(block, 1, sample)]

    def _sample(self, block: Block) -> PathSample:
        """Return the sample of a block's members."""
        x_0, x_1 = (self._of_members(name, range(block.first, block.last)) for name in ("x_0", "x_1"))
        t = joined(self._times(times) for times in block.times)
        generators = self._noise[block.first : block.last]
        if block.sampled is None:
            block.sampled = len(generators) == 1 or self._alike_together(block, x_0, x_1, t, generators)
        if block.sampled:
            sample = block.parts.path.sample(x_0, x_1, t, generators[0])
        else:
            sample = _sample_apart(block.parts, x_0, x_1, t, generators)
        if self._drawn[0].y is not None:
            sample.y = self._of_members("y", range(block.first, block.last))
        return sample

    def _of_members(self, name: str, members: range) -> Tensor:
        """Return a field of the members' batches as one; blocks of the same draws have the same tensor."""
        key = (name, *(id(self._draws[member]) for member in members))
        if key not in self._joined:
            self._joined[key] = joined(getattr(self._drawn[member], name) for member in members)
        return self._joined[key]

    def _times(self, times: Times) -> Tensor:
        """Return t of neighbours that share a t-distribution; those of the same draws have the same tensor."""
        key = (times.digest, *(id(self._draws[member]) for member in times.members))
        if key not in self._joined:
            self._joined[key] = times.t_distribution.quantile(self._of_members("u", times.members))
        return self._joined[key]

    def _alike_together(self, block: Block, x_0: Tensor, x_1: Tensor, t: Tensor, noise: Sequence[Generator]) -> bool:
        """Whether a path gives the same for all at once; not so where it draws noise, which is each member's own."""
        spares = [Generator(x_0.device) for _ in noise]
        for spare, generator in zip(spares, noise, strict=True):
            spare.set_state(generator.get_state())
        before = spares[0].get_state()
        together = block.parts.path.sample(x_0, x_1, t, spares[0])
        if not torch.equal(before, spares[0].get_state()):
            return False
        apart = _sample_apart(block.parts, x_0, x_1, t, spares)
        return all(_same(getattr(together, name), getattr(apart, name)) for name in FIELDS)

    def dump(self, member: int) -> dict[str, Any]:
        """Return what a member's checkpoint must hold, for `torch.save`."""
        content = self._draws[member].dump()
        return {**content, "generators": {**content["generators"], "path_noise": self._noise[member].get_state()}}

    def load(self, member: int, content: dict[str, Any]) -> None:
        """Take a member's state from what `dump` returned for the same cell at the same step as the other members."""
        self._draws[member].load(content)
        self._noise[member].set_state(content["generators"]["path_noise"])


def in_order(cells: Sequence[TrainingCell]) -> list[TrainingCell]:
    """Return cells so that those which can be computed in one call are neighbours."""
    return sorted(cells, key=lambda cell: (*_alike(cell), cell.seed, cell.key))


def inputs(lessons: Sequence[Lesson]) -> list[Tensor]:
    """Return what the members' networks are called with: `x_t`, `t` and, where they take them, labels."""
    samples = [lesson.sample for lesson in lessons]
    found = [joined(sample.x_t for sample in samples), joined(sample.t for sample in samples)]
    labels = [sample.y for sample in samples if sample.y is not None]
    return [*found, joined(labels)] if labels else found


def losses(lessons: Sequence[Lesson], output: Tensor) -> Tensor:
    """Return the mean loss of each member `(members,)` for the network's output `(members * batch, *shape)`."""
    rows = [len(lesson.sample.t) for lesson in lessons]
    pieces = zip(lessons, torch.split(output, rows), strict=True) if len(lessons) > 1 else [(lessons[0], output)]
    return joined(_loss(lesson, piece) for lesson, piece in pieces)


def _loss(lesson: Lesson, output: Tensor) -> Tensor:
    """Return the mean loss of each member of a lesson."""
    objective, block = lesson.block.parts.objective, lesson.block
    if lesson.members == 1:
        return objective.loss(output, lesson.sample).mean(0, keepdim=True)
    if block.lost is None:
        with torch.no_grad():
            apart = _loss_apart(lesson, output)
            together = objective.loss(output, lesson.sample)
            shape = (len(output),)
            block.lost = together.shape == shape and _same(together.view(lesson.members, -1).mean(1), apart)
    if block.lost:
        return objective.loss(output, lesson.sample).view(lesson.members, -1).mean(1)
    return _loss_apart(lesson, output)


def _loss_apart(lesson: Lesson, output: Tensor) -> Tensor:
    pairs = zip(output.chunk(lesson.members), _split(lesson.sample, lesson.members), strict=True)
    return torch.stack([lesson.block.parts.objective.loss(own, sample).mean() for own, sample in pairs])


def _runs(members: range, key: Callable[[int], Any]) -> list[range]:
    """Return the longest runs of neighbours that have the same key."""
    runs = [list(group) for _, group in groupby(members, key=key)]
    return [range(run[0], run[-1] + 1) for run in runs]


def _alike(cell: TrainingCell) -> tuple[str, str, str]:
    """Return what members share that are neighbours: the first two are sampled in one call."""
    return cell.objective.digest, cell.path.digest, cell.t_distribution.digest


def _sample_apart(parts: Parts, x_0: Tensor, x_1: Tensor, t: Tensor, noise: Sequence[Generator]) -> PathSample:
    """Return the joint sample of members, each sampled by itself with its own generator."""
    n = len(noise)
    pieces = zip(x_0.chunk(n), x_1.chunk(n), t.chunk(n), noise, strict=True)
    return _joined([parts.path.sample(*piece) for piece in pieces])


def _joined(samples: Sequence[PathSample]) -> PathSample:
    """Return samples as one; a field that is None in the first is so in all."""
    if len(samples) == 1:
        return samples[0]
    there = [name for name in FIELDS if getattr(samples[0], name) is not None]
    found: dict[str, Any] = {name: torch.cat([getattr(sample, name) for sample in samples]) for name in there}
    return PathSample(**found)


def _split(sample: PathSample, members: int) -> Iterator[PathSample]:
    """Undo `_joined`."""
    values = [getattr(sample, name) for name in FIELDS]
    columns: list[Any] = [[None] * members if value is None else value.chunk(members) for value in values]
    return (PathSample(*own) for own in zip(*columns, strict=True))


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    """Whether two tensors are the same but for rounding."""
    if one is None or other is None:
        return one is other
    tolerance = 100 * torch.finfo(one.dtype).eps if one.is_floating_point() else 0.0
    return one.shape == other.shape and torch.allclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)
