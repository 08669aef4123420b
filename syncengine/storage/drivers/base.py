"""What is the same for all filesystems, and for those that rename: literal single-file calls below one root."""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Callable, ContextManager, Iterator, List, Optional, Tuple

from ...core.paths import parent
from ...errors import Unavailable, Unsupported
from ..protocol import Capabilities
from ..quirks import Family, Info, capabilities, family_of, overrides
from ..temporary import temporary
from ..translation import unless_missing
from .content import IN_MEMORY_BYTES, Incoming, Readable, checked, pour

Admit = Callable[[], None]
Child = Tuple[str, Info]


class Driver:
    """One root of one filesystem whose class nobody knows; the most careful way that its methods allow.

    Content is collected locally and checked before the filesystem is touched. Then it is sent under a temporary
    name and renamed; where the class has no rename, copied; where it has no copy either, sent to its name directly.
    """

    writes_aside = True
    """Writes go through temporary names, so that a killed run may leave some behind."""

    def __init__(self, filesystem: Any, root: str, *, private: bool) -> None:
        self.filesystem = filesystem
        self.root = root
        self.private = private
        self.family: Family = family_of(filesystem)
        self.capabilities: Capabilities = capabilities(filesystem)
        self.condition: ContextManager[Any] = nullcontext()
        """Held from a look to the change that rests on it, where that makes both one step."""
        self.lock: ContextManager[Any] = threading.RLock() if self.capabilities.threads == 1 else nullcontext()
        self._own_pipe = overrides(filesystem, "pipe_file")
        self._own_open = overrides(filesystem, "_open", "open")
        self._quiet_cache()

    def _quiet_cache(self) -> None:
        cache = getattr(self.filesystem, "dircache", None)
        if self.private and cache is not None and hasattr(cache, "use_listings_cache"):
            cache.clear()
            cache.use_listings_cache = False

    def _forget(self, path: str) -> None:
        if not self.private:
            self.filesystem.invalidate_cache(path)

    # Names

    def path_of(self, key: str) -> str:
        """Return what the filesystem calls *key*."""
        if not key:
            return self.root
        return f"{self.root.rstrip('/')}/{key}" if self.root else self.filesystem.root_marker + key

    def refusal(self, key: str) -> Optional[str]:
        """Return why the backend cannot hold a file of this name, None where it can."""
        return None

    def write_refusal(self, key: str) -> Optional[str]:
        """Return why a file of this name cannot be written, None where it can."""
        return self.refusal(key)

    def children(self, key: str) -> List[Child]:
        """Return the names below the directory *key* with their infos; a name may be odd, empty or deep."""
        directory = self.path_of(key)
        with self.lock:
            self._forget(directory)
            found = list(self.filesystem.ls(directory, detail=True))
        return [(self._name_below(directory, info["name"]), info) for info in found]

    def _name_below(self, directory: str, name: str) -> str:
        """Return *name* relative to *directory*: empty for itself, a slash for what is called ``directory/``."""
        if "://" in name:
            name = self.filesystem._strip_protocol(name)  # noqa: SLF001 - part of what fsspec asks of every class
        above = directory.strip("/")
        if not above:
            return name[1:] if name.startswith("/") else name
        bare, inside = name.lstrip("/"), above + "/"
        if bare in (above, inside):
            return bare[len(above) :]
        return bare[len(inside) :] if bare.startswith(inside) else name

    # Looking

    def info(self, path: str) -> Info:
        """Return what the filesystem says about *path* now; raises where it is missing."""
        with self.lock:
            self._forget(path)
            return dict(self.filesystem.info(path))

    def opened(self, path: str, size: Optional[int]) -> Any:
        """Return an open file with ``read`` and ``close``."""
        with self.lock:
            return Readable(self.filesystem.open(path, "rb"), self.lock)

    # Changing

    def make_directory(self, path: str) -> None:
        """Make a directory and those above it."""
        with self.lock:
            if overrides(self.filesystem, "makedirs"):
                self.filesystem.makedirs(path, exist_ok=True)
            elif overrides(self.filesystem, "mkdir"):
                self._make_one_by_one(path)

    def _make_one_by_one(self, path: str) -> None:
        if not path.strip("/") or self._is_directory(path):
            return
        self._make_one_by_one(parent(path))
        self.filesystem.mkdir(path, create_parents=False)

    def _is_directory(self, path: str) -> bool:
        info = self.look(path)
        return info is not None and info.get("type") == "directory"

    def look(self, path: str) -> Optional[Info]:
        """Return what the filesystem says about *path* now, None where it is missing."""
        try:
            return unless_missing(lambda: self.info(path))
        except NotADirectoryError:
            return None  # a file stands where a directory above it would have to be

    def _make_unless_made(self, path: str, make: Callable[[], Any]) -> None:
        try:
            make()
        except Exception:
            # Another worker may have made it in between.
            if not self._is_directory(path):
                raise

    def remove_directory(self, path: str) -> None:
        """Remove a directory that was seen to be empty."""
        with self.lock:
            self.filesystem.rmdir(path)

    def remove(self, path: str) -> None:
        """Delete one file."""
        with self.lock:
            self.filesystem.rm_file(path)

    def copy(self, old: str, new: str, admit: Admit, *, absent: bool) -> None:
        """Copy within the storage; *admit* is asked right before the copy becomes visible."""
        if not self.capabilities.server_move:
            admit()
            with self.lock:
                self.filesystem.cp_file(old, new)
            return
        with self._aside(new) as aside:
            with self.lock:
                self.filesystem.cp_file(old, aside)
            admit()
            self.rename(aside, new, absent=absent)

    def rename(self, old: str, new: str, *, absent: bool) -> None:
        """Rename one file by the literal call of the filesystem, replacing *new* unless it is expected *absent*."""
        with self.lock:
            self.filesystem.mv_file(old, new)

    def place(
        self, path: str, incoming: Incoming, admit: Admit, *, absent: bool, mtime_ns: Optional[int]
    ) -> Optional[Info]:
        """Write a file, all or nothing, asking *admit* right before; returns the info of what was written, if known."""
        with checked(incoming) as spool:
            if not self.capabilities.server_move and not self.capabilities.server_copy:
                admit()
                self._send_in_place(path, spool, incoming.count)
                return None
            with self._aside(path) as aside:
                self._send(aside, spool, incoming.count)
                self._check_size(aside, incoming.count)
                admit()
                self._bring(aside, path, absent=absent)
        return None

    def _bring(self, aside: str, path: str, *, absent: bool) -> None:
        if self.capabilities.server_move:
            self.rename(aside, path, absent=absent)
            return
        with self.lock:
            self.filesystem.cp_file(aside, path)
        self.remove(aside)

    def _send_in_place(self, path: str, spool: Any, size: int) -> None:
        existed = self.look(path) is not None
        try:
            self._send(path, spool, size)
        except BaseException:
            if not existed:
                self._discard(path)
            raise

    def _send(self, path: str, spool: Any, size: int) -> None:
        with self.lock:
            if self._own_pipe and (size <= IN_MEMORY_BYTES or not self._own_open):
                self.filesystem.pipe_file(path, spool.read())
                return
            with self.filesystem.open(path, "wb") as stream:
                pour(spool, stream)

    @contextmanager
    def _aside(self, path: str) -> Iterator[str]:
        """Give a temporary path beside *path*, and see that nothing is left there."""
        with temporary() as name:
            directory = parent(path)
            aside = f"{directory}/{name}" if directory or path.startswith("/") else name
            try:
                yield aside
            except BaseException:
                self._discard(aside)
                raise

    def _discard(self, path: str) -> None:
        # What cannot be removed now is named in the next listing as a leftover, and swept.
        with suppress(Exception):
            self.remove(path)

    def _check_size(self, path: str, size: int) -> Info:
        info = self.info(path)
        if info.get("size") not in (size, None):
            raise Unavailable(f"the storage kept {info.get('size')} of {size} bytes")
        return info

    def close(self) -> None:
        """Let go of connections."""


class RenamingDriver(Driver):
    """Storages with a rename: content streams to a temporary name beside its place."""

    def place(
        self, path: str, incoming: Incoming, admit: Admit, *, absent: bool, mtime_ns: Optional[int]
    ) -> Optional[Info]:
        """Stream to a temporary name, check, and rename over."""
        with self._aside(path) as aside:
            self.upload(aside, incoming)
            incoming.finish()
            if mtime_ns is not None and self.capabilities.set_mtime:
                self.set_mtime(aside, mtime_ns)
            info = self._check_size(aside, incoming.count)
            admit()
            self.rename(aside, path, absent=absent)
        return info if self.capabilities.set_mtime else None

    def upload(self, path: str, incoming: Incoming) -> None:
        """Send the content to a temporary name."""
        with self.lock, self.filesystem.open(path, "wb") as stream:
            pour(incoming, stream)

    def set_mtime(self, path: str, mtime_ns: int) -> None:
        """Set the time of the content."""
        raise Unsupported("the storage keeps no times")
