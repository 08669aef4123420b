"""Small files that have arrived from a network, put in their places by another process while this one asks for more.

The calls of the system for a small file take as long as everything else that a download does for it. What was handed
over is answered in that order; nothing is known of it where the other process is killed, and whoever asked looks.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Deque, Generic, Iterator, List, Optional, Tuple, TypeVar, Union

from ..errors import StorageError, Unavailable
from ..storage.local_second import SecondProcess, is_of_use
from ..storage.local_small import WRITE
from .retention import border

if TYPE_CHECKING:
    from ..storage.local_small import Content, Folder, Look, Request
    from ..storage.small_objects import Fetched

BATCH_BYTES = 1 << 18
"""Content in one message; a pipe takes four times as much before whoever fills it has to wait."""

BATCH_SECONDS = 0.1
"""What has arrived waits no longer than this for more, as long as something arrives at all."""

AHEAD = 4
"""Messages on their way, which is also what is held in memory."""

_Key = TypeVar("_Key")

_Waiting = Tuple[_Key, "Fetched", float]
"""Whose file it is, the file, and the seconds that it took to arrive."""

Placed = Tuple[_Key, "Fetched", float, Union["Look", Unavailable, None]]
"""The same, and what was written; None: it was not and is to be written here; an error: nobody knows."""


class PlacingApart(Generic[_Key]):
    """A second process that places files; raises OSError where it cannot be started."""

    def __init__(self) -> None:
        self._second = SecondProcess()
        self._batch: List[_Waiting[_Key]] = []
        self._batch_bytes = 0
        self._batch_began = 0.0
        self._under_way: Deque[List[_Waiting[_Key]]] = deque()
        self._files_under_way = 0
        self.is_gone = False
        """Whether the process was found to be dead; everything is to be written here then."""

    def place(self, key: _Key, fetched: Fetched, seconds: float) -> Iterator[Placed[_Key]]:
        """Have one file placed; yield those that were answered meanwhile."""
        now = time.monotonic()
        if not self._batch:
            self._batch_began = now
        self._batch.append((key, fetched, seconds))
        self._batch_bytes += len(fetched.content)
        is_full = self._batch_bytes >= BATCH_BYTES or len(self._batch) >= self._second.room
        if is_full or now >= self._batch_began + BATCH_SECONDS:
            yield from self._hand_over()

    def rest(self) -> Iterator[Placed[_Key]]:
        """Yield everything that was not answered yet."""
        yield from self._hand_over()
        while self._under_way:
            yield from self._answered()

    def end(self) -> None:
        """End the other process; what it was asked for and did not answer may have been done."""
        self._second.end()

    def _hand_over(self) -> Iterator[Placed[_Key]]:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        requests: List[Request] = []
        asked: List[_Waiting[_Key]] = []
        for each in batch:
            place = None if self.is_gone else _place_of(each[1])
            if place is None:
                yield (*each, None)
            else:
                _add(requests, *place)
                asked.append(each)
        # Beyond its room each process could wait for the other to read.
        while self._under_way and self._files_under_way + len(asked) > self._second.room:
            yield from self._answered()
        if asked:
            self._second.ask(requests, len(asked))
            self._under_way.append(asked)
            self._files_under_way += len(asked)
        while len(self._under_way) > AHEAD or (self._under_way and self._second.has_answered()):
            yield from self._answered()

    def _answered(self) -> Iterator[Placed[_Key]]:
        asked = self._under_way.popleft()
        self._files_under_way -= len(asked)
        answers = self._second.answers()
        if answers is None:
            self.is_gone = True
            gone = Unavailable("the process that writes files was ended")
            yield from ((*each, gone) for each in asked)
            return
        looks, spent, _ = answers
        yield from ((key, fetched, seconds + spent, look) for (key, fetched, seconds), look in zip(asked, looks))


def _place_of(fetched: Fetched) -> Optional[Tuple[Folder, Content]]:
    """Return where a file goes; None where it is to be written here, which says what is wrong."""
    with suppress(StorageError), border(fetched.file.target):
        return fetched.to_place()
    return None


def placing_apart() -> Optional[PlacingApart[_Key]]:
    """Return a second process that places files, None where there can be none."""
    if not is_of_use():
        return None
    try:
        return PlacingApart()
    except OSError:  # there is no room for another process
        return None


def _add(requests: List[Request], folder: Folder, content: Content) -> None:
    """Ask for one more file; those of one folder in turn are one request."""
    if requests and requests[-1][1] == folder:
        requests[-1][2].append(content)
    else:
        requests.append((WRITE, folder, [content]))
