"""A server that says what it is told to say, so that a test sees what was sent to it."""

from __future__ import annotations

from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, List, Mapping, Tuple


class Wire:
    """A server of HTTP that gives the answers it was told, one after the other, and keeps what it was asked."""

    def __init__(self, *answers: Tuple[int, Mapping[str, str], bytes]) -> None:
        asked: List[Tuple[str, str, Mapping[str, str]]] = []
        remaining = list(answers)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                asked.append((self.command, self.path, dict(self.headers)))
                status, headers, body = remaining.pop(0) if len(remaining) > 1 else remaining[0]
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

            def log_message(self, *arguments: Any) -> None:
                pass

        self.asked = asked
        self.skip = partial(remaining.pop, 0)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
