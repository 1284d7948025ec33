"""Mounts by accessor, for aliases.

What lives here: one look-up. What never does: mounts changed.
"""

from zvault.engine.errors import InvalidRequestError
from zvault.engine.mounts.mounted import prefix_of
from zvault.engine.mounts.service import MountService
from zvault.records.mounts import AUTH, MOUNTS, MountEntry


class Mounts:
    """What aliases have to know of mounts."""

    def __init__(self, service: MountService) -> None:
        self._service = service

    def find(self, accessor: str) -> MountEntry | None:
        """The mount; None when it is gone."""
        entries = (*self._service.entries(AUTH), *self._service.entries(MOUNTS))
        return next((entry for entry in entries if entry.accessor == accessor), None)

    def by_accessor(self, accessor: str) -> MountEntry:
        """The mount. Raises InvalidRequestError."""
        found = self.find(accessor)
        if found is None:
            raise InvalidRequestError(f'invalid mount accessor "{accessor}"')
        return found

    def path_of(self, entry: MountEntry) -> str:
        """``auth/userpass/``."""
        return prefix_of(entry)
