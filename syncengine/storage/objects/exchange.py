"""Requests and answers of HTTP/1.1 over connections that stay open, at a third of the processor time of http.client.

With many small objects, reading an answer in the standard library's general way takes longer than everything else that
is done for one. An answer is either read as it was framed or not at all: what is cut short, or unlike HTTP, is Lost.
"""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Deque, Dict, Generator, Mapping, Tuple
from urllib.parse import urlsplit
from weakref import finalize

from attrs import define, field, frozen

if TYPE_CHECKING:
    from ssl import SSLContext

_IDLE_SECONDS = 2.0
"""A connection that nobody has used for longer is not trusted to be open still; no server is known to be as quick."""
_RECEIVED_BYTES = 1 << 18
_RECEIVED_FIRST_BYTES = 1 << 13
"""A head, and what is small. To make room for more takes longer than to read it."""
_RECEIVED_CHUNKS_BYTES = 1 << 16
_SENT_BYTES = 1 << 16
_MOST_HEADER_BYTES = 1 << 17
_WITHOUT_CONTENT = (204, 304)


class Unclear(Exception):
    """An answer that is not interpreted here, or none."""


class Unsent(Unclear):
    """No connection could be made, so nothing was asked."""


class Lost(Unclear):
    """Something was sent, and no whole answer came: what was asked for may have been done or not."""


@frozen
class Answer:
    """What came back; the names in ``headers`` are in small letters."""

    status: int
    headers: Mapping[str, str]
    content: bytes = b""

    @property
    def etag(self) -> str:
        """Quoted, empty where the answer has none."""
        return self.headers.get("etag", "")


