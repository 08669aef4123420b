"""What stands where a write was not answered is taken for its work only if its content is the origin's."""

from __future__ import annotations

import hashlib
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Iterator, Optional
from unittest.mock import patch

import pytest
from between import Wire, between
from object_servers import S3Server

import syncengine
from syncengine.core.entry import Kind, Side, Stamp
from syncengine.core.plan_parts import Action, Operation
from syncengine.core.report import Report, Status
from syncengine.stages import lost_answers
from syncengine.stages.lost_answers import READ_BYTES, READ_UNNAMED_BYTES, LostAnswers, may_be_read
from syncengine.stages.preflight import Preflight
from syncengine.stages.throttle import RequestBudget
from syncengine.storage.local import LocalStorageClient

LONG_AGO = 1_500_000_000_123_456_789
OURS, THEIRS = b"the content of the origin", b"somebody else's, as long."


@pytest.fixture(params=["moto", "rclone"], ids=["checking conditions", "ignoring conditions"])
def server(request: pytest.FixtureRequest) -> S3Server:
    found: S3Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def wire(server: S3Server) -> Iterator[Wire]:
    with between(server.url) as found:
        yield found


@pytest.fixture
def checking(moto: S3Server) -> Iterator[Wire]:
    """A server that is sent a write though something stands there; before another one we look by ourselves."""
    with between(moto.url) as found:
        yield found


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RequestBudget, "rest", lambda *_: None)


def folder(place: Path, content: bytes = OURS) -> Path:
    place.mkdir()
    (place / "f").write_bytes(content)
    os.utime(place / "f", ns=(LONG_AGO, LONG_AGO))
    return place


def synced(source: Any, destination: str, server: S3Server, **options: Any) -> Report:
    options = {"mode": "source-to-destination", "destination_options": server.options, **options}
    return syncengine.sync(source, destination, progress=False, **options)


@pytest.mark.parametrize(
    ("stamp", "read"),
    [
        (Stamp(size=READ_UNNAMED_BYTES), True),
        (Stamp(size=READ_UNNAMED_BYTES, mtime_ns=1), True),
        (Stamp(size=READ_UNNAMED_BYTES + 1, mtime_ns=1), False),
        (Stamp(size=READ_BYTES, etag="x"), True),
        (Stamp(size=READ_BYTES, version="x"), True),
        (Stamp(size=READ_BYTES, file_id="x"), True),
        (Stamp(size=READ_BYTES + 1, etag="x"), False),
        (Stamp(etag="x"), False),
        (Stamp(), False),
    ],
)
def test_only_what_is_short_is_read_and_less_of_what_nothing_names(stamp: Stamp, read: bool) -> None:
    assert may_be_read(stamp) is read


@pytest.mark.parametrize("origin_at", ["here", "another server"])
@pytest.mark.parametrize(
    ("stands", "limit", "is_ours"),
    [
        (OURS, len(OURS), True),
        (THEIRS, len(OURS), False),
        (OURS + b".", len(OURS) + 1, False),
        (OURS, len(OURS) - 1, False),
        (None, len(OURS), False),
    ],
    ids=["the same", "as long", "longer", "too long to be read", "nothing"],
)
def test_what_no_digest_tells_of_is_read(
    wire: Wire,
    moto: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    origin_at: str,
    stands: Optional[bytes],
    limit: int,
    is_ours: bool,
) -> None:
    monkeypatch.setattr(lost_answers, "READ_UNNAMED_BYTES", limit)
    there, here = wire.server.bucket(), moto.bucket()
    wire.nameless.add("f")
    if stands is not None:
        wire.server.fill(there, {"f": stands})
    moto.fill(here, {"f": OURS})
    origin = LocalStorageClient(str(folder(tmp_path / "source"))) if origin_at == "here" else moto.client(here)
    clients = {Side.SOURCE: origin, Side.DESTINATION: wire.server.client(there)}
    found = origin.stat("f")
    assert found is not None
    created = Operation(
        Action.CREATE, Kind.FILE, Side.DESTINATION, "f", origin=(Side.SOURCE, "f"), expect_origin=found.stamp
    )

    written = LostAnswers(clients, lambda side, _: clients[side]).written(created)

    assert (written is not None) is is_ours
    if written is not None:
        assert written.digest == f"md5:{hashlib.md5(OURS).hexdigest()}"


