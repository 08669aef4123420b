"""One version of one object, opened for reading: small ones by one request, large ones by ranges ahead of the reader.

All ranges are of the version the first request answered with. How many are held at once is limited for the whole
client, not for each object, so that many readers together need no more memory than one.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Callable, Deque, Optional

from attrs import define, field

from ...core.entry import Stamp
from ...core.paths import shown
from ...errors import PreconditionFailed, StorageError, Unavailable
from .service import Headers, ObjectInfo

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

FIRST_BYTES = 4 << 20
"""Up to this size an object comes with the request that opens it."""
RANGE_BYTES = 8 << 20
_RANGES_AHEAD = 5
_INLINE_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 20
_ATTEMPTS = 4
_PAUSE_SECONDS = 0.2

Fetch = Callable[[int, int], bytes]


@define(eq=False)
class RangePool:
    """The threads that fetch ranges for one client, and how many ranges it may hold."""

    _slots: threading.BoundedSemaphore = field(factory=lambda: threading.BoundedSemaphore(_RANGES_AHEAD), init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _threads: Optional[ThreadPoolExecutor] = field(default=None, init=False)

    def submit(self, fetch: Fetch, start: int, end: int) -> Optional[Future[bytes]]:
        """Begin to fetch a range, or return None where as many as may be are held already."""
        from concurrent.futures import ThreadPoolExecutor

        if not self._slots.acquire(blocking=False):
            return None
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(_RANGES_AHEAD, thread_name_prefix="syncengine-range")
        return self._threads.submit(fetch, start, end)

    def release(self) -> None:
        """Let go of one range that was begun."""
        self._slots.release()

    def close(self) -> None:
        """Wait for what is on its way and end the threads."""
        if self._threads is not None:
            self._threads.shutdown(wait=True)


class ObjectSource:
    """One version of one object, opened for reading inside a ``with`` block.

    ``mtime_ns`` is the modification time that was kept with the object, None where there is none; ``headers`` are what
    travels with it.
    """

    local_path: Optional[str] = None

    def __init__(self, path: str, info: ObjectInfo, first: bytes, *, fetch: Fetch, pool: RangePool) -> None:
        self.size = info.stamp.size
        self.headers = info.headers or Headers()
        self.mtime_ns = mtime_of(self.headers)
        self._path = path
        self._stamp = info.stamp
        self._piece = memoryview(first)
        self._fetch = fetch
        self._pool = pool
        self._count = 0
        self._next = len(first)
        """Where the first range begins that nobody has begun to fetch."""
        self._waiting: Deque[Future[bytes]] = deque()

    def read(self, size: int = -1) -> bytes:
        """Return up to *size* bytes, all of them if negative, and ``b""`` at the end."""
        if size < 0:
            return b"".join(iter(lambda: self.read(_CHUNK_BYTES), b""))
        if not self._piece and (self._waiting or self._next < (self.size or 0)):
            self._piece = memoryview(self._following())
        data = bytes(self._piece[:size])
        self._piece = self._piece[size:]
        self._count += len(data)
        return data

    def _following(self) -> bytes:
        end = self.size or 0
        while self._next < end and len(self._waiting) < _RANGES_AHEAD:
            stop = min(self._next + RANGE_BYTES, end)
            begun = self._pool.submit(self._persistently, self._next, stop)
            if begun is None:
                break
            self._waiting.append(begun)
            self._next = stop
        if not self._waiting:
            start, self._next = self._next, min(self._next + _INLINE_BYTES, end)
            return self._persistently(start, self._next)
        ready = self._waiting.popleft()
        try:
            return ready.result()
        finally:
            self._pool.release()

    def _persistently(self, start: int, end: int) -> bytes:
        """Fetch one range; a failure that may pass costs only this range once more, not what came before."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                data = self._fetch(start, end)
                if len(data) == end - start:
                    return data
                raise Unavailable(f"{shown(self._path)}: {len(data)} of {end - start} bytes came", path=self._path)
            except StorageError as error:
                if not error.retryable or attempt == _ATTEMPTS:
                    raise
                time.sleep(_PAUSE_SECONDS * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def verify(self) -> Stamp:
        """Return the stamp of what was read; raises PreconditionFailed where it is not the whole of one version."""
        if self.size is not None and self._count != self.size:
            message = f"{shown(self._path)}: {self._count} of {self.size} bytes could be read"
            raise PreconditionFailed(message, path=self._path)
        # Every request named the version, so what was read whole is whole.
        return self._stamp

    def close(self) -> None:
        """Stop what was begun ahead of the reader."""
        while self._waiting:
            begun = self._waiting.popleft()
            if not begun.cancel():
                begun.exception()
            self._pool.release()


def mtime_text(mtime_ns: int) -> str:
    """Return a time as rclone keeps it in the metadata ``mtime``: seconds, a point, up to nine digits.

    >>> mtime_text(1_600_000_000_500_000_000)
    '1600000000.5'
    """
    seconds, nanoseconds = divmod(mtime_ns, 1_000_000_000)
    if mtime_ns < 0 and nanoseconds:
        return "-" + mtime_text(-mtime_ns)
    return f"{seconds}.{nanoseconds:09d}".rstrip("0").rstrip(".")


def mtime_of(headers: Headers) -> Optional[int]:
    """Return the modification time kept in the metadata ``mtime``, None where there is none that can be read.

    >>> mtime_of(Headers(metadata={"mtime": "1600000000.5"}))
    1600000000500000000
    """
    text = next((value for name, value in headers.metadata.items() if name.lower() == "mtime"), "")
    whole, _, fraction = text.strip().partition(".")
    sign = -1 if whole.startswith("-") else 1
    digits = whole.lstrip("-")
    if not digits.isdecimal() or (fraction and not fraction.isdecimal()):
        return None
    return sign * (int(digits) * 1_000_000_000 + int((fraction or "0")[:9].ljust(9, "0")))
