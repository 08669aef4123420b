"""Objects: what a listing makes of keys, one commit under a condition, ranges of one version, copies on the server."""

from __future__ import annotations

import json
import os
import re
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import platformdirs
import pytest
from attrs import evolve
from between import between
from object_servers import S3Server

import syncengine
from syncengine.core.entry import Entry, Problem, ProblemKind, Stamp
from syncengine.core.paths import TRASH_FOLDER
from syncengine.errors import NotFound, PreconditionFailed, RecipeError, ScanError, Unavailable
from syncengine.storage.conformance import Bytes
from syncengine.storage.location import locate
from syncengine.storage.object_store import ObjectStorageClient
from syncengine.storage.objects.reading import mtime_of, mtime_text
from syncengine.storage.objects.service import Headers
from syncengine.storage.protocol import ABSENT, ANYTHING, StorageClientProtocol, exactly
from syncengine.storage.routes import stays_inside, transfer

MEBIBYTE = 1 << 20
TIME_NS = 1_600_000_000_123_456_789


@pytest.fixture(params=["obstore", "s3fs"])
def server(request: pytest.FixtureRequest, moto: S3Server) -> S3Server:
    """Moto, served both ways."""
    return evolve(moto, fast=request.param == "obstore")


class Counting:
    """A service that notes its calls; *failing* raises before a call goes on, if it likes."""

    def __init__(self, service: Any, failing: Optional[Callable[[str, Tuple[Any, ...]], None]] = None) -> None:
        self._service = service
        self._failing = failing
        self.calls: List[str] = []
        self.given: List[Tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._service, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            self.calls.append(name)
            self.given.append((*arguments, *options.values()))
            if self._failing is not None:
                self._failing(name, arguments)
            return found(*arguments, **options)

        return call


def counted(client: ObjectStorageClient, failing: Any = None) -> Counting:
    counting = Counting(client.service, failing)
    client.service = counting
    client._memory.service = counting
    return counting


def content_of(client: StorageClientProtocol, path: str) -> bytes:
    with client.read(path) as source:
        content = source.read()
        source.verify()
        return content


# Listing


def test_odd_keys_are_problems_and_the_rest_of_the_bucket_is_listed(server: S3Server) -> None:
    bucket = server.bucket()
    odd = {"root/../evil": b"1", "root//double": b"2", "root/./dot": b"3", "root/full/": b"marker with content"}
    hidden = {"root/": b"", "root/empty/": b"", "root/d/": b"", "root2/other": b"4"}
    plain = {"root/a": b"a", "root/a/b": b"b", "root/d/x": b"x", "root/.hidden": b"h", "root/z": b"z"}
    server.fill(bucket, {**odd, **hidden, **plain})

    items = list(server.client(bucket, "root").list())

    entries = [item.path for item in items if isinstance(item, Entry)]
    problems = {item.path: item.kind for item in items if isinstance(item, Problem)}
    assert entries == [".hidden", "a", "a/b", "d/x", "z"]
    assert problems == dict.fromkeys(("../evil", "/double", "./dot", "full/"), ProblemKind.BAD_NAME)


ODD = ("r/../evil", "r//double", "r/build//x", "r/full/")


@pytest.mark.parametrize(
    ("rules", "ignore_file", "told"),
    [
        ({}, "", ["../evil", "/double", "build//x", "full/"]),
        ({"ignore": ["evil", "build/**"]}, "", ["/double", "full/"]),
        ({"ignore": ["..", "/double", "build/", "full"]}, "", []),
        ({"include": ["a"]}, "", []),
        ({}, "double\nfull/\n", ["../evil", "build//x"]),
    ],
)
def test_what_the_rules_hide_is_no_problem_whatever_its_name_and_is_never_touched(
    rules: Dict[str, Any], ignore_file: str, told: List[str], server: S3Server, tmp_path: Path
) -> None:
    bucket = server.bucket()
    server.fill(
        bucket, {**dict.fromkeys(ODD, b"odd"), "r/a": b"1", "r/goes": b"2", "r/.syncignore": ignore_file.encode()}
    )
    (tmp_path / "side").mkdir()
    (tmp_path / "side" / "a").write_bytes(b"changed")
    before = set(server.keys(bucket))
    client = server.client(bucket, "r")

    down = syncengine.plan(client, tmp_path / "side", state=None, **rules)
    up = syncengine.sync(tmp_path / "side", client, mode="source-to-destination", allow_mass_delete=True, **rules)

    assert sorted(problem.path for problem in down.problems) == told
    assert sorted(problem.path for problem in up.plan.problems) == told
    assert up.ok
    assert {key for key in server.keys(bucket) if ".syncengine" not in key} >= set(ODD)
    assert server.content(bucket, "r/a") == b"changed"
    assert before - set(server.keys(bucket)) <= {"r/goes", "r/.syncignore"}
    for key in ODD:
        assert server.content(bucket, key) == b"odd"


def test_a_name_that_no_sync_touches_can_be_explained(server: S3Server, tmp_path: Path) -> None:
    bucket = server.bucket()
    server.fill(bucket, {"r/build//x": b"1", "r/build/.syncignore": b"x\n"})
    client = server.client(bucket, "r")

    said = syncengine.explain(client, tmp_path, "build//x", ignore=["*.tmp"])
    silent = syncengine.explain(client, tmp_path, "../evil")

    assert said.splitlines() == [
        "build//x",
        "  name: has an empty part, so nothing is done there; where it is met it is a problem, unless it is excluded",
        "  filter: build/x is excluded by x (source build/.syncignore:1)",
        "  plan: nothing to do",
    ]
    assert "  name: has a '..' part, so nothing is done there" in silent
    assert "  filter: no rule speaks about it" in silent


def test_keys_that_obstore_cannot_spell_are_read_and_written(moto: S3Server) -> None:
    client = moto.client(moto.bucket())
    assert client.why.startswith("obstore") is (find_spec("obstore") is not None)

    stamp = client.write("a\tb", Bytes(b"tab"), expect=ABSENT)

    assert content_of(client, "a\tb") == b"tab"
    client.delete("a\tb", expect=exactly(stamp))
    assert client.stat("a\tb") is None


def test_a_long_hidden_prefix_is_jumped_over(server: S3Server) -> None:
    bucket = server.bucket()
    trash = {f"{TRASH_FOLDER}/run/{number}": b"" for number in range(12)}
    server.fill(bucket, {**trash, "a": b"1", ".t": b"2", "z": b"3"})
    client = server.client(bucket)
    counting = counted(client)
    pages = counting.pages
    counting.pages = lambda prefix, **given: pages(prefix, page_size=2, **given)

    assert [item.path for item in client.list()] == [".t", "a", "z"]
    listings = [given for call, given in zip(counting.calls, counting.given) if call == "pages"]
    assert len(listings) == 2
    assert any(str(value).startswith(f"{TRASH_FOLDER}/\U0010ffff") for value in listings[1])


@pytest.mark.parametrize("page_size", [1, 2, 1000])
def test_ignore_files_are_told_before_what_stands_beside_them(server: S3Server, page_size: int) -> None:
    bucket = server.bucket()
    server.fill(bucket, {"d/!first": b"", "d/.syncignore": b"", "d/z": b"", "e/x": b"", "skip/1": b"", "skip/2/3": b""})
    client = server.client(bucket)
    counting = counted(client)
    pages = counting.pages
    counting.pages = lambda prefix, **given: pages(prefix, page_size=page_size, **given)

    class Prune:
        def __init__(self) -> None:
            self.told: Dict[str, bool] = {}

        def enter(self, directory: str, names: Any) -> None:
            self.told[directory] = ".syncignore" in names

        def __call__(self, directory: str) -> bool:
            return directory == "skip"

    prune = Prune()
    paths = [item.path for item in client.list(prune=prune)]

    assert paths == ["d/!first", "d/.syncignore", "d/z", "e/x"]
    assert prune.told == {"": False, "d": True, "e": False}


def test_a_missing_bucket_and_a_missing_root_are_not_empty(server: S3Server) -> None:
    bucket = server.bucket()
    lost, bare = server.client("bucket-that-is-not-there", "x"), server.client(bucket, "nothing")
    for client in (lost, bare):
        with pytest.raises(NotFound):
            list(client.list())
    for path in ("", "file"):
        assert bare.stat(path) is None
        with pytest.raises(NotFound, match=r"^the bucket bucket-that-is-not-there does not exist$"):
            lost.stat(path)
    empty = server.client(bucket)
    assert list(empty.list()) == []
    assert empty.stat("") is not None


@pytest.mark.parametrize("mode", ["source-backup", "destination-backup", "two-way"])
def test_a_missing_bucket_refuses_the_plan_in_one_sentence(mode: str, moto: S3Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("1")
    url = "s3://bucket-that-is-not-there/x"
    with pytest.raises(ScanError) as caught:
        syncengine.plan(tmp_path, url, mode=mode, destination_options=moto.options)
    assert str(caught.value) == (
        f"the destination {url} cannot be looked at: the bucket bucket-that-is-not-there does not exist"
    )
    assert (caught.value.exit_code, caught.value.reason) == (7, "root_missing")


@pytest.mark.parametrize("side", ["source", "destination"])
def test_two_way_with_a_prefix_that_holds_nothing_says_how_to_begin(side: str, moto: S3Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("1")
    given: Dict[str, Any] = {"source": tmp_path, "destination": tmp_path, f"{side}_options": moto.options}
    given[side] = f"s3://{moto.bucket()}/new"
    with pytest.raises(ScanError, match="does not exist") as caught:
        syncengine.plan(**given, mode="two-way")
    mode = re.search(r"fill it once: mode=([a-z-]+) ", str(caught.value))
    assert mode is not None, str(caught.value)
    assert syncengine.sync(**given, mode=mode[1]).ok
    assert not syncengine.plan(**given, mode="two-way")


def test_a_tie_of_the_newest_says_whether_times_are_known(moto: S3Server, tmp_path: Path) -> None:
    bucket = moto.bucket()
    for name, content in (("local", "1"), ("other", "22")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(content)
        os.utime(tmp_path / name / "file", ns=(TIME_NS, TIME_NS))
    given: Dict[str, Any] = {"mode": "two-way", "destination_options": moto.options}
    moto.fill(bucket, {"plain/file": b"22"})
    unknown = syncengine.plan(tmp_path / "local", f"s3://{bucket}/plain", **given)
    assert syncengine.sync(tmp_path / "other", f"s3://{bucket}/kept", destination_options=moto.options).ok
    tie = syncengine.plan(tmp_path / "local", f"s3://{bucket}/kept", **given)
    assert "both versions are kept (policy newest: times not known)" in str(unknown)
    assert "both versions are kept (policy newest: times " in str(tie)
    assert "not known" not in str(tie)


def test_a_write_into_a_bucket_that_went_away_is_told_without_markup(server: S3Server) -> None:
    client = server.client("bucket-that-is-not-there", "x")
    with pytest.raises(NotFound, match="NoSuchBucket") as caught:
        client.write("new", Bytes(b"1"), expect=ANYTHING)
    assert "<" not in str(caught.value)


def test_a_root_without_a_bucket_is_refused(moto: S3Server) -> None:
    with pytest.raises(RecipeError, match="begins with a bucket"):
        locate("s3://", options=moto.options).open()


# Conditions


def test_conditions_are_found_out_once_before_the_first_write_and_remembered(server: S3Server) -> None:
    bucket = server.bucket()
    server.fill(bucket, {"there": b"1"})
    client = server.client(bucket)
    counting = counted(client)
    assert content_of(client, "there") == b"1"
    list(client.list())
    assert not {"put", "upload", "delete"} & set(counting.calls), "reading never tries anything out"
    assert not client.capabilities.create_if_absent

    client.write("new", Bytes(b"2"), expect=ABSENT)

    assert client.capabilities.create_if_absent
    assert client.capabilities.replace_if_unchanged
    assert counting.calls.count("put") == 4
    assert server.keys(bucket) == ("new", "there")
    again = server.client(bucket)
    assert again.capabilities == client.capabilities
    counting = counted(again)
    again.write("newer", Bytes(b"3"), expect=ABSENT)
    assert counting.calls == ["refusal", "put"]


def test_what_was_found_out_long_ago_is_found_out_again(moto: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = moto.bucket()
    moto.client(bucket).prove()
    (kept,) = Path(platformdirs.user_cache_dir("syncengine", appauthor=False), "conditions").iterdir()
    record = json.loads(kept.read_text("utf-8"))
    kept.write_text(json.dumps({**record, "at": record["at"] - 31 * 24 * 3600}), "utf-8")

    client = moto.client(bucket)

    assert not client.capabilities.create_if_absent
    client.prove()
    assert client.capabilities.create_if_absent


def test_a_server_that_ignores_conditions_is_looked_at_before_and_its_windows_are_declared(rclone: S3Server) -> None:
    bucket = rclone.bucket()
    client = rclone.client(bucket)
    stamp = client.write("a", Bytes(b"1"), expect=ABSENT)

    windows = dict(client.capabilities.windows)
    assert not client.capabilities.create_if_absent
    assert {"create_if_absent", "replace_if_unchanged", "delete_if_unchanged"} <= windows.keys()
    assert "not known" not in windows["create_if_absent"]
    with pytest.raises(PreconditionFailed):
        client.write("a", Bytes(b"2"), expect=ABSENT)
    with pytest.raises(PreconditionFailed):
        client.delete("a", expect=exactly(evolve(stamp, etag="0" * 32, digests=())))
    assert content_of(client, "a") == b"1"
    assert rclone.keys(bucket) == ("a",)


def test_where_no_object_may_be_tried_nothing_is_relied_on(moto: S3Server) -> None:
    from syncengine.errors import AccessDenied

    def refuse(name: str, arguments: Tuple[Any, ...]) -> None:
        if name == "put" and ".syncengine-tmp-" in arguments[0]:
            raise AccessDenied("no writes of that name")

    client = moto.client(moto.bucket())
    counted(client, refuse)
    client.write("a", Bytes(b"1"), expect=ABSENT)

    assert not client.capabilities.create_if_absent
    with pytest.raises(PreconditionFailed):
        client.write("a", Bytes(b"2"), expect=ABSENT)


def race(first: ObjectStorageClient, second: ObjectStorageClient, rounds: int) -> Tuple[int, int]:
    """Let two writers append to one object, each by replacing what it read; return wins, and how many were stale."""
    wins: List[bytes] = []
    stale: List[bytes] = []

    def append(client: ObjectStorageClient, mark: bytes) -> None:
        for _ in range(rounds):
            found = client.stat("counter")
            assert found is not None
            try:
                with client.read("counter", expect=found.stamp) as source:
                    content = source.read() + mark
                client.write("counter", Bytes(content), expect=exactly(found.stamp))
                wins.append(mark)
            except PreconditionFailed:
                stale.append(mark)

    threads = [threading.Thread(target=append, args=pair) for pair in ((first, b"1"), (second, b"2"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(wins), len(stale)


@pytest.mark.parametrize("rounds", [50, pytest.param(500, marks=pytest.mark.thorough)])
def test_of_two_writers_none_loses_an_update_and_every_loser_is_told(server: S3Server, rounds: int) -> None:
    # moto answers in threads: between the look at the ETag and the write another write may come.
    with between(server.url, one_at_a_time=True) as wire:
        atomic = evolve(server, url=wire.server.url)
        bucket = atomic.bucket()
        first, second = atomic.client(bucket), atomic.client(bucket)
        first.write("counter", Bytes(b""), expect=ABSENT)

        won, stale = race(first, second, rounds)

        assert won + stale == 2 * rounds
        assert len(content_of(first, "counter")) == won


# Content


def test_the_time_of_the_content_travels_as_rclone_keeps_it_and_comes_back(server: S3Server, tmp_path: Path) -> None:
    bucket = server.bucket()
    client = server.client(bucket)
    up, down = tmp_path / "up", tmp_path / "down"
    up.mkdir(), down.mkdir()
    (up / "page.html").write_bytes(b"<p>")
    os.utime(up / "page.html", ns=(TIME_NS, TIME_NS))
    origin, target = locate(up).open(), locate(down).open()
    found = origin.stat("page.html")
    assert found is not None
    move = {"expect_target": ABSENT}

    transfer(origin, "page.html", client, "page.html", expect_origin=found.stamp, mtime_ns=TIME_NS, **move)
    answer = server.filesystem().call_s3("head_object", Bucket=bucket, Key="page.html")
    assert (answer["Metadata"], answer["ContentType"]) == ({"mtime": "1600000000.123456789"}, "text/html")

    listed = next(iter(client.list()))
    assert isinstance(listed, Entry)
    counting = counted(client)
    transfer(client, "page.html", target, "page.html", expect_origin=listed.stamp, mtime_ns=None, **move)
    assert (down / "page.html").stat().st_mtime_ns == TIME_NS
    assert counting.calls == ["get"], "one request brings the content and its time"


TYPES = {
    "a.txt": "text/plain",
    "A.TXT": "text/plain",
    "d/a.tar.gz": "application/x-tar",
    "1.2.txt": "text/plain",
    ".a.txt": "text/plain",
    "data:a?b#c.txt": "text/plain",
    "d.txt/a": "",
    ".txt": "",
    "..txt": "",
    "a.": "",
}


@pytest.mark.parametrize("name", TYPES)
def test_the_type_of_an_object_is_guessed_by_the_ending_of_its_name_alone(name: str, moto: S3Server) -> None:
    assert moto.client(moto.bucket()).headers_of(name, Bytes(b""), None).content_type == TYPES[name]


@pytest.mark.parametrize("mtime_ns", [0, 1, TIME_NS, 1_600_000_000_000_000_000, -1_500_000_000, -1])
def test_times_are_written_as_they_are_read(mtime_ns: int) -> None:
    assert mtime_of(Headers(metadata={"mtime": mtime_text(mtime_ns)})) == mtime_ns


@pytest.mark.parametrize("text", ["", "yesterday", "1.x", "1.2.3", "0x10", "1e9"])
def test_a_time_that_nobody_can_read_is_none(text: str) -> None:
    assert mtime_of(Headers(metadata={"mtime": text})) is None


def parts_on_their_way(server: S3Server, bucket: str) -> int:
    return len(server.filesystem().call_s3("list_multipart_uploads", Bucket=bucket).get("Uploads", ()))


def test_large_content_is_sent_in_parts_under_the_same_conditions(server: S3Server) -> None:
    bucket = server.bucket()
    client = server.client(bucket)
    content = os.urandom(17 * MEBIBYTE + 3)

    stamp = client.write("large", Bytes(content), expect=ABSENT, mtime_ns=TIME_NS)

    assert str(stamp.etag).endswith("-3")
    assert server.content(bucket, "large") == content
    assert client.stat("large").stamp.same_version(stamp)
    with pytest.raises(PreconditionFailed):
        client.write("large", Bytes(content), expect=ABSENT)
    with pytest.raises(PreconditionFailed):
        client.write("large", Bytes(content, changes=True), expect=exactly(stamp))
    with pytest.raises(PreconditionFailed):
        client.write("large", Bytes(content, size=len(content) - 1), expect=exactly(stamp))
    with pytest.raises(PreconditionFailed):
        client.write("large", Bytes(content, size=len(content) + 1), expect=exactly(stamp))
    assert client.stat("large").stamp.same_version(stamp)
    assert parts_on_their_way(server, bucket) == 0
    with client.read("large", expect=stamp) as source:
        assert source.mtime_ns == TIME_NS
        assert source.read() == content
        assert source.verify() == stamp or source.verify().same_version(stamp)


def read_and_verified(source: Any) -> None:
    for _ in iter(lambda: source.read(MEBIBYTE), b""):
        pass
    source.verify()


def test_ranges_of_a_large_object_are_of_one_version(server: S3Server) -> None:
    bucket = server.bucket()
    content = b"o" * (40 * MEBIBYTE)
    server.fill(bucket, {"large": content})
    client = server.client(bucket)

    with client.read("large") as source:
        source.read(1)
        server.fill(bucket, {"large": b"n" * len(content)})
        with pytest.raises(PreconditionFailed):
            read_and_verified(source)


def test_a_range_that_fails_is_fetched_again_and_nothing_else_is(
    moto: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncengine.storage.objects.reading._PAUSE_SECONDS", 0)
    bucket = moto.bucket()
    content = os.urandom(30 * MEBIBYTE)
    moto.fill(bucket, {"large": content})
    client = moto.client(bucket)
    failures = iter([Unavailable("the connection broke")])

    def fail(name: str, arguments: Tuple[Any, ...]) -> None:
        if name == "read" and arguments[1] > 10 * MEBIBYTE:
            for failure in failures:
                raise failure

    counting = counted(client, fail)

    assert content_of(client, "large") == content
    assert counting.calls.count("get") == 1
    assert counting.calls.count("read") == 4 + 1


@pytest.mark.parametrize("kind", ["moto", "rclone"])
def test_a_checksum_of_the_whole_is_not_held_against_its_ranges(kind: str, request: pytest.FixtureRequest) -> None:
    running: S3Server = evolve(request.getfixturevalue(kind), fast=False)
    bucket = running.bucket()
    content = os.urandom(13 * MEBIBYTE)
    # botocore computes a checksum of what it sends in one request, and the server keeps it.
    running.filesystem().call_s3("put_object", Bucket=bucket, Key="large", Body=content, ChecksumAlgorithm="CRC32")

    assert content_of(running.client(bucket), "large") == content


def test_a_server_that_sends_ranges_under_the_status_of_a_whole_object_is_read(rclone: S3Server) -> None:
    bucket = rclone.bucket()
    content = os.urandom(13 * MEBIBYTE)
    client = rclone.client(bucket)
    client.write("large", Bytes(content), expect=ABSENT)
    found = client.stat("large")
    assert found is not None

    with client.read("large", expect=found.stamp) as source:
        assert source.read() == content
        assert source.verify().same_version(found.stamp)


def test_many_readers_together_hold_no_more_than_one(moto: S3Server) -> None:
    bucket = moto.bucket()
    contents = {f"large {number}": os.urandom(13 * MEBIBYTE) for number in range(4)}
    moto.fill(bucket, contents)
    client = moto.client(bucket)
    with client.read("large 0") as first, client.read("large 1") as second, client.read("large 2") as third:
        sources = [first, second, third]
        got = [b"", b"", b""]
        while any(pieces := [source.read(MEBIBYTE) for source in sources]):
            got = [before + piece for before, piece in zip(got, pieces)]
            assert sum(len(source._waiting) for source in sources) <= 5

    assert got == [contents[f"large {number}"] for number in range(3)]
    assert client._ranges._held == set()


# Copies within a storage


def test_what_goes_from_bucket_to_bucket_never_passes_here(server: S3Server) -> None:
    first, second = server.bucket(), server.bucket()
    origin, target = server.client(first, "a"), server.client(second, "b")
    origin.write("page.html", Bytes(b"content"), expect=ABSENT, mtime_ns=TIME_NS)
    target.prove()
    listed = next(iter(origin.list()))
    assert isinstance(listed, Entry)
    calls = counted(origin), counted(target)

    moved = transfer(
        origin, "page.html", target, "copy.html", expect_origin=listed.stamp, expect_target=ABSENT, mtime_ns=None
    )

    assert stays_inside(origin, target)
    assert moved.bytes == 0
    noted = {name for counting in calls for name in counting.calls}
    assert not {"get", "read", "put", "upload"} & noted
    assert server.content(second, "b/copy.html") == b"content"
    answer = server.filesystem().call_s3("head_object", Bucket=second, Key="b/copy.html")
    assert (answer["Metadata"], answer["ContentType"]) == ({"mtime": "1600000000.123456789"}, "text/html")
    assert target.stat("copy.html").stamp.same_version(moved.target)
    with pytest.raises(PreconditionFailed):
        target.copy_from(origin, "page.html", "copy.html", expect=ABSENT)
    stale = Stamp(etag="0" * 32)
    with pytest.raises(PreconditionFailed):
        target.copy_from(origin, "page.html", "other", expect=ABSENT, expect_origin=stale)


def test_what_one_request_cannot_copy_is_copied_in_parts(server: S3Server) -> None:
    first, second = server.bucket(), server.bucket()
    origin, target = server.client(first), server.client(second)
    content = os.urandom(11 * MEBIBYTE)
    origin.write("large.html", Bytes(content), expect=ABSENT, mtime_ns=TIME_NS)
    service = getattr(target.service, "_base", target.service)
    service._single_copy_bytes, service._copy_part_bytes = 6 * MEBIBYTE, 6 * MEBIBYTE

    _, copied = target.copy_from(origin, "large.html", "copy", expect=ABSENT)

    assert str(copied.etag).endswith("-2")
    assert server.content(second, "copy") == content
    answer = server.filesystem().call_s3("head_object", Bucket=second, Key="copy")
    assert (answer["Metadata"], answer["ContentType"]) == ({"mtime": "1600000000.123456789"}, "text/html")


def test_where_the_copy_is_not_allowed_the_bytes_travel(moto: S3Server) -> None:
    from syncengine.errors import AccessDenied

    def refuse(name: str, arguments: Tuple[Any, ...]) -> None:
        if name == "copy":
            raise AccessDenied("the other bucket is not yours")

    origin, target = moto.client(moto.bucket()), moto.client(moto.bucket())
    origin.write("a", Bytes(b"content"), expect=ABSENT)
    target.prove()
    counted(target, refuse)

    moved = transfer(origin, "a", target, "a", expect_origin=None, expect_target=ABSENT, mtime_ns=None)

    assert moved.bytes == 7
    assert content_of(target, "a") == b"content"


def test_two_servers_are_two_storages(moto: S3Server, rclone: S3Server) -> None:
    assert not stays_inside(moto.client(moto.bucket()), rclone.client(rclone.bucket()))


def test_a_move_that_finds_another_version_leaves_it_and_takes_its_copy_back(moto: S3Server) -> None:
    bucket = moto.bucket()
    client = moto.client(bucket)
    client.write("old", Bytes(b"content"), expect=ABSENT)

    def replace(name: str, arguments: Tuple[Any, ...]) -> None:
        if name == "delete" and arguments[0] == "old":
            moto.fill(bucket, {"old": b"somebody else's"})

    counted(client, replace)

    with pytest.raises(PreconditionFailed):
        client.move("old", "new", expect=ABSENT)
    assert moto.keys(bucket) == ("old",)
    assert moto.content(bucket, "old") == b"somebody else's"


def test_many_are_deleted_by_one_request_and_each_is_answered(server: S3Server) -> None:
    bucket = server.bucket()
    server.fill(bucket, {f"r/{number}": b"" for number in range(5)})
    client = server.client(bucket, "r")

    assert client.delete_many(["0", "3", "gone"]) == {"0": None, "3": None, "gone": None}
    assert server.keys(bucket) == ("r/1", "r/2", "r/4")


def test_a_mirror_deletes_many_by_one_request_and_reports_the_one_that_the_service_refuses(
    server: S3Server, tmp_path: Path
) -> None:
    bucket = server.bucket()
    server.fill(bucket, {f"r/{name}": name.encode() for name in ("a", "b", "kept", "locked")})
    resource = f"arn:aws:s3:::{bucket}/r/locked"
    refusal = {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": resource}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [refusal]})
    server.filesystem().call_s3("put_bucket_policy", Bucket=bucket, Policy=policy)
    (tmp_path / "kept").write_text("kept")
    client = server.client(bucket, "r")
    # A service that does not check conditions of deletions, as many do.
    client.service.facts = evolve(client.service.facts, delete_if_unchanged=False)
    client.prove()  # trying out conditions deletes what it has written
    counting = counted(client)

    plan = syncengine.plan(
        tmp_path, client, mode="source-to-destination", retain="none", allow_mass_delete=True, state=None
    )
    plan = evolve(plan, operations=tuple(evolve(each, retain=False) for each in plan.operations))
    outcomes = {each.operation.path: each for each in syncengine.apply(plan, state=None).outcomes}

    assert {path: each.status.value for path, each in outcomes.items()} == {
        "a": "done",
        "b": "done",
        "locked": "failed",
    }
    assert outcomes["locked"].problem.kind is ProblemKind.DENIED
    assert counting.calls.count("delete_many") == 1
    assert "delete" not in counting.calls
    assert server.keys(bucket) == ("r/kept", "r/locked")
    assert "deletions by one request" in dict(client.capabilities.windows)


def test_an_abandoned_temporary_object_is_swept_and_a_users_never(server: S3Server) -> None:
    from syncengine.core.paths import TEMPORARY_PREFIX
    from syncengine.storage.temporary import host_mark

    bucket = server.bucket()
    name = f"{TEMPORARY_PREFIX}999999999-{host_mark()}-00"
    server.fill(bucket, {name: b"", "file": b""})
    client = server.client(bucket)

    assert (client.sweep(name), client.sweep(name), client.sweep("file")) == (True, False, False)
    assert server.keys(bucket) == ("file",)


def test_the_time_of_a_content_is_told_by_one_look_and_is_not_that_of_the_upload(moto: S3Server) -> None:
    client = moto.client(moto.bucket())
    stamp = client.write("a", Bytes(b"1"), expect=ABSENT, mtime_ns=1_600_000_000_500_000_000)
    moto.fill(client.service.bucket, {"b": b"2"})

    assert client.content_time("a", expect=stamp) == 1_600_000_000_500_000_000
    assert client.content_time("b") is None
    with pytest.raises(PreconditionFailed):
        client.content_time("a", expect=evolve(stamp, etag="another"))
