"""From where the trainings of a plan will begin, and what is made again of those that are there, in words."""

from __future__ import annotations

from fmbench.cells.cells import TrainingCell
from fmbench.io.printable_text import count
from fmbench.results.collect import ResultsIndex
from fmbench.store.snapshots import shorter_folder


class Continuations:
    """Which untrained cells of a plan will go on from a shorter training, and from which step.

    Shorter ones are those whose state the store holds, with all weights on the way that the longer one lacks, and those
    of the plan, which go first and keep the same. It is what is expected: a state that turns out to be damaged serves
    nobody.
    """

    def __init__(self, results_index: ResultsIndex) -> None:
        self._index = results_index
        self._stored = set(results_index.store.keys("course"))
        self._planned: dict[str, list[int]] = {}
        trainings = [cell for cell in results_index.plan.trainings if cell.kept.state is True]
        for cell in trainings:
            state = results_index.trainings[cell.key]
            if cell.course_key and state.result is None and state.is_untrained:
                self._planned.setdefault(cell.course_key, []).append(int(cell.settings["steps"]))

    def step(self, cell: TrainingCell) -> int:
        """Return the step from which a cell will go on; 0 where it begins anew, or from its own checkpoint."""
        state = self._index.trainings[cell.key]
        if not (self._stored or self._planned) or not state.is_untrained or not cell.course_key:
            return 0
        if cell.kept.best or cell.kept.post_hoc_ema or state.folder.checkpoints.steps():
            return 0
        until = max((each.step for each in state.lacking), default=0) if state.result else int(cell.settings["steps"])
        planned, known = self._planned.get(cell.course_key, ()), []
        if cell.course_key in self._stored:
            known = self._index.store.folder("course", cell.course_key).checkpoints.steps()
        shorter = sorted({step for step in (*planned, *known) if step < until}, reverse=True)
        return next((step for step in shorter if step in planned or self._has_all(cell, step)), 0)

    def _has_all(self, cell: TrainingCell, step: int) -> bool:
        """Whether the store has of the shorter training what a cell lacks of the steps until then."""
        store, lacking = self._index.store, self._index.trainings[cell.key].lacking
        passed = [each for each in lacking if each.step <= step]
        return all(shorter_folder(store, cell, step, each).has("result.json") for each in passed)


def how_it_begins(results_index: ResultsIndex, cell: TrainingCell) -> str:
    """Say from where a training that is to be computed begins, and why it is trained again; "" where it begins anew."""
    state = results_index.trainings[cell.key]
    if not state.is_untrained:
        return ""
    said = []
    if state.result is not None:
        lacking = ", ".join(dict.fromkeys(str(each) for each in state.lacking[:3]))
        more = f" and {count(len(state.lacking) - 3, 'more snapshot')}" if len(state.lacking) > 3 else ""
        last = max(each.step for each in state.lacking)
        said.append(f"the store lacks {lacking}{more}, so it is trained again up to step {last}; its last weights stay")
    step, _ = state.folder.checkpoints.newest()
    if step:
        said.append(f"a checkpoint of step {step} is there")
    elif step := Continuations(results_index).step(cell):
        said.append(f"it continues a shorter training from step {step}")
    return "; ".join(said)


def trainings_in_short(results_index: ResultsIndex) -> list[str]:
    """Say how many trainings continue shorter ones, and how many are trained again for what is to be kept of them."""
    cells = [c for c in results_index.plan.trainings if results_index.trainings[c.key].is_untrained]
    continuations = Continuations(results_index)
    steps = [step for cell in cells if (step := continuations.step(cell))]
    again = [cell for cell in cells if results_index.trainings[cell.key].result is not None]
    said = []
    if steps:
        said.append(
            f"{count(len(steps), 'training')} will continue shorter ones, from step {_either(sorted(set(steps)))}."
        )
    if again:
        last = sorted({max(s.step for s in results_index.trainings[cell.key].lacking) for cell in again})
        said.append(
            f"{count(len(again), 'finished training')} will be trained again up to step {_either(last)}, for weights "
            "on the way that the store lacks; the last weights stay."
        )
    return said


def _either(steps: list[int]) -> str:
    return " or ".join(map(str, steps[:4])) + (" and others" if len(steps) > 4 else "")
