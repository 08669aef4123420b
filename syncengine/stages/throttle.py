"""Limits on bytes and calls for each second, shared by all workers of a run."""

from __future__ import annotations

import threading
import time
from typing import Callable, Optional


class Rate:
    """Lets through so many units for each second; whoever takes more waits his turn.

    A unit may be larger than the rate: the wait is simply longer, so that large blocks do not starve.
    """

    def __init__(
        self,
        per_second: Optional[float],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._per_second = per_second
        self._clock = clock
        self._sleep = sleep
        self._free_at = clock()
        self._lock = threading.Lock()

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
