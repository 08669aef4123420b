"""Requests over connections that stay open: every framing of an answer is read, and what is torn is never an answer."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from typing import Iterator, List, Optional, Tuple

import pytest
import trustme

from syncengine.storage.objects.exchange import Answer, Connections, Lost, Unsent, answer_to


class Speaker:
    """A server that says just these bytes for each request, and counts the connections it was asked over."""

    def __init__(self, *answers: bytes, secured: Optional[ssl.SSLContext] = None) -> None:
        self.answers = list(answers)
        self.secured = secured
        self.asked: List[bytes] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        scheme = "http" if secured is None else "https"
        self.address = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}/bucket"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while self.answers:
            connection = self._listener.accept()[0]
            self.connections += 1
            if self.secured is not None:
                with suppress(OSError):  # whoever asks may not trust the certificate, and says so at any moment
                    connection = self.secured.wrap_socket(connection, server_side=True)
                    self._speak(connection)
                connection.close()
                return
            with connection, suppress(ConnectionResetError):  # whoever asks may hang up on what it did not read
                self._speak(connection)

    def _speak(self, connection: socket.socket) -> None:
        while self.answers:
            request = b""
            while b"\r\n\r\n" not in request:
                piece = connection.recv(65536)
                if not piece:
                    return
                request += piece
            self.asked.append(request)
            answer = self.answers.pop(0)
            connection.sendall(answer)
            if b"HTTP/1.1" not in answer or b"close" in answer or answer.endswith(TORN):
                return

    def end(self) -> None:
        self.answers.clear()
        self._listener.close()
        self._thread.join(20)


TORN = b"<torn>"


@contextmanager
def saying(*answers: bytes, secured: Optional[ssl.SSLContext] = None) -> Iterator[Speaker]:
    speaker = Speaker(*answers, secured=secured)
    try:
        yield speaker
    finally:
        speaker.end()


def answer(*lines: str, content: bytes = b"") -> bytes:
    return "\r\n".join((*lines, "\r\n")).encode() + content


@pytest.mark.parametrize(
    "said",
    [
        answer("HTTP/1.1 200 OK", "Content-Length: 7", content=b"content"),
        answer("HTTP/1.1 200 OK", "content-length:7", "Connection: close", content=b"content"),
        answer("HTTP/1.1 100 Continue") + answer("HTTP/1.1 200 OK", "Content-Length: 7", content=b"content"),
        answer("HTTP/1.1 200", "Transfer-Encoding: chunked", content=b"3\r\ncon\r\n4;x=y\r\ntent\r\n0\r\n\r\n"),
        answer("HTTP/1.1 200", "Transfer-Encoding: Chunked", content=b"7\r\ncontent\r\n0\r\nEnd: yes\r\n\r\n"),
        answer("HTTP/1.0 200 OK", "Content-Length: 7", content=b"content"),
        answer("HTTP/1.0 200 OK", content=b"content"),
    ],
)
def test_every_framing_is_read(said: bytes) -> None:
    with saying(said) as speaker:
        connections = Connections(speaker.address, 20, 20)

        found = connections.ask("GET", "/bucket/k", {"Host": "h"})

        connections.close()
    assert (found.status, found.content) == (200, b"content")


CHUNKED = answer(
    *("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"),
    content=b"3\r\ncon\r\n20000;x=y\r\n" + bytes(0x20000) + b"\r\n4\r\ntent\r\n0\r\nEnd: yes\r\n\r\n",
)
WHOLE = answer("HTTP/1.1 200 OK", f"Content-Length: {0x20007}", content=b"con" + bytes(0x20000) + b"tent")


def read(said: bytes, most: int) -> Tuple[Answer, bool, int]:
    """Read an answer that comes in pieces of *most* bytes; return also how much of what was said was taken."""
    reading = answer_to("GET")
    wanted, at = next(reading), 0
    while True:
        piece = said[at : at + min(most, wanted)]
        at += len(piece)
        try:
            wanted = reading.send(piece)
        except StopIteration as ended:
            return (*ended.value, at)


@pytest.mark.parametrize("said", [CHUNKED, WHOLE])
@pytest.mark.parametrize("most", [1, 2, 3, 7, 4096, 1 << 20])
def test_an_answer_is_read_whatever_pieces_it_comes_in(said: bytes, most: int) -> None:
    found, stays_open, at = read(said, most)

    assert found.content == b"con" + bytes(0x20000) + b"tent"
    assert (at, stays_open) == (len(said), True)


@pytest.mark.parametrize("said", [CHUNKED, WHOLE])
def test_what_follows_an_answer_leaves_its_connection_unused(said: bytes) -> None:
    found, stays_open, at = read(said + b"HTTP", 1 << 20)

    assert found.content == b"con" + bytes(0x20000) + b"tent"
    assert stays_open is (at == len(said)), "unless it was left to be found by the next one"


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        answer("HTTP/1.1 200 OK", "Content-Length: 70", content=b"content"),
        answer("HTTP/1.1 200 OK", "Content-Length: -7", content=b"content"),
        answer("HTTP/1.1 200 OK", "Content-Length: 7_0", content=b"content"),
        answer("HTTP/1.1 200", "Transfer-Encoding: chunked", content=b"3\r\ncontent\r\n0\r\n\r\n"),
        answer("HTTP/1.1 200", "Transfer-Encoding: chunked", content=b"7\r\ncontent\r\n"),
        answer("HTTP/1.1 200", "Transfer-Encoding: gzip", content=b"content"),
        answer("HTTP/1.1 fine", content=b"content"),
        answer("HTTP/1.1 200 OK", "no header", content=b"content"),
        answer("ICY 200 OK", content=b"content"),
    ],
)
def test_what_is_torn_or_unlike_http_is_no_answer(said: bytes) -> None:
    with saying(said + TORN) as speaker:
        connections = Connections(speaker.address, 20, 20)

        with pytest.raises(Lost):
            connections.ask("PUT", "/bucket/k", {"Host": "h"}, b"content")

        assert len(speaker.asked) == 1, "nothing is repeated"
        connections.close()


def test_nobody_there_is_known_to_have_been_asked_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(Unsent):
        Connections(f"http://127.0.0.1:{port}", 20, 20).ask("PUT", "/k", {}, b"content")


def test_what_comes_behind_an_answer_is_not_the_next_one() -> None:
    one, other = (
        answer("HTTP/1.1 200 OK", f"Content-Length: {0x20007}", content=content * 0x20007) for content in (b"1", b"2")
    )
    with saying(one + other, other) as speaker:
        connections = Connections(speaker.address, 20, 20)

        first = connections.ask("GET", "/bucket/k", {"Host": "h"}).content
        select.select([connections._idle[-1][1]], [], [], 20)  # until the rest has come
        second = connections.ask("GET", "/bucket/k", {"Host": "h"}).content
        connections.close()

    assert (first[:1], second[:1], speaker.connections) == (b"1", b"2", 2)


FINE = answer("HTTP/1.1 200 OK", "Content-Length: 2", content=b"ok")


def test_one_connection_serves_many_requests_and_none_after_a_pause() -> None:
    with saying(FINE, FINE, FINE) as speaker:
        connections = Connections(speaker.address, 20, 20)
        for _ in range(2):
            assert connections.ask("GET", "/k", {}).content == b"ok"
        assert speaker.connections == 1

        connections.idle_seconds = -1.0
        assert connections.ask("GET", "/k", {}).content == b"ok"

        connections.close()
    assert speaker.connections == 2


@pytest.mark.parametrize("rest", [b"more than was announced", FINE])
def test_a_connection_that_says_more_than_was_asked_is_not_used_again(rest: bytes) -> None:
    with saying(FINE + rest + TORN, FINE) as speaker:
        connections = Connections(speaker.address, 20, 20)

        assert [connections.ask("GET", "/k", {}).content for _ in range(2)] == [b"ok", b"ok"]

        connections.close()
    assert speaker.connections == 2


def test_an_answer_to_a_look_has_no_content_whatever_it_announces() -> None:
    said = answer("HTTP/1.1 200 OK", "Content-Length: 700", 'ETag: "x"')
    with saying(said, FINE) as speaker:
        connections = Connections(speaker.address, 20, 20)

        found = connections.ask("HEAD", "/k", {})

        assert (found.content, found.etag, found.headers["content-length"]) == (b"", '"x"', "700")
        assert connections.ask("GET", "/k", {}).content == b"ok"
        connections.close()
    assert speaker.connections == 1


def test_a_server_that_is_silent_for_too_long_has_not_answered() -> None:
    with saying(b"HTTP/1.1 200 OK\r\n") as speaker:
        connections = Connections(speaker.address, 20, 0.05)

        with pytest.raises(Lost):
            connections.ask("GET", "/k", {})


def certified(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_a_server_with_a_trusted_certificate_is_asked_over_one_connection(authority: trustme.CA) -> None:
    large = b"x" * 300_000
    said = [
        answer("HTTP/1.1 200 OK", "Content-Length: 7", content=b"content"),
        answer("HTTP/1.1 200 OK", f"Content-Length: {len(large)}", content=large),
    ]
    with saying(*said, secured=certified(authority, "127.0.0.1")) as speaker:
        connections = Connections(speaker.address, 5, 5)

        found = [connections.ask("GET", "/bucket/f", {"Host": "h"}).content for _ in said]
        connections.close()

    assert found == [b"content", large]
    assert speaker.connections == 1


@pytest.mark.parametrize("wrong", ["another authority", "another name"])
def test_a_server_that_cannot_prove_who_it_is_is_told_nothing(authority: trustme.CA, wrong: str) -> None:
    said = (
        certified(trustme.CA(), "127.0.0.1") if wrong == "another authority" else certified(authority, "elsewhere.org")
    )
    with saying(answer("HTTP/1.1 200 OK", "Content-Length: 0"), secured=said) as speaker:
        with pytest.raises(Unsent, match="certificate"):
            Connections(speaker.address, 5, 5).ask("PUT", "/bucket/f", {"Host": "h"}, b"content")

        assert speaker.asked == []
