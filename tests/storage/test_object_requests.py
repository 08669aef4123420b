"""What goes over the wire to an object store: as few requests as the job takes, and no writes by what only reads."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Dict, Iterator, List, Set
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

import pytest
from attrs import evolve, frozen
from fsspec.config import conf
from object_servers import S3Server

import syncengine
from syncengine.core.report import Status
from syncengine.errors import StateError
from syncengine.stages.throttle import RequestBudget
from syncengine.storage.conformance import Bytes
from syncengine.storage.protocol import ANYTHING

FILES = {f"f{number}": b"x" * (number + 1) for number in range(12)}


def content_of(client: Any, path: str) -> bytes:
    with client.read(path) as source:
        return bytes(source.read())


@frozen
class Wire:
    """A server, and every request that went to it through this place."""

    server: S3Server
    requests: List[str]
    losing: Set[str]
    """Names of objects of which the answer to the next write will be lost, after the write was done."""

    def sent(self) -> Dict[str, int]:
        """Return how often each kind of request was sent since the last question."""
        found = Counter(self.requests)
        self.requests.clear()
        return dict(found)


@contextmanager
def between(url: str) -> Iterator[Wire]:
    """Pass every request on to *url*, by its kind noted."""
    place = urlsplit(url)
    requests: List[str] = []
    losing: Set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def passed(self) -> None:
            requests.append(kind_of(self.command, self.path))
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connection = HTTPConnection(place.netloc, timeout=60)
            # The signature is over the name of this place, which moto does not look at.
            connection.request(self.command, self.path, body, dict(self.headers))
            with connection.getresponse() as answer:
                content = answer.read()
                name = urlsplit(self.path).path.rpartition("/")[2]
                if self.command == "PUT" and name in losing:
                    losing.remove(name)
                    connection.close()
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "connection", "date", "server", "content-length"):
                        self.send_header(name, value)
                length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
                self.send_header("Content-Length", length or "0")
                self.end_headers()
                self.wfile.write(content)
            connection.close()

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = passed

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - as above
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield Wire(S3Server(f"http://127.0.0.1:{server.server_address[1]}"), requests, losing)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def kind_of(command: str, path: str) -> str:
    query = parse_qs(urlsplit(path).query, keep_blank_values=True)
    kind = "LIST" if "list-type" in query else command
    return f"{kind} trial" if ".syncengine-tmp-" in path else kind


@pytest.fixture
def wire(moto: S3Server) -> Iterator[Wire]:
    with between(moto.url) as found:
        yield found


def test_a_small_file_is_one_put_and_one_get_and_what_is_unchanged_is_only_listed(
    wire: Wire, moto: S3Server, tmp_path: Path
) -> None:
    bucket, source, back = moto.bucket(), tmp_path / "source", tmp_path / "back"
    source.mkdir()
    back.mkdir()
    for name, content in FILES.items():
        (source / name).write_bytes(content)
    options = wire.server.options
    up = {"mode": "source-to-destination", "destination_options": options}
    down = {"mode": "source-to-destination", "source_options": options}

    assert syncengine.sync(source, f"s3://{bucket}", **up).ok
    uploaded = wire.sent()
    assert uploaded["PUT"] == len(FILES)
    assert "GET" not in uploaded
    assert uploaded.get("HEAD", 0) <= 1, "the ignore file of an empty bucket is looked for, once"

    assert syncengine.sync(source, f"s3://{bucket}", **up).ok
    assert set(wire.sent()) == {"LIST"}

    assert syncengine.sync(f"s3://{bucket}", back, **down).ok
    downloaded = wire.sent()
    assert downloaded.pop("LIST") >= 1
    assert downloaded == {"GET": len(FILES)}
    assert {path.name: path.read_bytes() for path in back.iterdir()} == FILES


@pytest.fixture(params=["moto", "rclone"], ids=["checking conditions", "ignoring conditions"])
def losing(request: pytest.FixtureRequest) -> Iterator[Wire]:
    with between(request.getfixturevalue(request.param).url) as found:
        yield found


@pytest.mark.parametrize("is_fast", [True, False], ids=["fast", "filesystem"])
def test_a_write_that_was_done_and_never_answered_is_recognised_by_its_content(
    losing: Wire, tmp_path: Path, *, is_fast: bool
) -> None:
    server = evolve(losing.server, fast=is_fast)
    client = server.client(server.bucket())
    for content in (b"first", b"second, and longer"):
        (tmp_path / "f").write_bytes(content)
        os.utime(tmp_path / "f", ns=(len(content), len(content)))
        losing.losing.add("f")

        report = syncengine.sync(tmp_path, client, mode="source-to-destination", state=None)

        assert [outcome.status for outcome in report.outcomes] == [Status.DONE]
        assert content_of(client, "f") == content
        assert not losing.losing


def test_what_somebody_else_wrote_meanwhile_is_not_taken_for_an_own_write_without_an_answer(
    losing: Wire, tmp_path: Path
) -> None:
    pytest.importorskip("obstore", reason="botocore repeats a lost request at once, so nobody can come in between")
    (tmp_path / "f").write_bytes(b"ours")
    client = losing.server.client(losing.server.bucket())
    client.prove()
    losing.losing.add("f")
    other = losing.server.client(client._service.bucket)

    def overwrite(seconds: float) -> None:
        other.write("f", Bytes(b"them"), expect=ANYTHING)

    with patch.object(RequestBudget, "rest", lambda _, seconds: overwrite(seconds)):
        report = syncengine.sync(tmp_path, client, mode="source-to-destination", state=None)

    assert [outcome.status for outcome in report.outcomes] == [Status.STALE]
    assert content_of(client, "f") == b"them"


def test_a_plan_writes_nothing_where_its_state_is_kept(
    wire: Wire, moto: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = moto.bucket()
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "f").write_bytes(b"1")
    # The place of a state takes its options from fsspec's configuration.
    monkeypatch.setitem(conf, "s3", wire.server.options)

    syncengine.plan(tmp_path / "a", tmp_path / "b", mode="two-way", state=f"s3://{bucket}/states")

    assert {"PUT", "PUT trial", "DELETE", "DELETE trial", "POST"}.isdisjoint(wire.sent())
    assert moto.keys(bucket) == ()


def test_a_state_is_not_begun_where_conditions_are_ignored(
    rclone: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = rclone.bucket()
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "f").write_bytes(b"1")

    monkeypatch.setitem(conf, "s3", rclone.options)

    with pytest.raises(StateError, match="state_single_writer=True"):
        syncengine.sync(tmp_path / "a", tmp_path / "b", mode="two-way", state=f"s3://{bucket}/states")

    assert rclone.keys(bucket) == ()
    assert list((tmp_path / "b").iterdir()) == []
