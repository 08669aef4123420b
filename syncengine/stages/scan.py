"""Scan: a location becomes a sorted stream of entries and problems, never silently short."""

from __future__ import annotations

from typing import Callable, Iterator, List, Optional, Sequence, Tuple

from attrs import evolve, field, frozen

from ..core.entry import Entry, Excluded, Extent, Kind, Listed, Problem, ProblemKind, Seen, Side, Snapshot
from ..core.path_map import PathMap
from ..core.paths import encoded, is_within, refusal, shown
from ..errors import AccessDenied, NotFound, ScanError, StorageError, Throttled, Unavailable, Unsupported
from ..storage.protocol import Prune, StorageClientProtocol
from .job import Job

_KINDS = (
    (AccessDenied, ProblemKind.DENIED),
    (NotFound, ProblemKind.MISSING),
    (Throttled, ProblemKind.THROTTLED),
    (Unavailable, ProblemKind.TIMEOUT),
    (Unsupported, ProblemKind.UNSUPPORTED),
)


def problem_of(
    error: StorageError, *, stage: str, side: Optional[Side] = None, extent: Extent = Extent.PATH
) -> Problem:
    """Return the problem that a storage error is."""
    kind = next((kind for cls, kind in _KINDS if isinstance(error, cls)), ProblemKind.INTERNAL)
    return Problem(kind, error.path, str(error), stage, side, error.retryable, extent)


@frozen(eq=False)
class DirectoryScanner:
    """Reads one location.

    *scope* are prefixes: only they and what lies below them is looked at. A prefix that is a file is looked at alone.
    """

    client: StorageClientProtocol
    side: Optional[Side] = None
    scope: Sequence[str] = ()
    prune: Optional[Prune] = None

    def __call__(self) -> Snapshot:
        """Return the snapshot, as a stream; raises ScanError where the root is missing or cannot be listed."""
        return Snapshot(self.client.identity, self._stream())

    def exists(self) -> bool:
        """Say whether the root is there; raises ScanError where the storage does not answer."""
        try:
            return self.client.stat("") is not None
        except StorageError as error:
            raise self._unlistable(error) from error

    def _stream(self) -> Iterator[Listed]:
        for prefix in normal_scope(self.scope) or ("",):
            yield from self._below(prefix)

    def _below(self, prefix: str) -> Iterator[Listed]:
        if prefix:
            entry = self._look(prefix)
            if entry is None:
                return
            if isinstance(entry, Problem) or entry.kind is not Kind.DIRECTORY:
                yield entry
                return
            if self.client.capabilities.real_directories:
                yield entry
        yield from self._listed(prefix)

    def _look(self, prefix: str) -> Optional[Listed]:
        try:
            return self.client.stat(prefix)
        except StorageError as error:
            return evolve(problem_of(error, stage="scan", side=self.side), path=prefix)

    def _listed(self, prefix: str) -> Iterator[Listed]:
        last = prefix
        try:
            for item in self._sorted(prefix):
                last = item.path
                # Nearly every item is an entry with a plain name: a call less for each.
                yield item if type(item) is Entry and refusal(last) is None else self._judged(item)
        except StorageError as error:
            if not prefix and last == prefix:
                raise self._unlistable(error) from error
            yield self._broken_off(error, prefix, last)

    def _sorted(self, prefix: str) -> Iterator[Listed]:
        listed = self.client.list(prefix, prune=self.prune) if self.prune is not None else self.client.list(prefix)
        if self.client.capabilities.listing_sorted:
            return iter(listed)
        return iter(sorted(listed, key=lambda item: encoded(item.position)))

    def _broken_off(self, error: StorageError, prefix: str, last: str) -> Problem:
        problem = problem_of(error, stage="scan", side=self.side)
        if last == prefix:
            return evolve(problem, path=prefix, extent=Extent.SUBTREE)
        return evolve(problem, path=last, extent=Extent.REST, message=f"the listing broke off: {problem.message}")

    def _judged(self, item: Listed) -> Listed:
        """Return *item*, or the problem that its name is: nothing outside the root may be named."""
        if type(item) is Problem:
            return evolve(item, side=self.side)
        reason = refusal(item.path)
        if reason is None:
            return item
        message = f"the name {reason} and is left alone: {shown(item.path)}"
        return Problem(ProblemKind.BAD_NAME, item.path, message, "scan", self.side, extent=Extent.NOTHING)

    def _unlistable(self, error: StorageError) -> ScanError:
        side = self.side.value if self.side is not None else None
        where = f"the {side}" if side else "the root"
        return ScanError(f"{where} cannot be listed, so nothing can be said about it: {error}", side=side)


