"""The metrics that come with fmbench."""

from __future__ import annotations

from fmbench import Preset, hookimpl


@hookimpl
def fmbench_metrics() -> dict[str, str | Preset]:
    """Return the metrics by name."""
    return {
        "c2st": "fmbench_metrics.c2st:C2ST",
        "class_wasserstein": "fmbench_metrics.class_wasserstein:ClassWasserstein",
        "cmmd": "fmbench_metrics.cmmd:CMMD",
        "coverage": "fmbench_metrics.coverage:Coverage",
        "density": "fmbench_metrics.density:Density",
        "energy_distance": "fmbench_metrics.energy_distance:EnergyDistance",
        "excess_loss": "fmbench_metrics.excess_loss:ExcessLoss",
        "fd_dinov2": Preset("fmbench_metrics.fid:FID", {"extractor": "dinov2"}),
        "fid": "fmbench_metrics.fid:FID",
        "fid_infinity": "fmbench_metrics.fid_infinity:FIDInfinity",
        "inception_score": "fmbench_metrics.inception_score:InceptionScore",
        "joint_wasserstein": "fmbench_metrics.joint_wasserstein:JointWasserstein",
        "kid": "fmbench_metrics.kid:KID",
        "loss_by_t": "fmbench_metrics.loss_by_t:LossByT",
        "memorised": "fmbench_metrics.memorised:Memorised",
        "mind": "fmbench_metrics.mind:MIND",
        "missed_modes": "fmbench_metrics.missed_modes:MissedModes",
        "mmd": "fmbench_metrics.mmd:MMD",
        "mode_shares": "fmbench_metrics.mode_shares:ModeShares",
        "nfe": "fmbench_metrics.nfe:NFE",
        "nll": "fmbench_metrics.nll:NLL",
        "normalized_path_energy": "fmbench_metrics.normalized_path_energy:NormalizedPathEnergy",
        "parameters": "fmbench_metrics.parameters:Parameters",
        "peak_memory": "fmbench_metrics.peak_memory:PeakMemory",
        "precision": "fmbench_metrics.precision:Precision",
        "recall": "fmbench_metrics.recall:Recall",
        "round_trip_error": "fmbench_metrics.round_trip_error:RoundTripError",
        "sample_ms": "fmbench_metrics.sample_ms:SampleMs",
        "sfid": "fmbench_metrics.sfid:SFID",
        "sliced_wasserstein": "fmbench_metrics.sliced_wasserstein:SlicedWasserstein",
        "solver_error": "fmbench_metrics.solver_error:SolverError",
        "straightness": "fmbench_metrics.straightness:Straightness",
        "train_seconds": "fmbench_metrics.train_seconds:TrainSeconds",
        "validation_loss": "fmbench_metrics.validation_loss:ValidationLoss",
        "wasserstein_2": "fmbench_metrics.wasserstein_2:Wasserstein2",
        "x1_error": "fmbench_metrics.x1_error:X1Error",
        **_by_small_extractors(),
    }


def _by_small_extractors() -> dict[str, Preset]:
    """Return the names that say which small extractor; suites know most from before it was a parameter."""
    names = {
        "c2st_{}": "fmbench_metrics.c2st:C2ST",
        "coverage_{}": "fmbench_metrics.coverage:Coverage",
        "density_{}": "fmbench_metrics.density:Density",
        "fid_{}": "fmbench_metrics.fid:FID",
        "fid_{}_infinity": "fmbench_metrics.fid_infinity:FIDInfinity",
        "kid_{}": "fmbench_metrics.kid:KID",
        "mind_{}": "fmbench_metrics.mind:MIND",
        "precision_{}": "fmbench_metrics.precision:Precision",
        "recall_{}": "fmbench_metrics.recall:Recall",
    }
    return {
        name.format(extractor): Preset(target, {"extractor": extractor})
        for name, target in names.items()
        for extractor in ("digits", "mnist")
    }
