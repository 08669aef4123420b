"""How a file behind SFTP gets its content: drafts beside their places, which get their names when they are complete.

What is written appears all at once: content goes to a temporary name in the same directory, and is renamed when it
is complete. A small file takes three round trips: open; write, set, look and close; rename.
"""

from __future__ import annotations

import time
from asyncio import Future
from collections import deque
from contextlib import suppress
from functools import partial
from typing import Any, Deque, Optional, Tuple

from attrs import define, field

from ..core.entry import Entry, Kind, Stamp
from ..core.paths import encoded, parent, shown
from ..errors import NoSpace, PreconditionFailed, Unavailable
from . import sftp_packets as packets
from .protocol import Expectation, Precondition
from .sftp_channel import Channel, Lost
from .sftp_facts import seconds_of, stamp_of
from .sftp_packets import Malformed, Refused
from .sftp_reading import WINDOW_BYTES, block_bytes, check_unchanged
from .sftp_renaming import renamed_alone, renamed_over
from .sftp_site import Site
from .temporary import release, temporary_name

_COPY_SLICE_BYTES = 64 << 20


@define(eq=False)
class Draft:
    """A file in the making, under a temporary name; what is not placed is removed by ``discard``."""

    channel: Channel
    path: str
    place: bytes
    aside: bytes
    name: str
    """The last part of ``aside``, which counts as in use until the draft is placed or discarded."""
    handle: bytes
    count: int = 0
    _sent: Deque[Tuple[int, Future[Any]]] = field(factory=deque)
    _on_their_way: int = 0
    _closed: bool = False

    @classmethod
    async def begun(cls, channel: Channel, path: str, place: bytes, directory: bytes, *, private: bool) -> Draft:
        """Make a temporary file in *directory*; nobody may read what will be private before it is."""
        name = temporary_name()
        aside = directory + encoded(name)
        try:
            handle = packets.handle_in(await channel.ask(packets.open_new(aside, 0o600 if private else None)))
        except BaseException:
            release(name)
            raise
        return cls(channel, path, place, aside, name, handle)

    async def add(self, data: bytes) -> None:
        """Send more content, and return once there is room for yet more on the way."""
        block = block_bytes(self.channel.limits.write)
        for start in range(0, len(data), block):
            piece = data[start : start + block]
            sent = self.channel.send(packets.write(self.handle, self.count, piece))
            self._sent.append((len(piece), sent))
            self.count += len(piece)
            self._on_their_way += len(piece)
        await self._settle(WINDOW_BYTES)

    async def _settle(self, most: int) -> None:
        while self._sent and self._on_their_way > most:
            size, sent = self._sent.popleft()
            self._on_their_way -= size
            packets.check((await sent)[0])

    async def settled(self) -> None:
        """Return once the server has taken everything that was sent; raises where it took less."""
        await self._settle(-1)

    async def completed(self, mtime_ns: Optional[int], mode: Optional[int], *, in_order: bool) -> Stamp:
        """Send what is left, set what is to be set, and return the stamp, which stays true under the final name.

        A server that does not work *in_order* could set the time before the last bytes are written, so it is asked
        only after them.
        """
        modified = seconds_of(mtime_ns)
        # The time of reading tells a sweeper how old a draft is whose content is from long ago.
        settings = packets.set_open(self.handle, mode=mode, accessed=int(time.time()), modified=modified)
        wanted = [] if mode is None and modified is None else [settings]
        if not in_order:
            await self.settled()
        self._closed = True
        replies = self.channel.send(*wanted, packets.look_at_open(self.handle), packets.close(self.handle))
        await self.settled()
        *done, looked, closed = await replies
        for reply in (*done, closed):
            packets.check(reply)
        found = packets.attributes_in(looked)
        if found.size != self.count:
            message = f"{shown(self.path)}: it holds {found.size} bytes after {self.count} were written"
            raise Unavailable(message, path=self.path)
        return stamp_of(found)

    async def discard(self) -> bool:
        """Remove the temporary file as far as that is possible; say whether it was."""
        release(self.name)
        with suppress(Lost, Refused, Malformed):
            if not self._closed:
                self._closed = True
                packets.check(await self.channel.ask(packets.close(self.handle)))
        with suppress(Lost, Malformed):
            await self.channel.ask(packets.remove(self.aside))
            return True
        return False

    async def check_space(self, directory: bytes) -> None:
        """Raise NoSpace if that is why a write failed: version 3 of the protocol has no word for a full disk."""
        if b"statvfs@openssh.com" not in self.channel.extensions:
            return
        with suppress(Refused, Lost, Malformed):
            free = packets.free_bytes_in(await self.channel.ask(packets.ask_space(directory)))
            if free < max(block_bytes(self.channel.limits.write), 1):
                raise NoSpace(
                    f"{shown(self.path)}: no space is left on the server; make room and run again", path=self.path
                )


