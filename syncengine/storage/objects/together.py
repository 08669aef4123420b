"""Many conversations at once in one thread: whoever has an answer goes on, and nobody waits for another.

Threads that each wait for one answer hand the interpreter lock to and fro, which with small objects takes three times
as long as the requests themselves. Each conversation has at most one request under way, on a line of its own.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Callable, Dict, Generic, Iterator, List, Optional, Tuple, TypeVar

from attrs import define, field, frozen

from .conversation import Asked, Conversation
from .exchange import Answer, Connections, Lost, Reading, Unclear, Unsent, answer_to, head_of

_Key = TypeVar("_Key")
_Result = TypeVar("_Result")

_LOOKED_AFTER_SECONDS = 1.0
"""How often it is looked whether an answer is overdue."""
_SENT_BYTES = 1 << 16
_NOT_YET = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

_Step = Callable[[], Asked]
"""Lets a conversation go on to its next request; raises what it raises, StopIteration at its end."""


@frozen
class Said(Generic[_Key, _Result]):
    """What a conversation came to: its result, or the error that it raised, and how long (seconds) it took."""

    key: _Key
    result: Optional[_Result]
    error: Optional[Exception]
    seconds: float


@frozen
class _Talk(Generic[_Key, _Result]):
    key: _Key
    conversation: Conversation[_Result]
    began: float


@define(eq=False)
class _Line(Generic[_Key, _Result]):
    """A connection that belongs to these conversations, and what is under way on it."""

    connection: socket.socket
    connections: Connections
    talk: Optional[_Talk[_Key, _Result]] = None
    unsent: memoryview = field(factory=lambda: memoryview(b""))
    reading: Optional[Reading] = None
    most: int = 0
    due: float = 0.0
    """When (seconds of the monotonic clock) the server has been silent for too long, or the line idle."""
    watched: int = selectors.EVENT_READ

    def begin(self, talk: _Talk[_Key, _Result], asked: Asked) -> None:
        head = head_of(asked.method, asked.target, asked.headers, len(asked.content))
        self.talk, self.unsent = talk, memoryview(head + asked.content)
        self.reading = answer_to(asked.method)
        self.most = next(self.reading)
        self.extend()

    def extend(self) -> None:
        self.due = time.monotonic() + self.connections.read_seconds


class Together(Generic[_Key, _Result]):
    """Holds up to *most* conversations at once, in the thread of whoever reads ``said``.

    A key is whatever names a conversation to the caller. What a conversation raises is an answer as well.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._selector = selectors.DefaultSelector()
        self._busy: Dict[int, _Line[_Key, _Result]] = {}
        self._free: Dict[Connections, List[_Line[_Key, _Result]]] = {}
        self._looked_after = self._listened = time.monotonic()

    def said(self, begun: Iterator[Tuple[_Key, Conversation[_Result]]]) -> Iterator[Said[_Key, _Result]]:
        """Yield what each conversation of *begun* came to, in the order of their ends.

        *begun* is read whenever there is room for another, and may come to its end at any time. Whoever stops
        reading here ends every conversation where it stands.
        """
        try:
            while True:
                yield from self._begin(begun)
                if not self._busy:
                    return
                yield from self._heard()
                yield from self._overdue()
        finally:
            self._end()

    def _begin(self, begun: Iterator[Tuple[_Key, Conversation[_Result]]]) -> Iterator[Said[_Key, _Result]]:
        while len(self._busy) < self._most:
            following = next(begun, None)
            if following is None:
                return
            talk = _Talk(*following, time.monotonic())
            said = self._gone_on(talk, talk.conversation.__next__)
            if said is not None:
                yield said

    def _gone_on(self, talk: _Talk[_Key, _Result], step: _Step) -> Optional[Said[_Key, _Result]]:
        """Take steps until an answer has to be waited for; return what was said where the conversation ended."""
        while True:
            try:
                asked = step()
            except StopIteration as ended:
                return Said(talk.key, ended.value, None, time.monotonic() - talk.began)
            except Exception as error:  # noqa: BLE001 - what a conversation raises is for whoever began it
                return Said(talk.key, None, error, time.monotonic() - talk.began)
            try:
                self._ask(talk, asked)
            except Unclear as error:
                step = partial(talk.conversation.throw, error)
            else:
                return None

    # Lines

    def _ask(self, talk: _Talk[_Key, _Result], asked: Asked) -> None:
        line = self._line(asked.connections)
        try:
            line.begin(talk, asked)
            self._busy[id(line)] = line
            self._send(line)
        except (OSError, ValueError) as error:
            self._hang_up(line)
            raise Lost(str(error) or type(error).__name__) from error

    def _line(self, connections: Connections) -> _Line[_Key, _Result]:
        """Return a line that nobody uses; raises Unsent where there can be none."""
        free = self._free.get(connections)
        if free is None:
            free = self._free[connections] = self._opened_at_once(connections)
        while free:
            line = free.pop()
            if line.due >= time.monotonic():
                return line
            self._hang_up(line)
        return self._opened(connections)

    def _opened_at_once(self, connections: Connections) -> List[_Line[_Key, _Result]]:
        """Make every connection that may be wanted: one after the other they would take as many times as long."""

        def opened() -> Optional[socket.socket]:
            with suppress(Unsent):  # whoever needs it tries again, and is told
                return connections.opened()
            return None

        with ThreadPoolExecutor(self._most) as threads:
            made = [threads.submit(opened) for _ in range(self._most)]
        found = (each.result() for each in made)
        return [self._registered(connection, connections) for connection in found if connection is not None]

    def _opened(self, connections: Connections) -> _Line[_Key, _Result]:
        return self._registered(connections.opened(), connections)

    def _registered(self, connection: socket.socket, connections: Connections) -> _Line[_Key, _Result]:
        connection.settimeout(0.0)
        line: _Line[_Key, _Result] = _Line(connection, connections)
        line.due = time.monotonic() + connections.idle_seconds
        self._selector.register(connection, selectors.EVENT_READ, line)
        return line

    def _freed(self, line: _Line[_Key, _Result]) -> None:
        """Keep a line on which nothing is under way."""
        del self._busy[id(line)]
        line.talk = line.reading = None
        line.due = time.monotonic() + line.connections.idle_seconds
        self._free[line.connections].append(line)

    def _hang_up(self, line: _Line[_Key, _Result]) -> None:
        self._busy.pop(id(line), None)
        self._selector.unregister(line.connection)
        line.connection.close()

    def _watch(self, line: _Line[_Key, _Result], events: int) -> None:
        if line.watched != events:
            line.watched = events
            self._selector.modify(line.connection, events, line)

    # What is sent, and what is heard

    def _send(self, line: _Line[_Key, _Result]) -> None:
        """Send what the connection takes by now."""
        while line.unsent:
            try:
                # TLS says nothing of what went before all of it has: by pieces it is seen to move.
                count = line.connection.send(line.unsent[:_SENT_BYTES])
            except ssl.SSLWantReadError:
                return
            except _NOT_YET:
                self._watch(line, selectors.EVENT_READ | selectors.EVENT_WRITE)
                return
            line.unsent = line.unsent[count:]
            line.extend()
        self._watch(line, selectors.EVENT_READ)

    def _heard(self) -> Iterator[Said[_Key, _Result]]:
        self._listened = time.monotonic()
        for found, _ in self._selector.select(_LOOKED_AFTER_SECONDS):
            line: _Line[_Key, _Result] = found.data
            talk = line.talk
            if talk is None:
                free = self._free[line.connections]
                if line in free:  # else it was hung up since it was found
                    free.remove(line)  # the server has closed it, or says what nobody asked
                    self._hang_up(line)
                continue
            step = self._received(line, talk)
            said = None if step is None else self._gone_on(talk, step)
            if said is not None:
                yield said

    def _received(self, line: _Line[_Key, _Result], talk: _Talk[_Key, _Result]) -> Optional[_Step]:
        """Take what has come; return how the conversation goes on, None where the answer is not whole yet."""
        try:
            self._send(line)
            answer = self._read(line)
        except (OSError, ValueError) as error:
            self._hang_up(line)
            return partial(talk.conversation.throw, Lost(str(error) or type(error).__name__))
        return None if answer is None else partial(talk.conversation.send, answer)

    def _read(self, line: _Line[_Key, _Result]) -> Optional[Answer]:
        assert line.reading is not None
        while True:
            try:
                piece = line.connection.recv(line.most)
            except _NOT_YET:
                return None
            line.extend()
            try:
                line.most = line.reading.send(piece)
            except StopIteration as ended:
                answer: Answer
                answer, stays_open = ended.value
                if stays_open and not line.unsent:
                    self._freed(line)
                else:
                    self._hang_up(line)
                return answer
            # What TLS has deciphered already is not announced again.
            if not isinstance(line.connection, ssl.SSLSocket):
                return None

    def _overdue(self) -> Iterator[Said[_Key, _Result]]:
        # Whoever reads what was said may take long, and an answer that came meanwhile was not listened for yet.
        now = self._listened
        if now < self._looked_after + _LOOKED_AFTER_SECONDS:
            return
        self._looked_after = now
        for line in [each for each in self._busy.values() if each.due < now]:
            talk = line.talk
            assert talk is not None
            self._hang_up(line)
            silence = f"no answer within {line.connections.read_seconds:g} seconds"
            said = self._gone_on(talk, partial(talk.conversation.throw, Lost(silence)))
            if said is not None:
                yield said

    def _end(self) -> None:
        """Give back the connections on which nothing is under way, and break off the others."""
        for line in list(self._busy.values()):
            talk = line.talk
            self._hang_up(line)
            if talk is not None:
                talk.conversation.close()
        now = time.monotonic()
        for line in (line for free in self._free.values() for line in free):
            if line.due < now:
                self._hang_up(line)
                continue
            self._selector.unregister(line.connection)
            line.connection.settimeout(line.connections.read_seconds)
            line.connections.give_back(line.connection)
        self._free.clear()
        self._selector.close()
