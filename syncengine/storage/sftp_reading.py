"""One version of a file behind SFTP, open for reading: a small one at once, a large one with reads in flight."""

from __future__ import annotations

from asyncio import Future
from collections import deque
from contextlib import suppress
from typing import Any, Callable, Deque, List, Optional, Tuple

from attrs import define, field, frozen

from ..core.entry import Entry, Stamp
from ..core.paths import shown
from ..errors import PreconditionFailed
from . import sftp_packets as packets
from .protocol import Precondition
from .sftp_channel import Channel, Lost
from .sftp_facts import entry_of, is_file, is_link, stamp_of
from .sftp_packets import Attributes

SMALL_BYTES = 256 << 10
"""Up to this size content is read, and written, in one go."""
WINDOW_BYTES = 4 << 20
"""How much of one large file may be on its way at once."""
_LARGEST_BLOCK = 256 << 10

Check = Callable[[Optional[Entry]], None]


def block_bytes(limit: int) -> int:
    """Return how much one request carries, given the server's limit."""
    return max(1, min(limit, _LARGEST_BLOCK))


@frozen
class Opened:
    """A file that was opened, in one version; a small one was read and closed already."""

    first: Attributes
    handle: Optional[bytes] = None
    content: bytes = b""


async def found_at(channel: Channel, place: bytes, *, follow: bool) -> Optional[Attributes]:
    """Look at a path; where links are followed, at what it leads to, or at the link where that is nothing."""
    found = packets.found_in(await channel.ask(packets.look(place)))
    if not (follow and is_link(found)):
        return found
    return packets.found_in(await channel.ask(packets.look_through(place))) or found


async def entry_at(channel: Channel, path: str, place: bytes, *, follow: bool) -> Optional[Entry]:
    """Look at a path and return its entry, the target of a link included."""
    found = await found_at(channel, place, follow=follow)
    if found is None:
        return None
    link = packets.path_in(await channel.ask(packets.read_link(place))) if is_link(found) else None
    return entry_of(path, found, link)


async def opened(channel: Channel, path: str, place: bytes, check: Check, *, follow: bool) -> Opened:
    """Open one version, which *check* must accept, and read it where it is small.

    The look comes first and alone: to open a named pipe would stop the whole conversation.
    """
    found = await found_at(channel, place, follow=follow)
    check(None if found is None else entry_of(path, found))
    assert found is not None
    size = found.size
    if size is not None and size <= min(SMALL_BYTES, block_bytes(channel.limits.read)):
        content = await _small_content(channel, path, place, found)
        # A server may send less than was asked for; then the file is read as a large one is.
        if content is not None:
            return Opened(found, None, content)
    handle = packets.handle_in(await channel.ask(packets.open_to_read(place)))
    try:
        first = packets.attributes_in(await channel.ask(packets.look_at_open(handle)))
        check_unchanged(path, found, first)
    except BaseException:
        if channel.lost is None:
            channel.send(packets.close(handle))
        raise
    return Opened(first, handle)


async def _small_content(channel: Channel, path: str, place: bytes, found: Attributes) -> Optional[bytes]:
    size = found.size or 0
    handle = packets.handle_in(await channel.ask(packets.open_to_read(place)))
    # One byte more than there should be tells of a file that grew.
    data, end, _ = await channel.send(
        packets.read(handle, 0, size + 1), packets.look_at_open(handle), packets.close(handle)
    )
    content = packets.data_in(data)
    check_unchanged(path, found, packets.attributes_in(end))
    if len(content) > size:
        raise PreconditionFailed(f"{shown(path)}: it changed while it was being read", path=path)
    return content if len(content) == size else None


def check_unchanged(path: str, first: Attributes, last: Attributes) -> None:
    """Raise PreconditionFailed unless two looks saw one version of one file."""
    if not is_file(last) or (first.size, first.mode, first.modified) != (last.size, last.mode, last.modified):
        raise PreconditionFailed(f"{shown(path)}: it changed while it was being read", path=path)


