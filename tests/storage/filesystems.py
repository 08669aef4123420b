"""Filesystems as users write them: one with the least that works, one with literal copies, renames and directories."""

from __future__ import annotations

import io
from typing import Any, ClassVar, Dict, List, Set

import fsspec
from fsspec.spec import AbstractFileSystem


class _Upload(io.BytesIO):
    def __init__(self, store: Dict[str, bytes], path: str) -> None:
        super().__init__()
        self._store = store
        self._path = path

    def close(self) -> None:
        if not self.closed:
            self._store[self._path] = self.getvalue()
        super().close()


def _is_direct(name: str, inside: str) -> bool:
    return name.startswith(inside) and name != inside and "/" not in name[len(inside) :]


class BareFileSystem(AbstractFileSystem):
    """Listings, opening and deleting, and nothing else."""

    protocol = "bare"
    store: ClassVar[Dict[str, bytes]] = {}

    def _info_of(self, path: str) -> Dict[str, Any]:
        return {"name": path, "type": "file", "size": len(self.store[path]), "version": hash(self.store[path])}

    def _directories(self) -> Set[str]:
        return {path[:at] for path in self.store for at, sign in enumerate(path) if sign == "/"}

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> List[Any]:
        path = self._strip_protocol(path)
        if path in self.store:
            return [self._info_of(path)] if detail else [path]
        if path and path not in self._directories():
            raise FileNotFoundError(path)
        found = self._inside(path)
        return found if detail else [info["name"] for info in found]

    def _inside(self, path: str) -> List[Dict[str, Any]]:
        inside = f"{path}/" if path else ""
        files = [self._info_of(name) for name in self.store if _is_direct(name, inside)]
        below = (name for name in self._directories() if _is_direct(name, inside))
        return files + [{"name": name, "type": "directory", "size": 0} for name in below]

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        if mode == "rb":
            if path not in self.store:
                raise FileNotFoundError(path)
            return io.BytesIO(self.store[path])
        return _Upload(self.store, path)

    def rm_file(self, path: str) -> None:
        if path not in self.store:
            raise FileNotFoundError(path)
        del self.store[path]


class RichFileSystem(BareFileSystem):
    """Literal copies, renames and real directories besides."""

    protocol = "rich"
    directories: ClassVar[Set[str]] = set()

    def _directories(self) -> Set[str]:
        return super()._directories() | self.directories

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        self.store[path2] = self.store[path1]

    def mv_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        self.store[path2] = self.store.pop(path1)

    def mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:
        if path in self.store:
            raise FileExistsError(path)
        self.directories.add(path)

    def rmdir(self, path: str) -> None:
        if self.ls(path):
            raise OSError(39, "not empty", path)
        self.directories.discard(path)


def register() -> None:
    for filesystem_class in (BareFileSystem, RichFileSystem):
        fsspec.register_implementation(filesystem_class.protocol, filesystem_class, clobber=True)
