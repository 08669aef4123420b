"""SFTP through paramiko, where asyncssh is not installed."""

from __future__ import annotations

from .base import RenamingDriver
from .content import Incoming, collected


class SftpDriver(RenamingDriver):
    """paramiko's SFTP, whose connection serves one call at a time."""

    def upload(self, path: str, incoming: Incoming) -> None:
        """Send to a temporary name; content is collected first, so that the lock is not held while it arrives."""
        with collected(incoming) as spool, self.lock:
            self.filesystem.ftp.putfo(spool, path, confirm=False)

    def rename(self, old: str, new: str, *, absent: bool) -> None:
        """Rename in one step; the plain rename of the protocol refuses an existing name."""
        with self.lock:
            (self.filesystem.ftp.rename if absent else self.filesystem.ftp.posix_rename)(old, new)

    def set_mtime(self, path: str, mtime_ns: int) -> None:
        """Set the time in whole seconds."""
        seconds = mtime_ns // 1_000_000_000
        with self.lock:
            self.filesystem.ftp.utime(path, (seconds, seconds))

    def make_directory(self, path: str) -> None:
        """Make a directory and those above it."""
        with self.lock:
            self.filesystem.makedirs(path, exist_ok=True)

    def close(self) -> None:
        """Close the connection."""
        if self.private:
            self.filesystem.client.close()
