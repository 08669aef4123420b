"""Each object service through its own filesystem: the calls, their conditions both ways, and what is left behind."""

from __future__ import annotations

import hashlib
import io
import json
from functools import partial
from importlib.metadata import version
from typing import Any, Callable, Dict, Iterator, List

import fsspec
import pytest
from attrs import evolve, frozen
from object_servers import KEY, SECRET, import_gcsfs
from wire import Wire

from syncengine.core.entry import Stamp
from syncengine.errors import (
    AccessDenied,
    NotFound,
    PreconditionFailed,
    StorageError,
    Throttled,
    Unavailable,
    Unsupported,
)
from syncengine.storage.objects.azure import AzureService
from syncengine.storage.objects.fast import FastService
from syncengine.storage.objects.gcs import GcsService
from syncengine.storage.objects.opening import service_for
from syncengine.storage.objects.s3 import S3Service
from syncengine.storage.objects.service import Headers, ObjectInfo
from syncengine.storage.protocol import ABSENT, ANYTHING, Precondition, exactly

MIB = 1 << 20
PART = 5 * MIB  # S3 takes no smaller one, but for the last
PLAIN = Headers()
DRESSED = Headers(
    content_type="text/plain",
    cache_control="max-age=60",
    content_disposition="inline",
    content_language="en",
    metadata={"mtime": "1600000000.123456789"},
)
OTHER = {
    "s3": Stamp(size=3, etag="0" * 32),
    "gcs": Stamp(size=3, version="12345"),
    "azure": Stamp(size=3, etag="0x8D000000000000"),
}


@frozen
class Store:
    """A bucket of its own, the service on it, and its server for a look from the side."""

    name: str
    service: Any
    server: Any
    absent: Any
    """The service on a bucket that does not exist."""

    def names(self) -> List[str]:
        return [info.key for page in self.service.pages("") for info in page]

    def put(self, key: str, content: bytes = b"one", headers: Headers = PLAIN) -> ObjectInfo:
        return self.service.put(key, content, expect=ANYTHING, headers=headers)

    def upload(self, key: str, content: bytes, expect: Precondition = ANYTHING, **given: Any) -> ObjectInfo:
        options = {"headers": PLAIN, "admit": lambda: None, **given}
        return self.service.upload(key, io.BytesIO(content).read, len(content), expect=expect, **options)

    def leftovers(self) -> int:
        """Count the uploads in parts that were begun and neither completed nor given up."""
        if self.name != "s3":
            return 0
        return len(
            self.server.filesystem().call_s3("list_multipart_uploads", Bucket=self.service.bucket).get("Uploads", ())
        )


SERVERS = {"s3": "moto", "gcs": "gcs", "azure": "azure"}
ALONE: Dict[str, Any] = {
    "s3": partial(S3Service, single_copy_bytes=PART, copy_part_bytes=PART),
    "gcs": partial(GcsService, pauses=(0.0,)),
    "azure": AzureService,
}


def _with_obstore(name: str, filesystem: Any, bucket: str, **given: Any) -> Any:
    pytest.importorskip("obstore", reason="obstore is not installed, and this is the service through it")
    base = ALONE[name](filesystem, bucket, **given)
    found, why = service_for(filesystem, bucket)
    assert isinstance(found, FastService), why
    found._base = base
    return found


def _by_plain_requests(filesystem: Any, bucket: str, **given: Any) -> Any:
    pytest.importorskip("obstore", reason="obstore is not installed, and without it nothing is asked plainly")
    found, why = service_for(filesystem, bucket, **{name: tuple(value) for name, value in given.items()})
    assert found._base._plain is not None, why
    found._base._single_copy_bytes = found._base._copy_part_bytes = PART
    return found


BY_OBSTORE = {f"{name} by obstore": partial(_with_obstore, name) for name in ALONE}
SERVICES: Dict[str, Any] = {**ALONE, **BY_OBSTORE, "s3 by plain requests": _by_plain_requests}


