"""Scan: a location becomes a sorted stream of entries and problems, never silently short."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Callable, Container, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from attrs import evolve, field, frozen

from ..core.entry import Entry, Excluded, Extent, Kind, Listed, Problem, ProblemKind, Seen, Side, Snapshot
from ..core.modes import SymlinkPolicy, SyncMode
from ..core.packs import Listing, Packed, Run
from ..core.paths import encoded, is_within, parents, refusal, shown
from ..errors import AccessDenied, NoSpace, NotFound, ScanError, StorageError, Throttled, Unavailable, Unsupported
from ..storage.protocol import Prune, StorageClientProtocol

if TYPE_CHECKING:
    from ..core.folding import Folding
    from ..core.path_map import PathMap
    from .job import Job
    from .throttle import Rate

LONG = 20_000
"""From this many paths on one side is listed ahead: what that costs is a tenth of what it saves then."""

_KINDS = (
    (AccessDenied, ProblemKind.DENIED),
    (NotFound, ProblemKind.MISSING),
    (NoSpace, ProblemKind.NO_SPACE),
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

    *scope* are prefixes: only they and what lies below them is looked at. A prefix that is a file is looked at alone;
    one that is a link is a problem unless *keeps_links*, as it is where a walk meets it.
    """

    client: StorageClientProtocol
    side: Optional[Side] = None
    scope: Sequence[str] = ()
    prune: Optional[Prune] = None
    keeps_links: bool = True
    ahead: bool = False
    """The listing is long and the other side's is read meanwhile."""
    requests: Optional[Rate] = None
    """What looks and listings draw on; None where they are not limited."""
    apart: Container[str] = ()
    """Folders of reserved names that the caller put to use, such as a trash: they are no problem."""

    def __call__(self) -> Snapshot:
        """Return the snapshot, as a stream; raises ScanError where the root is missing or cannot be listed."""
        return Snapshot(self.client.identity, self._stream())

    def exists(self) -> bool:
        """Say whether the root is there; raises ScanError where the storage does not answer."""
        self._draw()
        try:
            return self.client.stat("") is not None
        except StorageError as error:
            raise self._unlistable(error) from error

    def _stream(self) -> Iterator[Packed]:
        for prefix in normal_scope(self.scope) or ("",):
            yield from self._below(prefix)

    def _below(self, prefix: str) -> Iterator[Packed]:
        if prefix:
            entry = self._outside(prefix) or self._look(prefix)
            if entry is None:
                return
            if isinstance(entry, Entry) and entry.kind is Kind.SYMLINK and not self.keeps_links:
                entry = self._skipped_link(prefix, prefix)
            if isinstance(entry, Problem) or entry.kind is not Kind.DIRECTORY:
                yield entry
                return
            if self.client.capabilities.real_directories:
                yield entry
        yield from self._listed(prefix)

    def _outside(self, prefix: str) -> Optional[Problem]:
        """Return the problem that *prefix* is where a link above it may lead out of the root: a walk stops at links."""
        if not self.client.capabilities.real_directories:
            return None
        for place in parents(prefix):
            found = self._look(place)
            if isinstance(found, Problem):
                return evolve(found, path=prefix)
            if found is not None and found.kind is Kind.SYMLINK:
                return self._skipped_link(place, prefix)
        return None

    def _skipped_link(self, place: str, prefix: str) -> Problem:
        message = f"{shown(place)} is a symbolic link, so {shown(prefix)} was skipped; see the option symlinks"
        return Problem(ProblemKind.UNSUPPORTED, prefix, message, "scan", self.side)

    def _draw(self) -> None:
        if self.requests is not None:
            self.requests.take(1)

    def _opens_another(self, item: object) -> bool:
        """Say whether *item* costs a call of its own: a directory of a storage that has them."""
        is_directory = isinstance(item, Entry) and item.kind is Kind.DIRECTORY
        return is_directory and self.client.capabilities.real_directories

    def _look(self, prefix: str) -> Optional[Listed]:
        self._draw()
        try:
            return self.client.stat(prefix)
        except StorageError as error:
            return evolve(problem_of(error, stage="scan", side=self.side), path=prefix)

    def _listed(self, prefix: str) -> Iterator[Packed]:
        last = prefix
        try:
            for item in self._sorted(prefix):
                # Nearly every item is an entry with a plain name: a call less for each. An abstract class like that of
                # runs answers whether something is its own five times as slowly, so it is asked about few.
                if type(item) is Entry and refusal(item.path) is None:
                    last = item.path
                    yield item
                    continue
                if isinstance(item, Run):
                    last = item.position(len(item) - 1)
                    yield item  # straight from the system, whose names are plain
                    continue
                last = item.path
                judged = self._judged(item)
                if judged is not None:
                    yield judged
        except StorageError as error:
            if not prefix and last == prefix:
                raise self._unlistable(error) from error
            yield self._broken_off(error, prefix, last)

    def _sorted(self, prefix: str) -> Iterator[Packed]:
        listed = self.client.list(prefix, prune=self.prune) if self.prune is not None else self.client.list(prefix)
        if self.requests is not None:
            listed = self.requests.paced(listed, self._opens_another)
        if isinstance(listed, Listing):
            return listed.packs(ahead=self.ahead)
        if self.client.capabilities.listing_sorted:
            return iter(listed)
        return iter(sorted(listed, key=lambda item: encoded(item.position)))

    def _broken_off(self, error: StorageError, prefix: str, last: str) -> Problem:
        problem = problem_of(error, stage="scan", side=self.side)
        if last == prefix:
            return evolve(problem, path=prefix, extent=Extent.SUBTREE)
        return evolve(problem, path=last, extent=Extent.REST, message=f"the listing broke off: {problem.message}")

    def _judged(self, item: Listed) -> Optional[Listed]:
        """Return *item*, or the problem that its name is: nothing outside the root may be named. None: it is ours."""
        if type(item) is Problem:
            return None if item.path in self.apart else evolve(item, side=self.side)
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


