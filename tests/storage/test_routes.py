"""How bytes get from one client to another, what is verified on the way, and how many transfers run at once."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator, List, Optional

import pytest
from attrs import evolve

from syncengine import errors
from syncengine.core.entry import Entry, Kind, Listed, Stamp
from syncengine.storage.local import LocalStorageClient
from syncengine.storage.protocol import (
    ABSENT,
    Capabilities,
    Precondition,
    Prune,
    Source,
    StorageClientProtocol,
    exactly,
)
from syncengine.storage.routes import Transferred, transfer, workers

YEAR_2020 = 1_577_836_800_000_000_000


class Content:
    def __init__(self, shelf: Shelf, path: str) -> None:
        self.size: Optional[int] = len(shelf.held[path])
        self.local_path: Optional[str] = None
        self.largest_read = 0
        self._shelf, self._path = shelf, path
        self._rest = shelf.held[path]
        self._stamp = shelf.stamp(path)

    def read(self, size: int = -1) -> bytes:
        self.largest_read = max(self.largest_read, len(self._rest) if size < 0 else size)
        end = len(self._rest) if size < 0 else size
        data, self._rest = self._rest[:end], self._rest[end:]
        return data

    def verify(self) -> Stamp:
        if self._shelf.stamp(self._path) != self._stamp:
            raise errors.PreconditionFailed("it changed", path=self._path)
        return self._stamp


class Shelf:
    """A user's own client, with nothing but what a client needs; versions are counted, and times are of uploads."""

    identity = "shelf"

    def __init__(self, **capabilities: object) -> None:
        self.capabilities = evolve(Capabilities(stamps=("size", "version"), threads=12), **capabilities)
        self.held: Dict[str, bytes] = {}
        self.versions: Dict[str, int] = {}
        self.times: List[Optional[int]] = []
        self.opened: Optional[Content] = None

    def put(self, path: str, data: bytes) -> Stamp:
        self.held[path] = data
        self.versions[path] = self.versions.get(path, 0) + 1
        return self.stamp(path)

    def stamp(self, path: str) -> Stamp:
        return Stamp(size=len(self.held[path]), version=str(self.versions[path]))

    def list(self, prefix: str = "", *, prune: Optional[Prune] = None) -> Iterator[Listed]:
        return (Entry(path, Kind.FILE, self.stamp(path)) for path in sorted(self.held))

    def stat(self, path: str) -> Optional[Entry]:
        return Entry(path, Kind.FILE, self.stamp(path)) if path in self.held else None

    @contextmanager
    def read(self, path: str, *, expect: Optional[Stamp] = None) -> Iterator[Source]:
        if expect is not None:
            exactly(expect).check(self.stat(path), path)
        self.opened = Content(self, path)
        yield self.opened

    def write(self, path: str, content: Source, *, expect: Precondition, mtime_ns: Optional[int] = None) -> Stamp:
        expect.check(self.stat(path), path)
        data = b"".join(iter(lambda: content.read(1000), b""))
        content.verify()
        self.times.append(mtime_ns)
        return self.put(path, data)

    def delete(self, path: str, *, expect: Precondition) -> None:
        expect.check(self.stat(path), path)
        del self.held[path]


class Copying(Shelf):
    """A shelf that copies by itself; ``slip`` is done in the middle of it."""

    def __init__(self, **capabilities: object) -> None:
        super().__init__(server_copy=True, **capabilities)
        self.slip = lambda: None

    def copy(self, old: str, new: str, *, expect: Precondition, expect_origin: Optional[Stamp] = None) -> Stamp:
        assert expect_origin is not None
        exactly(expect_origin).check(self.stat(old), old)
        expect.check(self.stat(new), new)
        stamp = self.put(new, self.held[old])
        self.slip()
        return stamp


class Careless(Shelf):
    """A writer that takes the local file as a whole and checks nothing."""

    def write(self, path: str, content: Source, *, expect: Precondition, mtime_ns: Optional[int] = None) -> Stamp:
        assert content.local_path is not None
        return self.put(path, Path(content.local_path).read_bytes())


@pytest.fixture
def here(tmp_path: Path) -> LocalStorageClient:
    (tmp_path / "here").mkdir()
    return LocalStorageClient(str(tmp_path / "here"))


@pytest.fixture
def there(tmp_path: Path) -> LocalStorageClient:
    return LocalStorageClient(str(tmp_path / "there"))


DATA = os.urandom(2_500_000)
DIGEST = "sha256:" + hashlib.sha256(DATA).hexdigest()


def put(client: LocalStorageClient, path: str = "f", data: bytes = DATA) -> Stamp:
    place = Path(client.root) / path
    place.write_bytes(data)
    os.utime(place, ns=(YEAR_2020, YEAR_2020))
    return stamp_of(client, path)


def stamp_of(client: StorageClientProtocol, path: str) -> Stamp:
    entry = client.stat(path)
    assert entry is not None
    return entry.stamp


def send(origin: StorageClientProtocol, target: StorageClientProtocol, **options: object) -> Transferred:
    arguments = {"expect_origin": None, "expect_target": ABSENT, "mtime_ns": None, **options}
    return transfer(origin, "f", target, "copy", **arguments)  # type: ignore[arg-type]


def test_between_local_disks_both_stamps_are_of_the_very_bytes(here, there):
    stamp = put(here)
    told: List[int] = []

    done = send(here, there, expect_origin=stamp, mtime_ns=stamp.mtime_ns, mode=0o640, on_bytes=told.append)

    assert (done.origin, done.target) == (stamp, stamp_of(there, "copy"))
    assert (done.target.mtime_ns, done.digest, done.bytes, sum(told)) == (YEAR_2020, None, len(DATA), len(DATA))
    assert (Path(there.root) / "copy").read_bytes() == DATA
    assert os.stat(Path(there.root) / "copy").st_mode & 0o7777 == 0o640


