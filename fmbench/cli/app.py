"""All verbs as one application, and what becomes of the errors that come out of it."""

from __future__ import annotations

import errno
import os
import sys
from inspect import getdoc
from typing import Annotated, Any

import typer

from fmbench.cli.check import check
from fmbench.cli.check_plugin import check_plugin
from fmbench.cli.compare import compare
from fmbench.cli.completion import VARIABLE, answer_shell
from fmbench.cli.export import export
from fmbench.cli.history import history
from fmbench.cli.init import init
from fmbench.cli.interruption import EndedInOrder, exit_code, how, was_interrupted
from fmbench.cli.mlflow import sync, ui
from fmbench.cli.new_plugin import new_plugin
from fmbench.cli.output import complain, prepare_streams, say
from fmbench.cli.plan import plan
from fmbench.cli.plugins import PLUGINS, list_components, plugins_app
from fmbench.cli.publish import publish
from fmbench.cli.report import report
from fmbench.cli.run import run_verb
from fmbench.cli.sample import sample
from fmbench.cli.schema_and_env import env, schema
from fmbench.cli.status import status
from fmbench.cli.store import clean, merge
from fmbench.cli.suites import suites
from fmbench.cli.why import why
from fmbench.errors import DamagedFile, UserError, brief
from fmbench.io.patient_stream import lose

USER_ERROR = 2
_NEXT = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room, and"),
    **dict.fromkeys((errno.EROFS, errno.EACCES), "make it writable, or choose another folder, and"),
}
_UsageError: Any = typer.BadParameter.__mro__[1]
"""What click, or the copy of it that typer has, raises for options that it does not know."""

app = typer.Typer(
    name="fmbench",
    context_settings={"max_content_width": 120, "help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # drawing boxes takes as long as all the rest of --help
)
QUICK_START = """\
fmbench compares the parts of flow matching (paths, couplings, networks,
solvers) at equal numbers of network calls.

  fmbench run smoke                  does everything work? half a minute
  fmbench suites                     which suites there are
  fmbench plan low_nfe               what a suite computes, and for how long
  fmbench run low_nfe                train, evaluate, compare; goes on where
                                     it was interrupted
  fmbench run SUITE --quick          with its budget cut: does it run?
  fmbench plugins solver             which solvers there are
  fmbench init mine.yaml             a suite of your own, from some questions
  fmbench run SUITE --plugins my.py  with components of your own
  fmbench ui                         all runs in MLflow

`fmbench -h` lists all verbs, `fmbench VERB -h` the options of one, and
`fmbench --install-completion` teaches your shell's Tab key.
"""


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        say(f"fmbench {version('fmbench')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def begin(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_tell_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Benchmarks for flow matching: which choice is better at a given number of function evaluations?"""
    if context.invoked_subcommand is None:
        say(QUICK_START.rstrip(), fold=False)


run, retry = run_verb(again=False), run_verb(again=True)
app.command("run", help="Plan, train, evaluate, log and report; what is done is skipped, so a run goes on.")(run)
app.command("retry", help="Run a suite again with its failed cells, which `run` leaves as they are.")(retry)
for callback in (init, check, compare, history, plan, status, schema, env, why, report, publish, export, sample):
    app.command()(callback)
for store_verb in (sync, clean, merge, ui):
    app.command()(store_verb)
for plugin_verb in (suites, new_plugin, check_plugin):
    app.command()(plugin_verb)
app.add_typer(plugins_app, name="plugins", short_help=PLUGINS)
for verb in app.registered_commands:  # else the list of verbs cuts them off
    verb.short_help = " ".join((verb.help or getdoc(verb.callback) or "").partition("\n\n")[0].split())


def run_app() -> None:
    """Run what the command line asks for, and end the process with its exit code where that is not 0."""
    prepare_streams()
    if VARIABLE in os.environ:
        answer_shell(lambda: app(prog_name="fmbench"))
        return
    code: object = None
    try:
        try:
            if sys.argv[1:] == ["plugins"]:
                list_components()  # an answer that takes less than the library which reads options
            else:
                code = app(prog_name="fmbench", standalone_mode=False)
        finally:
            sys.stdout.flush()  # here, where what goes wrong is said
        if was_interrupted():  # typer makes an exit code of it
            raise EndedInOrder(how(), exit_code())
        if isinstance(code, int) and code:
            sys.exit(code)
    except _UsageError as error:
        error.message = brief(error.message)
        error.show()
        sys.exit(error.exit_code)
    except EndedInOrder as error:
        complain(str(error))
        sys.exit(error.code)
    except UserError as error:
        complain(str(error))
        sys.exit(USER_ERROR)
    except DamagedFile as error:
        complain(f"{error}; remove it, or the folder that it is in, and run again")
        sys.exit(USER_ERROR)
    except OSError as error:
        if error.errno not in _NEXT:
            raise
        if error.filename is None:
            lose(sys.stdout)  # which is what could not be written
        what = "what fmbench writes or prints finds no room" if error.filename is None else f"{error.filename}"
        complain(f"{what}: {error.strerror}; {_NEXT[error.errno]} run again")
        sys.exit(USER_ERROR)
