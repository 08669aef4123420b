"""The storage client for S3, GCS and Azure: conditional requests on literal keys below one root of one bucket.

Nothing is visible before it is complete, and a version is replaced or deleted only by a request that names it. Where
an endpoint ignores such a condition, a look right before takes its place, and the window that this leaves is declared.
Directories exist by the keys below them. Who speaks to the service is in ``objects/``.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, Mapping, Optional, Sequence, Tuple

from attrs import evolve

from ..core.entry import Entry, Kind, Listed, Stamp
from ..core.packs import Listing, Packed
from ..core.paths import refusal, shown
from ..errors import NotFound, PreconditionFailed, StorageError, Unsupported
from .objects.listing import ObjectListing
from .objects.pouring import Take
from .objects.reading import FIRST_BYTES, ObjectSource, RangePool, mtime_of, mtime_text
from .objects.service import Headers, ObjectInfo, ObjectService
from .protocol import (
    ANYTHING,
    Capabilities,
    Expectation,
    Precondition,
    Prune,
    Source,
    StorageClientProtocol,
    exactly,
)

if TYPE_CHECKING:
    from .objects.conditions import ConditionMemory, Conditions
    from .objects.doubtful_names import DoubtfulNames

_THREADS = 16
_SECOND_NS = 1_000_000_000
_NO_HEADERS = Headers()
_KEPT_HEADERS = ("cache_control", "content_disposition", "content_encoding", "content_language")
_OVERWRITTEN = "checked right before; a writer that comes in between is overwritten"
_WINDOWS = {
    "create_if_absent": _OVERWRITTEN,
    "replace_if_unchanged": _OVERWRITTEN,
    "delete_if_unchanged": "checked right before; a version written in between is deleted",
}
_DELETED_TOGETHER = (
    "each is checked before, and all of a request go when the last of them was; a version written in between is deleted"
)
_UNPROVED = "not known before the first write tries it out; until then assumed to be " + _OVERWRITTEN


class ObjectStorageClient:
    """What lies below *root*, a prefix within the bucket of *service*.

    *storage* is the identity of the endpoint, by which it is remembered which conditions it checks; empty where
    nothing is remembered. *why* says why this service serves.
    """

    def __init__(self, service: ObjectService, root: str, *, identity: str, storage: str = "", why: str = "") -> None:
        self.identity = identity
        self.storage = storage
        self.why = why
        self.service = service
        self._root = f"{root.strip('/')}/" if root.strip("/") else ""
        self._ranges = RangePool()
        self._rules: Optional[Callable[[str], Mapping[str, str]]] = None
        self._described: Optional[Tuple[Conditions, Capabilities]] = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.service.facts.name} {self.identity[:12]}>"

    @cached_property
    def _memory(self) -> ConditionMemory:
        """What is known of the endpoint's conditions, which no listing asks for."""
        from .objects.conditions import ConditionMemory

        return ConditionMemory(self.service, self.storage)

    @cached_property
    def _doubtful(self) -> DoubtfulNames:
        """What is known of the names that the endpoint does not list, which only who writes asks for."""
        from .objects.doubtful_names import DoubtfulNames

        return DoubtfulNames(self.service, self._root, self.storage)

    @property
    def capabilities(self) -> Capabilities:
        """What the storage can do; conditions are claimed once they are known to be checked."""
        conditions = self._memory.recalled()
        if self._described is None or self._described[0] is not conditions:
            self._described = (conditions, _capabilities(self.service, conditions))
        return self._described[1]

    def prove(self) -> None:
        """Find out which conditions the endpoint checks, by requests on a reserved name, unless that is known."""
        self.proven()

    def proven(self) -> Conditions:
        """Return which conditions the endpoint checks, found out now where nobody knows yet."""
        return self._memory.settled(self._root)

    # Looking

    def list(self, prefix: str = "", *, prune: Optional[Prune] = None) -> Iterator[Listed]:
        """Yield what lies below *prefix* in key order, a page at a time."""

        def read() -> Iterator[Packed]:
            return iter(ObjectListing(self.service, self._root, prefix, prune))

        # In key order by what it is: capabilities would first look for what an earlier run found out, on the disk.
        return Listing(read, read, read)

    def stat(self, path: str) -> Optional[Entry]:
        """Look at one path, freshly; what only has keys below it is a directory.

        Raises NotFound where the bucket itself is missing: then nothing can be said, nor written.
        """
        found = self._looked_at_file(path) if path else None
        if found is not None:
            return found
        if self._holds_any(path):
            return Entry(path, Kind.DIRECTORY, Stamp())
        # A root without keys below it may be meant as a file; whoever asks for the root then takes its parent.
        return None if path or not self._root else self._looked_at_file("")

    def _looked_at_file(self, path: str) -> Optional[Entry]:
        info = self.service.head(self.key(path) if path else self._root[:-1])
        return None if info is None or info.is_marker else Entry(path, Kind.FILE, info.stamp)

    def _holds_any(self, path: str) -> bool:
        below = f"{self._root}{path}/" if path else self._root
        try:
            found = any(page for page in self.service.pages(below, page_size=1))
        except NotFound as error:
            raise NotFound(f"the bucket {shown(self.service.bucket)} does not exist", path=path) from error
        return found or not below

    def key(self, path: str) -> str:
        """Return the key of *path*; raises Unsupported where no file can have that path."""
        reason = refusal(path)
        if reason is not None:
            raise Unsupported(f"{shown(path)!r} cannot be a file of this storage: it {reason}", path=path)
        return self._root + path

    @contextmanager
    def read(self, path: str, *, expect: Optional[Stamp] = None) -> Iterator[Source]:
        """Open one version for reading; raises PreconditionFailed where it is not the expected one."""
        key = self.key(path)
        info, first = self.service.get(key, FIRST_BYTES, expect=expect)
        if expect is not None:
            self.check(exactly(expect), path, info)
        source = self.source(path, info, first)
        try:
            yield source
        finally:
            source.close()

    def source(self, path: str, info: ObjectInfo, first: bytes) -> ObjectSource:
        """Return one version for reading, of which the bytes *first* are here already; whoever asks closes it."""

        def fetch(start: int, end: int) -> bytes:
            return self.service.read(info.key, start, end, expect=info.stamp)

        def pour(start: int, end: int, take: Take) -> bool:
            return self.service.pour(info.key, start, end, take, expect=info.stamp)

        return ObjectSource(
            path, info, first, fetch=fetch, pour=pour if self.service.pours else None, pool=self._ranges
        )

    def check(self, expect: Precondition, path: str, info: Optional[ObjectInfo]) -> None:
        """Raise PreconditionFailed where *info* is not what *expect* demands."""
        found = None if info is None else Entry(path, Kind.FILE, info.stamp)
        expect.check(found, path, granularity_ns=_SECOND_NS)

    # Writing

    def name_refusal(self, path: str) -> Optional[str]:
        """Return why nothing of this name can be written, or None where it can."""
        return self.service.refusal(self._root + path) or self._doubtful.refusal(self._root + path, ask=False)

    def write(self, path: str, content: Source, *, expect: Precondition, mtime_ns: Optional[int] = None) -> Stamp:
        """Write an object by one commit and return the stamp that the service gave it."""
        from .drivers.content import Incoming, collected

        key = self.listable_key(path)
        headers = self.headers_of(path, content, mtime_ns)
        incoming = Incoming(content)
        try:
            if content.size is None:
                with collected(incoming) as spool:
                    incoming.finish()
                    return self._sent(path, key, _Sized(spool, incoming.count), expect, headers)
            return self._sent(path, key, incoming, expect, headers)
        except StorageError:
            if incoming.failure is not None:
                raise incoming.failure from None
            raise

    def _sent(self, path: str, key: str, content: Any, expect: Precondition, headers: Headers) -> Stamp:
        facts = self.service.facts
        size = content.content.size
        if size <= facts.single_bytes:
            data = _filled(content, size + 1)
            content.finish()
            condition = self._condition(path, key, expect)
            info = self._called(path, expect, lambda: self.service.put(key, data, expect=condition, headers=headers))
        else:
            info = self._uploaded(path, key, content, expect, headers)
        if info.stamp.size not in (size, None):
            raise PreconditionFailed(f"{shown(path)}: it holds {info.stamp.size} bytes after {size} were written")
        return evolve(info.stamp, size=size)

    def _uploaded(self, path: str, key: str, content: Any, expect: Precondition, headers: Headers) -> ObjectInfo:
        holds = self._memory.settled_for_parts(self._root)
        condition = self._condition(path, key, expect, holds=holds)

        def admit() -> None:
            if content.read(1):
                raise PreconditionFailed(f"{shown(path)}: the content is longer than {content.content.size} bytes")
            content.finish()
            if not holds:
                self.check(expect, path, self._looked(key, expect))

        def read(size: int) -> bytes:
            return _filled(content, size)

        size = content.content.size
        return self._called(
            path,
            expect,
            lambda: self.service.upload(key, read, size, expect=condition, headers=headers, admit=admit),
        )

    def writable_key(self, path: str) -> str:
        """Return the key of *path*; raises Unsupported where nothing can be written there."""
        if not path:
            raise Unsupported("the root itself cannot be a file; give its parent as root and its name as scope")
        key = self.key(path)
        reason = self.service.refusal(key)
        if reason is not None:
            raise Unsupported(f"{shown(path)!r} cannot be a file of this storage: it {reason}", path=path)
        return key

    def listable_key(self, path: str) -> str:
        """Return the key of what is to stand at *path*, where every listing will show it."""
        key = self.writable_key(path)
        reason = self._doubtful.refusal(key, ask=True)
        if reason is not None:
            raise Unsupported(f"{shown(path)!r} cannot be a file of this storage: it {reason}", path=path)
        return key

    def set_headers(self, rules: Callable[[str], Mapping[str, str]]) -> None:
        """Write every object from now on with the headers that *rules* names for its path."""
        self._rules = rules

    def headers_for(self, path: str) -> Mapping[str, str]:
        """Return the headers that the rules name for *path*."""
        return self._rules(path) if self._rules is not None else {}

    def headers_of(self, path: str, content: Source, mtime_ns: Optional[int]) -> Headers:
        """Return what travels with the content: what a rule says, what came with it, a guessed type, and the time.

        The storage class stays behind: the name of one service's class is no word to another.
        """
        given: Headers = getattr(content, "headers", None) or _NO_HEADERS
        metadata = dict(given.metadata)
        if mtime_ns is not None:
            metadata["mtime"] = mtime_text(mtime_ns)
        guessed = given.content_type or _type_by_ending(path.rpartition("/")[2].lstrip(".").partition(".")[2])
        ruled = self.headers_for(path)
        if given is _NO_HEADERS and not ruled:
            return Headers(guessed, metadata=metadata)  # nearly every file
        from ..core.object_headers import METADATA, NAMES

        metadata.update({name[len(METADATA) :]: ruled[name] for name in ruled if name.startswith(METADATA)})
        kept = {} if given is _NO_HEADERS else {name: getattr(given, name) for name in _KEPT_HEADERS}
        fields = {name: ruled[name] for name in NAMES if name in ruled}
        return Headers(**{**kept, "content_type": guessed, **fields}, metadata=metadata)

    def _condition(self, path: str, key: str, expect: Precondition, *, holds: Optional[bool] = None) -> Precondition:
        """Return the condition to send; what the service does not check is looked at here, right before.

        RACE: between that look and the request another writer may come; see the windows.
        """
        if expect.demand is Expectation.ANYTHING:
            return expect
        if holds is None:
            conditions = self.proven()
            absent = expect.demand is Expectation.ABSENT
            holds = conditions.create_if_absent if absent else conditions.replace_if_unchanged
        return self._checked(path, key, expect, holds=holds)

    def _checked(self, path: str, key: str, expect: Precondition, *, holds: bool) -> Precondition:
        stamp = expect.stamp
        if holds and (stamp is None or stamp.etag or stamp.version):
            return expect
        found = self._looked(key, expect)
        self.check(expect, path, found)
        return exactly(found.stamp) if holds and found is not None else ANYTHING

    def _looked(self, key: str, expect: Precondition) -> Optional[ObjectInfo]:
        return None if expect.demand is Expectation.ANYTHING else self.service.head(key)

    @staticmethod
    def _called(path: str, expect: Precondition, call: Any) -> ObjectInfo:
        try:
            info: ObjectInfo = call()
        except NotFound as error:
            if expect.demand is Expectation.EXACTLY:
                raise PreconditionFailed(f"{shown(path)}: it is gone", path=path) from error
            raise
        return info

    # Copying, moving, deleting

    def copy(self, old: str, new: str, *, expect: Precondition, expect_origin: Optional[Stamp] = None) -> Stamp:
        """Copy *old* to *new* within the service, headers included, and return the stamp of the copy."""
        return self.copy_from(self, old, new, expect=expect, expect_origin=expect_origin)[1]

    def can_copy_from(self, origin: StorageClientProtocol) -> bool:
        """Say whether *origin* is of the same storage, so that the service can copy from it."""
        if origin is self:
            return True
        return isinstance(origin, ObjectStorageClient) and bool(self.storage) and self.storage == origin.storage

    def copy_from(
        self,
        origin: StorageClientProtocol,
        old: str,
        new: str,
        *,
        expect: Precondition,
        expect_origin: Optional[Stamp] = None,
    ) -> Tuple[Stamp, Stamp]:
        """Copy *old* of *origin*, another root of the same storage, to *new*; no byte passes this machine."""
        assert isinstance(origin, ObjectStorageClient)
        key = self.listable_key(new)
        info = origin._standing(old, expect_origin)  # noqa: SLF001 - another instance of this class
        holds = self.proven().copy
        condition = self._condition(new, key, expect, holds=holds)
        here = self.service.bucket
        there = origin.service.bucket
        copied = self._called(
            new,
            expect,
            lambda: self.service.copy(
                info.key, key, origin_bucket=None if here == there else there, expect_origin=info, expect=condition
            ),
        )
        if copied.stamp.size not in (info.stamp.size, None):
            raise PreconditionFailed(f"{shown(new)}: the copy has {copied.stamp.size} of {info.stamp.size} bytes")
        return info.stamp, evolve(copied.stamp, size=info.stamp.size)

    def _standing(self, path: str, expect: Optional[Stamp]) -> ObjectInfo:
        info = self.service.head(self.key(path))
        if expect is not None:
            self.check(exactly(expect), path, info)
        if info is None:
            raise NotFound(f"{shown(path)}: there is nothing there", path=path)
        return info

    def move(self, old: str, new: str, *, expect: Precondition, expect_origin: Optional[Stamp] = None) -> Stamp:
        """Copy *old* to *new*, then delete exactly the version that was copied; return the stamp at the new name.

        Where another version took the old name in between, it stays, the copy goes, and PreconditionFailed is raised.
        """
        origin = self._standing(old, expect_origin)
        copied = self.copy(old, new, expect=expect, expect_origin=origin.stamp)
        try:
            self.delete(old, expect=exactly(origin.stamp))
        except PreconditionFailed:
            if expect.demand is Expectation.ABSENT:
                self.delete(new, expect=exactly(copied))
            raise
        return copied

    def delete(self, path: str, *, expect: Precondition) -> None:
        """Delete one object; what is gone already is gone, unless *expect* names a version."""
        key = self.writable_key(path)
        if expect.demand is Expectation.ABSENT:
            self.check(expect, path, self.service.head(key))
            return
        condition = expect
        if expect.demand is Expectation.EXACTLY:
            holds = self.proven().delete_if_unchanged
            condition = self._checked(path, key, expect, holds=holds)
        try:
            self.service.delete(key, expect=condition)
        except NotFound as error:
            if expect.demand is Expectation.EXACTLY:
                raise PreconditionFailed(f"{shown(path)}: it is gone", path=path) from error

    def delete_many(self, paths: Sequence[str]) -> Dict[str, Optional[StorageError]]:
        """Delete whatever stands at *paths*; return for each None, or why it still stands there."""
        answers: Dict[str, Optional[StorageError]] = {}
        keys = {self.writable_key(path): path for path in paths}
        step = self.service.facts.bulk_deletion
        for start in range(0, len(keys), step):
            said = self.service.delete_many(list(keys)[start : start + step])
            answers.update({keys[key]: answer for key, answer in said.items()})
        return answers

    def sweep(self, path: str) -> bool:
        """Delete a temporary object if its writer is dead; say whether it was deleted."""
        import time

        from .temporary import is_abandoned, is_temporary

        name = path.rpartition("/")[2]
        found = self.service.head(self.key(path)) if is_temporary(name) else None
        if found is None:
            return False
        mtime_ns = found.stamp.mtime_ns
        if not is_abandoned(name, None if mtime_ns is None else time.time() - mtime_ns / _SECOND_NS):
            return False
        self.service.delete(found.key, expect=ANYTHING)
        return True

    # Content

    def digest(self, path: str, algorithm: str, *, expect: Optional[Stamp] = None) -> str:
        """Return ``algorithm:value`` of exactly the expected version: as the service says it, else by reading."""
        from .digests import digest_of

        found = self._standing(path, expect).stamp
        known = found.digest(algorithm)
        if known is None:
            told = self.service.digests(self.key(path), expect=found)
            known = next((each for each in told if each.startswith(algorithm + ":")), None)
        if known is not None:
            return known
        with self.read(path, expect=found) as content:
            return digest_of(content, algorithm)

    def stored_digests(self, path: str, *, expect: Optional[Stamp] = None) -> Tuple[str, ...]:
        """Return what the service keeps of exactly the expected version, and its ETag of parts of a known size."""
        from ..core.comparator import PARTS

        found = self._standing(path, expect).stamp
        key = self.key(path)
        told = {*found.digests, *self.service.digests(key, expect=found)}
        if found.etag is not None:
            size = self.service.part_size(key, expect=found)
            told.update(() if size is None else (f"{PARTS}{size}:{found.etag}",))
        return tuple(sorted(told))

    def content_time(self, path: str, *, expect: Optional[Stamp] = None) -> Optional[int]:
        """Return the time kept in the metadata ``mtime`` of exactly the expected version, by one look."""
        headers = self._standing(path, expect).headers
        return None if headers is None else mtime_of(headers)

    def close(self) -> None:
        """Let go of connections."""
        self._ranges.close()
        self.service.close()


