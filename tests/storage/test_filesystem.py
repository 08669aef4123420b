"""What the fsspec client says about storages that lie, fail, or hold odd things."""

from __future__ import annotations

import errno
import ftplib
import io
import os
import socket
import tarfile
import threading
import uuid
import warnings
import zipfile
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Dict, List, Tuple

import fsspec
import pytest
from conftest import Factories, put_files
from filesystems import BareFileSystem, RichFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractFileSystem
from servers import ftp_server, http_server, webdav_server

from syncengine.core.entry import Entry, Extent, Kind, Problem, ProblemKind, Stamp
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
from syncengine.storage import quirks
from syncengine.storage.conformance import Bytes
from syncengine.storage.filesystem import client_for
from syncengine.storage.location import locate
from syncengine.storage.protocol import (
    ABSENT,
    ANYTHING,
    SupportsCopy,
    SupportsDirectories,
    SupportsMove,
    SupportsSweep,
    exactly,
)
from syncengine.storage.temporary import host_mark, is_abandoned, release, temporary_name
from syncengine.storage.translation import redacted, translated


def items_of(client: Any, prefix: str = "") -> List[Tuple[str, str]]:
    """Say in short what a listing delivers: kind and path."""
    return [(item.kind.value, item.path) for item in client.list(prefix)]


def read_all(client: Any, path: str) -> bytes:
    with client.read(path) as source:
        return bytes(source.read())


# Listings that fail are never empty


class FlakyMemory(MemoryFileSystem):
    """Memory whose listing of some directories, or whose writing, fails with a given error."""

    protocol = "flaky"
    cachable = False

    def __init__(self, fails: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.store: Dict[str, Any] = {}
        self.pseudo_dirs = [""]
        self.fails = fails or {}

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        if self._strip_protocol(path) in self.fails:
            raise self.fails[self._strip_protocol(path)]
        return super().ls(path, detail=detail, **kwargs)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        if "write" in self.fails:
            raise self.fails["write"]
        super().pipe_file(path, value, mode=mode, **kwargs)


def flaky(files: Dict[str, bytes], fails: Any) -> FlakyMemory:
    filesystem = FlakyMemory(fails)
    for path, content in files.items():
        MemoryFileSystem.pipe_file(filesystem, path, content)
    return filesystem


FAILURES = [
    (PermissionError("no"), ProblemKind.DENIED),
    (TimeoutError("slow"), ProblemKind.TIMEOUT),
    (ConnectionResetError("gone"), ProblemKind.TIMEOUT),
    (FileNotFoundError("vanished"), ProblemKind.MISSING),
    (KeyError("a bug in a library"), ProblemKind.INTERNAL),
]


@pytest.mark.parametrize(("error", "kind"), FAILURES, ids=lambda case: str(case))
def test_a_directory_that_cannot_be_listed_is_a_problem_in_its_place(error: Exception, kind: ProblemKind) -> None:
    filesystem = flaky({"/r/a": b"1", "/r/b/hidden": b"2", "/r/c/seen": b"3"}, {"/r/b": error})
    client = locate((filesystem, "/r")).open()

    found = list(client.list())

    assert [item.position for item in found] == ["a", "b/", "c/", "c/seen"]
    problem = found[1]
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.extent) == (kind, Extent.SUBTREE)


@pytest.mark.parametrize("error", [error for error, _ in FAILURES], ids=str)
def test_a_root_that_cannot_be_listed_raises(error: Exception) -> None:
    client = locate((flaky({"/r/a": b"1"}, {"/r": error}), "/r")).open()

    with pytest.raises(StorageError):
        list(client.list())


def test_a_missing_root_is_missing_and_not_empty(factories: Factories) -> None:
    client = locate(f"memory://{uuid.uuid4().hex}").open()

    assert client.stat("") is None
    with pytest.raises(NotFound):
        list(client.list())


@pytest.mark.parametrize(
    ("status", "expected"), [(403, AccessDenied), (429, Throttled), (500, Unavailable), (503, Unavailable)]
)
def test_a_web_server_that_fails_is_not_a_missing_file(status: int, expected: type) -> None:
    class Failing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *arguments: Any) -> None:
            pass

    with http_server(Path(), Failing) as url:
        client = locate(f"{url}/d").open()
        for call in (lambda: client.stat("file"), lambda: list(client.list()), lambda: client.stat("")):
            with pytest.raises(expected):
                call()
        client.close()


