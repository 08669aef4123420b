"""SFTP servers that answer otherwise than expected, or not at all: nothing is lost, nothing untrue is said."""

from __future__ import annotations

import asyncio
import os
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import asyncssh
import pytest
from attrs import evolve
from conftest import put_files
from sftp_servers import SERVERS, Server, asyncssh_server, make_keys, needs_openssh, openssh_server

from syncengine.core.entry import Entry, Extent, Problem, ProblemKind
from syncengine.core.modes import SymlinkPolicy
from syncengine.core.paths import TEMPORARY_PREFIX
from syncengine.errors import AccessDenied, PreconditionFailed, Unavailable
from syncengine.storage import sftp_packets as packets
from syncengine.storage.conformance import Bytes
from syncengine.storage.location import locate
from syncengine.storage.protocol import ABSENT, ANYTHING, exactly
from syncengine.storage.sftp_channel import Channel, Lost
from syncengine.storage.sftp_listing import listed

both_servers = pytest.mark.parametrize("sftp_server", SERVERS, indirect=True)
Serve = Callable[..., Any]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Return what starts a server with methods of one's own, and gives a client for a folder on it."""
    with ExitStack() as stack:
        keys = tmp_path / "keys"
        keys.mkdir()
        make_keys(keys)

        def start(files: Dict[str, bytes], **handled: Any) -> Any:
            folder = tmp_path / "served" / "root"
            folder.mkdir(parents=True)
            put_files(folder, files)
            server = stack.enter_context(asyncssh_server(folder.parent, keys, **handled))
            client: Any = locate(server.url("root"), options=server.options()).open()
            stack.callback(client.close)
            return client, folder

        yield start


@contextmanager
def opened(server: Server, files: Dict[str, bytes], **more: Any) -> Iterator[Any]:
    folder = server.folder / uuid.uuid4().hex
    put_files(folder, files)
    symlinks = more.pop("symlinks", SymlinkPolicy.SKIP)
    client: Any = locate(server.url(folder.name), options=server.options(**more)).open(symlinks=symlinks)
    try:
        yield client, folder
    finally:
        client.close()


def tree_of(folder: Path) -> Dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def content_of(client: Any, path: str) -> bytes:
    with client.read(path) as source:
        content: bytes = source.read()
        source.verify()
    return content


# --------------------------------------------------------------------------- who answers


@both_servers
def test_nobody_has_to_prove_anything_where_that_is_switched_off(sftp_server: Server) -> None:
    with opened(sftp_server, {"file": b"content"}, known_hosts=None) as (client, _):
        assert content_of(client, "file") == b"content"


@pytest.mark.parametrize("named", [True, False], ids=["by the option config", "in the home directory"])
@needs_openssh
def test_what_ssh_is_told_in_its_configuration_counts_here_too(
    named: bool, sftp_openssh: Server, tmp_path: Path
) -> None:
    server, folder = sftp_openssh, sftp_openssh.folder / uuid.uuid4().hex
    put_files(folder, {"file": b"content"})
    place = tmp_path / "config" if named else Path.home() / ".ssh" / "config"
    place.parent.mkdir(parents=True, exist_ok=True)
    lines = ("Hostname 127.0.0.1", f"Port {server.port}", f"User {server.user}")
    more = (f"IdentityFile {server.keys / 'client'}", f"UserKnownHostsFile {server.known_hosts()}")
    place.write_text("Host shelf\n" + "".join(f"  {line}\n" for line in (*lines, *more)))

    client: Any = locate(f"sftp://shelf{folder}", options={"config": str(place)} if named else {}).open()

    assert content_of(client, "file") == b"content"
    client.close()


