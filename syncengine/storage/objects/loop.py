"""Coroutines of an asynchronous filesystem, run on its own loop from any other thread, and ended when they must end.

fsspec's own bridge lets a call go on when its caller is interrupted; here an interrupt cancels what was begun and
waits until it has really ended, so that nothing is sent after a caller has cleaned up.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, Awaitable, Callable, Generic, List, Set, TypeVar

from ...errors import Unsupported

_Result = TypeVar("_Result")
Call = Callable[[], Awaitable[_Result]]


class Loop:
    """The event loop of one filesystem, seen from the threads that use it."""

    def __init__(self, filesystem: Any) -> None:
        self._filesystem = filesystem

    def run(self, call: Call[_Result]) -> _Result:
        """Return what the coroutine of *call* returns; an interrupt of the caller cancels it and waits for its end."""
        flights: Flights[_Result] = self.flights(1)
        with flights:
            flights.launch(call)
            return flights.land()[0]

    def flights(self, limit: int) -> Flights[Any]:
        """Return a place for up to *limit* coroutines that run at once."""
        return Flights(self._running(), limit)

    def _running(self) -> asyncio.AbstractEventLoop:
        if getattr(self._filesystem, "asynchronous", False):
            raise Unsupported("an instance made with asynchronous=True has no loop of its own; give one without it")
        loop: asyncio.AbstractEventLoop = self._filesystem.loop
        try:
            inside = asyncio.get_running_loop() is loop
        except RuntimeError:
            return loop
        if inside:
            raise Unsupported("a storage cannot be called from within the loop of its filesystem")
        return loop


class Flights(Generic[_Result]):
    """Coroutines on their way at once, never more than *limit*; leaving the block early cancels the rest.

    The first failure is raised by the next call here. After the block nothing runs any more.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        self._loop = loop
        self._limit = limit
        self._futures: List[Future[_Result]] = []
        self._flying: Set[Future[_Result]] = set()
        self._tasks: Set[asyncio.Task[Any]] = set()
        self._stopped = False

    def __enter__(self) -> Flights[_Result]:
        return self

    def __exit__(self, *exception: object) -> None:
        if not all(future.done() for future in self._futures):
            asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()

    def launch(self, call: Call[_Result]) -> None:
        """Begin one more, after one has landed where there is no room."""
        while len(self._flying) >= self._limit:
            self._wait_for_one()
        future = asyncio.run_coroutine_threadsafe(self._tracked(call), self._loop)
        self._futures.append(future)
        self._flying.add(future)

    def land(self) -> List[_Result]:
        """Wait for all and return their results in the order of their beginning."""
        while self._flying:
            self._wait_for_one()
        return [future.result() for future in self._futures]

    def _wait_for_one(self) -> None:
        landed, self._flying = wait(self._flying, return_when=FIRST_COMPLETED)
        for future in landed:
            future.result()

    async def _tracked(self, call: Call[_Result]) -> _Result:
        if self._stopped:
            raise asyncio.CancelledError
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            return await call()
        finally:
            self._tasks.discard(task)

    async def _stop(self) -> None:
        self._stopped = True
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
