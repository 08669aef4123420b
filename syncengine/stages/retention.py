"""Retention: what a run replaces or deletes is safe in the trash first, and comes back where the run fails."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Dict, Iterable, Mapping, Optional, Set, Tuple

from attrs import evolve, field, frozen

from ..core.comparator import is_racy
from ..core.entry import Kind, Side
from ..core.paths import parents
from ..core.plan_parts import Operation
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
    _kept: Dict[str, str] = field(factory=dict, init=False)
    """Where the old versions of operations that have not ended yet are, or may be, kept."""
    _folders: Set[str] = field(factory=set, init=False)
    """Directories of the trash that were seen, as long as none of them is removed."""

    def keep(self, operation: Operation) -> None:
        """Make the standing version also available in the trash."""
        if operation.id in self._kept:
            return  # an earlier attempt did, and its answer about the path was lost
        client, trash = self.clients[operation.target], self.trash_of(operation.target)
        path, expected, place = operation.path, operation.expect_target, self._free_place(operation)
        assert expected is not None
        if trash is client and isinstance(client, SupportsPreserve):
            client.preserve(path, place, expect=exactly(expected))
        elif trash is client and isinstance(client, SupportsCopy):
            client.copy(path, place, expect=ABSENT, expect_origin=expected)
        else:
            mtime_ns = expected.mtime_ns
            transfer(client, path, trash, place, expect_origin=expected, expect_target=ABSENT, mtime_ns=mtime_ns)
        self._kept[operation.id] = place

    def set_aside(self, operation: Operation) -> None:
        """Move the standing version to the trash."""
        client, trash = self.clients[operation.target], self.trash_of(operation.target)
        expected = operation.expect_target
        assert expected is not None
        if trash is client and isinstance(client, SupportsMove):
            if operation.id not in self._kept:
                self._kept[operation.id] = self._free_place(operation)
            client.move(operation.path, self._kept[operation.id], expect=ABSENT, expect_origin=expected)
            return
        self.keep(operation)
        client.delete(operation.path, expect=exactly(expected))

    def settle(self, operation: Operation, *, done: bool) -> Optional[str]:
        """Return where the old version is kept, now that the operation has ended; None where it is not.

        Without *done* nobody knows what an operation that raised has done to its path: only where the old version is
        proven to stand there still does its copy go, since nobody would report it.
        """
        place = self._kept.pop(operation.id, None) if self._kept else None
        if place is None or done:
            return place
        if self._stands(operation):
            self.discard(operation, place)
            return None
        return None if self._is_free(self.trash_of(operation.target), place) else place

    def _stands(self, operation: Operation) -> bool:
        """Say whether the expected version is proven to stand at its path; a size, or a time too young, is no proof."""
        client, expected = self.clients[operation.target], operation.expect_target
        try:
            with border(operation.path):
                found = client.stat(operation.path)
        except StorageError:
            return False
        if found is None or expected is None or not expected.same_version(found.stamp):
            return False
        young = is_racy(expected, time.time_ns(), client.capabilities.mtime_granularity_ns)
        proof = evolve(expected, size=None, mtime_ns=None if young else expected.mtime_ns)
        return bool(proof.same_version(found.stamp))

    @staticmethod
    def _is_free(trash: StorageClientProtocol, place: str) -> bool:
        try:
            with border(place):
                return trash.stat(place) is None
        except StorageError:
            return False

    def put_back(self, operation: Operation, place: str) -> None:
        """Bring a version that was set aside back to its path, unless something else stands there by now."""
        client, trash = self.clients[operation.target], self.trash_of(operation.target)
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
        trash = self.trash_of(operation.target)
        with suppress(StorageError), border(place):
            trash.delete(place, expect=ANYTHING)
            self._tidy(trash, place)

    def _tidy(self, trash: StorageClientProtocol, place: str) -> None:
        """Remove the folders of the trash that became empty; the innermost that is not ends it."""
        self._folders.clear()
        if isinstance(trash, SupportsDirectories):
            with suppress(StorageError), border(place):
                for folder in reversed(tuple(parents(place))):
                    trash.remove_directory(folder)

    def trash_of(self, side: Side) -> StorageClientProtocol:
        """Return the client of the place where versions of *side* are kept."""
        return self.clients[side] if self.trash is None else self.trash

    def _free_place(self, operation: Operation) -> str:
        """Return a free name in the trash; a resumed run may find its own from before."""
        trash = self.trash_of(operation.target)
        path = operation.path if self.trash is None else f"{operation.target.value}/{operation.path}"
        copy = 1
        while True:
            place = trash_path(self.run_id, path, copy=copy)
            if trash.stat(place) is None and self._can_hold(trash, place):
                return place
            copy += 1

    def _can_hold(self, trash: StorageClientProtocol, place: str) -> bool:
        """Say whether no kept file stands where *place* needs a directory; an object store needs none."""
        if not trash.capabilities.real_directories:
            return True
        for folder in parents(place):
            if folder not in self._folders:
                found = trash.stat(folder)
                if found is None:
                    return True
                if found.kind is not Kind.DIRECTORY:
                    return False
                self._folders.add(folder)
        return True


class Border:
    """Let nothing but our own errors pass: one file must not stop the others, whatever a client raises."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: Optional[BaseException], trace: object) -> None:
        if error is None or isinstance(error, SyncError) or not isinstance(error, Exception):
            return
        from ..storage.causes import shown_cause
        from ..storage.translation import translated

        raise translated(error, self._path) from shown_cause(error, ())


border = Border