@pytest.mark.parametrize(("cipher", "spared"), [("aes128-gcm@openssh.com", True), ("aes128-cbc", False)])
@needs_openssh
def test_packets_that_are_to_be_ignored_are_sent_only_where_a_cipher_needs_them(
    cipher: str, spared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: List[int] = []
    send = asyncssh.SSHClientConnection.send_packet

    def counting(self: Any, kind: int, *arguments: bytes, **options: Any) -> None:
        sent.append(kind)
        send(self, kind, *arguments, **options)

    monkeypatch.setattr(asyncssh.SSHClientConnection, "send_packet", counting)
    (tmp_path / "keys").mkdir()
    with ExitStack() as stack:
        served = openssh_server(tmp_path / "served", make_keys(tmp_path / "keys"), more=f"Ciphers {cipher}")
        options = {"encryption_algs": [cipher]}
        client, _ = stack.enter_context(opened(stack.enter_context(served), {"file": b"content"}, **options))
        sent.clear()
        assert content_of(client, "file") == b"content"

    assert sent
    assert (2 in sent) is not spared


# ------------------------------------------------------------------------------ renames


@both_servers
def test_a_file_that_two_names_lead_to_survives_its_move(sftp_server: Server) -> None:
    with opened(sftp_server, {"real/file": b"content"}, symlinks=SymlinkPolicy.FOLLOW) as (client, folder):
        (folder / "alias").symlink_to("real")

        client.move("alias/file", "real/file", expect=exactly(client.stat("real/file").stamp))

        assert tree_of(folder / "real") == {"file": b"content"}


@both_servers
def test_of_two_hard_links_the_moved_one_goes(sftp_server: Server) -> None:
    with opened(sftp_server, {"old": b"content"}) as (client, folder):
        os.link(folder / "old", folder / "new")

        client.move("old", "new", expect=exactly(client.stat("new").stamp))

        assert tree_of(folder) == {"new": b"content"}


def test_hard_links_that_are_offered_but_refused_are_done_without(serve: Serve) -> None:
    def link(self: Any, old: bytes, new: bytes) -> None:
        raise asyncssh.SFTPOpUnsupported("no links here")

    client, folder = serve({"taken": b"old"}, link=link)

    client.write("d/file", Bytes(b"1"), expect=ABSENT)
    client.move("d/file", "e/file", expect=ABSENT)
    with pytest.raises(PreconditionFailed):
        client.write("taken", Bytes(b"2"), expect=ABSENT)
    assert client.preserve("taken", "kept", expect=ANYTHING) == client.stat("kept").stamp

    assert tree_of(folder) == {"e/file": b"1", "taken": b"old", "kept": b"old"}


def test_a_move_that_fails_halfway_has_changed_nothing(serve: Serve) -> None:
    def remove(self: Any, path: bytes) -> None:
        if path.endswith(b"/old"):
            raise asyncssh.SFTPPermissionDenied("not this one")
        asyncssh.SFTPServer.remove(self, path)

    client, folder = serve({"old": b"content"}, remove=remove)

    with pytest.raises(AccessDenied):
        client.move("old", "new", expect=ABSENT)

    assert tree_of(folder) == {"old": b"content"}


def test_a_version_set_aside_comes_back_after_the_connection_broke(serve: Serve) -> None:
    def rename(self: Any, old: bytes, new: bytes) -> None:
        if new.endswith(b"/file") and not broken:
            broken.append(True)
            self.channel.get_connection().abort()
            raise asyncssh.SFTPConnectionLost("gone")
        asyncssh.SFTPServer.rename(self, old, new)

    broken: List[bool] = []
    client, folder = serve({"file": b"old"}, rename=rename)
    client._site.abilities = evolve(client._site.abilities, renames_over=False, in_order=False)
    stamp = client.stat("file").stamp

    with pytest.raises(Unavailable):
        client.write("file", Bytes(b"new"), expect=exactly(stamp))
    assert not (folder / "file").exists()
    client.write("other", Bytes(b"1"), expect=ABSENT)

    assert tree_of(folder) == {"file": b"old", "other": b"1"}


@both_servers
def test_a_directory_moves_with_all_it_holds_and_never_over_anything(sftp_server: Server) -> None:
    files = {"d/file": b"1", "d/deep/file": b"2", "taken/file": b"3", "plain": b"4"}
    with opened(sftp_server, files) as (client, folder):
        (folder / "empty").mkdir()
        for new in ("taken", "plain", "empty", "d/deep/inside", "d"):
            with pytest.raises(PreconditionFailed):
                client.move_directory("d", new)
        client.write("d/deep/new", Bytes(b"5"), expect=ABSENT)

        client.move_directory("d", "new/place")
        client.write("d/deep/again", Bytes(b"6"), expect=ABSENT)

        moved = {"new/place/file": b"1", "new/place/deep/file": b"2", "new/place/deep/new": b"5"}
        assert tree_of(folder) == {**moved, "taken/file": b"3", "plain": b"4", "d/deep/again": b"6"}
        assert (folder / "empty").is_dir()


# ------------------------------------------------------------------------------- reading


def test_a_server_that_sends_less_than_was_asked_for_is_asked_again(serve: Serve) -> None:
    def read(self: Any, file: Any, offset: int, size: int) -> bytes:
        content: bytes = asyncssh.SFTPServer.read(self, file, offset, min(size, 10_000))
        return content

    files = {"small": os.urandom(25_000), "large": os.urandom(700_000), "tiny": b"1"}
    client, _ = serve(files, read=read)

    assert {path: content_of(client, path) for path in files} == files


def test_a_directory_that_cannot_be_opened_is_not_taken_for_gone(serve: Serve) -> None:
    async def scandir(self: Any, path: bytes) -> Any:
        if path.endswith(b"/closed"):
            raise asyncssh.SFTPNoSuchFile("what OpenSSH says of a bad descriptor as well")
        async for name in asyncssh.SFTPServer.scandir(self, path):
            yield name

    client, _ = serve({"a": b"1", "closed/file": b"2", "z/file": b"3"}, scandir=scandir)

    found = list(client.list())

    assert [item.path for item in found if isinstance(item, Entry)] == ["a", "z", "z/file"]
    (problem,) = [item for item in found if isinstance(item, Problem)]
    assert (problem.path, problem.extent, problem.kind) == ("closed", Extent.SUBTREE, ProblemKind.MISSING)


def _text(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


class Hasty:
    """A server whose answers to two requests for names come with the end first."""

    lost = None

    async def ask(self, request: packets.Request) -> bytes:
        return b"f\0\0\0\1" + _text(b"handle")

    def send(self, *requests: packets.Request) -> Any:
        names = b"h\0\0\0\1" + (1).to_bytes(4, "big") + _text(b"file") + _text(b"") + b"\0\0\0\5"
        names += (3).to_bytes(8, "big") + (0o100644).to_bytes(4, "big")
        end = b"e\0\0\0\1" + packets.END.to_bytes(4, "big")
        answered: Any = asyncio.get_running_loop().create_future()
        answered.set_result([end, names][: len(requests)])
        return answered


def test_names_that_come_after_the_end_count() -> None:
    channel: Any = Hasty()

    listing = asyncio.run(listed(channel, b"/place", SymlinkPolicy.SKIP))

    assert [name for name, _, _ in listing.found] == [b"file"]


def test_an_answer_that_is_cut_off_ends_the_conversation_for_all_who_wait() -> None:
    class Nowhere:
        def write(self, data: bytes) -> None:
            pass

        def abort(self) -> None:
            pass

    async def conversation() -> None:
        channel = Channel()
        channel.connection_made(Nowhere())
        started = asyncio.ensure_future(channel.start())
        await asyncio.sleep(0)
        channel.data_received(b"\0\0\0\5\2\0\0\0\3", None)
        await started
        asked = asyncio.ensure_future(channel.ask(packets.look(b"file")))
        await asyncio.sleep(0)
        channel.data_received(b"\0\0\0\4e\0\0\1", None)
        await asyncio.wait_for(asked, 10)

    with pytest.raises(Lost, match="cut off"):
        asyncio.run(conversation())


@both_servers
def test_every_window_is_named(sftp_server: Server) -> None:
    with opened(sftp_server, {}) as (client, _):
        named = dict(client.capabilities.windows)

    assert "for up to 5 seconds" in named["directories"]
    assert "power cut" in named["flush"]
    assert not [name for name in os.listdir(sftp_server.folder) if name.startswith(TEMPORARY_PREFIX)]