def scope_of(job: Job, side: Side) -> Tuple[str, ...]:
    """Return the prefixes of *side* below which all lies that the scope of *job*, which names keys, is about."""
    if side is Side.DESTINATION or not job.path_map:
        return job.scope
    return normal_scope([origin for prefix in job.scope for origin in job.path_map.origins(prefix)])


def mapped(stream: Iterator[Seen], path_map: PathMap, scope: Sequence[str] = ()) -> Iterator[Seen]:
    """Yield the source's *stream* under the destination's names, sorted again; what two paths share is a collision.

    What could not be seen is unknown wherever it may be mapped to. What is mapped out of *scope* is left out.
    Holds the whole stream in memory: a mapping can send any path anywhere.
    """
    items = [item for item in _renamed(stream, path_map) if _is_about(item, scope)]
    yield from filter(_has_no_place, items)
    placed = sorted((item for item in items if not _has_no_place(item)), key=lambda item: encoded(item.position))
    for _, group in groupby(placed, key=lambda item: item.position):
        yield from _at_one_place(list(group))


def without_strays(stream: Iterator[Seen], path_map: PathMap) -> Iterator[Seen]:
    """Yield the destination's *stream*; where names stand that no source path is mapped to, only a problem."""
    stray: Optional[str] = None
    for item in stream:
        if isinstance(item, Problem):
            yield item
            continue
        if stray is not None and is_within(item.path, stray):
            continue
        found = _stray(item, path_map, Side.DESTINATION)
        if found is None:
            yield item
            continue
        stray = found
        # The stream stands at the item by now: the place of a directory above it is the first that is not passed.
        extent = Extent.PATH if item.position == found else Extent.SUBTREE
        yield _not_one_to_one(found, found, Side.DESTINATION, extent)


def _stray(item: Seen, path_map: PathMap, side: Side) -> Optional[str]:
    if not isinstance(item, Entry):
        return None
    return path_map.stray(item.path, side, directory=item.kind is Kind.DIRECTORY)


def _not_one_to_one(path: str, key: str, side: Side, extent: Extent = Extent.PATH) -> Problem:
    why = f"it gives {shown(key)} to another path than"
    if side is Side.DESTINATION:
        why = "nothing of the source is mapped to"
    message = (
        f"path_map is not one-to-one: {why} the {side.value}'s own {shown(path)}, so nothing at {shown(key)} is "
        "touched; rename one of them, or map it as well"
    )
    return Problem(ProblemKind.COLLISION, key, message, "scan", side, extent=extent)


def _has_no_place(item: Seen) -> bool:
    return isinstance(item, Problem) and item.extent is Extent.NOTHING


def _is_about(item: Seen, scope: Sequence[str]) -> bool:
    if not scope or _has_no_place(item):
        return True
    inside = any(is_within(item.path, prefix) for prefix in scope)
    return inside or (not isinstance(item, Entry) and any(is_within(prefix, item.path) for prefix in scope))


def _at_one_place(items: Sequence[Seen]) -> Sequence[Seen]:
    problems = [item for item in items if isinstance(item, Problem)]
    hidden = [item for item in items if isinstance(item, Excluded)]
    if problems or hidden:
        return problems or hidden[:1]
    entries = [item for item in items if isinstance(item, Entry)]
    if len(entries) == 1:
        return entries
    path, origins = entries[0].path, " and ".join(shown(entry.own_path) for entry in entries)
    message = f"path_map gives {shown(path)} to two paths, {origins}; neither is touched"
    return [Problem(ProblemKind.COLLISION, path, message, "scan", Side.SOURCE)]


