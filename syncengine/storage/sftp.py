"""Files behind SFTP, through asyncssh: many requests on their way at once, over one connection.

The client's methods are here, for the threads of callers: each hands one coroutine to the loop and waits for it. What
they stand on is beside them: ``sftp_connection`` connects and reconnects, ``sftp_channel`` and ``sftp_packets`` speak
the protocol, ``sftp_abilities`` tells servers apart, ``sftp_listing`` walks, ``sftp_reading`` opens one version. A
``Site`` (``sftp_site``) is what changes share: ``sftp_writing`` makes drafts and copies, ``sftp_renaming`` gives names,
``sftp_changing`` removes and links, and ``sftp_directories`` keeps all of them inside the root: nothing is written
through a symbolic link that leaves it.
"""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from functools import partial
from typing import Any, Awaitable, Callable, Coroutine, Iterable, Iterator, List, Mapping, Optional, Tuple, TypeVar

from ..core.entry import Entry, Kind, Listed, Stamp
from ..core.modes import SymlinkPolicy
from ..core.paths import encoded, shown
from ..errors import NotFound, PreconditionFailed, SyncError
from . import sftp_changing as changing
from . import sftp_packets as packets
from . import sftp_renaming as renaming
from . import sftp_writing as writing
from .causes import shown_cause
from .protocol import ABSENT, Precondition, Prune, Source, exactly
from .sftp_abilities import Abilities, abilities_of, capabilities_of
from .sftp_channel import Channel
from .sftp_connection import Connection
from .sftp_directories import Directories
from .sftp_facts import entry_of, is_directory, translated
from .sftp_listing import Listing, Walk, listed
from .sftp_loop import Errand
from .sftp_packets import Attributes
from .sftp_reading import SMALL_BYTES, Opened, SftpSource, Stream, entry_at, opened
from .sftp_site import Site

_PIECE_BYTES = 1 << 20
_Result = TypeVar("_Result")


