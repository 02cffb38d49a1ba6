"""Reports: records in; tables, figures and one page out. Imports neither torch nor mlflow, and never looks into the store."""

from __future__ import annotations

from fmbench.report.write import write_report

__all__ = ["write_report"]
