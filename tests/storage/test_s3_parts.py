"""Uploads in parts by plain requests: how many are on their way, what is tried again, and what becomes of the rest."""

from __future__ import annotations

import hashlib
import os
import threading
import traceback
from typing import Any, Iterator, List, cast

import pytest
from between import Wire, between
from object_servers import S3Server

from syncengine.core.entry import Stamp
from syncengine.errors import (
    AccessDenied,
    NoSpace,
    NotFound,
    PreconditionFailed,
    StorageError,
    Throttled,
    Unavailable,
    Unsupported,
)
from syncengine.storage.conformance import Bytes
from syncengine.storage.objects import s3_parts
from syncengine.storage.objects.exchange import Answer, Lost, Unsent
from syncengine.storage.objects.s3_client import error_code
from syncengine.storage.objects.s3_parts import (
    OF_ALL_UPLOADS,
    OF_ONE_UPLOAD,
    Part,
    PartThreads,
    PlainParts,
    plain_headers,
)
from syncengine.storage.objects.s3_unmade import Deferred
from syncengine.storage.objects.s3_values import is_composed_of
from syncengine.storage.objects.service import Headers
from syncengine.storage.protocol import ABSENT, exactly

pytest.importorskip("obstore", reason="without it the filesystem serves, and plain requests are not made")

MIB = 1 << 20
LARGE = os.urandom(20 * MIB + 3)


@pytest.fixture(params=["moto", "seaweedfs"])
def server(request: pytest.FixtureRequest) -> S3Server:
    found: S3Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def wire(moto: S3Server) -> Iterator[Wire]:
    with between(moto.url) as found:
        yield found


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_parts, "_PAUSE_SECONDS", 0)


def on_their_way(server: S3Server, bucket: str) -> int:
    return len(server.filesystem().call_s3("list_multipart_uploads", Bucket=bucket).get("Uploads", ()))


# Threads


def numbered(count: int) -> Iterator[Part]:
    return ((number, b"%d" % number) for number in range(1, count + 1))


def test_parts_come_back_in_their_order_and_few_are_on_their_way() -> None:
    flying: List[int] = [0, 0]
    lock, threads = threading.Lock(), PartThreads()

    def send(part: Part) -> int:
        with lock:
            flying[0] += 1
            flying[1] = max(flying)
        if part[0] % 3 == 0:
            threading.Event().wait(0.01)
        with lock:
            flying[0] -= 1
        return part[0]

    assert threads.sent(numbered(50), send) == list(range(1, 51))
    assert 1 <= flying[1] <= OF_ONE_UPLOAD
    threads.close()


def test_an_upload_goes_on_by_itself_where_others_hold_all_places() -> None:
    threads, release = PartThreads(), threading.Event()
    started = threading.Semaphore(0)

    def held(part: Part) -> int:
        started.release()
        release.wait(20)
        return part[0]

    uploads = [threading.Thread(target=threads.sent, args=(numbered(OF_ONE_UPLOAD), held)) for _ in range(2)]
    for upload in uploads:
        upload.start()
    for _ in range(OF_ALL_UPLOADS):
        assert started.acquire(timeout=20)

    assert threads.sent(numbered(5), lambda part: part[0]) == [1, 2, 3, 4, 5]
    release.set()
    for upload in uploads:
        upload.join()
    threads.close()


def test_after_a_failure_nothing_is_on_its_way_any_more() -> None:
    threads, sent = PartThreads(), []

    def send(part: Part) -> None:
        if part[0] == 2:
            raise Unavailable("the second part")
        sent.append(part[0])

    with pytest.raises(Unavailable):
        threads.sent(numbered(50), send)
    after = len(sent)
    assert threads.sent(numbered(50), lambda part: part[0]) == list(range(1, 51))
    assert len(sent) == after < 49
    threads.close()