def made(kind: str, server: Any) -> Store:
    filesystem = server.filesystem()
    found = SERVICES[kind](filesystem, server.bucket(), secrets=[SECRET])
    for each in (found, getattr(found, "_base", found)):
        each.facts = evolve(each.facts, part_bytes=PART)
    return Store(kind.split()[0], found, server, SERVICES[kind](filesystem, "bucket-that-nobody-made"))


@pytest.fixture
def stores(request: pytest.FixtureRequest) -> Callable[[str], Store]:
    return lambda kind: made(kind, request.getfixturevalue(SERVERS[kind.split()[0]]))


@pytest.fixture(params=SERVICES)
def store(request: pytest.FixtureRequest, stores: Callable[[str], Store]) -> Iterator[Store]:
    found = stores(request.param)
    yield found
    assert found.leftovers() == 0


def beyond_old_emulators(store: Store) -> None:
    if store.name == "gcs" and version("gcp-storage-emulator") < "2025":
        pytest.skip("this release of the emulator loses headers of large uploads, and has no a beside a/b")


# Looking


def test_pages_follow_in_byte_order_whatever_their_size(store: Store) -> None:
    beyond_old_emulators(store)
    keys = ["a", "a b", "a-b", "a/b", "a/ü", "b/c/d", "z", "é", "\U0001f600"]
    for key in reversed(keys):
        store.put(key)

    pages = [[info.key for info in page] for page in store.service.pages("", page_size=2)]

    assert [key for page in pages for key in page] == keys
    if store.name != "gcs":  # its emulator knows no pages; see the test on the wire
        assert max(map(len, pages)) <= 2
    assert [info.key for page in store.service.pages("a/") for info in page] == ["a/b", "a/ü"]
    assert [info.key for page in store.service.pages("", start_after="a/ü") for info in page] == keys[5:]
    assert list(store.service.pages("nothing")) in ([], [[]])


def test_children_are_objects_and_prefixes_directly_below(store: Store) -> None:
    for key in ("top", "d/one", "d/two", "d/e/deep", "d-f"):
        store.put(key)

    pages = list(store.service.children("d/"))
    above = list(store.service.children(""))

    assert [info.key for infos, _ in pages for info in infos] == ["d/one", "d/two"]
    assert [prefix for _, prefixes in pages for prefix in prefixes] == ["d/e/"]
    assert sorted(prefix for _, prefixes in above for prefix in prefixes) == ["d/"]


def test_a_listing_tells_the_version_that_a_look_tells(store: Store) -> None:
    written = store.put("k", b"content")

    (listed,) = [info for page in store.service.pages("k") for info in page]
    looked = store.service.head("k")

    for one in (listed, looked):
        assert one.stamp.same_version(written.stamp, granularity_ns=2_000_000_000) is True
    assert "md5:" + hashlib.md5(b"content").hexdigest() in store.service.digests("k", expect=looked.stamp)


def test_a_listing_is_fresh_though_the_filesystem_has_an_old_one(store: Store) -> None:
    store.put("d/k")
    store.server.filesystem().ls(f"{store.service.bucket}/d")

    store.put("d/k", b"another")

    assert [info.stamp.size for page in store.service.pages("d/") for info in page] == [7]
    assert store.service.head("d/k").stamp.size == 7


@pytest.mark.parametrize(
    "call",
    [
        lambda service: list(service.pages("")),
        lambda service: list(service.children("")),
        lambda service: service.put("k", b"", expect=ANYTHING, headers=PLAIN),
        lambda service: service.put("k", b"", expect=exactly(Stamp(etag="x", version="1")), headers=PLAIN),
        lambda service: service.get("k", 10),
    ],
    ids=["pages", "children", "put", "conditional put", "get"],
)
def test_a_missing_bucket_is_an_error(store: Store, call: Callable[[Any], Any]) -> None:
    with pytest.raises(NotFound):
        call(store.absent)


def test_a_missing_object_is_none_to_look_at_and_an_error_to_read(store: Store) -> None:
    assert store.service.head("missing") is None
    for read in (partial(store.service.get, "missing", 10), partial(store.service.read, "missing", 0, 10)):
        with pytest.raises(NotFound):
            read()


