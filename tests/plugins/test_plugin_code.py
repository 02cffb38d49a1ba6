"""What a plugin does where it is loaded stays with it: what it changes, prints, or raises to end the process."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from fmbench.errors import ComponentError, PluginError
from fmbench.plugins.discovery import load_plugins
from fmbench.plugins.local_files import load_given
from fmbench.plugins.registry import load_registry

GRID = """
from fmbench import Grid, hookimpl

class Mine(Grid):
    def __init__(self):
        {constructor}

    def times(self, steps):
        return steps

{top}

@hookimpl
def fmbench_grids():
    {hook}
    return {{"mine": Mine}}
"""


def plugin(
    folder: Path,
    top: str = "",
    hook: str = "pass",
    constructor: str = "pass",
    imports: str = "os, random, signal, sys, warnings, numpy, torch",
) -> str:
    file = folder / "mine_grid.py"
    file.write_text(f"import {imports}\n" + GRID.format(top=top, hook=hook, constructor=constructor))
    return str(file)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in [name for name in sys.modules if name.startswith("fmbench_plugin_mine_grid")]:
        del sys.modules[name]


CHANGES = {
    "torch.set_default_dtype(torch.float64)": "torch's default dtype from torch.float32 to torch.float64",
    "torch.set_default_device('meta')": "torch's default device",
    "torch.set_grad_enabled(False)": "torch's grad mode from True to False",
    "torch.use_deterministic_algorithms(True)": "torch's deterministic algorithms",
    "torch.set_float32_matmul_precision('medium')": "torch's precision of float32 products from highest to medium",
    "torch.set_num_threads(torch.get_num_threads() + 1)": "torch's number of threads",
    "torch.set_flush_denormal(True)": "the smallest numbers (denormals) from kept to flushed to zero",
    "torch.set_autocast_enabled('cpu', True)": "torch's autocast on cpu",
    "torch.autograd.set_detect_anomaly(True)": "torch's anomaly detection",
    "torch.backends.cudnn.benchmark = True": "torch's flag cudnn_benchmark from False to True",
    "torch.nn.modules.module.register_module_forward_hook(print)": "torch's hooks for all modules from 0 to 1",
    "torch.randn = torch.rand": "torch.randn",
    "torch.nn.functional.silu = torch.nn.functional.relu": "torch.nn.functional.silu",
    "torch.nn.Linear.forward = lambda self, x: x": "torch.nn.Linear.forward",
    "import fmbench.components.contracts; fmbench.components.contracts.Solver.order = 7": "fmbench.Solver.order",
    "random.shuffle = sorted": "random.shuffle",
    "del sys.modules['math']": "sys.modules['math']",
    "numpy.seterr(all='ignore')": "NumPy's handling of errors",
    "os.chdir('/')": "the working folder",
    "os.environ['HOME'] = '/'": "the environment variable HOME",
    "os.environ['OMP_SCHEDULE'] = 'static'": "the environment variable OMP_SCHEDULE, which was not set",
    "sys.path.reverse()": "sys.path",
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)": "the handler of SIGTERM",
}


def state_of_torch() -> tuple[object, ...]:
    return (
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_float32_matmul_precision(),
        torch.get_num_threads(),
        torch.is_autocast_enabled("cpu"),
        torch.randn,
        torch.nn.functional.silu,
        np.geterr()["over"],
        Path.cwd(),
        list(sys.path),
        dict(os.environ),
        5e-324 * 1.0 > 0,
    )


@pytest.mark.parametrize("change", CHANGES)
def test_a_plugin_that_changes_the_process_at_import_is_refused_and_that_is_put_back(
    change: str, tmp_path: Path
) -> None:

    given = plugin(tmp_path, top=change)
    sys.path.append(str(tmp_path))
    before = state_of_torch()
    with pytest.raises(PluginError) as caught:
        list(load_given(given))
    assert CHANGES[change] in str(caught.value)
    assert "mine_grid.py" in str(caught.value)
    assert len(str(caught.value)) < 500
    assert state_of_torch() == before
    assert "math" in sys.modules
    list(load_given(plugin(tmp_path)))


REPLACED = {
    "Euler.integrate = lambda self, velocity, x_0, times: x_0": "fmbench_solvers.euler.Euler.integrate",
    "_runge_kutta.runge_kutta_step = print_it": "fmbench_solvers._runge_kutta.runge_kutta_step",
    "scipy.optimize.linear_sum_assignment = print_it": "scipy.optimize.linear_sum_assignment",
    "torch.optim.AdamW.step = print_it": "torch.optim.AdamW.step",
    "torch.randn = print_it": "torch.randn",
}
"""What a plugin replaces in what it is the first to import, and what it is told."""


FIRST_IMPORT = """
import os
import scipy.optimize, torch
from fmbench_solvers import _runge_kutta
from fmbench_solvers.euler import Euler

