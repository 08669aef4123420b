"""What a storage must do to take part in a sync, and what it may do besides.

A user's own client needs ``list``, ``stat``, ``read``, ``write`` and ``delete``, an ``identity`` and
``capabilities``; everything else is a small optional protocol that is looked for with ``isinstance``.
``syncengine.storage.conformance`` holds the suite every client passes.
"""

from __future__ import annotations

from enum import Enum
from typing import (
    Callable,
    Collection,
    ContextManager,
    Dict,
    Iterator,
    Mapping,
    Optional,
    Protocol,
    Sequence,
    Tuple,
    runtime_checkable,
)

from attrs import frozen

from ..core.entry import Entry, Kind, Listed, Stamp
from ..core.paths import shown
from ..errors import PreconditionFailed, StorageError


@frozen
class Capabilities:
    """What a storage can do; a capability is claimed only where the conformance suite proves it.

    ``windows`` says, for each condition that is checked right before instead of by the storage itself, in one
    sentence what may still happen. ``threads`` is how many calls may run at once.
    """

    atomic_put: bool = False
    create_if_absent: bool = False
    replace_if_unchanged: bool = False
    delete_if_unchanged: bool = False
    server_copy: bool = False
    server_move: bool = False
    set_mtime: bool = False
    keeps_mtime: bool = False
    """A time that is given to a write is kept with the content and told by reads, though not by listings."""
    set_mode: bool = False
    real_directories: bool = False
    symlinks: bool = False
    listing_digests: Tuple[str, ...] = ()
    """The algorithms of digests that listings tell."""
    listing_sorted: bool = False
    writable: bool = True
    mtime_is_content_time: bool = False
    mtime_granularity_ns: int = 1
    cheap_reads: bool = False
    """Reading a file costs no network: a digest may be computed where it settles a comparison."""
    ephemeral: bool = False
    """The storage dies with the process, and so does what is remembered about it."""
    identifies_versions: bool = True
    """A stat carries more than existence; a plain web server's may not."""
    case_insensitive: bool = False
    unicode_form: Optional[str] = None
    max_name_bytes: Optional[int] = None
    stamps: Tuple[str, ...] = ("size",)
    threads: int = 1
    windows: Tuple[Tuple[str, str], ...] = ()


class Expectation(str, Enum):
    """The three things a precondition can demand."""

    ANYTHING = "anything"
    ABSENT = "absent"
    EXACTLY = "exactly"


@frozen
class Precondition:
    """What must stand at a path right before it is written: anything, nothing, or exactly one version.

    >>> exactly(Stamp(size=3)).failure(None)
    'it is gone'
    """

    demand: Expectation
    stamp: Optional[Stamp] = None

    def failure(self, found: Optional[Entry], *, granularity_ns: int = 1) -> Optional[str]:
        """Return why what a fresh look *found* is not what was expected, or None where it is.

        A file none of whose components can be compared is not accepted: nothing would prove that it is the same.
        """
        if self.demand is Expectation.ANYTHING:
            return None
        if self.demand is Expectation.ABSENT:
            return None if found is None else f"a {found.kind.value} appeared there"
        if found is None:
            return "it is gone"
        if found.kind is Kind.DIRECTORY:
            # A directory has no version; an expected file carries at least its size.
            return None if self.stamp == Stamp() else "it is a directory now"
        same = (self.stamp or Stamp()).same_version(found.stamp, granularity_ns=granularity_ns)
        if same is None:
            return "nothing about it can be compared"
        return None if same else "it has changed"

    def check(self, found: Optional[Entry], path: str, *, granularity_ns: int = 1) -> None:
        """Raise PreconditionFailed unless what a fresh look *found* is what was expected."""
        failure = self.failure(found, granularity_ns=granularity_ns)
        if failure is not None:
            raise PreconditionFailed(f"{shown(path)}: {failure}", path=path)


ANYTHING = Precondition(Expectation.ANYTHING)
ABSENT = Precondition(Expectation.ABSENT)


def exactly(stamp: Stamp) -> Precondition:
    """Return the precondition that exactly the version *stamp* stands at the path."""
    return Precondition(Expectation.EXACTLY, stamp)


def expecting(stamp: Optional[Stamp]) -> Precondition:
    """Return the precondition of an operation: None means that the path is free."""
    return ABSENT if stamp is None else exactly(stamp)


class Source(Protocol):
    """Content on its way: one version of one file, opened for reading.

    ``size`` is None where the length is not known beforehand. ``local_path`` is set where the bytes lie in a local
    file, so that a writer may let the kernel copy them.
    """

    size: Optional[int]
    local_path: Optional[str]

    def read(self, size: int = -1) -> bytes:
        """Return up to *size* bytes, all of them if negative, and ``b""`` at the end."""

    def verify(self) -> Stamp:
        """Return the stamp of the version that was read.

        A writer calls it after the last byte and before it makes the content visible. Raises PreconditionFailed
        where the file changed while it was being read, so that no torn copy is ever committed.
        """


