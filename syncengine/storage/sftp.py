"""Files behind SFTP, through asyncssh: many requests on their way at once, over one connection.

The client's methods are here; what they stand on is beside them: ``sftp_connection`` connects and reconnects,
``sftp_channel`` and ``sftp_packets`` speak the protocol, ``sftp_listing`` walks, ``sftp_reading`` opens one version,
``sftp_directories`` keeps writes inside the root, ``sftp_writing`` makes drafts and renames. Nothing is written
through a symbolic link that leaves the root. Each method hands one coroutine to the loop and waits for it.
"""

from __future__ import annotations

import time
import weakref
from contextlib import contextmanager
from functools import partial
from typing import Any, Awaitable, Callable, Iterable, Iterator, List, Mapping, Optional, Tuple

from ..core.entry import Entry, Kind, Listed, Stamp
from ..core.modes import SymlinkPolicy
from ..core.paths import encoded, parent, refusal, shown
from ..errors import NotFound, PreconditionFailed, SyncError, Unsupported
from . import sftp_packets as packets
from .protocol import ABSENT, Capabilities, Expectation, Precondition, Prune, Source, exactly
from .sftp_channel import Channel
from .sftp_connection import Connection
from .sftp_directories import Directories
from .sftp_facts import SECOND_NS, entry_of, is_directory, is_file, is_link, stamp_of, translated
from .sftp_listing import Listing, Walk, listed
from .sftp_loop import Errand
from .sftp_packets import Attributes, Refused
from .sftp_reading import SMALL_BYTES, Opened, SftpSource, Stream, check_unchanged, entry_at, found_at, opened
from .sftp_writing import Abilities, Draft, abilities_of, admitted, check_free, copied, renamed_alone, renamed_over
from .temporary import is_abandoned, is_temporary, release, temporary

_PIECE_BYTES = 1 << 20
_MOST_LITTER = 1000
_THREADS = 64

_CHECKED_WRITE = "a change made in the instant between the last look and the rename is replaced"
_CHECKED_DELETE = "a change made in the instant between the last look and the removal is deleted"
_CHECKED_CREATE = "a file created in the instant between the last look and the rename may be replaced"
_NO_HARD_LINKS = (
    "on a file system without hard links, a file created in the instant between the last look and the rename "
    "is replaced"
)
_TWO_STEPS = "the server cannot replace in one step: for an instant, or after a crash then, nothing has the name"


