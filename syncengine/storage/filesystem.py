"""The storage client for everything that fsspec opens.

The client walks, checks conditions and translates errors; its driver makes the literal calls. ``client_for`` returns
a class with just the abilities the filesystem has, so that ``isinstance(client, SupportsMove)`` tells the truth.

On a web server a listing is one page a directory and one HEAD a file, a few at a time, because pages tell neither
sizes nor versions.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Deque, Dict, Iterable, Iterator, List, Optional, Tuple, Type

from ..core.entry import Entry, Extent, Kind, Listed, Problem, ProblemKind, Stamp
from ..core.paths import encoded, is_reserved, parent, refusal, shown
from ..errors import NotFound, PreconditionFailed, StorageError, SyncError, Unavailable, Unsupported
from .causes import shown_cause
from .drivers import Child, Driver, Incoming, driver_for
from .protocol import Expectation, Precondition, Prune, Source, exactly
from .quirks import Info, entry_from_info
from .temporary import is_abandoned, is_temporary, reserved_problem
from .translation import problem_from, translated, unless_missing

__all__ = ["FsspecStorageClient", "client_for", "translated"]

_LOOKS_AHEAD = 32


class FsspecSource:
    """One version of one file, opened for reading; ``verify`` looks once more at what was read."""

    local_path: Optional[str] = None

    def __init__(self, client: FsspecStorageClient, entry: Entry, stream: Any) -> None:
        self.size = entry.stamp.size
        self._client = client
        self._entry = entry
        self._stream = stream
        self._count = 0

    def read(self, size: int = -1) -> bytes:
        """Return up to *size* bytes, all of them if negative, and ``b""`` at the end."""
        with self._client.bordered(self._entry.path):
            data = bytes(self._stream.read(size))
        self._count += len(data)
        return data

    def verify(self) -> Stamp:
        """Return the stamp of what was read; raises PreconditionFailed where it is not one whole version."""
        path = self._entry.path
        if self.size is not None and self._count != self.size:
            raise PreconditionFailed(f"{shown(path)}: {self._count} of {self.size} bytes could be read", path=path)
        found = self._client.stat(path)
        if found is None or found.kind is not Kind.FILE:
            raise PreconditionFailed(f"{shown(path)}: it was removed while it was being read", path=path)
        granularity = self._client.capabilities.mtime_granularity_ns
        if self._entry.stamp.same_version(found.stamp, granularity_ns=granularity) is False:
            raise PreconditionFailed(f"{shown(path)}: it changed while it was being read", path=path)
        return found.stamp


def _root_cause(error: Exception) -> Exception:
    """Return what *error* is about: fsspec calls a web server that does not answer a file that is not there."""
    cause = error.__cause__
    refused = isinstance(error, FileNotFoundError) and isinstance(cause, OSError)
    return cause if refused and isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError) else error


class FsspecStorageClient:
    """Any fsspec filesystem below one root; see ``client_for``.

    Raises subclasses of StorageError only, and shows none of *secrets* in them.
    """

    def __init__(self, driver: Driver, *, identity: str, secrets: Iterable[str] = ()) -> None:
        self.identity = identity
        self._driver = driver
        self._secrets = tuple(secrets)
        self.capabilities = driver.capabilities

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._driver.family.name} {self.identity[:12]}>"

    @contextmanager
    def bordered(self, path: str) -> Iterator[None]:
        """Let nothing but our own errors pass."""
        try:
            yield
        except SyncError:
            raise
        except Exception as error:  # noqa: BLE001 - a border: it is raised again, translated
            raise translated(_root_cause(error), path, secrets=self._secrets) from shown_cause(error, self._secrets)

    # Looking

    def list(self, prefix: str = "", *, prune: Optional[Prune] = None) -> Iterator[Listed]:
        """Yield what lies below *prefix*, depth first, which is the order of positions."""
        walk = [self._listing(prefix, prune)]
        while walk:
            for item in walk[-1]:
                if not isinstance(item, Entry) or item.kind is not Kind.DIRECTORY:
                    yield item
                    continue
                below = self._entered(item, prune)
                if isinstance(below, Problem):
                    yield below
                    continue
                if self.capabilities.real_directories:
                    yield item
                if below is not None:
                    walk.append(below)
                    break
            else:
                walk.pop()

    def _entered(self, directory: Entry, prune: Optional[Prune]) -> Any:
        if prune is not None and prune(directory.path):
            return None
        try:
            return self._listing(directory.path, prune)
        except StorageError as error:
            return problem_from(error, directory.path, extent=Extent.SUBTREE)

    def _listing(self, key: str, prune: Optional[Prune]) -> Iterator[Listed]:
        with self.bordered(key):
            children = self._driver.children(key)
        items = self._ordered(key, children)
        if prune is not None:
            prune.enter(key, [item.path.rpartition("/")[2] for item in items if isinstance(item, Entry)])
        return self._looked_at(items) if self._driver.family.name == "http" else iter(items)

    def _ordered(self, key: str, children: Iterable[Child]) -> List[Listed]:
        found: Dict[str, Listed] = {}
        for name, info in children:
            item = self._listed(key, name, info)
            if item is not None:
                found[item.position] = item
        return [found[position] for position in sorted(found, key=encoded)]

    def _listed(self, key: str, name: str, info: Info) -> Optional[Listed]:
        """Return the entry for one name that a directory listing shows, or what is odd about it."""
        inside = f"{key}/" if key else ""
        plain = name.rstrip("/") if info.get("type") == "directory" or name.endswith("/") else name
        if not plain:
            return self._own(key, name, info)
        reason = refusal(plain)
        path = inside + plain
        if reason is not None:
            return Problem(ProblemKind.BAD_NAME, path, f"{shown(path)}: the name {reason}", extent=Extent.NOTHING)
        if "/" in plain:
            # A listing that shows deeper names implies the directories on the way.
            path, info = inside + plain.partition("/")[0], {"type": "directory"}
        own = path[len(inside) :]
        if is_reserved(own):
            return reserved_problem(path, directory=info.get("type") == "directory" or name.endswith("/"))
        unsupported = self._driver.refusal(path)
        if unsupported is not None:
            return Problem(ProblemKind.BAD_NAME, path, f"{shown(path)}: the name {unsupported}")
        if name.endswith("/"):
            info = {**info, "type": "directory"}
        return entry_from_info(self._driver.family, info, path)

    def _own(self, key: str, name: str, info: Info) -> Optional[Problem]:
        """Judge what a listing shows as the listed directory itself; an empty marker means nothing."""
        is_file = info.get("type") == "file"
        if not name and is_file:
            raise PreconditionFailed(f"{shown(key)}: it is a file, not a directory", path=key)
        if not name or not is_file or not info.get("size"):
            return None
        path = f"{key}/"
        message = f"{shown(path)}: a name with an empty last part, which no file can have"
        return Problem(ProblemKind.BAD_NAME, path, message, extent=Extent.NOTHING)

    def _looked_at(self, items: List[Listed]) -> Iterator[Listed]:
        """Look at every file of a directory, some ahead, and keep the order."""
        from concurrent.futures import Future, ThreadPoolExecutor

        with ThreadPoolExecutor(self.capabilities.threads) as pool:
            waiting: Deque[Future[Listed]] = deque()
            for item in items:
                waiting.append(pool.submit(self._look_again, item))
                if len(waiting) >= _LOOKS_AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _look_again(self, item: Listed) -> Listed:
        if not isinstance(item, Entry) or item.kind is Kind.DIRECTORY:
            return item
        try:
            found = self.stat(item.path)
        except StorageError as error:
            return problem_from(error, item.path)
        if found is None:
            return problem_from(NotFound(f"{shown(item.path)}: a link that leads nowhere"), item.path)
        return found if found.kind is Kind.FILE else item

    def stat(self, path: str) -> Optional[Entry]:
        """Look at one path, freshly; raises Unsupported for what is neither a file nor a directory."""
        self._check_key(path)
        with self.bordered(path):
            info = self._info(path)
        if info is None:
            return None
        found = entry_from_info(self._driver.family, info, path)
        if isinstance(found, Problem):
            raise Unsupported(found.message, path=path)
        return found

    def _info(self, path: str) -> Optional[Info]:
        info = self._driver.look(self._driver.path_of(path))
        # fsspec's default look does not see an empty root.
        return {"type": "directory"} if info is None and not path and self._has_root() else info

    def _has_root(self) -> bool:
        found = unless_missing(lambda: self._driver.children(""))
        return found is not None and (bool(found) or not self._driver.root.strip("/"))

    def _check_key(self, path: str) -> None:
        self._refuse(path, (refusal(path) or self._driver.refusal(path)) if path else None)

    @staticmethod
    def _refuse(path: str, reason: Optional[str]) -> None:
        if reason is not None:
            raise Unsupported(f"{shown(path)!r} cannot be a file of this storage: it {reason}", path=path)

    @contextmanager
    def read(self, path: str, *, expect: Optional[Stamp] = None) -> Iterator[Source]:
        """Open one version for reading; raises PreconditionFailed where it is not the expected one."""
        entry = self._file(path, expect)
        with self.bordered(path):
            stream = self._driver.opened(self._driver.path_of(path), entry.stamp.size)
        try:
            yield FsspecSource(self, entry, stream)
        finally:
            with self.bordered(path):
                stream.close()

    def _file(self, path: str, expect: Optional[Stamp]) -> Entry:
        found = self.stat(path)
        if expect is not None:
            self._check(exactly(expect), found, path)
        if found is None:
            raise NotFound(f"{shown(path)}: there is nothing there", path=path)
        if found.kind is not Kind.FILE:
            raise PreconditionFailed(f"{shown(path)}: it is a {found.kind.value}, not a file", path=path)
        return found

    def _check(self, expect: Precondition, found: Optional[Entry], path: str) -> None:
        expect.check(found, path, granularity_ns=self.capabilities.mtime_granularity_ns)

    # Changing

    def write(self, path: str, content: Source, *, expect: Precondition, mtime_ns: Optional[int] = None) -> Stamp:
        """Write a file, all or nothing, parents included, and return the stamp of the very bytes written."""
        self._check_writable(path)
        self._admit_file(path, expect)
        incoming = Incoming(content)
        place = self._driver.path_of(path)
        absent = expect.demand is Expectation.ABSENT

        def admit() -> None:
            self._admit_file(path, expect)

        with self.bordered(path):
            try:
                self._make_parents(path)
                info = self._driver.place(place, incoming, admit, absent=absent, mtime_ns=mtime_ns)
            except Exception:
                if incoming.failure is not None:
                    raise incoming.failure from None
                raise
        return self._written(path, info, incoming.count)

    def _written(self, path: str, info: Optional[Info], size: Optional[int]) -> Stamp:
        found = self.stat(path) if info is None else entry_from_info(self._driver.family, info, path)
        if not isinstance(found, Entry) or found.kind is not Kind.FILE:
            raise PreconditionFailed(f"{shown(path)}: it was removed right after it was written", path=path)
        if None not in (size, found.stamp.size) and found.stamp.size != size:
            message = f"{shown(path)}: it holds {found.stamp.size} bytes after {size} were written"
            raise Unavailable(message, path=path)
        return found.stamp

    def name_refusal(self, path: str) -> Optional[str]:
        """Return why nothing of this name can be written, or None where it can."""
        return self._driver.refusal(path) or self._driver.write_refusal(path)

    def _check_writable(self, path: str) -> None:
        self._check_key(path)
        self._refuse(path, self._driver.write_refusal(path))
        if not self.capabilities.writable:
            raise Unsupported(f"{shown(path)}: {self._driver.family.name} can only be read", path=path)
        if not path:
            raise Unsupported("the root itself cannot be a file; give its parent as root and its name as scope")

    def _admit_file(self, path: str, expect: Precondition) -> Optional[Entry]:
        found = self.stat(path)
        if found is not None and found.kind is Kind.DIRECTORY and not self.capabilities.real_directories:
            found = None  # a key may stand beside keys that continue it, and beside a marker
        self._check(expect, found, path)
        if found is not None and found.kind is Kind.DIRECTORY:
            raise PreconditionFailed(f"{shown(path)}: it is a directory", path=path)
        return found

    def _make_parents(self, path: str) -> None:
        self._driver.make_directory(self._driver.path_of(parent(path)))

    def delete(self, path: str, *, expect: Precondition) -> None:
        """Delete one file; what is gone already is gone, unless *expect* names a version."""
        self._check_writable(path)
        with self._driver.condition, self.bordered(path):
            if self._admit_file(path, expect) is not None:
                unless_missing(lambda: self._driver.remove(self._driver.path_of(path)))

    def close(self) -> None:
        """Let go of connections."""
        with self.bordered(""):
            self._driver.close()


class _Copies(FsspecStorageClient):
    def copy(self, old: str, new: str, *, expect: Precondition, expect_origin: Optional[Stamp] = None) -> Stamp:
        """Copy *old* to *new* within the storage and return the stamp of the copy."""
        self._check_writable(new)
        origin = self._file(old, expect_origin)
        self._admit_file(new, expect)

        def admit() -> None:
            self._file(old, origin.stamp)
            self._admit_file(new, expect)

        absent = expect.demand is Expectation.ABSENT
        with self.bordered(new):
            self._make_parents(new)
            self._driver.copy(self._driver.path_of(old), self._driver.path_of(new), admit, absent=absent)
        return self._written(new, None, origin.stamp.size)


class _Moves(FsspecStorageClient):
    def move(self, old: str, new: str, *, expect: Precondition, expect_origin: Optional[Stamp] = None) -> Stamp:
        """Rename *old* to *new*, parents included, and return the stamp at the new name."""
        self._check_writable(old)
        self._check_writable(new)
        absent = expect.demand is Expectation.ABSENT
        with self.bordered(new):
            self._file(old, expect_origin)
            self._admit_file(new, expect)
            self._make_parents(new)
            with self._driver.condition:
                origin = self._file(old, expect_origin)
                self._admit_file(new, expect)
                self._driver.rename(self._driver.path_of(old), self._driver.path_of(new), absent=absent)
        return self._written(new, None, origin.stamp.size)


class _Directories(FsspecStorageClient):
    def make_directory(self, path: str) -> None:
        """Make a directory, parents included; one that exists is left as it is."""
        if path:
            self._check_writable(path)
        with self.bordered(path):
            self._driver.make_directory(self._driver.path_of(path))
        found = self.stat(path)
        if found is None or found.kind is not Kind.DIRECTORY:
            raise PreconditionFailed(f"{shown(path)}: something else stands there", path=path)

    def remove_directory(self, path: str) -> None:
        """Remove a directory only if it is empty; raises PreconditionFailed where it is not, or is no directory."""
        self._check_writable(path)
        with self._driver.condition, self.bordered(path):
            found = self.stat(path)
            if found is None:
                return
            if found.kind is not Kind.DIRECTORY:
                raise PreconditionFailed(f"{shown(path)}: it is not a directory", path=path)
            if any(name.strip("/") for name, _ in self._driver.children(path)):
                raise PreconditionFailed(f"{shown(path)}: it is not empty", path=path)
            self._driver.remove_directory(self._driver.path_of(path))


class _Sweeps(FsspecStorageClient):
    def sweep(self, path: str) -> bool:
        """Delete a temporary file if its writer is dead; say whether it was deleted."""
        name = path.rpartition("/")[2]
        if not is_temporary(name):
            return False
        found = self.stat(path)
        if found is None or found.kind is not Kind.FILE:
            return False
        mtime_ns = found.stamp.mtime_ns
        age = None if mtime_ns is None else time.time() - mtime_ns / 1e9
        if not is_abandoned(name, age):
            return False
        with self.bordered(path):
            self._driver.remove(self._driver.path_of(path))
        return True


@lru_cache(maxsize=64)
def _class_with(abilities: Tuple[Type[FsspecStorageClient], ...]) -> Type[FsspecStorageClient]:
    return type("FsspecStorageClient", abilities or (FsspecStorageClient,), {"__module__": __name__})


def client_for(
    filesystem: Any, root: str, *, identity: str, secrets: Iterable[str] = (), private: bool = False
) -> FsspecStorageClient:
    """Return a client for *filesystem* below *root*, with just the abilities the filesystem has.

    *root* is spelled as the filesystem spells it, without protocol. A *private* instance is nobody else's, so its
    caches are switched off once; another's are dropped before every look.
    """
    driver = driver_for(filesystem, root, private=private)
    can = driver.capabilities
    abilities: List[Type[FsspecStorageClient]] = []
    if can.writable:
        abilities += [_Copies] if can.server_copy else []
        abilities += [_Moves] if can.server_move else []
        abilities += [_Directories] if can.real_directories else []
        abilities += [_Sweeps] if driver.writes_aside else []
    return _class_with(tuple(abilities))(driver, identity=identity, secrets=secrets)
