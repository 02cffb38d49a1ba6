"""What a component can change for others in its process: read, compared, and put back.

Components share a process, so one that leaves torch's default dtype or a working folder changed behind it changes
what is computed after it. Kept and compared are: torch's default dtype and device, modes of gradients, inference,
determinism, autocast and anomalies, precision of products, choice of kernels, threads, hooks and modes for all
tensors or modules; how floating-point numbers are rounded and whether the smallest are flushed to zero; NumPy's
handling of errors; the working folder, the path of imports, environment variables, signal handlers, the garbage
collector; and what hangs on the modules that everybody uses (see `fmbench.isolation.monkeypatches`).

Not seen is what is put back before it is compared; what threads and child processes of a component do later; what is
written into memory past Python (through ctypes, say, or a kernel that is registered anew in torch's dispatcher); and
what is changed within an object that others use, where neither torch nor the two modules count it. What is drawn from
global random generators is no change: see `fmbench.isolation.global_random`. fmbench's own components change nothing,
so that attributes are compared only once another one is at work, and for a part of a unit (a metric, say) attributes
and the environment only when it first runs: the unit's end sees them in any case.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from fmbench.errors import ProcessChanged
from fmbench.isolation.monkeypatches import Attributes

ABSENT = object()
UNKNOWN = object()
"""Stands for a value that is not known of a library that has only just been imported."""

MOST_NAMED = 2
"""So many changes are named in a message."""

READ_BY_OTHERS = ("FMBENCH_", "PYTHON", "CUBLAS_", "OMP_", "MKL_", "OPENBLAS_", "TORCH_")
"""How environment variables begin that other code reads: a component may not even add one."""

FLAGS = {
    "cudnn_enabled": True,
    "cudnn_benchmark": False,
    "cudnn_deterministic": False,
    "cudnn_allow_tf32": UNKNOWN,
    "cublas_allow_tf32": UNKNOWN,
    "cublas_allow_fp16_accumulation": False,
    "cublas_allow_fp16_reduced_precision_reduction": UNKNOWN,
    "cublas_allow_bf16_reduced_precision_reduction": UNKNOWN,
    "cpu_allow_fp16_reduced_precision_reduction": UNKNOWN,
    "onednn_allow_tf32": UNKNOWN,
    "mkldnn_enabled": True,
    "mkldnn_deterministic": False,
    "nnpack_enabled": UNKNOWN,
    "flash_sdp_enabled": UNKNOWN,
    "mem_efficient_sdp_enabled": UNKNOWN,
    "math_sdp_enabled": UNKNOWN,
    "cudnn_sdp_enabled": UNKNOWN,
    "math_sdp_allow_fp16_bf16_reduction": UNKNOWN,
    "deterministic_fill_uninitialized_memory": True,
}
"""Flags of torch that choose kernels or how they round, and their values when torch is imported."""

SETTERS = {
    "flash_sdp_enabled": "_set_sdp_use_flash",
    "mem_efficient_sdp_enabled": "_set_sdp_use_mem_efficient",
    "math_sdp_enabled": "_set_sdp_use_math",
    "cudnn_sdp_enabled": "_set_sdp_use_cudnn",
}
"""What sets a flag that is not set by `_set_` and its name."""

PRECISIONS = (("generic", "all"), ("cuda", "all"), ("cuda", "matmul"), ("mkldnn", "all"), ("mkldnn", "matmul"))
"""Where torch keeps how products of float32 are rounded."""


@dataclass(frozen=True)
class Setting:
    """Something of the process: what it is in words, how it is read and put back, and its value at first."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object] | None = None
    at_first: Any = UNKNOWN

    def value(self) -> Any:
        """Return the value, or why it cannot be read."""
        try:
            return self.read()
        except (RuntimeError, OSError) as error:
            return f"what cannot be read ({error})"


ProcessState = Mapping[str, Any]
"""Values by the names of their settings."""


def read(whole: bool = True) -> ProcessState:
    """Return the state of the process, without its environment where not the `whole` is asked for.

    Libraries that nobody has imported have none.
    """
    state = {setting.name: setting.value() for setting in _settings()}
    state["sys.path"] = tuple(sys.path)
    if whole:
        state["the environment"] = dict(os.environ)
    return state


def changes(before: ProcessState, after: ProcessState) -> list[str]:
    """Return what differs, each as `what from old to new`; nothing is missing that a library brought with it."""
    found = []
    for setting in _settings():
        old = before.get(setting.name, setting.at_first)
        new = after.get(setting.name, ABSENT)
        if old is not UNKNOWN and new is not ABSENT and old != new:
            found.append(f"{setting.name} from {_brief(old)} to {_brief(new)}")
    return [*found, *_environment(before, after), *_path(before["sys.path"], after["sys.path"])]


def put_back(before: ProcessState) -> None:
    """Put back what can be."""
    for setting in _settings():
        old = before.get(setting.name, setting.at_first)
        if setting.write is not None and old is not UNKNOWN and setting.value() != old:
            with suppress(RuntimeError, OSError, ValueError, TypeError):
                setting.write(old)
    if dict(os.environ) != before.get("the environment", os.environ):
        os.environ.clear()
        os.environ.update(before["the environment"])
    sys.path[:] = before["sys.path"]