def _renamed(stream: Iterator[Seen], path_map: PathMap) -> Iterator[Seen]:
    stray: Optional[str] = None
    for item in stream:
        if not isinstance(item, Entry):
            yield from _renamed_region(item, path_map)
            continue
        if item.kind is Kind.DIRECTORY:
            continue  # under a mapping, directories are implied by their files
        found = _stray(item, path_map, Side.SOURCE)
        if found is None:
            yield _renamed_entry(item, path_map)
        elif found != stray:
            stray = found
            yield _not_one_to_one(found, path_map.forward(found), Side.SOURCE)


def _renamed_region(item: Union[Problem, Excluded], path_map: PathMap) -> Iterator[Seen]:
    """Yield what could not be seen, or is hidden, at every place that something in it may be mapped to."""
    if isinstance(item, Problem) and item.extent in (Extent.NOTHING, Extent.REST):
        yield _nothing_known(item) if item.extent is Extent.REST else item
        return
    if isinstance(item, Excluded) and item.kind is not Kind.DIRECTORY:
        yield evolve(item, path=path_map.forward(item.path))
        return
    images = path_map.images(item.path)
    if images is not None:
        yield from (evolve(item, path=image) for image in images)
    elif isinstance(item, Problem):
        yield _nothing_known(item)
    # What is hidden below a directory is listed where a function maps it, name by name.


def _nothing_known(problem: Problem) -> Problem:
    """Return *problem* for all keys: what was not seen may be mapped to any of them."""
    message = f"{problem.message}; path_map may send what was not seen from {shown(problem.path)} on to any path"
    return evolve(problem, path="", extent=Extent.REST, message=message)


def _renamed_entry(item: Entry, path_map: PathMap) -> Seen:
    path = path_map.forward(item.path)
    reason = refusal(path)
    if reason is not None:
        message = f"path_map sends {shown(item.path)} to a path that {reason}"
        return Problem(ProblemKind.BAD_NAME, item.path, message, "scan", Side.SOURCE, extent=Extent.NOTHING)
    return item if path == item.path else evolve(item, path=path, spelling=item.path)


def folding_of(clients: Mapping[Side, StorageClientProtocol]) -> Folding:
    """Return the coarser of the key functions of both sides."""
    from ..core.folding import Folding

    able = {side: client.capabilities for side, client in clients.items()}
    return Folding(
        composed=any(each.unicode_form is not None for each in able.values()),
        case=any(each.case_insensitive for each in able.values()),
        folds=tuple(side for side, each in able.items() if each.case_insensitive or each.unicode_form is not None),
    )


@frozen
class Scan:
    """The first stage: checks both roots and opens a stream of each."""

    name: str = field(default="scan", init=False)

    def __call__(self, job: Job) -> Job:
        """Return *job* with a snapshot of each side."""
        snapshots = {}
        for side in Side:
            scanner = DirectoryScanner(
                job.clients[side],
                side,
                scope_of(job, side),
                self._prune(job, side),
                keeps_links=job.settings.symlinks is SymlinkPolicy.PRESERVE,
                ahead=side is Side.DESTINATION and _is_long(job),
                requests=job.requests_to(side),
                apart=job.apart.get(side, ()),
            )
            snapshots[side] = (
                scanner() if self._present(job, side, scanner) else Snapshot(job.clients[side].identity, ())
            )
        return job.with_(snapshots=snapshots, folding=folding_of(job.clients))

    def _prune(self, job: Job, side: Side) -> Optional[Prune]:
        if job.filter is None:
            return None
        job.filter.follow(job.path_map)
        return job.filter.prune(side, reader(job.clients[side]))

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
        cure = "Check that it is mounted and spelled right."
        if known and only_written:
            cure = (
                "It was there in an earlier sync: check that it is mounted; to fill it again, pass "
                "allow_emptied=True (--allow-emptied)."
            )
        elif mode.is_bidirectional:
            cure += f" {_first_filling(job, side, known=known)}"
        raise ScanError(f"the {side.value} {url} does not exist. {cure}", side=side.value, reason="root_missing")


def _first_filling(job: Job, side: Side, *, known: bool) -> str:
    """Return how two-way sync may begin with a side that is not there: where folders are not real none can be made."""
    if job.clients[side].capabilities.real_directories and not known:
        return "If it is meant to begin empty, make it first."
    mode = SyncMode.SOURCE_BACKUP if side is Side.DESTINATION else SyncMode.DESTINATION_BACKUP
    again = " allow_emptied=True (--allow-emptied)" if known else ""
    return f"If it is meant to begin empty, fill it once: mode={mode.value} (--mode {mode.value}){again}."


def _is_long(job: Job) -> bool:
    """Say whether so much was there last time that listing it is most of what a run with nothing to do costs."""
    header = None if job.state is None or job.scope else job.state.header
    return header is not None and header.rows >= LONG


def reader(client: StorageClientProtocol) -> Callable[[str], Optional[bytes]]:
    """Return a function that reads one small file whole, or gives None where there is none."""

    def read(path: str) -> Optional[bytes]:
        try:
            with client.read(path) as content:
                return content.read()
        except NotFound:
            return None

    return read
