"""The metrics that come with fmbench."""

from __future__ import annotations

from fmbench import hookimpl


@hookimpl
def fmbench_metrics() -> dict[str, str]:
    """Return the metrics by name."""
    return {
        "class_wasserstein": "fmbench_metrics.class_wasserstein:ClassWasserstein",
        "energy_distance": "fmbench_metrics.energy_distance:EnergyDistance",
        "excess_loss": "fmbench_metrics.excess_loss:ExcessLoss",
        "fid": "fmbench_metrics.fid:FID",
        "fid_infinity": "fmbench_metrics.fid_infinity:FIDInfinity",
        "fid_digits": "fmbench_metrics.fid_digits:FIDDigits",
        "fid_digits_infinity": "fmbench_metrics.fid_digits_infinity:FIDDigitsInfinity",
        "fid_mnist": "fmbench_metrics.fid_mnist:FIDMnist",
        "fid_mnist_infinity": "fmbench_metrics.fid_mnist_infinity:FIDMnistInfinity",
        "kid": "fmbench_metrics.kid:KID",
        "kid_digits": "fmbench_metrics.kid_digits:KIDDigits",
        "kid_mnist": "fmbench_metrics.kid_mnist:KIDMnist",
        "loss_by_t": "fmbench_metrics.loss_by_t:LossByT",
        "mmd": "fmbench_metrics.mmd:MMD",
        "nfe": "fmbench_metrics.nfe:NFE",
        "nll": "fmbench_metrics.nll:NLL",
        "normalized_path_energy": "fmbench_metrics.normalized_path_energy:NormalizedPathEnergy",
        "parameters": "fmbench_metrics.parameters:Parameters",
        "peak_memory": "fmbench_metrics.peak_memory:PeakMemory",
        "precision": "fmbench_metrics.precision:Precision",
        "precision_digits": "fmbench_metrics.precision_digits:PrecisionDigits",
        "precision_mnist": "fmbench_metrics.precision_mnist:PrecisionMnist",
        "recall": "fmbench_metrics.recall:Recall",
        "recall_digits": "fmbench_metrics.recall_digits:RecallDigits",
        "recall_mnist": "fmbench_metrics.recall_mnist:RecallMnist",
        "sample_ms": "fmbench_metrics.sample_ms:SampleMs",
        "sliced_wasserstein": "fmbench_metrics.sliced_wasserstein:SlicedWasserstein",
        "straightness": "fmbench_metrics.straightness:Straightness",
        "train_seconds": "fmbench_metrics.train_seconds:TrainSeconds",
        "validation_loss": "fmbench_metrics.validation_loss:ValidationLoss",
        "wasserstein_2": "fmbench_metrics.wasserstein_2:Wasserstein2",
        "x1_error": "fmbench_metrics.x1_error:X1Error",
    }
