"""The core modules whose code can change a result, and so counts in keys."""

from __future__ import annotations

SHARED_CODE = (
    "fmbench.contracts",
    "fmbench.mixture",
    "fmbench.cells",
    "fmbench.assembly",
    "fmbench.global_random",
)
TRAINING_CODE = (
    *SHARED_CODE,
    "fmbench.train",
    "fmbench.training_state",
    "fmbench.fleet",
    "fmbench.stacked_linear",
    "fmbench.traced",
    "fmbench.samples",
    "fmbench.micro_batches",
    "fmbench.draws",
    "fmbench.pairs",
    "fmbench.examples",
    "fmbench.averages",
    "fmbench.optimizers",
    "fmbench.calibration",
)
TAUGHT_CODE = (*TRAINING_CODE, "fmbench.trained", "fmbench.teaching")
PORTRAIT_CODE = (*SHARED_CODE, "fmbench.trained", "fmbench.portraits")
EVALUATION_CODE = (
    *SHARED_CODE,
    "fmbench.trained",
    "fmbench.shared_calls",
    "fmbench.solver_blocks",
    "fmbench.together",
    "fmbench.grid_times",
    "fmbench.evaluate",
)
FLOOR_CODE = (*SHARED_CODE, "fmbench.references", "fmbench.floors", "fmbench.evaluate")
ORACLE_CODE = (
    *SHARED_CODE,
    "fmbench.references",
    "fmbench.oracles",
    "fmbench.trained",
    "fmbench.solver_blocks",
    "fmbench.grid_times",
    "fmbench.evaluate",
)
