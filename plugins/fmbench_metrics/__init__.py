"""The metrics that come with fmbench."""

from __future__ import annotations

from fmbench import hookimpl


@hookimpl
def fmbench_metrics() -> dict[str, str]:
    """Return the metrics by name."""
    return {
        "fid": "fmbench_metrics.fid:FID",
        "fid_digits": "fmbench_metrics.fid_digits:FIDDigits",
        "fid_mnist": "fmbench_metrics.fid_mnist:FIDMnist",
        "kid": "fmbench_metrics.kid:KID",
        "kid_digits": "fmbench_metrics.kid_digits:KIDDigits",
        "kid_mnist": "fmbench_metrics.kid_mnist:KIDMnist",
        "parameters": "fmbench_metrics.parameters:Parameters",
        "peak_memory": "fmbench_metrics.peak_memory:PeakMemory",
        "sample_ms": "fmbench_metrics.sample_ms:SampleMs",
        "sliced_wasserstein": "fmbench_metrics.sliced_wasserstein:SlicedWasserstein",
        "train_seconds": "fmbench_metrics.train_seconds:TrainSeconds",
        "validation_loss": "fmbench_metrics.validation_loss:ValidationLoss",
    }