class _Sized:
    """Content that was collected and checked, with its length."""

    def __init__(self, spool: Any, size: int) -> None:
        self.content = self
        self.size = size
        self.read = spool.read

    def finish(self) -> None:
        """Say nothing: the content was checked when it was collected."""


@lru_cache(maxsize=1024)
def _type_by_ending(ending: str) -> str:
    """Return what a name with this *ending* is taken to hold; trees hold many files and few kinds of them.

    >>> _type_by_ending("tar.gz"), _type_by_ending("")
    ('application/x-tar', '')
    """
    import mimetypes

    return mimetypes.guess_type(f"name.{ending}", strict=False)[0] or ""


def _filled(content: Any, size: int) -> bytes:
    """Return the next *size* bytes, fewer only at the end."""
    pieces = []
    while size > 0:
        data = content.read(min(size, 4 << 20))
        if not data:
            break
        pieces.append(data)
        size -= len(data)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _capabilities(service: ObjectService, conditions: Conditions) -> Capabilities:
    facts = service.facts
    held = {name: getattr(conditions, name) for name in _WINDOWS}
    windows = {
        name: _WINDOWS[name] if conditions.known else _UNPROVED.replace(_OVERWRITTEN, _WINDOWS[name])
        for name in _WINDOWS
        if not held[name]
    }
    if not conditions.delete_if_unchanged:
        windows["deletions by one request"] = _DELETED_TOGETHER
    if not conditions.multipart:
        is_unproved = conditions.multipart is None and facts.multipart_conditions
        windows[f"uploads above {facts.single_bytes >> 20} MiB"] = _UNPROVED if is_unproved else _OVERWRITTEN
    if not conditions.copy:
        windows["copies"] = _OVERWRITTEN
    return Capabilities(
        atomic_put=True,
        server_copy=True,
        server_move=True,
        listing_digests=facts.listing_digests,
        listing_sorted=True,
        keeps_mtime=True,
        mtime_granularity_ns=_SECOND_NS,
        threads=_THREADS,
        stamps=("size", "mtime_ns", "etag", "version"),
        windows=tuple(windows.items()),
        **held,
    )