@define(eq=False)
class Connections:
    """Connections to the host of *address*, made when they are needed; times are in seconds."""

    address: str
    connect_seconds: float
    read_seconds: float
    idle_seconds: float = field(default=_IDLE_SECONDS, init=False)
    _secure: bool = field(init=False)
    _host: str = field(init=False)
    _port: int = field(init=False)
    _idle: Deque[Tuple[float, socket.socket]] = field(factory=deque, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Read the address once."""
        parts = urlsplit(self.address)
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port or (443 if self._secure else 80)
        finalize(self, _close, self._idle)

    def ask(self, method: str, target: str, headers: Mapping[str, str], content: bytes = b"") -> Answer:
        """Send one request and return its answer; raises Unsent or Lost. Nothing is repeated or followed."""
        connection = self.opened()
        try:
            _send(connection, head_of(method, target, headers, len(content)), content)
            answer, stays_open = _answer(connection, method)
        except (OSError, ValueError) as error:
            connection.close()
            raise Lost(str(error) or type(error).__name__) from error
        except BaseException:
            connection.close()  # an answer that nobody read must not be taken for that of the next request
            raise
        self.give_back(connection, stays_open=stays_open)
        return answer

    def opened(self) -> socket.socket:
        """Return a connection that nobody else uses, in blocking mode; raises Unsent where none can be made."""
        oldest = time.monotonic() - self.idle_seconds
        while self._idle:
            try:
                used, connection = self._idle.pop()
            except IndexError:
                break
            if used >= oldest and _is_silent(connection):
                return connection
            connection.close()
        return self._made()

    def give_back(self, connection: socket.socket, *, stays_open: bool = True) -> None:
        """Keep a connection on which nothing is under way for the next request, or close it."""
        if stays_open:
            self._idle.append((time.monotonic(), connection))
        else:
            connection.close()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        _close(self._idle)

    def _made(self) -> socket.socket:
        try:
            connection = socket.create_connection((_spelled(self._host), self._port), self.connect_seconds)
        except OSError as error:
            raise Unsent(str(error)) from error
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._secure:
                connection = _trust().wrap_socket(connection, server_hostname=self._host)
            connection.settimeout(self.read_seconds)
        except OSError as error:
            connection.close()
            raise Unsent(str(error)) from error
        return connection


def _spelled(host: str) -> Any:
    """Return a host in bytes where it is ASCII: of a text Python loads all rules of international names first."""
    return host.encode("ascii") if host.isascii() else host


@lru_cache(maxsize=1)
def _trust() -> SSLContext:
    """Return whom this system trusts; reading that takes longer than a request."""
    from ssl import create_default_context

    return create_default_context()


def _is_silent(connection: socket.socket) -> bool:
    """Say whether nothing has come that nobody asked for: it would be taken for the next answer, or is the end."""
    if hasattr(select, "poll"):
        waiting = select.poll()
        waiting.register(connection, select.POLLIN)
        return not waiting.poll(0)
    return not select.select([connection], [], [], 0)[0]


def _close(idle: Deque[Tuple[float, socket.socket]]) -> None:
    while idle:
        idle.pop()[1].close()


def head_of(method: str, target: str, headers: Mapping[str, str], length: int) -> bytes:
    """Return a request up to its content of *length* bytes."""
    lines = [f"{method} {target} HTTP/1.1", *[f"{name}: {value}" for name, value in headers.items()]]
    if length or method in ("PUT", "POST"):
        lines.append(f"Content-Length: {length}")
    return "\r\n".join((*lines, "\r\n")).encode("latin-1")


def _send(connection: socket.socket, head: bytes, content: bytes) -> None:
    if len(content) <= _SENT_BYTES:
        connection.sendall(head + content)
        return
    connection.sendall(head)
    view = memoryview(content)
    # The limit on silence is one on the whole of each call.
    for start in range(0, len(view), _SENT_BYTES):
        connection.sendall(view[start : start + _SENT_BYTES])


def _answer(connection: socket.socket, method: str) -> Tuple[Answer, bool]:
    reading = answer_to(method)
    most = next(reading)
    while True:
        try:
            most = reading.send(connection.recv(most))
        except StopIteration as ended:
            answer: Tuple[Answer, bool] = ended.value
            return answer


Reading = Generator[int, bytes, Tuple[Answer, bool]]
"""Reads one answer, whoever fetches its bytes: yields how many it takes at most, and is sent what came."""


def answer_to(method: str) -> Reading:
    """Read the answer to a request of *method*; return it, and whether another may follow on the connection.

    Raises OSError where the connection ended before it, ValueError where what came is no answer.
    """
    return _Reader().answer(method)


_More = Generator[int, bytes, bytes]


@define(eq=False)
class _Reader:
    _read: bytes = field(default=b"", init=False)
    _at: int = field(default=0, init=False)
    """How much of what has come was taken: cutting that off for each of many chunks copies the rest every time."""

    def answer(self, method: str) -> Reading:
        version, status, headers = _told((yield from self._until(b"\r\n\r\n")))
        while 100 <= status < 200:
            version, status, headers = _told((yield from self._until(b"\r\n\r\n")))
        stays_open = version == "HTTP/1.1" and "close" not in headers.get("connection", "").lower()
        if method == "HEAD" or status in _WITHOUT_CONTENT:
            content = b""
        elif "transfer-encoding" in headers:
            content = yield from self._chunks(headers["transfer-encoding"])
        elif "content-length" in headers:
            content = yield from self._taken(_number(headers["content-length"], 10))
        else:
            content, stays_open = (yield from self._rest()), False
        # More than was announced belongs to no request.
        return Answer(status, headers, content), stays_open and self._at == len(self._read)

    def _chunks(self, coding: str) -> _More:
        if coding.lower() != "chunked":
            raise ValueError(f"the transfer coding {coding!r} is unknown")
        chunks = []
        while True:
            line = yield from self._until(b"\r\n", _RECEIVED_CHUNKS_BYTES)
            size = _number(line.partition(b";")[0].decode("latin-1").strip(), 16)
            if not size:
                break
            chunk = yield from self._taken(size + 2, _RECEIVED_CHUNKS_BYTES)
            if not chunk.endswith(b"\r\n"):
                raise ValueError("a chunk is longer than it says")
            chunks.append(chunk[:-2])
        while (yield from self._until(b"\r\n")):
            pass  # trailers
        return b"".join(chunks)

    def _until(self, end: bytes, most: int = _RECEIVED_FIRST_BYTES) -> _More:
        while (found := self._read.find(end, self._at)) < 0:
            if len(self._read) - self._at > _MOST_HEADER_BYTES:
                raise ValueError("a header never ends")
            self._read, self._at = self._read[self._at :] + _some((yield most)), 0
        taken = self._read[self._at : found]
        self._at = found + len(end)
        return taken

    def _taken(self, size: int, least: int = 0) -> _More:
        """Return the next *size* bytes; of what follows them, up to *least* bytes in all are fetched with them."""
        taken = self._read[self._at : self._at + size]
        self._at += len(taken)
        pieces, missing = [taken], size - len(taken)
        if not missing:
            return taken
        while missing:
            self._read = _some((yield min(max(missing, least), _RECEIVED_BYTES)))
            self._at = min(missing, len(self._read))
            pieces.append(self._read[: self._at])
            missing -= self._at
        return b"".join(pieces)

    def _rest(self) -> _More:
        """Return what comes until the server ends the connection, which then is the end of the answer."""
        pieces, self._at = [self._read[self._at :]], len(self._read)
        while True:
            piece = yield _RECEIVED_BYTES
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)


def _some(piece: bytes) -> bytes:
    if not piece:
        raise ConnectionError("the connection ended before the answer")
    return piece


def _told(head: bytes) -> Tuple[str, int, Dict[str, str]]:
    """Return the version, the status and the headers of an answer."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise ValueError("the answer is not HTTP")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError("a header has no name")
        headers[name.lower()] = value.strip()
    return version, _number(rest[:3], 10), headers


def _number(text: str, base: int) -> int:
    # int() takes signs, blanks and underscores, by which two readers of one answer could come to differ.
    if not text.isalnum() or not text.isascii():
        raise ValueError(f"{text!r} is no number")
    return int(text, base)
