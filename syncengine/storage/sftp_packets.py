"""The packets of SFTP version 3: requests as bytes, replies as values; no connection, no loop, no waiting.

The wire format is that of draft-ietf-secsh-filexfer-02, the extensions are those of OpenSSH (its file PROTOCOL).
asyncssh has a client for it, which sends every request as an SSH packet of its own and spends more time on a small
file than the server does; what is spoken here is put together by the channel, many requests to a packet.
"""

from __future__ import annotations

from struct import Struct
from typing import Dict, List, Optional, Tuple

from attrs import frozen

Request = Tuple[int, bytes]
"""The kind of a request and what follows its number."""

Reply = bytes
"""One packet: the kind of the reply, the number of its request, and what it says."""

_SAYS = 5
"""Where in a reply begins what it says."""

_VERSION_NUMBER = 3
_INIT, _VERSION = 1, 2
_OPEN, _CLOSE, _READ, _WRITE = 3, 4, 5, 6
_LSTAT, _FSTAT, _FSETSTAT = 7, 8, 10
_OPENDIR, _READDIR, _REMOVE, _MKDIR, _RMDIR = 11, 12, 13, 14, 15
_REALPATH, _STAT, _RENAME, _READLINK, _SYMLINK = 16, 17, 18, 19, 20
_STATUS, _HANDLE, _DATA, _NAME, _ATTRIBUTES = 101, 102, 103, 104, 105
_EXTENDED, _EXTENDED_REPLY = 200, 201

_TO_READ, _TO_WRITE, _TO_CREATE, _ONLY_NEW = 0x01, 0x02, 0x08, 0x20
_HAS_SIZE, _HAS_OWNER, _HAS_MODE, _HAS_TIMES, _HAS_MORE = 0x1, 0x2, 0x4, 0x8, 0x80000000
_USUAL = _HAS_SIZE | _HAS_OWNER | _HAS_MODE | _HAS_TIMES

OK, END, MISSING, DENIED, FAILURE, BAD_MESSAGE = 0, 1, 2, 3, 4, 5
UNSUPPORTED = 8
_NO_SUCH_PATH = 10

_HEAD = Struct(">IBI")
_NUMBER = Struct(">I")
_LONG = Struct(">Q")
_USUAL_ATTRIBUTES = Struct(">IQIIIII")
_PLAIN_TIMES = Struct(">III")
_MODE_AND_TIMES = Struct(">IIII")
LATEST_TIME = 0xFFFFFFFF
"""The last second since the epoch that version 3 can say."""


