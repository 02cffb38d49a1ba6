"""Reports: records in; tables, figures and one page out. It imports neither torch nor mlflow, nor reads the store."""

from __future__ import annotations

from fmbench.report.build import write_report
from fmbench.report.json_data import report_as_data
from fmbench.report.text.headline import in_short

__all__ = ["in_short", "report_as_data", "write_report"]
