"""S3 by SeaweedFS, a server for production that checks conditions: what holds on it, and what it costs.

One file, so that one worker starts the server.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Tuple

import pytest
from attrs import evolve
from conftest import put_files
from object_servers import KEY, SECRET, S3Server, rclone_with

import syncengine
from syncengine.errors import PreconditionFailed, Unsupported
from syncengine.storage import conformance
from syncengine.storage.conformance import CHECKS, Bytes, Subject, name_of
from syncengine.storage.protocol import ABSENT, exactly


@pytest.fixture(scope="module")
def shared_bucket(seaweedfs: S3Server) -> str:
    """Each bucket takes the server a fifth of a second."""
    return seaweedfs.bucket()


Roots = Callable[[Mapping[str, bytes]], Callable[[], Any]]


@pytest.fixture(params=["obstore", "s3fs"])
def roots(request: pytest.FixtureRequest, seaweedfs: S3Server, shared_bucket: str) -> Iterator[Roots]:
    """Makes roots that hold files, and for each what opens a client of it: by plain requests, and through s3fs."""
    server = evolve(seaweedfs, fast=request.param == "obstore")
    clients: List[Any] = []

    def make(files: Mapping[str, bytes]) -> Callable[[], Any]:
        root = f"root-{uuid.uuid4().hex}"
        server.fill(shared_bucket, files, prefix=f"{root}/")

        def opened() -> Any:
            clients.append(server.client(shared_bucket, root))
            return clients[-1]

        return opened

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def opened(roots: Roots) -> Callable[[], Any]:
    """Opens clients of one empty root."""
    return roots({})


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
def test_a_client_of_it_conforms(check: conformance.Check, roots: Roots) -> None:
    def make(files: Mapping[str, bytes]) -> Subject:
        opened = roots(files)
        return Subject(opened(), again=opened)

    check(make)


HIDDEN = ("back\\slash", "d.versions/x", ".versions/x", ".uploads/x", "d/.uploads/deep/x")


def test_what_it_would_not_list_is_refused_and_nothing_is_left_of_it(opened: Callable[[], Any]) -> None:
    client = opened()
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

    first, *later = (
        syncengine.sync(tmp_path / "folder", url, mode="two-way", destination_options=seaweedfs.options)
        for _ in range(3)
    )

    assert {outcome.operation.path for outcome in first.outcomes if outcome.problem is not None} == set(HIDDEN)
    # A plan knows by then what this server lists.
    assert [report.outcomes for report in later] == [(), ()]
    assert [{problem.path for problem in report.plan.problems} for report in later] == [set(HIDDEN)] * 2
    found = (tmp_path / "folder").rglob("*")
    assert {str(path.relative_to(tmp_path / "folder")) for path in found if path.is_file()} == set(files)


# Listings


SIBLINGS = ("a", "a-b", "a.d/x", "a.txt", "a/1", "a/2", "a/b/c", "a/b.c", "a0", "b/1", "b/2", "é-x", "é/x", "z")


def in_pages_of(client: Any, size: int) -> None:
    pages = client.service.pages
    client.service.pages = lambda prefix, **given: pages(prefix, **{"page_size": size, **given})


@pytest.mark.parametrize("size", [2, 3, 1000])
def test_its_walk_of_directories_comes_in_the_order_of_bytes(roots: Roots, size: int) -> None:
    client = roots(dict.fromkeys(SIBLINGS, b"1"))()
    in_pages_of(client, size)

    for _ in range(2):
        assert [item.path for item in client.list()] == sorted(SIBLINGS, key=str.encode)
    assert {item.path for item in client.list("a")} == {path for path in SIBLINGS if path.startswith("a/")}


class Hides:
    def enter(self, directory: str, names: object) -> None:
        pass

    def __call__(self, directory: str) -> bool:
        return directory == "a"


def test_what_stands_beside_a_long_hidden_directory_is_not_lost(roots: Roots) -> None:
    hidden = [f"a/{number}" for number in range(9)]
    client = roots(dict.fromkeys((*SIBLINGS, *hidden), b"1"))()
    in_pages_of(client, 2)

    found = [item.path for item in client.list(prune=Hides())]

    assert found == sorted((path for path in SIBLINGS if not path.startswith("a/")), key=str.encode)


# Whole syncs


TREE = {**dict.fromkeys(SIBLINGS[1:], b"1"), "empty": b"", "large": os.urandom(9 << 20), "text.txt": b"text"}
TIME_NS = 1_600_000_000_123_456_789
_SYNCS = """
import json, sys, syncengine
for source, destination, mode in json.loads(sys.argv[1]):
    report = syncengine.sync(source, destination, mode=mode)
    assert all(outcome.problem is None for outcome in report.outcomes), report.outcomes
    print(len(report.outcomes), [name for name in ("s3fs", "botocore", "aiohttp") if name in sys.modules])
