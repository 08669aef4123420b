"""The event loop of this process for SFTP, in a thread of its own, and how other threads have it do something.

An errand is a coroutine and the thread that waits for it. asyncio's own way between threads keeps a second future
with a condition for each, which costs a small file more than a request does.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any, Coroutine, Dict, Optional

_loop_lock = threading.Lock()
_loops: Dict[int, asyncio.AbstractEventLoop] = {}


def background_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop of this process, which runs in a thread of its own."""
    with _loop_lock:
        # A thread does not survive a fork, so a child needs a loop of its own.
        loop = _loops.get(os.getpid())
        if loop is None:
            loop = _loops[os.getpid()] = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="syncengine-sftp", daemon=True).start()
        return loop


class Errand:
    """A coroutine that runs on the loop for one other thread."""

    __slots__ = ("_loop", "_running", "_task", "_work")

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any]) -> None:
        self._loop = loop
        self._work = work
        self._task: Optional[asyncio.Task[Any]] = None
        self._running = threading.Lock()
        self._running.acquire()
        loop.call_soon_threadsafe(self._start)

    def _start(self) -> None:
        self._task = self._loop.create_task(self._work)
        self._task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            task.exception()  # nobody may be waiting for it any more
        self._running.release()

    def result(self) -> Any:
        """Wait and return what the coroutine returns; an interrupt here cancels it there."""
        try:
            self._running.acquire()
        except BaseException:
            self.cancel()
            raise
        self._running.release()
        assert self._task is not None
        if self._task.cancelled():
            raise ConnectionAbortedError("the connection was closed while it was in use")
        return self._task.result()

    def cancel(self) -> None:
        """Have it stopped where it is; whether that comes in time, nobody waits for."""
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
