"""Cells read back from the store by key, without a suite: what `cell.json` says, as cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.component_spec import ComponentSpec, Settings
from fmbench.components.contracts import CONTRACTS
from fmbench.errors import DamagedFile, UserError
from fmbench.plugins.registry import Registry
from fmbench.results.records import COMPONENT_AXES
from fmbench.store.store import Store

AnyCell = TypeVar("AnyCell", TrainingCell, EvaluationCell)
SHORTEST = 4
"""Digits of a key that may stand for it."""


def find_key(store: Store, prefix: str) -> tuple[str, str]:
    """Return section and key of the one training or evaluation whose key begins with `prefix`. Raises UserError."""
    if len(prefix) < SHORTEST:
        raise UserError(f"a cell is called by its key, or at least its first {SHORTEST} digits; found {prefix!r}")
    found = [(s, key) for s in ("evaluation", "training") for key in store.keys(s) if key.startswith(prefix)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UserError(
            f"the store {store} has no training or evaluation whose key begins with {prefix!r}. Keys stand in a "
            "report's records.csv and in what `fmbench plan SUITE --json` prints; --home names another store."
        )
    raise UserError(f"{len(found)} cells have keys that begin with {prefix!r}; give more digits")


class StoredCells:
    """Reads cells of a store; `changed` collects the components whose code is not what it was then."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self.store, self.registry = store, registry
        self.changed: dict[str, None] = {}

    def find(self, prefix: str) -> TrainingCell | EvaluationCell:
        """Return the one finished cell whose key begins with `prefix`. Raises UserError."""
        section, key = find_key(self.store, prefix)
        return self.training(key) if section == "training" else self.evaluation(key)

    def training(self, key: str) -> TrainingCell:
        """Return a finished training cell. Raises UserError."""
        parts = self._parts("training", key)
        given = parts.get("model")  # a model that exists already stands in the network's place
        named: dict[str, Any] = {axis: self._spec(parts.get(axis, given)) for axis in COMPONENT_AXES}
        teacher = self.training(str(parts["teacher"])) if "teacher" in parts else None
        settings = Settings(parts["settings"])
        cell = TrainingCell(**named, seed=int(parts["seed"]), settings=settings, code=parts["code"], teacher=teacher)
        return self._checked(cell, key)

    def evaluation(self, key: str) -> EvaluationCell:
        """Return a finished evaluation cell. Raises UserError."""
        parts = self._parts("evaluation", key)
        if "training" not in parts:
            raise UserError(f"the samples of cell {key} were made elsewhere: fmbench has no network to sample from")
        guidance = parts["guidance"]
        cell = EvaluationCell(
            self.training(parts["training"]),
            self._spec(parts["solver"]),
            self._spec(parts["grid"]) if parts["grid"] else None,
            parts["nfe"],
            parts["steps"],
            self._spec(guidance) if isinstance(guidance, Mapping) else float(guidance),
            parts["weights"],
            Settings(parts["settings"]),
            parts["code"],
            self.training(parts["weaker"]) if "weaker" in parts else None,
            parts.get("at_step"),
        )
        return self._checked(cell, key)

    def _parts(self, section: str, key: str) -> dict[str, Any]:
        """Return what a finished cell is made of."""
        folder = self.store.folder(section, key)
        self.store.pull(section, [key])
        try:
            parts, result, failure = folder.cell(), folder.result(), folder.failure()
        except DamagedFile as error:
            raise UserError(f"{error}; run the suite that it belongs to again") from error
        if result is None or parts is None:
            why = f"it failed: {failure['error']}" if failure else "it is not finished"
            raise UserError(f"{section} {key} cannot be used: {why}. Run the suite that it belongs to again.")
        return parts

    def _spec(self, written: Any) -> ComponentSpec:
        """Return a component as the cell named it. Raises UserError where it is not registered here."""
        if not isinstance(written, Mapping) or written.get("kind") not in CONTRACTS:
            raise UserError("the cell names components that fmbench does not know: another version wrote it")
        kind, name, parameters = written["kind"], written["name"], written["parameters"]
        now = self.registry.spec(kind, name, parameters)
        if now.fingerprint != written["fingerprint"]:
            self.changed[f"{kind} {written.get('label') or name}"] = None
        said = (written["fingerprint"], written.get("label", ""), written.get("owner", ""))
        return ComponentSpec(kind, name, parameters, *said, now.unkeyed)

    def _checked(self, cell: AnyCell, key: str) -> AnyCell:
        if cell.key != key:
            raise UserError(f"cell {key} was written by a version of fmbench that keyed otherwise; run its suite again")
        return cell