class Watch:
    """Compares the process with what it was when the watch began: its state, and attributes where they are given.

    Without its environment and attributes where not the `whole` is asked for: many texts and objects, which take as
    long to compare as a small metric takes. `attributes` is asked when they are compared. One that is `idle` compares
    nothing.
    """

    def __init__(
        self,
        attributes: Callable[[], Attributes | None] = lambda: None,
        whole: bool = True,
        *,
        idle: bool = False,
    ) -> None:
        self._attributes = attributes if whole else lambda: None
        self._whole = whole
        self._state = None if idle else read(whole)

    def changes(self) -> list[str]:
        """Return what differs now, in words."""
        if self._state is None:
            return []
        attributes = self._attributes()
        replaced = attributes.replaced() if attributes else []
        return [*changes(self._state, read(self._whole)), *replaced]

    def check(self, who: str) -> None:
        """Raise ProcessChanged where anything differs now, and name `who` for it."""
        if found := self.changes():
            raise ProcessChanged(said(who, found))

    def put_back(self) -> list[str]:
        """Put back what can be; return what still differs."""
        if attributes := self._attributes():
            attributes.put_back()
        if self._state is not None:
            put_back(self._state)
        return self.changes()


def said(who: str, found: Sequence[str]) -> str:
    """Return the message for somebody that changed something."""
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return (
        f"{who} changed {', '.join(found[:MOST_NAMED])}{more}, by which other cells would be computed otherwise: let "
        "it put that back before it returns, or leave it alone"
    )


def watch_all() -> Watch:
    """Return a watch over all that is compared in this process; over less within `unchanged`, where that says so.

    It is idle as long as only fmbench's own code has run in the process, which changes nothing.
    """
    return Watch(_attributes, _whole[-1], idle=not foreign_code_ran())


@contextmanager
def unchanged(who: str, part: Hashable = None) -> Iterator[None]:
    """Raise ProcessChanged where what is called inside changes the process, whether it fails or not.

    `part` names a part of a unit, which is compared as a whole at its end: then the whole is compared here only when
    the part first runs in this process. One that replaces a function, say, does so when it is first called.
    """
    _whole.append(part is None or part not in _parts_seen)
    _parts_seen.add(part)
    try:
        watch = watch_all()
        try:
            yield
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if found := watch.changes():
                raise ProcessChanged(f"{said(who, found)}; it failed, too, with {type(error).__name__}") from error
            raise
        watch.check(who)
    finally:
        _whole.pop()


_parts_seen: set[Hashable] = set()
"""The parts of units that have run in this process."""
_whole = [True]
"""Whether watches compare the whole, as the innermost `unchanged` says."""
_held: list[Attributes] = []
"""What `guard_attributes` took."""
_foreign_code: set[str] = set()
"""Whose code has run in this process that is not fmbench's."""
_strangers: set[type] = set()
"""Classes of components that are not fmbench's own and are at work in this process."""


def guard_attributes() -> None:
    """Have `unchanged` compare attributes, too, with what they are now: for a process of fmbench's own.

    That is done from the first component on that is not fmbench's: its own are known to replace nothing.
    """
    _held.append(Attributes())


def guard_class(title: str, cls: type, *, own: bool = False) -> None:
    """Have `unchanged` compare a component's class and module, too, where it compares attributes.

    `own` says that it is fmbench's.
    """
    if _held:
        _held[-1].include(title, cls)
    if not own:
        _strangers.add(cls)


def note_foreign_code(who: str) -> None:
    """Have everything watched from now on: code of a plugin that is not fmbench's begins to run in this process."""
    _foreign_code.add(who)


def foreign_code_ran() -> bool:
    """Whether code of a plugin that is not fmbench's has run in this process."""
    return bool(_foreign_code)


def strangers_at_work() -> bool:
    """Whether a component that is not fmbench's own has been built in this process."""
    return bool(_strangers)


def _attributes() -> Attributes | None:
    return _held[-1] if _held and _strangers else None


_guarded: list[Setting] = []
"""What else is compared: see `guard`."""


def guard(setting: Setting) -> None:
    """Have something more of the process compared from now on, that only its owner knows."""
    _guarded.append(setting)


def _settings() -> list[Setting]:
    return [
        *_guarded,
        *_python_settings(),
        *(_torch_settings() if "torch" in sys.modules else ()),
        *(_numpy_settings() if "numpy" in sys.modules else ()),
    ]


