"""``memory://``, whose calls are as good as instantaneous."""

from __future__ import annotations

import io
import threading
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any, List, Optional

from ...core.paths import parent
from ..quirks import Info
from .base import Admit, Child, Driver
from .content import Incoming, pour

# Every client of this process writes to one memory, so conditions on it hold for all of them.
_MEMORY_LOCK = threading.RLock()
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class MemoryDriver(Driver):
    """``memory://``: conditions and changes happen together under one lock of the process."""

    writes_aside = False

    def __init__(self, filesystem: Any, root: str, *, private: bool) -> None:
        super().__init__(filesystem, root, private=private)
        self.lock = self.condition = _MEMORY_LOCK

    def info(self, path: str) -> Info:
        """Look a file up by its name; fsspec searches the whole memory for something below it each time."""
        key = self.filesystem._strip_protocol(path)  # noqa: SLF001 - part of what fsspec asks of every class
        with self.lock:
            file = self.filesystem.store.get(key)
            if file is None:
                return super().info(path)
            return self._told(key, file)

    @staticmethod
    def _told(key: str, file: Any) -> Info:
        """Return what a file in memory says of itself, the time of its content included, which fsspec leaves out."""
        return {"name": key, "size": file.size, "type": "file", "created": file.created, "modified": file.modified}

    def children(self, key: str) -> List[Child]:
        """Return the names below a directory, files with all that they say of themselves."""
        with self.lock:
            store = self.filesystem.store
            return [
                (name, self._told(info["name"], store[info["name"]]) if info["type"] == "file" else info)
                for name, info in super().children(key)
            ]

    def opened(self, path: str, size: Optional[int]) -> Any:
        """Return a copy of the content: every opener of a memory file would get the same object and position."""
        with self.lock:
            return io.BytesIO(self.filesystem.cat_file(path))

    def make_directory(self, path: str) -> None:
        """Make a directory and those above it."""
        with self.lock:
            self.filesystem.makedirs(path, exist_ok=True)

    def place(
        self, path: str, incoming: Incoming, admit: Admit, *, absent: bool, mtime_ns: Optional[int]
    ) -> Optional[Info]:
        """Put the whole content at once."""
        content = io.BytesIO()
        pour(incoming, content)
        incoming.finish()
        with self.lock:
            admit()
            self.filesystem.pipe_file(path, content.getvalue())
            if mtime_ns is not None:
                self.set_mtime(path, mtime_ns)
            return self.info(path)

    def set_mtime(self, path: str, mtime_ns: int) -> None:
        """Hand the time of the content on, in whole microseconds; a time that no calendar has is left out."""
        with self.lock, suppress(OverflowError):
            file = self.filesystem.store[self.filesystem._strip_protocol(path)]  # noqa: SLF001 - as below
            file.modified = _EPOCH + timedelta(microseconds=mtime_ns // 1000)

    def copy(self, old: str, new: str, admit: Admit, *, absent: bool) -> None:
        """Copy at once."""
        with self.lock:
            admit()
            self.filesystem.cp_file(old, new)
            strip = self.filesystem._strip_protocol  # noqa: SLF001 - as below
            self.filesystem.store[strip(new)].modified = self.filesystem.store[strip(old)].modified

    def rename(self, old: str, new: str, *, absent: bool) -> None:
        """Hang the file under its new name; the version stays."""
        strip = self.filesystem._strip_protocol  # noqa: SLF001 - part of what fsspec asks of every class
        with self.lock:
            # The directory it stood in stays, as real directories do, even if only this file implied it.
            self.filesystem.makedirs(parent(old), exist_ok=True)
            moved = self.filesystem.store.pop(strip(old))
            moved.path = strip(new)
            self.filesystem.store[moved.path] = moved

    def remove(self, path: str) -> None:
        """Delete one file; the directory it stood in stays, as real directories do."""
        with self.lock:
            self.filesystem.makedirs(parent(path), exist_ok=True)
            self.filesystem.rm_file(path)
