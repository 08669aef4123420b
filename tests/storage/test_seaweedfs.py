"""S3 by SeaweedFS, a server for production that checks conditions: what holds on it, and what it costs.

One file, so that one worker starts the server.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping

import pytest
from attrs import evolve
from conftest import put_files
from object_servers import S3Server

import syncengine
from syncengine.errors import Unsupported
from syncengine.storage import conformance
from syncengine.storage.conformance import CHECKS, Bytes, Factory, Subject, name_of
from syncengine.storage.protocol import ABSENT


@pytest.fixture(scope="module")
def shared_bucket(seaweedfs: S3Server) -> str:
    """Each bucket takes the server a fifth of a second."""
    return seaweedfs.bucket()


@pytest.fixture(params=["obstore", "s3fs"])
def factory(request: pytest.FixtureRequest, seaweedfs: S3Server, shared_bucket: str) -> Iterator[Factory]:
    server = evolve(seaweedfs, fast=request.param == "obstore")
    opened = []

    def make(files: Mapping[str, bytes]) -> Subject:
        root = f"root-{uuid.uuid4().hex}"
        server.fill(shared_bucket, files, prefix=f"{root}/")

        def again() -> Any:
            opened.append(server.client(shared_bucket, root))
            return opened[-1]

        return Subject(again(), again=again)

    yield make
    for client in opened:
        client.close()


@pytest.fixture
def fast(seaweedfs: S3Server, shared_bucket: str) -> Callable[..., Any]:
    """Opens clients of one root of the test's own."""
    root = f"root-{uuid.uuid4().hex}"
    return lambda: seaweedfs.client(shared_bucket, root)


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
def test_a_client_of_it_conforms(check: conformance.Check, factory: Factory) -> None:
    check(factory)


HIDDEN = ("back\\slash", "d.versions/x", ".versions/x", ".uploads/x", "d/.uploads/deep/x")


def test_what_it_would_not_list_is_refused_and_nothing_is_left_of_it(fast: Any) -> None:
    client = fast()
    for name in HIDDEN:
        with pytest.raises(Unsupported, match="this server does not list such an object under its name"):
            client.write(name, Bytes(b"content"), expect=ABSENT)
        assert client.stat(name) is None
        assert client.name_refusal(name) is not None
    for name in ("versions/x", "d.versions", "d.versionsx/y", "uploads/x", ".uploads"):
        client.write(name, Bytes(b"content"), expect=ABSENT)
    client.write("origin", Bytes(b"content"), expect=ABSENT)
    with pytest.raises(Unsupported):
        client.copy("origin", HIDDEN[1], expect=ABSENT)

    assert len(list(client.list())) == 6


def test_what_another_server_lists_is_written(moto: S3Server) -> None:
    client = moto.client(moto.bucket(), "root")
    for name in HIDDEN:
        client.write(name, Bytes(b"content"), expect=ABSENT)

    assert {item.path for item in client.list()} == set(HIDDEN)


def test_files_it_would_hide_stay_where_they_are(seaweedfs: S3Server, tmp_path: Path) -> None:
    files = {name: name.encode() for name in (*HIDDEN, "a", "back/slash", "d/x")}
    put_files(tmp_path / "folder", files)
    url = f"s3://{seaweedfs.bucket()}"

    for _ in range(3):
        report = syncengine.sync(tmp_path / "folder", url, mode="two-way", destination_options=seaweedfs.options)
        refused = {outcome.operation.path for outcome in report.outcomes if outcome.problem is not None}
        assert refused == set(HIDDEN)

    found = (tmp_path / "folder").rglob("*")
    assert {str(path.relative_to(tmp_path / "folder")) for path in found if path.is_file()} == set(files)
