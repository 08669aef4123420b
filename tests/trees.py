"""Trees on disk, what is in them, and storages that fail on request."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, ClassVar, Dict, List, Mapping, Optional, Set, Tuple, Union

from fsspec.spec import AbstractFileSystem

import syncengine
from syncengine.core.paths import RESERVED_PREFIX, TRASH_FOLDER
from syncengine.storage.local import LocalStorageClient

Content = Union[str, bytes, None]
PROJECT = Path(syncengine.__file__).parents[1]


def write(folder: Path, files: Mapping[str, Content]) -> Path:
    """Put *files* below *folder*; None makes a directory."""
    folder.mkdir(parents=True, exist_ok=True)
    for key, content in files.items():
        path = folder / key
        if content is None:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def aged(*folders: Path) -> None:
    """Let all files be an hour old, so that no stamp is too fresh to be trusted."""
    for folder in folders:
        for path in folder.rglob("*"):
            before = path.stat().st_mtime_ns - 3_600_000_000_000
            os.utime(path, ns=(before, before))


def remembered(source: Path, destination: Path) -> Tuple[int, List[Any], List[Any]]:
    """Return what the default state holds of a pair: generation, rows and runs."""
    with syncengine.SyncEngine(source, destination) as engine:
        state = engine.job().state
        assert state is not None
        return state.generation, list(state.rows()), state.runs()


def everything(folder: Path) -> Dict[str, Optional[str]]:
    """Return all that lies below *folder*: the text of files, None for directories, ``-> target`` for links."""
    found: Dict[str, Optional[str]] = {}
    for path in sorted(folder.rglob("*")):
        key = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[key] = f"-> {os.readlink(path)}"
        else:
            found[key] = None if path.is_dir() else path.read_bytes().decode("latin-1")
    return found


def tree(folder: Path) -> Dict[str, Optional[str]]:
    """Return what a user sees below *folder*."""
    return {key: content for key, content in everything(folder).items() if RESERVED_PREFIX not in key}


def files(folder: Path) -> Dict[str, str]:
    """Return the files that a user sees below *folder*."""
    return {key: content for key, content in tree(folder).items() if content is not None}


def trash(folder: Path) -> Dict[str, str]:
    """Return what is kept in the trash below *folder*, by the path it had."""
    kept = {}
    for key, content in everything(folder).items():
        if key.startswith(TRASH_FOLDER + "/") and content is not None:
            kept[key.split("/", 2)[2]] = content
    return kept


def exactly(*folders: Path) -> List[Tuple[str, Any]]:
    """Return everything about *folders* that a change would show: names, contents, times, permissions."""
    seen: List[Tuple[str, Any]] = []
    for folder in folders:
        for path in [folder, *sorted(folder.rglob("*"))]:
            if not os.path.lexists(path):
                seen.append((str(path), None))
                continue
            about = path.lstat()
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
            seen.append((str(path), (about.st_mode, about.st_mtime_ns, about.st_ino, content)))
    return seen


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start another process that runs *code* with *arguments*."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
    )


def output_of(code: str, *arguments: object) -> str:
    """Run *code* in another process to its end and return what it printed."""
    with python(code, *arguments) as process:
        said, complained = process.communicate(timeout=60)
    assert process.returncode == 0, complained
    return said.strip()


class LocalWithHook(LocalStorageClient):
    """The local client, with a function that is called before each change and may raise."""

    def __init__(self, root: Path, before: Callable[[str, str], None], **options: Any) -> None:
        super().__init__(str(root), **options)
        self._before = before

    def write(self, path: str, content: Any, **options: Any) -> Any:
        self._before("write", path)
        return super().write(path, content, **options)

    def copy(self, old: str, new: str, **options: Any) -> Any:
        self._before("copy", new)
        return super().copy(old, new, **options)

    def move(self, old: str, new: str, **options: Any) -> Any:
        self._before("move", new)
        return super().move(old, new, **options)

    def preserve(self, path: str, new: str, **options: Any) -> Any:
        self._before("preserve", new)
        return super().preserve(path, new, **options)

    def delete(self, path: str, **options: Any) -> None:
        self._before("delete", path)
        super().delete(path, **options)

    def make_directory(self, path: str) -> None:
        self._before("make_directory", path)
        super().make_directory(path)

    def remove_directory(self, path: str) -> None:
        self._before("remove_directory", path)
        super().remove_directory(path)


class _Reading(io.BytesIO):
    def __init__(self, path: str, content: bytes, hook: Callable[[str, str], None]) -> None:
        super().__init__(content)
        self._path = path
        self._hook = hook

    def read(self, size: Optional[int] = -1) -> bytes:
        self._hook("read", self._path)
        return super().read(size)


class _Writing(io.BytesIO):
    """Commits what was written when it is closed, as object stores and many filesystems do."""

    def __init__(self, filesystem: FaultyFileSystem, path: str) -> None:
        super().__init__()
        self._filesystem = filesystem
        self._path = path

    def write(self, data: Any) -> int:
        count = super().write(data)
        self._filesystem.hook("write", self._path)
        return count

    def close(self) -> None:
        if not self.closed:
            self._filesystem.put(self._path, self.getvalue())
        super().close()


class FaultyFileSystem(AbstractFileSystem):
    """A filesystem of somebody's own, whose calls ask a function first; the function may raise or change the store."""

    protocol = "faulty"
    cachable = False
    store: ClassVar[Dict[str, Tuple[bytes, int]]] = {}
    hook: ClassVar[Callable[[str, str], None]] = staticmethod(lambda call, path: None)
    versions: ClassVar[int] = 0

    @classmethod
    def clear(cls) -> None:
        """Empty the store and forget the function."""
        cls.store = {}
        cls.hook = staticmethod(lambda call, path: None)

    @classmethod
    def put(cls, path: str, content: bytes) -> None:
        """Put a new version at *path*."""
        cls.versions += 1
        cls.store[path] = (content, cls.versions)

    def _info_of(self, path: str) -> Dict[str, Any]:
        content, version = self.store[path]
        return {"name": path, "type": "file", "size": len(content), "version": str(version)}

    def _directories(self) -> Set[str]:
        return {path[:at] for path in self.store for at, sign in enumerate(path) if sign == "/"}

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> List[Any]:
        path = self._strip_protocol(path).rstrip("/")
        self.hook("ls", path)
        if path in self.store:
            return [self._info_of(path)] if detail else [path]
        directories = self._directories()
        if path and path not in directories:
            raise FileNotFoundError(path)
        inside = f"{path}/" if path else ""
        names = {name for name in (*self.store, *directories) if name.startswith(inside) and name != path}
        direct = sorted(name for name in names if "/" not in name[len(inside) :])
        infos = [
            self._info_of(name) if name in self.store else {"name": name, "type": "directory", "size": 0}
            for name in direct
        ]
        return infos if detail else direct

    def info(self, path: str, **kwargs: Any) -> Dict[str, Any]:
        path = self._strip_protocol(path).rstrip("/")
        self.hook("info", path)
        if path in self.store:
            return self._info_of(path)
        if not path or path in self._directories():
            return {"name": path, "type": "directory", "size": 0}
        raise FileNotFoundError(path)

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        self.hook("open", path)
        if mode != "rb":
            return _Writing(self, path)
        if path not in self.store:
            raise FileNotFoundError(path)
        return _Reading(path, self.store[path][0], self.hook)

    def rm_file(self, path: str) -> None:
        self.hook("rm_file", path)
        if path not in self.store:
            raise FileNotFoundError(path)
        del self.store[path]


class HaltingSource(LocalStorageClient):
    """A local source that stops in the middle of each file until the function returns that it is given."""

    def __init__(self, root: object, halt: Callable[[], object]) -> None:
        super().__init__(str(root))
        self._halt = halt

    @contextmanager
    def read(self, path: str, **options: Any) -> Any:  # type: ignore[override]
        with super().read(path, **options) as content:
            yield _Halting(content, self._halt)


class _Halting:
    local_path = None

    def __init__(self, content: Any, halt: Callable[[], object]) -> None:
        self.size = content.size
        self.verify = content.verify
        self._content = content
        self._halt = halt
        self._read = 0

    def read(self, size: int = -1) -> bytes:
        if self._read:
            self._halt()
        data: bytes = self._content.read(min(size, 1000) if size > 0 else 1000)
        self._read += len(data)
        return data

    def __getattr__(self, name: str) -> Any:
        """Tell what else the content knows of itself, such as its stamp; how it is read is told above."""
        return None if name == "descriptor" else getattr(self._content, name)
