"""Small objects of S3 by plain requests: what is done, what is refused, and what nobody can be sure of."""

from __future__ import annotations

import hashlib
from typing import Any, Callable, Dict, Tuple

import pytest
from attrs import evolve
from object_servers import KEY, SECRET, S3Server
from wire import Wire

from syncengine.core.entry import Stamp
from syncengine.errors import PreconditionFailed, StorageError, Throttled, Unavailable
from syncengine.storage.conformance import Bytes
from syncengine.storage.location import locate
from syncengine.storage.objects.s3_small import SMALL_BYTES, SmallObjects
from syncengine.storage.objects.service import Headers, ObjectInfo
from syncengine.storage.protocol import ABSENT, ANYTHING, exactly

pytestmark = pytest.mark.usefixtures("with_obstore")
ETAG = "0123456789abcdef0123456789abcdef"
COPIED = (
    f"<CopyObjectResult><LastModified>2026-11-22T10:00:00.000Z</LastModified><ETag>&quot;{ETAG}&quot;</ETag>"
    "</CopyObjectResult>"
).encode()


def service_at(url: str) -> SmallObjects:
    options = {"key": KEY, "secret": SECRET, "endpoint_url": url, "client_kwargs": {"region_name": "us-east-1"}}
    found = locate("s3://bucket", options=options).open().service
    assert isinstance(found, SmallObjects)
    return found


def kinds(wire: Wire) -> Tuple[str, ...]:
    return tuple(command for command, _, _ in wire.asked)


@pytest.mark.parametrize(
    ("status", "headers", "error", "asks"),
    [
        (500, {}, Unavailable, 1),
        (503, {}, Throttled, 1),
        (429, {"Retry-After": "7"}, Throttled, 1),
        (408, {}, Unavailable, 1),
        (412, {}, PreconditionFailed, 2),
        (409, {}, PreconditionFailed, 2),
        (403, {}, StorageError, 2),
    ],
)
def test_a_write_is_asked_for_again_only_where_it_was_refused(
    status: int, headers: Dict[str, str], error: Any, asks: int, wire: Callable[..., Wire]
) -> None:
    server = wire((status, headers, b""))
    service = service_at(server.url)

    with pytest.raises(error) as raised:
        service.put("k", b"content", expect=ABSENT, headers=Headers())

    assert kinds(server) == ("PUT",) * asks
    if headers:
        assert raised.value.retry_after == 7


def test_the_condition_and_the_headers_go_with_the_content(wire: Callable[..., Wire]) -> None:
    server = wire((200, {"ETag": f'"{ETAG}"'}, b""))
    service = service_at(server.url)
    headers = Headers(content_type="text/plain", metadata={"mtime": "1.5"})

    for expect in (ABSENT, exactly(Stamp(etag=ETAG)), ANYTHING):
        assert service.put("k", b"content", expect=expect, headers=headers).stamp.etag == ETAG

    sent = [{name.lower(): value for name, value in headers.items()} for _, _, headers in server.asked]
    assert [(each.get("if-none-match"), each.get("if-match")) for each in sent] == [
        ("*", None),
        (None, f'"{ETAG}"'),
        (None, None),
    ]
    assert all(each["x-amz-meta-mtime"] == "1.5" and each["content-type"] == "text/plain" for each in sent)


def test_what_was_written_is_remembered_by_the_digest_that_its_signature_needed(wire: Callable[..., Wire]) -> None:
    service = service_at(wire((200, {"ETag": f'"{ETAG}"', "x-amz-version-id": "v1"}, b"")).url)

    stamp = service.put("k", b"content", expect=ABSENT, headers=Headers()).stamp

    digests = (f"etag:{ETAG}", "sha256:" + hashlib.sha256(b"content").hexdigest())
    assert stamp == Stamp(7, etag=ETAG, version="v1", digests=digests)


@pytest.mark.parametrize("value", ["a\r\nx-amz-acl: public-read", "ü", " led by a blank", "tab\there"])
def test_what_plain_headers_cannot_say_is_not_said_by_them(value: str, wire: Callable[..., Wire]) -> None:
    service = service_at(wire((200, {}, b"")).url)

    assert service._given(ANYTHING, Headers(metadata={"name": value})) is None
    assert service._given(ANYTHING, Headers(content_type=value)) is None


