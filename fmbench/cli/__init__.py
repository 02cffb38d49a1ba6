"""The command line: thin verbs over the library. The only package that prints."""

from __future__ import annotations

import gc
import os


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 cells failed or worse, 2 the input is at fault, 130 interrupted."""
    # Importing, and reading sources and suites, makes many objects and leaves little to collect; Python looks often.
    gc.set_threshold(200_000, 20, 20)
    from fmbench.cli.app import run_app

    if "FMBENCH_DETACHED" in os.environ:
        from fmbench.runner.detached import attend

        attend(run_app)
    else:
        run_app()
