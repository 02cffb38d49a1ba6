"""Two sets of results side by side: of two suites, stores, commits, machines or dates.

```
A, B -> sources.read_results() -> ComparedResults -> compare() -> ResultsComparison -> markdown(), html(), as_data()
```

Rows are paired by the labels of their configuration and their seeds, whatever they were computed by; `compare` says of
each what `fmbench.stats.paired_seeds` says in a report, jointly, and names what could not be compared, and why.
"""

from fmbench.compare.as_data import as_data
from fmbench.compare.compare_results import compare
from fmbench.compare.compared_results import ComparedResults
from fmbench.compare.comparison import MetricComparison, Overall, ResultsComparison, RowComparison
from fmbench.compare.markdown import markdown
from fmbench.compare.page import page
from fmbench.compare.sources import read_results
from fmbench.compare.text import headline, summary

__all__ = (
    "ComparedResults",
    "MetricComparison",
    "Overall",
    "ResultsComparison",
    "RowComparison",
    "as_data",
    "compare",
    "headline",
    "markdown",
    "page",
    "read_results",
    "summary",
)
