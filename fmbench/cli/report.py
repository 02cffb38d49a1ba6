"""The verb report."""

from __future__ import annotations

from pathlib import Path

from fmbench.cli import options
from fmbench.cli.headline_table import tell_tables
from fmbench.cli.output import say, show_json, tell_damaged, tell_gone
from fmbench.cli.run import tell_short


def report(
    suite: options.Suite,
    overrides: options.Overrides = None,
    filters: options.Filters = None,
    plugins: options.Plugins = None,
    home: options.Home = None,
    reports: options.Reports = Path("reports"),
    device: options.Device = "auto",
    figures: options.Figures = False,
    as_json: options.Json = False,
    quick: options.Quick = False,
) -> None:
    """Write the tables and the page again, and figures where asked for, from what the store holds; compute nothing.

    With --json, print the answer, the tables and the records.
    """
    from fmbench.runner.report_cache import write_report_anew

    places = {"home": home, "reports": reports, "device": device, "figures": figures, "quick": quick}
    session = options.open_session(suite, overrides, filters, plugins, computes=False, **places)
    results_index = session.results_index(anywhere=True)
    records = session.records(results_index)
    page, shown = write_report_anew(session, records)
    if as_json:
        from fmbench.report import report_as_data

        damaged = {"damaged": results_index.damaged, "passed_over": results_index.passed_over}
        show_json({**report_as_data(records), **damaged, "report": str(page)})
        return
    tell_gone(session.registry.gone)
    tell_damaged(results_index)
    if missing := sum(record.status == "missing" for record in records.evaluations):
        lacking = f"{missing} of {len(records.evaluations)} evaluations are not computed yet"
        say(f"{lacking}; `{session.again('run')}` does.", "yellow")
    tell_tables(shown.tables)
    tell_short(shown.lines)
    say(f"Report: {page}", "bold")
