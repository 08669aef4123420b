"""What one SFTP server can do besides the standard, and what the client may claim on that ground."""

from __future__ import annotations

from typing import Optional, Tuple

from attrs import frozen

from .protocol import Capabilities
from .sftp_channel import Channel
from .sftp_directories import REMEMBERED_SECONDS
from .sftp_facts import SECOND_NS

_THREADS = 64

_CHECKED_WRITE = "a change made in the instant between the last look and the rename is replaced"
_CHECKED_DELETE = "a change made in the instant between the last look and the removal is deleted"
_CHECKED_CREATE = "a file created in the instant between the last look and the rename may be replaced"
_NO_HARD_LINKS = (
    "on a file system without hard links, a file created in the instant between the last look and the rename "
    "is replaced"
)
_TWO_STEPS = "the server cannot replace in one step: for an instant, or after a crash then, nothing has the name"
_REMEMBERED_PARENTS = (
    f"a directory that is exchanged for a symbolic link is written through for up to {REMEMBERED_SECONDS:.0f} seconds"
)
_NOT_FLUSHED = "the server is not told to flush: a power cut there can empty a file that was written just before"


@frozen
class Abilities:
    """What one server can do besides the standard."""

    renames_over: bool = False
    hard_links: bool = False
    rename_refuses: bool = False
    """Its plain rename never replaces anything, not even in a race: OpenSSH makes a hard link for it."""
    links_surely: bool = False
    """What it offers is there: servers in Go offer hard links whatever lies behind them."""
    copies: bool = False
    in_order: bool = False
    """It is known to finish a request before it begins the next; servers in Go read and write in several threads."""
    link_target_first: Optional[bool] = None
    """In which order it takes the two paths of a symbolic link; None where nobody knows."""

    @property
    def creates_alone(self) -> bool:
        """Whether a name is taken only while it is free, by the server itself."""
        return self.rename_refuses or (self.hard_links and self.links_surely)


# Server programs by what they call themselves, and whether a link's target comes first, as OpenSSH has it.
_LINK_ORDERS: Tuple[Tuple[str, bool], ...] = (
    ("OpenSSH", True),
    ("paramiko", True),
    ("SFTPGo", True),
    ("-Go", True),
    ("AsyncSSH", False),
)
# Those that finish one request after the other, and offer only what they have.
_THOROUGH = ("OpenSSH", "AsyncSSH")


def abilities_of(channel: Channel, server: str) -> Abilities:
    """Return what the server at the other end of *channel* can do; *server* is what it calls itself."""
    offered = channel.extensions
    return Abilities(
        renames_over=b"posix-rename@openssh.com" in offered,
        hard_links=b"hardlink@openssh.com" in offered,
        rename_refuses="OpenSSH" in server,
        copies=b"copy-data" in offered,
        links_surely=any(name in server for name in _THOROUGH),
        in_order=any(name in server for name in _THOROUGH),
        link_target_first=next((first for name, first in _LINK_ORDERS if name in server), None),
    )


def capabilities_of(abilities: Abilities) -> Capabilities:
    """Return what a client of such a server claims, and the windows that remain."""
    windows = [("replace_if_unchanged", _CHECKED_WRITE), ("delete_if_unchanged", _CHECKED_DELETE)]
    windows.append(("create_if_absent", _NO_HARD_LINKS if abilities.creates_alone else _CHECKED_CREATE))
    if not abilities.renames_over:
        windows.append(("atomic_put", _TWO_STEPS))
    windows += [("directories", _REMEMBERED_PARENTS), ("flush", _NOT_FLUSHED)]
    return Capabilities(
        atomic_put=abilities.renames_over,
        create_if_absent=abilities.creates_alone,
        server_copy=abilities.copies,
        server_move=True,
        set_mtime=True,
        set_mode=True,
        real_directories=True,
        symlinks=abilities.link_target_first is not None,
        listing_sorted=True,
        mtime_is_content_time=True,
        mtime_granularity_ns=SECOND_NS,
        stamps=("size", "mtime_ns"),
        threads=_THREADS,
        windows=tuple(windows),
    )
