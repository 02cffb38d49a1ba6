"""The losses of a fleet's members: those with one objective in one call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fmbench.components.contracts import Objective, PathSample
from fmbench.errors import CellFailure
from fmbench.isolation.inplace_guard import untouched
from fmbench.training.joint_tensors import FIELDS, _same, _split, joined
from fmbench.training.path_batches import Lesson


def losses(lessons: Sequence[Lesson], output: Tensor) -> Tensor:
    """Return the mean loss of each member `(members,)` for the network's output `(members * batch, *shape)`.

    Raises CellFailure for an output of another shape than the network's input.
    """
    rows = [len(lesson.sample.t) for lesson in lessons]
    expected = (sum(rows), *lessons[0].sample.x_t.shape[1:])
    if output.shape != expected:
        raise CellFailure(f"the network must return the shape of its x, {expected}; it returns {tuple(output.shape)}")
    pieces = zip(lessons, torch.split(output, rows), strict=True) if len(lessons) > 1 else [(lessons[0], output)]
    return joined(_loss(lesson, piece) for lesson, piece in pieces)


def _loss(lesson: Lesson, output: Tensor) -> Tensor:
    """Return the mean loss of each member of a lesson."""
    objective, block = lesson.block.parts.objective, lesson.block
    if lesson.members == 1:
        return _loss_of(objective, output, lesson.sample).mean(0, keepdim=True)
    if block.lost is None:
        with torch.no_grad():
            apart = _loss_apart(lesson, output)
            together = _loss_of(objective, output, lesson.sample)
            shape = (len(output),)
            block.lost = together.shape == shape and _same(together.view(lesson.members, -1).mean(1), apart)
    if block.lost:
        return _loss_of(objective, output, lesson.sample).view(lesson.members, -1).mean(1)
    return _loss_apart(lesson, output)


def _loss_apart(lesson: Lesson, output: Tensor) -> Tensor:
    pairs = zip(output.chunk(lesson.members), _split(lesson.sample, lesson.members), strict=True)
    return torch.stack([_loss_of(lesson.block.parts.objective, own, sample).mean() for own, sample in pairs])


def _loss_of(objective: Objective, output: Tensor, sample: PathSample) -> Tensor:
    """Return the loss of each example; the sample is looked at more than once."""
    given = [getattr(sample, name) for name in FIELDS]
    return untouched(objective, given, lambda: objective.loss(output, sample))
