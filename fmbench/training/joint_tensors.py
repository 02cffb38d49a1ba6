"""Tensors of a fleet's members joined into one, and split again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from fmbench.components.contracts import PathSample

FIELDS = tuple(field.name for field in fields(PathSample))


def joined(values: Iterable[Tensor]) -> Tensor:
    """Concatenate tensors `(batch, *shape)` along the batch; one tensor is itself."""
    tensors = list(values)
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


def join_samples(samples: Sequence[PathSample], steps: int) -> PathSample:
    """Return the samples of neighbours as one, step by step; a field that is None in the first is so in all."""
    if len(samples) == 1:
        return samples[0]
    there = [name for name in FIELDS if getattr(samples[0], name) is not None]
    return PathSample(**{name: join_steps([getattr(sample, name) for sample in samples], steps) for name in there})


def join_steps(values: Sequence[Tensor], steps: int) -> Tensor:
    """Return the rows of neighbours as one, step by step: `(steps * rows, *shape)` each."""
    if len(values) == 1:
        return values[0]
    return torch.cat([value.view(steps, -1, *value.shape[1:]) for value in values], dim=1).flatten(0, 1)


def split_sample(sample: PathSample, parts: int) -> Iterator[PathSample]:
    """Yield so many equal parts of a sample."""
    values = [getattr(sample, name) for name in FIELDS]
    columns: list[Any] = [[None] * parts if value is None else value.chunk(parts) for value in values]
    return (PathSample(*own) for own in zip(*columns, strict=True))


def same_but_for_rounding(one: Tensor | None, other: Tensor | None) -> bool:
    """Whether two tensors are of one shape and the same but for rounding."""
    if one is None or other is None:
        return one is other
    tolerance = 100 * torch.finfo(one.dtype).eps if one.is_floating_point() else 0.0
    return one.shape == other.shape and torch.allclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)
