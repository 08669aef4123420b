"""One run per pair: a lock that a dead holder never keeps.

The lock is a small document (host, process, since when, last heartbeat) in a *cell*, a place that can be looked at
and replaced in one step: a local file, an object at a URL, or a variable of this process.

Who is dead: on the same host, boot and process namespace, a holder whose process is gone or started at another time.
Anywhere else, a holder whose heartbeat is older than EXPIRY seconds; heartbeats are renewed every HEARTBEAT seconds by
a daemon thread. RACE: a holder on another machine that was suspended for longer, or whose clock is more than EXPIRY
behind ours, is taken for dead while it lives. Worst case: two runs at once; the one that lost the lock notices at its
next commit and records nothing, and the preconditions of its operations keep it from destroying what the other wrote.
"""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import Any, Callable, Dict, Iterator, Optional, Protocol, Set

from attrs import asdict, evolve, frozen

from ..errors import PreconditionFailed, StateError, SyncError
from .remote import RemoteFile

HEARTBEAT = 20.0
EXPIRY = 90.0
_POLL = 0.5
_REMOTE_ATTEMPTS = 10

_HELD: Set[str] = set()
"""The tokens of the locks that this process holds."""

Change = Callable[[bytes], Optional[bytes]]


class LockCell(Protocol):
    """Bytes that can be looked at and replaced in one step."""

    def update(self, change: Change) -> None:
        """Give the present bytes (empty: free) to *change* and store what it returns; None leaves them."""


@frozen
class Holder:
    """Who holds a lock; times are seconds since the epoch, ``namespace`` tells boots and containers apart."""

    host: str
    pid: int
    process_started: str
    namespace: str
    since: float
    heartbeat: float
    token: str

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since, timezone.utc)
        return f"process {self.pid} on {self.host} since {since:%Y-%m-%d %H:%M:%S} UTC"

    def alive(self, now: float) -> bool:
        """Say whether the holder may still be running."""
        if (self.host, self.namespace) != (os.uname().nodename, _namespace()):
            return now - self.heartbeat <= EXPIRY
        if self.pid == os.getpid():
            # A release that did not reach its cell must not lock this process out of its next run.
            return self.token in _HELD
        return _process_started(self.pid) == self.process_started


