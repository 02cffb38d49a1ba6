"""How soon is the report page there, and how soon does it answer?

Chromium opens pages of 288 and of about 2,000 evaluation cells from the disk. "There" is the time from the start of
the navigation to the end of loading: by then the scripts have drawn the controls, the chart and the table. An answer is
the time from a change (another metric, a value left out, all rows, a sort, a pin, the next panels, a difference) to the
end of the frame that shows it; what counts is the slowest kind of change. The numbers are made up, their shape is a
suite's.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from browser import chromium, opened
from test_report import Factory, spec

from benchmarks.measuring import Options, Row, at_most, attempt, main
from fmbench.report import write_report

NETWORKS = (spec("network", "small_unet", channels=32), spec("network", "dit", depth=4), spec("network", "mlp"))
SUITES: dict[str, dict[str, Any]] = {
    "288 cells": {},
    "2,106 cells": {"paths": ("linear", "cosine", "vp"), "networks": NETWORKS, "nfe": (1, 2, 4, 8, 16, 32)},
}
CHANGES = {
    "another metric": "choose('#choose-metric', 'kid_digits')",
    "a value left out": "byId('only-solver-0').click()",
    "all rows": "document.querySelector('#table-tools [data-value=all]')?.click()",
    "a sort": "byId('sort-4').click()",
    "a pin": "document.querySelector('#winners button').click()",
    "the next panels": "document.querySelector('#chart-pages button:last-child')?.click()",
    "a difference": "choose('#choose-against', '0')",
    "reset": "byId('reset').click()",
}
ANSWER = """async (change) => {
    const choose = (what, value) => {
        const select = document.querySelector(what);
        select.value = value;
        select.dispatchEvent(new Event("change"));
    };
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    const start = performance.now();
    CHANGE;
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    return performance.now() - start;
}"""


def measure(options: Options) -> list[Row]:
    """Return when the page is there and its slowest answer, for a small and a large suite."""
    return attempt("the report page", lambda: [row for name in SUITES for row in of_suite(name, options)])


def of_suite(name: str, options: Options) -> list[Row]:
    """Measure the page of one suite."""
    there: list[float] = []
    answers: dict[str, list[float]] = {change: [] for change in CHANGES}
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        place = Path(folder)
        factory = Factory(place, baseline={"path": "linear", "t_distribution": "uniform"}, **SUITES[name])
        page_file = write_report(factory.records(), place / "report")
        size = page_file.stat().st_size
        for _ in range(options.repeats(7)):
            with opened(browser, page_file.as_uri()) as (page, seen):
                there.append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") / 1000)
                for change, script in CHANGES.items():
                    answers[change].append(page.evaluate(ANSWER.replace("CHANGE", script)))
                assert not seen.faults, seen.faults
    slowest = max(answers, key=lambda change: sorted(answers[change])[len(there) // 2])
    return [
        Row(f"{name}: the page is there", "", "", tuple(there), "s", at_most(0.5), note=f"{size:,} bytes"),
        Row(f"{name}: an answer", slowest, "", tuple(answers[slowest]), "ms", at_most(100), note=said(answers)),
    ]


def said(answers: dict[str, list[float]]) -> str:
    """Say the median of each kind of change."""
    return "; ".join(f"{change} {sorted(times)[len(times) // 2]:.0f} ms" for change, times in answers.items())


if __name__ == "__main__":
    main(measure, __doc__)
