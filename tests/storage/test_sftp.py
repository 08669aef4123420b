"""What only the client for SFTP does: host keys, connections that drop, links, times, names and pipelining."""

from __future__ import annotations

import os
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Type

import asyncssh
import pytest
from conftest import put_files
from sftp_servers import SERVERS, Server, Wire, asyncssh_server, make_keys, needs_openssh, openssh_server

from syncengine.core.entry import Entry, Kind, Problem, ProblemKind, Stamp
from syncengine.core.modes import SymlinkPolicy
from syncengine.core.paths import TEMPORARY_PREFIX
from syncengine.errors import (
    AccessDenied,
    NoSpace,
    NotFound,
    PreconditionFailed,
    RecipeError,
    StorageError,
    SyncError,
    Unavailable,
)
from syncengine.storage.conformance import Bytes
from syncengine.storage.location import locate
from syncengine.storage.protocol import ABSENT, ANYTHING, exactly
from syncengine.storage.sftp_connection import Connection

both_servers = pytest.mark.parametrize("sftp_server", SERVERS, indirect=True)
YEAR_2020_NS = 1_577_836_800_000_000_000


class Folders:
    """Makes folders on servers and clients for them, which are closed at the end."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def new(self, server: Server, files: Dict[str, bytes]) -> Path:
        folder = server.folder / uuid.uuid4().hex
        put_files(folder, files)
        return folder

    def open(self, server: Any, folder: Path, **more: Any) -> Any:
        symlinks = more.pop("symlinks", SymlinkPolicy.SKIP)
        client: Any = locate(server.url(folder.name), options=server.options(**more)).open(symlinks=symlinks)
        self._stack.callback(client.close)
        return client


@pytest.fixture
def folders() -> Iterator[Folders]:
    with ExitStack() as stack:
        yield Folders(stack)


def content_of(client: Any, path: str) -> bytes:
    with client.read(path) as source:
        content: bytes = source.read()
        source.verify()
    return content


def tree_of(folder: Path) -> Dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def paths_of(client: Any) -> List[str]:
    return [item.path for item in client.list() if isinstance(item, Entry)]


def problems_of(client: Any) -> Dict[str, ProblemKind]:
    return {item.path: item.kind for item in client.list() if isinstance(item, Problem)}


# ------------------------------------------------------------------- who answers


def changed_key(server: Server, folder: Path) -> Dict[str, Any]:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().split()
    path = folder / "known_hosts"
    path.write_text(f"[127.0.0.1]:{server.port} {other[0]} {other[1]}\n")
    return {"known_hosts": str(path)}


def unknown_key(server: Server, folder: Path) -> Dict[str, Any]:
    path = folder / "known_hosts"
    path.write_text("")
    return {"known_hosts": str(path)}


def another_user(server: Server, folder: Path) -> Dict[str, Any]:
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(folder / "other"))
    return {"client_keys": [str(folder / "other")], "agent_path": None}


REFUSALS: Dict[str, Any] = {
    "a key that nobody knows": (
        unknown_key,
        AccessDenied,
        r"is not known: it shows ssh-ed25519 SHA256:.*ssh -p \d+ 127",
    ),
    "a key that has changed": (changed_key, AccessDenied, r"has changed: it shows ssh-ed25519 SHA256:.*ssh-keygen -R"),
    "the wrong user": (another_user, AccessDenied, "check username, client_keys"),
    "nobody listens": (lambda server, folder: {"port": 1}, Unavailable, "cannot be reached"),
    "an option of paramiko": (
        lambda server, folder: {"key_filename": "k"},
        RecipeError,
        "key_filename.*asyncssh.connect",
    ),
}


@pytest.mark.parametrize("case", REFUSALS, ids=str)
@both_servers
def test_a_connection_that_cannot_be_trusted_or_made_says_why(case: str, sftp_server: Server, tmp_path: Path) -> None:
    options, kind, message = REFUSALS[case]
    url = sftp_server.url() if case != "nobody listens" else sftp_server.url(port=1)

    with pytest.raises(kind, match=message):
        locate(url, options={**sftp_server.options(), **options(sftp_server, tmp_path)}).open()


@both_servers
def test_nobody_is_trusted_where_nothing_is_said(sftp_server: Server) -> None:
    options = sftp_server.options()
    del options["known_hosts"]
    location = locate(sftp_server.url(), options=options)

    with pytest.raises(AccessDenied, match="known_hosts=None connects without any proof"):
        location.open()
    ssh = Path.home() / ".ssh"
    ssh.mkdir(parents=True)
    (ssh / "known_hosts").write_text(sftp_server.known_hosts().read_text())
    client: Any = location.open()
    client.close()


def live_filesystem(server: Server, folder: Path) -> Any:
    import sshfs

    options = server.options()
    return sshfs.SSHFileSystem(
        "127.0.0.1", port=server.port, username=server.user, **options
    ), f"{server.root}/{folder.name}"


def upath(server: Server, folder: Path) -> Any:
    from upath import UPath

    return UPath(server.url(folder.name), **server.options())


def configured(server: Server, folder: Path) -> Any:
    return server.url(folder.name, scheme="ssh")


@pytest.mark.parametrize("spelled", [live_filesystem, upath, configured])
def test_every_spelling_of_a_place_is_the_same_place(
    spelled: Callable[..., Any], sftp_asyncssh: Server, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, folder = sftp_asyncssh, folders.new(sftp_asyncssh, {"file": b"content"})
    expected = locate(server.url(folder.name), options=server.options())
    options = server.options() if spelled is configured else None

    location = locate(spelled(server, folder), options=options)

    client: Any = location.open()
    assert type(client).__name__.endswith("SftpStorageClient")
    assert content_of(client, "file") == b"content"
    assert (location.identity, location.storage) == (expected.identity, expected.storage)
    client.close()


@needs_openssh
def test_paramiko_trusts_only_known_hosts_too(sftp_openssh: Server, folders: Folders) -> None:
    from fsspec.implementations import sftp

    if not hasattr(sftp, "HOST_KEY_POLICIES"):
        pytest.skip("this fsspec takes every host key and cannot be told otherwise")
    server, folder = sftp_openssh, folders.new(sftp_openssh, {"d/file": b"content"})
    options = {"port": server.port, "username": server.user, "key_filename": str(server.keys / "client")}
    filesystem = sftp.SFTPFileSystem("127.0.0.1", **options, skip_instance_cache=True)
    location = locate((filesystem, str(folder)))

    with pytest.raises(AccessDenied, match=r"is not known: it shows ssh-ed25519 SHA256:.*known_hosts"):
        location.open()
    ssh = Path.home() / ".ssh"
    ssh.mkdir(parents=True)
    (ssh / "known_hosts").write_text(server.known_hosts().read_text())
    client: Any = location.open()
    client.write("d/new", Bytes(b"new"), expect=ABSENT)
    assert (content_of(client, "d/file"), content_of(client, "d/new")) == (b"content", b"new")
    client.close()
    filesystem.client.close()


def test_options_come_from_the_configuration_of_fsspec(
    sftp_asyncssh: Server, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.config import conf

    folder = folders.new(sftp_asyncssh, {"file": b"1"})
    for protocol in ("sftp", "ssh"):
        monkeypatch.setitem(conf, protocol, sftp_asyncssh.options())
        client: Any = locate(sftp_asyncssh.url(folder.name, scheme=protocol)).open()
        assert paths_of(client) == ["file"]
        client.close()
        monkeypatch.delitem(conf, protocol)


def test_no_key_and_no_password_is_shown(sftp_asyncssh: Server) -> None:
    options = sftp_asyncssh.options(client_keys=None, password="planted-secret", agent_path=None)

    with pytest.raises(AccessDenied) as caught:
        locate(sftp_asyncssh.url(), options=options).open()

    assert "planted" not in str(caught.value)
    assert "planted" not in repr(locate(sftp_asyncssh.url(), options=options))


# --------------------------------------------------------------- what drops, and comes back


def test_a_question_is_asked_again_where_the_connection_dropped(sftp_asyncssh: Server, folders: Folders) -> None:
    folder = folders.new(sftp_asyncssh, {"file": b"content", "d/deep": b"1"})
    with Wire(sftp_asyncssh) as wire:
        client = folders.open(wire, folder)
        for ask in (lambda: client.stat("file").kind, lambda: paths_of(client), lambda: content_of(client, "file")):
            wire.cut()
            assert ask() in (Kind.FILE, ["d", "d/deep", "file"], b"content")
        assert wire.connections == 4


def test_all_who_find_the_connection_gone_wait_for_one_new_one(sftp_asyncssh: Server, folders: Folders) -> None:
    folder = folders.new(sftp_asyncssh, {f"file-{number}": b"%d" % number for number in range(32)})
    with Wire(sftp_asyncssh) as wire, ThreadPoolExecutor(16) as pool:
        client = folders.open(wire, folder)
        wire.cut()
        found = list(pool.map(lambda number: content_of(client, f"file-{number}"), range(32)))

        assert found == [b"%d" % number for number in range(32)]
        assert wire.connections == 2


@pytest.mark.parametrize("after", [1_000, 300_000, 3_000_000, 5_900_000])
@both_servers
def test_a_write_whose_connection_is_cut_leaves_the_old_version(
    after: int, sftp_server: Server, folders: Folders
) -> None:
    folder = folders.new(sftp_server, {"file": b"old"})
    with Wire(sftp_server) as wire:
        client = folders.open(wire, folder)
        wire.cut_after = after

        with pytest.raises(Unavailable) as caught:
            client.write("file", Bytes(b"n" * 6_000_000), expect=ANYTHING)
        assert caught.value.retryable
        assert (folder / "file").read_bytes() == b"old"

        # The next write goes through and takes away what the last one could not.
        client.write("file", Bytes(b"new"), expect=ANYTHING)
        assert content_of(client, "file") == b"new"
        assert tree_of(folder) == {"file": b"new"}


@both_servers
def test_a_small_write_whose_connection_is_cut_is_there_whole_or_not_at_all(
    sftp_server: Server, folders: Folders
) -> None:
    content = os.urandom(20_000)
    for after in range(2_000, 26_000, 6_000):
        folder = folders.new(sftp_server, {})
        with Wire(sftp_server) as wire:
            client = folders.open(wire, folder)
            wire.cut_after = after
            with suppress(Unavailable):
                client.write("d/file", Bytes(content), expect=ABSENT)
            assert [path for path in folder.rglob("file") if path.read_bytes() != content] == []


def test_a_read_whose_connection_is_cut_says_so(sftp_asyncssh: Server, folders: Folders) -> None:
    folder = folders.new(sftp_asyncssh, {"large": b"x" * 20_000_000})
    with Wire(sftp_asyncssh) as wire:
        client = folders.open(wire, folder)
        source = client.read("large")
        source.__enter__()
        source.read(1000)
        wire.cut()

        with pytest.raises(Unavailable):
            source.read()
        source.__exit__()


def test_a_client_that_was_closed_does_not_come_back(sftp_asyncssh: Server, folders: Folders) -> None:
    client = folders.open(sftp_asyncssh, folders.new(sftp_asyncssh, {}))
    client.close()

    with pytest.raises(Unavailable, match="closed"):
        client.stat("file")


@needs_openssh
def test_a_server_that_allows_one_session_is_enough_for_many_threads(folders: Folders, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    with openssh_server(tmp_path / "served", make_keys(keys), more="MaxSessions 1") as server:
        folder = folders.new(server, {f"{number}": os.urandom(300_000) for number in range(24)})
        client = folders.open(server, folder)
        with ThreadPoolExecutor(24) as pool:
            found = list(pool.map(lambda number: content_of(client, f"{number}"), range(24)))

    assert found == [(folder / f"{number}").read_bytes() for number in range(24)]


# ------------------------------------------------------------------------- content


@both_servers
def test_a_large_file_arrives_whole_both_ways(sftp_server: Server, folders: Folders) -> None:
    content = os.urandom(9_000_001)
    folder = folders.new(sftp_server, {"there": content})
    client = folders.open(sftp_server, folder)

    client.write("here", Bytes(content), expect=ABSENT)

    assert (folder / "here").read_bytes() == content
    assert content_of(client, "there") == content


@both_servers
def test_a_file_that_changes_while_it_is_read_is_not_taken(sftp_server: Server, folders: Folders) -> None:
    folder = folders.new(sftp_server, {"large": b"x" * 6_000_000})
    client = folders.open(sftp_server, folder)

    with client.read("large") as source:
        source.read(1000)
        with (folder / "large").open("ab") as stream:
            stream.write(b"more")
        while source.read(1 << 20):
            pass
        with pytest.raises(PreconditionFailed, match="changed while it was being read"):
            source.verify()


def test_a_full_disk_is_said_to_be_full(folders: Folders, tmp_path: Path) -> None:
    def write(self: Any, *arguments: Any) -> int:
        raise asyncssh.SFTPFailure("no reason at all")

    def statvfs(self: Any, path: bytes) -> Any:
        return os.statvfs_result((4096, 4096, 100, 0, 0, 100, 0, 0, 0, 255))

    keys = tmp_path / "keys"
    keys.mkdir()
    (tmp_path / "served").mkdir()
    with asyncssh_server(tmp_path / "served", make_keys(keys), write=write, statvfs=statvfs) as server:
        folder = folders.new(server, {})
        client = folders.open(server, folder)
        for size in (10, 1_000_000):
            with pytest.raises(NoSpace, match="no space is left"):
                client.write("file", Bytes(b"x" * size), expect=ABSENT)

        assert tree_of(folder) == {}


@both_servers
def test_times_and_permissions_are_kept(sftp_server: Server, folders: Folders) -> None:
    folder = folders.new(sftp_server, {"replaced": b"old"})
    (folder / "replaced").chmod(0o640)
    client = folders.open(sftp_server, folder)

    stamp = client.write("new", Bytes(b"1"), expect=ABSENT, mtime_ns=YEAR_2020_NS + 999_999_999, mode=0o751)
    client.write("replaced", Bytes(b"new"), expect=ANYTHING)

    found = (folder / "new").stat()
    assert (found.st_mode & 0o7777, found.st_mtime_ns) == (0o751, YEAR_2020_NS)
    assert stamp == Stamp(size=1, mtime_ns=YEAR_2020_NS)
    assert (folder / "replaced").stat().st_mode & 0o7777 == 0o640
    assert client.set_mode("new", 0o600, expect=exactly(stamp)) == stamp
    assert (folder / "new").stat().st_mode & 0o7777 == 0o600
    assert client.stat("new").mode == 0o600


@pytest.mark.parametrize("seconds", [-1, 1 << 32])
def test_a_time_that_the_protocol_cannot_say_is_left_out(seconds: int, sftp_asyncssh: Server, folders: Folders) -> None:
    client = folders.open(sftp_asyncssh, folders.new(sftp_asyncssh, {}))

    stamp = client.write("file", Bytes(b"1"), expect=ABSENT, mtime_ns=seconds * 10**9)

    assert stamp.mtime_ns not in (None, 0, seconds * 10**9)
    assert client.stat("file").stamp == stamp


@both_servers
def test_one_of_many_who_create_a_file_at_once_succeeds(sftp_server: Server, folders: Folders) -> None:
    folder = folders.new(sftp_server, {})
    client = folders.open(sftp_server, folder)
    able = client.capabilities.create_if_absent

    def create(number: int) -> bool:
        try:
            client.write("d/file", Bytes(b"%d" % number), expect=ABSENT)
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(12) as pool:
        created = list(pool.map(create, range(12)))

    assert able
    assert sum(created) == 1
    assert tree_of(folder) == {"d/file": b"%d" % created.index(True)}


@both_servers
def test_many_small_files_are_written_and_read_at_once(sftp_server: Server, folders: Folders) -> None:
    files = {f"d{number % 7}/e{number % 3}/{number}": os.urandom(number * 40) for number in range(300)}
    folder = folders.new(sftp_server, {})
    client = folders.open(sftp_server, folder)

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda path: client.write(path, Bytes(files[path]), expect=ABSENT), files))
        found = dict(zip(files, pool.map(lambda path: content_of(client, path), files)))

    assert found == files == tree_of(folder)


@both_servers
def test_a_kept_version_stays_what_it_is(sftp_server: Server, folders: Folders) -> None:
    folder = folders.new(sftp_server, {"file": b"first"})
    client = folders.open(sftp_server, folder)

    kept = client.preserve("file", "kept/file", expect=exactly(client.stat("file").stamp))
    client.write("file", Bytes(b"second"), expect=ANYTHING)

    assert tree_of(folder) == {"file": b"second", "kept/file": b"first"}
    assert client.stat("kept/file").stamp == kept
    with pytest.raises(PreconditionFailed):
        client.preserve("file", "kept/file", expect=ANYTHING)


@needs_openssh
def test_a_copy_stays_on_the_server_with_its_time(sftp_openssh: Server, folders: Folders) -> None:
    content = os.urandom(3_000_000)
    folder = folders.new(sftp_openssh, {"old": content})
    os.utime(folder / "old", ns=(YEAR_2020_NS, YEAR_2020_NS))
    with Wire(sftp_openssh) as wire:
        client = folders.open(wire, folder)
        wire.cut_after = 100_000  # the content does not travel

        stamp = client.copy("old", "new", expect=ABSENT)

    assert (folder / "new").read_bytes() == content
    assert stamp == Stamp(size=3_000_000, mtime_ns=YEAR_2020_NS)


# --------------------------------------------------------------------------- names


@both_servers
def test_names_that_are_no_text_come_through(sftp_server: Server, folders: Folders) -> None:
    folder = folders.new(sftp_server, {})
    raw = os.fsencode(folder) + b"/d\xff/caf\xe9"
    os.mkdir(os.path.dirname(raw))
    Path(os.fsdecode(raw)).write_bytes(b"latin")
    client = folders.open(sftp_server, folder)

    assert paths_of(client) == ["d\udcff", "d\udcff/caf\udce9"]
    assert content_of(client, "d\udcff/caf\udce9") == b"latin"
    client.write("\udcfe", Bytes(b"1"), expect=ABSENT)
    client.move("d\udcff/caf\udce9", "m\udcfd", expect=ABSENT)
    client.delete("\udcfe", expect=ANYTHING)
    assert sorted(os.listdir(os.fsencode(folder))) == [b"d\xff", b"m\xfd"]


def test_a_name_that_leaves_its_directory_is_refused(folders: Folders, tmp_path: Path) -> None:
    async def scandir(self: Any, path: bytes) -> Any:
        for name in (b"good", b"../evil", b"..", b"a/b", b""):
            yield asyncssh.SFTPName(name, attrs=asyncssh.SFTPAttrs(size=1, permissions=0o100644, atime=1, mtime=1))

    keys = tmp_path / "keys"
    keys.mkdir()
    with asyncssh_server(tmp_path, make_keys(keys), scandir=scandir) as server:
        client = folders.open(server, folders.new(server, {}))

        assert paths_of(client) == ["good"]
        assert set(problems_of(client).values()) == {ProblemKind.BAD_NAME}


@both_servers
def test_a_name_that_is_too_long_stops_no_other(sftp_server: Server, folders: Folders) -> None:
    folder = folders.new(sftp_server, {})
    client = folders.open(sftp_server, folder)

    with pytest.raises(StorageError):
        client.write("x" * 300, Bytes(b"1"), expect=ABSENT)
    client.write("x" * 250, Bytes(b"1"), expect=ABSENT)

    assert tree_of(folder) == {"x" * 250: b"1"}


# ------------------------------------------------------------- links and special files


@pytest.fixture
def linked(tmp_path: Path) -> Callable[[Server, Folders], Path]:
    def make(server: Server, folders: Folders) -> Path:
        outside = folders.new(server, {"secret": b"outside"})
        folder = folders.new(server, {"real/file": b"inside", "plain": b"1"})
        (folder / "to file").symlink_to("real/file")
        (folder / "to folder").symlink_to("real")
        (folder / "nowhere").symlink_to("missing")
        (folder / "out").symlink_to(f"../{outside.name}")
        os.mkfifo(folder / "pipe")
        return folder

    return make


@both_servers
def test_links_and_pipes_are_skipped_and_named(sftp_server: Server, folders: Folders, linked: Any) -> None:
    client = folders.open(sftp_server, linked(sftp_server, folders))

    assert paths_of(client) == ["plain", "real", "real/file"]
    unsupported = ("nowhere", "out", "pipe", "to file", "to folder")
    assert problems_of(client) == dict.fromkeys(unsupported, ProblemKind.UNSUPPORTED)
    for path in ("pipe", "to file"):
        with pytest.raises(StorageError):
            content_of(client, path)


@both_servers
def test_links_are_followed_where_that_is_asked(sftp_server: Server, folders: Folders, linked: Any) -> None:
    folder = linked(sftp_server, folders)
    (folder / "real/back").symlink_to("..")
    client = folders.open(sftp_server, folder, symlinks=SymlinkPolicy.FOLLOW)

    assert paths_of(client) == [
        "out",
        "out/secret",
        "plain",
        "real",
        "real/file",
        "to file",
        "to folder",
        "to folder/file",
    ]
    circle = ("nowhere", "pipe", "real/back", "to folder/back")
    assert problems_of(client) == dict.fromkeys(circle, ProblemKind.UNSUPPORTED)
    assert content_of(client, "to folder/file") == b"inside"
    client.write("to folder/new", Bytes(b"new"), expect=ABSENT)
    assert (folder / "real/new").read_bytes() == b"new"


@both_servers
def test_a_link_is_made_under_its_name_and_not_under_that_of_its_target(sftp_server: Server, folders: Folders) -> None:
    folder = folders.new(sftp_server, {})
    client = folders.open(sftp_server, folder)

    client.write_link("link", "target", expect=ABSENT)

    assert os.listdir(folder) == ["link"]
    assert (folder / "link").is_symlink()


@needs_openssh
def test_links_are_kept_where_that_is_asked(sftp_openssh: Server, folders: Folders, linked: Any) -> None:
    folder = linked(sftp_openssh, folders)
    client = folders.open(sftp_openssh, folder, symlinks=SymlinkPolicy.PRESERVE)

    links = {item.path: item.link for item in client.list() if isinstance(item, Entry) and item.kind is Kind.SYMLINK}
    assert {path: links[path] for path in ("nowhere", "to file")} == {"nowhere": "missing", "to file": "real/file"}
    stamp = client.write_link("d/link", "../somewhere else", expect=ABSENT)
    client.write_link("to file", "elsewhere", expect=ANYTHING)

    assert os.readlink(folder / "d/link") == "../somewhere else"
    assert os.readlink(folder / "to file") == "elsewhere"
    assert client.stat("d/link").stamp == stamp
    assert not list(folder.rglob(f"{TEMPORARY_PREFIX}*"))


CHANGES: Dict[str, Callable[[Any], Any]] = {
    "write": lambda client: client.write("out/new", Bytes(b"1"), expect=ABSENT),
    "write deeper": lambda client: client.write("out/d/new", Bytes(b"1"), expect=ABSENT),
    "replace": lambda client: client.write("out/secret", Bytes(b"1"), expect=ANYTHING),
    "delete": lambda client: client.delete("out/secret", expect=ANYTHING),
    "move there": lambda client: client.move("plain", "out/new", expect=ABSENT),
    "move from there": lambda client: client.move("out/secret", "new", expect=ABSENT),
    "link": lambda client: client.write_link("out/link", "x", expect=ABSENT),
    "make a directory": lambda client: client.make_directory("out/new"),
    "keep there": lambda client: client.preserve("plain", "out/new", expect=ANYTHING),
    "set the mode": lambda client: client.set_mode("out/secret", 0o777, expect=ANYTHING),
    "a file as a directory": lambda client: client.write("plain/new", Bytes(b"1"), expect=ABSENT),
}


@pytest.mark.parametrize("symlinks", list(SymlinkPolicy), ids=lambda policy: policy.value)
@pytest.mark.parametrize("change", CHANGES, ids=str)
@both_servers
def test_nothing_is_written_through_a_link_that_leaves_the_root(
    sftp_server: Server, change: str, symlinks: SymlinkPolicy, folders: Folders, linked: Any
) -> None:
    folder = linked(sftp_server, folders)
    outside = (folder / "out").resolve()
    before = (tree_of(outside), (outside / "secret").stat().st_mode, (folder / "plain").read_bytes())
    client = folders.open(sftp_server, folder, symlinks=symlinks)

    with pytest.raises(StorageError):
        CHANGES[change](client)

    assert (tree_of(outside), (outside / "secret").stat().st_mode, (folder / "plain").read_bytes()) == before


# ------------------------------------------------------------------ roots and leftovers


@both_servers
def test_a_root_is_made_once_and_never_again(sftp_server: Server, folders: Folders) -> None:
    folder = sftp_server.folder / uuid.uuid4().hex
    client = folders.open(sftp_server, folder)
    assert client.stat("") is None
    with pytest.raises(NotFound):
        list(client.list())
    client.write("d/file", Bytes(b"1"), expect=ABSENT)
    assert client.stat("").kind is Kind.DIRECTORY

    folder.rename(folder.with_name("unmounted " + folder.name))
    client._directories.forget()
    with pytest.raises(NotFound, match="the root is missing"):
        client.write("d/other", Bytes(b"1"), expect=ABSENT)
    assert not folder.exists()


@both_servers
def test_a_directory_that_somebody_removed_is_made_again(sftp_server: Server, folders: Folders) -> None:
    folder = folders.new(sftp_server, {})
    client = folders.open(sftp_server, folder)
    client.write("d/e/file", Bytes(b"1"), expect=ABSENT)
    (folder / "d/e/file").unlink()
    (folder / "d/e").rmdir()

    client.write("d/e/file", Bytes(b"2"), expect=ABSENT)

    assert tree_of(folder) == {"d/e/file": b"2"}


def test_a_draft_with_the_time_of_old_content_is_not_swept(sftp_asyncssh: Server, folders: Folders) -> None:
    elsewhere = f"{TEMPORARY_PREFIX}1-00000000-00"
    folder = folders.new(sftp_asyncssh, {elsewhere: b"being written", f"d/{elsewhere}": b"left behind"})
    os.utime(folder / elsewhere, ns=((folder / elsewhere).stat().st_atime_ns, YEAR_2020_NS))
    os.utime(folder / "d" / elsewhere, ns=(YEAR_2020_NS, YEAR_2020_NS))
    client = folders.open(sftp_asyncssh, folder)

    assert problems_of(client) == dict.fromkeys((elsewhere, f"d/{elsewhere}"), ProblemKind.LEFTOVER)
    assert (client.sweep(elsewhere), client.sweep(f"d/{elsewhere}")) == (False, True)


# ------------------------------------------------------------------------- listings


def test_directories_are_read_ahead_but_not_without_end(folders: Folders, tmp_path: Path) -> None:
    read: List[bytes] = []

    def scandir(self: Any, path: bytes) -> Any:
        read.append(path)
        return asyncssh.SFTPServer.scandir(self, path)

    keys = tmp_path / "keys"
    keys.mkdir()
    served = tmp_path / "served"
    with asyncssh_server(served, make_keys(keys), scandir=scandir) as server:
        folder = folders.new(
            server, {f"d{number:03}/e{below}/file": b"1" for number in range(100) for below in range(3)}
        )
        client = folders.open(server, folder)
        listing = client.list()
        first = [next(listing) for _ in range(3)]
        assert [item.path for item in first] == ["d000", "d000/e0", "d000/e0/file"]
        begun = len(read)
        paths = [item.path for item in (*first, *listing)]

    assert begun < 40
    assert paths == sorted(paths)
    assert len(paths) == 100 + 300 + 300
    assert len(read) == len(set(read)) == 401


@both_servers
def test_a_directory_that_cannot_be_listed_is_a_problem_in_its_place(
    sftp_server: Server, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    import syncengine.storage.sftp as module
    from syncengine.storage.sftp_packets import DENIED, Refused

    folder = folders.new(sftp_server, {"a/file": b"1", "closed/file": b"2", "z": b"3"})
    client = folders.open(sftp_server, folder)
    listed = module.listed

    async def refusing(channel: Any, place: bytes, symlinks: SymlinkPolicy) -> Any:
        # Nobody is refused anything where the tests run as root.
        if place.endswith(b"closed"):
            raise Refused(DENIED, "Permission denied")
        return await listed(channel, place, symlinks)

    monkeypatch.setattr(module, "listed", refusing)

    assert paths_of(client) == ["a", "a/file", "z"]
    assert problems_of(client) == {"closed": ProblemKind.DENIED}


ERRORS: Dict[int, Type[SyncError]] = {
    2: NotFound,
    3: AccessDenied,
    4: StorageError,
    7: Unavailable,
    14: NoSpace,
    18: PreconditionFailed,
}


@pytest.mark.parametrize("code", ERRORS)
def test_what_a_server_answers_is_said_in_our_words(code: int) -> None:
    from syncengine.storage.sftp_facts import translated
    from syncengine.storage.sftp_packets import Refused

    error = translated(Refused(code, "why \x1b[31mnot"), "d/file")

    assert type(error) is ERRORS[code]
    assert str(error).startswith("d/file: ")
    assert "\x1b" not in str(error)


def test_a_client_that_is_dropped_closes_its_connection(sftp_asyncssh: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    import gc

    closed = threading.Event()
    close = Connection.close

    def closing(self: Connection) -> None:
        close(self)
        closed.set()

    monkeypatch.setattr(Connection, "close", closing)
    client = locate(sftp_asyncssh.url(), options=sftp_asyncssh.options()).open()
    client.stat("missing")
    del client
    gc.collect()

    assert closed.wait(10)
