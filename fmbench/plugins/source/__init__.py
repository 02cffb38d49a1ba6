"""Python source as data: what a class says of itself, and fingerprints of code, without importing what is read."""

from fmbench.plugins.source.class_attributes import ClassSource
from fmbench.plugins.source.fingerprints import content_fingerprint, core_fingerprint
from fmbench.plugins.source.import_closure import code_fingerprint
from fmbench.plugins.source.module_imports import FILE_PLUGIN, Module, find_module
from fmbench.plugins.source.signatures import Argument
from fmbench.plugins.source.untracked_inputs import Unseen

__all__ = [
    "FILE_PLUGIN",
    "Argument",
    "ClassSource",
    "Module",
    "Unseen",
    "code_fingerprint",
    "content_fingerprint",
    "core_fingerprint",
    "find_module",
]
