"""Whether a write that raised has done its work all the same: what stands at the target is held against the origin.

An answer can be lost after the storage has committed, and the next try then finds its own work in its way. What
stands is taken for that work only where its content is proven to be the origin's; whoever else wrote just that content
has lost nothing by it. Only the content counts: a modification time or a header that did not arrive with it stays what
it is there, as it does for what somebody else put there, and no later run copies the file for it.
"""

from __future__ import annotations

from typing import Callable, Mapping, Optional, Tuple

from attrs import evolve, frozen

from ..core.comparator import common_digest, computable
from ..core.entry import Entry, Kind, Side, Stamp
from ..core.plan_parts import Action, Operation
from ..errors import StorageError
from ..storage.digests import digest, stamped_with_digests
from ..storage.protocol import StorageClientProtocol, SupportsStoredDigests
from ..storage.routes import DIGEST_OF_THE_UNCERTAIN
from .retention import border

_PROVABLE = (Action.CREATE, Action.UPDATE, Action.COPY, Action.DELETE)
"""Actions whose effect a look at the target can prove."""

READ_BYTES = 16 << 20
"""Up to this size what stands is read where nothing tells its digest: twice what any storage takes by one request.

What is larger is sent in parts, of which the request that completes them tells whether it has been done already.
"""

READ_UNNAMED_BYTES = 4 << 20
"""As much comes by one answer, and so of one version, where no ETag, version or file id names what is read."""

_MD5 = "md5"
"""What the ETag of an object is that came by one request: by it the next run knows the content."""


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
        if proved is None and not self._has_its_time(operation, found, origin):
            return self._read(operation, found, origin)
        return None if proved is False else Written(found.stamp, expected, expected.size)

    def _read(self, operation: Operation, found: Entry, origin: StorageClientProtocol) -> Optional[Written]:
        """Return what was written where what stands is short enough to be read, and holds what the origin holds.

        The stamp is of the very answer that brought the content, not of the look before it: a service that names no
        version may tell another time with every answer.
        """
        expected = operation.expect_origin
        if operation.origin is None or expected is None or expected.size is None or not may_be_read(found.stamp):
            return None
        _, holds = _content_at(origin, operation.origin[1], expected)
        stamp, stands = _content_at(self.clients[operation.target], operation.path, evolve(found.stamp, mtime_ns=None))
        return Written(stamp, expected, expected.size, stands[-1]) if stands == holds else None

    def _carried(self, operation: Operation, found: Optional[Entry]) -> Optional[Written]:
        """Return what was written where what stands is read and holds what the plan itself carries."""
        client = self.clients[operation.target]
        if found is None or found.kind is not Kind.FILE or found.stamp.size not in (None, operation.size):
            return None
        stands = digest(client, operation.path, DIGEST_OF_THE_UNCERTAIN, expect=found.stamp)
        return Written(found.stamp, None, operation.size, stands) if stands == operation.digest else None

    def _has_its_digest(self, operation: Operation, found: Entry, origin: StorageClientProtocol) -> Optional[bool]:
        """Say whether the digest that one end tells is that of the other, read where that is cheap, None if unknown."""
        expected, target = operation.expect_origin, self.clients[operation.target]
        assert operation.origin is not None
        assert expected is not None
        if origin.capabilities.cheap_reads:
            told = _with_stored_digests(target, operation.path, found.stamp)
            return _has_digest_of(told, origin, operation.origin[1], expected)
        if target.capabilities.cheap_reads:
            told = _with_stored_digests(origin, operation.origin[1], expected)
            return _has_digest_of(told, target, operation.path, found.stamp)
        return None

    def _has_its_time(self, operation: Operation, found: Entry, origin: StorageClientProtocol) -> bool:
        """Say whether a file has the modification time of its origin, where that is handed on."""
        assert operation.expect_origin is not None
        reads, writes = origin.capabilities, self.clients[operation.target].capabilities
        sent, found_ns = operation.expect_origin.mtime_ns, found.stamp.mtime_ns
        if not (reads.mtime_is_content_time and writes.set_mtime) or sent is None or found_ns is None:
            return False
        return abs(sent - found_ns) < max(reads.mtime_granularity_ns, writes.mtime_granularity_ns, 1)


def _with_stored_digests(client: StorageClientProtocol, path: str, stamp: Stamp) -> Stamp:
    """Return the stamp with what else the storage keeps of this version, where it alone tells nothing."""
    if computable(stamp) is not None or not isinstance(client, SupportsStoredDigests):
        return stamp
    for stored in client.stored_digests(path, expect=stamp):
        stamp = stamp.with_digest(stored)
    return stamp


def _has_digest_of(told: Stamp, client: StorageClientProtocol, path: str, expect: Stamp) -> Optional[bool]:
    """Say whether *told* has the digest of one version of a file, which is read; None where it has none to compare."""
    algorithm = computable(told)
    if algorithm is None:
        return None
    read = digest(client, path, algorithm, expect=expect)
    return common_digest(Stamp(size=told.size, digests=(read,)), told)


def may_be_read(stamp: Stamp) -> bool:
    """Say whether a file is short enough to be read only to learn who wrote it, and its reading of one version."""
    is_named = stamp.etag is not None or stamp.version is not None or stamp.file_id is not None
    return stamp.size is not None and stamp.size <= (READ_BYTES if is_named else READ_UNNAMED_BYTES)


def _content_at(client: StorageClientProtocol, path: str, expect: Stamp) -> Tuple[Stamp, Tuple[str, ...]]:
    with client.read(path, expect=expect) as content:
        return stamped_with_digests(content, (DIGEST_OF_THE_UNCERTAIN, _MD5))
