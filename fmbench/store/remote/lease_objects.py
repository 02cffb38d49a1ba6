"""Leases in a store by URL: empty objects beside those of their cells, which listings show as soon as they are there.

That is asked of the file system: S3, and all that is compatible, list what was written before.
"""

from __future__ import annotations

from fmbench.errors import StoreError
from fmbench.store.lease_files import DIED, HOLDERS, LEASE
from fmbench.store.remote.file_system import Object
from fmbench.store.remote.objects import Objects


class LeaseObjects:
    """See `fmbench.store.lease_files.LeaseFiles`."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._listed: tuple[str, dict[str, Object]] = ("", {})

    @property
    def where(self) -> str:
        """The store's URL."""
        return self._objects.shown

    def create(self, place: str, name: str) -> bool:
        """Make an empty object, whose name no other ever had."""
        self._objects.put(f"{place}/{name}", b"")
        return True

    def names(self, place: str) -> list[str]:
        """Return the names that begin as leases or deaths do."""
        listed = self._objects.list(place)
        self._listed = (place, listed)
        return [name for name in listed if name.startswith((LEASE, DIED))]

    def listed(self, place: str) -> dict[str, Object]:
        """Return all objects in a place whose lease was just taken: as they were when it was seen to be held."""
        (last, found), self._listed = self._listed, ("", {})
        return found if last == place else self._objects.list(place)

    def move(self, place: str, name: str, new: str) -> bool:
        """Give an object another name: by two that do it at once there is one of the new name, too."""
        if name not in self._objects.list(place):
            return False
        self._objects.put(f"{place}/{new}", b"")
        self._objects.remove([f"{place}/{name}"])
        return True

    def remove(self, place: str, name: str) -> None:
        """Remove an object, if it is there."""
        self._objects.remove([f"{place}/{name}"])

    def beat(self, holder: str, payload: bytes) -> None:
        """Put a heartbeat in place of the holder's last one. Raises OSError where the store does not answer."""
        try:
            self._objects.put(f"{HOLDERS}/{holder}", payload)
        except StoreError as error:  # the heart goes on
            raise OSError(str(error)) from None

    def heartbeat(self, holder: str) -> bytes | None:
        """Return a holder's last heartbeat; None where there is none."""
        return self._objects.read([f"{HOLDERS}/{holder}"]).get(f"{HOLDERS}/{holder}")

    def holders(self) -> list[str]:
        """Return the names of those of whom there is a heartbeat."""
        return sorted(self._objects.list(HOLDERS))

    def forget(self, holder: str) -> None:
        """Remove a holder's heartbeat, if it is there. Raises OSError where the store does not answer."""
        try:
            self._objects.remove([f"{HOLDERS}/{holder}"])
        except StoreError as error:
            raise OSError(str(error)) from None