NAMES = [
    "a[1].txt",
    "star*.txt",
    "a?versionId=1.txt",
    "#1",
    "k#12",
    "x?generation=5",
    "per%20cent",
    " blank ",
    "ü'&+;=",
]


@pytest.mark.parametrize("key", NAMES)
def test_keys_are_literal(store: Store, key: str) -> None:
    store.put("a1.txt", b"bystander")
    store.put("a", b"bystander")

    written = store.put(key, b"literal")

    assert key in store.names()
    assert store.service.get(key, 100)[1] == b"literal"
    store.service.copy(key, key + ".copy", expect_origin=written, expect=ABSENT)
    store.service.delete(key, expect=exactly(written.stamp))
    assert store.service.delete_many([key + ".copy"]) == {key + ".copy": None}
    assert sorted(store.names()) == ["a", "a1.txt"]


REFUSED = [
    ("s3", "x" * 1025, "is 1025 bytes long"),
    ("s3", "\udcff", "holds bytes that are not text"),
    ("gcs", "ü" * 513, "is 1026 bytes long"),
    ("gcs", "a\nb", r"holds '\n'"),
    ("gcs", ".well-known/acme-challenge/x", "begins with"),
    ("azure", "x" * 1025, "is 1025 characters long"),
    ("azure", "a\\b", r"holds '\\'"),
    ("azure", "a./b", "ends in a dot"),
    ("azure", "a\tb", r"holds '\t'"),
]


@pytest.mark.parametrize(("name", "key", "reason"), REFUSED)
def test_what_a_service_cannot_hold_is_known_before(name: str, key: str, reason: str) -> None:
    service = {"s3": S3Service, "gcs": GcsService, "azure": AzureService}[name](object(), "bucket")

    assert reason in service.refusal(key)
    assert service.refusal("plain/name.txt") is None


# Reading


def test_headers_travel_with_the_object(store: Store) -> None:
    written = store.put("k", b"0123456789", DRESSED)

    info, content = store.service.get("k", 4, expect=written.stamp)

    assert content == b"0123"
    assert info.stamp.size == 10
    assert evolve(info.headers, storage_class="") == DRESSED
    assert evolve(store.service.head("k").headers, storage_class="") == DRESSED


def test_metadata_comes_back_as_the_service_spells_it(store: Store) -> None:
    given = (
        {"mtime": "1600000000.5", "team": "data"} if store.name == "s3" else {"mtime": "1600000000.5", "Team": "data"}
    )

    store.put("k", b"content", Headers(metadata=given))

    assert store.service.get("k", 100)[0].headers.metadata == given
    assert store.service.head("k").headers.metadata == given


def test_reads_give_just_the_bytes_that_were_asked_for(store: Store) -> None:
    written = store.put("k", bytes(range(100)))
    store.put("empty", b"")

    assert store.service.read("k", 10, 20, expect=written.stamp) == bytes(range(10, 20))
    assert store.service.read("k", 5, 5) == b""
    assert store.service.get("k", 1000)[1] == bytes(range(100))
    assert store.service.get("empty", 1000)[1] == b""
    assert store.service.get("empty", 1000)[0].stamp.size == 0


def test_content_that_says_it_is_compressed_comes_as_it_was_written(store: Store) -> None:
    store.put("k", b"\x1f\x8b not really gzip", Headers(content_encoding="gzip"))

    info, content = store.service.get("k", 100)

    assert content == b"\x1f\x8b not really gzip"
    assert info.headers.content_encoding == "gzip"


def test_a_version_that_was_replaced_is_not_read(store: Store) -> None:
    first = store.put("k", b"first version")
    store.put("k", b"other version")

    for read in (partial(store.service.get, "k", 5), partial(store.service.read, "k", 0, 5)):
        with pytest.raises(PreconditionFailed):
            read(expect=first.stamp)
    with pytest.raises(PreconditionFailed):
        store.service.digests("k", expect=first.stamp)


