"""``memory://``, whose calls are as good as instantaneous."""

from __future__ import annotations

import io
import threading
from typing import Any, Optional

from ...core.paths import parent
from ..quirks import Info
from .base import Admit, Driver
from .content import Incoming, pour

# Every client of this process writes to one memory, so conditions on it hold for all of them.
_MEMORY_LOCK = threading.RLock()


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
            return {"name": key, "size": file.size, "type": "file", "created": file.created}

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
            return self.info(path)

    def copy(self, old: str, new: str, admit: Admit, *, absent: bool) -> None:
        """Copy at once."""
        with self.lock:
            admit()
            self.filesystem.cp_file(old, new)

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
