"""How a network that is trained alone is computed: its memory format, and whether torch.compile makes it faster.

A short measured probe says so, on copies, before the training begins. It changes how long training takes, and results
to rounding; no key. What it finds is kept in the store, and stands in the record as `program`; `compile: false` has no
probe made, so that the network alone decides.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from fmbench.cells.cells import TrainingCell
from fmbench.cells.keys import canonical, digest
from fmbench.model.build import Components, make_module
from fmbench.model.context import WorkerContext
from fmbench.model.dummy_inputs import examples_a_call, network_inputs
from fmbench.runtime import autotune
from fmbench.runtime.device import device_type

log = logging.getLogger(__name__)

Call = Callable[..., Tensor]

WARM_UP, ROUNDS = 2, 5
"""Steps of a trial before it is measured, and the rounds in which two compilations then take turns. Medians count."""
GAIN = 0.9
"""Another compilation is faster when a step takes less than this part of what it takes in the usual one, clearly."""
SHARE = 0.02
"""The probe takes at most this part of the time that the training is predicted to take."""
COMPILING = 30.0
"""Seconds that trying torch.compile is expected to take: shorter trainings than that is 2% of are not worth it."""
COMPILERS = ("c++", "g++", "clang++")
FORM = {"channels_last": bool, "compiled": bool, "graphs": bool, "why": str, "seconds": dict}
"""What must be on record of a Compilation."""


@dataclass(frozen=True)
class Compilation:
    """How a network is computed: `graphs` are CUDA graphs, within torch.compile.

    `why` says what was in the way of another compilation, if anything was; `seconds` a step were measured for each.
    """

    channels_last: bool
    compiled: bool = False
    graphs: bool = False
    why: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        way = ("torch.compile with CUDA graphs" if self.graphs else "torch.compile") if self.compiled else "eager"
        text = f"{way}, {'channels_last' if self.channels_last else 'contiguous'}"
        return f"{text} ({self.why})" if self.why else text

    def formatted(self, module: nn.Module) -> nn.Module:
        """Return the module in the compilation's memory format."""
        return module.to(memory_format=torch.channels_last if self.channels_last else torch.contiguous_format)

    def call(self, module: nn.Module) -> Call:
        """Return what calls the module: the module itself, or what torch.compile will make of it."""
        if not self.compiled:
            return module
        torch._inductor.config.compile_threads = 1  # or processes of its own would go on after the training
        mode = "reduce-overhead" if self.graphs else "default"
        compiled: Call = torch.compile(module, dynamic=False, mode=mode)
        return compiled


def usual(parts: Components) -> Compilation:
    """Return what is done without a probe: the network says which memory format it takes."""
    return Compilation(parts.network.channels_last)


def choose(cell: TrainingCell, parts: Components, context: WorkerContext) -> Compilation:
    """Return the compilation for a cell that trains alone. What was found for its like is kept in the store's cache."""
    if cell.compile is False:
        return usual(parts)
    # whether the steps of two trials are few enough beside those of the training
    if not (cell.compile is True or SHARE * cell.settings["steps"] >= 2 * (WARM_UP + ROUNDS)):
        return usual(parts)
    file, probe = compilation_file(cell, context), _Probe(cell, parts, context)
    return Compilation(**autotune.cached_or_measured(file, FORM, lambda: asdict(probe.run())))


def started(
    compilation: Compilation, cell: TrainingCell, parts: Components, context: WorkerContext, module: nn.Module
) -> Call:
    """Return what calls the module, compiled before the training's time is taken; the module is left as it was."""
    call = compilation.call(module)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with _own_random(context.device):
        _gradient(call, network_inputs(parts, examples_a_call(cell), context.device), parts, context.device)
    module.zero_grad(set_to_none=True)
    module.load_state_dict(before)
    return call


def compilation_file(cell: TrainingCell, context: WorkerContext) -> Path:
    """Return the sealed file of what was found, on this machine, for cells like this one."""
    names = ("steps", "batch_size", "precision", "class_conditional", "accumulate")
    settings = {name: cell.settings.values.get(name) for name in names}
    machine = autotune.machine(context.device, context.threads)
    texts = (cell.dataset.digest, cell.network.digest, canonical(settings), str(cell.compile), *machine)
    return context.cache / f"program-{digest('program', *texts)}.json"


