"""How a file behind SFTP gets its content and its name: drafts beside their places, and renames.

What is written appears all at once: content goes to a temporary name in the same directory, and is renamed when it
is complete. A small file takes three round trips: open; write, set, look and close; rename.
"""

from __future__ import annotations

import time
from asyncio import Future
from collections import deque
from contextlib import suppress
from typing import Any, Callable, Deque, Optional, Tuple

from attrs import define, field, frozen

from ..core.entry import Entry, Stamp
from ..core.paths import encoded, shown
from ..errors import NoSpace, PreconditionFailed, Unavailable
from . import sftp_packets as packets
from .sftp_channel import Channel, Lost
from .sftp_facts import entry_of, is_directory, seconds_of, stamp_of
from .sftp_packets import Attributes, Malformed, Refused
from .sftp_reading import WINDOW_BYTES, block_bytes, found_at
from .temporary import release, temporary_name

_COPY_SLICE_BYTES = 64 << 20

Admit = Callable[[Optional[Entry]], None]
"""Raises PreconditionFailed unless what a look found may be replaced."""


@frozen
class Abilities:
    """What one server can do besides the standard."""

    renames_over: bool = False
    hard_links: bool = False
    rename_refuses: bool = False
    """Its plain rename never replaces anything, not even in a race: OpenSSH makes a hard link for it."""
    copies: bool = False
    link_target_first: Optional[bool] = None
    """In which order it takes the two paths of a symbolic link; None where nobody knows."""

    @property
    def creates_alone(self) -> bool:
        """Whether a name is taken only while it is free, by the server itself."""
        return self.rename_refuses or self.hard_links


# Server programs by what they call themselves, and whether a link's target comes first, as OpenSSH has it.
_LINK_ORDERS: Tuple[Tuple[str, bool], ...] = (
    ("OpenSSH", True),
    ("paramiko", True),
    ("SFTPGo", True),
    ("-Go", True),
    ("AsyncSSH", False),
)


def abilities_of(channel: Channel, server: str) -> Abilities:
    """Return what the server at the other end of *channel* can do; *server* is what it calls itself."""
    offered = channel.extensions
    return Abilities(
        renames_over=b"posix-rename@openssh.com" in offered,
        hard_links=b"hardlink@openssh.com" in offered,
        rename_refuses="OpenSSH" in server,
        copies=b"copy-data" in offered,
        link_target_first=next((first for name, first in _LINK_ORDERS if name in server), None),
    )


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

    async def completed(self, mtime_ns: Optional[int], mode: Optional[int]) -> Stamp:
        """Send what is left, set what is to be set, and return the stamp, which stays true under the final name."""
        modified = seconds_of(mtime_ns)
        # The time of reading tells a sweeper how old a draft is whose content is from long ago.
        settings = packets.set_open(self.handle, mode=mode, accessed=int(time.time()), modified=modified)
        wanted = [] if mode is None and modified is None else [settings]
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


async def copied(draft: Draft, origin: bytes, size: int) -> None:
    """Let the server copy *size* bytes from an open file into a draft; in slices, so that others get their turn."""
    for offset in range(0, size, _COPY_SLICE_BYTES):
        length = min(_COPY_SLICE_BYTES, size - offset)
        packets.check(await draft.channel.ask(packets.copy_data(origin, draft.handle, offset, length)))
    draft.count = size


async def admitted(channel: Channel, path: str, place: bytes, admit: Admit, *, follow: bool) -> Optional[Attributes]:
    """Look at what is to be replaced; raises PreconditionFailed where it may not be, or is a directory."""
    found = await found_at(channel, place, follow=follow)
    admit(None if found is None else entry_of(path, found))
    if is_directory(found):
        raise PreconditionFailed(f"{shown(path)}: it is a directory", path=path)
    return found


async def renamed_alone(channel: Channel, abilities: Abilities, path: str, old: bytes, new: bytes) -> None:
    """Rename *old* to *new* unless that is taken; raises PreconditionFailed."""
    try:
        if abilities.rename_refuses:
            packets.check(await channel.ask(packets.rename(old, new)))
        elif abilities.hard_links:
            packets.check(await channel.ask(packets.hard_link(old, new)))
            packets.check(await channel.ask(packets.remove(old)))
        else:
            # RACE: a file that appears between this look and the rename may be replaced; see the windows.
            await check_free(channel, path, new)
            packets.check(await channel.ask(packets.rename(old, new)))
    except Refused:
        await check_free(channel, path, new)
        raise


async def check_free(channel: Channel, path: str, place: bytes) -> None:
    """Raise PreconditionFailed where something has a name that was to be free."""
    found = packets.found_in(await channel.ask(packets.look(place)))
    if found is not None:
        raise PreconditionFailed(f"{shown(path)}: something appeared there", path=path)


async def renamed_over(channel: Channel, abilities: Abilities, old: bytes, new: bytes, aside: bytes) -> None:
    """Rename *old* to *new*, replacing it: in one step, or by way of *aside* where the server has no such step."""
    if abilities.renames_over:
        packets.check(await channel.ask(packets.rename_over(old, new)))
        return
    # RACE: for an instant nothing has the name; see the windows.
    stood = packets.found_in(await channel.ask(packets.look(new))) is not None
    if stood:
        packets.check(await channel.ask(packets.rename(new, aside)))
    try:
        packets.check(await channel.ask(packets.rename(old, new)))
    except Refused:
        if stood:
            packets.check(await channel.ask(packets.rename(aside, new)))
        raise
    if stood:
        packets.check(await channel.ask(packets.remove(aside)))
