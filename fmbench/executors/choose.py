"""Which executor computes: one a name, imported where it is asked for, with what it needs in an extra."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol

from fmbench.errors import UserError
from fmbench.executors.base import Executor
from fmbench.executors.messages import WorkerConfig
from fmbench.runtime.environment import measured_on


class ExecutorClass(NamedTuple):
    """An executor: its module and class, and the library that it needs, which the extra of the executor's name has.

    One that is `remote` computes on other machines than this one.
    """

    module: str
    name: str
    library: str = ""
    remote: bool = False


EXECUTORS: Mapping[str, ExecutorClass] = {
    "local": ExecutorClass("fmbench.executors.local", "LocalExecutor"),
    "ray": ExecutorClass("fmbench.executors.ray", "RayExecutor", library="ray", remote=True),
    "slurm": ExecutorClass("fmbench.executors.slurm.executor", "SlurmExecutor", library="submitit", remote=True),
}
"""The executors by the name that `--executor` gives them. Each class is called with a WorkerConfig and
ExecutorOptions, but for the local one, which takes of these the timeout alone.
"""


_ADDRESS = re.compile(r"auto|(ray://)?[^\s/]+:\d+")
"""Addresses of Ray clusters."""


class ExecutorOptions(Protocol):
    """What a command line may say of an executor: `fmbench.runner.session.Options` has it."""

    @property
    def timeout(self) -> float | None:
        """The seconds that a unit may take; None for any number."""

    @property
    def address(self) -> str | None:
        """Where a cluster is; None for one that is started on this machine."""

    @property
    def jobs(self) -> str:
        """How many units may be computed at once: "auto", or a number."""

    @property
    def slurm(self) -> tuple[str, ...]:
        """What jobs are submitted to SLURM with: see `fmbench.executors.slurm.parameters`."""


def check_executor(name: str, options: ExecutorOptions) -> None:
    """Raise UserError where no executor has this name, where the library that it needs is not installed, or where the
    options are not for it.
    """
    if name not in EXECUTORS:
        raise UserError(f"--executor must be one of {', '.join(EXECUTORS)}; found {name!r}")
    library = EXECUTORS[name].library
    if library and find_spec(library) is None:
        raise UserError(
            f"--executor {name} needs {library}, which is not installed here. Install it: pip install 'fmbench[{name}]'"
        )
    if options.address is not None and name != "ray":
        raise UserError(f"--address {options.address} is for --executor ray, and the executor is {name}")
    if options.address is not None and not _ADDRESS.fullmatch(options.address):
        raise UserError(f"--address must be auto, or HOST:PORT as in head:6379; found {options.address!r}")
    if options.slurm and name != "slurm":
        raise UserError(f"--slurm {options.slurm[0]} is for --executor slurm, and the executor is {name}")
    if name == "slurm":
        from fmbench.executors.slurm.parameters import slurm_parameters

        slurm_parameters(options.slurm)


def remote_device(wanted: str, gpu: float) -> str:
    """Return the device of workers on other machines, of which this one may have none. Raises UserError.

    `wanted` is what `--device` says, and `gpu` what a suite's `resources` give a worker.
    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise UserError(f"--device must be auto, cpu or cuda where workers are on other machines; found {wanted!r}")
    return ("cuda" if gpu else "cpu") if wanted == "auto" else wanted


def timed_on(
    name: str, options: ExecutorOptions, device: str, resources: Sequence[tuple[str, float]]
) -> Mapping[str, Any]:
    """Return what the times of samplers are comparable by, where an executor measures them: this machine, mostly.

    The module of a remote one has a function `timed_on` of these arguments but the first, or its machines are taken to
    be like this one.
    """
    module = import_module(EXECUTORS[name].module) if EXECUTORS[name].remote else None
    ask = getattr(module, "timed_on", None)
    found: Mapping[str, Any] = measured_on(device) if ask is None else ask(options, device, resources)
    return found


def make_executor(name: str, config: WorkerConfig, options: ExecutorOptions) -> Executor:
    """Return the executor of a name; nothing is started yet. Raises UserError, see `check_executor`."""
    check_executor(name, options)
    chosen = EXECUTORS[name]
    kind = getattr(import_module(chosen.module), chosen.name)
    executor: Executor = kind(config, options.timeout) if name == "local" else kind(config, options)
    return executor