class _Probe:
    def __init__(self, cell: TrainingCell, parts: Components, context: WorkerContext) -> None:
        self.cell, self.parts, self.context = cell, parts, context
        self.seconds: dict[str, float] = {}

    def run(self) -> Compilation:
        """Measure the other memory format of a network that convolves beside the usual one, where that is in doubt.

        Then torch.compile beside the better of them.
        """
        best = usual(self.parts)
        with _own_random(self.context.device):
            # on a CPU, a network that asks for channels_last is right: there is nothing to measure, and no doubt
            is_sure = best.channels_last and self.context.device == "cpu"
            if not is_sure and any(isinstance(module, nn.Conv2d) for module in self._spare().modules()):
                other = Compilation(not best.channels_last)
                best = other if self._gains(other, best) else best
            return replace(self._compiled(best), seconds=self.seconds)

    def _compiled(self, eager: Compilation) -> Compilation:
        """Return the best of an eager computation and its compiled ones, where those are wanted and worth trying."""
        wanted, steps = self.cell.compile, self.cell.settings["steps"]
        if wanted == "auto" and SHARE * steps * self._seconds_of(eager) < COMPILING:
            return eager
        if lacking := _lacks(self.context.device):
            return self._refused(eager, lacking)
        best = eager
        # Graphs own the gradients that a second part of a batch would be added to.
        may_have = device_type(self.context.device) == "cuda" and "accumulate" not in self.cell.settings.values
        for with_graphs in [False, True] if may_have else [False]:
            compilation = replace(eager, compiled=True, graphs=with_graphs)
            began = time.perf_counter()
            try:
                gains = self._gains(compilation, best)
            except Exception as error:  # whatever torch.compile, or the compiler that it calls, raises
                return self._refused(best, f"torch.compile failed: {type(error).__name__}: {_first_line(error)}")
            cost = time.perf_counter() - began
            saved = steps * (self.seconds[str(best)] - self.seconds[str(compilation)])
            if (gains and saved > cost) or (wanted is True and not with_graphs):
                best = compilation
        return best

    def _refused(self, compilation: Compilation, why: str) -> Compilation:
        """Return the compilation as it is, with the reason; that is a warning to whoever asked for torch.compile."""
        log.log(logging.WARNING if self.cell.compile is True else logging.INFO, "%s: not compiled: %s", self.cell, why)
        return replace(compilation, why=why)

    def _seconds_of(self, compilation: Compilation) -> float:
        """Return the seconds of a step, measured now where they are not known."""
        if str(compilation) not in self.seconds:
            self._measure([compilation])
        return self.seconds[str(compilation)]

    def _gains(self, compilation: Compilation, best: Compilation) -> bool:
        """Whether a compilation is clearly faster than the best so far; measured side by side."""
        taken = self._measure([best, compilation])
        return autotune.is_faster(taken[str(compilation)], taken[str(best)], GAIN)

    def _measure(self, compilations: Sequence[Compilation]) -> dict[str, list[float]]:
        """Return the seconds that compilations take to compute a gradient, round by round, each on a copy of its own.

        Raises what torch.compile raises.
        """
        device = self.context.device
        inputs = network_inputs(self.parts, examples_a_call(self.cell), device)
        ways = {str(compilation): self._step(compilation, inputs) for compilation in compilations}
        for step in ways.values():
            for _ in range(WARM_UP):
                step()
        taken = autotune.interleaved(ways, device, self.context.threads, rounds=ROUNDS)
        parts_of_a_batch = self.cell.settings.values.get("accumulate", 1)
        self.seconds |= {name: median(times) * parts_of_a_batch for name, times in taken.items()}
        return taken

    def _step(self, compilation: Compilation, inputs: list[Tensor]) -> Callable[[], None]:
        module = compilation.formatted(self._spare()).train()
        call = compilation.call(module)

        def step() -> None:
            _gradient(call, inputs, self.parts, self.context.device)
            module.zero_grad(set_to_none=True)

        return step

    def _spare(self) -> nn.Module:
        return make_module(self.cell, self.parts, self.context.device)


def _gradient(call: Call, inputs: list[Tensor], parts: Components, device: str) -> None:
    """Compute a gradient. What torch.compile has to say of its own inner workings is no user's business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with parts.autocast(device)():
            output = call(*inputs)
        output.to(inputs[0].dtype).square().mean().backward()  # type: ignore[no-untyped-call]


def _own_random(device: str) -> AbstractContextManager[None]:
    """Leave the global random state as it was."""
    return torch.random.fork_rng(devices=[torch.device(device)] if device_type(device) == "cuda" else [])


def _lacks(device: str) -> str:
    """Return what torch.compile would need and this machine lacks; "" where nothing is missing."""
    if device_type(device) == "cuda" and importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    wanted = os.environ.get("CXX")
    if not any(map(shutil.which, [wanted] if wanted else COMPILERS)):
        return f"there is no C++ compiler ({wanted or ', '.join(COMPILERS)})"
    return ""


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "without a message")
