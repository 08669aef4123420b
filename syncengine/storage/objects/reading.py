"""One version of one object, opened for reading: small ones by one request, large ones by ranges ahead of the reader.

All ranges are of the version the first request answered with. How many are held at once is limited for the whole
client, not for each object, so that many readers together need no more memory than one.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Deque, Iterable, Optional, Tuple, TypeVar

from attrs import define, field

from ...core.entry import Stamp
from ...core.paths import shown
from ...errors import PreconditionFailed, StorageError, Unavailable
from .service import Headers, ObjectInfo

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from .pouring import Take

FIRST_BYTES = 4 << 20
"""Up to this size an object comes with the request that opens it."""
RANGE_BYTES = 8 << 20
_RANGES_AHEAD = 5
_POURED_AT_ONCE = 4
_INLINE_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 20
_ATTEMPTS = 4
_PAUSE_SECONDS = 0.2

Fetch = Callable[[int, int], bytes]
Pour = Callable[[int, int, "Take"], bool]
_Fetched = TypeVar("_Fetched")


@define(eq=False)
class RangePool:
    """The threads that fetch ranges for one client, and how many ranges it may hold."""

    _slots: threading.BoundedSemaphore = field(factory=lambda: threading.BoundedSemaphore(_RANGES_AHEAD), init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _threads: Optional[ThreadPoolExecutor] = field(default=None, init=False)

    def submit(self, fetch: Callable[[int, int], _Fetched], start: int, end: int) -> Optional[Future[_Fetched]]:
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

    def __init__(self, path: str, info: ObjectInfo, first: bytes, *, fetch: Fetch, pour: Pour, pool: RangePool) -> None:
        self.size = info.stamp.size
        self.headers = info.headers or Headers()
        self.mtime_ns = mtime_of(self.headers)
        self._path = path
        self._stamp = info.stamp
        self._piece = memoryview(first)
        self._fetch = fetch
        self._pour = pour
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

    def pour(self, take: Take, moved: Callable[[int], None]) -> bool:
        """Hand everything to *take*, by offsets, from several threads and in any order; say whether that was done.

        *moved* is told in this thread, and in the order of the content, how many bytes more are all there. It is not
        done where there is too little for several threads, or something was read already. When this returns or raises,
        nobody calls *take* any more.
        """
        if self._count or self.size is None or self.size - len(self._piece) <= RANGE_BYTES:
            return False
        poured: Deque[Tuple[int, Future[None]]] = deque()
        fetch = partial(self._poured, take)

        def done(count: int) -> None:
            self._count += count
            moved(count)

        take(0, self._piece)
        done(len(self._piece))
        try:
            while self._next < self.size or poured:
                start, stop = self._next, min(self._next + RANGE_BYTES, self.size)
                may_begin = start < stop and len(poured) < _POURED_AT_ONCE
                begun = self._pool.submit(fetch, start, stop) if may_begin else None
                if begun is not None:
                    poured.append((stop - start, begun))
                    self._next = stop
                elif poured:
                    count, landed = poured[0]
                    landed.result()
                    # Only now: whoever interrupts the waiting has to wait for its end as well.
                    poured.popleft()
                    self._pool.release()
                    done(count)
                else:
                    # Other files hold all the places; nobody waits for them, so nobody can wait for ever.
                    fetch(start, stop)
                    self._next = stop
                    done(stop - start)
        finally:
            self._ended(begun for _, begun in poured)
        return True

    def _poured(self, take: Take, start: int, stop: int) -> None:
        if not self._pour(start, stop, take):
            take(start, self._persistently(start, stop))

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
        self._ended(self._waiting)
        self._waiting.clear()

    def _ended(self, begun: Iterable[Future[Any]]) -> None:
        for each in begun:
            if not each.cancel():
                each.exception()
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
