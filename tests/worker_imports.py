"""What each worker imports and reads, but for components: for the process from which `forked_workers` forks them."""

from __future__ import annotations

from fmbench.executors import run_task, worker
from fmbench.plugins.registry import load_registry
from fmbench.plugins.source import core_fingerprint
from fmbench.training import optimizers

__all__ = ["run_task", "worker"]

core_fingerprint()
load_registry().fingerprints()
optimizers.import_ahead()
