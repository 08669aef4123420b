"""Content that is written while it comes, from several threads: whole, of one version, by nobody who was given up."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple
from unittest.mock import patch

import pytest
from object_servers import S3Server
from test_exchange import TORN, answer, saying

import syncengine
from syncengine.core.entry import Stamp
from syncengine.core.report import Status
from syncengine.errors import PreconditionFailed, Unavailable
from syncengine.storage.local import LocalStorageClient
from syncengine.storage.local_writing import Draft
from syncengine.storage.objects.conversation import Asked
from syncengine.storage.objects.exchange import Connections, Lost, Unclear
from syncengine.storage.objects.pouring import BUFFER_BYTES, poured
from syncengine.storage.objects.reading import RANGE_BYTES, ObjectSource, RangePool
from syncengine.storage.objects.s3_direct import DirectS3
from syncengine.storage.objects.service import ObjectInfo
from syncengine.storage.protocol import ABSENT
from syncengine.storage.routes import transfer

MIB = 1 << 20
LARGE = os.urandom(30 * MIB + 3)


# One answer


def taken(said: bytes, length: int, *, times: int) -> Tuple[bytes, int]:
    """Return what was handed on of what a server says so many times, and over how many connections."""
    came = bytearray(length)

    def take(offset: int, piece: Any) -> None:
        came[offset : offset + len(piece)] = piece

    with saying(*[said] * times) as speaker:
        connections = Connections(speaker.address, 20, 20)
        for _ in range(times):
            asked = Asked(connections, "GET", "/bucket/k", {"Host": "h"})
            poured(asked, length, lambda found: found.status in (200, 206) and found.etag == '"x"', take)
        connections.close()
        return bytes(came), speaker.connections


@pytest.mark.parametrize("size", [0, 1, BUFFER_BYTES - 1, BUFFER_BYTES, BUFFER_BYTES + 1, 3 * BUFFER_BYTES + 7])
@pytest.mark.parametrize(
    ("status", "line", "connections"), [(206, "A: b", 1), (200, "A: b", 1), (206, "Connection: close", 2)]
)
def test_an_answer_is_handed_on_as_it_was_framed(size: int, status: int, line: str, connections: int) -> None:
    content = LARGE[:size]

    said = answer(f"HTTP/1.1 {status} OK", f"Content-Length: {size}", 'ETag: "x"', line, content=content)

    assert taken(said, size, times=2) == (content, connections)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (answer("HTTP/1.1 404 No", "Content-Length: 7", 'ETag: "x"', content=b"content"), Unclear),
        (answer("HTTP/1.1 206 OK", "Content-Length: 7", 'ETag: "y"', content=b"content"), Unclear),
        (answer("HTTP/1.1 206 OK", "Content-Length: 8", 'ETag: "x"', content=b"contents"), Unclear),
        (answer("HTTP/1.1 206 OK", 'ETag: "x"', content=b"content"), Unclear),
        (
            answer("HTTP/1.1 206", "Transfer-Encoding: chunked", 'ETag: "x"', content=b"7\r\ncontent\r\n0\r\n\r\n"),
            Unclear,
        ),
        (answer("HTTP/1.1 206 OK", "Content-Length: 7", 'ETag: "x"', content=b"content and more"), Lost),
        (answer("HTTP/1.1 206 OK", "Content-Length: 7", 'ETag: "x"', content=TORN), Lost),
        (answer("HTTP/1.1 206 OK", "Content-Length: 7", 'ETag: "x"')[:20] + TORN, Lost),
        (b"what is this, close" + b"\r\n\r\n", Lost),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + TORN, Lost),
    ],
)
def test_an_answer_that_is_not_the_whole_of_what_was_asked_for_is_none(said: bytes, error: Any) -> None:
    with pytest.raises(error):
        taken(said, 7, times=1)


def test_what_the_taker_raises_is_raised_and_the_rest_belongs_to_no_other_request() -> None:
    said = answer("HTTP/1.1 206 OK", "Content-Length: 7", content=b"content")

    def full(offset: int, piece: Any) -> None:
        raise OSError(28, "no space")

    with saying(said, said) as speaker:
        connections = Connections(speaker.address, 20, 20)
        for _ in range(2):
            with pytest.raises(OSError, match="no space"):
                poured(Asked(connections, "GET", "/k", {"Host": "h"}), 7, lambda _: True, full)

        assert speaker.connections == 2


# One object


def content_of(start: int, end: int) -> bytes:
    return LARGE[start:end]


def source(pour: Any, *, pool: RangePool, first: int = MIB, fetch: Any = content_of) -> ObjectSource:
    info = ObjectInfo("k", Stamp(size=len(LARGE), etag="x"))
    return ObjectSource("k", info, LARGE[:first], fetch=fetch, pour=pour, pool=pool)


def whole(start: int, end: int, take: Any) -> bool:
    take(start, LARGE[start:end])
    return True


def torn(start: int, end: int, take: Any) -> bool:
    take(start, b"x" * (end - start - 1))
    return False


@contextmanager
def taken_places(pool: RangePool, count: int) -> Iterator[None]:
    release = threading.Event()
    taken = [Future() for _ in range(count)]  # type: ignore[var-annotated]
    assert all(pool.begin(each, release.wait) for each in taken)
    try:
        yield
    finally:
        release.set()
        for each in taken:
            pool.end(each)


@pytest.mark.parametrize("pour", [whole, torn], ids=["plainly", "otherwise"])
@pytest.mark.parametrize(("taken_by_others", "most"), [(0, RANGE_BYTES), (5, MIB)])
def test_everything_is_handed_on_and_counted_in_its_order(pour: Any, taken_by_others: int, most: int) -> None:
    pool, came, counted = RangePool(), bytearray(len(LARGE)), []  # type: ignore[var-annotated]
    asked: List[int] = []

    def take(offset: int, piece: Any) -> None:
        came[offset : offset + len(piece)] = piece

    def moved(count: int) -> None:
        counted.append(count)
        assert came[: sum(counted)] == LARGE[: sum(counted)]

    def fetch(start: int, end: int) -> bytes:
        asked.append(end - start)
        return content_of(start, end)

    content = source(pour, pool=pool, fetch=fetch)

    with taken_places(pool, taken_by_others):
        assert content.pour(take, moved)
        assert len(pool._held) == taken_by_others
    assert content.verify() == Stamp(size=len(LARGE), etag="x")
    assert bytes(came) == LARGE
    assert max(asked, default=most) == most
    assert (pour is torn) == bool(asked)
    pool.close()


def test_what_cannot_be_handed_on_while_it_comes_is_read_from_its_beginning() -> None:
    pool, came = RangePool(), []  # type: ignore[var-annotated]
    content = source(None, pool=pool)

    assert not content.pour(lambda offset, _: came.append(offset), came.append)
    assert came == []
    assert content.read() == LARGE
    assert pool._held == set()
    pool.close()


@pytest.mark.parametrize("read", [0, 1])
def test_what_is_short_or_was_begun_is_read_in_order(read: int) -> None:
    pool = RangePool()
    content = source(whole, pool=pool, first=MIB if read else len(LARGE) - RANGE_BYTES)
    content.read(read)

    assert not content.pour(lambda *_: None, lambda _: None)


def test_after_a_failure_nothing_is_handed_on_any_more() -> None:
    pool, release, going = RangePool(), threading.Event(), threading.Semaphore(0)
    came: List[int] = []

    def pour(start: int, end: int, take: Any) -> bool:
        if start == MIB:
            assert going.acquire(timeout=20)  # another range is on its way
            release.set()
            raise Unavailable("the first range")
        going.release()
        release.wait(20)
        take(start, b"")
        return True

    content = source(pour, pool=pool)
    with pytest.raises(Unavailable):
        content.pour(lambda offset, _: came.append(offset), lambda _: None)

    after = list(came)
    with pytest.raises(PreconditionFailed):
        content.verify()
    content.close()
    pool.close()
    assert came == after
    assert pool._held == set()


@pytest.mark.parametrize("times", [1, 2, 3])
def test_however_often_it_is_interrupted_it_ends_after_all_that_it_began(times: int) -> None:
    pool, going, waited_for, over = RangePool(), threading.Semaphore(0), threading.Semaphore(0), threading.Event()
    ended: List[int] = []
    came: List[int] = []
    end = RangePool.end

    def noted(self: RangePool, landing: Any) -> None:
        waited_for.release()
        end(self, landing)

    def interrupt() -> None:
        main = threading.main_thread().ident
        assert main is not None
        assert all(going.acquire(timeout=20) for _ in range(3))
        for _ in range(times):
            signal.pthread_kill(main, signal.SIGINT)
            # For the first range, after each interrupt once more. What comes right before a wait does not wake it.
            while not waited_for.acquire(timeout=0.2):
                signal.pthread_kill(main, signal.SIGINT)
        over.set()

    def pour(start: int, end: int, take: Any) -> bool:
        going.release()
        try:
            if start == MIB:
                going.acquire()
                interrupt()
            assert over.wait(20)
            take(start, b"")
        finally:
            ended.append(start)
        return True

    content = source(pour, pool=pool)
    with patch.object(RangePool, "end", noted), pytest.raises(KeyboardInterrupt):
        content.pour(lambda offset, _: came.append(offset), lambda _: None)

    assert sorted(ended) == [MIB + each * RANGE_BYTES for each in range(4)]
    assert came == [0]
    assert pool._held == set()
    pool.close()


@pytest.mark.parametrize("begins", [False, True])
def test_an_interrupt_while_a_range_is_begun_leaves_nothing_on_its_way(begins: bool) -> None:
    pool, came, ended, over = RangePool(), [], [], threading.Event()  # type: ignore[var-annotated]
    begin = RangePool.begin

    def interrupted(self: RangePool, *given: Any) -> bool:
        if begins:
            begin(self, *given)
        over.set()
        raise KeyboardInterrupt

    def pour(start: int, end: int, take: Any) -> bool:
        assert over.wait(20)
        ended.append(start)
        return True

    content = source(pour, pool=pool)
    with patch.object(RangePool, "begin", interrupted), pytest.raises(KeyboardInterrupt):
        content.pour(lambda offset, _: came.append(offset), lambda _: None)

    at_its_end = list(ended)
    assert pool._held == set()
    pool.close()
    assert (came, ended) == ([0], at_its_end)


def test_one_failed_range_ends_the_others_and_is_what_is_told_of() -> None:
    pool, last = RangePool(), MIB + 3 * RANGE_BYTES
    going, pieces = threading.Semaphore(0), []  # type: ignore[var-annotated]

    def pour(start: int, end: int, take: Any) -> bool:
        if start == last:
            assert all(going.acquire(timeout=20) for _ in range(3))
            raise Unavailable("the last range")
        going.release()
        latest = time.monotonic() + 20
        while time.monotonic() < latest:
            take(start, b"")
        pieces.append(start)
        return True

    with pytest.raises(Unavailable, match="the last range"):
        source(pour, pool=pool).pour(lambda *_: None, lambda _: None)

    assert pieces == []
    assert pool._held == set()
    pool.close()


def test_what_nobody_wants_any_more_is_not_tried_again() -> None:
    pool, going, asked = RangePool(), threading.Semaphore(0), []  # type: ignore[var-annotated]
    began_to_end = threading.Event()

    def pour(start: int, end: int, take: Any) -> bool:
        if start != MIB:
            return False
        assert all(going.acquire(timeout=20) for _ in range(3))
        raise PreconditionFailed("the first range")

    def fetch(start: int, end: int) -> bytes:
        asked.append(start)
        going.release()
        assert began_to_end.wait(20)
        raise Unavailable("may pass")

    def noted(self: RangePool, landing: Any) -> None:
        began_to_end.set()
        end(self, landing)

    end = RangePool.end
    with patch.object(RangePool, "end", noted), pytest.raises(PreconditionFailed, match="the first range"):
        source(pour, pool=pool, fetch=fetch).pour(lambda *_: None, lambda _: None)

    assert sorted(asked) == [MIB + each * RANGE_BYTES for each in (1, 2, 3)]
    pool.close()


# Files


@pytest.fixture(params=["moto", "rclone", "seaweedfs"])
def server(request: pytest.FixtureRequest) -> S3Server:
    found: S3Server = request.getfixturevalue(request.param)
    return found


@pytest.mark.usefixtures("with_obstore")
def test_a_large_object_becomes_a_file_by_plain_requests_only(server: S3Server, tmp_path: Path) -> None:
    bucket = server.bucket()
    server.fill(bucket, {"large": LARGE})
    client = server.client(bucket)
    found = client.stat("large")
    ranges: List[Tuple[int, int]] = []
    read = type(client.service).read

    def noted(self: Any, key: str, start: int, end: int, **given: Any) -> Any:
        ranges.append((start, end))
        return read(self, key, start, end, **given)

    moved: List[int] = []
    with patch.object(type(client.service), "read", noted):
        made = transfer(
            client,
            "large",
            LocalStorageClient(str(tmp_path)),
            "large",
            expect_origin=found.stamp,
            expect_target=ABSENT,
            mtime_ns=None,
            on_bytes=moved.append,
        )

    assert (tmp_path / "large").read_bytes() == LARGE
    assert (made.bytes, sum(moved)) == (len(LARGE), len(LARGE))
    assert made.target.size == len(LARGE)
    assert ranges == []


def test_without_plain_requests_a_large_object_is_read_in_order(moto: S3Server, tmp_path: Path) -> None:
    bucket = moto.bucket()
    moto.fill(bucket, {"large": LARGE})
    client = moto.client(bucket)

    with patch.object(type(client.service), "pours", False), patch.object(Draft, "_put") as put:
        transfer(
            client,
            "large",
            LocalStorageClient(str(tmp_path)),
            "large",
            expect_origin=client.stat("large").stamp,
            expect_target=ABSENT,
            mtime_ns=None,
        )

    assert (tmp_path / "large").read_bytes() == LARGE
    put.assert_not_called()


@pytest.mark.usefixtures("with_obstore")
@pytest.mark.parametrize("when", ["before the ranges", "between the ranges"])
def test_an_object_that_is_replaced_while_it_comes_becomes_no_file(moto: S3Server, tmp_path: Path, when: str) -> None:
    bucket, target = moto.bucket(), tmp_path / "target"
    moto.fill(bucket, {"large": LARGE, "other": b"x"})
    pour, asked = DirectS3.pour, []  # type: ignore[var-annotated]

    def late(self: DirectS3, key: str, start: int, *others: Any) -> None:
        asked.append(start)
        if len(asked) == (1 if when == "before the ranges" else 2):
            moto.fill(bucket, {"large": LARGE[::-1]})
        pour(self, key, start, *others)

    with patch.object(DirectS3, "pour", late):
        report = syncengine.sync(
            f"s3://{bucket}", target, mode="source-to-destination", source_options=moto.options, progress=False
        )

    found: Dict[str, Status] = {outcome.operation.path: outcome.status for outcome in report.outcomes}
    assert found == {"large": Status.STALE, "other": Status.DONE}
    assert [path.name for path in target.iterdir()] == ["other"]


@pytest.mark.usefixtures("with_obstore")
def test_a_disk_that_is_full_ends_the_download_and_leaves_nothing(moto: S3Server, tmp_path: Path) -> None:
    bucket = moto.bucket()
    moto.fill(bucket, {"large": LARGE})

    def full(self: Draft, offset: int, data: Any) -> None:
        if offset > 9 * MIB:
            raise OSError(28, "No space left on device")

    with patch.object(Draft, "_put", full):
        report = syncengine.sync(
            f"s3://{bucket}",
            tmp_path / "target",
            mode="source-to-destination",
            source_options=moto.options,
            progress=False,
            retries=0,
        )

    (outcome,) = report.outcomes
    assert outcome.status is Status.FAILED
    assert outcome.problem is not None
    assert outcome.problem.kind.value == "no_space"
    assert list((tmp_path / "target").iterdir()) == []
