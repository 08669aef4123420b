"""How a file of this machine gets its content and its name: drafts, renames that replace nothing, kernel copies.

What is written appears all at once: content goes into a draft beside its place (a file without a name where the
system has that, a temporary name elsewhere) and is given its name when it is complete.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from functools import lru_cache
from typing import Any, Callable, Optional, Union

from ..core.entry import Stamp
from ..core.paths import shown
from ..errors import PreconditionFailed
from .local_facts import identity_at, identity_of, stamp_of
from .local_reading import CHUNK_BYTES
from .protocol import Source

_KERNEL_SLICE_BYTES = 64 * CHUNK_BYTES
_TO_DISK_BYTES = 32 * CHUNK_BYTES
"""Of a large file so much at a time begins its way to the disk while the rest is still coming."""
# Files without a name appear in their place by a link from the process's own table of open files.
CAN_BE_NAMELESS = hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd")
_NO_NAMELESS_FILES = (errno.EISDIR, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOENT)
_NO_EXCLUSIVE_RENAME = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
# What a file system answers that has no hard links, or not between these two places.
_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
_SYNC_FILE_RANGE_WRITE = 2
_NO_KERNEL_COPY = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSOCK, errno.EPERM)


class Draft:
    """A file in the making, beside its place; what is not placed at the end of the block is gone without a trace.

    Where the system can, it has no name, so that not even a killed process leaves it behind. Only a new file can be
    placed that way; one that replaces another is renamed from a temporary name.
    """

    def __init__(self, path: str, directory: str, *, nameless: bool, private: bool) -> None:
        self._path = path
        self._directory = directory
        self._nameless = nameless and CAN_BE_NAMELESS
        # Nobody may read what will be private before it is.
        self._permissions = 0o600 if private else 0o666
        self._name: Optional[str] = None
        self._descriptor = -1

    def __enter__(self) -> Draft:
        if self._nameless:
            self._descriptor = self._opened_nameless()
        if self._descriptor < 0:
            self._open_named()
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()
        if self._name is not None:
            self._discard(self._name)

    def fill(self, content: Source) -> None:
        """Take in all of *content*; raises PreconditionFailed where its length is not what it said."""
        moved = self._filled(content)
        if content.size is not None and moved != content.size:
            reason = f"{moved:,} bytes came where {content.size:,} were expected"
            raise PreconditionFailed(f"{shown(self._path)}: {reason}", path=self._path)

    def finished(self, mtime_ns: Optional[int], mode: Optional[int]) -> Stamp:
        """Set what is to be set and return the stamp, which stays true under the final name."""
        if mode is not None:
            os.fchmod(self._descriptor, mode)
        if mtime_ns is not None:
            os.utime(self._descriptor, ns=(mtime_ns, mtime_ns))
        return stamp_of(os.fstat(self._descriptor))

    def create(self, place: str) -> None:
        """Give the file its name, which must be free."""
        if self._name is None:
            own = f"/proc/self/fd/{self._descriptor}"
            # The descriptor of a directory is not looked at for an absolute path, but it makes the call follow links.
            os.link(own, place, src_dir_fd=self._descriptor, follow_symlinks=True)
            return
        self._close()
        rename_exclusively(self._directory + self._name, place)
        self._forget_name()

    def replace(self, place: str) -> None:
        """Give the file its name, in place of what has it now."""
        # Some network file systems report a full disk no earlier than when the file is closed.
        self._close()
        os.replace(f"{self._directory}{self._name}", place)
        self._forget_name()

    def _opened_nameless(self) -> int:
        try:
            return os.open(self._directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, self._permissions)
        except OSError as error:
            if error.errno not in _NO_NAMELESS_FILES:
                raise
            return -1

    def _open_named(self) -> None:
        from .temporary import temporary_name

        self._name = temporary_name()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._descriptor = os.open(self._directory + self._name, flags, self._permissions)
        except BaseException:
            self._forget_name()
            raise

    def _filled(self, content: Source) -> int:
        advance = getattr(content, "advance", None)
        descriptor = getattr(content, "descriptor", None)
        if descriptor is not None and content.size is not None:
            return _poured(descriptor, self._descriptor, content.size, advance)
        if content.local_path is not None:
            return self._filled_from(content.local_path, advance)
        front = _Front(self._descriptor)
        pour = getattr(content, "pour", None)
        if pour is not None and hasattr(os, "pwrite") and pour(self._put, front.advance):
            return front.moved
        for data in iter(lambda: content.read(CHUNK_BYTES), b""):
            front.advance(_written(self._descriptor, data))
        return front.moved

    def _put(self, offset: int, data: Union[bytes, memoryview]) -> None:
        rest = memoryview(data)
        while rest:
            count = os.pwrite(self._descriptor, rest, offset)
            rest, offset = rest[count:], offset + count

    def _filled_from(self, local_path: str, advance: Optional[Callable[[int], None]]) -> int:
        descriptor = os.open(local_path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _poured(descriptor, self._descriptor, os.fstat(descriptor).st_size, advance)
        finally:
            os.close(descriptor)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _discard(self, name: str) -> None:
        self._forget_name()
        with suppress(FileNotFoundError):
            os.unlink(self._directory + name)

    def _forget_name(self) -> None:
        from .temporary import release

        release(self._name or "")
        self._name = None


class _Front:
    """How much of a file is there from its beginning on; what is begins its way to the disk."""

    def __init__(self, descriptor: int) -> None:
        self.moved = 0
        self._descriptor = descriptor
        self._begun = 0

    def advance(self, count: int) -> None:
        self.moved += count
        if self.moved - self._begun >= _TO_DISK_BYTES:
            _begin_to_disk(self._descriptor, self._begun, self.moved - self._begun)
            self._begun = self.moved


def looked_at_or_made(place: str, *, make: bool) -> os.stat_result:
    """Look at a directory on the way to a file, made where it is missing and *make* allows."""
    try:
        return os.lstat(place)
    except FileNotFoundError:
        if not make:
            raise
    # Where another worker made it, or something else took the name, the look decides.
    with suppress(FileExistsError):
        os.mkdir(place)
    return os.lstat(place)


def hard_linked(place: str, new_place: str) -> bool:
    """Make a hard link; say whether there can be one."""
    try:
        os.link(place, new_place, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_HARD_LINKS:
            return False
        raise
    return True


def rename_over(old: str, new: str) -> None:
    """Rename, replacing what has the name *new*."""
    before = os.lstat(old)
    os.replace(old, new)
    # To rename onto another hard link of the same file does nothing. Where case is folded both names may be one.
    if before.st_nlink > 1 and old.casefold() != new.casefold() and identity_at(old) == identity_of(before):
        os.unlink(old)


def rename_exclusively(old: str, new: str) -> None:
    """Rename without ever replacing anything; raises FileExistsError."""
    if _renamed_by_kernel(old, new):
        return
    if hard_linked(old, new):
        os.unlink(old)
        return
    # RACE: neither of the ways that cannot overwrite is there; see the windows.
    if os.path.lexists(new):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    os.rename(old, new)


@lru_cache(maxsize=1)
def _libc() -> Any:
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def _renamed_by_kernel(old: str, new: str) -> bool:
    """Rename by the one call that refuses to replace; say whether the system has it."""
    import ctypes

    at_working_directory, no_replace = -100, 1
    rename = getattr(_libc(), "renameat2", None)
    if rename is None:
        return False
    if rename(at_working_directory, os.fsencode(old), at_working_directory, os.fsencode(new), no_replace) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCLUSIVE_RENAME:
        return False
    raise OSError(number, os.strerror(number))


def flush_file_system(place: str) -> None:
    """Return once what was written to the file system of *place* is on its disk."""
    import ctypes

    flush = getattr(_libc(), "syncfs", None)
    if flush is None:
        os.sync()
        return
    descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if flush(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)


def _begin_to_disk(descriptor: int, start: int, count: int) -> None:
    """Have the system begin to write a part of a file to its disk, and wait for nothing.

    The flush that the state waits for then finds little left to do. Of small files the system writes many together.
    """
    begin = getattr(_libc(), "sync_file_range", None) if count >= _TO_DISK_BYTES else None
    if begin is not None:
        import ctypes

        # It is of no matter whether it can: the flush is what counts.
        begin(descriptor, ctypes.c_int64(start), ctypes.c_int64(count), _SYNC_FILE_RANGE_WRITE)


def _copied_by_kernel(origin: int, target: int, count: int) -> int:
    return os.copy_file_range(origin, target, count)


def _sent_by_kernel(origin: int, target: int, count: int) -> int:
    return os.sendfile(target, origin, None, count)


def _copied_by_hand(origin: int, target: int, count: int) -> int:
    return _written(target, os.read(origin, min(count, CHUNK_BYTES)))


_COPIERS = (
    *((_copied_by_kernel,) if hasattr(os, "copy_file_range") else ()),
    *((_sent_by_kernel,) if hasattr(os, "sendfile") else ()),
    _copied_by_hand,
)


def _poured(origin: int, target: int, size: int, advance: Optional[Callable[[int], None]]) -> int:
    """Copy *size* bytes between two open files, by the kernel where it can, and return how many there were."""
    moved = 0
    for copier in _COPIERS:
        while moved < size:
            try:
                count = copier(origin, target, min(size - moved, _KERNEL_SLICE_BYTES))
            except OSError as error:
                if copier is _copied_by_hand or error.errno not in _NO_KERNEL_COPY:
                    raise
                break
            if count == 0:
                break
            _begin_to_disk(target, moved, count)
            moved += count
            if advance is not None:
                advance(count)
    return moved


def _written(target: int, data: bytes) -> int:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(target, rest) :]
    return len(data)