class Refused(Exception):
    """The server answered a request with a status other than OK."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def is_missing(error: Refused) -> bool:
    """Say whether the server refused because there is nothing; later versions have a second word for it."""
    return error.code in (MISSING, _NO_SUCH_PATH)


class Malformed(Exception):
    """The server sent what is not SFTP."""


@frozen
class Attributes:
    """What a server tells about a file; ``mode`` has the type of the file and its permissions, times are seconds."""

    size: Optional[int] = None
    mode: Optional[int] = None
    accessed: Optional[int] = None
    modified: Optional[int] = None


@frozen
class Limits:
    """How much one request may read or write, in bytes."""

    read: int = 32768
    write: int = 32768


# Requests


def _text(value: bytes) -> bytes:
    return _NUMBER.pack(len(value)) + value


def framed(number: int, request: Request) -> bytes:
    """Return *request* as it is sent, under *number*."""
    kind, body = request
    return _HEAD.pack(len(body) + 5, kind, number) + body


def greeting() -> bytes:
    """Return the first packet of a conversation."""
    return _HEAD.pack(5, _INIT, _VERSION_NUMBER)


def open_to_read(path: bytes) -> Request:
    """Open a file; a link is followed."""
    return _OPEN, _text(path) + _PLAIN_OPEN


def open_new(path: bytes, mode: Optional[int]) -> Request:
    """Make a file that must not be there, with the permissions *mode* or the usual ones, and open it for writing."""
    flags = _TO_WRITE | _TO_CREATE | _ONLY_NEW
    attributes = _NUMBER.pack(0) if mode is None else _NUMBER.pack(_HAS_MODE) + _NUMBER.pack(mode)
    return _OPEN, _text(path) + _NUMBER.pack(flags) + attributes


_PLAIN_OPEN = _NUMBER.pack(_TO_READ) + _NUMBER.pack(0)


def close(handle: bytes) -> Request:
    """Close an open file or directory."""
    return _CLOSE, _text(handle)


def read(handle: bytes, offset: int, size: int) -> Request:
    """Read up to *size* bytes."""
    return _READ, _text(handle) + _LONG.pack(offset) + _NUMBER.pack(size)


def write(handle: bytes, offset: int, data: bytes) -> Request:
    """Write all of *data*."""
    return _WRITE, b"".join((_text(handle), _LONG.pack(offset), _NUMBER.pack(len(data)), data))


def look(path: bytes) -> Request:
    """Look at what has this name, a link being itself."""
    return _LSTAT, _text(path)


def look_through(path: bytes) -> Request:
    """Look at what a name leads to."""
    return _STAT, _text(path)


def look_at_open(handle: bytes) -> Request:
    """Look at an open file."""
    return _FSTAT, _text(handle)


def set_open(
    handle: bytes, *, mode: Optional[int] = None, accessed: int = 0, modified: Optional[int] = None
) -> Request:
    """Set permissions and times of an open file; times are set together or not at all."""
    if modified is None:
        return _FSETSTAT, _text(handle) + (
            _NUMBER.pack(0) if mode is None else _NUMBER.pack(_HAS_MODE) + _NUMBER.pack(mode)
        )
    if mode is None:
        return _FSETSTAT, _text(handle) + _PLAIN_TIMES.pack(_HAS_TIMES, accessed, modified)
    return _FSETSTAT, _text(handle) + _MODE_AND_TIMES.pack(_HAS_MODE | _HAS_TIMES, mode, accessed, modified)


def open_directory(path: bytes) -> Request:
    """Open a directory."""
    return _OPENDIR, _text(path)


def read_directory(handle: bytes) -> Request:
    """Read some more names of an open directory."""
    return _READDIR, _text(handle)


def remove(path: bytes) -> Request:
    """Remove a file or a link."""
    return _REMOVE, _text(path)


def make_directory(path: bytes) -> Request:
    """Make a directory."""
    return _MKDIR, _text(path) + _NUMBER.pack(0)


def remove_directory(path: bytes) -> Request:
    """Remove an empty directory."""
    return _RMDIR, _text(path)


def real_path(path: bytes) -> Request:
    """Ask for the path without links."""
    return _REALPATH, _text(path)


def read_link(path: bytes) -> Request:
    """Ask what a link says."""
    return _READLINK, _text(path)


def rename(old: bytes, new: bytes) -> Request:
    """Rename; the standard wants it refused where *new* is taken."""
    return _RENAME, _text(old) + _text(new)


def rename_over(old: bytes, new: bytes) -> Request:
    """Rename in one step, replacing *new*; an extension."""
    return _extended(b"posix-rename@openssh.com", _text(old) + _text(new))


def hard_link(old: bytes, new: bytes) -> Request:
    """Give a file a second name, which must be free; an extension."""
    return _extended(b"hardlink@openssh.com", _text(old) + _text(new))


def symbolic_link(target: bytes, path: bytes, *, target_first: bool) -> Request:
    """Make a link; OpenSSH and those after it have the two the wrong way round."""
    first, second = (target, path) if target_first else (path, target)
    return _SYMLINK, _text(first) + _text(second)


def copy_data(origin: bytes, target: bytes, offset: int, size: int) -> Request:
    """Copy a range between two open files, to the same place in the other; an extension."""
    ranges = _LONG.pack(offset) + _LONG.pack(size) + _text(target) + _LONG.pack(offset)
    return _extended(b"copy-data", _text(origin) + ranges)


def ask_limits() -> Request:
    """Ask how much one request may carry; an extension."""
    return _extended(b"limits@openssh.com", b"")


def ask_space(path: bytes) -> Request:
    """Ask about the file system that holds a path; an extension."""
    return _extended(b"statvfs@openssh.com", _text(path))


def _extended(name: bytes, body: bytes) -> Request:
    return _EXTENDED, _text(name) + body


# Replies


class _Body:
    """Takes a reply apart, from front to back."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes, at: int = _SAYS) -> None:
        self.data = data
        self.at = at

    def number(self) -> int:
        value: int = _NUMBER.unpack_from(self.data, self.at)[0]
        self.at += 4
        return value

    def long(self) -> int:
        value: int = _LONG.unpack_from(self.data, self.at)[0]
        self.at += 8
        return value

    def text(self) -> bytes:
        size = self.number()
        value = self.data[self.at : self.at + size]
        if len(value) != size:
            raise Malformed("a text in an answer is cut off")
        self.at += size
        return value

    def attributes(self) -> Attributes:
        flags: int = _NUMBER.unpack_from(self.data, self.at)[0]
        if flags == _USUAL:
            _, size, _, _, mode, accessed, modified = _USUAL_ATTRIBUTES.unpack_from(self.data, self.at)
            self.at += _USUAL_ATTRIBUTES.size
            return Attributes(size, mode, accessed, modified)
        self.at += 4
        size = self.long() if flags & _HAS_SIZE else None
        self.at += 8 if flags & _HAS_OWNER else 0
        mode = self.number() if flags & _HAS_MODE else None
        accessed, modified = (self.number(), self.number()) if flags & _HAS_TIMES else (None, None)
        for _ in range(2 * self.number() if flags & _HAS_MORE else 0):
            self.text()
        return Attributes(size, mode, accessed, modified)