class Prune(Protocol):
    """Tells a client which directories need not be entered."""

    def enter(self, directory: str, names: Collection[str]) -> None:
        """Take the names in *directory*; called once for it, before anything in it is delivered.

        Where a listing is flat, *names* tells of any name whether it is there, but yields only those at hand.
        """

    def __call__(self, directory: str) -> bool:
        """Say whether *directory* is to be delivered but not entered."""


@runtime_checkable
class NarrowPrune(Prune, Protocol):
    """A Prune that looks for a few names only, so that a client may read further than it was asked about."""

    @property
    def wanted(self) -> Collection[str]:
        """The only names that ``enter`` looks for."""

    @property
    def active(self) -> bool:
        """Whether anything may be hidden by what is known so far."""


class StorageClientProtocol(Protocol):
    """One location of a sync: five methods, and the two attributes ``identity`` and ``capabilities``.

    Paths are keys relative to its root; the root itself is the empty string. Every method raises subclasses of
    StorageError only. Keys are literal: ``a[1].txt`` is one file.

    The rule of every *expect*: what stands at the path is looked at right before, and another state than the expected
    one raises PreconditionFailed with nothing done. ``ANYTHING`` is content with any state, with nothing there, too:
    so a write replaces or creates, and deleting what is not there succeeds.
    """

    identity: str
    """Which storage this is: a text without secrets that is equal for equal places."""

    @property
    def capabilities(self) -> Capabilities:
        """What the storage can do; an attribute will do as well."""

    def list(self, prefix: str = "", *, prune: Optional[Prune] = None) -> Iterator[Listed]:
        """Yield what lies below *prefix*, sorted by position, streaming, and never silently short.

        A directory that cannot be listed is a Problem of extent SUBTREE in its place; reserved names are jumped
        over. Where the prefix itself cannot be listed, the iterator raises.
        """

    def stat(self, path: str) -> Optional[Entry]:
        """Look at one path, freshly and never from a cache; None where nothing stands there."""

    def read(self, path: str, *, expect: Optional[Stamp] = None) -> ContextManager[Source]:
        """Open one version for reading; raises PreconditionFailed where it is not the expected one."""

    def write(self, path: str, content: Source, *, expect: Precondition, mtime_ns: Optional[int] = None) -> Stamp:
        """Write a file, all or nothing, parents included, and return the stamp of the very bytes written.

        The content is checked for its length and with ``content.verify()`` before it becomes visible.
        """

    def delete(self, path: str, *, expect: Precondition) -> None:
        """Delete one file; raises PreconditionFailed where another version stands there, or none where one should.

        With ``ANYTHING`` a file that is missing already is no error.
        """


@runtime_checkable
class SupportsCopy(Protocol):
    """A storage that copies within itself without moving bytes through this machine."""

    def copy(self, old: str, new: str, *, expect: Precondition, expect_origin: Optional[Stamp] = None) -> Stamp:
        """Copy *old* to *new*; *expect* is about *new*. Returns the stamp of the copy."""


@runtime_checkable
class SupportsCopyFrom(Protocol):
    """A storage that copies from another client's root of the same storage, and no byte passes this machine."""

    def can_copy_from(self, origin: StorageClientProtocol) -> bool:
        """Say whether *origin* is of the same storage."""

    def copy_from(
        self,
        origin: StorageClientProtocol,
        old: str,
        new: str,
        *,
        expect: Precondition,
        expect_origin: Optional[Stamp] = None,
    ) -> Tuple[Stamp, Stamp]:
        """Copy one version of *old* of *origin* to *new*; *expect* is about *new*.

        Returns the stamps of the version that was copied and of the copy. Raises AccessDenied or Unsupported, with
        nothing done, where only a transfer through this machine can do it.
        """


@runtime_checkable
class SupportsMove(Protocol):
    """A storage that renames; never onto an existing name unless *expect* says exactly that version."""

    def move(self, old: str, new: str, *, expect: Precondition, expect_origin: Optional[Stamp] = None) -> Stamp:
        """Rename *old* to *new*, parents included; *expect* is about *new*. Returns the stamp at the new name."""


@runtime_checkable
class SupportsMoveDirectory(Protocol):
    """A storage that renames a directory with everything in it by one call."""

    def move_directory(self, old: str, new: str) -> None:
        """Rename the directory *old* to *new*, which must be free, parents of *new* included.

        The stamps of the files in it stay what they are. Raises PreconditionFailed where something stands at *new* or
        *old* is no directory; nothing has happened then.
        """


