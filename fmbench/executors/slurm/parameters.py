"""What `--slurm KEY=VALUE` may say: what submitit knows, and any long option of sbatch."""

from __future__ import annotations

import math
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from fmbench.errors import UserError, did_you_mean
from fmbench.executors.slurm.time_limits import minutes_of

CLUSTERS = ("slurm", "local")
_NUMBERS = ("cpus_per_task", "cpus_per_gpu", "gpus_per_node", "gpus_per_task", "signal_delay_s")
_LISTS = ("setup", "teardown", "srun_args")
_TEXTS = (
    *("account", "comment", "constraint", "dependency", "exclude", "gres", "job_name", "mail_type", "mail_user"),
    *("mem", "mem_per_cpu", "mem_per_gpu", "nodelist", "partition", "qos", "wckey"),
)
_LOCAL = ("cluster", "cpus_per_task", "signal_delay_s", "time")
"""What means something where submitit runs the jobs as processes of this machine."""
_OWN: Mapping[str, str] = {
    **dict.fromkeys(
        ("array", "array_parallelism"), "fmbench makes the arrays; --jobs says how many jobs may run at once"
    ),
    **dict.fromkeys(
        ("output", "error", "open_mode", "input", "chdir"), "submitit keeps the output in the store's spool"
    ),
    **dict.fromkeys(("nodes", "ntasks", "ntasks_per_node"), "a job is one process, on one node"),
    **dict.fromkeys(("requeue", "no_requeue"), "fmbench has jobs requeued"),
    "signal": "fmbench needs it to save a checkpoint; signal_delay_s=SECONDS says how long before the time limit",
    **dict.fromkeys(
        ("wrap", "wait", "parsable", "quiet", "verbose", "version", "help", "usage", "test_only", "hold", "clusters"),
        "fmbench calls sbatch itself",
    ),
}
SIGNAL_DELAY = 90
"""Seconds before the time limit at which a job is asked to save a checkpoint."""


@dataclass(frozen=True)
class SlurmParameters:
    """What jobs are submitted with. `given` are submitit's own parameters, `more` other options of sbatch.

    `minutes` is the time limit that the user gave, None where that is left to the forecast.
    """

    cluster: str = "slurm"
    given: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    minutes: int | None = None

    def cores(self, usual: int) -> int:
        """Return the cores of a job, which are its threads."""
        return int(self.given.get("cpus_per_task", usual))

    def with_resources(self, resources: Mapping[str, float], cores: int) -> Mapping[str, Any]:
        """Return submitit's parameters where a suite says what a worker is given; the command line counts more.

        A job has whole GPUs: a share of one is a GPU.
        """
        found: dict[str, Any] = {"cpus_per_task": cores}
        if resources.get("gpu") and not any("gpu" in name or name == "gres" for name in (*self.given, *self.more)):
            found["gpus_per_node"] = math.ceil(resources["gpu"])
        if "memory" in resources and not any(name.startswith("mem") for name in self.given):
            found["mem"] = f"{math.ceil(resources['memory'] / 2**20)}M"
        return {**found, **self.given}

    @property
    def signal_delay(self) -> int:
        """Seconds before the time limit at which a job is asked to save a checkpoint."""
        return int(self.given.get("signal_delay_s", SIGNAL_DELAY))


@cache
def slurm_parameters(texts: tuple[str, ...]) -> SlurmParameters:
    """Read what the command line says. Raises UserError."""
    pairs = [_pair(text) for text in texts]
    cluster = next((value for key, value in reversed(pairs) if key == "cluster"), "slurm")
    if cluster not in CLUSTERS:
        raise UserError(f"--slurm cluster=... must be one of {', '.join(CLUSTERS)}; found {cluster!r}")
    if cluster == "slurm" and shutil.which("sbatch") is None:
        raise UserError(
            "--executor slurm needs SLURM's commands, and sbatch is not on the path here. Run fmbench on a node of the "
            "cluster; --slurm cluster=local runs the jobs as processes of this machine, to try it"
        )
    given: dict[str, Any] = {}
    more: dict[str, Any] = {}
    minutes = None
    for key, value in pairs:
        _check_known(key, cluster)
        if key == "time":
            minutes = minutes_of(value)
            if minutes is None:
                raise UserError(
                    f"--slurm time=... must be a time as SLURM has it, 90 or 1:30:00 or 2-12; found {value!r}"
                )
        elif key in _LISTS:
            given[key] = [*given.get(key, ()), *([value] if key != "srun_args" else shlex.split(value))]
        elif key in _NUMBERS:
            given[key] = _number(key, value)
        elif key in _TEXTS:
            given[key] = value
        elif key != "cluster":
            more[key.replace("_", "-")] = value or True
    return SlurmParameters(cluster, given, more, minutes)


def _pair(text: str) -> tuple[str, str]:
    """Return key and value; an option of sbatch that has no value is its name alone."""
    key, is_there, value = text.partition("=")
    key = key.strip().removeprefix("--").replace("-", "_")
    if not re.fullmatch(r"[A-Za-z][A-Za-z_]*", key):
        raise UserError(f"--slurm must be KEY=VALUE, partition=gpu say; found {text!r}")
    if "\n" in value or (not value.strip() and (is_there or key in (*_TEXTS, *_NUMBERS, *_LISTS, "time", "cluster"))):
        raise UserError(f"--slurm {key}=... needs a value on one line; found {text!r}")
    return key, value.strip()


def _check_known(key: str, cluster: str) -> None:
    if key in _OWN:
        raise UserError(f"--slurm {key} cannot be set: {_OWN[key]}")
    known = list(_LOCAL) if cluster == "local" else ["cluster", "time", *_NUMBERS, *_LISTS, *_TEXTS]
    if key in known:
        return
    if cluster == "slurm":
        known += [name for name in _sbatch_options() if name not in known and name not in _OWN]
    if key not in known:
        where = " with cluster=local" if cluster == "local" else ""
        raise UserError(
            f"--slurm{where} knows no {key!r}.{did_you_mean(key, known)} It may be {', '.join(sorted(known))}"
        )


def _number(key: str, value: str) -> int:
    if not re.fullmatch(r"\d{1,6}", value):
        raise UserError(f"--slurm {key}=... must be a whole number; found {value!r}")
    if key.startswith("cpus") and not int(value):
        raise UserError(f"--slurm {key}=... must be 1 or more; found {value!r}")
    return int(value)


def _sbatch_options() -> Sequence[str]:
    """Return the long options of the sbatch that is installed here, as its help lists them."""
    done = subprocess.run(["sbatch", "--help"], capture_output=True, text=True, check=False)
    found = re.findall(r"^\s+(?:-\w,?\s+)?--([a-z][a-z-]*)", done.stdout, re.MULTILINE)
    return [name.replace("-", "_") for name in dict.fromkeys(found)]
