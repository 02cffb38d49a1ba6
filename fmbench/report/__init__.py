"""Reports: records in; tables, figures and one page out. It imports neither torch nor mlflow, nor reads the store."""

from __future__ import annotations

from fmbench.report.sentences import in_short
from fmbench.report.write import write_report

__all__ = ["in_short", "write_report"]
