"""When something last happened to a file of this machine, by the one time that nobody can set back.

``st_ctime`` moves with every write, chmod, link and rename of the file itself, and a new file that is given the inode
of a deleted one begins with a new one. Renaming a directory leaves those of the files in it alone. So files that were
not touched since both sides agreed on them are the very files that were agreed on, whatever their directory is called
now; size, modification time and inode alone could be those of another archive, unpacked where the first one lay.
"""

from __future__ import annotations

import os
from typing import Iterator, Optional, Tuple

from ..core.paths import RESERVED_PREFIX

_MOUNTS = "/proc/self/mountinfo"
_TRUSTWORTHY = frozenset({"btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"})
"""Their inodes carry a change time of this machine's clock. FAT has none of its own, a file server another clock."""


def keeps_change_times(place: str) -> bool:
    """Say whether change times prove anything on the file system of *place*; only Linux is asked."""
    return kind_of_file_system(place) in _TRUSTWORTHY


def kind_of_file_system(place: str) -> Optional[str]:
    """Return what Linux calls the file system of *place*; None where it is missing, and elsewhere."""
    try:
        device = os.stat(place).st_dev
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as mounts:
            return _kind_of(device, mounts)
    except OSError:
        return None


def _kind_of(device: int, mounts: Iterator[str]) -> Optional[str]:
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for mount in mounts:
        fields = mount.split()
        if fields[2] == wanted:
            return fields[fields.index("-") + 1]
    return None


def change_times(base: str, directory: str) -> Iterator[Tuple[str, int]]:
    """Yield every path below *directory* that is no directory, with its change time; raises OSError."""
    waiting = [directory]
    while waiting:
        inside = waiting.pop()
        start = inside + "/" if inside else ""
        with os.scandir(base + inside) as found:
            for entry in found:
                path = start + entry.name
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
                elif not entry.name.startswith(RESERVED_PREFIX):
                    yield path, entry.stat(follow_symlinks=False).st_ctime_ns