def print_it(*a, **k):
    return print(a)

for change in {changes!r}:  # a process goes on with each of them, and the last one with none
    if os.fork() == 0:
        break
    os.wait()
else:
    change = ""
exec(change)
"""

LOADS = """
import sys
from pathlib import Path
from fmbench.errors import PluginError
from fmbench.plugins.discovery import load_plugins

plugin = Path(sys.argv[1])
try:
    load_plugins([str(plugin)])
    said = ""
except PluginError as error:
    said = str(error)
change = next(vars(module)["change"] for name, module in sys.modules.items() if "mine_grid" in name)
with plugin.with_name("said.txt").open("a") as file:
    file.write(repr((change, said)) + "\\n")
"""


def test_what_is_replaced_in_something_that_was_not_imported_before_is_refused(tmp_path: Path) -> None:
    given = plugin(tmp_path, top=FIRST_IMPORT.format(changes=list(REPLACED)), imports="os")
    subprocess.run([sys.executable, "-c", LOADS, given], check=True)
    said = dict(map(ast.literal_eval, (tmp_path / "said.txt").read_text().splitlines()))
    for change, replaced in REPLACED.items():
        assert f"changed {replaced}" in said[change], change
        assert "leave the plugin out" in said[change], change
    assert said[""] == "", "nothing was changed"


def test_what_a_hook_and_a_constructor_change_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"in fmbench_grids, it changed torch's default dtype"):
        load_plugins([plugin(tmp_path, hook="torch.set_default_dtype(torch.float64)")])
    registry = load_registry([plugin(tmp_path, constructor="torch.set_default_dtype(torch.float64)  #")])
    with pytest.raises(PluginError, match=r"grid 'mine' .* cannot be built: it changed torch's default dtype"):
        registry.build(registry.spec("grid", "mine"))
    assert torch.get_default_dtype() == torch.float32


def test_new_attributes_variables_and_folders_of_modules_are_allowed(tmp_path: Path) -> None:
    top = "torch.mine = 1; os.environ['KMP_MINE'] = '1'; sys.path.append('/mine'); warnings.simplefilter('default')"
    try:
        assert ("grid", "mine") in load_plugins([plugin(tmp_path, top=top)]).components
    finally:
        del torch.mine, os.environ["KMP_MINE"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("error", ["SystemExit(0)", "KeyboardInterrupt", "GeneratorExit", "BaseException('x')"])
@pytest.mark.parametrize("where", ["top", "hook"])
def test_what_ends_a_process_is_an_error_like_any_other(error: str, where: str, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=rf"mine_grid.py.*{error.partition('(')[0]}.*line \d+"):
        load_plugins([plugin(tmp_path, **{where: f"raise {error}"})])


def test_a_constructor_that_ends_the_process_is_an_error(tmp_path: Path) -> None:
    registry = load_registry([plugin(tmp_path, constructor="sys.exit(0)")])
    with pytest.raises(PluginError, match="cannot be built: SystemExit: 0"):
        registry.build(registry.spec("grid", "mine"))
    registry = load_registry([plugin(tmp_path, constructor="raise ValueError('too few')")])
    with pytest.raises(ComponentError, match="too few"):
        registry.build(registry.spec("grid", "mine"))


def test_ctrl_c_interrupts_while_a_plugin_is_imported(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            load_plugins([plugin(tmp_path, top="os.kill(os.getpid(), signal.SIGINT)")])
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


LOUD = (
    "print('by print'); print('by another name', file=sys.__stdout__); os.system('echo by a child'); "
    "os.write(1, b'by a descriptor\\n')"
)


def command_line(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from fmbench.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_a_plugin_prints_stands_in_front_of_no_json(tmp_path: Path) -> None:
    given = plugin(tmp_path, top=LOUD, hook="print('by a hook')", imports="os, sys")
    done = command_line("plugins", "--json", "--plugins", given)
    assert any(component["name"] == "mine" for component in json.loads(done.stdout)["components"])
    for word in ("print", "another name", "a child", "a descriptor", "a hook"):
        assert f"by {word}\n" in done.stderr


def test_a_hook_that_exits_with_0_ends_no_verb_with_0(tmp_path: Path) -> None:
    done = command_line("plugins", "--json", "--plugins", plugin(tmp_path, hook="sys.exit(0)", imports="sys"))
    assert done.returncode == 2
    assert "fmbench_grids raised SystemExit: 0" in done.stderr
    assert "Traceback" not in done.stderr
