"""Where MLflow has the runs of a suite's cells, for the page of its report."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from fmbench.runner.session import Session
from fmbench.tracking import RunLinks, resolve_uri, run_links, shown
from fmbench.tracking.run_links import UI

if TYPE_CHECKING:
    from fmbench.report.page_data.payload import RunAddresses


def ledger_place(session: Session) -> tuple[Path, str]:
    """Return the file in which it is noted what was logged of a suite, and the address of the server."""
    uri = resolve_uri(session.options.tracking_uri, Path())
    name = hashlib.sha256(shown(uri).encode(errors="surrogateescape")).hexdigest()[:12]
    return session.store.root / "tracking" / f"{session.suite.name}-{name}.json", uri


def known_links(session: Session) -> RunLinks:
    """Return the links to what was logged of a suite, as the store remembers it."""
    return run_links(*ledger_place(session), session.suite.name)


def addresses(links: RunLinks | None) -> RunAddresses | None:
    """Return where a page finds MLflow's runs; None where nothing was logged."""
    from fmbench.report.page_data.payload import RunAddresses

    if links is None or not links.experiment:
        return None
    here = "Links to MLflow's runs are for the machine on which `fmbench ui` shows them." if links.base == UI else ""
    return RunAddresses(f"{links.base}/#/experiments/{links.experiment}/runs/{{run}}", links.runs, here)