def test_a_web_server_that_is_gone_is_not_a_missing_file() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    client = locate(f"http://127.0.0.1:{port}/d").open()

    with pytest.raises(Unavailable):
        client.stat("file")
    client.close()


def test_a_page_links_to_what_is_below_it_and_nothing_else(tmp_path: Path) -> None:
    page = (
        '<a href="../">up</a><a href="?C=N;O=D">sort</a><a href="#top">top</a><a href="plain.txt">p</a>'
        '<a href="a%20b&amp;c.txt">b</a><a href="/d/absolute.txt">x</a><a href="/elsewhere.txt">x</a>'
        '<a href="http://example.invalid/far.txt">x</a><a href="sub/deep.txt">deep</a><a href="dead.txt">dead</a>'
    )
    put_files(tmp_path / "d", {"index.html": page.encode(), "plain.txt": b"1", "a b&c.txt": b"2", "absolute.txt": b"3"})
    put_files(tmp_path / "d" / "sub", {"deep.txt": b"4"})
    with http_server(tmp_path) as url:
        client = locate(f"{url}/d/").open()

        assert items_of(client) == [
            ("file", "a b&c.txt"),
            ("file", "absolute.txt"),
            ("missing", "dead.txt"),
            ("file", "plain.txt"),
            ("file", "sub/deep.txt"),
        ]
        assert [item.stamp.size for item in client.list() if isinstance(item, Entry)] == [1, 1, 1, 1]
        client.close()


def test_an_ftp_directory_that_may_not_be_listed_is_not_empty(tmp_path: Path) -> None:
    put_files(tmp_path, {"a": b"1", "secret/x": b"2", "z": b"3"})

    def refuse(self: Any, path: str) -> None:
        if path.endswith("secret"):
            self.respond("550 Permission denied.")
        else:
            original(self, path)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from pyftpdlib.handlers import FTPHandler
    original = FTPHandler.ftp_MLSD

    with ftp_server(tmp_path, ftp_MLSD=refuse) as url:
        client = locate(url).open()

        assert items_of(client) == [("file", "a"), ("denied", "secret"), ("file", "z")]
        client.close()


def test_a_wrong_password_is_denied_and_never_shown(tmp_path: Path) -> None:
    with ftp_server(tmp_path) as url, webdav_server(tmp_path, user="someone") as base_url:
        wrong = url.replace("planted-ftp-secret", "planted-wrong-one")
        with warnings.catch_warnings():
            # fsspec's FTP filesystem is not ready to be collected where its login failed.
            warnings.simplefilter("ignore")
            with pytest.raises(AccessDenied) as over_ftp:
                locate(wrong).open()
        client = locate("webdav://", options={"base_url": base_url, "auth": ("someone", "planted-wrong-two")}).open()
        with pytest.raises(AccessDenied) as over_webdav:
            list(client.list())
        client.close()

    for caught in (over_ftp, over_webdav):
        assert "planted" not in str(caught.value)
        assert caught.value.__cause__ is not None


def test_the_right_password_opens_webdav(tmp_path: Path) -> None:
    put_files(tmp_path, {"d/file": b"1"})
    with webdav_server(tmp_path, user="someone") as base_url:
        options = {"base_url": base_url, "auth": ("someone", "planted-dav-secret")}
        client = locate("webdav://d", options=options).open()

        assert items_of(client) == [("file", "file")]
        assert "planted" not in repr(client)
        client.close()


# Odd things in archives