def _capabilities(abilities: Abilities) -> Capabilities:
    windows = [("replace_if_unchanged", _CHECKED_WRITE), ("delete_if_unchanged", _CHECKED_DELETE)]
    windows.append(("create_if_absent", _NO_HARD_LINKS if abilities.creates_alone else _CHECKED_CREATE))
    if not abilities.renames_over:
        windows.append(("atomic_put", _TWO_STEPS))
    return Capabilities(
        atomic_put=abilities.renames_over,
        create_if_absent=abilities.creates_alone,
        server_copy=abilities.copies,
        server_move=True,
        set_mtime=True,
        set_mode=True,
        real_directories=True,
        symlinks=abilities.link_target_first is not None,
        listing_sorted=True,
        mtime_is_content_time=True,
        mtime_granularity_ns=SECOND_NS,
        stamps=("size", "mtime_ns"),
        threads=_THREADS,
        windows=tuple(windows),
    )


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
        self.capabilities = _capabilities(abilities)
        self._abilities = abilities
        self._connection = connection
        self._secrets = tuple(secrets)
        self._follow = symlinks is SymlinkPolicy.FOLLOW
        self._directories = Directories(encoded(root), symlinks)
        self._litter: List[bytes] = []
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
        except Exception as error:
            raise translated(error, path, secrets=self._secrets) from error

    def _run(self, path: str, work: Callable[[Channel], Awaitable[Any]], *, again: bool = False) -> Any:
        with self._bordered(path):
            return self._connection.run(work, again=again)

    def awaited(self, path: str, task: Any) -> Any:
        """Return the result of *task*, which is bound to the channel of an open file at *path*."""
        with self._bordered(path):
            return self._connection.wait(task)

    def _place(self, path: str) -> bytes:
        reason = refusal(path) if path else None
        if reason is not None:
            raise Unsupported(f"{shown(path)!r} cannot be a path below a root: it {reason}", path=path)
        return self._directories.place(path)

    def _file_place(self, path: str) -> bytes:
        if not path:
            raise Unsupported("the root itself cannot be a file; give its parent as root and its name as scope")
        return self._place(path)

    def _check(self, path: str, expect: Precondition, found: Optional[Entry]) -> None:
        expect.check(found, path, granularity_ns=self.capabilities.mtime_granularity_ns)

    # Looking

    def list(self, prefix: str = "", *, prune: Optional[Prune] = None) -> Iterator[Listed]:
        """Yield what lies below *prefix*, sorted by position; raises where the prefix itself cannot be listed."""
        top = self._look(prefix)
        if top is None or top.kind is Kind.SYMLINK:
            what = "there is nothing there" if top is None else "a symbolic link is not followed"
            raise NotFound(f"{shown(prefix) or 'the root'}: {what}", path=prefix)
        if top.kind is Kind.FILE:
            raise PreconditionFailed(f"{shown(prefix)}: it is a file, not a directory", path=prefix)
        walk = Walk(self._begin_listing, self._finish_listing, self._check_root, self.symlinks, prune)
        walk.open(prefix)
        yield from walk.entries()

    def _begin_listing(self, directory: str) -> Errand:
        place = self._place(directory) or b"."
        return self._connection.begin(partial(listed, place=place, symlinks=self.symlinks), again=True)

    def _finish_listing(self, directory: str, errand: Errand) -> Listing:
        with self._bordered(directory):
            listing: Listing = errand.result()
            return listing

    def _check_root(self) -> None:
        if self._look("") is None:
            raise NotFound("the root disappeared while it was being listed; check that it is mounted", path="")

    def stat(self, path: str) -> Optional[Entry]:
        """Look at one path; raises Unsupported for what is neither file nor directory nor link."""
        return self._look(path)

    def _look(self, path: str) -> Optional[Entry]:
        place = self._place(path)
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
        self._file_place(path)
        return SftpSource(self, path, None if expect is None else exactly(expect))

    def opened(self, path: str, expect: Optional[Precondition]) -> Tuple[Attributes, bytes, Optional[Stream]]:
        """Open a version that *expect* accepts: what was seen, its content if it is small, else a stream of it."""

        def check(found: Optional[Entry]) -> None:
            if expect is not None:
                self._check(path, expect, found)
            if found is None:
                raise NotFound(f"{shown(path)}: there is nothing there", path=path)
            if found.kind is not Kind.FILE:
                raise PreconditionFailed(f"{shown(path)}: it is a {found.kind.value}, not a file", path=path)

        async def work(channel: Channel) -> Tuple[Attributes, bytes, Optional[Stream]]:
            done: Opened = await opened(channel, path, self._place(path), check, follow=self._follow)
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
        place = self._file_place(path)
        first = _beginning(content)
        if len(first) <= SMALL_BYTES:
            _check_count(path, content, len(first))
            content.verify()
            whole = partial(self._written, path, place, first, expect, mtime_ns, mode)
            stamp: Stamp = self._run(path, whole)
            return stamp
        return self._streamed(path, place, first, content, expect, mtime_ns, mode)

    async def _written(
        self,
        path: str,
        place: bytes,
        content: bytes,
        expect: Precondition,
        mtime_ns: Optional[int],
        mode: Optional[int],
        channel: Channel,
    ) -> Stamp:
        """Write content that is all here and verified."""
        draft, kept_mode = await self._begun(path, place, expect, mode, channel)
        try:
            await draft.add(content)
            stamp = await draft.completed(mtime_ns, kept_mode)
            await self._placed(draft, expect)
        except BaseException as error:
            await self._give_up(draft, error)
            raise
        return stamp

    def _streamed(
        self,
        path: str,
        place: bytes,
        first: bytes,
        content: Source,
        expect: Precondition,
        mtime_ns: Optional[int],
        mode: Optional[int],
    ) -> Stamp:
        draft, kept_mode = self._run(path, partial(self._begun, path, place, expect, mode))
        try:
            data = first
            while data:
                self.awaited(path, draft.add(data))
                data = content.read(_PIECE_BYTES)
            _check_count(path, content, draft.count)
            self.awaited(path, draft.settled())
            content.verify()
            return self._finish(path, draft, expect, mtime_ns, kept_mode)
        except BaseException as error:
            self.awaited(path, self._give_up(draft, error))
            raise

    def _finish(
        self, path: str, draft: Draft, expect: Precondition, mtime_ns: Optional[int], mode: Optional[int]
    ) -> Stamp:
        async def finish() -> Stamp:
            stamp = await draft.completed(mtime_ns, mode)
            await self._placed(draft, expect)
            return stamp

        stamp: Stamp = self.awaited(path, finish())
        return stamp

    async def _begun(
        self, path: str, place: bytes, expect: Precondition, mode: Optional[int], channel: Channel
    ) -> Tuple[Draft, Optional[int]]:
        """Begin a draft, and return it with the permissions it is to get."""
        await self._tidied(channel)
        await self._directories.ensure(channel, parent(path), make=True)
        if expect.demand is not Expectation.ABSENT:
            replaced = await self._admitted(path, place, expect, channel)
            mode = (replaced.mode or 0) & 0o7777 if mode is None and replaced is not None else mode
        begin = partial(Draft.begun, channel, path, place, self._beside(path), private=mode is not None)
        try:
            return await begin(), mode
        except Refused as error:
            if error.code != packets.MISSING:
                raise
        # The directory was removed since it was last looked at.
        self._directories.forget()
        await self._directories.ensure(channel, parent(path), make=True)
        return await begin(), mode

    def _beside(self, path: str) -> bytes:
        """Return what the names of everything beside *path* begin with."""
        place = self._directories.place(path)
        return place[: len(place) - len(encoded(path.rpartition("/")[2]))]

    async def _admitted(self, path: str, place: bytes, expect: Precondition, channel: Channel) -> Optional[Attributes]:
        return await admitted(channel, path, place, partial(self._check, path, expect), follow=self._follow)

    async def _placed(self, draft: Draft, expect: Precondition) -> None:
        """Give a complete draft its name."""
        if expect.demand is Expectation.ABSENT:
            await renamed_alone(draft.channel, self._abilities, draft.path, draft.aside, draft.place)
        else:
            # RACE: a version that appears between this look and the rename is replaced; see the windows.
            await self._admitted(draft.path, draft.place, expect, draft.channel)
            await self._renamed_over(draft.channel, draft.path, draft.aside, draft.place)
        release(draft.name)

    async def _renamed_over(self, channel: Channel, path: str, old: bytes, new: bytes) -> None:
        with temporary() as name:
            await renamed_over(channel, self._abilities, old, new, self._beside(path) + encoded(name))

    async def _give_up(self, draft: Draft, error: BaseException) -> None:
        """Remove what a failed write left; raises what the failure means where that is known better."""
        if not await draft.discard() and len(self._litter) < _MOST_LITTER:
            self._litter.append(draft.aside)
        refused = error if isinstance(error, Refused) else error.__cause__
        if isinstance(refused, Refused) and refused.code == packets.FAILURE:
            await draft.check_space(self._directories.root or b".")

    async def _tidied(self, channel: Channel) -> None:
        """Remove drafts that could not be removed when their connection dropped."""
        if self._litter:
            litter, self._litter = self._litter, []
            # What is not there any more, or never was, is no loss; nobody waits for the answers.
            channel.send(*(packets.remove(aside) for aside in litter))

    def move(self, old: str, new: str, *, expect: Precondition, expect_origin: Optional[Stamp] = None) -> Stamp:
        """Rename *old* to *new*, parents included; a followed link becomes a file at its new name."""
        old_place, new_place = self._file_place(old), self._file_place(new)

        async def work(channel: Channel) -> Tuple[Stamp, bool]:
            origin = await self._origin(channel, old, expect_origin)
            await self._directories.ensure(channel, parent(old), make=False)
            await self._directories.ensure(channel, parent(new), make=True)
            if self._follow and is_link(packets.found_in(await channel.ask(packets.look(old_place)))):
                return origin.stamp, False
            if expect.demand is Expectation.ABSENT:
                await renamed_alone(channel, self._abilities, new, old_place, new_place)
                return origin.stamp, True
            await self._admitted(new, new_place, expect, channel)
            await self._moved_over(channel, old, new, origin)
            return origin.stamp, True

        stamp, done = self._run(new, work)
        return stamp if done else self._moved_through(old, new, expect, expect_origin)

    def _moved_through(self, old: str, new: str, expect: Precondition, expect_origin: Optional[Stamp]) -> Stamp:
        stamp = self._copied_by_hand(old, new, expect, expect_origin)
        old_place = self._place(old)

        async def work(channel: Channel) -> None:
            packets.check(await channel.ask(packets.remove(old_place)))

        self._run(old, work)
        return stamp

    async def _moved_over(self, channel: Channel, old: str, new: str, origin: Entry) -> None:
        old_place, new_place = self._place(old), self._place(new)
        await self._renamed_over(channel, new, old_place, new_place)
        # To rename onto another hard link of the same file does nothing. Where case is folded both names may be one.
        left = await entry_at(channel, old, old_place, follow=False)
        if left is not None and left.stamp == origin.stamp and old.casefold() != new.casefold():
            packets.check(await channel.ask(packets.remove(old_place)))

    async def _origin(self, channel: Channel, path: str, expect: Optional[Stamp]) -> Entry:
        found = await entry_at(channel, path, self._place(path), follow=self._follow)
        if expect is not None:
            self._check(path, exactly(expect), found)
        if found is None:
            raise NotFound(f"{shown(path)}: there is nothing there", path=path)
        return found

    def preserve(self, path: str, new: str, *, expect: Precondition) -> Stamp:
        """Make the version at *path* also available at *new*, which must be free: by a hard link, or else a copy."""
        place, new_place = self._file_place(path), self._file_place(new)

        async def work(channel: Channel) -> Tuple[Entry, Optional[Stamp]]:
            found = await entry_at(channel, path, place, follow=self._follow)
            self._check(path, expect, found)
            if found is None:
                raise NotFound(f"{shown(path)}: there is nothing to preserve", path=path)
            await self._directories.ensure(channel, parent(path), make=False)
            await self._directories.ensure(channel, parent(new), make=True)
            return found, await self._hard_linked(channel, found, new, place, new_place)

        found, linked = self._run(path, work)
        if linked is not None:
            stamp: Stamp = linked
            return stamp
        return self._copied_by_hand(path, new, ABSENT, found.stamp)

    async def _hard_linked(
        self, channel: Channel, found: Entry, new: str, place: bytes, new_place: bytes
    ) -> Optional[Stamp]:
        """Give a version its second name and return its stamp there, None where there can be no hard link."""
        looked = packets.found_in(await channel.ask(packets.look(place)))
        if not self._abilities.hard_links or (self._follow and is_link(looked)):
            return None
        try:
            packets.check(await channel.ask(packets.hard_link(place, new_place)))
        except Refused as error:
            await check_free(channel, new, new_place)
            if error.code != packets.FAILURE:
                raise
            return None
        linked = packets.attributes_in(await channel.ask(packets.look(new_place)))
        if stamp_of(linked) != found.stamp:
            # Another version took the name between the look and the link; the one that was meant is gone already.
            packets.check(await channel.ask(packets.remove(new_place)))
            raise PreconditionFailed(f"{shown(found.path)}: it has changed", path=found.path)
        return found.stamp

    def _copied_by_hand(self, old: str, new: str, expect: Precondition, expect_origin: Optional[Stamp]) -> Stamp:
        with self.read(old, expect=expect_origin) as content:
            return self.write(new, content, expect=expect, mtime_ns=content.stamp.mtime_ns, mode=content.mode)

    def delete(self, path: str, *, expect: Precondition) -> None:
        """Delete one file or link; what is gone already is gone, unless *expect* names a version."""
        place = self._file_place(path)

        async def work(channel: Channel) -> None:
            if await self._admitted(path, place, expect, channel) is None:
                return
            await self._directories.ensure(channel, parent(path), make=False)
            # RACE: a version that appears between the look and this is deleted; see the windows.
            removed = await channel.ask(packets.remove(place))
            with _unless_gone():
                packets.check(removed)

        self._run(path, work)

    def make_directory(self, path: str) -> None:
        """Make a directory, parents included; the empty path is the root."""
        self._place(path)
        if not path:
            self._directories.expect_no_root()
        self._run(path, lambda channel: self._directories.ensure(channel, path, make=True))

    def remove_directory(self, path: str) -> None:
        """Remove a directory only if it is empty; raises PreconditionFailed where it is not, or is no directory."""
        place = self._file_place(path)

        async def work(channel: Channel) -> None:
            found = await found_at(channel, place, follow=False)
            if found is None:
                return
            if not is_directory(found):
                raise PreconditionFailed(f"{shown(path)}: it is not a directory", path=path)
            await self._directories.ensure(channel, parent(path), make=False)
            self._directories.forget()
            try:
                packets.check(await channel.ask(packets.remove_directory(place)))
            except Refused:
                if (await listed(channel, place, SymlinkPolicy.SKIP)).found:
                    raise PreconditionFailed(f"{shown(path)}: it is not empty", path=path) from None
                raise

        self._run(path, work)

    def set_mode(self, path: str, mode: int, *, expect: Precondition) -> Stamp:
        """Set the permission bits of a file, never through a link, and return its stamp."""
        place = self._file_place(path)

        async def work(channel: Channel) -> Stamp:
            found = await found_at(channel, place, follow=False)
            self._check(path, expect, None if found is None else entry_of(path, found))
            await self._directories.ensure(channel, parent(path), make=False)
            if found is None or not is_file(found):
                raise PreconditionFailed(f"{shown(path)}: it is not a file", path=path)
            handle = packets.handle_in(await channel.ask(packets.open_to_read(place)))
            # What was opened has to be what was looked at: a link in its place would have been followed.
            check_unchanged(path, found, packets.attributes_in(await channel.ask(packets.look_at_open(handle))))
            done, looked, closed = await channel.send(
                packets.set_open(handle, mode=mode), packets.look_at_open(handle), packets.close(handle)
            )
            packets.check(done)
            packets.check(closed)
            return stamp_of(packets.attributes_in(looked))

        stamp: Stamp = self._run(path, work)
        return stamp

    def write_link(self, path: str, target: str, *, expect: Precondition) -> Stamp:
        """Put a symbolic link with the literal *target* at *path*, all or nothing."""
        place = self._file_place(path)
        order = self._abilities.link_target_first
        if order is None:
            raise Unsupported(f"{shown(path)}: it is not known how this server makes symbolic links", path=path)
        make = partial(packets.symbolic_link, encoded(target), target_first=order)

        async def work(channel: Channel) -> Stamp:
            await self._directories.ensure(channel, parent(path), make=True)
            if expect.demand is Expectation.ABSENT:
                await self._linked(channel, path, place, make)
            else:
                await self._link_replaced(channel, path, place, make, expect)
            return stamp_of(packets.attributes_in(await channel.ask(packets.look(place))))

        stamp: Stamp = self._run(path, work)
        return stamp

    @staticmethod
    async def _linked(channel: Channel, path: str, place: bytes, make: Callable[[bytes], packets.Request]) -> None:
        try:
            packets.check(await channel.ask(make(place)))
        except Refused:
            await check_free(channel, path, place)
            raise

    async def _link_replaced(
        self,
        channel: Channel,
        path: str,
        place: bytes,
        make: Callable[[bytes], packets.Request],
        expect: Precondition,
    ) -> None:
        with temporary() as name:
            aside = self._beside(path) + encoded(name)
            packets.check(await channel.ask(make(aside)))
            try:
                await self._admitted(path, place, expect, channel)
                await self._renamed_over(channel, path, aside, place)
            except BaseException:
                channel.send(packets.remove(aside))
                raise

    def sweep(self, path: str) -> bool:
        """Delete a temporary file if its writer is dead; say whether it was deleted."""
        place = self._file_place(path)
        name = path.rpartition("/")[2]

        async def work(channel: Channel) -> bool:
            found = await found_at(channel, place, follow=False)
            if found is None or is_directory(found) or not is_temporary(name):
                return False
            # The time of content may have been set into the past already; a draft's time of reading never is.
            touched = max(found.accessed or 0, found.modified or 0)
            if not is_abandoned(name, time.time() - touched if touched else None):
                return False
            await self._directories.ensure(channel, parent(path), make=False)
            packets.check(await channel.ask(packets.remove(place)))
            return True

        swept: bool = self._run(path, work)
        return swept

    def close(self) -> None:
        """Close the connection."""
        self._finalizer()


