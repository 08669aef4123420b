"""The short way for a small new file between two places of this machine: read once, written once, named at last.

A first copy of a large tree does this for each file, so it holds no value and makes no call that the general way
(``local_reading`` and ``local_writing``) could do without. Whatever is out of the ordinary is left to that way, which
says what it is: until the last call nothing is visible, and a file without a name is gone once it is closed.
"""

from __future__ import annotations

import os
from stat import S_IMODE, S_ISREG
from typing import Optional, Tuple

from ..core.entry import Stamp
from . import local_writing
from .local_facts import stamp_of, version_of

SMALL_BYTES = 128 * 1024
"""Beyond this the kernel copies faster than a program that reads and writes."""

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
_WRITE = getattr(os, "O_TMPFILE", 0) | os.O_WRONLY | os.O_CLOEXEC


def copied_small(
    origin: str,
    directory: str,
    target: str,
    *,
    expect: Stamp,
    mtime_ns: Optional[int],
    mode: Optional[int],
) -> Optional[Tuple[Stamp, Stamp]]:
    """Copy the version *expect* of *origin* to the free name *target* in *directory*; return what was read and written.

    None means that nothing was done and the general way has to be taken.
    """
    if not local_writing.CAN_BE_NAMELESS:
        return None
    descriptor = draft = -1
    try:
        descriptor = os.open(origin, _READ)
        found = os.fstat(descriptor)
        size = found.st_size
        if not S_ISREG(found.st_mode) or size > SMALL_BYTES or not _is_version(expect, found):
            return None
        data = os.read(descriptor, size + 1)
        # Nobody else can open what has no name, so it may have its permissions from the start.
        draft = os.open(directory, _WRITE, 0o666 if mode is None else mode)
        if len(data) != size or (size and os.write(draft, data) != size):
            return None
        if mtime_ns is not None:
            os.utime(draft, ns=(mtime_ns, mtime_ns))
        made = os.fstat(draft)
        if mode is not None and S_IMODE(made.st_mode) != mode:
            os.fchmod(draft, mode)
        if version_of(os.lstat(origin)) != version_of(found):
            return None
        # The descriptor of a directory is not looked at for an absolute path, but it makes the call follow links.
        os.link(f"/proc/self/fd/{draft}", target, src_dir_fd=draft, follow_symlinks=True)
        return expect, stamp_of(made)
    except OSError:
        return None
    finally:
        if draft >= 0:
            os.close(draft)
        if descriptor >= 0:
            os.close(descriptor)


def _is_version(stamp: Stamp, found: os.stat_result) -> bool:
    """Say whether *stamp* is exactly what ``stamp_of`` makes of a look."""
    return (
        stamp.size == found.st_size
        and stamp.mtime_ns == found.st_mtime_ns
        and stamp.file_id == str(found.st_ino)
        and stamp.etag is None
        and stamp.version is None
        and not stamp.digests
    )
