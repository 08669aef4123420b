"""What the system says of a file of this machine, as values of this package: identity, stamp, entry, error."""

from __future__ import annotations

import errno
import os
from stat import S_IMODE, S_ISBLK, S_ISCHR, S_ISDIR, S_ISFIFO, S_ISLNK, S_ISREG, S_ISSOCK
from typing import Callable, Optional, Tuple, Type

from ..core.entry import Entry, Kind, Stamp
from ..core.paths import shown
from ..errors import (
    AccessDenied,
    NoSpace,
    NotFound,
    PreconditionFailed,
    StorageError,
    Unavailable,
    Unsupported,
)

Identity = Tuple[int, int]
"""The device and the inode: what stays the same while a name changes its owner."""

NO_STAMP = Stamp()

_ERRORS: Tuple[Tuple[Type[StorageError], str, Tuple[str, ...]], ...] = (
    (NotFound, "", ("ENOENT", "ENOTDIR")),
    (AccessDenied, "; check who owns it and its permissions", ("EACCES", "EPERM", "EROFS")),
    (PreconditionFailed, "; it is not what was expected there", ("EEXIST", "ENOTEMPTY", "EISDIR", "ELOOP")),
    (NoSpace, "; make room and run again", ("ENOSPC", "EDQUOT", "EFBIG")),
    (
        Unsupported,
        "; the file system cannot do this",
        ("ENAMETOOLONG", "EINVAL", "EILSEQ", "ENOSYS", "EOPNOTSUPP", "EXDEV", "EMLINK"),
    ),
    (
        Unavailable,
        "; try again",
        (
            *("EIO", "ETIMEDOUT", "ESTALE", "EHOSTDOWN", "EHOSTUNREACH", "ENOTCONN", "ENODEV", "ENXIO"),
            *("EAGAIN", "EBUSY", "ETXTBSY", "EMFILE", "ENFILE", "ENOMEM"),
        ),
    ),
)
_BY_NUMBER = {
    getattr(errno, name): (error_type, hint)
    for error_type, hint, names in _ERRORS
    for name in names
    if hasattr(errno, name)
}
_SPECIAL_KINDS: Tuple[Tuple[Callable[[int], bool], str], ...] = (
    (S_ISFIFO, "a named pipe"),
    (S_ISSOCK, "a socket"),
    (S_ISCHR, "a character device"),
    (S_ISBLK, "a block device"),
)


def translated(error: OSError, path: str) -> StorageError:
    """Return the StorageError that says what *error* of the system means for *path*."""
    error_type, hint = _BY_NUMBER.get(error.errno or 0, (StorageError, ""))
    reason = (error.strerror or str(error)).lower()
    return error_type(f"{shown(path) or 'the root'}: {reason}{hint}", path=path)


def identity_of(found: os.stat_result) -> Identity:
    """Return which file was looked at, whatever its name."""
    return found.st_dev, found.st_ino


def identity_at(place: str) -> Optional[Identity]:
    """Return which file stands at *place*, a link being itself, or None."""
    try:
        return identity_of(os.lstat(place))
    except (FileNotFoundError, NotADirectoryError):
        return None


def version_of(found: os.stat_result) -> Tuple[int, ...]:
    """Return what changes whenever the content does, for comparing two looks within one reading."""
    # The time of the inode moves with every write and rename and cannot be set back.
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev


def stamp_of(found: os.stat_result) -> Stamp:
    """Return the stamp of a file or link."""
    return Stamp(found.st_size, found.st_mtime_ns, None, None, (), str(found.st_ino))


def entry_of(path: str, found: os.stat_result, place: str = "") -> Entry:
    """Return the entry for *path*; *place* is where a link is read. Raises Unsupported for devices and the like."""
    mode = found.st_mode
    if S_ISREG(mode):
        return Entry(path, Kind.FILE, stamp_of(found), S_IMODE(mode))
    if S_ISDIR(mode):
        return Entry(path, Kind.DIRECTORY, NO_STAMP)
    if S_ISLNK(mode):
        return Entry(path, Kind.SYMLINK, stamp_of(found), None, os.readlink(place))
    name = next((name for matches, name in _SPECIAL_KINDS if matches(mode)), "neither a file nor a directory")
    raise Unsupported(f"{shown(path)}: it is {name}, which cannot be synced", path=path)


def followed(place: str, link: os.stat_result) -> os.stat_result:
    """Look at what a link leads to, or at the link itself where it leads nowhere."""
    try:
        return os.stat(place)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            return link
        raise


_ROOTS_OF_FILE_SYSTEMS = 256
"""The roots of file systems have inodes up to this number: what their own names tell is about another file system."""


def folds_case(directory: str) -> bool:
    """Say whether *directory* takes names of different case for one, without writing anything.

    Its own name is looked up in the other case; where that tells of the file system it is mounted on, the names in it
    are. A directory that is missing, or of which no name has letters, is taken to tell them apart.
    """
    try:
        found = os.stat(directory)
        if found.st_ino > _ROOTS_OF_FILE_SYSTEMS:
            return _is_spelled_otherwise(directory, found)
        with os.scandir(directory) as entries:
            entry = next((entry for entry in entries if entry.name.swapcase() != entry.name), None)
        return entry is not None and _is_spelled_otherwise(entry.path, os.lstat(entry.path))
    except OSError:
        return False


def _is_spelled_otherwise(place: str, found: os.stat_result) -> bool:
    """Say whether the last part of *place*, in the other case, leads to what was *found*; two files are not one."""
    above, name = os.path.split(place)
    swapped = name.swapcase()
    if swapped == name:
        return False
    other = os.path.join(above, swapped)
    try:
        same = os.path.samestat(os.stat(other) if S_ISDIR(found.st_mode) else os.lstat(other), found)
    except OSError:
        return False
    # A hard link, or a symbolic one to a directory, is a second name: then both stand in the listing.
    return same and not {name, swapped} <= set(os.listdir(above))