# Conditions: each write, for what stands there, under each condition

WRITES: Dict[str, Callable[[Store, str, Precondition], Any]] = {
    "put": lambda store, key, expect: store.service.put(key, b"new", expect=expect, headers=PLAIN),
    "upload": lambda store, key, expect: store.upload(key, b"n" * 100, expect),
    "delete": lambda store, key, expect: store.service.delete(key, expect=expect),
}
CONDITIONS = [
    ("nothing", "absent", "held", ("put", "upload")),
    ("something", "absent", "failed", ("put", "upload")),
    ("something", "this", "held", ("put", "upload", "delete")),
    ("something", "other", "failed", ("put", "upload", "delete")),
    ("nothing", "other", "failed", ("put", "upload", "delete")),
    ("something", "unnamed", "held", ("put", "delete")),
    ("nothing", "unnamed", "failed", ("put", "delete")),
    ("something", "anything", "held", ("put", "upload", "delete")),
    ("nothing", "anything", "held", ("put", "upload", "delete")),
]
CASES = [(stands, demand, ends, write) for stands, demand, ends, writes in CONDITIONS for write in writes]


@pytest.mark.parametrize(("stands", "demand", "ends", "write"), CASES)
def test_a_write_happens_only_where_its_condition_holds(
    store: Store, stands: str, demand: str, ends: str, write: str
) -> None:
    if (store.name, write, demand) == ("s3", "upload", "other"):
        pytest.skip("moto completes an upload in parts without looking at If-Match")
    before = store.put("k", b"old") if stands == "something" else None
    this = OTHER[store.name] if before is None else before.stamp
    expect = {
        "absent": ABSENT,
        "anything": ANYTHING,
        "this": exactly(this),
        "other": exactly(OTHER[store.name]),
        "unnamed": exactly(Stamp(size=3)),
    }[demand]

    if ends == "failed":
        with pytest.raises(PreconditionFailed):
            WRITES[write](store, "k", expect)
        found = store.service.head("k")
        assert (found and found.stamp.size) == (before and 3)
        assert found is None or store.service.get("k", 100)[1] == b"old"
        return
    WRITES[write](store, "k", expect)
    found = store.service.head("k")
    assert (found is None) == (write == "delete")
    assert found is None or store.service.get("k", 100)[1] in (b"new", b"n" * 100)