@cache
def _python_settings() -> list[Setting]:
    tiny, one, little = sys.float_info.min, 1.0, 1e-300

    def denormals() -> str:
        return "flushed to zero" if tiny * 0.5 == 0.0 or not 5e-324 * one > 0.0 else "kept"

    def rounding() -> str:
        return "to the nearest" if one + little == one and one - little == one else "in one direction"

    return [
        Setting("the smallest numbers (denormals)", denormals, _set_denormals, "kept"),
        Setting("rounding", rounding, None, "to the nearest"),
        Setting("the working folder", os.getcwd, os.chdir),
        Setting("the garbage collector's being on", gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
        *(
            Setting(f"the handler of {each.name}", partial(signal.getsignal, each), partial(signal.signal, each))
            for each in (signal.SIGINT, signal.SIGTERM)
        ),
    ]


def _set_denormals(before: str) -> None:
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal("flushed" in before)


@cache
def _numpy_settings() -> list[Setting]:
    import numpy as np

    usual = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
    return [Setting("NumPy's handling of errors", np.geterr, lambda values: np.seterr(**values), usual)]


@cache
def _torch_settings() -> list[Setting]:
    import torch

    own = torch._C
    return [
        Setting("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype, torch.float32),
        Setting("torch's default device", torch.get_default_device, _set_default_device, torch.device("cpu")),
        Setting("torch's grad mode", torch.is_grad_enabled, own._set_grad_enabled, True),
        Setting("torch's inference mode", torch.is_inference_mode_enabled, None, False),
        Setting(
            "torch's deterministic algorithms",
            lambda: (torch.are_deterministic_algorithms_enabled(), own._get_deterministic_algorithms_warn_only()),
            lambda both: torch.use_deterministic_algorithms(both[0], warn_only=both[1]),
            (False, False),
        ),
        Setting("torch's number of threads", torch.get_num_threads, torch.set_num_threads),
        Setting("torch's anomaly detection", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly, False),
        Setting(
            "torch's use of threads for gradients",
            own._is_multithreading_enabled,
            own._set_multithreading_enabled,
            True,
        ),
        Setting(
            "torch's hooks for saved tensors", partial(own._autograd._top_saved_tensors_default_hooks, True), None, None
        ),
        Setting("torch's modes for functions", own._len_torch_function_stack, None, 0),
        Setting("torch's modes for operators", own._len_torch_dispatch_stack, None, 0),
        Setting("torch's hooks for all modules", _module_hooks, _forget_module_hooks, 0),
        *_precisions(),
        *_autocast(),
        *(
            Setting(
                f"torch's flag {name}",
                getattr(own, f"_get_{name}"),
                getattr(own, SETTERS.get(name, f"_set_{name}"), None),
                usual,
            )
            for name, usual in FLAGS.items()
            if hasattr(own, f"_get_{name}")
        ),
    ]


def _precisions() -> list[Setting]:
    import torch

    settings = [
        Setting(
            "torch's precision of float32 products",
            torch.get_float32_matmul_precision,
            torch.set_float32_matmul_precision,
            "highest",
        )
    ]
    read, write = (getattr(torch._C, f"_{verb}_fp32_precision_{verb}ter", None) for verb in ("get", "set"))
    if read is None or write is None:  # an older torch
        return settings
    return settings + [
        Setting(
            f"torch's fp32_precision of {backend} {what}", partial(read, backend, what), partial(write, backend, what)
        )
        for backend, what in PRECISIONS
    ]


def _autocast() -> list[Setting]:
    import torch

    return [
        Setting("torch's cache of autocast", torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled, True),
        *(
            Setting(
                f"torch's autocast on {device}",
                partial(_autocast_of, device),
                partial(_set_autocast, device),
            )
            for device in ("cpu", "cuda")
        ),
    ]


def _autocast_of(device: str) -> tuple[bool, Any]:
    import torch

    return torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)


def _set_autocast(device: str, value: tuple[bool, Any]) -> None:
    import torch

    torch.set_autocast_enabled(device, value[0])
    torch.set_autocast_dtype(device, value[1])


def _set_default_device(device: Any) -> None:
    import torch

    torch.set_default_device(None if device == torch.device("cpu") else device)  # None leaves no mode behind


@cache
def _hooks_of_all_modules() -> list[dict[int, Any]]:
    from torch.nn.modules import module

    return [held for name, held in vars(module).items() if name.startswith("_global_") and isinstance(held, dict)]


def _module_hooks() -> int:
    return sum(map(len, _hooks_of_all_modules()))


def _forget_module_hooks(left: int) -> None:
    if not left:  # else nobody knows which are whose
        for held in _hooks_of_all_modules():
            held.clear()


def _environment(before: ProcessState, after: ProcessState) -> Iterator[str]:
    old, new = (state.get("the environment", {}) for state in (before, after))
    if old == new:
        return
    for name in sorted(old.keys() | new.keys()):
        if name in old and old[name] != new.get(name):
            yield f"the environment variable {name}"  # its value may be a secret
        elif name not in old and name.startswith(READ_BY_OTHERS):
            yield f"the environment variable {name}, which was not set"


def _path(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    """Yield what is said where entries were taken away or moved; entries may be added."""
    if old == new:
        return
    left = iter(new)
    lost = next((entry for entry in old if entry not in left), None)
    if lost is not None:
        yield f"sys.path, which held {lost} before what is there now"


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
