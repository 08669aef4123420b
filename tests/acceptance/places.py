"""The places scenarios are performed on, and clients that fail, crash or do not see on command.

A place is edited behind the engine's back, as users do; the engine gets a storage client of the project's own class,
with faults put in front of its methods.
"""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Set, Type
from unicodedata import normalize
from uuid import uuid4

import fsspec
from attrs import define, field

from syncengine import AccessDenied, Problem, StorageError, locate
from syncengine.core.entry import Extent, ProblemKind
from syncengine.core.paths import RESERVED_PREFIX, is_within
from tests.storage.folding import DecomposingClient, FoldingClient, MacClient
from tests.storage.object_servers import S3Server
from tests.storage.sftp_servers import Server

Tree = Dict[str, str]


class Killed(BaseException):
    """The process was killed."""


@define(eq=False)
class Faults:
    """What goes wrong in one run; side effects are counted over both sides and all threads."""

    crash_after: Optional[int] = None
    effects: int = 0
    _lock: Any = field(factory=threading.RLock)
    _inside: Any = field(factory=threading.local)

    @contextmanager
    def effect(self) -> Iterator[bool]:
        """Hold one side effect, and count it when it is done; what a method calls by itself is part of it.

        A killed process does nothing more: after the last effect that was allowed no other begins.
        """
        if getattr(self._inside, "busy", False):
            yield False
            return
        with self._lock:
            self._die_if_due()
            self._inside.busy = True
            try:
                yield True
            finally:
                self._inside.busy = False
            self.effects += 1
            self._die_if_due()

    def _die_if_due(self) -> None:
        if self.crash_after is not None and self.effects >= self.crash_after:
            raise Killed


class LocalPlace:
    """A folder on disk."""

    abilities = frozenset({"dirs", "content_hash", "case_sensitive_source"})

    def __init__(self, base: Path, _: Optional[S3Server] = None) -> None:
        self.path = base / uuid4().hex
        self.path.mkdir(parents=True)

    @property
    def url(self) -> str:
        return str(self.path)

    def client(self) -> Any:
        return locate(self.url).open()

    def write(self, name: str, content: str, mtime: float) -> None:
        target = self.path / name
        if target.is_dir():
            shutil.rmtree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        self.touch(name, mtime)

    def touch(self, name: str, mtime: float) -> None:
        os.utime(self.path / name, ns=(int(mtime * 1e9), int(mtime * 1e9)))

    def delete(self, name: str) -> None:
        target = self.path / name
        shutil.rmtree(target) if target.is_dir() else target.unlink()

    def rename(self, old: str, new: str) -> None:
        assert not (self.path / new).exists()
        (self.path / new).parent.mkdir(parents=True, exist_ok=True)
        (self.path / old).rename(self.path / new)

    def make_directory(self, name: str) -> None:
        (self.path / name).mkdir(parents=True)

    def hide(self) -> None:
        self.path.rename(self.path.with_suffix(".hidden"))

    def unhide(self) -> None:
        self.path.with_suffix(".hidden").rename(self.path)

    def everything(self) -> Tree:
        return {
            path.relative_to(self.path).as_posix(): path.read_text() for path in self.path.rglob("*") if path.is_file()
        }

    def empty_directories(self) -> Set[str]:
        return {
            path.relative_to(self.path).as_posix() + "/"
            for path in self.path.rglob("*")
            if path.is_dir() and RESERVED_PREFIX not in str(path) and not any(path.iterdir())
        }


