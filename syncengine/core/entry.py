"""What a side holds: stamps, entries, problems, and the sorted snapshot of a location; and what both sides agreed on.

A million entries are ordinary, so these classes are slotted and small.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum
from typing import Iterable, Iterator, List, Optional, Tuple, TypeVar, Union

from attrs import evolve, field, frozen


class Kind(str, Enum):
    """What stands at a path."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"


_DIRECTORY = Kind.DIRECTORY  # looked up once: an enum answers slowly, and positions are asked for all the time


class Side(str, Enum):
    """One of the two locations of a sync."""

    SOURCE = "source"
    DESTINATION = "destination"

    @property
    def other(self) -> Side:
        """The opposite side."""
        return Side.DESTINATION if self is Side.SOURCE else Side.SOURCE


@frozen
class Stamp:
    """Which version of a file this is; a component that is None is not compared.

    ``size`` is in bytes, ``mtime_ns`` in nanoseconds since the epoch; ``digests`` are ``algorithm:value`` texts,
    sorted; ``file_id`` survives a rename within one storage.
    """

    size: Optional[int] = None
    mtime_ns: Optional[int] = None
    etag: Optional[str] = None
    version: Optional[str] = None
    digests: Tuple[str, ...] = ()
    file_id: Optional[str] = None

    def digest(self, algorithm: str) -> Optional[str]:
        """Return the ``algorithm:value`` text of one algorithm, or None."""
        prefix = algorithm + ":"
        return next((digest for digest in self.digests if digest.startswith(prefix)), None)

    def with_digest(self, digest: str) -> Stamp:
        """Return this stamp with one more ``algorithm:value`` digest."""
        return evolve(self, digests=tuple(sorted({*self.digests, digest})))

    def same_version(self, other: Stamp, *, granularity_ns: int = 1) -> Optional[bool]:
        """Say whether two stamps of one side name one version: True, False, or None where nothing can be compared.

        Only components that both stamps have take part; modification times agree within *granularity_ns*, and count
        only where no ETag and no version names the content: services round them differently from answer to answer,
        and give a new one with new metadata.

        >>> Stamp(size=3, etag="x").same_version(Stamp(size=3, mtime_ns=7))
        True
        >>> Stamp(size=3).same_version(Stamp(etag="x")) is None
        True
        """
        compared = False
        for mine, theirs in (
            (self.size, other.size),
            (self.etag, other.etag),
            (self.version, other.version),
            (self.file_id, other.file_id),
        ):
            if mine is None or theirs is None:
                continue
            if mine != theirs:
                return False
            compared = True
        for digest in self.digests:
            theirs = other.digest(digest.partition(":")[0])
            if theirs is None:
                continue
            if digest != theirs:
                return False
            compared = True
        if self._is_named_as(other):
            return True
        if self.mtime_ns is not None and other.mtime_ns is not None:
            if abs(self.mtime_ns - other.mtime_ns) >= max(granularity_ns, 1):
                return False
            compared = True
        return True if compared else None

    def _is_named_as(self, other: Stamp) -> bool:
        by_etag = self.etag is not None and self.etag == other.etag
        return by_etag or (self.version is not None and self.version == other.version)


@frozen
class Entry:
    """One path of one side: ``mode`` are permission bits, ``link`` is the target of a symbolic link.

    ``path`` is the key under which both sides are compared; ``spelling`` is the side's own name for it where that
    differs (a path map, a side that folds names).
    """

    path: str
    kind: Kind
    stamp: Stamp
    mode: Optional[int] = None
    link: Optional[str] = None
    spelling: Optional[str] = None

    @property
    def position(self) -> str:
        """The place of this entry in key order."""
        return self.path + "/" if self.kind is _DIRECTORY else self.path

    @property
    def own_path(self) -> str:
        """The path as the side itself spells it."""
        return self.path if self.spelling is None else self.spelling


class ProblemKind(str, Enum):
    """Why something could not be seen or done; a closed set."""

    DENIED = "denied"
    MISSING = "missing"
    THROTTLED = "throttled"
    TIMEOUT = "timeout"
    CORRUPT = "corrupt"
    NO_SPACE = "no_space"
    UNSUPPORTED = "unsupported"
    BAD_NAME = "bad_name"
    COLLISION = "collision"
    CHANGED = "changed"
    NOT_EMPTY = "not_empty"
    LEFTOVER = "leftover"
    INTERNAL = "internal"


