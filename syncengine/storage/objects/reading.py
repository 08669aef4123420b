"""One version of one object, opened for reading: small ones by one request, large ones by ranges ahead of the reader.

All ranges are of the version the first request answered with. How many are held at once is limited for the whole
client, not for each object, so that many readers together need no more memory than one.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Deque, Optional, Set, TypeVar

from attrs import define, field

from ...core.entry import Stamp
from ...core.paths import shown
from ...errors import PreconditionFailed, StorageError, Unavailable
from .service import Headers, ObjectInfo

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from .pouring import Piece, Take

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


class _GivenUp(Exception):
    """Nobody wants this range any more."""


@define(eq=False)
class RangePool:
    """The threads that fetch ranges for one client, and how many ranges it may hold."""

    _held: Set[Future[Any]] = field(factory=set, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _threads: Optional[ThreadPoolExecutor] = field(default=None, init=False)

    def begin(self, landing: Future[_Fetched], fetch: Callable[[], _Fetched]) -> bool:
        """Begin to fetch a range into *landing*; say no where as many as may be are held already.

        Whoever made *landing* ends it whatever happens here, since an interrupt may come at any moment.
        """
        from concurrent.futures import ThreadPoolExecutor

        with self._lock:
            if len(self._held) >= _RANGES_AHEAD:
                return False
            self._held.add(landing)
            if self._threads is None:
                self._threads = ThreadPoolExecutor(_RANGES_AHEAD, thread_name_prefix="syncengine-range")
            self._threads.submit(_land, landing, fetch)
        return True

    def end(self, landing: Future[Any]) -> None:
        """Wait until no thread fetches this range any more, and let go of it; to do so again changes nothing."""
        if not landing.cancel():
            landing.exception()
        self._held.discard(landing)

    def close(self) -> None:
        """Wait for what is on its way and end the threads."""
        if self._threads is not None:
            self._threads.shutdown(wait=True)


def _land(landing: Future[_Fetched], fetch: Callable[[], _Fetched]) -> None:
    if not landing.set_running_or_notify_cancel():
        return
    try:
        landing.set_result(fetch())
    except BaseException as error:  # noqa: BLE001 - it is raised again, where the range is waited for
        landing.set_exception(error)


class ObjectSource:
    """One version of one object, opened for reading inside a ``with`` block.

    ``mtime_ns`` is the modification time that was kept with the object, None where there is none; ``headers`` are what
    travels with it.
    """

    local_path: Optional[str] = None

    def __init__(
        self, path: str, info: ObjectInfo, first: bytes, *, fetch: Fetch, pour: Optional[Pour], pool: RangePool
    ) -> None:
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
        self._given_up = False
        """Nobody wants any more of what is on its way: no thread begins another request or hands another piece on."""
        self._failure: Optional[BaseException] = None
        """Why it was given up, where that was a range that failed."""

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
            if not self._begun(self._waiting, self._persistently):
                break
        if not self._waiting:
            start, self._next = self._next, min(self._next + _INLINE_BYTES, end)
            return self._persistently(start, self._next)
        return self._landed(self._waiting)

    def _begun(self, begun: Deque[Future[_Fetched]], fetch: Callable[[int, int], _Fetched]) -> bool:
        """Begin with the next range, the last of *begun* then; say no where as many as may be are held already."""
        from concurrent.futures import Future

        landing: Future[_Fetched] = Future()
        # It is told of before it begins: an interrupt in between leaves nothing on its way that nobody ends.
        begun.append(landing)
        stop = self._stop()
        if not self._pool.begin(landing, partial(fetch, self._next, stop)):
            begun.pop()
            return False
        self._next = stop
        return True

    def _stop(self) -> int:
        return min(self._next + RANGE_BYTES, self.size or 0)

    def _landed(self, begun: Deque[Future[_Fetched]]) -> _Fetched:
        try:
            landed = begun[0].result()
        except _GivenUp:
            # Another range failed, which ended this one.
            assert self._failure is not None
            raise self._failure from None
        # Only now: whoever interrupts the waiting has to wait for its end as well.
        self._pool.end(begun[0])
        begun.popleft()
        return landed

    def pour(self, take: Take, moved: Callable[[int], None]) -> bool:
        """Hand everything to *take*, by offsets, from several threads and in any order; say whether that was done.

        *moved* is told in this thread, and in the order of the content, how many bytes more are all there. It is not
        done where the service cannot, there is too little for several threads, or something was read already. When
        this returns or raises, nobody calls *take* any more.
        """
        if self._pour is None or self._count or self.size is None or self.size - len(self._piece) <= RANGE_BYTES:
            return False

        def done(count: int) -> None:
            self._count += count
            moved(count)

        take(0, self._piece)
        done(len(self._piece))
        begun: Deque[Future[int]] = deque()
        try:
            try:
                self._pour_ranges(begun, partial(self._poured, self._pour, take), done)
            finally:
                self._end(begun)
        finally:
            # Once more, which is nothing where all is ended: an interrupt may come right before the first time.
            self._end(begun)
        return True

    def _pour_ranges(
        self, begun: Deque[Future[int]], pour: Callable[[int, int, int], int], done: Callable[[int], None]
    ) -> None:
        end = self.size or 0
        while self._next < end or begun:
            may_begin = self._next < end and len(begun) < _POURED_AT_ONCE
            if may_begin and self._begun(begun, partial(pour, RANGE_BYTES)):
                continue
            if begun:
                done(self._landed(begun))
                continue
            # Other files hold all the places; nobody waits for them, so nobody can wait for ever.
            stop = self._stop()
            count = pour(_INLINE_BYTES, self._next, stop)
            self._next = stop
            done(count)

    def _poured(self, pour: Pour, take: Take, step: int, start: int, stop: int) -> int:
        """Hand one range on and return its length; what does not come plainly comes in pieces of *step* bytes."""

        def wanted(offset: int, piece: Piece) -> None:
            self._check_wanted()
            take(offset, piece)

        try:
            self._check_wanted()
            if not pour(start, stop, wanted):
                for each in range(start, stop, step):
                    wanted(each, self._persistently(each, min(each + step, stop)))
        except BaseException as error:
            if not self._given_up:
                self._failure = error
                self._given_up = True
            raise
        return stop - start

    def _check_wanted(self) -> None:
        if self._given_up:
            raise _GivenUp

    def _persistently(self, start: int, end: int) -> bytes:
        """Fetch one range; a failure that may pass costs only this range once more, not what came before."""
        for attempt in range(1, _ATTEMPTS + 1):
            self._check_wanted()
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
        self._end(self._waiting)

    def _end(self, begun: Deque[Future[_Fetched]]) -> None:
        """Wait until nothing of *begun* is on its way; an interrupt meanwhile is raised after that."""
        try:
            self._given_up = True
            while begun:
                self._pool.end(begun[0])
                begun.popleft()
        except BaseException:
            self._end(begun)
            raise


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