class MemoryPlace:
    """A folder of fsspec's memory filesystem."""

    abilities = frozenset({"content_hash", "case_sensitive_source"})

    def __init__(self, _: Path, __: Optional[S3Server] = None) -> None:
        self.root = f"/{uuid4().hex}"
        self.filesystem = fsspec.filesystem("memory")
        self.filesystem.makedirs(self.root)

    @property
    def url(self) -> str:
        return f"memory:/{self.root}"

    def client(self) -> Any:
        return locate(self.url).open()

    def write(self, name: str, content: str, mtime: float) -> None:
        if self.filesystem.isdir(f"{self.root}/{name}"):
            self.filesystem.rm(f"{self.root}/{name}", recursive=True)
        self.filesystem.pipe_file(f"{self.root}/{name}", content.encode())
        self.touch(name, mtime)

    def touch(self, name: str, mtime: float) -> None:
        moment = datetime.fromtimestamp(mtime, timezone.utc)
        self.filesystem.store[f"{self.root}/{name}"].modified = moment

    def delete(self, name: str) -> None:
        self.filesystem.rm(f"{self.root}/{name}", recursive=True)

    def rename(self, old: str, new: str) -> None:
        store, root = self.filesystem.store, self.root
        for path in [path for path in store if is_within(path, f"{root}/{old}")]:
            moved = f"{root}/{new}" + path[len(f"{root}/{old}") :]
            assert moved not in store
            self.filesystem.makedirs(moved.rpartition("/")[0], exist_ok=True)
            store[moved] = store.pop(path)
        if self.filesystem.isdir(f"{root}/{old}"):
            self.filesystem.rm(f"{root}/{old}", recursive=True)

    def make_directory(self, name: str) -> None:
        self.filesystem.makedirs(f"{self.root}/{name}")

    def _all(self, where: Any) -> List[str]:
        return [path for path in where if is_within(path, self.root)]

    def hide(self) -> None:
        self._hidden = {path: self.filesystem.store.pop(path) for path in self._all(list(self.filesystem.store))}
        self._hidden_directories = self._all(list(self.filesystem.pseudo_dirs))
        for path in self._hidden_directories:
            self.filesystem.pseudo_dirs.remove(path)

    def unhide(self) -> None:
        self.filesystem.store.update(self._hidden)
        self.filesystem.pseudo_dirs.extend(self._hidden_directories)

    def everything(self) -> Tree:
        start = len(self.root) + 1
        store = self.filesystem.store
        return {path[start:]: store[path].getvalue().decode() for path in self._all(store)}

    def empty_directories(self) -> Set[str]:
        return set()


class InsensitivePlace(LocalPlace):
    """A folder on a disk that takes names of different case for one."""

    abilities = frozenset({"dirs", "content_hash", "case_insensitive_destination"})
    kind: Type[FoldingClient] = FoldingClient

    def client(self) -> FoldingClient:
        return self.kind(str(self.path))

    def _found(self, name: str) -> str:
        return self.client().found(name)

    def write(self, name: str, content: str, mtime: float) -> None:
        super().write(self._found(name), content, mtime)

    def touch(self, name: str, mtime: float) -> None:
        super().touch(self._found(name), mtime)

    def delete(self, name: str) -> None:
        super().delete(self._found(name))

    def rename(self, old: str, new: str) -> None:
        super().rename(self._found(old), new if self._found(old) == self._found(new) else self._found(new))

    def make_directory(self, name: str) -> None:
        super().make_directory(self._found(name))


class DecomposedPlace(InsensitivePlace):
    """A folder on a disk that stores accents apart from their letters; scenarios spell them composed."""

    abilities = frozenset({"dirs", "content_hash", "nfd_destination"})
    kind = DecomposingClient

    def everything(self) -> Tree:
        return {normalize("NFC", path): text for path, text in super().everything().items()}


class MacPlace(DecomposedPlace):
    """A folder on a disk that does both."""

    abilities = frozenset({"dirs", "content_hash", "case_insensitive_destination", "nfd_destination"})
    kind = MacClient


class S3Place:
    """A bucket of its own, edited by plain requests."""

    abilities = frozenset({"content_hash", "case_sensitive_source"})

    def __init__(self, _: Path, server: Optional[S3Server] = None) -> None:
        assert server is not None
        self.server = server
        self.bucket = server.bucket()

    def client(self) -> Any:
        return self.server.client(self.bucket)

    def _call(self, method: str, **given: Any) -> Any:
        return self.server.filesystem().call_s3(method, Bucket=self.bucket, **given)

    def _keys(self, name: str = "") -> List[str]:
        keys = self.server.keys(self.bucket)
        return [key for key in keys if not name or is_within(key, name)]

    def write(self, name: str, content: str, mtime: float) -> None:
        for key in self._keys(name):
            if key != name:
                self._call("delete_object", Key=key)  # a directory makes room for the file
        self._call("put_object", Key=name, Body=content.encode(), Metadata={"mtime": f"{mtime:f}"})

    def touch(self, name: str, mtime: float) -> None:
        self._copy(name, name, Metadata={"mtime": f"{mtime:f}"}, MetadataDirective="REPLACE")

    def _copy(self, old: str, new: str, **given: Any) -> None:
        self._call("copy_object", Key=new, CopySource={"Bucket": self.bucket, "Key": old}, **given)

    def delete(self, name: str) -> None:
        found = self._keys(name)
        assert found, f"{name} is not there"
        for key in found:
            self._call("delete_object", Key=key)

    def rename(self, old: str, new: str) -> None:
        assert not self._keys(new)
        for key in self._keys(old):
            self._copy(key, new + key[len(old) :])
            self._call("delete_object", Key=key)

    def make_directory(self, name: str) -> None:
        """Do nothing: a bucket has no directories."""

    def hide(self) -> None:
        self._hidden, self.bucket = self.bucket, f"{self.bucket}-missing"

    def unhide(self) -> None:
        self.bucket = self._hidden

    def everything(self) -> Tree:
        return {key: self.server.content(self.bucket, key).decode() for key in self._keys()}

    def empty_directories(self) -> Set[str]:
        return set()


