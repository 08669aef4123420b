"""Places that properties are tried on, and random trees to put there.

Contents are drawn from few values, so that equal contents, ambiguous pairs and changes back to an old content occur;
names are drawn from few, so that two independently changed trees meet.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Dict, Iterator, List, Set
from uuid import uuid4

import fsspec
from hypothesis import strategies as st

from syncengine.core.paths import TRASH_FOLDER, parents

Tree = Dict[str, bytes]

NAMES = ("a", "b", "a.b", "d/x", "d/y", "d/e/z", "[a]", "a!/x", "ü n", "e/a", "b/c")
CONTENTS = (b"", b"one", b"two", b"three", b"a longer content")


def consistent(tree: Tree) -> Tree:
    """Return *tree* without files that would have to be directories too."""
    directories = {directory for path in tree for directory in parents(path)}
    return {path: content for path, content in tree.items() if path not in directories}


trees = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(CONTENTS), max_size=8).map(consistent)
edits = st.dictionaries(st.sampled_from(NAMES), st.one_of(st.none(), st.sampled_from(CONTENTS)), max_size=4)


class LocalSide:
    """A folder on disk."""

    has_directories = True

    def __init__(self, base: Path) -> None:
        self.path = base / uuid4().hex
        self.path.mkdir()

    @property
    def spec(self) -> str:
        return str(self.path)

    def edit(self, changes: Dict[str, object]) -> None:
        for name, content in changes.items():
            target = self.path / name
            if content is None:
                self._remove(target)
            elif not self._blocked(target):
                self._remove(target)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)  # type: ignore[arg-type]

    def _blocked(self, target: Path) -> bool:
        above = target.parent
        while above != self.path:
            if above.is_file():
                above.unlink()
            above = above.parent
        return False

    def _remove(self, target: Path) -> None:
        if target.is_dir():
            shutil.rmtree(target)
        elif target.exists():
            target.unlink()

    def files(self) -> Tree:
        found = {}
        for folder, _, names in os.walk(self.path):
            for name in names:
                full = Path(folder) / name
                found[full.relative_to(self.path).as_posix()] = full.read_bytes()
        return found

    def directories(self) -> Set[str]:
        return {
            (Path(folder) / name).relative_to(self.path).as_posix()
            for folder, names, _ in os.walk(self.path)
            for name in names
            if TRASH_FOLDER not in (Path(folder) / name).as_posix()
        }


class MemorySide:
    """A folder of fsspec's memory filesystem."""

    has_directories = True

    def __init__(self, _: Path) -> None:
        self.root = f"/{uuid4().hex}"
        self.filesystem = fsspec.filesystem("memory")
        self.filesystem.makedirs(self.root)

    @property
    def spec(self) -> str:
        return f"memory:/{self.root}"

    def edit(self, changes: Dict[str, object]) -> None:
        for name, content in changes.items():
            target = f"{self.root}/{name}"
            if self.filesystem.isdir(target):
                self.filesystem.rm(target, recursive=True)
            elif self.filesystem.isfile(target):
                self.filesystem.rm_file(target)
            if content is None:
                continue
            for above in parents(name):
                if self.filesystem.isfile(f"{self.root}/{above}"):
                    self.filesystem.rm_file(f"{self.root}/{above}")
            self.filesystem.pipe_file(target, content)

    def files(self) -> Tree:
        prefix = self.root + "/"
        return {
            path[len(prefix) :]: file.getvalue()
            for path, file in type(self.filesystem).store.items()
            if path.startswith(prefix)
        }

    def directories(self) -> Set[str]:
        start = len(self.root) + 1
        found = (path[start:] for path in self.filesystem.pseudo_dirs if path.startswith(self.root + "/"))
        implied = (above for path in self.files() for above in parents(path))
        return {path for path in (*found, *implied) if TRASH_FOLDER not in path}


PAIRS = {
    "local-local": (LocalSide, LocalSide),
    "memory-memory": (MemorySide, MemorySide),
    "local-memory": (LocalSide, MemorySide),
}


def visible(tree: Tree) -> Tree:
    """Return what of *tree* takes part in a sync."""
    return {path: content for path, content in tree.items() if TRASH_FOLDER not in path}


def kept(tree: Tree) -> List[bytes]:
    """Return the contents in the trash of *tree*."""
    return [content for path, content in tree.items() if TRASH_FOLDER in path]


def versions(*found: Tree) -> Iterator[bytes]:
    """Yield every content that is anywhere in *found*."""
    for tree in found:
        yield from tree.values()