class SftpStorageClient:
    """A directory behind SFTP; safe to call from many threads, which share one connection.

    *options* are fsspec's storage options, handed to ``asyncssh.connect``; host keys are verified unless they hold
    ``known_hosts=None``. *symlinks* says what is done with symbolic links: ``SKIP`` reports them, ``PRESERVE`` keeps
    them as links, ``FOLLOW`` takes what they lead to. A link itself is never written through. See ``sftp_client``,
    which makes one with all abilities of the server. Raises subclasses of StorageError only, and RecipeError for an
    option that asyncssh does not know.
    """

    def __init__(
        self,
        connection: Connection,
        abilities: Abilities,
        root: str,
        *,
        identity: str,
        symlinks: SymlinkPolicy = SymlinkPolicy.SKIP,
        secrets: Iterable[str] = (),
    ) -> None:
        self.root = root
        self.identity = identity
        self.symlinks = symlinks
        self.capabilities = capabilities_of(abilities)
        self._connection = connection
        self._secrets = tuple(secrets)
        self._follow = symlinks is SymlinkPolicy.FOLLOW
        self._directories = Directories(encoded(root), symlinks)
        self._site = Site(abilities, self._directories, self._follow)
        # A client that is dropped without a word lets go of its connection all the same.
        self._finalizer = weakref.finalize(self, connection.close)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.identity[:12]}>"

    # Between threads

    @contextmanager
    def _bordered(self, path: str) -> Iterator[None]:
        try:
            yield
        except SyncError:
            raise
        except Exception as error:  # noqa: BLE001 - a border: it is raised again, translated
            raise translated(error, path, secrets=self._secrets) from shown_cause(error, self._secrets)

    def _run(self, path: str, work: Callable[[Channel], Awaitable[Any]], *, again: bool = False) -> Any:
        with self._bordered(path):
            return self._connection.run(work, again=again)

    def awaited(self, path: str, task: Coroutine[Any, Any, _Result]) -> _Result:
        """Return the result of *task*, which is bound to the channel of an open file at *path*."""
        with self._bordered(path):
            result: _Result = self._connection.wait(task)
        return result

    # Looking

    def list(self, prefix: str = "", *, prune: Optional[Prune] = None) -> Iterator[Listed]:
        """Yield what lies below *prefix*, sorted by position; raises where the prefix itself cannot be listed."""
        top = self._look(prefix)
        if top is None or top.kind is Kind.SYMLINK:
            what = "there is nothing there" if top is None else "a symbolic link is not followed"
            raise NotFound(f"{shown(prefix) or 'the root'}: {what}", path=prefix)
        if top.kind is Kind.FILE:
            raise PreconditionFailed(f"{shown(prefix)}: it is a file, not a directory", path=prefix)
        walk = Walk(self._begin_listing, self._finish_listing, self._is_gone, self.symlinks, prune)
        walk.open(prefix)
        yield from walk.entries()

    def _begin_listing(self, directory: str) -> Errand:
        place = self._site.place(directory) or b"."
        return self._connection.begin(partial(listed, place=place, symlinks=self.symlinks), again=True)

    def _finish_listing(self, directory: str, errand: Errand) -> Listing:
        with self._bordered(directory):
            listing: Listing = errand.result()
            return listing

    def _is_gone(self, directory: str) -> bool:
        """Say whether a directory that was listed a moment ago disappeared; raises NotFound where the root did."""
        if self._look("") is None:
            raise NotFound("the root disappeared while it was being listed; check that it is mounted", path="")
        return self._look(directory) is None

    def stat(self, path: str) -> Optional[Entry]:
        """Look at one path; raises Unsupported for what is neither file nor directory nor link."""
        return self._look(path)

    def _look(self, path: str) -> Optional[Entry]:
        place = self._site.place(path)
        if path:
            work = partial(entry_at, path=path, place=place, follow=self._follow)
            found: Optional[Entry] = self._run(path, work, again=True)
            return found
        return self._root_entry(
            self._run("", lambda channel: channel.ask(packets.look_through(place or b".")), again=True)
        )

    def _root_entry(self, reply: packets.Reply) -> Optional[Entry]:
        with self._bordered(""):
            found = packets.found_in(reply)
        self._directories.saw_root(found=is_directory(found))
        return None if found is None else entry_of("", found)

    def read(self, path: str, *, expect: Optional[Stamp] = None) -> SftpSource:
        """Open one version for reading; raises PreconditionFailed where it is not the expected one."""
        self._site.file_place(path)
        return SftpSource(self, path, None if expect is None else exactly(expect))

    def opened(self, path: str, expect: Optional[Precondition]) -> Tuple[Attributes, bytes, Optional[Stream]]:
        """Open a version that *expect* accepts: what was seen, its content if it is small, else a stream of it."""

        def check(found: Optional[Entry]) -> None:
            if expect is not None:
                self._site.check(path, expect, found)
            if found is None:
                raise NotFound(f"{shown(path)}: there is nothing there", path=path)
            if found.kind is not Kind.FILE:
                raise PreconditionFailed(f"{shown(path)}: it is a {found.kind.value}, not a file", path=path)

        async def work(channel: Channel) -> Tuple[Attributes, bytes, Optional[Stream]]:
            done: Opened = await opened(channel, path, self._site.place(path), check, follow=self._follow)
            stream = None if done.handle is None else Stream(channel, done.handle, done.first.size)
            return done.first, done.content, stream

        found: Tuple[Attributes, bytes, Optional[Stream]] = self._run(path, work, again=True)
        return found

    # Changing

    def write(
        self,
        path: str,
        content: Source,
        *,
        expect: Precondition,
        mtime_ns: Optional[int] = None,
        mode: Optional[int] = None,
    ) -> Stamp:
        """Write a file, all or nothing, parents included, and return the stamp of the very bytes written.

        Times are kept in whole seconds. A new file gets the permissions the server's umask leaves, a replaced one
        keeps its own, unless *mode* is given.
        """
        self._site.file_place(path)
        first = _beginning(content)
        if len(first) <= SMALL_BYTES:
            _check_count(path, content, len(first))
            content.verify()
            whole = partial(writing.written, self._site, path, first, expect, mtime_ns, mode)
            stamp: Stamp = self._run(path, whole)
            return stamp
        return self._streamed(path, first, content, expect, mtime_ns, mode)

    def _streamed(
        self,
        path: str,
        first: bytes,
        content: Source,
        expect: Precondition,
        mtime_ns: Optional[int],
        mode: Optional[int],
    ) -> Stamp:
        draft, kept_mode = self._run(path, partial(writing.begun, self._site, path, expect, mode))
        try:
            self._fill(draft, first, content)
            content.verify()
            stamp = self.awaited(path, writing.finished(self._site, draft, expect, mtime_ns, kept_mode))
        except BaseException as error:
            self.awaited(path, writing.given_up(self._site, draft, error))
            raise
        return stamp

    def _fill(self, draft: writing.Draft, first: bytes, content: Source) -> None:
        data = first
        while data:
            self.awaited(draft.path, draft.add(data))
            data = content.read(_PIECE_BYTES)
        _check_count(draft.path, content, draft.count)
        self.awaited(draft.path, draft.settled())

    def move(self, old: str, new: str, *, expect: Precondition, expect_origin: Optional[Stamp] = None) -> Stamp:
        """Rename *old* to *new*, parents included; a followed link becomes a file at its new name."""
        self._check_files(old, new)
        moved: Optional[Stamp] = self._run(new, partial(renaming.moved, self._site, old, new, expect, expect_origin))
        if moved is not None:
            return moved
        stamp = self._copied_by_hand(old, new, expect, expect_origin)
        self._run(old, partial(changing.deleted, self._site, old, exactly(expect_origin or stamp)))
        return stamp

    def move_directory(self, old: str, new: str) -> None:
        """Rename a directory with everything in it, parents of *new* included; never over anything."""
        self._check_files(old, new)
        self._run(new, partial(renaming.directory_moved, self._site, old, new))

    def preserve(self, path: str, new: str, *, expect: Precondition) -> Stamp:
        """Make the version at *path* also available at *new*, which must be free: by a hard link, or else a copy."""
        self._check_files(path, new)
        found, linked = self._run(path, partial(renaming.preserved, self._site, path, new, expect))
        if linked is None:
            return self._copied_by_hand(path, new, ABSENT, found.stamp)
        stamp: Stamp = linked
        return stamp

    def _check_files(self, *paths: str) -> None:
        for path in paths:
            self._site.file_place(path)

    def _copied_by_hand(self, old: str, new: str, expect: Precondition, expect_origin: Optional[Stamp]) -> Stamp:
        with self.read(old, expect=expect_origin) as content:
            return self.write(new, content, expect=expect, mtime_ns=content.stamp.mtime_ns, mode=content.mode)

    def delete(self, path: str, *, expect: Precondition) -> None:
        """Delete one file or link; what is gone already is gone, unless *expect* names a version."""
        self._check_files(path)
        self._run(path, partial(changing.deleted, self._site, path, expect))

    def make_directory(self, path: str) -> None:
        """Make a directory, parents included; the empty path is the root."""
        self._site.place(path)
        if not path:
            self._directories.expect_no_root()
        self._run(path, lambda channel: self._directories.ensure(channel, path, make=True))

    def remove_directory(self, path: str) -> None:
        """Remove a directory only if it is empty; raises PreconditionFailed where it is not, or is no directory."""
        self._check_files(path)
        self._run(path, partial(changing.directory_removed, self._site, path))

    def set_mode(self, path: str, mode: int, *, expect: Precondition) -> Stamp:
        """Set the permission bits of a file, never through a link, and return its stamp."""
        self._check_files(path)
        stamp: Stamp = self._run(path, partial(changing.mode_set, self._site, path, mode, expect))
        return stamp

    def write_link(self, path: str, target: str, *, expect: Precondition) -> Stamp:
        """Put a symbolic link with the literal *target* at *path*, all or nothing."""
        self._check_files(path)
        stamp: Stamp = self._run(path, partial(changing.link_written, self._site, path, target, expect))
        return stamp

    def sweep(self, path: str) -> bool:
        """Delete a temporary file if its writer is dead; say whether it was deleted."""
        self._check_files(path)
        gone: bool = self._run(path, partial(changing.swept, self._site, path))
        return gone

    def close(self) -> None:
        """Close the connection."""
        self._finalizer()


