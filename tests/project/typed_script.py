"""What a user writes with fmbench, for the type checker alone: `mypy tests/project/typed_script.py`.

Each ignored error must be one, so a name that lost its types fails here.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import fmbench

options = fmbench.Options(overrides=("training.steps=10",), reports=Path("reports"), tracking=False)
result = fmbench.run("suites/smoke.yaml", options)
page: Path = result.report
frame: pd.DataFrame = result.select(path="cosine", nfe=[2, 4]).to_frame()
stored: fmbench.Results = fmbench.load_results(Path("reports/smoke"))
stored.figure(stored.metrics[0]).savefig("figure.svg")

not_a_frame: int = stored.to_frame()  # type: ignore[assignment]
not_a_run: fmbench.RunResult = stored  # type: ignore[assignment]
not_an_option = fmbench.Options(steps=10)  # type: ignore[call-arg]
fmbench.load_results(10)  # type: ignore[arg-type]
