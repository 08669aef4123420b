"""One version of a file of this machine, open for reading."""

from __future__ import annotations

import os
from stat import S_IMODE, S_ISREG
from typing import Optional, Tuple

from ..core.entry import Stamp
from ..core.paths import shown
from ..errors import PreconditionFailed
from .local_facts import NO_STAMP, entry_of, stamp_of, translated, version_of
from .protocol import exactly

CHUNK_BYTES = 1024 * 1024


class LocalSource:
    """One version of a local file, open for reading inside a ``with`` block.

    ``descriptor`` lets a writer of this package have the kernel copy the bytes of this very version.
    """

    __slots__ = (
        *("descriptor", "local_path", "mode", "size", "stamp"),
        *("_expect", "_first", "_flags", "_look", "_path", "_place"),
    )

    def __init__(self, path: str, place: str, *, expect: Optional[Stamp], follow: bool) -> None:
        self.size: Optional[int] = None
        self.local_path: Optional[str] = place
        self.descriptor = -1
        self.stamp = NO_STAMP
        self.mode = 0
        self._path = path
        self._place = place
        self._expect = expect
        self._look = os.stat if follow else os.lstat
        # A named pipe that took the file's place must not make the opening wait for a writer.
        self._flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
        self._first: Tuple[int, ...] = ()

    def __enter__(self) -> LocalSource:
        try:
            self.descriptor = os.open(self._place, self._flags)
        except OSError as error:
            raise translated(error, self._path) from error
        try:
            self._accept(os.fstat(self.descriptor))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        # The number will soon mean another file; nobody may read that through this one.
        descriptor, self.descriptor = self.descriptor, -1
        os.close(descriptor)

    def _accept(self, found: os.stat_result) -> None:
        if not S_ISREG(found.st_mode):
            kind = entry_of(self._path, found).kind.value
            raise PreconditionFailed(f"{shown(self._path)}: it is a {kind}, not a file", path=self._path)
        self.stamp = stamp_of(found)
        self.size = found.st_size
        self.mode = S_IMODE(found.st_mode)
        self._first = version_of(found)
        if self._expect is not None and self._expect != self.stamp:
            exactly(self._expect).check(entry_of(self._path, found), self._path)

    def read(self, size: int = -1) -> bytes:
        """Return up to *size* bytes, all of them if negative, and ``b""`` at the end."""
        try:
            if size >= 0:
                return os.read(self.descriptor, size)
            return b"".join(iter(lambda: os.read(self.descriptor, CHUNK_BYTES), b""))
        except OSError as error:
            raise translated(error, self._path) from error

    def verify(self) -> Stamp:
        """Return the stamp of what was read; raises PreconditionFailed where the file has changed or was replaced."""
        try:
            # The same inode under the name is the one that is open, so one look tells of both.
            unchanged = self._first == version_of(self._look(self._place))
        except FileNotFoundError:
            unchanged = False
        except OSError as error:
            raise translated(error, self._path) from error
        if not unchanged:
            raise PreconditionFailed(f"{shown(self._path)}: it changed while it was being read", path=self._path)
        return self.stamp