@runtime_checkable
class SupportsChangeTimes(Protocol):
    """A storage that knows when anything last happened to a file, by a time that nobody can set."""

    def change_times(self, directory: str) -> Optional[Iterator[Tuple[str, int]]]:
        """Yield the files below *directory* with that time in nanoseconds since the epoch, by this machine's clock.

        A new file never has an older one than its making, and renaming a directory leaves those of the files in it.
        None where that does not hold for the file system underneath.
        """


@runtime_checkable
class SupportsContentTimes(Protocol):
    """A storage that keeps the modification time of a content though its listings tell another time."""

    def content_time(self, path: str, *, expect: Optional[Stamp] = None) -> Optional[int]:
        """Return that time of exactly the expected version in nanoseconds since the epoch; None where none is kept.

        Costs a request.
        """


@runtime_checkable
class SupportsPreserve(Protocol):
    """A storage that keeps a version under a second name without moving its bytes, where it can."""

    def preserve(self, path: str, new: str, *, expect: Precondition) -> Stamp:
        """Make the version at *path* also available at *new*, parents included; *expect* is about *path*.

        *new* must be free. Writing to either name afterwards leaves the other as it is. Returns the stamp at *new*.
        """


@runtime_checkable
class SupportsDirectories(Protocol):
    """A storage with real directories."""

    def make_directory(self, path: str) -> None:
        """Make a directory, parents included; one that exists is left as it is."""

    def remove_directory(self, path: str) -> None:
        """Remove a directory only if it is empty; raises PreconditionFailed where it is not."""


@runtime_checkable
class SupportsDigest(Protocol):
    """A storage that can say a digest of one file, by itself or by a read."""

    def digest(self, path: str, algorithm: str, *, expect: Optional[Stamp] = None) -> str:
        """Return ``algorithm:value`` of exactly the expected version."""


@runtime_checkable
class SupportsStoredDigests(Protocol):
    """A storage that keeps digests which its listings do not tell."""

    def stored_digests(self, path: str, *, expect: Optional[Stamp] = None) -> Tuple[str, ...]:
        """Return the digests of exactly the expected version as ``algorithm:value``, without reading its content.

        The ETag of an upload in parts of a known size is one: ``etag-<bytes of a part>:<etag>``. Costs a request or
        two; returns nothing where the storage keeps none.
        """


@runtime_checkable
class SupportsMetadata(Protocol):
    """A storage that keeps permission bits."""

    def set_mode(self, path: str, mode: int, *, expect: Precondition) -> Stamp:
        """Set the permission bits of a file and return its stamp."""


@runtime_checkable
class SupportsHeaders(Protocol):
    """A storage that keeps headers with a file: its type, how it is cached, metadata of one's own."""

    def set_headers(self, rules: Callable[[str], Mapping[str, str]]) -> None:
        """Write every file from now on with the headers that *rules* names for its path."""

    def headers_for(self, path: str) -> Mapping[str, str]:
        """Return the headers that the rules name for *path*."""


@runtime_checkable
class SupportsLinks(Protocol):
    """A storage that holds symbolic links."""

    def write_link(self, path: str, target: str, *, expect: Precondition) -> Stamp:
        """Put a symbolic link with the literal *target* at *path*, all or nothing."""


@runtime_checkable
class SupportsFlush(Protocol):
    """A storage whose writes become durable only when it is told to."""

    def flush(self) -> None:
        """Return once everything written so far survives a power cut."""


@runtime_checkable
class SupportsSweep(Protocol):
    """A storage that can tell its own abandoned temporary files from those of a living run."""

    def sweep(self, path: str) -> bool:
        """Delete a temporary file (a Problem of kind LEFTOVER) if its writer is dead; say whether it was deleted."""


@runtime_checkable
class SupportsNames(Protocol):
    """A storage that cannot hold every name, and can tell before a file is sent."""

    def name_refusal(self, path: str) -> Optional[str]:
        """Return why nothing of this name can be written, as ``holds '?'`` does, or None where it can."""


@runtime_checkable
class SupportsBulkDelete(Protocol):
    """A storage that deletes many files by one request."""

    def delete_many(self, paths: Sequence[str]) -> Dict[str, Optional[StorageError]]:
        """Delete whatever stands at *paths*; return for each None, or why it still stands there."""


@runtime_checkable
class SupportsProof(Protocol):
    """A storage of which it is found out before the first write which conditions it checks."""

    def prove(self) -> None:
        """Find out, by harmless requests, what ``capabilities`` then say; known answers cost no request."""


@runtime_checkable
class SupportsClose(Protocol):
    """A storage that holds connections."""

    def close(self) -> None:
        """Let go of connections; the client may not be used afterwards."""