def test_an_archive_with_names_that_leave_it_says_so(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for name, content in (
            ("twice", b"first"),
            ("../evil", b"1"),
            ("/absolute", b"2"),
            ("d//empty", b"3"),
            ("d/x/../up", b"4"),
            ("d/fine", b"5"),
            ("empty/", b""),
            ("twice", b"last one"),
        ):
            archive.writestr(name, content)
    client = locate(f"zip::{tmp_path}/a.zip").open()

    found = list(client.list())

    odd = {item.path for item in found if isinstance(item, Problem) and item.kind is ProblemKind.BAD_NAME}
    assert odd == {"../evil", "/absolute", "d//empty", "d/x/../up"}
    assert all(item.extent is Extent.NOTHING for item in found if isinstance(item, Problem))
    files = {item.path: item.stamp.size for item in found if isinstance(item, Entry) and item.kind is Kind.FILE}
    assert files == {"d/fine": 1, "twice": 8}
    assert read_all(client, "twice") == b"last one"
    assert ("directory", "empty") in items_of(client)
    client.close()


def test_a_tar_with_links_and_devices_reports_them(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        for name, kind, link in (
            ("./file", tarfile.REGTYPE, ""),
            ("./hard", tarfile.LNKTYPE, "./file"),
            ("./soft", tarfile.SYMTYPE, "file"),
            ("./pipe", tarfile.FIFOTYPE, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mtime, member.mode = kind, link, 1_600_000_000, 0o640
            member.size = 3 if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(b"abc") if member.size else None)
    client = locate(f"tar::{tmp_path}/a.tar.gz").open()

    assert items_of(client) == [
        ("file", "file"),
        ("file", "hard"),
        ("unsupported", "pipe"),
        ("unsupported", "soft"),
    ]
    entry = client.stat("file")
    assert entry is not None
    assert (entry.stamp.mtime_ns, entry.mode) == (1_600_000_000 * 10**9, 0o640)
    assert read_all(client, "hard") == b"abc"
    client.close()


def test_a_zip_gives_crc_and_no_time(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("file", b"hello")
    client = locate(f"zip::{tmp_path}/a.zip").open()

    entry = client.stat("file")

    assert entry is not None
    assert entry.stamp == Stamp(size=5, digests=("crc32:3610a686",))
    with pytest.raises(Unsupported, match="can only be read"):
        client.write("new", Bytes(b"1"), expect=ANYTHING)
    client.close()


def test_a_file_and_a_directory_of_one_name_are_both_delivered() -> None:
    class Objects(BareFileSystem):
        """Lists a prefix even where an object has its name, as object stores do."""

        protocol = "objects"

        def ls(self, path: str, detail: bool = True, **kwargs: Any) -> List[Any]:
            kept = self.store.pop(path, None) if path in self._directories() else None
            try:
                return super().ls(path, detail, **kwargs)
            finally:
                if kept is not None:
                    self.store[path] = kept

    root = uuid.uuid4().hex
    for name in ("both", "both-", "both/in"):
        BareFileSystem.store[f"{root}/{name}"] = b"1"

    assert items_of(client_for(Objects(skip_instance_cache=True), root, identity="x")) == [
        ("file", "both"),
        ("file", "both-"),
        ("file", "both/in"),
    ]


def test_a_key_is_written_beside_the_keys_that_continue_it() -> None:
    root = uuid.uuid4().hex
    BareFileSystem.store[f"{root}/d/x"] = b"1"
    client = client_for(BareFileSystem(), root, identity="flat")

    client.write("d", Bytes(b"2"), expect=ABSENT)

    assert {path: read_all(client, path) for path in ("d", "d/x")} == {"d": b"2", "d/x": b"1"}


def test_a_directory_hidden_by_a_file_of_its_name_is_unknown_and_not_empty() -> None:
    name = uuid.uuid4().hex
    memory = fsspec.filesystem("memory")
    for path in ("both", "both-", "both/in"):
        memory.pipe_file("/scratch", b"1")
        memory.store[f"/{name}/{path}"] = memory.store.pop("/scratch")

    assert items_of(locate(f"memory://{name}").open()) == [("file", "both"), ("file", "both-"), ("changed", "both")]


def test_a_listing_of_a_file_is_refused() -> None:
    name = uuid.uuid4().hex
    fsspec.filesystem("memory").pipe_file(f"/{name}/file", b"1")

    with pytest.raises(PreconditionFailed, match="it is a file"):
        list(locate(f"memory://{name}").open().list("file"))


# Stamps and families

STAMPS: List[Tuple[str, Dict[str, Any], Stamp]] = [
    ("s3", {"size": 3, "ETag": '"' + "a" * 32 + '"'}, Stamp(size=3, etag="a" * 32, digests=("etag:" + "a" * 32,))),
    (
        "s3",
        {"size": 3, "ETag": '"' + "a" * 32 + '-2"'},
        Stamp(3, None, "a" * 32 + "-2", digests=("etag:" + "a" * 32 + "-2",)),
    ),
    (
        "s3",
        {"size": 3, "ETag": "a" * 32, "ServerSideEncryption": "aws:kms", "VersionId": "null"},
        Stamp(size=3, etag="a" * 32),
    ),
    (
        "gcs",
        {
            "size": 5,
            "generation": "7",
            "etag": "x",
            "updated": "t",
            "crc32c": "mnG7TA==",
            "md5Hash": "XUFAKrxLKna5cZ2REBfFkg==",
        },
        Stamp(size=5, version="7", digests=("crc32c:9a71bb4c", "md5:5d41402abc4b2a76b9719d911017c592")),
    ),
    (
        "azure",
        {"size": 5, "etag": "0x8", "content_settings": {"content_md5": bytearray(16)}},
        Stamp(size=5, etag="0x8", digests=("md5:" + "00" * 16,)),
    ),
    ("azure", {"size": 5, "content_settings": {"content_md5": None}}, Stamp(size=5)),
    (
        "http",
        {"size": None, "ETag": 'W/"x"', "Last-Modified": "Thu, 01 Jan 1970 00:00:02 GMT"},
        Stamp(etag="x", mtime_ns=2 * 10**9),
    ),
    ("http", {"size": None, "Last-Modified": "yesterday"}, Stamp()),
    ("ftp", {"size": 1, "modify": "19700101000003", "unique": "8g1"}, Stamp(size=1, mtime_ns=3 * 10**9, file_id="8g1")),
    ("ftp", {"size": 1, "modify": "Nov 22 13:45"}, Stamp(size=1)),
    ("git", {"size": 1, "sha": "abc"}, Stamp(size=1, etag="abc")),
    ("memory", {"size": 1, "created": 1700000000.123456}, Stamp(size=1, version="1700000000123456")),
]


@pytest.mark.parametrize(("name", "info", "stamp"), STAMPS)
def test_each_family_reads_its_own_info(name: str, info: Dict[str, Any], stamp: Stamp) -> None:
    family = next(family for family in quirks.FAMILIES if family.name == name)

    found = quirks.entry_from_info(family, {"type": "file", **info}, "key")

    assert isinstance(found, Entry)
    assert found.stamp == stamp


ODD = [
    ({"type": "link"}, "unsupported"),
    ({"type": "other"}, "unsupported"),
    ({"type": "file", "islink": True}, "unsupported"),
]


@pytest.mark.parametrize(("info", "kind"), ODD)
def test_links_pipes_and_devices_are_reported(info: Dict[str, Any], kind: str) -> None:
    found = quirks.entry_from_info(quirks.UNKNOWN, info, "key")

    assert isinstance(found, Problem)
    assert (found.kind.value, found.extent) == (kind, Extent.PATH)


ABILITIES = [
    ("memory", (SupportsCopy, SupportsMove, SupportsDirectories)),
    ("zip", ()),
    ("tar", ()),
    ("http", ()),
    ("ftp", (SupportsMove, SupportsDirectories, SupportsSweep)),
    ("webdav", (SupportsCopy, SupportsMove, SupportsDirectories, SupportsSweep)),
    ("bare class", (SupportsSweep,)),
    ("rich class", (SupportsCopy, SupportsMove, SupportsDirectories, SupportsSweep)),
]


@pytest.mark.parametrize(("kind", "abilities"), ABILITIES)
def test_a_client_has_just_the_abilities_of_its_filesystem(kind: str, abilities: Any, factories: Factories) -> None:
    client = factories.of(kind)({"file": b"1"}).client
    protocols = (SupportsCopy, SupportsMove, SupportsDirectories, SupportsSweep)

    assert tuple(protocol for protocol in protocols if isinstance(client, protocol)) == abilities


# Only literal calls

PLURAL = (
    "get",
    "put",
    "cp",
    "copy",
    "mv",
    "move",
    "rm",
    "cat",
    "find",
    "walk",
    "glob",
    "exists",
    "expand_path",
    "touch",
)


@pytest.mark.parametrize("base", [BareFileSystem, RichFileSystem, MemoryFileSystem], ids=lambda base: base.__name__)
def test_no_plural_or_pattern_call_is_ever_made(base: Any) -> None:
    def forbidden(name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> None:
            raise AssertionError(f"{name} was called")

        return call

    allowed = ("exists",) if base is MemoryFileSystem else ()
    calls = {name: forbidden(name) for name in PLURAL if name not in allowed}
    filesystem = type("Strict", (base,), calls)(skip_instance_cache=True)
    client = client_for(filesystem, f"/{uuid.uuid4().hex}", identity="x")
    stamp = client.write("d/a[1].txt", Bytes(b"1"), expect=ABSENT)
    client.write("d/a[1].txt", Bytes(b"22"), expect=exactly(stamp))
    if isinstance(client, SupportsCopy):
        client.copy("d/a[1].txt", "d/copy", expect=ABSENT)
    if isinstance(client, SupportsMove):
        client.move("d/a[1].txt", "d/moved", expect=ABSENT)

    for item in list(client.list()):
        if item.kind is Kind.FILE:
            client.delete(item.path, expect=ANYTHING)

    assert client.stat("d/moved") is client.stat("d/copy") is client.stat("d/a[1].txt") is None


def test_an_upload_that_breaks_off_leaves_no_part_of_a_new_file() -> None:
    class Breaking(BareFileSystem):
        protocol = "breaking"

        def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
            stream = super()._open(path, mode, **kwargs)
            if mode == "wb":
                stream.write(b"part")
                stream.write = lambda data: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full"))
            return stream

    root = uuid.uuid4().hex
    BareFileSystem.store[f"{root}/other"] = b"1"
    client = client_for(Breaking(skip_instance_cache=True), root, identity="x")

    with pytest.raises(NoSpace):
        client.write("new", Bytes(b"content"), expect=ABSENT)

    assert items_of(client) == [("file", "other")]


def test_a_storage_that_keeps_less_than_it_was_given_is_found_out() -> None:
    class Truncating(BareFileSystem):
        protocol = "truncating"

        def pipe_file(self, path: str, value: bytes, **kwargs: Any) -> None:
            self.store[path] = value[:2]

    client = client_for(Truncating(skip_instance_cache=True), uuid.uuid4().hex, identity="x")

    with pytest.raises(Unavailable, match="holds 2 bytes after 7"):
        client.write("file", Bytes(b"content"), expect=ABSENT)


def test_errors_of_the_filesystem_never_leak_and_keep_their_cause() -> None:
    class Strange(Exception):
        pass

    filesystem = flaky({"/r/a": b"1"}, {"write": Strange("token=planted")})
    client = client_for(filesystem, "/r", identity="x", secrets=["planted"])

    with pytest.raises(StorageError) as caught:
        client.write("b", Bytes(b"1"), expect=ABSENT)

    assert isinstance(caught.value.__cause__, Strange)
    assert str(caught.value) == "b: Strange: token=***"


def test_a_move_never_loses_a_file_it_could_not_place() -> None:
    class Refusing(RichFileSystem):
        protocol = "refusing"

        def mv_file(self, path1: str, path2: str, **kwargs: Any) -> None:
            raise PermissionError(path2)

    root = uuid.uuid4().hex
    BareFileSystem.store[f"{root}/file"] = b"1"
    client: Any = client_for(Refusing(skip_instance_cache=True), root, identity="x")

    with pytest.raises(AccessDenied):
        client.move("file", "other", expect=ABSENT)
    with pytest.raises(AccessDenied):
        client.write("file", Bytes(b"2"), expect=ANYTHING)

    assert items_of(client) == [("file", "file")]
    assert read_all(client, "file") == b"1"


# FTP


def test_an_ftp_file_keeps_its_time_and_its_identity_through_a_move(tmp_path: Path) -> None:
    with ftp_server(tmp_path) as url:
        client: Any = locate(url).open()
        stamp = client.write("d/file", Bytes(b"1"), expect=ABSENT, mtime_ns=1_600_000_000_999_999_999)

        moved = client.move("d/file", "e/file", expect=ABSENT)

        assert stamp.mtime_ns == 1_600_000_000 * 10**9
        assert moved == stamp
        assert int((tmp_path / "e/file").stat().st_mtime) == 1_600_000_000
        client.close()


def test_two_ftp_files_are_read_at_once_while_a_third_is_written(tmp_path: Path) -> None:
    put_files(tmp_path, {"a": b"a" * 500_000, "b": b"b" * 500_000})
    with ftp_server(tmp_path) as url:
        client = locate(url).open()
        with client.read("a") as first, client.read("b") as second:
            begun = first.read(10), second.read(10)
            client.write("c", Bytes(b"c"), expect=ABSENT)
            assert begun == (b"a" * 10, b"b" * 10)
            assert len(b"".join(iter(lambda: second.read(65536), b""))) == 499_990
            second.verify()
        assert items_of(client) == [("file", "a"), ("file", "b"), ("file", "c")]
        client.close()


def test_an_ftp_server_without_mlsd_is_listed_by_its_text(tmp_path: Path) -> None:
    put_files(tmp_path, {"d/file": b"123"})

    def unknown(self: Any, *arguments: Any) -> None:
        self.respond("500 Command not understood.")

    def features(self: Any, line: str) -> None:
        self.push("211-Features:\r\n UTF8\r\n211 End.\r\n")

    with ftp_server(tmp_path, ftp_MLSD=unknown, ftp_MLST=unknown, ftp_FEAT=features) as url:
        client = locate(url).open()

        assert items_of(client) == [("directory", "d"), ("file", "d/file")]
        entry = client.stat("d/file")
        assert entry is not None
        assert entry.stamp == Stamp(size=3)
        assert client.stat("d/none") is None
        assert not client.capabilities.set_mtime
        client.close()


def test_an_ftp_server_that_comes_back_is_found_again(tmp_path: Path) -> None:
    put_files(tmp_path, {"file": b"1"})
    with ftp_server(tmp_path) as url:
        client: Any = locate(url).open()
        client._driver.filesystem.ftp.sock.close()

        assert read_all(client, "file") == b"1"
        client._driver.filesystem.ftp.close()
        assert client.stat("file") is not None
    with pytest.raises(Unavailable):
        client.stat("file")
    with pytest.raises(Unavailable):
        client.stat("file")
    client.close()


def test_deleting_what_is_gone_makes_nothing() -> None:
    name = uuid.uuid4().hex
    fsspec.filesystem("memory").pipe_file(f"/{name}/file", b"1")
    client = locate(f"memory://{name}").open()

    client.delete("no/such/file", expect=ANYTHING)

    assert items_of(client) == [("file", "file")]


# Threads


def test_a_client_for_one_call_at_a_time_may_be_called_from_many_threads(factories: Factories) -> None:
    subject = factories.of("ftp")({})
    failures: List[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(3):
                content = str(number).encode() * 1000
                subject.client.write(f"{number}/{turn}", Bytes(content), expect=ABSENT)
                assert read_all(subject.client, f"{number}/{turn}") == content
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len(list(subject.client.list())) == 4 + 12


# Errors


class StatusError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class ClientError(Exception):
    """Shaped like botocore's."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(code)
        self.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


ERRORS: List[Tuple[BaseException, type]] = [
    (FileNotFoundError("x"), NotFound),
    (PermissionError("x"), AccessDenied),
    (TimeoutError("x"), Unavailable),
    (socket.gaierror(-2, "unknown host"), Unavailable),
    (OSError(errno.ENOSPC, "x"), NoSpace),
    (OSError(errno.EDQUOT, "x"), NoSpace),
    (OSError(errno.EHOSTUNREACH, "x"), Unavailable),
    (OSError(errno.ENAMETOOLONG, "x"), Unsupported),
    (IsADirectoryError("x"), PreconditionFailed),
    (FileExistsError("x"), PreconditionFailed),
    (NotImplementedError("x"), Unsupported),
    *[
        (StatusError(status), kind)
        for status, kind in (
            (401, AccessDenied),
            (403, AccessDenied),
            (404, NotFound),
            (409, PreconditionFailed),
            (412, PreconditionFailed),
            (429, Throttled),
            (500, Unavailable),
            (503, Unavailable),
            (507, NoSpace),
        )
    ],
    (ClientError("SlowDown", 503), Throttled),
    (ClientError("NoSuchKey", 404), NotFound),
    (ClientError("PreconditionFailed", 412), PreconditionFailed),
    (ClientError("AnythingElse", 400), StorageError),
    (ftplib.error_perm("550 No such file or directory."), NotFound),
    (ftplib.error_perm("550 Permission denied."), AccessDenied),
    (ftplib.error_perm("550 Something else."), StorageError),
    (ftplib.error_perm("530 Login incorrect."), AccessDenied),
    (ftplib.error_perm("552 Quota."), NoSpace),
    (ftplib.error_temp("421 Too many connections."), Unavailable),
    (EOFError(), Unavailable),
    (caused(FileNotFoundError("x"), StatusError(503)), Unavailable),
    (caused(FileNotFoundError("x"), StatusError(404)), NotFound),
    (caused(FileNotFoundError("x"), KeyError("x")), NotFound),
    (caused(OSError(errno.EINVAL, "x"), ClientError("PreconditionFailed", 412)), PreconditionFailed),
    (KeyError("x"), StorageError),
]


@pytest.mark.parametrize(("error", "kind"), ERRORS, ids=lambda case: repr(case)[:50])
def test_what_a_library_raises_is_said_in_our_words(error: BaseException, kind: type) -> None:
    said = translated(error, "d/file")

    assert type(said) is kind
    assert said.path == "d/file"
    assert "d/file" in str(said)


REDACTIONS = [
    ("login with planted failed", ["planted"], "login with *** failed"),
    ("https://u:pw@h/x", [], "https://***@h/x"),
    ("GET /x?a=1&X-Amz-Signature=abc&b=2", [], "GET /x?a=1&X-Amz-Signature=***&b=2"),
    ("p%40ss%2Fword", ["p@ss/word"], "***"),
    ("the cat sat", ["at"], "the cat sat"),
    ("looked at me", ["at"], "looked *** me"),
    ("line\nbreak", [], "line\nbreak"),
]


@pytest.mark.parametrize(("text", "secrets", "shown"), REDACTIONS)
def test_secrets_are_removed_from_every_text(text: str, secrets: List[str], shown: str) -> None:
    assert redacted(text, secrets) == shown


# Temporary names


def test_a_temporary_name_is_abandoned_once_its_writer_is_gone() -> None:
    name = temporary_name()
    finished = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(finished, 0)
    cases = [
        (name, None, False),
        (name, 10**9, False),
        (f".syncengine-tmp-{finished}-{host_mark()}-00", 0, True),
        (f".syncengine-tmp-{os.getppid()}-{host_mark()}-00", 60, False),
        (f".syncengine-tmp-{os.getppid()}-{host_mark()}-00", 25 * 3600, True),
        (f".syncengine-tmp-{os.getpid()}-{host_mark()}-00", None, True),
        (f".syncengine-tmp-{finished}-00000000-00", 60, False),
        (f".syncengine-tmp-{finished}-00000000-00", 25 * 3600, True),
        (".syncengine-tmp-of-another-form", None, False),
    ]

    assert [is_abandoned(name, age) for name, age, _ in cases] == [expected for _, _, expected in cases]

    release(name)
    assert is_abandoned(name)


def test_the_defaults_that_fsspec_gives_are_not_taken_for_abilities() -> None:
    assert not quirks.overrides(AbstractFileSystem(), "cp_file", "mkdir", "rmdir", "pipe_file")
    assert quirks.capabilities(AbstractFileSystem()).writable is False


def test_a_web_folder_whose_name_looks_like_a_protocol_is_listed(tmp_path: Path) -> None:
    """fsspec 2026.9 leaves links such as ``http/`` and ``https.txt`` out of its listing, without a word."""
    for name in ("http/client.py", "https.txt", "other/httpx.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    with http_server(tmp_path) as url:
        listed = [item.path for item in locate(url).open().list()]

    files = [path for path in listed if path.endswith((".py", ".txt"))]
    assert files == ["http/client.py", "https.txt", "other/httpx.txt"]


def test_memory_hands_the_time_of_a_content_on_and_tells_it_in_listings_and_looks() -> None:
    client = locate(f"memory://{uuid.uuid4().hex}").open()
    moment = 1_600_000_000_123_456_789
    written = client.write("a", Bytes(b"1"), expect=ABSENT, mtime_ns=moment)
    copied = client.copy("a", "b", expect=ABSENT)
    listed = {item.path: item.stamp for item in client.list() if isinstance(item, Entry)}

    assert written.mtime_ns == copied.mtime_ns == moment // 1000 * 1000
    assert listed == {"a": written, "b": copied} == {path: client.stat(path).stamp for path in "ab"}


def test_memory_takes_a_time_that_no_calendar_has_for_none() -> None:
    client = locate(f"memory://{uuid.uuid4().hex}").open()

    assert client.write("a", Bytes(b"1"), expect=ABSENT, mtime_ns=10**30).size == 1
