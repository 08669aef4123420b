"""What goes over the wire to an object store: as few requests as the job takes, and no writes by what only reads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Iterator
from unittest.mock import patch

import pytest
from attrs import evolve
from between import Wire, between
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
    other = losing.server.client(client.service.bucket)

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
