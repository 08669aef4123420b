"""Whole syncs between storages, through the public interface: what arrives, what is kept, what is not read again."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple
from uuid import uuid4

import fsspec
import pytest
from conftest import put_files
from filesystems import BareFileSystem, register
from upath import UPath

import syncengine
from syncengine import Report, Status
from syncengine.core.paths import RESERVED_PREFIX, TRASH_FOLDER, parents
from syncengine.storage.filesystem import FsspecStorageClient
from syncengine.storage.local import LocalStorageClient

Tree = Dict[str, bytes]
Changes = Mapping[str, Optional[bytes]]


class Folder:
    """A folder on disk, reached as itself or through a server."""

    def __init__(self, folder: Path, spec: Any, options: Optional[Mapping[str, Any]] = None) -> None:
        self.folder = folder
        self.spec = spec
        self.options = options
        self._edits = 0

    def edit(self, changes: Changes) -> None:
        for key, content in changes.items():
            self._remove(key)
            if content is not None:
                put_files(self.folder, {key: content})
                self._age(self.folder / key)

    def _age(self, path: Path) -> None:
        """Give the file a time of its own, long ago: one that is too fresh to tell versions apart is read again."""
        self._edits += 1
        os.utime(path, (1_600_000_000 + self._edits, 1_600_000_000 + self._edits))

    def _remove(self, key: str) -> None:
        for part in (*parents(key), key):
            path = self.folder / part
            if path.is_file():
                path.unlink()
        if path.is_dir():
            shutil.rmtree(path)

    def everything(self) -> Tree:
        found = {}
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = Path(folder, name)
                found[path.relative_to(self.folder).as_posix()] = path.read_bytes()
        return found


class Keys:
    """Files of a filesystem without a disk, in its store by their paths."""

    options = None

    def __init__(self, filesystem: Any, root: str, spec: Any) -> None:
        self.filesystem = filesystem
        self.root = root
        self.spec = spec

    def edit(self, changes: Changes) -> None:
        for key, content in changes.items():
            for path in list(self.everything()):
                if path in (*parents(key), key) or path.startswith(key + "/"):
                    self.filesystem.rm_file(f"{self.root}/{path}")
            if self.filesystem.isdir(f"{self.root}/{key}"):
                self.filesystem.rm(f"{self.root}/{key}", recursive=True)
            if content is not None:
                with self.filesystem.open(f"{self.root}/{key}", "wb") as stream:
                    stream.write(content)

    def everything(self) -> Tree:
        inside = self.root + "/"
        held = {path: getattr(file, "getvalue", lambda file=file: file)() for path, file in self.filesystem.store.items()}
        return {path[len(inside) :]: content for path, content in held.items() if path.startswith(inside)}


class Archive:
    """An archive that is packed anew at every change."""

    options = None

    def __init__(self, spec: Any, pack: Callable[[Tree], None]) -> None:
        self.spec = spec
        self._pack = pack
        self._tree: Tree = {}

    def edit(self, changes: Changes) -> None:
        for key, content in changes.items():
            for path in list(self._tree):
                if path in (*parents(key), key) or path.startswith(key + "/"):
                    del self._tree[path]
            if content is not None:
                self._tree[key] = content
        self._pack(self._tree)

    def everything(self) -> Tree:
        return dict(self._tree)


def zipped(tree: Tree) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for key, content in tree.items():
            archive.writestr(key, content)
    return packed.getvalue()


def tarred(tree: Tree, mtime: int = 1_600_000_000) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for key, content in tree.items():
            member = tarfile.TarInfo(key)
            member.size, member.mtime = len(content), mtime + sum(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


class Places:
    """Makes empty places of every kind."""

    def __init__(self, request: pytest.FixtureRequest, base: Path) -> None:
        self._request = request
        self._base = base

    def of(self, kind: str) -> Any:
        return getattr(self, "_" + kind.replace(" ", "_").replace(":", "").replace("(", "").replace(")", "").replace(",", ""))()

    def _path(self, end: str = "") -> Path:
        return self._base / (uuid4().hex + end)

    def _local(self) -> Folder:
        folder = self._path()
        folder.mkdir()
        return Folder(folder, str(folder))

    def _pathlib(self) -> Folder:
        place = self._local()
        place.spec = place.folder
        return place

    def _dir_local(self) -> Folder:
        place = self._local()
        place.spec = f"dir::file://{place.folder}"
        return place

    def _upath_local(self) -> Folder:
        place = self._local()
        place.spec = UPath(place.folder)
        return place

    def _served(self, root: str) -> Tuple[Path, str, str]:
        folder, url = self._request.getfixturevalue(root)
        name = uuid4().hex
        (folder / name).mkdir()
        return folder / name, url, name

    def _ftp(self) -> Folder:
        folder, url, name = self._served("ftp_root")
        return Folder(folder, f"{url}/{name}")

    def _http(self) -> Folder:
        folder, url, name = self._served("http_root")
        return Folder(folder, f"{url}/{name}")

    def _webdav(self) -> Folder:
        folder, url, name = self._served("webdav_root")
        return Folder(folder, f"webdav://{name}", {"base_url": url})

    def _memory(self) -> Keys:
        name = uuid4().hex
        memory = fsspec.filesystem("memory")
        memory.makedirs(f"/{name}")
        return Keys(memory, f"/{name}", f"memory://{name}")

    def _dir_memory(self) -> Keys:
        place = self._memory()
        place.spec = "dir::" + place.spec
        return place

    def _upath_memory(self) -> Keys:
        place = self._memory()
        place.spec = UPath(place.spec)
        return place

    def _pair(self) -> Keys:
        place = self._memory()
        place.spec = (place.filesystem, place.root)
        return place

    def _bare(self) -> Keys:
        register()
        name = uuid4().hex
        return Keys(BareFileSystem(), name, f"bare://{name}")

    def _zip(self) -> Archive:
        path = self._path(".zip")
        place = Archive(f"zip::{path}", lambda tree: path.write_bytes(zipped(tree)))
        place.edit({})
        return place

    def _tar(self) -> Archive:
        path = self._path(".tar")
        place = Archive(f"tar://::file://{path}", lambda tree: path.write_bytes(tarred(tree)))
        place.edit({})
        return place

    def _zip_in_memory(self) -> Archive:
        path = f"/{uuid4().hex}.zip"
        memory = fsspec.filesystem("memory")
        place = Archive(f"zip::memory:/{path}", lambda tree: memory.pipe_file(path, zipped(tree)))
        place.edit({})
        return place


@pytest.fixture
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Places:
    return Places(request, tmp_path)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> List[str]:
    """Every file that is opened for reading, by whichever client."""
    seen: List[str] = []
    for client_class in (LocalStorageClient, FsspecStorageClient):
        monkeypatch.setattr(client_class, "read", _noting(client_class.read, seen))
    return seen


def _noting(read: Any, seen: List[str]) -> Any:
    def noting(self: Any, path: str, **options: Any) -> Any:
        if path != ".syncignore":
            seen.append(path)
        return read(self, path, **options)

    return noting


def visible(place: Any) -> Tree:
    return {path: content for path, content in place.everything().items() if RESERVED_PREFIX not in path}


def kept(place: Any) -> Tree:
    inside = TRASH_FOLDER + "/"
    found = {path: content for path, content in place.everything().items() if path.startswith(inside)}
    return {path[len(inside) :].partition("/")[2]: content for path, content in found.items()}


WRITABLE = ("local", "memory", "ftp", "webdav", "bare")
SOURCES = ("zip", "tar", "http", "dir local", "dir memory", "zip in memory", "pair", "upath local", "upath memory", "pathlib")

FIRST: Tree = {
    "top.txt": b"top",
    "empty": b"",
    "d/changes": b"before",
    "d/goes": b"going",
    "d/e/deep": b"deep",
    "file becomes folder": b"a file",
    "folder becomes file/inside": b"inside",
    "only/folder/left": b"left",
}
CHANGES: Changes = {
    "d/changes": b"after, and longer",
    "d/goes": None,
    "new/one": b"new",
    "file becomes folder/inside": b"inside now",
    "folder becomes file": b"a file now",
}


def run(mode: str, authority: Any, replica: Any, **arguments: Any) -> Report:
    source, destination = (authority, replica) if mode.startswith("source") else (replica, authority)
    report = syncengine.sync(
        source.spec,
        destination.spec,
        mode=mode,
        source_options=source.options,
        destination_options=destination.options,
        **arguments,
    )
    assert not [outcome for outcome in report.outcomes if outcome.status is not Status.DONE]
    return report


def after(deletes: bool) -> Tree:
    changed = {**FIRST, **{key: content for key, content in CHANGES.items() if content is not None}}
    gone = {"file becomes folder", "folder becomes file/inside", *(key for key, content in CHANGES.items() if content is None)}
    return {key: content for key, content in changed.items() if key not in gone}



MIRRORS = ("source-to-destination", "destination-to-source")
BACKUPS = ("source-backup", "destination-backup")


def held(authority: Any) -> Tree:
    return {path: content for path, content in visible(authority).items()}


@pytest.mark.parametrize("mode", MIRRORS)
@pytest.mark.parametrize("replica_kind", WRITABLE)
@pytest.mark.parametrize("authority_kind", WRITABLE)
def test_a_mirror_follows_every_change_and_reads_nothing_twice(
    authority_kind: str, replica_kind: str, mode: str, places: Places, reads: List[str]
) -> None:
    authority, replica = places.of(authority_kind), places.of(replica_kind)
    follows(authority, replica, mode, reads)


@pytest.mark.parametrize("replica_kind", WRITABLE)
@pytest.mark.parametrize("source_kind", SOURCES)
def test_every_source_is_mirrored(source_kind: str, replica_kind: str, places: Places, reads: List[str]) -> None:
    follows(places.of(source_kind), places.of(replica_kind), "source-to-destination", reads)


def follows(authority, replica, mode, reads):
    authority.edit(FIRST)

    run(mode, authority, replica)
    assert visible(replica) == FIRST

    reads.clear()
    again = run(mode, authority, replica)
    assert (again.outcomes, reads) == ((), [])

    authority.edit(CHANGES)
    run(mode, authority, replica, retain="all")
    assert visible(replica) == after(True) == visible(authority)
    assert kept(replica) == {
        "d/changes": b"before",
        "d/goes": b"going",
        "file becomes folder": b"a file",
        "folder becomes file/inside": b"inside",
    }
    assert not kept(authority)

    reads.clear()
    last = run(mode, authority, replica)
    assert (last.outcomes, reads) == ((), [])


@pytest.mark.parametrize("mode", BACKUPS)
@pytest.mark.parametrize("replica_kind", WRITABLE)
@pytest.mark.parametrize("authority_kind", WRITABLE)
def test_a_backup_takes_what_is_new_and_deletes_nothing(
    authority_kind: str, replica_kind: str, mode: str, places: Places, reads: List[str]
) -> None:
    authority, replica = places.of(authority_kind), places.of(replica_kind)
    backs_up(authority, replica, mode, reads)


@pytest.mark.parametrize("source_kind", SOURCES)
def test_every_source_is_backed_up(source_kind: str, places: Places, reads: List[str]) -> None:
    backs_up(places.of(source_kind), places.of("local"), "source-backup", reads)


def backs_up(authority, replica, mode, reads):
    authority.edit(FIRST)
    replica.edit({"its own": b"own", "d/changes": b"drifted apart"})
    run(mode, authority, replica)
    assert visible(replica) == {**FIRST, "its own": b"own"}
    assert kept(replica) == {"d/changes": b"drifted apart"}

    authority.edit({"d/changes": b"after, and longer", "d/goes": None, "new": b"new"})
    run(mode, authority, replica)
    assert visible(replica) == {**FIRST, "its own": b"own", "d/changes": b"after, and longer", "new": b"new"}

    reads.clear()
    last = run(mode, authority, replica)
    assert (last.outcomes, reads) == ((), [])


class Missing:
    """A place that does not exist yet."""


@pytest.mark.parametrize("kind", WRITABLE)
def test_a_destination_that_does_not_exist_yet_is_made(kind: str, places: Places) -> None:
    source, destination = places.of("local"), places.of(kind)
    source.edit(FIRST)
    base = destination.spec
    destination.spec = f"{base}/deep/below"

    run("source-to-destination", source, destination)

    assert visible(destination) == {f"deep/below/{path}": content for path, content in FIRST.items()}
    assert run("source-to-destination", source, destination).outcomes == ()


@pytest.mark.parametrize("kind", (*WRITABLE, *SOURCES))
def test_a_single_file_is_taken_from_every_source(kind: str, places: Places, reads: List[str]) -> None:
    source, destination = places.of(kind), places.of("local")
    source.edit({"d/one.txt": b"one", "d/two.txt": b"two", "one.txt": b"another"})
    source.spec = below(source.spec, "d/one.txt")

    run("source-to-destination", source, destination)
    assert visible(destination) == {"one.txt": b"one"}

    reads.clear()
    again = run("source-to-destination", source, destination)
    assert (again.outcomes, reads) == ((), [])

    source.edit({"d/one.txt": b"one more"})
    run("source-to-destination", source, destination)
    assert visible(destination) == {"one.txt": b"one more"}


def below(spec: Any, key: str) -> Any:
    """Return the place *key* below *spec*, in the same spelling."""
    if isinstance(spec, tuple):
        return spec[0], f"{spec[1]}/{key}"
    if not isinstance(spec, str):
        return spec / key
    first, chained, rest = spec.partition("::")
    if not chained:
        return f"{spec}/{key}"
    if first == "dir":
        return f"dir://{key}::{rest}"
    return f"{first.partition('://')[0]}://{key}::{rest}"