class SftpPlace(LocalPlace):
    """A folder behind a real sshd, edited on the disk it lies on; contents are compared by downloading."""

    def __init__(self, base: Path, server: Any = None) -> None:
        assert server is not None
        self.server: Server = server
        super().__init__(server.folder / base.name)

    def client(self) -> Any:
        url = self.server.url(str(self.path.relative_to(self.server.folder)))
        return locate(url, options=self.server.options()).open()


PLACES: Dict[str, Any] = {
    "local": LocalPlace,
    "sftp": SftpPlace,
    "memory": MemoryPlace,
    "insensitive": InsensitivePlace,
    "decomposed": DecomposedPlace,
    "mac": MacPlace,
    "s3": S3Place,
}


@define(eq=False)
class Faulty:
    """How one side's client misbehaves in one run, and what it wrote."""

    faults: Faults
    blind: List[str] = field(factory=list)
    unwritable: List[str] = field(factory=list)
    written: List[str] = field(factory=list)

    def is_blind(self, path: str) -> bool:
        return any(is_within(path, place) for place in self.blind)

    def is_unwritable(self, path: str) -> bool:
        """Say whether *path* cannot be written, or holds what cannot be."""
        return any(is_within(place, path) for place in self.unwritable)


def client_of(place: Any, faulty: Faulty) -> Any:
    """Return a client for *place* whose calls go through *faulty*."""
    client = place.client()
    client.__class__ = _misbehaving(type(client))
    client.faulty = faulty
    return client


_MADE: Dict[Type[Any], Type[Any]] = {}
_TARGET = {"move": 1, "move_directory": 1, "copy": 1, "preserve": 1, "copy_from": 2}
"""Which argument names what is written, where that is not the first."""

_WRITES = ("write", "copy", "move", "move_directory", "copy_from", "write_link")
_EFFECTS = (*_WRITES, "preserve", "delete", "make_directory", "remove_directory", "set_mode")


def _misbehaving(cls: Type[Any]) -> Type[Any]:
    """Return *cls* with faults before, and counting after, each of its side effects."""
    if cls in _MADE:
        return _MADE[cls]

    class Misbehaving(cls):  # type: ignore[misc]
        faulty: Faulty

        def list(self, prefix: str = "", **options: Any) -> Iterator[Any]:
            if self.faulty.is_blind(prefix):
                raise AccessDenied(f"{prefix}: the listing failed", path=prefix)
            return self._seen(super().list(prefix, **options))

        def _seen(self, listing: Any) -> Iterator[Any]:
            reported: Set[str] = set()
            for item in listing:
                blind = next((place for place in self.faulty.blind if is_within(item.path, place)), None)
                if blind is None:
                    yield item
                elif blind not in reported:
                    reported.add(blind)
                    yield Problem(ProblemKind.DENIED, blind, "the listing failed", extent=Extent.SUBTREE)

        def stat(self, path: str) -> Any:
            if path and self.faulty.is_blind(path):
                raise AccessDenied(f"{path}: cannot be seen", path=path)
            return super().stat(path)

    def effect(name: str) -> Callable[..., Any]:
        def method(self: Any, *arguments: Any, **options: Any) -> Any:
            target = arguments[_TARGET.get(name, 0)]
            if name in _WRITES and self.faulty.is_unwritable(target):
                raise AccessDenied(f"{target}: cannot be written", path=target)
            with self.faulty.faults.effect() as outermost:
                result = getattr(super(made, self), name)(*arguments, **options)
                if outermost:
                    self.faulty.written.append(target)
            return result

        return method

    def delete_many(self: Any, paths: Any) -> Dict[str, Optional[StorageError]]:
        """Delete one after the other, so that a run can be killed in between."""
        answers: Dict[str, Optional[StorageError]] = {}
        for path in paths:
            with self.faulty.faults.effect():
                answers.update(super(made, self).delete_many([path]))
                self.faulty.written.append(path)
        return answers

    made = type(f"Misbehaving{cls.__name__}", (Misbehaving,), {})
    for name in _EFFECTS:
        if hasattr(cls, name):
            setattr(made, name, effect(name))
    if hasattr(cls, "delete_many"):
        made.delete_many = delete_many  # type: ignore[attr-defined]
    _MADE[cls] = made
    return made