def test_a_write_returns_the_stamp_of_what_stands_there(store: Store) -> None:
    beyond_old_emulators(store)
    large = bytes(range(256)) * (PART // 256) + b"rest"

    for info in (store.put("small", b"content", DRESSED), store.upload("large", large, headers=DRESSED)):
        found = store.service.head(info.key)
        assert info.stamp.same_version(found.stamp, granularity_ns=2_000_000_000) is True
        assert evolve(found.headers, storage_class="") == DRESSED


# Uploads in parts


def test_a_large_upload_arrives_whole_and_is_admitted_last(store: Store) -> None:
    content = b"".join(number.to_bytes(4, "big") for number in range((2 * PART + MIB) // 4))
    seen: List[Any] = []

    written = store.upload("large", content, ABSENT, admit=lambda: seen.append(store.service.head("large")))

    assert seen == [None]
    found = b"".join(
        store.service.read("large", start, start + PART, expect=written.stamp) for start in range(0, len(content), PART)
    )
    assert found == content
    md5 = "md5:" + hashlib.md5(content).hexdigest()
    assert (md5 in store.service.digests("large", expect=written.stamp)) == (store.name != "s3")
    assert store.service.part_size("large", expect=written.stamp) == (PART if store.name == "s3" else None)


def _refuse() -> None:
    raise PreconditionFailed("it changed while it was being read")


def _short(content: bytes) -> Callable[[int], bytes]:
    return io.BytesIO(content[: PART + 5]).read


def _broken(content: bytes) -> Callable[[int], bytes]:
    chunks = iter((content[:PART],))

    def read(size: int) -> bytes:
        for chunk in chunks:
            return chunk
        raise KeyboardInterrupt

    return read


@pytest.mark.parametrize(
    ("reader", "admit", "raises"),
    [
        (_short, lambda: None, PreconditionFailed),
        (_broken, lambda: None, KeyboardInterrupt),
        (lambda content: io.BytesIO(content).read, _refuse, PreconditionFailed),
    ],
    ids=["content too short", "interrupt", "refused at the end"],
)
def test_an_upload_that_breaks_off_leaves_the_old_version_and_no_parts(
    store: Store, reader: Any, admit: Any, raises: Any
) -> None:
    store.put("k", b"old")
    content = bytes(3 * PART)

    with pytest.raises(raises):
        store.service.upload("k", reader(content), len(content), expect=ANYTHING, headers=PLAIN, admit=admit)

    assert store.service.get("k", 100)[1] == b"old"
    assert store.names() == ["k"]


def test_no_more_parts_are_on_their_way_than_fit_in_memory(stores: Callable[[str], Store]) -> None:
    store = stores("s3")
    service = store.service
    flying: List[int] = [0, 0]
    call = service._client.call

    async def counted(name: str, **given: Any) -> Any:
        flying[0] += name == "upload_part"
        flying[1] = max(flying)
        try:
            return await call(name, **given)
        finally:
            flying[0] -= name == "upload_part"

    service._client.call = counted
    content = bytes(12 * PART)

    store.upload("large", content)

    assert 1 < flying[1] <= 8


# Copies


@pytest.mark.parametrize("size", [0, 10, 2 * PART + 1], ids=["empty", "small", "above one request"])
def test_a_copy_carries_content_and_headers(store: Store, size: int) -> None:
    if size > PART:
        beyond_old_emulators(store)
    store.upload("old", bytes(size), headers=DRESSED) if size > PART else store.put("old", bytes(size), DRESSED)
    origin = store.service.head("old")

    copied = store.service.copy("old", "new", expect_origin=origin, expect=ABSENT)

    found = store.service.head("new")
    assert found.stamp.size == size
    assert evolve(found.headers, storage_class="") == DRESSED
    assert copied.stamp.same_version(found.stamp, granularity_ns=2_000_000_000) is True
    assert store.service.read("new", 0, size) == bytes(size)


def test_a_copy_of_what_a_listing_showed_carries_headers_too(store: Store) -> None:
    store.put("old", b"x", DRESSED)
    (origin,) = [info for page in store.service.pages("old") for info in page]

    store.service.copy("old", "new", expect_origin=origin, expect=ABSENT)

    assert evolve(store.service.head("new").headers, storage_class="") == DRESSED


def test_a_copy_between_buckets_stays_in_the_service(store: Store) -> None:
    other = ALONE[store.name](store.server.filesystem(), store.server.bucket())
    written = store.put("k", b"content")

    other.copy("k", "k2", origin_bucket=store.service.bucket, expect_origin=written, expect=ABSENT)

    assert other.get("k2", 100)[1] == b"content"


@pytest.mark.parametrize("size", [3, 2 * PART], ids=["small", "in parts"])
@pytest.mark.parametrize("fault", ["origin replaced", "origin gone"])
def test_a_copy_of_another_version_does_not_happen(store: Store, fault: str, size: int) -> None:
    origin = store.upload("old", bytes(size)) if size > PART else store.put("old", bytes(size))
    origin = evolve(origin, headers=store.service.head("old").headers)
    store.service.delete("old", expect=ANYTHING)
    if fault == "origin replaced":
        store.put("old", b"other")
    if store.name == "s3" and fault == "origin replaced":
        pytest.skip("moto copies without looking at CopySourceIfMatch; see the test on the wire")

    with pytest.raises(PreconditionFailed):
        store.service.copy("old", "new", expect_origin=origin, expect=ABSENT)

    assert store.service.head("new") is None


@pytest.mark.parametrize("demand", ["absent", "other"])
def test_a_copy_checks_its_target_where_the_service_does(store: Store, demand: str) -> None:
    if not store.service.facts.copy_conditions:
        pytest.skip("the client looks at the target right before")
    origin = store.put("old", b"content")
    store.put("new", b"standing")
    expect = ABSENT if demand == "absent" else exactly(OTHER[store.name])

    with pytest.raises(PreconditionFailed):
        store.service.copy("old", "new", expect_origin=origin, expect=expect)

    assert store.service.get("new", 100)[1] == b"standing"


# Deleting


def test_every_answer_of_a_bulk_deletion_is_read(store: Store) -> None:
    for key in ("a", "b", "c"):
        store.put(key)

    assert store.service.delete_many(["a", "b", "missing"]) == {"a": None, "b": None, "missing": None}
    assert store.names() == ["c"]
    assert all(isinstance(error, NotFound) for error in _quietly(store.absent.delete_many, ["a"]))


def _quietly(delete_many: Any, keys: List[str]) -> List[Any]:
    try:
        return list(delete_many(keys).values())
    except StorageError as error:
        return [error]


def test_a_deletion_that_is_refused_is_said_key_by_key(stores: Callable[[str], Store]) -> None:
    store = stores("s3")
    for key in ("a", "b", "lost"):
        store.put(key)
    answer = {
        "Deleted": [{"Key": "a"}],
        "Errors": [{"Key": "b", "Code": "AccessDenied", "Message": "Access Denied"}],
    }
    store.service._client.run = lambda name, **given: answer

    told = store.service.delete_many(["a", "b", "lost"])

    assert told["a"] is None
    assert isinstance(told["b"], AccessDenied)
    assert isinstance(told["lost"], Unavailable)
    assert "said nothing" in str(told["lost"])


# What services say in trouble


def _on_wire(name: str, url: str) -> Any:
    if name == "s3":
        options = {"key": KEY, "secret": SECRET, "endpoint_url": url}
        config = {"retries": {"max_attempts": 1}, "read_timeout": 5}
        return S3Service(fsspec.filesystem("s3", skip_instance_cache=True, config_kwargs=config, **options), "bucket")
    if name == "gcs":
        import_gcsfs()
        options = {"token": "anon", "endpoint_url": url, "project": "test"}
        return GcsService(fsspec.filesystem("gcs", skip_instance_cache=True, **options), "bucket", pauses=())
    account = "DefaultEndpointsProtocol=http;AccountName=someone;AccountKey=cGxhbnRlZA=="
    options = {"connection_string": f"{account};BlobEndpoint={url}/someone;"}
    return AzureService(fsspec.filesystem("abfs", skip_instance_cache=True, **options), "bucket")


def _xml(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>so it is</Message></Error>".encode()


def _json(code: int) -> bytes:
    return json.dumps({"error": {"code": code, "message": "so it is"}}).encode()


def _azure(code: str) -> Dict[str, str]:
    return {"x-ms-error-code": code, "Content-Type": "application/xml"}


TROUBLE = [
    ("s3", (503, {"Retry-After": "7"}, _xml("SlowDown")), Throttled, 7.0),
    ("s3", (403, {}, _xml("AccessDenied")), AccessDenied, None),
    ("s3", (409, {}, _xml("ConditionalRequestConflict")), PreconditionFailed, None),
    ("s3", (412, {}, _xml("PreconditionFailed")), PreconditionFailed, None),
    ("s3", (500, {}, _xml("InternalError")), Unavailable, None),
    ("s3", (400, {}, _xml("KeyTooLongError")), Unsupported, None),
    ("gcs", (429, {"Retry-After": "7"}, _json(429)), Throttled, 7.0),
    ("gcs", (403, {}, _json(403)), AccessDenied, None),
    ("gcs", (412, {}, _json(412)), PreconditionFailed, None),
    ("gcs", (503, {"Retry-After": "3"}, _json(503)), Unavailable, 3.0),
    ("azure", (503, {"Retry-After": "7", **_azure("ServerBusy")}, _xml("ServerBusy")), Throttled, 7.0),
    ("azure", (403, _azure("AuthorizationFailure"), _xml("AuthorizationFailure")), AccessDenied, None),
    ("azure", (412, _azure("ConditionNotMet"), _xml("ConditionNotMet")), PreconditionFailed, None),
    ("azure", (409, _azure("SnapshotsPresent"), _xml("SnapshotsPresent")), Unsupported, None),
]


@pytest.mark.parametrize(("name", "answer", "kind", "retry_after"), TROUBLE)
def test_trouble_is_said_in_our_words(
    wire: Callable[..., Wire], name: str, answer: Any, kind: Any, retry_after: Any
) -> None:
    service = _on_wire(name, wire(answer).url)

    with pytest.raises(kind) as caught:
        service.put("k", b"content", expect=ABSENT, headers=PLAIN)

    assert caught.value.path == "k"
    assert caught.value.retry_after == retry_after
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize("name", ["gcs", "azure"])
def test_a_change_is_sent_once(wire: Callable[..., Wire], name: str) -> None:
    asked = wire((500, {}, b""))

    with pytest.raises(Unavailable):
        _on_wire(name, asked.url).put("k", b"content", expect=ABSENT, headers=PLAIN)

    assert len(asked.asked) == 1


def test_a_look_at_gcs_is_repeated_where_it_fails_for_the_moment(wire: Callable[..., Wire]) -> None:
    asked = wire((503, {}, b""), (200, {}, json.dumps({"items": []}).encode()))
    service = _on_wire("gcs", asked.url)
    service._client._pauses = (0.0,)

    assert list(service.pages("")) == [[]]
    assert len(asked.asked) == 2


def test_the_pages_of_gcs_are_followed_to_the_last(wire: Callable[..., Wire]) -> None:
    first = {"items": [{"name": "a", "size": "1", "generation": "7"}], "nextPageToken": "more"}
    second = {"items": [{"name": "b", "size": "1", "generation": "8"}]}
    asked = wire(*((200, {}, json.dumps(page).encode()) for page in (first, second)))

    pages = [[info.key for info in page] for page in _on_wire("gcs", asked.url).pages("", page_size=1)]

    assert pages == [["a"], ["b"]]
    assert "maxResults=1" in asked.asked[0][1]
    assert "pageToken=more" in asked.asked[1][1]


@pytest.mark.parametrize("single_copy_bytes", [100, 1], ids=["at once", "in parts"])
def test_a_copy_in_s3_names_the_version_it_copies(wire: Callable[..., Wire], single_copy_bytes: int) -> None:
    upload = b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
    asked = wire((200, {}, upload), (412, {}, _xml("PreconditionFailed")))
    service = _on_wire("s3", asked.url)
    service._single_copy_bytes = single_copy_bytes
    origin = ObjectInfo("old", Stamp(size=3, etag="abc"), headers=PLAIN)
    if single_copy_bytes > 3:
        asked.skip()

    with pytest.raises(PreconditionFailed):
        service.copy("old", "new", expect_origin=origin, expect=ABSENT)

    sent = [headers for method, _, headers in asked.asked if method == "PUT"]
    assert {headers["x-amz-copy-source-if-match"] for headers in sent} == {'"abc"'}


LOST = [
    (hashlib.md5(b"content").hexdigest(), None),
    (hashlib.md5(b"another").hexdigest(), PreconditionFailed),
    ("0" * 32 + "-1", Unavailable),
]


@pytest.mark.parametrize(("etag", "raises"), LOST, ids=["ours", "another's", "nobody can tell"])
def test_a_condition_that_fails_after_a_lost_answer_is_looked_into(
    wire: Callable[..., Wire], etag: str, raises: Any
) -> None:
    looked = (200, {"ETag": f'"{etag}"', "Content-Length": "7"}, b"")
    service = _on_wire("s3", wire((500, {}, b""), (412, {}, _xml("PreconditionFailed")), looked).url)

    if raises is None:
        assert service.put("k", b"content", expect=ABSENT, headers=PLAIN).stamp.etag == etag
        return
    with pytest.raises(raises):
        service.put("k", b"content", expect=ABSENT, headers=PLAIN)