def extensions_of(data: bytes) -> Dict[bytes, bytes]:
    """Return what a server offers besides the standard, from the packet that answers the greeting."""
    if not data or data[0] != _VERSION:
        raise Malformed("the server does not answer as an SFTP server does")
    body = _Body(data, 1)
    version = body.number()
    if version != _VERSION_NUMBER:
        raise Malformed(f"the server speaks version {version} of SFTP and not {_VERSION_NUMBER}")
    found: Dict[bytes, bytes] = {}
    while body.at < len(data):
        name = body.text()
        found[name] = body.text()
    return found


def check(reply: Reply) -> None:
    """Raise Refused unless the answer is that all went well."""
    if reply[0] != _STATUS:
        raise Malformed(f"an answer of kind {reply[0]} where a status was due")
    body = _Body(reply)
    code = body.number()
    if code != OK:
        # Old servers send no text at all.
        text = body.text() if len(reply) - body.at >= 4 else b""
        raise Refused(code, text.decode("utf-8", "replace"))


def _expected(reply: Reply, kind: int) -> _Body:
    if reply[0] == kind:
        return _Body(reply)
    check(reply)
    raise Malformed("the answer OK to a question")


def handle_in(reply: Reply) -> bytes:
    """Return the handle of what was opened."""
    return _expected(reply, _HANDLE).text()


def data_in(reply: Reply) -> bytes:
    """Return the bytes that were read; nothing at the end of the file."""
    return _expected(reply, _DATA).text() if not is_end(reply) else b""


def is_end(reply: Reply) -> bool:
    """Say whether there is nothing more to be read."""
    return reply[0] == _STATUS and _Body(reply).number() == END


def attributes_in(reply: Reply) -> Attributes:
    """Return what a look found."""
    return _expected(reply, _ATTRIBUTES).attributes()


def found_in(reply: Reply) -> Optional[Attributes]:
    """Return what a look found, None where there is nothing."""
    try:
        return attributes_in(reply)
    except Refused as error:
        if not is_missing(error):
            raise
        return None


def names_in(reply: Reply) -> List[Tuple[bytes, Attributes]]:
    """Return names with what is told about each."""
    body = _expected(reply, _NAME)
    found: List[Tuple[bytes, Attributes]] = []
    for _ in range(body.number()):
        name = body.text()
        body.text()  # the line that ls would show
        found.append((name, body.attributes()))
    return found


def path_in(reply: Reply) -> bytes:
    """Return the one path that was asked for."""
    found = names_in(reply)
    if len(found) != 1:
        raise Malformed(f"{len(found)} paths where one was due")
    return found[0][0]


def limits_in(reply: Reply) -> Limits:
    """Return the limits; zero means that the server does not say."""
    body = _expected(reply, _EXTENDED_REPLY)
    body.long()
    largest_read, largest_write = body.long(), body.long()
    usual = Limits()
    return Limits(largest_read or usual.read, largest_write or usual.write)


def free_bytes_in(reply: Reply) -> int:
    """Return how many bytes a user may still write to a file system."""
    body = _expected(reply, _EXTENDED_REPLY)
    _, unit, _, _, available = (body.long() for _ in range(5))
    return unit * available
