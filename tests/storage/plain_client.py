"""A storage client as a user writes it: plain Python, the five methods, and nothing of ours but the values."""

from __future__ import annotations

import io
import threading
from contextlib import contextmanager
from typing import Dict, Iterator, Mapping, Optional, Tuple

from syncengine.core.entry import Entry, Extent, Kind, Listed, Problem, ProblemKind, Stamp
from syncengine.core.paths import TEMPORARY_PREFIX, encoded, is_reserved, parents, refusal
from syncengine.errors import NotFound, PreconditionFailed, Unsupported
from syncengine.storage.protocol import ANYTHING, Capabilities, Precondition, Prune, Source, exactly


class _Content:
    local_path = None

    def __init__(self, content: bytes, stamp: Stamp) -> None:
        self.size: Optional[int] = len(content)
        self._stream = io.BytesIO(content)
        self._stamp = stamp

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(size)

    def verify(self) -> Stamp:
        if self._stream.tell() != self.size:
            raise PreconditionFailed("it was not read to its end")
        return self._stamp


class PlainClient:
    """Files in a dictionary, each with a running number as its version."""

    capabilities = Capabilities(
        atomic_put=True, create_if_absent=True, replace_if_unchanged=True, delete_if_unchanged=True, ephemeral=True
    )

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.identity = f"plain-{id(self)}"
        self._lock = threading.Lock()
        self._number = 0
        self._files: Dict[str, Tuple[bytes, int]] = {path: (content, 0) for path, content in files.items()}

    def list(self, prefix: str = "", *, prune: Optional[Prune] = None) -> Iterator[Listed]:
        inside = f"{prefix}/" if prefix else ""
        paths = sorted((path for path in self._files if path.startswith(inside)), key=encoded)
        if prefix and not paths:
            raise NotFound(f"{prefix}: nothing is there", path=prefix)
        entered = {prefix: True}
        if prune is not None:
            prune.enter(prefix, [])
        for path in paths:
            if is_reserved(path[len(inside) :]):
                if path.rpartition("/")[2].startswith(TEMPORARY_PREFIX):
                    yield Problem(ProblemKind.LEFTOVER, path, "left behind", extent=Extent.NOTHING)
                continue
            if self._is_entered(path, inside, entered, prune):
                yield self._entry(path)

    def _is_entered(self, path: str, inside: str, entered: Dict[str, bool], prune: Optional[Prune]) -> bool:
        for directory in parents(path):
            if directory not in entered and directory.startswith(inside):
                entered[directory] = prune is None or not prune(directory)
                if prune is not None and entered[directory]:
                    prune.enter(directory, [])
            if not entered.get(directory, True):
                return False
        return True

    def _entry(self, path: str) -> Entry:
        content, version = self._files[path]
        return Entry(path, Kind.FILE, Stamp(size=len(content), version=str(version)))

    def stat(self, path: str) -> Optional[Entry]:
        if not path:
            return Entry("", Kind.DIRECTORY, Stamp())
        if refusal(path):
            raise Unsupported(f"{path!r} is no path", path=path)
        return self._entry(path) if path in self._files else None

    @contextmanager
    def read(self, path: str, *, expect: Optional[Stamp] = None) -> Iterator[Source]:
        found = self.stat(path)
        (ANYTHING if expect is None else exactly(expect)).check(found, path)
        if found is None:
            raise NotFound(f"{path}: nothing is there", path=path)
        yield _Content(self._files[path][0], found.stamp)

    def write(self, path: str, content: Source, *, expect: Precondition, mtime_ns: Optional[int] = None) -> Stamp:
        expect.check(self.stat(path), path)
        read = b"".join(iter(lambda: content.read(1 << 16), b""))
        if content.size not in (None, len(read)):
            raise PreconditionFailed(f"{path}: {len(read)} bytes instead of {content.size}", path=path)
        content.verify()
        with self._lock:
            expect.check(self.stat(path), path)
            self._number += 1
            self._files[path] = (read, self._number)
        return self._entry(path).stamp

    def delete(self, path: str, *, expect: Precondition) -> None:
        with self._lock:
            expect.check(self.stat(path), path)
            self._files.pop(path, None)
