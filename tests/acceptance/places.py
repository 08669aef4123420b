"""The places scenarios are performed on, and clients that fail, crash or do not see on command.

A place is edited behind the engine's back, as users do; the engine gets a storage client of the project's own class,
with faults put in front of its methods.
"""

from __future__ import annotations

import os
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Set, Type
from unicodedata import normalize
from uuid import uuid4

import fsspec
from attrs import define, field

from syncengine import AccessDenied, Problem, locate
from syncengine.core.entry import Extent, ProblemKind
from syncengine.core.paths import RESERVED_PREFIX, is_within
from tests.storage.folding import DecomposingClient, FoldingClient

Tree = Dict[str, str]


class Killed(BaseException):
    """The process was killed."""


@define
class Faults:
    """What goes wrong in one run; side effects are counted over both sides."""

    crash_after: Optional[int] = None
    effects: int = 0

    def happened(self) -> None:
        """Count one completed side effect, and die after the last that was allowed."""
        self.effects += 1
        if self.crash_after is not None and self.effects >= self.crash_after:
            raise Killed


class LocalPlace:
    """A folder on disk."""

    abilities = frozenset({"dirs", "content_hash", "case_sensitive_source"})

    def __init__(self, base: Path) -> None:
        self.path = base / uuid4().hex
        self.path.mkdir(parents=True)

    @property
    def url(self) -> str:
        return str(self.path)

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

    def __init__(self, _: Path) -> None:
        self.root = f"/{uuid4().hex}"
        self.filesystem = fsspec.filesystem("memory")
        self.filesystem.makedirs(self.root)

    @property
    def url(self) -> str:
        return f"memory:/{self.root}"

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


PLACES: Dict[str, Any] = {
    "local": LocalPlace,
    "memory": MemoryPlace,
    "insensitive": InsensitivePlace,
    "decomposed": DecomposedPlace,
}


@define(eq=False)
class Faulty:
    """How one side's client misbehaves in one run."""

    faults: Faults
    blind: List[str] = field(factory=list)
    unwritable: List[str] = field(factory=list)
    moved_bodies: List[str] = field(factory=list)
    written: List[str] = field(factory=list)


def client_of(place: Any, faulty: Faulty) -> Any:
    """Return a client for *place* whose calls go through *faulty*."""
    client = place.client() if isinstance(place, InsensitivePlace) else locate(place.url).open()
    client.__class__ = _misbehaving(type(client))
    client.faulty = faulty
    return client


_MADE: Dict[Type[Any], Type[Any]] = {}


def _misbehaving(cls: Type[Any]) -> Type[Any]:
    """Return *cls* with faults before, and counting after, each of its side effects."""
    if cls in _MADE:
        return _MADE[cls]

    class Misbehaving(cls):  # type: ignore[misc]
        faulty: Faulty

        def list(self, prefix: str = "", **options: Any) -> Iterator[Any]:
            reported: Set[str] = set()
            for item in super().list(prefix, **options):
                blind = next((place for place in self.faulty.blind if is_within(item.path, place)), None)
                if blind is None:
                    yield item
                elif blind not in reported:
                    reported.add(blind)
                    yield Problem(ProblemKind.DENIED, blind, "the listing failed", extent=Extent.SUBTREE)

        def stat(self, path: str) -> Any:
            if any(is_within(path, place) for place in self.faulty.blind):
                raise AccessDenied(f"{path}: cannot be seen", path=path)
            return super().stat(path)

    def effect(name: str) -> Callable[..., Any]:
        def method(self: Any, *arguments: Any, **options: Any) -> Any:
            target = arguments[0] if name not in ("move", "copy", "preserve") else arguments[1]
            if name in ("write", "copy", "move") and target in self.faulty.unwritable:
                raise AccessDenied(f"{target}: cannot be written", path=target)
            result = getattr(super(made, self), name)(*arguments, **options)
            self.faulty.written.append(target)
            self.faulty.faults.happened()
            return result

        return method

    made = type(f"Misbehaving{cls.__name__}", (Misbehaving,), {})
    for name in ("write", "move", "copy", "preserve", "delete", "make_directory", "remove_directory"):
        if hasattr(cls, name):
            setattr(made, name, effect(name))
    _MADE[cls] = made
    return made
