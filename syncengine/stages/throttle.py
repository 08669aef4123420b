"""The one budget of a run: bytes, calls and simultaneous operations, shared by everything that talks to a storage.

Limits that were asked for are held from the start. What a storage asks for by itself is held from then on: after it
has told one worker to slow down all of them wait as long as it said, and half as many go on; one more comes back
each time that many operations in a row have gone well.
"""

from __future__ import annotations

import threading
import time
from typing import Callable, Iterable, Iterator, Optional, Tuple, TypeVar

from attrs import define, field, frozen

from ..errors import StorageError, Throttled

BACKOFF_SECONDS = 0.2
LONGEST_BACKOFF_SECONDS = 30.0

LONGEST_RETRY_SECONDS = 120.0
"""A storage that wants to be left alone for longer gets its will: the operation fails and the next run tries again."""

PAGE = 1_000
"""Entries of a listing that count as one call, where a storage lists by pages."""

Turn = Tuple[float, bool]
"""When an operation began, and whether it was counted."""


@frozen
class Limits:
    """How hard a run may work; what is None is chosen by the route.

    ``bandwidth`` is in bytes for each second, ``retries`` counts further tries after the first.
    """

    workers: Optional[int] = None
    bandwidth: Optional[int] = None
    requests_per_second: Optional[float] = None
    retries: int = 3


_Item = TypeVar("_Item")


class Rate:
    """Lets through so many units for each second; whoever takes more waits his turn.

    A unit may be larger than the rate: the wait is simply longer, so that large blocks do not starve.
    """

    def __init__(
        self,
        per_second: Optional[float],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._per_second = per_second
        self._clock = clock
        self._sleep = sleep
        self._free_at = clock()
        self._lock = threading.Lock()

    @property
    def limited(self) -> bool:
        """Whether anybody ever waits."""
        return self._per_second is not None

    def take(self, units: float) -> None:
        """Wait until *units* more may pass."""
        if self._per_second is None:
            return
        with self._lock:
            now = self._clock()
            starts = max(now, self._free_at)
            self._free_at = starts + units / self._per_second
        if starts > now:
            self._sleep(starts - now)

    def paced(self, listed: Iterable[_Item], opens_another: Callable[[_Item], bool]) -> Iterator[_Item]:
        """Yield a listing, taking one unit for its start, for each page, and for each item that *opens_another*."""
        self.take(1)
        for number, item in enumerate(listed, 1):
            if number % PAGE == 0 or opens_another(item):
                self.take(1)
            yield item


@define
class Pace:
    """How many operations may run at once, between one and *most*; times are seconds of one clock.

    Halved when a storage asks to slow down, raised by one after as many successes as it allows.
    """

    most: int
    limit: int = field(init=False)
    resume_at: float = field(default=float("-inf"), init=False)
    _changed_at: float = field(default=float("-inf"), init=False)
    _successes: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        """Begin at full pace."""
        self.limit = self.most

    @property
    def slowed(self) -> bool:
        """Whether fewer may run than could."""
        return self.limit < self.most

    def slow_down(self, now: float, began_at: float, retry_after: Optional[float]) -> None:
        """Take note that an operation that began at *began_at* was told to slow down."""
        if retry_after is not None:
            self.resume_at = max(self.resume_at, now + retry_after)
        if began_at < self._changed_at:
            return  # it ran into what the others ran into, and they have slowed down since
        self.limit = max(1, self.limit // 2)
        self._changed_at, self._successes = now, 0

    def went_well(self, began_at: float) -> None:
        """Take note of a success; those that began before the last change say nothing about the present pace."""
        if began_at < self._changed_at:
            return
        self._successes += 1
        if self._successes >= self.limit and self.slowed:
            self.limit += 1
            self._successes = 0

    def must_wait(self, now: float, running: int) -> Optional[float]:
        """Return how many seconds the next operation waits: 0 where it may begin, None until another has ended."""
        if now < self.resume_at:
            return self.resume_at - now
        return 0.0 if running < self.limit else None


class RequestBudget:
    """What all workers of a run share; safe to use from any number of threads.

    While no storage has complained nothing is locked or counted, so operations that were already running when the
    first one did are not among those that it limits. *requests* is the rate that listings and looks have drawn on.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        workers: int = 1,
        cancel: Optional[threading.Event] = None,
        clock: Callable[[], float] = time.monotonic,
        wait: Optional[Callable[[float], object]] = None,
        between: Optional[Callable[[float, float], float]] = None,
        requests: Optional[Rate] = None,
    ) -> None:
        self._cancel = threading.Event() if cancel is None else cancel
        self._wait = self._cancel.wait if wait is None else wait
        self._clock = clock
        self._between = _somewhere_between if between is None else between
        self._retries = limits.retries
        self.bytes = Rate(limits.bandwidth, clock=clock, sleep=self._wait)
        self.requests = requests or Rate(limits.requests_per_second, clock=clock, sleep=self._wait)
        self._pace = Pace(max(1, workers))
        self._ended = threading.Condition()
        self._running = 0
        self._held = False

    @property
    def held(self) -> bool:
        """Whether a storage has asked to slow down, and not everybody is at full pace again."""
        return self._held

    def turn(self) -> Turn:
        """Return a turn of something that did not wait for one and is not counted."""
        return self._clock(), False

    def begin(self) -> Turn:
        """Wait until one more operation may begin; every turn is given back with ``end``."""
        self.requests.take(1)
        if not self._held:
            return self.turn()
        while True:
            with self._ended:
                now = self._clock()
                seconds = self._pace.must_wait(now, self._running)
                if seconds is None and not self._cancel.is_set():
                    self._ended.wait()
                    continue
                if not seconds or self._cancel.is_set():
                    self._running += 1
                    return now, True
            self._wait(seconds)

    def end(self, turn: Turn, error: Optional[StorageError] = None) -> None:
        """Give a turn back and say how the operation ended, as far as its pace goes."""
        if not self._held and not isinstance(error, Throttled):
            return
        began_at, counted = turn
        with self._ended:
            self._running -= counted
            if isinstance(error, Throttled):
                self._pace.slow_down(self._clock(), began_at, error.retry_after)
            elif error is None:
                self._pace.went_well(began_at)
            self._held = self._running > 0 or self._pace.slowed or self._clock() < self._pace.resume_at
            self._ended.notify_all()

    def patience(self, error: StorageError, attempts: int) -> Optional[float]:
        """Return how many seconds to wait before the next of *attempts* tries, None where there is to be none.

        Longer after each try, by a random part of it so that workers do not come back in step, and never shorter than
        the storage asked for.
        """
        asked = getattr(error, "retry_after", None) or 0.0
        if not error.retryable or attempts > self._retries or self._cancel.is_set() or asked > LONGEST_RETRY_SECONDS:
            return None
        longest = min(LONGEST_BACKOFF_SECONDS, BACKOFF_SECONDS * 2**attempts)
        return max(asked, self._between(longest / 2, longest))

    def rest(self, seconds: float) -> None:
        """Wait before another try; a cancelled run does not."""
        self._wait(seconds)


def _somewhere_between(low: float, high: float) -> float:
    import random  # only what failed once pays for it

    return random.uniform(low, high)  # noqa: S311 - spreads retries, guards no secret
