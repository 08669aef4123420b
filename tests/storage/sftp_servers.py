"""SFTP servers over a folder, on free ports of this machine: asyncssh's in a thread, and OpenSSH's own.

Both let in one key and show one host key, made anew for each. A ``Wire`` stands between a client and a server and can
be cut, at once or after so many bytes.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import threading
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional

import asyncssh
import pytest
from attrs import frozen

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
HAS_OPENSSH = os.access(SSHD, os.X_OK)
USER = "root" if os.geteuid() == 0 else os.environ.get("USER", "")


@frozen
class Server:
    """A running server: ``folder`` is what it serves, ``root`` is what it calls that."""

    port: int
    folder: Path
    root: str
    user: str
    keys: Path

    def url(self, path: str = "", *, port: Optional[int] = None, scheme: str = "sftp") -> str:
        return f"{scheme}://{self.user}@127.0.0.1:{port or self.port}{self.root}/{path}".rstrip("/")

    def options(self, *, port: Optional[int] = None, **more: Any) -> Dict[str, Any]:
        return {"client_keys": [str(self.keys / "client")], "known_hosts": str(self.known_hosts(port)), **more}

    def known_hosts(self, port: Optional[int] = None) -> Path:
        """Return a file in which the host key stands for *port*, the server's own or that of a wire to it."""
        path = self.keys / f"known_hosts-{port or self.port}"
        if not path.exists():
            key = " ".join((self.keys / "host.pub").read_text().split()[:2])
            path.write_text(f"[127.0.0.1]:{port or self.port} {key}\n")
        return path


def make_keys(folder: Path) -> Path:
    for name in ("client", "host"):
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(str(folder / name))
        key.write_public_key(str(folder / f"{name}.pub"))
        (folder / name).chmod(0o600)
    return folder


@contextmanager
def asyncssh_server(folder: Path, keys: Path, **handled: Any) -> Iterator[Server]:
    """Serve *folder* as the root of everything; *handled* are attributes of the server's class, such as a method."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    served = type("Served", (asyncssh.SFTPServer,), handled)
    connections: List[Any] = []

    async def listen() -> Any:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[str(keys / "host")],
            authorized_client_keys=str(keys / "client.pub"),
            acceptor=connections.append,
            sftp_factory=lambda channel: served(channel, chroot=os.fsencode(folder)),
        )

    async def stop(listener: Any) -> None:
        listener.close()
        await listener.wait_closed()
        for connection in connections:
            connection.abort()
            await connection.wait_closed()

    listener = asyncio.run_coroutine_threadsafe(listen(), loop).result(20)
    try:
        yield Server(listener.get_port(), folder, "", "someone", keys)
    finally:
        asyncio.run_coroutine_threadsafe(stop(listener), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextmanager
def openssh_server(folder: Path, keys: Path, *, sftp: str = "internal-sftp", more: str = "") -> Iterator[Server]:
    """Run sshd for the current user; *sftp* is its subsystem, *more* are further lines of its configuration."""
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it wants to lock itself up while nobody is logged in
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    lines = [
        *(f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {keys / 'host'}", "PidFile none"),
        *(f"AuthorizedKeysFile {keys / 'client.pub'}", "UsePAM no", "StrictModes no", "PasswordAuthentication no"),
        *("MaxStartups 100", f"Subsystem sftp {sftp}", more),
    ]
    configuration = keys / f"sshd-{port}.conf"
    configuration.write_text("\n".join(lines))
    log = keys / f"sshd-{port}.log"
    process = subprocess.Popen([SSHD, "-D", "-f", str(configuration), "-E", str(log)])
    try:
        _wait_for(port, process, log)
        yield Server(port, folder, str(folder), USER, keys)
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(port: int, process: Any, log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), 1)):
            return
        time.sleep(0.02)
    raise RuntimeError(f"sshd does not answer: {log.read_text()}")


class Wire:
    """A way to a server that can be cut; ``cut_after`` counts bytes from the client on, None is never."""

    def __init__(self, server: Server) -> None:
        self.cut_after: Optional[int] = None
        self.connections = 0
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: List[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Wire:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        # To close a socket does not wake who waits for it.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def url(self, path: str = "") -> str:
        return self._server.url(path, port=self.port)

    def options(self, **more: Any) -> Dict[str, Any]:
        return self._server.options(port=self.port, **more)

    def cut(self) -> None:
        """Break every connection there is; new ones are taken."""
        ends, self._open = self._open, []
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                server = socket.create_connection(("127.0.0.1", self._server.port))
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open += [client, server]
                for way in ((client, server, self._count), (server, client, None)):
                    threading.Thread(target=self._pump, args=way, daemon=True).start()

    def _count(self, size: int) -> bool:
        if self.cut_after is None:
            return True
        self.cut_after -= size
        if self.cut_after < 0:
            self.cut_after = None
            return False
        return True

    def _pump(self, origin: socket.socket, target: socket.socket, count: Optional[Callable[[int], bool]]) -> None:
        with suppress(OSError):
            while True:
                data = origin.recv(1 << 14)
                if count is not None and not count(len(data)):
                    break
                if not data:
                    break
                target.sendall(data)
        for end in (origin, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


needs_openssh = pytest.mark.skipif(not HAS_OPENSSH, reason="there is no sshd on this machine")
SERVERS = ("asyncssh", pytest.param("openssh", marks=needs_openssh))


@pytest.fixture(scope="session")
def sftp_asyncssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    keys = make_keys(tmp_path_factory.mktemp("keys"))
    with asyncssh_server(tmp_path_factory.mktemp("sftp"), keys) as server:
        yield server


@pytest.fixture(scope="session")
def sftp_openssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    keys = make_keys(tmp_path_factory.mktemp("keys"))
    with openssh_server(tmp_path_factory.mktemp("sftp"), keys) as server:
        yield server


@pytest.fixture
def sftp_server(request: pytest.FixtureRequest) -> Server:
    """Return the server that the test is parametrised with, indirectly, by name."""
    server: Server = request.getfixturevalue(f"sftp_{request.param}")
    return server
