"""A listing that a second process reads ahead, so that two processors list both sides of a large sync at once.

Threads cannot do this: a look at a file takes the system about as long as Python needs to pass the interpreter lock on.
The second process is a fork that walks, writes what it finds into a pipe, and ends; it decides nothing. A fork is sound
only in a process without threads, whoever made them, and the system can be asked for those on Linux alone: everywhere
else the listing is read right here, with the same result.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any, BinaryIO, Callable, Collection, Generator, Iterator, List, Optional, Tuple

from ..core.entry import Entry, Kind, Problem
from ..core.packs import Packed, Run
from ..core.paths import is_within
from ..errors import StorageError, Unavailable
from .local_facts import NO_STAMP
from .protocol import NarrowPrune, Prune

Read = Callable[[Optional[Prune]], Iterator[Packed]]
"""Begins the listing."""

_Message = Tuple[Any, ...]
_RUN, _DIRECTORY, _ITEM, _ENTERED, _FAILED, _END = range(6)
_LENGTH = 8
_BATCH = 4_000
"""How many files go through the pipe together."""

_PIPE_BYTES = 1 << 20
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ, which the standard library names from 3.10 on


def read_ahead(read: Read, prune: Optional[Prune]) -> Iterator[Packed]:
    """Yield what ``read(prune)`` yields, read by a second process where that is sound and of use."""
    if not (can_fork() and (prune is None or (isinstance(prune, NarrowPrune) and not prune.active))):
        return read(prune)
    return _read_by_another(read, prune)


def can_fork() -> bool:
    """Say whether this process has no thread but this one, and a second processor to use."""
    if not sys.platform.startswith("linux"):
        return False
    with suppress(OSError):
        return len(os.listdir("/proc/self/task")) == 1 and len(os.sched_getaffinity(0)) > 1
    return False


def _read_by_another(read: Read, prune: Optional[NarrowPrune]) -> Iterator[Packed]:
    told = _told(read, () if prune is None else prune.wanted)
    try:
        first = next(told)
        if first[0] == _ENTERED and first[2]:
            # The root has rules of its own: rather enter only what they leave than drop the rest afterwards.
            told.close()
            yield from read(prune)
            return
        yield from _delivered(first, told, prune)
    finally:
        told.close()


def _delivered(first: _Message, told: Iterator[_Message], prune: Optional[NarrowPrune]) -> Iterator[Packed]:
    """Yield what a walk with *prune* would deliver, from what one without it has told."""
    message, hidden = first, None
    while message[0] != _END:
        kind, path = message[0], message[1]
        if kind == _FAILED:
            raise message[2]
        if hidden is None or not is_within(path, hidden):
            hidden = None
            if kind == _RUN:
                yield Run(*message[2:])
            elif kind == _ENTERED:
                if path and prune is not None and prune(path):
                    hidden = path
                    yield Entry(path, Kind.DIRECTORY, NO_STAMP)
                elif prune is not None:
                    prune.enter(path, message[2])
            else:
                item = message[2] if kind == _ITEM else Entry(path, Kind.DIRECTORY, NO_STAMP)
                closed = isinstance(item, Problem) and item.position == path + "/"
                # A directory that need not be entered need not be readable either.
                yield Entry(path, Kind.DIRECTORY, NO_STAMP) if closed and prune is not None and prune(path) else item
        message = next(told)


# ------------------------------------------------------------------ the two ends of the pipe


def _told(read: Read, wanted: Collection[str]) -> Generator[_Message, None, None]:
    """Fork, and yield what the other process tells; it is gone when this generator is closed."""
    import marshal
    import pickle

    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiving)
        _tell(read, wanted, sending)
    os.close(sending)
    try:
        with open(receiving, "rb", buffering=_PIPE_BYTES) as pipe:
            while True:
                for message in marshal.loads(_received(pipe)):  # noqa: S302 - from our own fork
                    yield (*message[:2], pickle.loads(message[2])) if message[0] in (_ITEM, _FAILED) else message  # noqa: S301 - likewise
    finally:
        _ended(child)


def _received(pipe: BinaryIO) -> bytes:
    length = int.from_bytes(pipe.read(_LENGTH), "little")
    content = pipe.read(length)
    if not content or len(content) != length:
        raise Unavailable("the process that lists this side ahead was killed; try again", path="")
    return content


def _ended(child: int) -> None:
    from signal import SIGKILL

    with suppress(ProcessLookupError, ChildProcessError):
        os.kill(child, SIGKILL)
        os.waitpid(child, 0)


def _tell(read: Read, wanted: Collection[str], sending: int) -> None:
    """Walk, write what is found, and end this process without running anything else of what was forked."""
    import signal

    try:
        # Ctrl-C reaches both processes; the one that decides ends the other.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with open(sending, "wb", buffering=0) as pipe:
            _Telling(pipe, wanted).run(read)
    finally:
        os._exit(0)


class _Telling:
    """The end of the pipe that walks; also the prune of that walk, which hides nothing."""

    def __init__(self, pipe: BinaryIO, wanted: Collection[str]) -> None:
        self._pipe = pipe
        self._wanted = frozenset(wanted)
        self._batch: List[_Message] = []
        self._files = 0

    def enter(self, directory: str, names: Collection[str]) -> None:
        """Tell that *directory* was entered, and which of the wanted names it holds."""
        self._add((_ENTERED, directory, sorted(self._wanted.intersection(names))))

    def __call__(self, directory: str) -> bool:
        """Say that every directory is entered."""
        return False

    def run(self, read: Read) -> None:
        """Tell everything, also how it ended."""
        import fcntl
        import pickle

        with suppress(OSError):
            fcntl.fcntl(self._pipe.fileno(), _SET_PIPE_SIZE, _PIPE_BYTES)
        try:
            for item in read(self):
                self._add(_message(item))
            self._add((_END,))
        except StorageError as error:
            self._add((_FAILED, error.path, pickle.dumps(error)))
        self._send()

    def _add(self, message: _Message) -> None:
        self._batch.append(message)
        self._files += len(message[3]) if message[0] == _RUN else 1
        if self._files >= _BATCH:
            self._send()

    def _send(self) -> None:
        import marshal

        content = marshal.dumps(self._batch)
        left = memoryview(len(content).to_bytes(_LENGTH, "little") + content)
        while left:
            left = left[self._pipe.write(left) :]
        self._batch, self._files = [], 0


def _message(item: Packed) -> _Message:
    import pickle

    if isinstance(item, Run):
        return (_RUN, item.position(0), item.inside, item.names, item.modes, item.stamps)
    assert isinstance(item, (Entry, Problem))
    if isinstance(item, Entry) and item.kind is Kind.DIRECTORY:
        return (_DIRECTORY, item.path)
    return (_ITEM, item.path, pickle.dumps(item))
