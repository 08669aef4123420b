"""The content of an answer handed on while it comes, through one small buffer, so that it is never held as a whole."""

from __future__ import annotations

import socket
from typing import Callable, Tuple, Union

from .conversation import Asked
from .exchange import Answer, Lost, Unclear, answer_to, head_of

Piece = Union[bytes, memoryview]
Take = Callable[[int, Piece], None]
"""Takes a piece of content and where it begins; the piece is good only until the call returns."""

BUFFER_BYTES = 1 << 18
"""As much stays in the cache of a processor between its coming and its being written."""
_HEAD_BYTES = 1 << 13
_MOST_HEAD_BYTES = 1 << 17
_END = b"\r\n\r\n"


def poured(asked: Asked, length: int, accepts: Callable[[Answer], bool], take: Take) -> None:
    """Send one request for content and hand the *length* bytes that come to *take*, from 0 on.

    *accepts* is asked once the head of the answer is there. Raises Unclear where it says no or another length was
    announced, Unsent or Lost where no whole answer came, and whatever *take* raises; some bytes may have been handed
    on then.
    """
    connection = asked.connections.opened()
    try:
        answer, stays_open, rest = _asked(connection, asked)
        _check(answer, length, len(rest), accepted=accepts(answer))
        take(0, rest)
        _rest(connection, len(rest), length, take)
    except BaseException:
        connection.close()  # what was not read of an answer must not be taken for the next one
        raise
    asked.connections.give_back(connection, stays_open=stays_open)


def _check(answer: Answer, length: int, came: int, *, accepted: bool) -> None:
    headers = answer.headers
    if "transfer-encoding" in headers or headers.get("content-length") != str(length) or not accepted:
        raise Unclear(f"status {answer.status}")
    if came > length:
        raise Lost("more came than was announced")


def _asked(connection: socket.socket, asked: Asked) -> Tuple[Answer, bool, bytes]:
    """Return the head of the answer, whether another may follow it, and what came after the head already."""
    came = b""
    try:
        connection.sendall(head_of(asked.method, asked.target, asked.headers, 0))
        while _END not in came:
            piece = connection.recv(_HEAD_BYTES)
            if not piece or len(came) > _MOST_HEAD_BYTES:
                raise Lost("the connection ended before the answer" if not piece else "a header never ends")
            came += piece
        head, _, rest = came.partition(_END)
        # The head alone is read as the answer to a question that is answered without content.
        reading = answer_to("HEAD")
        next(reading)
        reading.send(head + _END)
    except StopIteration as ended:
        return (*ended.value, rest)
    except (OSError, ValueError) as error:
        raise Lost(str(error) or type(error).__name__) from error
    raise Lost("an answer of several heads")


def _rest(connection: socket.socket, start: int, length: int, take: Take) -> None:
    buffer = memoryview(bytearray(min(BUFFER_BYTES, max(length - start, 0))))
    while start < length:
        filled, most = 0, min(len(buffer), length - start)
        while filled < most:
            try:
                count = connection.recv_into(buffer[filled:most])
            except OSError as error:
                raise Lost(str(error) or type(error).__name__) from error
            if not count:
                raise Lost("the connection ended before the answer")
            filled += count
        take(start, buffer[:filled])
        start += filled
