"""Many conversations in one thread: each has its own answers, and none waits for another."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest
import trustme

from syncengine.storage.objects.conversation import Asked, Conversation, held
from syncengine.storage.objects.exchange import Connections, Lost, Unclear, Unsent
from syncengine.storage.objects.together import Said, Together

Handle = Callable[["Answering", bytes], None]


class Answering(BaseHTTPRequestHandler):
    """Answers each request with its own path and content, unless the server has another way for the path."""

    protocol_version = "HTTP/1.1"
    server: Server

    def handle(self) -> None:
        with suppress(ConnectionError, ssl.SSLError):  # whoever asked may have hung up
            super().handle()

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.connections += 1

    def answer(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        special = self.server.special.get(self.path)
        if special is not None:
            special(self, content)
            return
        self.say(self.path.encode() + b" " + content)

    def say(self, content: bytes, **headers: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = answer

    def log_message(self, *arguments: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, special: Dict[str, Handle], secured: Optional[ssl.SSLContext]) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.lock, self.connections, self.special = threading.Lock(), 0, special
        if secured is not None:
            self.socket = secured.wrap_socket(self.socket, server_side=True)
        scheme = "http" if secured is None else "https"
        self.address = f"{scheme}://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving(special: Optional[Dict[str, Handle]] = None, secured: Optional[ssl.SSLContext] = None) -> Iterator[Server]:
    server = Server(special or {}, secured)
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def asking(connections: Connections, *targets: str, content: bytes = b"c") -> Conversation[Any]:
    """Ask for one target after the other; return what was answered, or why nothing was."""
    found: List[Any] = []
    for target in targets:
        try:
            answer = yield Asked(connections, "PUT", target, {"Host": "h"}, content)
        except Unclear as error:
            found.append(error)
        else:
            found.append(answer.content)
    return found


def all_said(most: int, conversations: Dict[str, Conversation[Any]]) -> Dict[str, Said[str, Any]]:
    together: Together[str, Any] = Together(most)
    return {said.key: said for said in together.said(iter(conversations.items()))}


def test_each_conversation_has_its_own_answers_over_as_many_connections_as_are_held_at_once() -> None:
    with serving() as server:
        connections = Connections(server.address, 20, 20)
        names = [f"/{number}" for number in range(100)]

        said = all_said(8, {name: asking(connections, name, name + "/again", content=name.encode()) for name in names})

        assert {name: said[name].result for name in names} == {
            name: [f"{each} {name}".encode() for each in (name, name + "/again")] for name in names
        }
        assert server.connections == 8
        # Those connections are everybody's now.
        assert held(asking(connections, "/after")) == [b"/after c"]
        assert server.connections == 8
        connections.close()


def test_whoever_has_an_answer_goes_on_while_another_still_waits() -> None:
    others = threading.Barrier(2)

    def slow(asked: Answering, content: bytes) -> None:
        others.wait(20)
        asked.say(b"at last")

    with serving({"/slow": slow}) as server:
        connections = Connections(server.address, 20, 20)
        together: Together[str, Any] = Together(2)
        conversations = {name: asking(connections, name) for name in ("/slow", "/a", "/b", "/c")}

        order = []
        for said in together.said(iter(conversations.items())):
            order.append(said.key)
            if said.key == "/c":
                others.wait(20)
        connections.close()

    assert order == ["/a", "/b", "/c", "/slow"]


def hang_up(asked: Answering, content: bytes) -> None:
    asked.connection.shutdown(socket.SHUT_RDWR)
    asked.close_connection = True


def break_off(asked: Answering, content: bytes) -> None:
    asked.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\ncontent")
    asked.wfile.flush()
    hang_up(asked, content)


def babble(asked: Answering, content: bytes) -> None:
    asked.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


@pytest.mark.parametrize("torn", [hang_up, break_off, babble])
def test_an_answer_that_is_torn_is_lost_to_the_one_who_asked(torn: Handle) -> None:
    with serving({"/torn": torn}) as server:
        connections = Connections(server.address, 20, 20)

        said = all_said(3, {name: asking(connections, name, "/then") for name in ("/torn", "/a", "/b")})
        connections.close()

    lost, then = said["/torn"].result
    assert isinstance(lost, Lost)
    assert then == b"/then c"
    assert [said[name].result for name in ("/a", "/b")] == [[b"/a c", b"/then c"], [b"/b c", b"/then c"]]


def test_a_server_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def silent(asked: Answering, content: bytes) -> None:
        ended.wait(20)

    monkeypatch.setattr("syncengine.storage.objects.together._LOOKED_AFTER_SECONDS", 0.01)
    with serving({"/silent": silent}) as server:
        connections = Connections(server.address, 20, 0.1)

        (lost, then) = all_said(2, {"": asking(connections, "/silent", "/then")})[""].result
        ended.set()
        connections.close()

    assert (type(lost), str(lost)) == (Lost, "no answer within 0.1 seconds")
    assert then == b"/then c"


def test_where_nobody_listens_nothing_was_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"

    said = all_said(4, {name: asking(Connections(address, 5, 5), name) for name in ("/a", "/b")})

    assert [type(each) for name in ("/a", "/b") for each in said[name].result] == [Unsent, Unsent]


def test_what_one_conversation_raises_is_told_and_ends_no_other() -> None:
    def failing(connections: Connections) -> Conversation[Any]:
        answer = yield Asked(connections, "GET", "/x", {"Host": "h"})
        raise KeyError(answer.content)

    with serving() as server:
        connections = Connections(server.address, 20, 20)
        said = all_said(2, {"failing": failing(connections), "/a": asking(connections, "/a")})
        connections.close()

    assert repr(said["failing"].error) == repr(KeyError(b"/x "))
    assert said["/a"].result == [b"/a c"]


def test_what_is_larger_than_the_system_keeps_on_its_way_goes_and_comes_whole() -> None:
    content = bytes(range(256)) * 20_000  # more than the system keeps on its way

    def large(asked: Answering, _: bytes) -> None:
        asked.say(content)

    with serving({f"/{number}": large for number in range(6)}) as server:
        connections = Connections(server.address, 20, 20)
        conversations = {name: asking(connections, name, content=content) for name in server.special}

        said = all_said(6, dict(conversations))
        connections.close()

    assert all(each.result == [content] for each in said.values())


def test_an_answer_that_closes_the_connection_is_followed_by_another_connection() -> None:
    def last(asked: Answering, content: bytes) -> None:
        asked.say(b"bye", Connection="close")
        asked.close_connection = True

    with serving({"/last": last}) as server:
        connections = Connections(server.address, 20, 20)
        assert all_said(1, {"": asking(connections, "/last", "/then")})[""].result == [b"bye", b"/then c"]
        connections.close()
        assert server.connections == 2


def test_an_answer_that_came_while_nobody_listened_is_not_overdue(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def late(asked: Answering, content: bytes) -> None:
        answered.wait(20)
        asked.say(b"late")

    monkeypatch.setattr("syncengine.storage.objects.together._LOOKED_AFTER_SECONDS", 0.01)
    with serving({"/late": late}) as server:
        connections = Connections(server.address, 20, 0.5)
        together: Together[str, Any] = Together(2)
        results = {}
        for said in together.said(iter({name: asking(connections, name) for name in ("/a", "/late")}.items())):
            results[said.key] = said.result
            answered.set()
            time.sleep(0.7)  # a reader that takes longer than a server may be silent
        connections.close()

    assert results == {"/a": [b"/a c"], "/late": [b"late"]}


def test_a_line_that_became_too_old_and_was_closed_by_the_server_ends_no_other() -> None:
    both, closed = threading.Event(), threading.Event()

    def idle(asked: Answering, content: bytes) -> None:
        asked.say(b"idle")
        asked.wfile.flush()
        closed.wait(20)
        hang_up(asked, content)
        both.set()

    def last(asked: Answering, content: bytes) -> None:
        paused.wait(20)
        asked.say(b"last", Connection="close")
        asked.close_connection = True
        asked.wfile.flush()
        closed.set()

    def soon(asked: Answering, content: bytes) -> None:
        time.sleep(0.1)
        asked.say(b"soon")

    paused = threading.Event()
    with serving({"/idle": idle, "/last": last, "/soon": soon}) as server:
        connections = Connections(server.address, 20, 20)
        connections.idle_seconds = 0.2
        together: Together[str, Any] = Together(3)
        conversations = {"/idle": asking(connections, "/idle"), "/last": asking(connections, "/last", "/again")}
        conversations["/soon"] = asking(connections, "/soon")
        results = {}
        for said in together.said(iter(conversations.items())):
            results[said.key] = said.result
            if said.key == "/soon":
                paused.set()
                assert both.wait(20)
                time.sleep(0.3)  # the next look finds an answer first, and then a line that is too old
        connections.close()

    assert results == {"/idle": [b"idle"], "/soon": [b"soon"], "/last": [b"last", b"/again c"]}


def test_what_cannot_be_sent_is_lost_to_the_one_who_asked() -> None:
    def unspeakable(connections: Connections) -> Conversation[Any]:
        try:
            yield Asked(connections, "GET", "/x", {"Host": "h", "If-Match": "\u20ac"})
        except Unclear as error:
            return error

    with serving() as server:
        connections = Connections(server.address, 20, 20)
        said = all_said(2, {"unspeakable": unspeakable(connections), "/a": asking(connections, "/a")})
        connections.close()

    assert isinstance(said["unspeakable"].result, Lost)
    assert said["/a"].result == [b"/a c"]


def test_no_line_is_handed_on_that_was_idle_for_too_long() -> None:
    def slow(asked: Answering, content: bytes) -> None:
        time.sleep(0.4)
        asked.say(b"slow")

    with serving({"/slow": slow}) as server:
        connections = Connections(server.address, 20, 20)
        connections.idle_seconds = 0.2

        all_said(2, {name: asking(connections, name) for name in ("/a", "/slow")})

        assert len(connections._idle) == 1
        connections.close()


def test_whoever_stops_listening_ends_what_is_under_way() -> None:
    waiting, ended = threading.Event(), []

    def never(asked: Answering, content: bytes) -> None:
        waiting.wait(20)

    def conversation(connections: Connections) -> Conversation[Any]:
        try:
            yield Asked(connections, "GET", "/never", {"Host": "h"})
        finally:
            ended.append("closed")

    with serving({"/never": never}) as server:
        connections = Connections(server.address, 20, 20)
        together: Together[str, Any] = Together(2)
        begun: List[Tuple[str, Conversation[Any]]] = [("never", conversation(connections))]
        begun += [("/a", asking(connections, "/a"))]
        listening = together.said(iter(begun))
        assert next(listening).key == "/a"

        listening.close()
        waiting.set()
        connections.close()

    assert ended == ["closed"]


def test_tls_is_spoken_as_well(authority: trustme.CA) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    content = b"x" * 300_000
    with serving(secured=context) as server:
        connections = Connections(server.address, 20, 20)
        names = [f"/{number}" for number in range(20)]

        said = all_said(4, {name: asking(connections, name, content=content) for name in names})
        connections.close()

        assert {name: said[name].result for name in names} == {name: [f"{name} ".encode() + content] for name in names}
        assert server.connections == 4


def test_a_server_of_another_name_is_told_nothing(authority: trustme.CA) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.example").configure_cert(context)
    with serving(secured=context) as server:
        (unsent,) = all_said(1, {"": asking(Connections(server.address, 5, 5), "/a")})[""].result

    assert isinstance(unsent, Unsent)
    assert "certificate" in str(unsent)
