"""Where MLflow has the runs of cells, for pages that link to them. Read from the ledger; imports no mlflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fmbench.tracking.credentials import shown
from fmbench.tracking.ledger import Ledger

UI = "http://127.0.0.1:5000"
"""Where `fmbench ui` shows what is in a database."""


@dataclass(frozen=True)
class RunLinks:
    """MLflow's run of each cell: `runs` by the key of a training or evaluation, as far as they are logged.

    `uri` is the tracking server's without its password, `base` the address of its UI, `experiment` MLflow's id, "" as
    long as nothing was logged. All NFE of one way of sampling share a run.
    """

    uri: str
    base: str = UI
    experiment: str = ""
    runs: Mapping[str, str] = field(default_factory=dict)

    def address(self, key: str) -> str:
        """Return the address of a cell's run in MLflow's UI, "" for a cell that was not logged."""
        run = self.runs.get(key, "")
        return f"{self.base}/#/experiments/{self.experiment}/runs/{run}" if run and self.experiment else ""


def run_links(ledger: Path, uri: str, suite: str) -> RunLinks:
    """Return the links to what was logged of a suite to a server; none where the ledger is not there, or damaged."""
    memory = Ledger(ledger, uri, suite)
    memory.load()
    return links_of(memory)


def links_of(ledger: Ledger) -> RunLinks:
    """Return the links to what a ledger says was logged."""
    uri = shown(ledger.uri)
    base = uri.rstrip("/") if uri.startswith(("http://", "https://")) else UI
    runs = {key or cell: run for cell, (run, marks) in ledger.runs.items() for key in marks}
    return RunLinks(uri, base, ledger.experiment, runs)
