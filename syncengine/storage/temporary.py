"""Names of temporary files, and how to tell one that a killed run left behind from one that is being written.

A name says who made it: the prefix every client jumps over, the process, the machine (hashed), and a random part.
Every client that writes under a temporary name takes it from here, so that any other client can judge it.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from hashlib import sha256
from typing import Iterator, Optional, Set

from ..core.entry import Extent, Problem, ProblemKind
from ..core.paths import RESERVED_PREFIX, TEMPORARY_PREFIX, TRASH_FOLDER, shown

ABANDONED_AFTER_SECONDS = 24 * 3600.0

_NAME = re.compile(re.escape(TEMPORARY_PREFIX) + r"(?P<process>\d+)-(?P<host>[0-9a-f]{8})-[0-9a-f]+$")
# Adding to and discarding from a set are atomic under the interpreter lock.
_in_use: Set[str] = set()


def host_mark() -> str:
    """Return eight hex digits that stand for this machine without naming it."""
    return sha256(os.uname().nodename.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def temporary_name() -> str:
    """Return a new name for a temporary file and remember that it is in use; see ``release``."""
    name = f"{TEMPORARY_PREFIX}{os.getpid()}-{host_mark()}-{os.urandom(8).hex()}"
    _in_use.add(name)
    return name


def release(name: str) -> None:
    """Forget that *name* is in use: its file was renamed or removed, or removing it failed."""
    _in_use.discard(name)


@contextmanager
def temporary() -> Iterator[str]:
    """Give a temporary name that counts as in use inside the block."""
    name = temporary_name()
    try:
        yield name
    finally:
        release(name)


def is_temporary(name: str) -> bool:
    """Say whether *name*, a last path component, is a temporary file's."""
    return name.startswith(TEMPORARY_PREFIX)


def reserved_problem(path: str, *, directory: bool) -> Optional[Problem]:
    """Return what a listing says of a name that begins like ours; None for the trash of its own root.

    What is neither a trash nor a temporary file was named so by a user, and is not jumped over without a word.
    """
    name = path.rpartition("/")[2]
    if directory and name == TRASH_FOLDER:
        return trash_of_another_root(path) if "/" in path else None
    if not directory and is_temporary(name):
        message = "a temporary file that is being written, or that a killed run left behind"
        return Problem(ProblemKind.LEFTOVER, path, message, extent=Extent.NOTHING)
    message = f"{shown(path)}: a name that begins with {RESERVED_PREFIX} is not synced; rename it, or ignore it"
    return Problem(ProblemKind.BAD_NAME, path, message, extent=Extent.SUBTREE if directory else Extent.PATH)


def trash_of_another_root(path: str) -> Problem:
    """Return what a listing says of a trash in a directory below its root: that directory is not empty."""
    return Problem(ProblemKind.LEFTOVER, path, "the trash of another sync, whose root is the directory that holds it")


def is_abandoned(name: str, age_seconds: Optional[float] = None) -> bool:
    """Say whether nobody will ever finish writing the temporary file *name*.

    *age_seconds* is how long ago its content last changed, None where that is unknown. A file of a process of this
    machine is judged by whether that process lives; any other only by age. A reused process id makes a dead
    writer look alive for at most ``ABANDONED_AFTER_SECONDS``.
    """
    if name in _in_use:
        return False
    if age_seconds is not None and age_seconds > ABANDONED_AFTER_SECONDS:
        return True
    match = _NAME.match(name)
    if match is None or match.group("host") != host_mark():
        return False
    process = int(match.group("process"))
    return process == os.getpid() or not _is_alive(process)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