# Files


async def begun(
    site: Site, path: str, expect: Precondition, mode: Optional[int], channel: Channel
) -> Tuple[Draft, Optional[int]]:
    """Begin a draft for *path*, and return it with the permissions it is to get; makes the directories above it."""
    await site.tidy(channel)
    await site.directories.ensure(channel, parent(path), make=True)
    if expect.demand is not Expectation.ABSENT:
        replaced = await site.admitted(channel, path, expect)
        mode = (replaced.mode or 0) & 0o7777 if mode is None and replaced is not None else mode
    begin = partial(Draft.begun, channel, path, site.place(path), site.beside(path), private=mode is not None)
    try:
        return await begin(), mode
    except Refused as error:
        if not packets.is_missing(error):
            raise
    # The directory was removed since it was last looked at.
    site.directories.forget()
    await site.directories.ensure(channel, parent(path), make=True)
    return await begin(), mode


async def written(
    site: Site,
    path: str,
    content: bytes,
    expect: Precondition,
    mtime_ns: Optional[int],
    mode: Optional[int],
    channel: Channel,
) -> Stamp:
    """Write content that is all here and verified."""
    draft, kept_mode = await begun(site, path, expect, mode, channel)
    try:
        await draft.add(content)
        return await finished(site, draft, expect, mtime_ns, kept_mode)
    except BaseException as error:
        await given_up(site, draft, error)
        raise


async def finished(
    site: Site, draft: Draft, expect: Precondition, mtime_ns: Optional[int], mode: Optional[int]
) -> Stamp:
    """Complete a draft that holds everything, and give it its name."""
    stamp = await draft.completed(mtime_ns, mode, in_order=site.abilities.in_order)
    await _placed(site, draft, expect)
    return stamp


async def _placed(site: Site, draft: Draft, expect: Precondition) -> None:
    if expect.demand is Expectation.ABSENT:
        await renamed_alone(site, draft.channel, draft.path, draft.aside, draft.place)
    else:
        # RACE: a version that appears between this look and the rename is replaced; see the windows.
        await site.admitted(draft.channel, draft.path, expect)
        await renamed_over(site, draft.channel, draft.path, draft.aside, draft.place)
    release(draft.name)


async def given_up(site: Site, draft: Draft, error: BaseException) -> None:
    """Remove what a failed write left; raises what the failure means where that is known better."""
    if not await draft.discard():
        site.leave_litter(draft.aside)
    refused = error if isinstance(error, Refused) else error.__cause__
    if isinstance(refused, Refused) and refused.code == packets.FAILURE:
        await draft.check_space(site.directories.root or b".")


# Copies on the server


async def copied(
    site: Site, old: str, new: str, expect: Precondition, expect_origin: Optional[Stamp], channel: Channel
) -> Optional[Stamp]:
    """Let the server copy a file, with its modification time and permissions; None where *old* is no file."""
    origin = await site.origin(channel, old, expect_origin)
    if origin.kind is not Kind.FILE:
        return None
    draft, _ = await begun(site, new, expect, origin.mode, channel)
    try:
        stamp = await _filled(site, old, draft, origin)
        await _placed(site, draft, expect)
    except BaseException as error:
        await given_up(site, draft, error)
        raise
    return stamp


async def _filled(site: Site, old: str, draft: Draft, origin: Entry) -> Stamp:
    channel = draft.channel
    handle = packets.handle_in(await channel.ask(packets.open_to_read(site.place(old))))
    try:
        first = packets.attributes_in(await channel.ask(packets.look_at_open(handle)))
        if stamp_of(first) != origin.stamp:
            raise PreconditionFailed(f"{shown(old)}: it has changed", path=old)
        await _copied_by_slices(draft, handle, first.size or 0)
        stamp = await draft.completed(origin.stamp.mtime_ns, origin.mode, in_order=site.abilities.in_order)
        check_unchanged(old, first, packets.attributes_in(await channel.ask(packets.look_at_open(handle))))
        return stamp
    finally:
        if channel.lost is None:
            channel.send(packets.close(handle))


async def _copied_by_slices(draft: Draft, origin: bytes, size: int) -> None:
    """Fill a draft from an open file; in slices, so that others get their turn."""
    for offset in range(0, size, _COPY_SLICE_BYTES):
        length = min(_COPY_SLICE_BYTES, size - offset)
        packets.check(await draft.channel.ask(packets.copy_data(origin, draft.handle, offset, length)))
    draft.count = size