class CopyingSftpStorageClient(SftpStorageClient):
    """A directory behind an SFTP server that copies by itself, as OpenSSH does from version 9.0 on."""

    def copy(self, old: str, new: str, *, expect: Precondition, expect_origin: Optional[Stamp] = None) -> Stamp:
        """Copy *old* to *new* on the server, with its modification time and permissions."""
        old_place, new_place = self._file_place(old), self._file_place(new)

        async def work(channel: Channel) -> Optional[Stamp]:
            origin = await self._origin(channel, old, expect_origin)
            if origin.kind is not Kind.FILE:
                return None
            draft, _ = await self._begun(new, new_place, expect, origin.mode, channel)
            try:
                stamp = await self._copied(channel, old, old_place, draft, origin)
                await self._placed(draft, expect)
            except BaseException as error:
                await self._give_up(draft, error)
                raise
            return stamp

        stamp: Optional[Stamp] = self._run(new, work)
        return self._link_copied(old, new, expect) if stamp is None else stamp

    @staticmethod
    async def _copied(channel: Channel, old: str, place: bytes, draft: Draft, origin: Entry) -> Stamp:
        handle = packets.handle_in(await channel.ask(packets.open_to_read(place)))
        try:
            first = packets.attributes_in(await channel.ask(packets.look_at_open(handle)))
            if stamp_of(first) != origin.stamp:
                raise PreconditionFailed(f"{shown(old)}: it has changed", path=old)
            await copied(draft, handle, first.size or 0)
            stamp = await draft.completed(origin.stamp.mtime_ns, origin.mode)
            check_unchanged(old, first, packets.attributes_in(await channel.ask(packets.look_at_open(handle))))
            return stamp
        finally:
            if channel.lost is None:
                channel.send(packets.close(handle))

    def _link_copied(self, old: str, new: str, expect: Precondition) -> Stamp:
        found = self._look(old)
        if found is None or found.kind is not Kind.SYMLINK or self.symlinks is not SymlinkPolicy.PRESERVE:
            raise PreconditionFailed(f"{shown(old)}: it is not a file", path=old)
        return self.write_link(new, found.link or "", expect=expect)


@contextmanager
def _unless_gone() -> Iterator[None]:
    """Let pass that what was to be removed is gone already."""
    try:
        yield
    except Refused as error:
        if error.code != packets.MISSING:
            raise


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
    except Exception as error:
        connection.close()
        raise translated(error, "", secrets=secrets) from error


async def _asked(connection: Connection, channel: Channel) -> Abilities:
    return abilities_of(channel, connection.server)
