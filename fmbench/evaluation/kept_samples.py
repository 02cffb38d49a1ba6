"""The first samples of an evaluation, which stay on disk for figures."""

from __future__ import annotations

from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from fmbench.model.context import WorkerContext

PREVIEW_BYTES = 2**16
PREVIEW_LEAST = 64


def kept_samples(context: WorkerContext, samples: Tensor) -> int:
    """Return how many of `samples` `(n, *shape)` are kept for figures.

    That is what the suite says, else 64 KiB of them, and at least 64.
    """
    return context.keep_samples or max(PREVIEW_LEAST, PREVIEW_BYTES // (4 * samples[0].numel()))


def preview(context: WorkerContext, samples: Tensor, labels: Tensor | None) -> bytes:
    """Return the file of the samples `(n, *shape)` that are kept, with their labels `(n,)` where there are any."""
    kept = kept_samples(context, samples)
    tensors = {"samples": samples[:kept].cpu().contiguous()}
    if labels is not None:
        tensors["labels"] = labels[:kept].cpu()
    return safetensors_bytes(tensors)
