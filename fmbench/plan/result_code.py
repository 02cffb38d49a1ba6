"""Which code of the core counts in keys: all that training and evaluation import, but for what can change no result.

The closure is computed from the imports, so that a new module counts without being listed. What is left out stands in
`NO_RESULT` with its reason, and is not followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

from fmbench.plugins.source import code_fingerprint
from fmbench.plugins.source.import_closure import core_modules

Stage = Literal[
    "training",
    "taught training",
    "given model",
    "measurement",
    "flow snapshot",
    "evaluation",
    "sampler cost",
    "noise floor",
    "oracle",
    "given samples",
]

MIXTURE = "fmbench.components.gaussian_mixture"
"""Datasets take the mixture by its public name, which no import shows."""

ROOTS: Mapping[Stage, tuple[str, ...]] = {
    "training": ("fmbench.training.loop", MIXTURE),
    "taught training": ("fmbench.training.loop", "fmbench.training.teacher", MIXTURE),
    "given model": ("fmbench.training.given_models", MIXTURE),
    "measurement": ("fmbench.evaluation.training_metrics", MIXTURE),
    "flow snapshot": ("fmbench.evaluation.flow_snapshots", MIXTURE),
    "evaluation": ("fmbench.evaluation.evaluate", "fmbench.evaluation.batched_sampling", MIXTURE),
    "sampler cost": ("fmbench.evaluation.sampler_timing", MIXTURE),
    "noise floor": ("fmbench.evaluation.noise_floor", MIXTURE),
    "oracle": ("fmbench.evaluation.oracle", MIXTURE),
    "given samples": ("fmbench.evaluation.given_samples", MIXTURE),
}
"""Where the code of each kind of cell begins; "measurement" is what metrics of scope "training" are computed by, which
are kept with the training.
"""

NO_RESULT: Mapping[str, str] = {
    "fmbench.errors": "says what went wrong",
    "fmbench.io": "reads and writes bytes, which checksums hold to what they were",
    "fmbench.store": "keeps bytes, which checksums hold to what they were",
    "fmbench.plugins": "finds and builds components, whose own code and parameters count",
    "fmbench.components.hookspecs": "names the hooks",
    "fmbench.components.dataset_checks": "refuses data, and changes none",
    "fmbench.isolation.inplace_guard": "fails a cell, and changes none",
    "fmbench.isolation.monkeypatches": "finds what was replaced, for process_state",
    "fmbench.isolation.plugin_code": "puts back what importing a plugin changed",
    "fmbench.isolation.plugin_traceback": "says whose line an error comes from",
    "fmbench.isolation.process_state": "fails a cell that changed the process, and changes none",
    "fmbench.runtime.autotune": "measures which of several ways is faster; each way's own code counts",
    "fmbench.runtime.background_threads": "computes the same, earlier",
    "fmbench.runtime.device": "names the device, which is recorded",
    "fmbench.runtime.environment": "says what computed",
    "fmbench.runtime.failures": "says what went wrong",
    "fmbench.runtime.git_commit": "says which commit computed",
    "fmbench.runtime.memory": "measures memory, and gives it back; peak_memory stands beside what it was measured with",
    "fmbench.model.dummy_inputs": "is what networks are called with when they are timed or tried",
    "fmbench.training.compilation": "chooses memory format and torch.compile, which change roundings only",
    "fmbench.evaluation.batch_size": "chooses how many samples are drawn at once, which changes roundings only",
}
"""Modules, and packages with all that is in them, that training and evaluation import and that change no score."""

NOT_OF: Mapping[Stage, Mapping[str, str]] = {
    "training": {"fmbench.training.teacher": "fits couplings to teachers, which these cells have not"},
}
"""What is left out of one kind of cell besides, with the reason."""


@lru_cache(maxsize=len(ROOTS))
def result_code(stage: Stage) -> tuple[str, ...]:
    """Return the modules whose code counts in the keys of a kind of cell, sorted."""
    return core_modules(*ROOTS[stage], without=[*NO_RESULT, *NOT_OF.get(stage, ())])


@lru_cache(maxsize=len(ROOTS))
def result_code_fingerprint(stage: Stage) -> str:
    """Return the fingerprint of the core's code that counts in the keys of a kind of cell, as it was when this process
    first asked.
    """
    return code_fingerprint(*result_code(stage))