"""


def synced(server: S3Server, *syncs: Tuple[object, object, str]) -> List[str]:
    """Run syncs in one new process; return for each how much was done, and what was loaded by then."""
    profile = json.dumps({"key": KEY, "secret": SECRET, "endpoint_url": server.url})
    environment = {**os.environ, "FSSPEC_S3": profile, "AWS_DEFAULT_REGION": "us-east-1"}
    told = json.dumps([[str(source), str(destination), mode] for source, destination, mode in syncs])
    command = [sys.executable, "-c", _SYNCS, told]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.usefixtures("with_obstore")
def test_small_files_go_there_and_come_back_without_s3fs(seaweedfs: S3Server, tmp_path: Path) -> None:
    bucket, (up, down) = seaweedfs.bucket(), (tmp_path / "up", tmp_path / "down")
    small = {path: content for path, content in TREE.items() if len(content) < 1 << 20}
    put_files(up, small)

    said = synced(
        seaweedfs,
        (up, f"s3://{bucket}/x", "source-to-destination"),
        (up, f"s3://{bucket}/x", "source-to-destination"),
        (f"s3://{bucket}/x", f"s3://{bucket}/y", "source-to-destination"),
        (f"s3://{bucket}/x", f"s3://{bucket}/y", "source-to-destination"),
        (f"s3://{bucket}/y", down, "source-to-destination"),
        (down, f"s3://{bucket}/y", "two-way"),
    )

    done = len(small)
    assert said == [f"{number} []" for number in (done, 0, done, 0, done, 0)]
    assert {path: (down / path).read_bytes() for path in small} == small


def test_a_sync_follows_what_changes_and_rests(seaweedfs: S3Server, tmp_path: Path) -> None:
    bucket, folder = seaweedfs.bucket(), tmp_path / "folder"
    put_files(folder, TREE)
    given: Dict[str, Any] = {"mode": "two-way", "destination_options": seaweedfs.options, "allow_mass_delete": True}
    url = f"s3://{bucket}"
    syncengine.sync(folder, url, **given)

    seaweedfs.fill(bucket, {"theirs": b"new there", "text.txt": b"edited there"})
    for path in ("a-b", "b/1", "b/2", "é/x"):
        (folder / path).unlink()
    (folder / "large").write_bytes(os.urandom(10 << 20))
    report = syncengine.sync(folder, url, **given)
    again = syncengine.sync(folder, url, **given)

    assert [outcome.problem for outcome in report.outcomes if outcome.problem] == []
    assert again.outcomes == ()
    here = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    there = {key: seaweedfs.content(bucket, key) for key in seaweedfs.keys(bucket) if ".syncengine" not in key}
    assert there == {path: content for path, content in here.items() if ".syncengine" not in path}
    assert set(there) == {*TREE, "theirs"} - {"a-b", "b/1", "b/2", "é/x"}


# Conditions


def add_one(client: Any) -> bool:
    """Read the number and write the next; say whether nobody came in between."""
    stamp = client.stat("number").stamp
    try:
        with client.read("number", expect=stamp) as content:
            number = int(content.read())
        client.write("number", Bytes(b"%d" % (number + 1)), expect=exactly(stamp))
    except PreconditionFailed:
        return False
    return True


def add_at_once(open_one: Callable[[], Any], times: int) -> None:
    clients = [open_one() for _ in range(2)]
    clients[0].write("number", Bytes(b"0"), expect=ABSENT)
    with ThreadPoolExecutor(2) as pool:
        added = sum(pool.map(lambda client: sum(add_one(client) for _ in range(times)), clients))
    with clients[0].read("number") as content:
        assert int(content.read()) == added
    assert added >= times  # of two that meet, one is first


def test_of_two_writers_none_loses_an_update(opened: Callable[[], Any]) -> None:
    add_at_once(opened, 100)


@pytest.mark.thorough
def test_of_two_writers_none_loses_an_update_in_a_long_time(opened: Callable[[], Any]) -> None:
    add_at_once(opened, 500)


def test_of_two_writers_of_a_new_name_one_is_first(opened: Callable[[], Any]) -> None:
    clients = [opened() for _ in range(2)]
    for client in clients:
        client.prove()

    def create(which: int) -> List[int]:
        made = []
        for number in range(20):
            with suppress(PreconditionFailed):
                clients[which].write(f"{number}", Bytes(b"%d" % which), expect=ABSENT)
                made.append(number)
        return made

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(create, range(2))

    assert sorted(first + second) == list(range(20))
    for which, made in enumerate((first, second)):
        for number in made:
            with clients[0].read(f"{number}") as content:
                assert content.read() == b"%d" % which


def test_what_was_replaced_in_between_is_not_deleted(opened: Callable[[], Any]) -> None:
    client = opened()
    old = client.write("a", Bytes(b"1"), expect=ABSENT)
    new = client.write("a", Bytes(b"2"), expect=exactly(old))

    with pytest.raises(PreconditionFailed):
        client.delete("a", expect=exactly(old))
    client.delete("a", expect=exactly(new))

    assert client.stat("a") is None
    claimed = client.capabilities
    assert (claimed.create_if_absent, claimed.replace_if_unchanged, claimed.delete_if_unchanged) == (True, True, True)


def test_an_upload_in_parts_holds_its_condition(opened: Callable[[], Any]) -> None:
    client, contents = opened(), [os.urandom(9 << 20) for _ in range(2)]
    old = client.write("large", Bytes(contents[0]), expect=ABSENT)
    for expect in (ABSENT, exactly(evolve(old, etag="0" * 32 + "-2"))):
        with pytest.raises(PreconditionFailed):
            client.write("large", Bytes(contents[1]), expect=expect)

    new = client.write("large", Bytes(contents[1]), expect=exactly(old))

    with client.read("large", expect=new) as content:
        assert content.read() == contents[1]
    assert not [window for window, _ in client.capabilities.windows if window.startswith("uploads")]
    listed = {item.path: item.stamp for item in client.list()}
    assert listed["large"].same_version(new, granularity_ns=1_000_000_000) is True


# Copies and deletions


def test_a_copy_brings_its_metadata_along(opened: Callable[[], Any]) -> None:
    client = opened()
    client.write("text.txt", Bytes(b"text"), expect=ABSENT, mtime_ns=TIME_NS)
    client.set_headers(lambda path: {"cache_control": "no-cache"} if path == "ruled" else {})
    client.write("ruled", Bytes(b"text"), expect=ABSENT)

    for name in ("text.txt", "ruled"):
        client.copy(name, f"copied/{name}", expect=ABSENT)
        with pytest.raises(PreconditionFailed):
            client.copy(name, f"copied/{name}", expect=ABSENT)

    origins, copies = (
        [client.service.head(client.key(base + name)) for name in ("text.txt", "ruled")] for base in ("", "copied/")
    )
    assert [info.headers for info in copies] == [info.headers for info in origins]
    assert client.content_time("copied/text.txt") == TIME_NS


def test_many_are_deleted_by_one_request_and_each_is_answered_for(opened: Callable[[], Any]) -> None:
    client = opened()
    names = [f"d/{number}" for number in range(20)]
    for name in (*names, "d-kept"):
        client.write(name, Bytes(b"1"), expect=ABSENT)

    assert client.delete_many([*names, "d/missing"]) == dict.fromkeys([*names, "d/missing"])

    assert [item.path for item in client.list()] == ["d-kept"]


# Together with rclone


def test_rclone_finds_there_what_was_written_here_with_its_times(seaweedfs: S3Server, tmp_path: Path) -> None:
    bucket, folder = seaweedfs.bucket(), tmp_path / "folder"
    put_files(folder, TREE)
    for path in TREE:
        os.utime(folder / path, ns=(TIME_NS, TIME_NS))
    syncengine.sync(folder, f"s3://{bucket}/r", mode="source-to-destination", destination_options=seaweedfs.options)

    rclone_with(seaweedfs, "check", "--download", str(folder), f"there:{bucket}/r")
    listed = json.loads(rclone_with(seaweedfs, "lsjson", "--recursive", "--files-only", f"there:{bucket}/r"))

    assert {each["Path"] for each in listed} == set(TREE)
    assert {each["ModTime"][:29] for each in listed} == {"2020-09-13T12:26:40.123456789"}