class NoThreads:
    """Lets no thread for parts be started after so many."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
        self.left = left
        self.started: List[threading.Thread] = []
        self.refused = threading.Event()
        start = threading.Thread.start

        def started(thread: threading.Thread) -> None:
            if thread.name.startswith("syncengine-part"):
                if not self.left:
                    self.refused.set()
                    raise RuntimeError("can't start new thread")
                self.left -= 1
                self.started.append(thread)
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", started)


def test_where_no_thread_can_be_started_parts_are_sent_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = PartThreads()
    with monkeypatch.context() as without:
        NoThreads(without, 0)
        sent = threads.sent(numbered(OF_ALL_UPLOADS + 1), lambda part: (part[0], threading.current_thread()))
    assert sent == [(number, threading.current_thread()) for number in range(1, OF_ALL_UPLOADS + 2)]

    # All places are free again: this many parts can meet.
    together = threading.Barrier(OF_ALL_UPLOADS, timeout=20)
    uploads = [
        threading.Thread(target=threads.sent, args=(numbered(OF_ONE_UPLOAD), lambda _: together.wait()))
        for _ in range(OF_ALL_UPLOADS // OF_ONE_UPLOAD)
    ]
    for upload in uploads:
        upload.start()
    for upload in uploads:
        upload.join()
    assert not together.broken
    threads.close()


def test_a_part_that_no_thread_could_be_started_for_is_sent_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    threads, starting = PartThreads(), NoThreads(monkeypatch, 1)
    sent: List[int] = []

    def send(part: Part) -> None:
        sent.append(part[0])
        if part[0] == 1:
            starting.refused.wait(20)
        else:
            raise Unavailable("the second part")

    with pytest.raises(Unavailable, match="the second part"):
        threads.sent(numbered(3), send)
    for thread in starting.started:
        thread.join()  # each does what is queued still
    threads.close()

    assert starting.refused.is_set()
    assert sent == [1, 2]


def test_threads_that_were_ended_are_made_anew_for_a_later_upload() -> None:
    threads = PartThreads()
    for _ in range(2):
        assert threads.sent(numbered(3), lambda part: part[0]) == [1, 2, 3]
        threads.close()
    threads.close()


# Requests


def test_a_large_upload_takes_plain_requests_only(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = server.bucket()
    client = server.client(bucket)
    made: List[str] = []
    monkeypatch.setattr(Deferred, "__getattr__", lambda _, name: made.append(name))

    first = client.write("large.html", Bytes(LARGE), expect=ABSENT, mtime_ns=1_500_000_000_500_000_000)
    second = client.write("large.html", Bytes(LARGE[::-1]), expect=exactly(first))
    for refused in (ABSENT, exactly(first)):
        with pytest.raises(PreconditionFailed):
            client.write("large.html", Bytes(LARGE), expect=refused)

    assert made == []
    monkeypatch.undo()
    assert server.content(bucket, "large.html") == LARGE[::-1]
    assert client.stat("large.html").stamp.same_version(second)
    assert on_their_way(server, bucket) == 0


@pytest.mark.parametrize("status", [500, 503])
def test_a_part_that_failed_is_sent_again(wire: Wire, status: int) -> None:
    bucket = wire.server.bucket()
    client = wire.server.client(bucket)
    wire.refused["large"] = status

    client.write("large", Bytes(LARGE), expect=ABSENT)

    assert not wire.refused
    assert wire.server.content(bucket, "large") == LARGE


class Answering:
    """Answers every request alike, and counts them."""

    def __init__(self, answer: Any, content: bytes = b"") -> None:
        self.asked = 0
        self._answer = answer
        self._content = content

    def ask(self, *_: Any, **__: Any) -> Answer:
        self.asked += 1
        if isinstance(self._answer, Exception):
            raise self._answer
        return Answer(self._answer, {"retry-after": "7"}, self._content)


def refusal(code: str, message: str = "it said &amp; so") -> bytes:
    named = f"<Code>{code}</Code>" if code else ""
    return f"<?xml version='1.0'?><Error>{named}<Message>{message}</Message></Error>".encode()


@pytest.mark.parametrize(
    ("answer", "code", "error", "attempts"),
    [
        (400, "RequestTimeout", Unavailable, 4),
        (400, "BadDigest", Unavailable, 4),
        (400, "IncompleteBody", Unavailable, 4),
        (400, "XAmzContentSHA256Mismatch", Unavailable, 4),
        (400, "ExpiredToken", AccessDenied, 1),
        (400, "EntityTooLarge", Unsupported, 1),
        (400, "InvalidArgument", StorageError, 1),
        (403, "SignatureDoesNotMatch", AccessDenied, 1),
        (403, "QuotaExceeded", NoSpace, 1),
        (404, "NoSuchUpload", Unavailable, 1),
        (404, "NoSuchBucket", NotFound, 1),
        (409, "OperationAborted", Unavailable, 4),
        (500, "InternalError", Unavailable, 4),
        (501, "NotImplemented", Unsupported, 1),
        (503, "SlowDown", Throttled, 4),
        (503, "ServiceUnavailable", Unavailable, 4),
        (507, "XMinioStorageFull", NoSpace, 1),
        # A status alone:
        (400, "", StorageError, 1),
        (401, "", AccessDenied, 1),
        (403, "", AccessDenied, 1),
        (404, "", NotFound, 1),
        (408, "", Unavailable, 4),
        (425, "", Unavailable, 4),
        (429, "", Throttled, 4),
        (500, "", Unavailable, 4),
        (501, "", Unsupported, 1),
        (503, "", Unavailable, 4),
        (507, "", NoSpace, 1),
    ],
)
def test_a_refused_part_is_told_by_its_code_and_sent_again_only_where_that_may_help(
    answer: int, code: str, error: Any, attempts: int
) -> None:
    direct: Any = Answering(answer, refusal(code))

    with pytest.raises(StorageError) as caught:
        PlainParts(direct).sent("k", "upload", (1, b"x"))

    assert (type(caught.value), direct.asked) == (error, attempts)
    assert (caught.value.path, caught.value.retry_after) == ("k", 7.0)
    assert error_code(caught.value) == (code or str(answer))
    assert code in str(caught.value)
    assert "it said & so" in str(caught.value)


@pytest.mark.parametrize("answer", [200, 307, Lost("reset"), Unsent("refused")])
def test_a_part_that_was_neither_taken_nor_refused_is_sent_again(answer: Any) -> None:
    direct: Any = Answering(answer)

    with pytest.raises(Unavailable):
        PlainParts(direct).sent("k", "upload", (1, b"x"))

    assert direct.asked == 4


def test_a_refusal_shows_no_secret() -> None:
    direct: Any = Answering(403, refusal("AccessDenied", "the token planted-secret is wrong"))
    plain = PlainParts(direct, ("planted-secret",))

    with pytest.raises(AccessDenied) as sent:
        plain.sent("k", "upload", (1, b"x"))

    assert "the token *** is wrong" in str(sent.value)
    assert "planted" not in "".join(traceback.format_exception(None, sent.value, None)) + repr(plain)


@pytest.mark.parametrize("answer", [403, 500, 204, Lost("reset"), Unsent("refused")])
def test_an_upload_that_cannot_be_begun_plainly_is_begun_otherwise(answer: Any) -> None:
    assert PlainParts(cast("Any", Answering(answer))).begun("k", Headers()) is None


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        (Headers(), {}),
        (
            Headers(content_type="text/html", storage_class="GLACIER", metadata={"Mtime": "1.5"}),
            {"Content-Type": "text/html", "x-amz-storage-class": "GLACIER", "x-amz-meta-mtime": "1.5"},
        ),
        (Headers(content_type="text/html\r\nx: y"), None),
        (Headers(metadata={"name": "ü"}), None),
        (Headers(metadata={"a:b": "c"}), None),
        (Headers(metadata={"a": " padded"}), None),
    ],
)
def test_headers_are_sent_only_as_plain_text(headers: Headers, sent: Any) -> None:
    assert plain_headers(headers) == sent


def test_an_upload_that_fails_leaves_no_parts(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = wire.server.bucket()
    client = wire.server.client(bucket)
    monkeypatch.setattr(s3_parts, "_ATTEMPTS", 1)
    wire.refused["large"] = 500

    with pytest.raises(Unavailable):
        client.write("large", Bytes(LARGE), expect=ABSENT)

    assert on_their_way(wire.server, bucket) == 0
    assert wire.server.keys(bucket) == ()


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (412, "PreconditionFailed", PreconditionFailed),
        (409, "ConditionalRequestConflict", PreconditionFailed),
        (409, "", PreconditionFailed),
        (409, "OperationAborted", Unavailable),
    ],
)
def test_a_completion_that_another_write_was_in_the_way_of_is_not_repeated(status: int, code: str, error: Any) -> None:
    direct: Any = Answering(status, refusal(code))

    with pytest.raises(error, match="it said & so"):
        PlainParts(direct).completed("k", "upload", ['"e"'], {"IfNoneMatch": "*"})

    assert direct.asked == 1


@pytest.mark.parametrize("status", [409, 412])
def test_an_upload_whose_condition_failed_at_its_end_is_told_so_and_leaves_no_parts(wire: Wire, status: int) -> None:
    bucket = wire.server.bucket()
    client = wire.server.client(bucket)
    wire.refused["large completed"] = status
    wire.sent()

    with pytest.raises(PreconditionFailed):
        client.write("large", Bytes(LARGE), expect=ABSENT)

    assert wire.sent()["POST"] == 2  # begun and completed
    assert on_their_way(wire.server, bucket) == 0
    assert wire.server.keys(bucket) == ()


PART_ETAGS = [hashlib.md5(part).hexdigest() for part in (b"one", b"two")]
COMPOSITE = hashlib.md5(b"".join(bytes.fromhex(etag) for etag in PART_ETAGS)).hexdigest()


@pytest.mark.parametrize(
    ("found", "ours"),
    [
        (Stamp(size=6, etag=f"{COMPOSITE}-2"), True),
        (Stamp(size=7, etag=f"{COMPOSITE}-2"), False),
        (Stamp(size=6, etag=f"{COMPOSITE}-3"), False),
        # A key service gives an ETag of its own, and some servers never tell the number of parts.
        (Stamp(size=6, etag="0" * 32 + "-2"), None),
        (Stamp(size=6, etag="0" * 32), None),
        (Stamp(size=6, etag="a-3"), None),
        (Stamp(size=6), None),
    ],
)
def test_an_object_is_ours_or_anothers_only_where_that_is_certain(found: Stamp, ours: Any) -> None:
    assert is_composed_of(found, PART_ETAGS, 6) is ours


@pytest.mark.parametrize("way", ["no answer", "a failure"])
def test_a_completion_whose_answer_was_lost_is_recognised_as_ours(wire: Wire, way: str) -> None:
    bucket = wire.server.bucket()
    client = wire.server.client(bucket)
    (wire.losing if way == "no answer" else wire.failing).add("large completed")

    stamp = client.write("large", Bytes(LARGE), expect=ABSENT)

    assert not (wire.losing | wire.failing)
    assert wire.server.content(bucket, "large") == LARGE
    assert client.stat("large").stamp.same_version(stamp)
    assert on_their_way(wire.server, bucket) == 0


def test_a_completion_that_was_refused_before_it_was_done_is_asked_for_again(wire: Wire) -> None:
    bucket = wire.server.bucket()
    client = wire.server.client(bucket)
    wire.refused["large completed"] = 500

    client.write("large", Bytes(LARGE), expect=ABSENT)

    assert not wire.refused
    assert wire.server.content(bucket, "large") == LARGE