def _namespace() -> str:
    """Return what must be equal for a process id to mean the same process: the boot and the namespace of ids."""
    parts = []
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        parts.append(file.read().strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _process_started(pid: int) -> Optional[str]:
    """Return when process *pid* started, in the kernel's own words; empty where it does not say, None if it is gone."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # it lives and belongs to somebody else
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name of the program may hold blanks and brackets; what follows its last bracket is numbers.
            state, *fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return ""
    return None if state in (b"Z", b"X") else fields[18].decode("ascii")


def _holder_from(content: bytes) -> Optional[Holder]:
    # Writers replace the content while they hold the cell: what cannot be read was torn by a death in mid-write.
    try:
        return Holder(**json.loads(content))
    except (ValueError, TypeError):
        return None


class FileCell:
    """A lock file on a disk; the kernel's own file lock makes look-and-replace one step, and dies with its process."""

    def __init__(self, path: str) -> None:
        self._path = path

    def update(self, change: Change) -> None:
        """Give the file's bytes to *change* and store what it returns; the file itself is never removed."""
        with self._guarded() as descriptor:
            content = change(os.pread(descriptor, 1 << 16, 0))
            if content is None:
                return
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, content, 0)

    def read(self) -> bytes:
        """Return the present bytes without creating anything."""
        try:
            with open(self._path, "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""

    @contextmanager
    def _guarded(self) -> Iterator[int]:
        import fcntl

        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(f"The lock {self._path} cannot be opened: {error.strerror}.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)


class MemoryCell:
    """A lock that lives in this process."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._content = b""

    def update(self, change: Change) -> None:
        """Give the bytes to *change* and store what it returns."""
        with self._mutex:
            content = change(self._content)
            self._content = self._content if content is None else content

    def read(self) -> bytes:
        """Return the present bytes."""
        return self._content


class RemoteCell:
    """A lock object at a URL, replaced only where it is unchanged."""

    def __init__(self, file: RemoteFile) -> None:
        self._file = file

    def update(self, change: Change) -> None:
        """Give the object's bytes to *change* and store what it returns, again if another writer came between."""
        for _ in range(_REMOTE_ATTEMPTS):
            found = self._file.fetch()
            content, stamp = found if found is not None else (b"", None)
            wanted = change(content)
            if wanted is None or wanted == content:
                return
            with suppress(PreconditionFailed):
                self._put(wanted, stamp)
                return
        raise StateError("The lock of this pair changes too fast to be taken: other runs are starting. Try again.")

    def _put(self, content: bytes, stamp: Optional[str]) -> None:
        if content:
            self._file.put(content, stamp)
        elif stamp is not None:
            self._file.delete(stamp)

    def read(self) -> bytes:
        """Return the present bytes."""
        found = self._file.fetch()
        return b"" if found is None else found[0]


class ReadableCell(LockCell, Protocol):
    """A cell that can also be looked at alone."""

    def read(self) -> bytes:
        """Return the present bytes; empty means free."""


class PairLock:
    """The lock of one pair. *clock* gives seconds since the epoch, *wait* sleeps; both are arguments for tests."""

    def __init__(
        self,
        cell: ReadableCell,
        shown: str,
        *,
        clock: Callable[[], float] = time.time,
        wait: Callable[[float], Any] = time.sleep,
    ) -> None:
        self._cell = cell
        self._shown = shown
        self._clock = clock
        self._wait = wait
        self._mine: Optional[Holder] = None
        self._lost = False
        self._ended = threading.Event()
        self._renewer: Optional[threading.Thread] = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._mine is not None and not self._lost

    def holder(self) -> Optional[Holder]:
        """Return who holds the lock and may be alive, or None."""
        holder = _holder_from(self._cell.read())
        return holder if holder is not None and holder.alive(self._clock()) else None

    def acquire(self, timeout: float = 0) -> None:
        """Take the lock, waiting up to *timeout* seconds; raises StateError naming the living holder."""
        deadline = self._clock() + timeout
        while True:
            try:
                return self._take()
            except StateError:
                if self._clock() >= deadline:
                    raise
            self._wait(min(_POLL, timeout))

    def _take(self) -> None:
        now = self._clock()
        pid = os.getpid()
        mine = Holder(
            host=os.uname().nodename,
            pid=pid,
            process_started=_process_started(pid) or "",
            namespace=_namespace(),
            since=now,
            heartbeat=now,
            token=os.urandom(16).hex(),
        )

        def take(content: bytes) -> bytes:
            holder = _holder_from(content)
            if holder is not None and holder.alive(now):
                raise self._refusal(holder)
            return _bytes(mine)

        _HELD.add(mine.token)
        try:
            self._cell.update(take)
        except BaseException:
            _HELD.discard(mine.token)
            raise
        self._mine, self._lost = mine, False
        self._start_renewing()

    def _refusal(self, holder: Holder) -> StateError:
        return StateError(
            f"Another run on this pair is going on: {holder} (lock: {self._shown}). Wait until it ends or stop it; "
            "if it cannot be running any more, `syncengine state unlock` removes the lock."
        )

    def _start_renewing(self) -> None:
        self._ended = threading.Event()
        self._renewer = threading.Thread(target=self._renew, args=(self._ended,), name="state-lock", daemon=True)
        self._renewer.start()

    def _renew(self, ended: threading.Event) -> None:
        while not ended.wait(HEARTBEAT):
            # A failed renewal is tried again; when others may take the lock over is decided by the heartbeat alone.
            with suppress(SyncError, OSError):
                self.beat()

    def beat(self) -> None:
        """Renew the heartbeat, and notice where the lock was taken over."""
        mine = self._mine
        if mine is None:
            return
        renewed = evolve(mine, heartbeat=self._clock())

        def renew(content: bytes) -> Optional[bytes]:
            holder = _holder_from(content)
            self._lost = holder is None or holder.token != mine.token
            return None if self._lost else _bytes(renewed)

        self._cell.update(renew)

    def ensure_held(self) -> None:
        """Raise StateError unless this run still holds the lock; a look at the cell, not at a memory of it."""
        if self._mine is not None and not self._lost:
            holder = _holder_from(self._cell.read())
            self._lost = holder is None or holder.token != self._mine.token
        if self._mine is None or self._lost:
            raise StateError(
                f"This run lost the lock of its pair ({self._shown}): it was silent for more than {EXPIRY:.0f} s and "
                "another run took over, or somebody removed the lock. What it did since is not recorded; run it again."
            )

    def release(self) -> None:
        """Let the lock go; one that was taken over is left to its new holder.

        The work is done and recorded, so a cell that cannot be reached is no error: the lock of an ended run is dead.
        """
        mine, self._mine = self._mine, None
        self._ended.set()
        if mine is None:
            return
        _HELD.discard(mine.token)

        def free(content: bytes) -> Optional[bytes]:
            holder = _holder_from(content)
            return b"" if holder is not None and holder.token == mine.token else None

        with suppress(SyncError):
            self._cell.update(free)

    def unlock(self) -> Optional[Holder]:
        """Remove the lock of a holder that cannot be asked and return it; one that runs here is refused."""
        removed: Dict[str, Holder] = {}

        def free(content: bytes) -> bytes:
            holder = _holder_from(content)
            if holder is not None:
                if holder.namespace == _namespace() and holder.alive(self._clock()):
                    raise self._refusal(holder)
                removed["holder"] = holder
            return b""

        self._cell.update(free)
        return removed.get("holder")


def _bytes(holder: Holder) -> bytes:
    return json.dumps(asdict(holder)).encode("ascii")