@pytest.mark.parametrize("body", [b"<Error><Code>InternalError</Code></Error>", b"", b"<CopyObjectResult>"])
def test_a_copy_that_fails_after_all_was_said_to_be_well_is_not_done(body: bytes, wire: Callable[..., Wire]) -> None:
    service = service_at(wire((200, {}, body)).url)
    origin = ObjectInfo("old", Stamp(size=3, etag=ETAG), Headers())

    with pytest.raises(Unavailable):
        service.copy("old", "new", expect_origin=origin, expect=ANYTHING)


def test_a_copy_names_the_version_and_keeps_its_storage_class(wire: Callable[..., Wire]) -> None:
    server = wire((200, {}, COPIED))
    origin = ObjectInfo("a b+ü", Stamp(size=3, etag=ETAG), Headers(storage_class="GLACIER_IR"))

    made = service_at(server.url).copy("a b+ü", "new", expect_origin=origin, expect=ANYTHING)

    ((command, path, headers),) = server.asked
    sent = {name.lower(): value for name, value in headers.items()}
    assert (command, path) == ("PUT", "/bucket/new")
    assert sent["x-amz-copy-source"] == "/bucket/a%20b%2B%C3%BC"
    assert sent["x-amz-copy-source-if-match"] == f'"{ETAG}"'
    assert sent["x-amz-storage-class"] == "GLACIER_IR"
    assert (made.stamp.size, made.stamp.etag, made.headers) == (3, ETAG, origin.headers)


def test_another_version_than_was_asked_for_is_not_read(wire: Callable[..., Wire]) -> None:
    service = service_at(wire((200, {"ETag": '"other"'}, b"abc")).url)

    with pytest.raises(PreconditionFailed):
        service.get("k", 100, expect=Stamp(size=3, etag=ETAG))


@pytest.mark.parametrize("kind", ["moto", "rclone"])
@pytest.mark.parametrize("size", [0, 1, 100_000, SMALL_BYTES, SMALL_BYTES + 1])
def test_what_was_written_is_looked_at_and_read_alike_by_every_way(
    kind: str, size: int, request: pytest.FixtureRequest
) -> None:
    server: S3Server = request.getfixturevalue(kind)
    client = server.client(server.bucket())
    service, content = client.service, bytes(size)
    headers = Headers(content_type="text/plain", metadata={"mtime": "1600000000.5"})

    written = service.put("d/a b", content, expect=ANYTHING, headers=headers)
    looked, looked_through = service.head("d/a b"), service._base.head("d/a b")
    info, read = service.get("d/a b", 4 << 20, expect=written.stamp)

    assert looked is not None
    assert looked_through is not None
    assert read == content
    assert info == looked
    assert looked.stamp.same_version(written.stamp)
    assert (looked.stamp.size, looked.stamp.mtime_ns) == (size, looked_through.stamp.mtime_ns)
    assert looked.headers is not None
    assert looked.headers.metadata["mtime"] == "1600000000.5"
    assert service.head("d/missing") is None


def test_nothing_of_a_small_sync_needs_the_filesystem(moto: S3Server) -> None:
    client = moto.client(moto.bucket())
    client.prove()
    base = client.service._base
    base._client = None
    client.service._store = None

    first = client.write("a", Bytes(b"1"), expect=ABSENT)
    second = client.write("a", Bytes(b"22"), expect=exactly(first))
    client.copy("a", "b", expect=ABSENT)
    with client.read("b", expect=client.stat("b").stamp) as source:
        assert source.read() == b"22"
    client.delete("a", expect=exactly(second))
    assert client.stat("b") is not None


def test_where_no_credentials_can_be_had_whoever_serves_otherwise_asks(moto: S3Server) -> None:
    def expired() -> Any:
        raise RuntimeError("the session has ended")

    service = locate(f"s3://{moto.bucket()}", options=moto.options).open().service
    service._direct.options = evolve(service._direct.options, credentials=expired)

    made = service.put("k", b"content", expect=ABSENT, headers=Headers())
    looked = service.head("k")

    assert looked is not None
    assert looked.stamp.etag == made.stamp.etag
    assert service.get("k", 10, expect=looked.stamp)[1] == b"content"
    assert [info.key for page in service.pages("") for info in page] == ["k"]
    service.delete("k", expect=exactly(looked.stamp))
    assert service.head("k") is None
