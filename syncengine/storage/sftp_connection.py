"""One SSH connection with a few SFTP channels, shared by all threads that use a client, and reopened when it drops.

An event loop in a thread of its own serves all SFTP clients of the process. A caller's thread hands over one
coroutine and waits for it, so a small file costs one change of threads, however many requests it takes.

Host keys are verified as ``ssh`` does: against ``~/.ssh/known_hosts`` or what ``~/.ssh/config`` names, unless the
option ``known_hosts`` says something else; only ``known_hosts=None`` switches that off.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, Awaitable, Callable, Coroutine, Dict, List, Mapping, Optional, Tuple

import asyncssh

from ..core.paths import shown
from ..errors import AccessDenied, RecipeError
from .sftp_channel import Channel, Lost
from .sftp_loop import Errand, background_loop

Work = Callable[[Channel], Awaitable[Any]]

_MOST_CHANNELS = 4
# sshd allows ten sessions a connection; sshfs, another user of the same options, takes eight of them.
_BUSY_WITH = 24
"""With so many answers due on every channel, another one is opened."""

_WINDOW_BYTES = 8 << 20
_PACKET_BYTES = 128 << 10
"""What a server may send in one packet, and before it has to wait for us: answers to reads are many times the usual."""

_IGNORED = 2
_NEEDS_NOTHING_IGNORED = ("gcm", "chacha20-poly1305", "-ctr")

_KEEPALIVE = {"keepalive_interval": 15, "keepalive_count_max": 4}
# What fsspec and sshfs take for themselves and asyncssh does not know.
_OF_FSSPEC = (
    *("asynchronous", "batch_size", "listings_expiry_time", "loop", "max_paths", "skip_instance_cache"),
    *("use_listings_cache", "pool_type", "max_sessions", "sftp_client_kwargs", "timeout", "url_query", "url_fragment"),
)


# Options


def connection_options(options: Mapping[str, Any]) -> Dict[str, Any]:
    """Return what of fsspec's options asyncssh is to be given: host keys are verified where nothing is said of them."""
    asked = {name: value for name, value in options.items() if name not in _OF_FSSPEC}
    if options.get("timeout") is not None:
        asked.setdefault("connect_timeout", options["timeout"])
    return {**_KEEPALIVE, **asked}