@pytest.mark.parametrize("asked", [{"digest": "sha256"}, {"racy": True}], ids=["asked for", "racy"])
@pytest.mark.parametrize("same_storage", [True, False], ids=["within one disk", "between two clients"])
def test_a_digest_is_of_the_bytes_that_were_copied(here, there, asked, same_storage):
    stamp = put(here)
    target = here if same_storage else there

    done = send(here, target, expect_origin=stamp, mtime_ns=stamp.mtime_ns, **asked)

    assert (done.digest, done.bytes, done.target.mtime_ns) == (DIGEST, len(DATA), YEAR_2020)
    assert (Path(target.root) / "copy").read_bytes() == DATA


def test_within_one_storage_no_byte_travels(here):
    stamp = put(here)
    equal = LocalStorageClient(here.root)

    done = send(here, equal, expect_origin=stamp, mtime_ns=stamp.mtime_ns)

    assert (done.bytes, done.digest, done.origin) == (0, None, stamp)
    assert done.target == stamp_of(here, "copy")
    assert done.target.mtime_ns == YEAR_2020


def test_a_server_copy_is_taken_even_where_a_digest_is_wanted():
    shelf = Copying()
    stamp = shelf.put("f", b"abc")

    done = send(shelf, shelf, expect_origin=stamp, digest="sha256")

    assert done == Transferred(stamp, shelf.stamp("copy"), None, 0)
    assert shelf.opened is None


@pytest.mark.parametrize("expected", [True, False], ids=["expecting a version", "expecting any"])
def test_an_origin_that_changes_during_a_server_copy_is_noticed(expected):
    shelf = Copying()
    stamp = shelf.put("f", b"abc")
    shelf.slip = lambda: shelf.put("f", b"xyz")

    with pytest.raises(errors.PreconditionFailed):
        send(shelf, shelf, expect_origin=stamp if expected else None)


def test_a_server_copy_of_another_length_is_not_believed():
    shelf = Copying()
    shelf.put("f", b"abc")
    shelf.copy = lambda old, new, *, expect, expect_origin: Stamp(size=2)

    with pytest.raises(errors.PreconditionFailed, match="2 bytes"):
        send(shelf, shelf)


def test_equal_identities_without_a_copy_go_through_this_machine():
    shelf = Shelf()
    shelf.put("f", b"abc")

    assert send(shelf, shelf).bytes == 3
    assert shelf.held["copy"] == b"abc"


def test_a_stream_is_counted_and_never_held_as_a_whole(there):
    shelf = Shelf()
    stamp = shelf.put("f", DATA)
    told: List[int] = []

    done = send(shelf, there, expect_origin=stamp, on_bytes=told.append, digest="sha256")

    assert (done.origin, done.digest, done.bytes, sum(told)) == (stamp, DIGEST, len(DATA), len(DATA))
    assert shelf.opened is not None
    assert shelf.opened.largest_read <= 1024 * 1024


TIMES = [
    # origin's times are of content, target sets times, what arrives
    (True, True, YEAR_2020),
    (True, False, None),
    (False, True, None),
]


@pytest.mark.parametrize(("of_content", "settable", "arrives"), TIMES)
def test_a_time_is_passed_on_only_where_it_means_something(of_content, settable, arrives):
    origin, target = Shelf(mtime_is_content_time=of_content), Shelf(set_mtime=settable)
    target.identity = "another shelf"
    origin.put("f", b"abc")

    send(origin, target, mtime_ns=YEAR_2020, mode=0o600)

    assert target.times == [arrives]


def test_a_writer_that_takes_the_local_file_is_counted_and_verified_all_the_same(here):
    stamp = put(here)
    told: List[int] = []

    done = send(here, Careless(), on_bytes=told.append)

    assert (done.origin, done.bytes, told) == (stamp, len(DATA), [len(DATA)])


@pytest.mark.parametrize("options", [{}, {"digest": "md5"}], ids=["by the kernel", "hashed"])
def test_neither_end_may_be_another_version(here, there, options):
    stamp = put(here)
    old = there.stat("copy")
    assert old is None

    with pytest.raises(errors.PreconditionFailed):
        send(here, there, expect_origin=Stamp(size=1), **options)
    with pytest.raises(errors.PreconditionFailed):
        send(here, there, expect_target=exactly(stamp), **options)
    with pytest.raises(errors.NotFound):
        transfer(here, "no", there, "copy", expect_origin=None, expect_target=ABSENT, mtime_ns=None)
    with pytest.raises(errors.NotFound):
        transfer(here, "no", here, "copy", expect_origin=None, expect_target=ABSENT, mtime_ns=None)

    assert there.stat("copy") is None


def test_an_unknown_digest_is_refused_before_anything_is_written(here, there):
    put(here)

    with pytest.raises(errors.Unsupported):
        send(here, there, digest="crc16")
    assert there.stat("copy") is None


WORKERS = [
    # origin, target, asked, expected: numbers are the threads of a client over a network, None is a local disk
    (None, None, None, 1),
    (None, None, 8, 1),
    (None, 64, None, 16),
    (64, None, None, 16),
    (64, None, 40, 40),
    (12, None, None, 12),
    (12, None, 40, 12),
    (64, 64, None, 8),
    (64, 4, None, 4),
    (1, 64, 8, 1),
    (64, 64, 2, 2),
    (0, None, None, 1),
]


@pytest.mark.parametrize(("origin", "target", "asked", "expected"), WORKERS)
def test_the_route_decides_how_many_transfers_run_at_once(here, origin, target, asked, expected):
    clients = [here if threads is None else Shelf(threads=threads) for threads in (origin, target)]

    assert workers(*clients, asked) == expected
