"""The command line: thin verbs over the library. The only package that prints."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Run the command line; its exit codes are in `fmbench.cli.exit_codes`."""
    from fmbench.cli.interruption import exit_code, how, signals_heard, was_interrupted

    # Importing, and reading sources and suites, makes many objects and leaves little to collect; Python looks often.
    gc.set_threshold(200_000, 20, 20)
    with signals_heard():
        try:
            from fmbench.cli.app import run_app

            if "FMBENCH_DETACHED" in os.environ:
                from fmbench.runner.detached import attend

                attend(run_app)
            else:
                run_app()
        except BaseException as error:
            if isinstance(error, SystemExit) or not (isinstance(error, KeyboardInterrupt) or was_interrupted()):
                raise
            # Whatever comes of a signal that falls into an import, or into what a library does, is no fault.
            sys.stderr.write(f"error: {how(error)}; what finished is kept\n")
            sys.exit(exit_code(error))