class CopyingSftpStorageClient(SftpStorageClient):
    """A directory behind an SFTP server that copies by itself, as OpenSSH does from version 9.0 on."""

    def copy(self, old: str, new: str, *, expect: Precondition, expect_origin: Optional[Stamp] = None) -> Stamp:
        """Copy *old* to *new* on the server, with its modification time and permissions."""
        self._check_files(old, new)
        stamp: Optional[Stamp] = self._run(new, partial(writing.copied, self._site, old, new, expect, expect_origin))
        return self._link_copied(old, new, expect) if stamp is None else stamp

    def _link_copied(self, old: str, new: str, expect: Precondition) -> Stamp:
        found = self._look(old)
        if found is None or found.kind is not Kind.SYMLINK or self.symlinks is not SymlinkPolicy.PRESERVE:
            raise PreconditionFailed(f"{shown(old)}: it is not a file", path=old)
        return self.write_link(new, found.link or "", expect=expect)


def _beginning(content: Source) -> bytes:
    """Return all of a small content, or more than fits a small one of a large one."""
    pieces: List[bytes] = []
    count = 0
    while count <= SMALL_BYTES:
        data = content.read(SMALL_BYTES + 1 - count)
        if not data:
            break
        pieces.append(data)
        count += len(data)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _check_count(path: str, content: Source, count: int) -> None:
    if content.size is not None and count != content.size:
        reason = f"{count:,} bytes came where {content.size:,} were expected"
        raise PreconditionFailed(f"{shown(path)}: {reason}", path=path)


def sftp_client(
    options: Mapping[str, Any],
    root: str,
    *,
    identity: str,
    symlinks: SymlinkPolicy = SymlinkPolicy.SKIP,
    secrets: Iterable[str] = (),
) -> SftpStorageClient:
    """Connect, and return a client for *root* with just the abilities the server has.

    *options* are fsspec's. Raises AccessDenied where the server cannot prove who it is or does not let us in, and
    Unavailable where it does not answer.
    """
    connection = Connection(options)
    try:
        abilities = connection.run(partial(_asked, connection))
        made = CopyingSftpStorageClient if abilities.copies else SftpStorageClient
        return made(connection, abilities, root, identity=identity, symlinks=symlinks, secrets=secrets)
    except Exception as error:  # noqa: BLE001 - a border: it is raised again, translated
        connection.close()
        raise translated(error, "", secrets=secrets) from shown_cause(error, secrets)


async def _asked(connection: Connection, channel: Channel) -> Abilities:
    return abilities_of(channel, connection.server)
