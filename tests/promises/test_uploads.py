"""Promise 19: a condition is claimed where the server was seen to check it, large uploads included."""

from __future__ import annotations

import http.client
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple, Type
from urllib.parse import urlsplit

import pytest

from syncengine.errors import PreconditionFailed
from syncengine.storage.protocol import ABSENT, Source, exactly
from tests.servers import http_server
from tests.storage.object_servers import S3Server, moto_server, shared_models

LARGE = 9 << 20
"""More than is sent in one request."""


class Steady:
    """Content of one letter; *midway* is called when half of it was read."""

    local_path = None
    mtime_ns = None

    def __init__(self, letter: bytes, midway: Any = lambda: None) -> None:
        self.size = LARGE
        self._letter, self._midway, self._left = letter, midway, LARGE

    def read(self, size: int = -1) -> bytes:
        before = self._left
        self._left -= min(size if size >= 0 else before, before)
        if before > LARGE // 2 >= self._left:
            self._midway()
        return self._letter * (before - self._left)

    def verify(self) -> None:
        """Say nothing: nobody changes it."""


def content(letter: bytes, midway: Any = lambda: None) -> Source:
    return Steady(letter, midway)  # type: ignore[return-value]


class Checking(BaseHTTPRequestHandler):
    """Stands before a server and checks, as S3 does, the condition of a completion, which it also writes down."""

    protocol_version = "HTTP/1.1"
    behind: Tuple[str, int]
    completions: List[Dict[str, str]]

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _forwarded(self, method: str, path: str, body: bytes) -> Tuple[int, List[Tuple[str, str]], bytes]:
        own = ("expect", "connection", "content-length")
        headers = {name: value for name, value in self.headers.items() if name.lower() not in own}
        connection = http.client.HTTPConnection(*self.behind, timeout=30)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _stale(self) -> bool:
        path = urlsplit(self.path)
        if self.command != "POST" or "uploadId=" not in path.query:
            return False
        self.completions.append({name: value for name, value in self.headers.items() if name.startswith("If-")})
        wanted = self.headers.get("If-Match")
        if wanted is None:
            return False
        status, headers, _ = self._forwarded("HEAD", path.path, b"")
        return status != 200 or dict(headers).get("ETag", "").strip('"') != wanted.strip('"')

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self._stale():
            status, headers, answer = 412, [], b"<Error><Code>PreconditionFailed</Code><Message>no</Message></Error>"
        else:
            status, headers, answer = self._forwarded(self.command, self.path, body)
        self.send_response_only(status)
        length = str(len(answer))
        for name, value in headers:
            if name.lower() == "content-length":
                length = value
            elif name.lower() not in ("connection", "transfer-encoding", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with shared_models(), moto_server() as url:
        yield url


@pytest.fixture
def checking(moto: str, tmp_path: Path) -> Iterator[Tuple[S3Server, Type[Checking]]]:
    """Serve S3 so that completions are checked, and give the handler that says what was asked of it."""
    at = urlsplit(moto)
    handler = type("Handler", (Checking,), {"behind": (at.hostname, at.port), "completions": []})
    with http_server(tmp_path, handler) as url:
        yield S3Server(url, fast=False), handler


def window(client: Any) -> List[str]:
    return [name for name, _ in client.capabilities.windows if name.startswith("uploads above")]


@pytest.mark.parametrize("fast", [True, False], ids=["obstore", "s3fs"])
def test_promise_19_a_server_that_ignores_the_condition_of_large_uploads_is_looked_at_before(
    moto: str, fast: bool
) -> None:
    server = S3Server(moto, fast=fast)
    bucket = server.bucket()
    client = server.client(bucket)
    ours = client.write("large", content(b"1"), expect=ABSENT)
    theirs = client.write("large", content(b"2"), expect=exactly(ours))

    assert client.capabilities.replace_if_unchanged
    assert window(client)
    with pytest.raises(PreconditionFailed):
        client.write("large", content(b"3"), expect=exactly(ours))
    with pytest.raises(PreconditionFailed):
        client.write("large", content(b"3"), expect=ABSENT)
    assert client.stat("large").stamp.same_version(theirs)
    assert set(server.content(bucket, "large")) == {b"2"[0]}


def test_promise_19_what_is_written_while_a_large_upload_goes_on_is_not_overwritten(moto: str) -> None:
    server = S3Server(moto, fast=False)
    bucket = server.bucket()
    client = server.client(bucket)
    ours = client.write("large", content(b"1"), expect=ABSENT)

    with pytest.raises(PreconditionFailed):
        client.write("large", content(b"3", lambda: server.fill(bucket, {"large": b"theirs"})), expect=exactly(ours))

    assert server.content(bucket, "large") == b"theirs"
    assert not server.filesystem().call_s3("list_multipart_uploads", Bucket=bucket).get("Uploads")


def test_promise_19_the_completion_of_a_large_upload_carries_the_condition(
    checking: Tuple[S3Server, Type[Checking]],
) -> None:
    server, seen = checking
    bucket = server.bucket()
    client = server.client(bucket)
    ours = client.write("large", content(b"1"), expect=ABSENT)
    assert not window(client)
    assert seen.completions[-1] == {"If-None-Match": "*"}

    with pytest.raises(PreconditionFailed):
        client.write("large", content(b"3", lambda: server.fill(bucket, {"large": b"theirs"})), expect=exactly(ours))

    assert seen.completions[-1] == {"If-Match": f'"{ours.etag}"'}
    assert server.content(bucket, "large") == b"theirs"
