"""Ralston's method, a power path and the distance between means, for fmbench."""

from fmbench import hookimpl


@hookimpl
def fmbench_solvers():
    return {"ralston": "fmbench_outsider.components:Ralston"}


@hookimpl
def fmbench_paths():
    return {"power": "fmbench_outsider.components:Power"}


@hookimpl
def fmbench_metrics():
    return {"mean_distance": "fmbench_outsider.components:MeanDistance"}