def normal_scope(scope: Sequence[str]) -> Tuple[str, ...]:
    """Return the prefixes in key order, without those that lie in others."""
    kept: List[str] = []
    for prefix in sorted({part.strip("/") for part in scope}, key=lambda part: encoded(part + "/")):
        if not any(is_within(prefix, outer) for outer in kept):
            kept.append(prefix)
    return () if kept == [""] else tuple(kept)


def mapped(stream: Iterator[Seen], path_map: PathMap, side: Side) -> Iterator[Seen]:
    """Yield *stream* under the destination's names, sorted again; two paths that become one are a collision.

    Holds the whole stream in memory: a mapping can send any path anywhere.
    """
    items = sorted(_renamed(stream, path_map, side), key=lambda item: encoded(item.position))
    previous: Optional[Seen] = None
    for item in items:
        if previous is not None and item.position == previous.position and isinstance(item, Entry):
            message = f"path_map gives {shown(item.path)} to two paths; neither is touched"
            yield Problem(ProblemKind.COLLISION, item.path, message, "scan", side, extent=Extent.NOTHING)
            continue
        yield item
        previous = item


def _renamed(stream: Iterator[Seen], path_map: PathMap, side: Side) -> Iterator[Seen]:
    for item in stream:
        if isinstance(item, Problem) or (isinstance(item, Excluded) and item.kind is Kind.DIRECTORY):
            yield item
            continue
        if item.kind is Kind.DIRECTORY:
            continue  # under a mapping, directories are implied by their files
        path = path_map.forward(item.path)
        reason = refusal(path)
        if reason is not None:
            message = f"path_map sends {shown(item.path)} to a path that {reason}"
            yield Problem(ProblemKind.BAD_NAME, item.path, message, "scan", side, extent=Extent.NOTHING)
        elif isinstance(item, Entry) and path != item.path:
            yield evolve(item, path=path, spelling=item.path)
        else:
            yield evolve(item, path=path)


@frozen
class Scan:
    """The first stage: checks both roots and opens a stream of each."""

    name: str = field(default="scan", init=False)

    def __call__(self, job: Job) -> Job:
        """Return *job* with a snapshot of each side."""
        snapshots = {}
        for side in Side:
            prune = job.filter.prune(side, reader(job.clients[side])) if job.filter is not None else None
            scanner = DirectoryScanner(job.clients[side], side, self._scope(job, side), prune)
            snapshots[side] = (
                scanner() if self._present(job, side, scanner) else Snapshot(job.clients[side].identity, ())
            )
        return job.with_(snapshots=snapshots)

    def _scope(self, job: Job, side: Side) -> Tuple[str, ...]:
        if side is Side.DESTINATION or not job.path_map:
            return job.scope
        return tuple(job.path_map.backward(prefix) or "" for prefix in job.scope)

    def _present(self, job: Job, side: Side, scanner: DirectoryScanner) -> bool:
        """Say whether the root is there; a side that is only written, and was never synced, may be missing."""
        if scanner.exists():
            return True
        mode = job.settings.mode
        only_written = mode.allows_upload if side is Side.DESTINATION else mode.allows_download
        only_written = only_written and not mode.is_bidirectional
        known = job.state is not None and job.state.count_live() > 0
        if only_written and (not known or job.settings.allow_emptied):
            return False
        url = job.endpoints[side].url
        cure = (
            "Check that it is mounted and spelled right."
            if not (known and only_written)
            else "It was there in an earlier sync: check that it is mounted; to fill it again, pass "
            "allow_emptied=True (--allow-emptied)."
        )
        raise ScanError(f"the {side.value} {url} does not exist. {cure}", side=side.value, reason="root_missing")


def reader(client: StorageClientProtocol) -> Callable[[str], Optional[bytes]]:
    """Return a function that reads one small file whole, or gives None where there is none."""

    def read(path: str) -> Optional[bytes]:
        try:
            with client.read(path) as content:
                return content.read()
        except NotFound:
            return None

    return read
