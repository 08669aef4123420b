"""A second process that copies or writes small files while this one does what is not a matter of the disk.

Threads cannot do this: a call of the system for a small file takes as long as Python needs to pass the interpreter
lock on. A second process is a bare interpreter that runs ``local_small`` and nothing else; it decides nothing, and
whatever it has not answered is looked at and done by who asked.
"""

from __future__ import annotations

import marshal
import os
import sys
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Deque, List, Optional, Tuple

from . import local_small, local_writing
from .local_small import received, send

if TYPE_CHECKING:
    from .local_small import Look, Request

_PIPE_BYTES = 1 << 20
_SET_PIPE_SIZE, _GET_PIPE_SIZE = 1031, 1032  # F_SETPIPE_SZ, which the standard library names from 3.10 on
_ANSWER_BYTES = 64
"""More than any answer takes in a pipe: a size, a time and the digits of an inode."""


def is_of_use() -> bool:
    """Say whether a second process can be started, and has a processor of its own."""
    if not sys.platform.startswith("linux") or not local_writing.CAN_BE_NAMELESS or getattr(sys, "frozen", False):
        return False
    # Where Python is part of another program, that one would be started.
    is_python = os.path.basename(sys.executable or "").startswith("python")
    return is_python and os.path.isfile(local_small.__file__) and len(os.sched_getaffinity(0)) > 1


class SecondProcess:
    """Does what it is asked for, in that order, until ``end``.

    Any number of questions may be under way as long as all their answers together are no more than ``room``: beyond
    that each process could wait for the other to read.
    """

    def __init__(self) -> None:
        self._process: Optional[int] = None
        asked, self._asking = os.pipe()
        answered, answering = os.pipe()
        self._answered = open(answered, "rb")  # noqa: SIM115 - closed by ``end``
        self._counts: Deque[int] = deque()
        try:
            self._process = _started(asked, answering)
            _widen(self._asking)
            self.room = _widen(answered) // _ANSWER_BYTES
        except BaseException:
            self.end()
            raise
        finally:
            os.close(asked)
            os.close(answering)

    def end(self) -> None:
        """End the process at once, if it is there: it is idle, or nobody waits for what it does."""
        from signal import SIGKILL

        if self._answered.closed:
            return
        if self._process is not None:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(self._process, SIGKILL)
                os.waitpid(self._process, 0)
            # Only now: whoever was interrupted here ends it once more.
            self._process = None
        os.close(self._asking)
        self._answered.close()

    def ask(self, requests: List[Request], count: int) -> None:
        """Hand *requests* over; *count* comes back with their answers. A dead process gives none."""
        self._counts.append(count)
        with suppress(BrokenPipeError):
            send(self._asking, marshal.dumps(requests))

    def has_answered(self) -> bool:
        """Say whether ``answers`` surely has not to wait."""
        import select

        poll = select.poll()
        poll.register(self._answered, select.POLLIN)
        return bool(poll.poll(0))

    def answers(self) -> Optional[Tuple[List[Optional[Look]], float, int]]:
        """Return the answers to the oldest question that has none yet, the seconds that each took, and its count.

        None where the process is dead.
        """
        message = received(self._answered)
        if message is None:
            return None
        looks, seconds = marshal.loads(message)  # noqa: S302 - from our own process
        return looks, seconds, self._counts.popleft()


def _started(asked: int, answering: int) -> int:
    from signal import SIGINT

    # Ctrl-C reaches both processes; the one that decides ends the other.
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", local_small.__file__, str(os.getpid())],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, asked, 0),
            (os.POSIX_SPAWN_DUP2, answering, 1),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
        setsigmask=[SIGINT],
    )


def _widen(pipe: int) -> int:
    """Make a pipe as wide as the system allows and return how many bytes that is."""
    import fcntl

    with suppress(OSError):
        fcntl.fcntl(pipe, _SET_PIPE_SIZE, _PIPE_BYTES)
    return fcntl.fcntl(pipe, _GET_PIPE_SIZE)
