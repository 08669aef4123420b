"""SFTP through paramiko, and through asyncssh below sshfs."""

from __future__ import annotations

from typing import Any

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


class SshfsDriver(RenamingDriver):
    """sshfs: its own rename falls back to a copy that may lose the file, and its rmdir does nothing."""

    def _on_channel(self, method: str, *arguments: Any, **options: Any) -> Any:
        from fsspec.asyn import sync  # type: ignore[import-untyped]

        async def call() -> Any:
            async with self.filesystem._pool.get() as channel:  # noqa: SLF001 - the only way to these primitives
                return await getattr(channel, method)(*arguments, **options)

        return sync(self.filesystem.loop, call)

    def rename(self, old: str, new: str, *, absent: bool) -> None:
        """Rename in one step; the plain rename of the protocol refuses an existing name."""
        self._on_channel("rename" if absent else "posix_rename", old, new)

    def set_mtime(self, path: str, mtime_ns: int) -> None:
        """Set the time in whole seconds."""
        seconds = mtime_ns // 1_000_000_000
        self._on_channel("utime", path, times=(seconds, seconds))

    def make_directory(self, path: str) -> None:
        """Make a directory and those above it."""
        self._on_channel("makedirs", path, exist_ok=True)

    def remove_directory(self, path: str) -> None:
        """Remove an empty directory."""
        self._on_channel("rmdir", path)

    def remove(self, path: str) -> None:
        """Delete one file."""
        self._on_channel("remove", path)