@define(eq=False)
class Stream:
    """Reads a large file from front to back, with several reads on their way."""

    channel: Channel
    handle: bytes
    size: Optional[int]
    _asked: int = 0
    _coming: Deque[Tuple[int, int, Future[Any]]] = field(factory=deque)
    _ended: bool = False

    async def take(self, wanted: int) -> bytes:
        """Return the next bytes, at least one block unless the file ends, and at most *wanted* or a block."""
        pieces: List[bytes] = []
        count = 0
        while not self._ended:
            self._ask_ahead()
            if not self._coming or (pieces and count + self._coming[0][1] > wanted):
                break
            data = await self._next()
            self._ended = not data
            pieces.append(data)
            count += len(data)
        return b"".join(pieces)

    def _ask_ahead(self) -> None:
        block = block_bytes(self.channel.limits.read)
        # One read beyond the size that was seen tells of a file that grew.
        while len(self._coming) * block < WINDOW_BYTES and (self.size is None or self._asked <= self.size):
            reply = self.channel.send(packets.read(self.handle, self._asked, block))
            self._coming.append((self._asked, block, reply))
            self._asked += block

    async def _next(self) -> bytes:
        offset, size, reply = self._coming.popleft()
        data = packets.data_in((await reply)[0])
        if data and len(data) < size:
            data += await self._rest(offset + len(data), size - len(data))
        return data

    async def _rest(self, offset: int, size: int) -> bytes:
        """Read what a short answer left out; a server may send less than was asked for."""
        pieces: List[bytes] = []
        while size:
            data = packets.data_in(await self.channel.ask(packets.read(self.handle, offset, size)))
            if not data:
                break
            pieces.append(data)
            offset, size = offset + len(data), size - len(data)
        return b"".join(pieces)

    async def look(self) -> Attributes:
        """Look at the open file."""
        return packets.attributes_in(await self.channel.ask(packets.look_at_open(self.handle)))

    async def close(self) -> None:
        """Close the file, whatever is still on its way; what a lost connection had open is closed."""
        with suppress(Lost):
            await self.channel.ask(packets.close(self.handle))


class SftpSource:
    """One version of a file, open for reading inside a ``with`` block."""

    local_path: Optional[str] = None

    def __init__(self, client: Any, path: str, expect: Optional[Precondition]) -> None:
        self.size: Optional[int] = None
        self.stamp = Stamp()
        self.mode = 0
        self._client = client
        self._path = path
        self._expect = expect
        self._first = Attributes()
        self._content = b""
        self._at = 0
        self._stream: Optional[Stream] = None

    def __enter__(self) -> SftpSource:
        first, self._content, self._stream = self._client.opened(self._path, self._expect)
        self._first = first
        self.stamp = stamp_of(first)
        self.size = first.size
        self.mode = (first.mode or 0) & 0o7777
        return self

    def __exit__(self, *exception: object) -> None:
        if self._stream is not None:
            self._client.awaited(self._path, self._stream.close())

    def read(self, size: int = -1) -> bytes:
        """Return up to *size* bytes, all of them if negative, and ``b""`` at the end."""
        if self._stream is not None and not (size >= 0 and len(self._content) - self._at >= size):
            return self._read_on(size)
        end = len(self._content) if size < 0 else self._at + size
        data = self._content[self._at : end]
        self._at += len(data)
        return data

    def _read_on(self, size: int) -> bytes:
        assert self._stream is not None
        if size < 0:
            pieces = [self._content[self._at :]]
            self._content, self._at = b"", 0
            while pieces[-1] or len(pieces) == 1:
                pieces.append(self._client.awaited(self._path, self._stream.take(WINDOW_BYTES)))
            return b"".join(pieces)
        kept = self._content[self._at :]
        if not kept:
            kept = self._client.awaited(self._path, self._stream.take(size))
        self._content, self._at = kept[size:], 0
        return bytes(kept[:size])

    def verify(self) -> Stamp:
        """Return the stamp of what was read; raises PreconditionFailed where the file changed meanwhile."""
        if self._stream is not None:
            check_unchanged(self._path, self._first, self._client.awaited(self._path, self._stream.look()))
        return self.stamp
