"""The trained networks of a session as modules that others can load; imports torch where it is asked for one."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING

from fmbench.cells.cells import TrainingCell
from fmbench.runner.session import Session

if TYPE_CHECKING:
    from fmbench.model.velocity_module import VelocityModule


def loader(session: Session) -> Callable[[TrainingCell], VelocityModule]:
    """Return what loads the network of a trained cell from the session's store, on the CPU."""

    def load(cell: TrainingCell) -> VelocityModule:
        from fmbench.model.context import WorkerContext
        from fmbench.model.trained_model import load_trained
        from fmbench.model.velocity_module import velocity_module

        return velocity_module(load_trained(cell, WorkerContext(session.registry, session.store)))

    return load


def requirements(cell: TrainingCell) -> list[str]:
    """Return the distributions that a cell's network needs in order to be loaded: fmbench, torch, and its plugins'.

    A plugin that is a file belongs to none: it must be importable where the network is loaded.
    """
    owners = {spec.owner for spec in cell.components}
    plugins = [owner.replace(" ", "==") for owner in sorted(owners) if len(owner.split()) == 2 and "/" not in owner]
    return [f"torch=={version('torch')}", *dict.fromkeys([f"fmbench=={version('fmbench')}", *plugins])]
