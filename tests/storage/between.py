"""A place between a client and a server of S3: it counts requests, loses answers and refuses writes."""

from __future__ import annotations

from collections import Counter
from contextlib import closing, contextmanager, nullcontext, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any, ContextManager, Dict, Iterator, List, Set, Tuple
from urllib.parse import parse_qs, urlsplit

from attrs import frozen
from object_servers import S3Server

_OF_THE_CONNECTION = ("transfer-encoding", "connection", "date", "server", "content-length")
_OF_THE_VERSION = ("etag", "last-modified", "x-amz-checksum")


@frozen
class Wire:
    """A server, and every request that went to it through this place."""

    server: S3Server
    requests: List[str]
    losing: Set[str]
    """Names of objects of which the answer to the next write will be lost, after the write was done.

    Here and below, the completion of an upload in parts is a write to ``<name> completed``.
    """
    refused: Dict[str, int]
    """By the name of an object the status that the next write to it is refused with, before anything is done."""
    held: Dict[str, Tuple[Event, Event]]
    """By the name of an object what is set when the write was done, and what is waited for before it is answered."""
    failing: Set[str]
    """Names of objects whose next write is done, and answered as if the server had failed."""
    nameless: Set[str]
    """Names of objects of which no answer tells an ETag or a checksum, and all the present as their time."""

    def sent(self) -> Dict[str, int]:
        """Return how often each kind of request was sent since the last question."""
        found = Counter(self.requests)
        self.requests.clear()
        return dict(found)


@contextmanager
def between(url: str, *, one_at_a_time: bool = False) -> Iterator[Wire]:
    """Pass every request on to *url*, by its kind noted; *one_at_a_time* makes its writes atomic."""
    turn: ContextManager[Any] = Lock() if one_at_a_time else nullcontext()
    place = urlsplit(url)
    requests: List[str] = []
    losing: Set[str] = set()
    refused: Dict[str, int] = {}
    held: Dict[str, Tuple[Event, Event]] = {}
    failing: Set[str] = set()
    nameless: Set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def passed(self) -> None:
            with suppress(ConnectionError):  # whoever asked may have hung up
                self.passed_on()

        def passed_on(self) -> None:
            requests.append(kind_of(self.command, self.path))
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.writes() and self.named() in refused:
                self.only_status(refused.pop(self.named()))
                return
            with turn, closing(HTTPConnection(place.netloc, timeout=60)) as connection:
                # The signature is over the name of this place, which moto does not look at.
                connection.request(self.command, self.path, body, dict(self.headers))
                with connection.getresponse() as answer:
                    content = answer.read()
                    if self.writes() and self.named() in held:
                        done, release = held.pop(self.named())
                        done.set()
                        release.wait(20)
                    if self.writes() and self.named() in losing:
                        losing.remove(self.named())
                        self.close_connection = True
                        return
                    if self.writes() and self.named() in failing:
                        failing.remove(self.named())
                        self.only_status(500)
                        return
                    self.send_response(answer.status)
                    hidden = _OF_THE_CONNECTION
                    if self.named() in nameless:
                        hidden += _OF_THE_VERSION
                        self.send_header("Last-Modified", self.date_time_string())
                    for name, value in answer.getheaders():
                        if not name.lower().startswith(hidden):
                            self.send_header(name, value)
                    length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
                    self.send_header("Content-Length", length or "0")
                    self.end_headers()
                    self.wfile.write(content)

        def only_status(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def completes(self) -> bool:
            return self.command == "POST" and "uploadId=" in self.path

        def writes(self) -> bool:
            return self.command == "PUT" or self.completes()

        def named(self) -> str:
            name = urlsplit(self.path).path.rpartition("/")[2]
            return f"{name} completed" if self.completes() else name

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = passed

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - as above
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        served = S3Server(f"http://127.0.0.1:{server.server_address[1]}")
        yield Wire(served, requests, losing, refused, held, failing, nameless)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def kind_of(command: str, path: str) -> str:
    query = parse_qs(urlsplit(path).query, keep_blank_values=True)
    kind = "LIST" if "list-type" in query else command
    return f"{kind} trial" if ".syncengine-tmp-" in path else kind
