"""The regression check: today's records against a baseline, with verdicts that may wake somebody.

```
Records -> snapshot() -> Snapshot -> write_baseline()            fmbench check SUITE --accept
Records -> snapshot() -> Snapshot -> check(baseline, today) -> Outcome -> junit()
```

`hypothesis_tests` says how false alarms are held at 5% a night, `noise_model` what noise is expected, and
`paired_values` what is compared with what.
"""

from fmbench.regression.baseline_file import read_baseline, write_baseline
from fmbench.regression.check import check
from fmbench.regression.headline import first_lines
from fmbench.regression.junit import junit
from fmbench.regression.outcome import Comparison, Happened, Outcome
from fmbench.regression.time_alarms import alarmed_samplers, alarmed_trainings
from fmbench.results.snapshot import CellValues, Snapshot, snapshot

__all__ = (
    "CellValues",
    "Comparison",
    "Happened",
    "Outcome",
    "Snapshot",
    "alarmed_samplers",
    "alarmed_trainings",
    "check",
    "first_lines",
    "junit",
    "read_baseline",
    "snapshot",
    "write_baseline",
)
