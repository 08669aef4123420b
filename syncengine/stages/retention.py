"""Retention: what a run replaces or deletes is safe in the trash first, and comes back where the run fails."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import Dict, Iterable, Iterator, Mapping, Optional, Tuple

from attrs import frozen

from ..core.entry import Side
from ..core.paths import parents
from ..core.plan import Operation
from ..errors import StorageError, SyncError
from ..state.trash import trash_path
from ..storage.protocol import (
    ABSENT,
    ANYTHING,
    StorageClientProtocol,
    SupportsCopy,
    SupportsDirectories,
    SupportsMove,
    SupportsPreserve,
    exactly,
)
from ..storage.routes import transfer


@frozen(eq=False)
class Retention:
    """Brings versions to the trash of one run and back; below each side's own root where *trash* is None."""

    clients: Mapping[Side, StorageClientProtocol]
    run_id: str
    trash: Optional[StorageClientProtocol] = None

    def keep(self, operation: Operation) -> str:
        """Make the standing version also available in the trash, and return where."""
        client, trash = self.clients[operation.target], self._trash_of(operation.target)
        path, expected, place = operation.path, operation.expect_target, self._free_place(operation)
        assert expected is not None
        if trash is client and isinstance(client, SupportsPreserve):
            client.preserve(path, place, expect=exactly(expected))
        elif trash is client and isinstance(client, SupportsCopy):
            client.copy(path, place, expect=ABSENT, expect_origin=expected)
        else:
            mtime_ns = expected.mtime_ns
            transfer(client, path, trash, place, expect_origin=expected, expect_target=ABSENT, mtime_ns=mtime_ns)
        return place

    def set_aside(self, operation: Operation) -> str:
        """Move the standing version to the trash, and return where."""
        client, trash = self.clients[operation.target], self._trash_of(operation.target)
        expected = operation.expect_target
        assert expected is not None
        if trash is client and isinstance(client, SupportsMove):
            place = self._free_place(operation)
            client.move(operation.path, place, expect=ABSENT, expect_origin=expected)
            return place
        place = self.keep(operation)
        try:
            client.delete(operation.path, expect=exactly(expected))
        except StorageError:
            with suppress(StorageError):
                trash.delete(place, expect=ANYTHING)
            raise
        return place

    def put_back(self, operation: Operation, place: str) -> None:
        """Bring a version that was set aside back to its path, unless something else stands there by now."""
        client, trash = self.clients[operation.target], self._trash_of(operation.target)
        if trash is client and isinstance(client, SupportsMove):
            client.move(place, operation.path, expect=ABSENT)
        else:
            stamp = operation.expect_target
            mtime_ns = stamp.mtime_ns if stamp is not None else None
            transfer(trash, place, client, operation.path, expect_origin=None, expect_target=ABSENT, mtime_ns=mtime_ns)
            trash.delete(place, expect=ANYTHING)
        self._tidy(trash, place)

    def put_all_back(self, aside: Iterable[Tuple[Operation, str]]) -> Dict[str, str]:
        """Bring back what was set aside; return by operation where a version still is that could not be."""
        stranded: Dict[str, str] = {}
        for operation, place in aside:
            try:
                with border(place):
                    self.put_back(operation, place)
            except StorageError:
                stranded[operation.id] = place
        return stranded

    def discard(self, operation: Operation, place: str) -> None:
        """Delete a version that was only set aside until its path had been written; it stays where that fails."""
        trash = self._trash_of(operation.target)
        with suppress(StorageError), border(place):
            trash.delete(place, expect=ANYTHING)
            self._tidy(trash, place)

    def _tidy(self, trash: StorageClientProtocol, place: str) -> None:
        """Remove the folders of the trash that became empty; the innermost that is not ends it."""
        if isinstance(trash, SupportsDirectories):
            with suppress(StorageError), border(place):
                for folder in reversed(tuple(parents(place))):
                    trash.remove_directory(folder)

    def _trash_of(self, side: Side) -> StorageClientProtocol:
        return self.clients[side] if self.trash is None else self.trash

    def _free_place(self, operation: Operation) -> str:
        """Return a free name in the trash; a resumed run may find its own from before."""
        trash = self._trash_of(operation.target)
        path = operation.path if self.trash is None else f"{operation.target.value}/{operation.path}"
        copy = 1
        while True:
            place = trash_path(self.run_id, path, copy=copy)
            if trash.stat(place) is None:
                return place
            copy += 1


@contextmanager
def border(path: str) -> Iterator[None]:
    """Let nothing but our own errors pass: one file must not stop the others, whatever a client raises."""
    try:
        yield
    except SyncError:
        raise
    except Exception as error:
        from ..storage.translation import translated

        raise translated(error, path) from error
