"""Joins stores: what other machines computed is copied into one store, cell by cell, by key.

The same key is the same cell, so a cell that both stores have is not copied; a finished one takes the place of one
that failed or is half-finished, and never of another finished one. Sources are only read. What a cell was made from
must be what the store holds: an evaluation of weights that differ from those kept here is not taken, so that all
results of a training are of the same weights. What samplers cost lies apart by hardware (see
`fmbench.store.sampler_timings`).
"""

from fmbench.store.merge.copy_cells import merge, open_sources
from fmbench.store.merge.outcome import OUTCOMES, SKIPPED, Merged, MergeResult

__all__ = ["OUTCOMES", "SKIPPED", "MergeResult", "Merged", "merge", "open_sources"]
