"""The verb report."""

from __future__ import annotations

from pathlib import Path

from fmbench.cli import options
from fmbench.cli.output import say, tell_damaged, tell_gone
from fmbench.cli.run import tell_short


def report(
    suite: options.Suite,
    overrides: options.Overrides = None,
    filters: options.Filters = None,
    plugins: options.Plugins = None,
    home: options.Home = None,
    reports: options.Reports = Path("reports"),
    device: options.Device = "auto",
) -> None:
    """Write the tables, figures and page again from what the store holds; compute nothing."""
    from fmbench.report import in_short, write_report

    places = {"home": home, "reports": reports, "device": device}
    session = options.open_session(suite, overrides, filters, plugins, computes=False, **places)
    tell_gone(session.registry.gone)
    results_index = session.results_index(anywhere=True)
    tell_damaged(results_index)
    records = session.records(results_index)
    if missing := sum(record.status == "missing" for record in records.evaluations):
        lacking = f"{missing} of {len(records.evaluations)} evaluations are not computed yet"
        say(f"{lacking}; `{session.again('run')}` does.", "yellow")
    page = write_report(records, session.report_folder)
    tell_short(in_short(records).lines)
    say(f"Report: {page}", "bold")