class Extent(str, Enum):
    """How much of a listing a problem hides."""

    NOTHING = "nothing"
    """Only this odd name, which no key can equal."""
    PATH = "path"
    """Whatever stands at this path and below; the problem stands where a file of that name would."""
    SUBTREE = "subtree"
    """A directory that could not be listed; the problem stands where the directory would."""
    REST = "rest"
    """Everything after this path: the listing broke off."""


@frozen
class Problem:
    """Something that could not be seen or done; never an exception across a stage.

    A problem of kind LEFTOVER is not a fault: it names a temporary file that a killed run left behind, or the trash of
    another sync whose root lies below this one.
    """

    kind: ProblemKind
    path: str
    message: str
    stage: str = "scan"
    side: Optional[Side] = None
    retryable: bool = False
    extent: Extent = Extent.PATH

    @property
    def hides(self) -> bool:
        """Whether something may exist there that could not be seen; a skipped link or device was seen."""
        return self.kind not in (ProblemKind.LEFTOVER, ProblemKind.UNSUPPORTED)

    @property
    def position(self) -> str:
        """The place of this problem in key order."""
        return self.path + "/" if self.extent is Extent.SUBTREE else self.path


@frozen
class Excluded:
    """A path that a filter hides on both sides; ``rule`` is the rule that decided, for explaining.

    A directory that was pruned hides everything below it.
    """

    path: str
    kind: Kind
    rule: str

    @property
    def position(self) -> str:
        """The place of this entry in key order."""
        return self.path + "/" if self.kind is _DIRECTORY else self.path


Listed = Union[Entry, Problem]
Seen = Union[Entry, Problem, Excluded]


@frozen
class Base:
    """What both sides last agreed on at one path: a row of the state.

    ``live`` is False for a dormant row (absence proves nothing); ``weak`` marks an agreement found without reading
    content; ``racy`` names sides whose stamp was taken too close to the file's own time to be trusted.
    """

    path: str
    kind: Kind
    source: Stamp
    destination: Stamp
    live: bool = True
    weak: bool = False
    racy: Tuple[Side, ...] = ()
    digest: Optional[str] = None
    generation: int = 0

    @property
    def position(self) -> str:
        """The place of this row in key order."""
        return self.path + "/" if self.kind is _DIRECTORY else self.path

    def stamp(self, side: Side) -> Stamp:
        """Return the stamp that was recorded for *side*."""
        return self.source if side is Side.SOURCE else self.destination


class Pack(ABC):
    """Many entries that travel as one until somebody asks for them; see ``packs.py``."""

    __slots__ = ()

    @abstractmethod
    def __len__(self) -> int:
        """How many there are, at least one."""

    @abstractmethod
    def position(self, index: int) -> str:
        """Return the place of one of them in key order."""

    @abstractmethod
    def item(self, index: int) -> Entry:
        """Make one of them."""

    def __iter__(self) -> Iterator[Entry]:
        return map(self.item, range(len(self)))


PackOrItem = TypeVar("PackOrItem")


def unpacked(items: Iterable[Union[PackOrItem, Pack]]) -> Iterator[Union[PackOrItem, Entry]]:
    """Yield *items* with every pack taken apart."""
    for item in items:
        # An entry first: an abstract class takes five times as long to answer whether something is its own.
        if type(item) is not Entry and isinstance(item, Pack):
            yield from item
        else:
            yield item


@frozen(eq=False)
class Snapshot:
    """What one location holds: entries and problems in key order, as a stream that may be read once.

    ``problems`` fills while the stream is read; ``complete`` is meaningful afterwards.
    """

    location: str
    items: Iterable[Union[Seen, Pack]]
    problems: List[Problem] = field(factory=list)

    def __iter__(self) -> Iterator[Seen]:
        return unpacked(self.packs())

    def packs(self) -> Iterator[Union[Seen, Pack]]:
        """Read the stream as it comes, many entries at a time where it comes so."""
        met = 0
        for item in self.items:
            if isinstance(item, Problem):
                met += 1
                if met > len(self.problems):  # items that are read again bring the same problems
                    self.problems.append(item)
            yield item

    @property
    def complete(self) -> bool:
        """Whether everything could be seen."""
        return not any(problem.hides for problem in self.problems)

    def materialize(self) -> Snapshot:
        """Read the whole stream and return a snapshot that can be read again."""
        items = tuple(self)
        return Snapshot(self.location, items, list(self.problems))

    @property
    def entries(self) -> Iterator[Entry]:
        """The entries alone."""
        return (item for item in self if isinstance(item, Entry))