@pytest.mark.parametrize("way", ["no answer", "a failure"])
@pytest.mark.parametrize("content", [OURS, b"x" * (2 << 20)], ids=["small", "larger than what goes plainly"])
def test_a_write_of_which_nothing_is_told_is_done_and_the_next_run_has_nothing_to_do(
    wire: Wire, tmp_path: Path, way: str, content: bytes
) -> None:
    source, place = folder(tmp_path / "source", content), f"s3://{wire.server.bucket()}"
    (wire.losing if way == "no answer" else wire.failing).add("f")
    wire.nameless.add("f")

    (outcome,) = synced(source, place, wire.server).outcomes
    assert not (wire.losing | wire.failing)
    wire.nameless.clear()  # the server has recovered, and tells the ETag again
    wire.sent()
    again = synced(source, place, wire.server)

    # Without obstore it is botocore that asks a second time, and tells nobody.
    assert outcome.status is Status.DONE
    assert outcome.attempts == 2 or (outcome.attempts == 1 and find_spec("obstore") is None)
    assert (again.ok, again.outcomes, wire.sent().get("PUT", 0)) == (True, (), 0)


@pytest.mark.parametrize("mode", ["two-way", "source-to-destination"])
@pytest.mark.parametrize("recovers", [True, False], ids=["recovers", "stays nameless"])
def test_content_that_stands_without_its_time_is_agreed_on_and_copied_by_no_later_run(
    checking: Wire, tmp_path: Path, mode: str, recovers: bool
) -> None:
    source, bucket = folder(tmp_path / "source"), checking.server.bucket()
    place = f"s3://{bucket}"
    with syncengine.SyncEngine(
        source, place, mode=mode, destination_options=checking.server.options, progress=False
    ) as engine:
        plan = engine.plan()
        checking.server.fill(bucket, {"f": OURS})  # as a server does that fails before it has stored the metadata
        checking.nameless.add("f")
        checking.refused["f"] = 500
        with patch.object(Preflight, "__call__", lambda _, job: job):
            report = engine.apply(plan)
        if recovers:
            checking.nameless.clear()
        checking.sent()
        again = [engine.sync() for _ in range(2)]

    assert not checking.refused
    assert [outcome.status for outcome in report.outcomes] == [Status.DONE]
    assert [(each.ok, each.outcomes) for each in again] == [(True, ())] * 2
    assert checking.sent().get("PUT", 0) == 0
    assert (source / "f").stat().st_mtime_ns == LONG_AGO
    assert "mtime" not in checking.server.filesystem().call_s3("head_object", Bucket=bucket, Key="f")["Metadata"]


@pytest.mark.usefixtures("with_obstore")  # without it botocore asks again by itself, and tells nobody
@pytest.mark.parametrize("stands", [THEIRS, b""], ids=["as long", "empty"])
def test_what_somebody_else_put_there_meanwhile_stays_and_the_report_tells_of_the_lost_answer(
    checking: Wire, tmp_path: Path, stands: bytes
) -> None:
    source, bucket = folder(tmp_path / "source"), checking.server.bucket()
    options = {"mode": "source-to-destination", "destination_options": checking.server.options, "progress": False}
    with syncengine.SyncEngine(source, f"s3://{bucket}", **options) as engine:
        plan = engine.plan()
        checking.server.fill(bucket, {"f": stands})
        checking.nameless.add("f")
        checking.refused["f"] = 500
        with patch.object(Preflight, "__call__", lambda _, job: job):
            report = engine.apply(plan)

    (outcome,) = report.outcomes
    assert (outcome.status, report.recorded) == (Status.STALE, 0)
    assert outcome.problem is not None
    assert "an earlier attempt was not answered" in outcome.problem.message
    assert checking.server.content(bucket, "f") == stands
