"""A step's batch in equal parts, computed one after the other: the same gradient for less memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from fmbench.components.contracts import PathSample
from fmbench.training.joint_tensors import FIELDS
from fmbench.training.path_batches import JointBatch


def divided(joint_batches: Sequence[JointBatch], parts: int) -> Iterator[Sequence[JointBatch]]:
    """Yield the joint batches of a step in so many parts, each with its share of every member's examples."""
    if parts == 1:
        yield joint_batches
        return
    for part in range(parts):
        yield [JointBatch(each.block, each.members, _part(each, part, parts)) for each in joint_batches]


def _part(joint_batch: JointBatch, part: int, parts: int) -> PathSample:
    """Return a part of the examples, which lie member by member, of each member."""

    def cut(value: Tensor | None) -> Tensor | None:
        if value is None:
            return None
        return value.reshape(joint_batch.members, parts, -1, *value.shape[1:])[:, part].flatten(0, 1)

    sample = joint_batch.sample
    return PathSample(*(cut(getattr(sample, name)) for name in FIELDS))  # type: ignore[arg-type]
