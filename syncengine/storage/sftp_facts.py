"""What an SFTP server says of a file, as values of this package: stamp, entry, problem, error."""

from __future__ import annotations

import asyncio
from stat import S_IFMT, S_IMODE, S_ISBLK, S_ISCHR, S_ISDIR, S_ISFIFO, S_ISLNK, S_ISREG, S_ISSOCK
from typing import Callable, Dict, Iterable, Optional, Tuple, Type

import asyncssh

from ..core.entry import Entry, Kind, Stamp
from ..core.paths import decoded, shown
from ..errors import (
    AccessDenied,
    NoSpace,
    NotFound,
    PreconditionFailed,
    StorageError,
    SyncError,
    Unavailable,
    Unsupported,
)
from .sftp_channel import Lost
from .sftp_packets import LATEST_TIME, Attributes, Malformed, Refused
from .translation import redacted
from .translation import translated as generally_translated

SECOND_NS = 1_000_000_000
NO_STAMP = Stamp()

# The first nine are version 3; servers are known to send later ones too.
_BY_CODE: Dict[int, Tuple[Type[StorageError], str]] = {
    2: (NotFound, "there is nothing there"),
    3: (AccessDenied, "permission denied; check who owns it and its permissions"),
    5: (Unsupported, "the server cannot take this name"),
    6: (Unavailable, "the server has no connection; try again"),
    7: (Unavailable, "the server lost its connection; try again"),
    8: (Unsupported, "the server cannot do this"),
    10: (NotFound, "there is nothing there"),
    11: (PreconditionFailed, "something else stands there"),
    12: (AccessDenied, "it is protected against writing"),
    14: (NoSpace, "no space is left on the server; make room and run again"),
    15: (NoSpace, "the quota on the server is used up; make room and run again"),
    17: (Unavailable, "it is locked on the server; try again"),
    18: (PreconditionFailed, "it is not empty"),
    19: (NotFound, "a file stands where a directory is needed"),
    20: (Unsupported, "the server cannot take this name"),
    21: (PreconditionFailed, "a symbolic link that leads in a circle"),
    24: (PreconditionFailed, "it is a directory"),
}
_SPECIAL_KINDS: Tuple[Tuple[Callable[[int], bool], str], ...] = (
    (S_ISFIFO, "a named pipe"),
    (S_ISSOCK, "a socket"),
    (S_ISCHR, "a character device"),
    (S_ISBLK, "a block device"),
)
_UNREACHED = (OSError, EOFError, asyncssh.DisconnectError, asyncssh.ChannelOpenError, asyncio.TimeoutError)


def translated(error: BaseException, path: str, *, secrets: Iterable[str] = ()) -> SyncError:
    """Return the error of ours that says what *error*, of the server or on the way to it, means for *path*."""
    if isinstance(error, SyncError):
        return error
    place = redacted(shown(path) or "the root", secrets)
    if isinstance(error, Refused):
        kind, reason = _BY_CODE.get(
            error.code, (StorageError, f"the server refused: {shown(error.args[0]) or 'failure'}")
        )
        return kind(f"{place}: {reason}", path=path)
    if isinstance(error, (Lost, Malformed)):
        return Unavailable(f"{place}: the connection was lost: {redacted(shown(str(error)), secrets)}", path=path)
    if isinstance(error, asyncssh.PermissionDenied):
        reason = "the server accepts neither the keys nor the password; check username, client_keys and the agent"
        return AccessDenied(f"{place}: {reason} ({redacted(shown(error.reason), secrets)})", path=path)
    if isinstance(error, asyncssh.KeyImportError):
        return AccessDenied(f"{place}: a key cannot be used: {redacted(shown(str(error)), secrets)}", path=path)
    if isinstance(error, _UNREACHED):
        said = redacted(shown(str(error)), secrets) or "it did not answer in time"
        return Unavailable(f"{place}: the server cannot be reached: {said}", path=path)
    return generally_translated(error, path, secrets=secrets)


def stamp_of(found: Attributes) -> Stamp:
    """Return the stamp of a file or link; times are whole seconds."""
    return Stamp(found.size, None if found.modified is None else found.modified * SECOND_NS)


def seconds_of(mtime_ns: Optional[int]) -> Optional[int]:
    """Return a time as the protocol can say it, None where it cannot."""
    if mtime_ns is None or not 0 <= mtime_ns <= LATEST_TIME * SECOND_NS:
        return None
    return mtime_ns // SECOND_NS


def is_kind(found: Attributes, test: Callable[[int], bool]) -> bool:
    """Say whether the type of what was found passes one of stat's tests."""
    return found.mode is not None and test(found.mode)


def is_directory(found: Optional[Attributes]) -> bool:
    """Say whether a directory was found."""
    return found is not None and is_kind(found, S_ISDIR)


def is_file(found: Optional[Attributes]) -> bool:
    """Say whether a plain file was found."""
    return found is not None and is_kind(found, S_ISREG)


def is_link(found: Optional[Attributes]) -> bool:
    """Say whether a symbolic link was found."""
    return found is not None and is_kind(found, S_ISLNK)


def has_type(found: Attributes) -> bool:
    """Say whether the server told what it is."""
    return found.mode is not None and S_IFMT(found.mode) != 0


def entry_of(path: str, found: Attributes, link: Optional[bytes] = None) -> Entry:
    """Return the entry for *path*; *link* is where a link leads. Raises Unsupported for devices and the like."""
    if is_file(found):
        return Entry(path, Kind.FILE, stamp_of(found), S_IMODE(found.mode or 0))
    if is_directory(found):
        return Entry(path, Kind.DIRECTORY, NO_STAMP)
    if is_link(found):
        return Entry(path, Kind.SYMLINK, stamp_of(found), None, None if link is None else decoded(link))
    name = next((name for matches, name in _SPECIAL_KINDS if is_kind(found, matches)), "neither a file nor a directory")
    raise Unsupported(f"{shown(path)}: it is {name}, which cannot be synced", path=path)
