"""Python source as data: what a class says of itself, and fingerprints of code, without importing what is read."""

from fmbench.source.classes import ClassSource
from fmbench.source.fingerprints import code_fingerprint, content_fingerprint, core_fingerprint
from fmbench.source.modules import FILE_PLUGIN, Module, find_module
from fmbench.source.signatures import Argument
from fmbench.source.unseen import Unseen

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
