"""Whether a write that raised has done its work all the same: what stands at the target is held against the origin.

An answer can be lost after the storage has committed, and the next try then finds its own work in its way. What
stands is taken for that work only where its content is proven to be the origin's; whoever else wrote just that content
has lost nothing by it.
"""

from __future__ import annotations

from typing import Callable, Mapping, Optional

from attrs import frozen

from ..core.comparator import common_digest, computable
from ..core.entry import Entry, Kind, Side, Stamp
from ..core.plan_parts import Action, Operation
from ..errors import StorageError
from ..storage.digests import digest
from ..storage.protocol import StorageClientProtocol, SupportsStoredDigests
from ..storage.routes import DIGEST_OF_THE_UNCERTAIN
from .retention import border

_PROVABLE = (Action.CREATE, Action.UPDATE, Action.COPY, Action.DELETE)
"""Actions whose effect a look at the target can prove."""


@frozen
class Written:
    """What an operation left behind on its target."""

    after: Optional[Stamp] = None
    origin: Optional[Stamp] = None
    bytes: int = 0
    digest: Optional[str] = None


@frozen
class LostAnswers:
    """Looks at targets; *origin_client* returns who reads a path of a side, which may be kept in the trash."""

    clients: Mapping[Side, StorageClientProtocol]
    origin_client: Callable[[Side, str], StorageClientProtocol]

    def written(self, operation: Operation) -> Optional[Written]:
        """Return what *operation* wrote, None where nothing proves that it did or nobody can look."""
        if operation.kind is Kind.DIRECTORY or operation.action not in _PROVABLE:
            return None
        try:
            with border(operation.path):
                return self._proven(operation)
        except StorageError:
            return None

    def _proven(self, operation: Operation) -> Optional[Written]:
        found = self.clients[operation.target].stat(operation.path)
        if operation.action is Action.DELETE:
            return Written() if found is None else None
        return self._recognised(operation, found)

    def _recognised(self, operation: Operation, found: Optional[Entry]) -> Optional[Written]:
        if operation.content is not None:
            return self._carried(operation, found)
        expected, before = operation.expect_origin, operation.expect_target
        if operation.origin is None or expected is None or found is None or found.kind is not operation.kind:
            return None
        if before is not None and before.same_version(found.stamp) is not False:
            return None
        if found.kind is Kind.SYMLINK:
            return Written(found.stamp, expected) if found.link == operation.link else None
        if expected.size is None or found.stamp.size != expected.size:
            return None
        side, path = operation.origin
        origin = self.origin_client(side, path)
        ends = ((origin, path, expected), (self.clients[operation.target], operation.path, found.stamp))
        if all(client.capabilities.cheap_reads for client, _, _ in ends):
            read, stands = (digest(client, at, DIGEST_OF_THE_UNCERTAIN, expect=stamp) for client, at, stamp in ends)
            return Written(found.stamp, expected, expected.size, stands) if read == stands else None
        proved = common_digest(expected, found.stamp)
        proved = self._has_its_digest(operation, found, origin) if proved is None else proved
        proved = self._has_its_time(operation, found, origin) if proved is None else proved
        return Written(found.stamp, expected, expected.size) if proved else None

    def _carried(self, operation: Operation, found: Optional[Entry]) -> Optional[Written]:
        """Return what was written where what stands is read and holds what the plan itself carries."""
        client = self.clients[operation.target]
        if found is None or found.kind is not Kind.FILE or found.stamp.size not in (None, operation.size):
            return None
        stands = digest(client, operation.path, DIGEST_OF_THE_UNCERTAIN, expect=found.stamp)
        return Written(found.stamp, None, operation.size, stands) if stands == operation.digest else None

    def _has_its_digest(self, operation: Operation, found: Entry, origin: StorageClientProtocol) -> Optional[bool]:
        """Say whether a digest that the target tells is the origin's, read where that is cheap; None where none is."""
        assert operation.origin is not None
        if not origin.capabilities.cheap_reads:
            return None
        told = self._with_stored_digests(operation, found.stamp)
        algorithm = computable(told)
        if algorithm is None:
            return None
        read = digest(origin, operation.origin[1], algorithm, expect=operation.expect_origin)
        return common_digest(Stamp(size=told.size, digests=(read,)), told)

    def _with_stored_digests(self, operation: Operation, found: Stamp) -> Stamp:
        """Return the stamp with what else the storage keeps of this version, where it alone tells nothing."""
        client = self.clients[operation.target]
        if computable(found) is not None or not isinstance(client, SupportsStoredDigests):
            return found
        for stored in client.stored_digests(operation.path, expect=found):
            found = found.with_digest(stored)
        return found

    def _has_its_time(self, operation: Operation, found: Entry, origin: StorageClientProtocol) -> bool:
        """Say whether a file has the modification time of its origin, where that is handed on."""
        assert operation.expect_origin is not None
        reads, writes = origin.capabilities, self.clients[operation.target].capabilities
        sent, found_ns = operation.expect_origin.mtime_ns, found.stamp.mtime_ns
        if not (reads.mtime_is_content_time and writes.set_mtime) or sent is None or found_ns is None:
            return False
        return abs(sent - found_ns) < max(reads.mtime_granularity_ns, writes.mtime_granularity_ns, 1)