def _fast_ciphers(asked: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the ciphers in the order of what they cost here, unless the user, or the user's ssh, has an order."""
    if "encryption_algs" in asked:
        return {}
    usual = os.path.expanduser("~/.ssh/config")
    config = asked.get("config", [usual] if os.path.exists(usual) else None)
    named = {name: asked[name] for name in ("host", "port", "username") if name in asked}
    wanted = asyncssh.SSHClientConnectionOptions(config=config, client_keys=None, **named).encryption_algs
    if wanted != asyncssh.SSHClientConnectionOptions(config=None, client_keys=None).encryption_algs:
        return {}
    # AES-GCM is one call of OpenSSL for a packet, ChaCha20 several; there are as many packets as answers.
    return {"encryption_algs": [name.decode() for name in sorted(wanted, key=lambda name: b"gcm" not in name)]}


def most_channels(options: Mapping[str, Any]) -> int:
    """Return how many channels may be open, given the ``max_sessions`` that a server allows."""
    return max(1, min(_MOST_CHANNELS, int(options.get("max_sessions") or _MOST_CHANNELS)))


class _Verifier(asyncssh.SSHClient):
    """Remembers the host key that was not found among the known ones."""

    def __init__(self) -> None:
        self.refused: Optional[Tuple[str, str, int, asyncssh.SSHKey]] = None

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Refuse the key."""
        self.refused = (host, addr, port, key)
        return False


def _unverified(verifier: _Verifier, known_hosts: Any, reason: str) -> AccessDenied:
    if verifier.refused is None:
        return AccessDenied(f"the server could not prove who it is: {reason}")
    host, address, port, key = verifier.refused
    place = host if port == 22 else f"[{host}]:{port}"
    print_of_key = f"{key.get_algorithm()} {key.get_fingerprint()}"
    if _knows_another(known_hosts, host, address, port):
        return AccessDenied(
            f"the host key of {shown(place)} has changed: it shows {print_of_key}, which is not in known_hosts. "
            "Somebody may be listening in, or the server was set up anew; ask its administrator, and only then "
            f"remove the old key (ssh-keygen -R '{shown(place)}') and accept the new one"
        )
    option = f"-p {port} " if port != 22 else ""
    return AccessDenied(
        f"the host key of {shown(place)} is not known: it shows {print_of_key}. If that is right, accept it with "
        f"'ssh {option}{shown(host)}', or name the file that has it with the option known_hosts; "
        "known_hosts=None connects without any proof of who answers"
    )


def _knows_another(known_hosts: Any, host: str, address: str, port: int) -> bool:
    if known_hosts == ():
        usual = os.path.expanduser("~/.ssh/known_hosts")
        known_hosts = usual if os.path.exists(usual) else b""
    try:
        found = asyncssh.match_known_hosts(known_hosts, host, address, port)
    except (OSError, ValueError):
        return False
    return bool(found[0])


class Connection:
    """Runs work on channels to one server, opening and reopening what is missing; safe to use from any thread.

    Raises what asyncssh raises where the server cannot be reached, and Lost where it went away in between.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = connection_options(options)
        self._most_channels = most_channels(options)
        self._loop = background_loop()
        self._process = os.getpid()
        self._ssh: Optional[asyncssh.SSHClientConnection] = None
        self._channels: List[Channel] = []
        self._opening: Optional[asyncio.Lock] = None
        self._closed = False
        self.server = ""
        """What the server calls itself."""

    # From the threads of callers

    def run(self, work: Work, *, again: bool = False) -> Any:
        """Do *work* on a channel and return its result; *again* does it once more where the connection drops."""
        return self.begin(work, again=again).result()

    def begin(self, work: Work, *, again: bool = False) -> Errand:
        """Begin *work* on a channel and return at once."""
        if os.getpid() != self._process:
            raise Lost("the connection belongs to the process that this one was forked from; open the place again")
        return Errand(self._loop, self._run(work, again=again))

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Return the result of what is bound to a channel already."""
        return Errand(self._loop, work).result()

    def close(self) -> None:
        """Close the connection, if it is open; whoever still waits is told that it is lost."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._close)

    # On the loop

    async def _run(self, work: Work, *, again: bool) -> Any:
        try:
            return await work(await self.channel())
        except Lost:
            if not again:
                raise
        return await work(await self.channel())

    async def channel(self) -> Channel:
        """Return the channel with the least to do; all who find the connection gone wait for one new one."""
        found = self._least_busy()
        if found is not None and (found.waiting < _BUSY_WITH or not self._may_open()):
            return found
        if self._opening is None:
            self._opening = asyncio.Lock()
        async with self._opening:
            found = self._least_busy()
            if found is None or (found.waiting >= _BUSY_WITH and self._may_open()):
                found = await self._opened(found)
        return found

    def _least_busy(self) -> Optional[Channel]:
        if len(self._channels) == 1 and self._channels[0].lost is None:
            return self._channels[0]
        self._channels = [channel for channel in self._channels if channel.lost is None]
        return min(self._channels, key=lambda channel: channel.waiting, default=None)

    def _may_open(self) -> bool:
        return len(self._channels) < self._most_channels

    async def _opened(self, otherwise: Optional[Channel]) -> Channel:
        if otherwise is None:
            await self._connect()
        assert self._ssh is not None
        try:
            channel = await _started(self._ssh)
        except asyncssh.DisconnectError as error:
            raise Lost(str(error) or "the server closed the connection") from error
        except asyncssh.ChannelOpenError:
            if otherwise is None:
                raise
            # The server allows no more of them; those that are open have to do.
            self._most_channels = len(self._channels)
            return otherwise
        self._channels.append(channel)
        return channel

    async def _connect(self) -> None:
        if self._closed:
            raise Lost("the client was closed")
        self._drop()
        verifier = _Verifier()
        try:
            self._ssh = await asyncssh.connect(
                client_factory=lambda: verifier, **_fast_ciphers(self._options), **self._options
            )
        except asyncssh.HostKeyNotVerifiable as error:
            raise _unverified(verifier, self._options.get("known_hosts", ()), error.reason) from error
        except TypeError as error:
            # An option that asyncssh does not know; the message names it.
            raise RecipeError(f"sftp: {error}; options are those of asyncssh.connect") from error
        _spared(self._ssh)
        self.server = str(self._ssh.get_extra_info("server_version") or "")

    def _close(self) -> None:
        self._closed = True
        self._drop()

    def _drop(self) -> None:
        if self._ssh is not None:
            self._ssh.abort()
            self._ssh = None


def _spared(ssh: asyncssh.SSHClientConnection) -> None:
    """Have no packet sent that is to be ignored.

    asyncssh puts one before every packet, which is two to encrypt, send and receive instead of one. They protect
    ciphers in CBC mode from somebody who chooses what is sent (RFC 4251, 9.3.1); no other cipher needs them.
    """
    cipher = str(ssh.get_extra_info("send_cipher"))
    send = ssh.send_packet
    if not any(name in cipher for name in _NEEDS_NOTHING_IGNORED):
        return

    def sending(kind: int, *arguments: bytes, **options: Any) -> None:
        if kind != _IGNORED:
            send(kind, *arguments, **options)

    vars(ssh)["send_packet"] = sending


async def _started(ssh: asyncssh.SSHClientConnection) -> Channel:
    _, channel = await ssh.create_session(
        Channel, subsystem="sftp", encoding=None, window=_WINDOW_BYTES, max_pktsize=_PACKET_BYTES
    )
    assert isinstance(channel, Channel)
    await channel.start()
    return channel
