"""What becomes of a unit once its files are on the disk."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from fmbench.errors import LeaseLost
from fmbench.executors.messages import Event, Say
from fmbench.store.cell_folder import CellFolder


@dataclass(frozen=True)
class UnitEnding:
    """What becomes of a unit that has ended, once its files are on the disk: a `fmbench.store.group_commit.Ending`."""

    folder: CellFolder
    said: Event
    leases: ExitStack
    say: Say

    def check(self) -> None:
        """Raise LeaseLost where another process took the unit over."""
        self.folder.leases.check(self.folder.place)

    def release(self) -> None:
        """Give back its lease."""
        self.leases.close()

    def kept(self) -> None:
        """Say that it has ended."""
        self.say(self.said)

    def taken_over(self, error: LeaseLost) -> None:
        """Say that another process has it now."""
        self.say(Event("held", self.said.section, self.said.key, text=str(error)))
