"""One SFTP conversation over an SSH connection: requests go out together, each answer finds who waits for it.

Everything here runs on the event loop. Whatever is asked for within one turn of the loop, by whomever, leaves in as
few SSH packets as it fits into; the server answers in order, so a client that asks for several things at once waits
for one round trip.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Dict, List, Optional, Tuple

import asyncssh

from . import sftp_packets as packets
from .sftp_packets import Limits, Malformed, Refused, Reply, Request

_LARGEST_PACKET = 4 << 20


class Lost(Exception):
    """The connection ended before everything was answered; what was asked for may have happened, or not."""


def _check_size(size: int) -> None:
    if size > _LARGEST_PACKET:
        # Most often text from a start file of the shell, in the place of a length.
        raise Malformed("the server sends something before its answers; look for output of a shell's start files")


class _Batch:
    """Requests that were sent together, and the answers that have come."""

    __slots__ = ("future", "missing", "replies")

    def __init__(self, future: asyncio.Future[List[Reply]], count: int) -> None:
        self.future = future
        self.missing = count
        self.replies: List[Any] = [None] * count

    def take(self, index: int, reply: Reply) -> None:
        self.replies[index] = reply
        self.missing -= 1
        if self.missing == 0 and not self.future.done():
            self.future.set_result(self.replies)


class Channel(asyncssh.SSHClientSession[bytes]):
    """One conversation; ``waiting`` is how many answers are due."""

    def __init__(self) -> None:
        self.extensions: Dict[bytes, bytes] = {}
        self.limits = Limits()
        self.lost: Optional[Lost] = None
        self._loop = asyncio.get_running_loop()
        self._greeted: asyncio.Future[bytes] = self._loop.create_future()
        self._channel: Any = None
        self._received = bytearray()
        self._waiting: Dict[int, Tuple[_Batch, int]] = {}
        self._number = 0
        self._leaving: List[bytes] = []

    @property
    def waiting(self) -> int:
        """How many answers are due."""
        return len(self._waiting)

    async def start(self) -> None:
        """Greet the server, and learn what it can do."""
        self._channel.write(packets.greeting())
        self.extensions = packets.extensions_of(await self._greeted)
        if b"limits@openssh.com" in self.extensions:
            with suppress(Refused):
                self.limits = packets.limits_in(await self.ask(packets.ask_limits()))

    def send(self, *requests: Request) -> asyncio.Future[List[Reply]]:
        """Send requests together; the result is all their answers, in order. Raises Lost where nobody listens."""
        if self.lost is not None:
            raise self.lost
        if not self._leaving:
            self._loop.call_soon(self._flush_soon)
        batch = _Batch(self._loop.create_future(), len(requests))
        for index, request in enumerate(requests):
            number = self._number = (self._number + 1) & 0xFFFFFFFF
            self._waiting[number] = (batch, index)
            self._leaving.append(packets.framed(number, request))
        return batch.future

    async def ask(self, request: Request) -> Reply:
        """Send one request and return its answer."""
        return (await self.send(request))[0]

    def _flush_soon(self) -> None:
        # One more turn of the loop lets those in who have just got an answer, or come from their threads.
        self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        leaving, self._leaving = self._leaving, []
        try:
            self._channel.write(b"".join(leaving))
        except OSError as error:
            self.connection_lost(error)

    # What asyncssh calls

    def connection_made(self, chan: Any) -> None:
        """Take the channel that was opened."""
        self._channel = chan

    def data_received(self, data: bytes, datatype: Optional[int]) -> None:
        """Take bytes of answers apart; what a login script says on the side is not for us."""
        if datatype is not None:
            return
        received = self._received
        received += data
        at, end = 0, len(received)
        try:
            while end - at >= 4:
                size = int.from_bytes(received[at : at + 4], "big")
                _check_size(size)
                if end - at - 4 < size:
                    break
                with memoryview(received) as view:
                    packet = bytes(view[at + 4 : at + 4 + size])
                self._answer(packet)
                at += 4 + size
        except Malformed as error:
            self._end(Lost(f"the server does not speak SFTP: {error}"))
            self._channel.abort()
        del received[:at]

    def _answer(self, packet: bytes) -> None:
        if not self._greeted.done():
            self._greeted.set_result(packet)
            return
        if len(packet) < 5:
            raise Malformed("an answer that is cut off")
        found = self._waiting.pop(int.from_bytes(packet[1:5], "big"), None)
        if found is None:
            raise Malformed("an answer to nothing that was asked")
        batch, index = found
        batch.take(index, packet)

    def eof_received(self) -> bool:
        """Close, now that the server has."""
        return False

    def connection_lost(self, exc: Optional[Exception]) -> None:
        """Tell everybody who waits that no answer will come."""
        self._end(Lost(str(exc or "") or "the server closed the connection"))

    def _end(self, lost: Lost) -> None:
        self.lost = self.lost or lost
        waiting, self._waiting = self._waiting, {}
        futures: List[asyncio.Future[Any]] = [self._greeted, *(batch.future for batch, _ in waiting.values())]
        for future in futures:
            if not future.done():
                future.set_exception(lost)
                future.exception()  # nobody may be waiting for it any more

    def close(self) -> None:
        """End the conversation."""
        if self._channel is not None:
            self._channel.close()
