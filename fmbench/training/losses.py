"""The losses of a fleet's members: those with one objective in one call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fmbench.components.contracts import Objective, PathSample
from fmbench.errors import CellFailure
from fmbench.isolation.inplace_guard import guard_inplace
from fmbench.training.joint_tensors import FIELDS, joined, same_but_for_rounding, split_sample
from fmbench.training.path_batches import JointBatch


def losses(joint_batches: Sequence[JointBatch], output: Tensor) -> Tensor:
    """Return the mean loss of each member `(members,)` for the network's output `(members * batch, *shape)`.

    Raises CellFailure for an output of another shape than the network's input.
    """
    rows = [len(joint_batch.sample.t) for joint_batch in joint_batches]
    expected = (sum(rows), *joint_batches[0].sample.x_t.shape[1:])
    if output.shape != expected:
        raise CellFailure(f"the network must return the shape of its x, {expected}; it returns {tuple(output.shape)}")
    pieces = torch.split(output, rows) if len(rows) > 1 else (output,)
    return joined(map(_loss, joint_batches, pieces))


def _loss(joint_batch: JointBatch, output: Tensor) -> Tensor:
    """Return the mean loss of each member of a joint batch."""
    objective, block = joint_batch.block.parts.objective, joint_batch.block
    if joint_batch.members == 1:
        return _loss_of(objective, output, joint_batch.sample).mean(0, keepdim=True)
    if block.joint_loss_ok is None:
        with torch.no_grad():
            apart = _loss_apart(joint_batch, output)
            together = _loss_of(objective, output, joint_batch.sample)
            shape = (len(output),)
            block.joint_loss_ok = together.shape == shape and same_but_for_rounding(
                together.view(joint_batch.members, -1).mean(1), apart
            )
    if block.joint_loss_ok:
        return _loss_of(objective, output, joint_batch.sample).view(joint_batch.members, -1).mean(1)
    return _loss_apart(joint_batch, output)


def _loss_apart(joint_batch: JointBatch, output: Tensor) -> Tensor:
    pairs = zip(output.chunk(joint_batch.members), split_sample(joint_batch.sample, joint_batch.members), strict=True)
    return torch.stack([_loss_of(joint_batch.block.parts.objective, own, sample).mean() for own, sample in pairs])


def _loss_of(objective: Objective, output: Tensor, sample: PathSample) -> Tensor:
    """Return the loss of each example; the sample is looked at more than once."""
    given = [getattr(sample, name) for name in FIELDS]
    return guard_inplace(objective, given, lambda: objective.loss(output, sample))
