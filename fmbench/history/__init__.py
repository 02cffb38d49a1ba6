"""The history of a suite: what each night of `fmbench check` measured, and the steps in it.

```
Records -> make_night() -> Night -> append() -> <reports>/history/<suite>.parquet         fmbench check SUITE
read() -> History -> make_lines() -> TrendLine -> find_steps() -> StepsOfLine -> draw()   fmbench history SUITE METRIC
```

`parquet_file` says what the file holds, `trend_lines` what is put together into one line, and `step_detection` how
false alarms are held down.
"""

from fmbench.history.figure import draw
from fmbench.history.history import History
from fmbench.history.night import Night, make_night
from fmbench.history.parquet_file import append, history_file, read
from fmbench.history.selection import select, since
from fmbench.history.step_detection import Step, StepsOfLine, find_steps, told_first
from fmbench.history.trend_lines import TrendLine, make_lines

__all__ = (
    "History",
    "Night",
    "Step",
    "StepsOfLine",
    "TrendLine",
    "append",
    "draw",
    "find_steps",
    "history_file",
    "make_lines",
    "make_night",
    "read",
    "select",
    "since",
    "told_first",
)
