"""Small new files of this machine: read once where they are copied, written once, named at last.

A first copy of a large tree does this for each file, so it makes no call that the general way (``local_reading`` and
``local_writing``) could do without. Until the last call nothing is visible, and a file without a name is gone once it
is closed, whoever is killed at which moment.

This file is also the whole program of the second process that ``local_second`` starts: what it needs is loaded in any
interpreter, so that it starts in a few milliseconds and does exactly what is done here.
"""

from __future__ import annotations

import marshal
import os
import sys
import time
from stat import S_IMODE, S_ISREG

TYPE_CHECKING = False  # the module that defines it takes longer to load than all of this
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Callable, List, Optional, Sequence, Tuple

    Look = Tuple[int, int, str]
    """Size, modification time and inode of a version, the inode as a stamp has it."""
    Folder = Tuple[bytes, int, int]
    """Where files go, with the device and the inode that were found there. Names are bytes, as the system has them:
    another process may spell them otherwise."""
    Folders = Tuple[bytes, bytes, int, int]
    """Where files come from, and a Folder."""
    File = Tuple[bytes, bytes, Look, Optional[int], Optional[int]]
    """The arguments of ``_copied``: old name, new name, the version, its time and permissions to be."""
    Content = Tuple[bytes, bytes, Optional[int], Optional[int]]
    """The arguments of ``_written``: name, content, its time and permissions to be."""
    Request = Tuple[str, Sequence[Any], List[Any]]
    """COPY and the arguments of ``copied``, or WRITE and those of ``written``."""

COPY, WRITE = "copy", "write"
"""What the second process can be asked to do."""

SMALL_BYTES = 128 * 1024
"""Beyond this the kernel copies faster than a program that reads and writes."""

LENGTH = 8
"""Bytes before each message that say how long it is."""

_FAILED = (OSError, ValueError, OverflowError)
"""What the system refuses, and names and times that it cannot have."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
_WRITE = getattr(os, "O_TMPFILE", 0) | os.O_WRONLY | os.O_CLOEXEC


def copied(folders: Folders, files: Sequence[File]) -> list[Optional[Look]]:
    """Copy files of one folder to free names in another; return what was written for each.

    The folder they go to must still be what was found there, no link and no other. It is held open, as is the other:
    the system finds the way to them once, and nobody can put a link there afterwards. None means that nothing was done
    for a file and the general way has to be taken.
    """
    origin, target, device, inode = folders
    into = away = -1
    try:
        into = _opened(target, device, inode)
        away = os.open(origin, _FOLDER)
        return [_copied(away, into, *file) for file in files]
    except OSError:
        return [None] * len(files)
    finally:
        _close(into)
        _close(away)


def written(folder: Folder, files: Sequence[Content]) -> list[Optional[Look]]:
    """Write files to free names in *folder*; return what was written for each, None as ``copied`` does."""
    into = -1
    try:
        into = _opened(*folder)
        return [_written(into, *file) for file in files]
    except OSError:
        return [None] * len(files)
    finally:
        _close(into)


def _opened(place: bytes, device: int, inode: int) -> int:
    """Open a folder that must be the one that was found there."""
    folder = os.open(place, _FOLDER | os.O_NOFOLLOW)
    found = os.fstat(folder)
    if found.st_ino != inode or found.st_dev != device:
        os.close(folder)
        raise NotADirectoryError(place)
    return folder


def _copied(
    away: int, into: int, old: bytes, new: bytes, expect: Look, mtime_ns: Optional[int], mode: Optional[int]
) -> Optional[Look]:
    """Copy the version *expect* of the file *old* to the free name *new*."""
    descriptor = draft = -1
    size = expect[0]
    try:
        descriptor = os.open(old, _READ, dir_fd=away)
        found = os.fstat(descriptor)
        if not S_ISREG(found.st_mode) or (found.st_size, found.st_mtime_ns, str(found.st_ino)) != expect:
            return None
        data = os.read(descriptor, size + 1)
        if len(data) != size:
            return None
        draft = _draft(into, mode)
        made = _filled(draft, data, mtime_ns, mode)
        if _version(os.stat(old, dir_fd=away, follow_symlinks=False)) != _version(found):
            return None
        _name(draft, into, new)
    except _FAILED:
        return None
    else:
        return made
    finally:
        _close(draft)
        _close(descriptor)


def _written(into: int, new: bytes, data: bytes, mtime_ns: Optional[int], mode: Optional[int]) -> Optional[Look]:
    """Write *data* to the free name *new*."""
    draft = -1
    try:
        draft = _draft(into, mode)
        made = _filled(draft, data, mtime_ns, mode)
        _name(draft, into, new)
    except _FAILED:
        return None
    else:
        return made
    finally:
        _close(draft)


def _draft(into: int, mode: Optional[int]) -> int:
    # Nobody else can open what has no name, so it may have its permissions from the start.
    return os.open(".", _WRITE, 0o666 if mode is None else mode, dir_fd=into)


def _filled(draft: int, data: bytes, mtime_ns: Optional[int], mode: Optional[int]) -> Look:
    if data and os.write(draft, data) != len(data):
        raise OSError("the disk took a part only")
    if mtime_ns is not None:
        os.utime(draft, ns=(mtime_ns, mtime_ns))
    made = os.fstat(draft)
    if mode is not None and S_IMODE(made.st_mode) != mode:
        os.fchmod(draft, mode)
    return made.st_size, made.st_mtime_ns, str(made.st_ino)


def _name(draft: int, into: int, new: bytes) -> None:
    # The descriptor of a directory is not looked at for an absolute path, but it makes the call follow links.
    os.link(f"/proc/self/fd/{draft}", new, src_dir_fd=draft, dst_dir_fd=into, follow_symlinks=True)


def _close(descriptor: int) -> None:
    if descriptor < 0:
        return
    try:  # noqa: SIM105 - contextlib is one of the modules that the second process does without
        os.close(descriptor)
    except OSError:
        pass  # a disk that did not take everything tells so again when it is flushed, before the state is told


def _version(found: os.stat_result) -> tuple[int, ...]:
    """Return what ``local_facts.version_of`` returns."""
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev


def received(pipe: BinaryIO) -> Optional[bytes]:
    """Return the next message, None where the other end was closed or died in the middle of one."""
    length = int.from_bytes(pipe.read(LENGTH), "little")
    content = pipe.read(length)
    return content if content and len(content) == length else None


def send(pipe: int, content: bytes) -> None:
    """Write one message."""
    left = memoryview(len(content).to_bytes(LENGTH, "little") + content)
    while left:
        left = left[os.write(pipe, left) :]


_DONE_BY: dict[str, Callable[..., list[Optional[Look]]]] = {COPY: copied, WRITE: written}


def serve(asked: int, answering: int, parent: int) -> None:
    """Perform requests, several to a message, until no more come; none is begun once *parent* is dead."""
    with open(asked, "rb") as pipe:
        while True:
            message = received(pipe)
            if message is None:
                return
            began = time.perf_counter()
            answers: list[Optional[Look]] = []
            for what, folders, files in marshal.loads(message):  # noqa: S302 - from who started this process
                if os.getppid() != parent:
                    return
                answers += _DONE_BY[what](folders, files)
            seconds = (time.perf_counter() - began) / max(1, len(answers))
            send(answering, marshal.dumps((answers, seconds)))


if __name__ == "__main__":
    serve(0, 1, int(sys.argv[1]))
