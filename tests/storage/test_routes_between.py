"""Whole syncs between storages, through the public interface: what arrives, what is kept, what is not read again."""

from __future__ import annotations

import gc
import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple
from uuid import uuid4

import fsspec
import pytest
from conftest import put_files
from filesystems import BareFileSystem, register
from object_servers import S3Server
from upath import UPath

import syncengine
from syncengine import Report, Side, StateError
from syncengine.core.paths import RESERVED_PREFIX, TRASH_FOLDER, parents
from syncengine.core.plan_parts import AgreementKind
from syncengine.storage.filesystem import FsspecStorageClient
from syncengine.storage.local import LocalStorageClient
from syncengine.storage.object_store import ObjectStorageClient

Tree = Dict[str, bytes]
Changes = Mapping[str, Optional[bytes]]


class Place:
    """A root as a user names it, with another way to change and to see what is there."""

    def __init__(self, spec: Any, options: Optional[Mapping[str, Any]] = None) -> None:
        self.spec = spec
        self.options = options

    def edit(self, changes: Changes) -> None:
        raise NotImplementedError

    def everything(self) -> Tree:
        raise NotImplementedError


class Folder(Place):
    """A folder on disk, reached as itself or through a server."""

    def __init__(self, folder: Path, spec: Any, options: Optional[Mapping[str, Any]] = None) -> None:
        super().__init__(spec, options)
        self.folder = folder
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


class Keys(Place):
    """Files of a filesystem without a disk, in its store by their paths."""

    def __init__(self, filesystem: Any, root: str, spec: Any) -> None:
        super().__init__(spec)
        self.filesystem = filesystem
        self.root = root

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
        held = {path: file for path, file in self.filesystem.store.items() if path.startswith(inside)}
        return {
            path[len(inside) :]: file if isinstance(file, bytes) else file.getvalue() for path, file in held.items()
        }


class Bucket(Place):
    """A root in a bucket."""

    def __init__(self, server: S3Server, bucket: str) -> None:
        super().__init__(f"s3://{bucket}/root", server.options)
        self._server = server
        self._bucket = bucket

    def edit(self, changes: Changes) -> None:
        for key, content in changes.items():
            for path in list(self.everything()):
                if path in (*parents(key), key) or path.startswith(key + "/"):
                    self._server.filesystem().call_s3("delete_object", Bucket=self._bucket, Key=f"root/{path}")
            if content is not None:
                self._server.fill(self._bucket, {key: content}, prefix="root/")

    def everything(self) -> Tree:
        keys = self._server.keys(self._bucket)
        return {key[len("root/") :]: self._server.content(self._bucket, key) for key in keys}


class Archive(Place):
    """An archive that is packed anew at every change."""

    def __init__(self, spec: Any, pack: Callable[[Tree], Any]) -> None:
        super().__init__(spec)
        self._pack = pack
        self._tree: Tree = {}
        self._pack(self._tree)

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


def tarred(tree: Tree) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for key, content in tree.items():
            member = tarfile.TarInfo(key)
            member.size, member.mtime = len(content), 1_600_000_000 + sum(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


class Places:
    """Makes empty places of every kind."""

    def __init__(self, request: pytest.FixtureRequest, base: Path) -> None:
        self._request = request
        self._base = base

    def of(self, kind: str) -> Place:
        makers: Dict[str, Callable[[], Place]] = {
            "local": self._local,
            "pathlib": lambda: self._respelled(self._local(), Path),
            "dir local": lambda: self._respelled(self._local(), "dir::file://{}".format),
            "upath local": lambda: self._respelled(self._local(), UPath),
            "ftp": self._ftp,
            "http": self._http,
            "webdav": self._webdav,
            "memory": self._memory,
            "dir memory": lambda: self._respelled(self._memory(), "dir::{}".format),
            "upath memory": lambda: self._respelled(self._memory(), UPath),
            "pair": lambda: self._respelled(self._memory(), lambda url: (fsspec.filesystem("memory"), url)),
            "bare": self._bare,
            "s3": self._s3,
            "zip": self._zip,
            "tar": self._tar,
            "zip in memory": self._zip_in_memory,
        }
        return makers[kind]()

    @staticmethod
    def _respelled(place: Place, spelled: Callable[[str], Any]) -> Place:
        place.spec = spelled(place.spec)
        return place

    def _path(self, end: str = "") -> Path:
        return self._base / (uuid4().hex + end)

    def _local(self) -> Folder:
        folder = self._path()
        folder.mkdir()
        return Folder(folder, str(folder))

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

    def _bare(self) -> Keys:
        register()
        name = uuid4().hex
        return Keys(BareFileSystem(), name, f"bare://{name}")

    def _s3(self) -> Bucket:
        server = self._request.getfixturevalue("moto")
        return Bucket(server, server.bucket())

    def _zip(self) -> Archive:
        path = self._path(".zip")
        return Archive(f"zip::{path}", lambda tree: path.write_bytes(zipped(tree)))

    def _tar(self) -> Archive:
        path = self._path(".tar")
        return Archive(f"tar://::file://{path}", lambda tree: path.write_bytes(tarred(tree)))

    def _zip_in_memory(self) -> Archive:
        path = f"/{uuid4().hex}.zip"
        memory = fsspec.filesystem("memory")
        return Archive(f"zip::memory:/{path}", lambda tree: memory.pipe_file(path, zipped(tree)))


@pytest.fixture
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Places:
    return Places(request, tmp_path)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> List[str]:
    """Every file that is opened for its content, by whichever client; rules and state are no content."""
    seen: List[str] = []
    for client_class in (LocalStorageClient, FsspecStorageClient, ObjectStorageClient):
        monkeypatch.setattr(client_class, "read", _noting(client_class.read, seen))
    return seen


def _noting(read: Any, seen: List[str]) -> Any:
    def noting(self: Any, path: str, **options: Any) -> Any:
        if path.rpartition("/")[2] not in (".syncignore", "state.sqlite"):
            seen.append(path)
        return read(self, path, **options)

    return noting


def visible(place: Place) -> Tree:
    return {path: content for path, content in place.everything().items() if RESERVED_PREFIX not in path}


def kept(place: Place) -> Tree:
    """Return what lies in the trash, by the paths it had."""
    inside = TRASH_FOLDER + "/"
    found = {path: content for path, content in place.everything().items() if path.startswith(inside)}
    return {path[len(inside) :].partition("/")[2]: content for path, content in found.items()}


def arguments(mode: str, authority: Place, replica: Place) -> Dict[str, Any]:
    source, destination = (authority, replica) if mode.startswith("source") else (replica, authority)
    return {
        "source": source.spec,
        "destination": destination.spec,
        "mode": mode,
        "source_options": source.options,
        "destination_options": destination.options,
    }


def run(mode: str, authority: Place, replica: Place, **more: Any) -> Report:
    report = syncengine.sync(**arguments(mode, authority, replica), **more)
    assert {outcome.operation.path: outcome.problem for outcome in report.outcomes if outcome.problem} == {}
    return report


def nothing_is_left_to_do(mode: str, authority: Place, replica: Place, reads: List[str], **more: Any) -> None:
    """Run once more; only rows whose stamps were too young to tell of an edit may be written down again."""
    reads.clear()
    again = run(mode, authority, replica, **more)
    assert ([outcome.operation.path for outcome in again.outcomes], reads) == ([], [])
    assert {agreement.kind for agreement in again.plan.agreements} <= {AgreementKind.TOUCH}


WRITABLE = ("local", "memory", "ftp", "webdav", "bare", "s3")
SOURCES = (
    "zip",
    "tar",
    "http",
    "dir local",
    "dir memory",
    "zip in memory",
    "pair",
    "upath local",
    "upath memory",
    "pathlib",
)
MIRRORS = ("source-to-destination", "destination-to-source")
BACKUPS = ("source-backup", "destination-backup")


def pairs(modes: Tuple[str, ...]) -> List[Any]:
    """Give every storage both parts in every mode; the other combinations are for the thorough."""
    found = []
    for number, mode in enumerate(modes):
        for first, authority in enumerate(WRITABLE):
            for second, replica in enumerate(WRITABLE):
                usual = (first + 2 * number) % len(WRITABLE) == second
                found.append(pytest.param(authority, replica, mode, marks=() if usual else pytest.mark.thorough))
    return found


FIRST: Tree = {
    "top.txt": b"top",
    "empty": b"",
    "d/changes": b"before",
    "d/goes": b"going",
    "d/e/deep": b"deep",
    "file becomes folder": b"a file",
    "folder becomes file/inside": b"inside",
    "folder becomes file/and/below": b"below",
}
CHANGES: Changes = {
    "d/changes": b"after, and longer",
    "d/goes": None,
    "new/one": b"new",
    "file becomes folder/inside": b"inside now",
    "file becomes folder/and/below": b"below now",
    "folder becomes file": b"a file now",
}
AFTERWARDS: Tree = {
    "top.txt": b"top",
    "empty": b"",
    "d/changes": b"after, and longer",
    "d/e/deep": b"deep",
    "new/one": b"new",
    "file becomes folder/inside": b"inside now",
    "file becomes folder/and/below": b"below now",
    "folder becomes file": b"a file now",
}
REPLACED: Tree = {path: content for path, content in FIRST.items() if AFTERWARDS.get(path) != content}


def is_mirrored(authority: Place, replica: Place, mode: str, reads: List[str]) -> None:
    authority.edit(FIRST)
    run(mode, authority, replica)
    assert visible(replica) == FIRST
    nothing_is_left_to_do(mode, authority, replica, reads)

    authority.edit(CHANGES)
    run(mode, authority, replica, retain="all")
    assert visible(replica) == AFTERWARDS == visible(authority)
    assert (kept(replica), kept(authority)) == (REPLACED, {})
    nothing_is_left_to_do(mode, authority, replica, reads)


@pytest.mark.parametrize(("authority_kind", "replica_kind", "mode"), pairs(MIRRORS))
def test_a_mirror_follows_every_change_and_reads_nothing_twice(
    authority_kind: str, replica_kind: str, mode: str, places: Places, reads: List[str]
) -> None:
    is_mirrored(places.of(authority_kind), places.of(replica_kind), mode, reads)


@pytest.mark.parametrize(
    ("source_kind", "replica_kind"),
    [(source, WRITABLE[number % len(WRITABLE)]) for number, source in enumerate(SOURCES)],
)
def test_whatever_can_be_read_can_be_mirrored(
    source_kind: str, replica_kind: str, places: Places, reads: List[str]
) -> None:
    is_mirrored(places.of(source_kind), places.of(replica_kind), "source-to-destination", reads)


def is_backed_up(authority: Place, replica: Place, mode: str, reads: List[str]) -> None:
    authority.edit(FIRST)
    replica.edit({"its own": b"own", "d/changes": b"drifted apart"})
    run(mode, authority, replica)
    assert visible(replica) == {**FIRST, "its own": b"own"}
    assert kept(replica) == {"d/changes": b"drifted apart"}

    changes = {"d/changes": b"after, and longer", "d/goes": None, "new": b"new"}
    authority.edit(changes)
    run(mode, authority, replica)
    expected = {**FIRST, "its own": b"own", "d/changes": b"after, and longer", "new": b"new"}
    assert visible(replica) == expected
    nothing_is_left_to_do(mode, authority, replica, reads)


@pytest.mark.parametrize(("authority_kind", "replica_kind", "mode"), pairs(BACKUPS))
def test_a_backup_takes_what_is_new_and_deletes_nothing(
    authority_kind: str, replica_kind: str, mode: str, places: Places, reads: List[str]
) -> None:
    is_backed_up(places.of(authority_kind), places.of(replica_kind), mode, reads)


@pytest.mark.parametrize("source_kind", ["zip", "http", "pair"])
def test_whatever_can_be_read_can_be_backed_up(source_kind: str, places: Places, reads: List[str]) -> None:
    is_backed_up(places.of(source_kind), places.of("local"), "source-backup", reads)


@pytest.mark.parametrize("kind", WRITABLE)
def test_a_destination_that_does_not_exist_yet_is_made(kind: str, places: Places) -> None:
    source, destination = places.of("local"), places.of(kind)
    source.edit(FIRST)
    destination.spec += "/deep/below"

    run("source-to-destination", source, destination)

    assert visible(destination) == {f"deep/below/{path}": content for path, content in FIRST.items()}


@pytest.mark.parametrize("kind", WRITABLE)
def test_a_plan_is_saved_and_applied_where_kinds_change(kind: str, places: Places, tmp_path: Path) -> None:
    source, destination = places.of("local"), places.of(kind)
    source.edit(FIRST)
    run("source-to-destination", source, destination)
    source.edit(CHANGES)
    planned = syncengine.plan(**arguments("source-to-destination", source, destination), retain="all")
    planned.save(tmp_path / "plan.json")

    secrets = {"username": "someone", "password": "planted-ftp-secret"} if kind == "ftp" else destination.options
    report = syncengine.apply(tmp_path / "plan.json", destination_options=secrets)

    assert report.ok
    assert (visible(destination), kept(destination)) == (AFTERWARDS, REPLACED)


@pytest.mark.parametrize("kind", WRITABLE)
def test_a_file_leaves_a_folder_before_another_file_takes_its_place(kind: str, places: Places) -> None:
    source, destination = places.of("local"), places.of(kind)
    assert isinstance(source, Folder)
    source.edit({"folder/inside": b"moves", "file": b"moves too", "stays": b"stays"})
    run("source-to-destination", source, destination)

    (source.folder / "folder/inside").rename(source.folder / "outside")
    (source.folder / "folder").rmdir()
    (source.folder / "file").rename(source.folder / "folder")
    source.edit({"file/below": b"new"})
    run("source-to-destination", source, destination)

    expected = {"outside": b"moves", "folder": b"moves too", "file/below": b"new", "stays": b"stays"}
    assert visible(destination) == expected


@pytest.mark.parametrize("trash_kind", ["local", "memory", "ftp", "bare"])
@pytest.mark.parametrize("kind", ["local", "memory", "bare"])
def test_what_is_replaced_is_kept_in_a_trash_elsewhere(kind: str, trash_kind: str, places: Places) -> None:
    source, destination, trash = places.of("local"), places.of(kind), places.of(trash_kind)
    source.edit(FIRST)
    run("source-to-destination", source, destination)

    source.edit(CHANGES)
    run("source-to-destination", source, destination, retain="all", trash=trash.spec)

    assert visible(destination) == AFTERWARDS
    assert {path.split("/", 3)[3]: content for path, content in trash.everything().items()} == REPLACED
    assert kept(destination) == {}


def test_a_plan_that_is_dropped_lets_go_of_its_connections(places: Places) -> None:
    source, destination = places.of("local"), places.of("webdav")
    source.edit(FIRST)
    planned = syncengine.plan(**arguments("source-to-destination", source, destination))
    http = planned.live_clients.clients[Side.DESTINATION]._driver.filesystem.client.http

    del planned
    gc.collect()

    assert http.is_closed


# ------------------------------------------------------------------- one file


def below(spec: Any, key: str) -> Any:
    """Return the place *key* below *spec*, in the same spelling."""
    if isinstance(spec, tuple):
        return spec[0], f"{spec[1]}/{key}"
    if not isinstance(spec, str):
        return spec / key
    first, chained, rest = spec.partition("::")
    return f"{first.partition('://')[0]}://{key}::{rest}" if chained else f"{spec}/{key}"


@pytest.mark.parametrize("kind", [*WRITABLE, *SOURCES])
def test_a_single_file_can_be_the_source(kind: str, places: Places, reads: List[str]) -> None:
    source, destination = places.of(kind), places.of("local")
    source.edit({"d/one [1].txt": b"one", "d/two.txt": b"two", "one [1].txt": b"another"})
    source.spec = below(source.spec, "d/one [1].txt")
    destination.edit({"its own": b"own"})

    run("source-to-destination", source, destination)
    assert visible(destination) == {"one [1].txt": b"one", "its own": b"own"}
    nothing_is_left_to_do("source-to-destination", source, destination, reads)

    source.edit({"d/one [1].txt": b"one more"})
    run("source-to-destination", source, destination)
    assert visible(destination) == {"one [1].txt": b"one more", "its own": b"own"}


@pytest.mark.parametrize(
    ("key", "url"), [("a page.html", "a%20page.html"), ("page.html", "page.html"), ("50%25.html", "50%2525.html")]
)
def test_a_single_web_page_is_a_file_and_its_name_is_decoded(key: str, url: str, places: Places) -> None:
    source, destination = places.of("http"), places.of("local")
    source.edit({f"d/{key}": b'<a href="x">elsewhere</a>'})
    source.spec = f"{source.spec}/d/{url}"

    run("source-to-destination", source, destination)

    assert visible(destination) == {key: b'<a href="x">elsewhere</a>'}


# ---------------------------------------------------------------------- names

NAMES = (
    "plain",
    " lead",
    "trail ",
    "ha#sh",
    "per%20cent",
    "ques?tion",
    "a[1].txt",
    "a1.txt",
    "star*",
    "\u00e9 in one",
    "e\u0301 in two",
    "\u05e9\u05dc\u05d5\u05dd",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "no\u00a0break",
    "it's",
    'dou"ble',
    "two::colons",
    "back\\slash",
    "tab\there",
    "x" * 200,
    "~tilde",
    "-dash",
    ".hidden",
    "Case",
    "case",
    "semi;colon",
    "$dollar {brace} (par) +=,@|<>^`",
    "%",
    "..dots",
    "dot.",
    "d#/d /f",
    "d?/f",
)
FROM_HERE = [("local", kind) for kind in WRITABLE]
TO_HERE = [(kind, "local") for kind in ("memory", "ftp", "webdav", "http", "zip", "tar")]


@pytest.mark.parametrize(("source_kind", "replica_kind"), [*FROM_HERE, *TO_HERE])
def test_every_name_arrives_or_is_named_and_stops_no_other(
    source_kind: str, replica_kind: str, places: Places, reads: List[str]
) -> None:
    source, destination = places.of(source_kind), places.of(replica_kind)
    names = {name: name.encode() for name in NAMES}
    source.edit(names)

    first = run("source-to-destination", source, destination)

    refused = {problem.path for problem in first.plan.problems}
    assert visible(destination) == {name: content for name, content in names.items() if name not in refused}
    assert refused == ({"ques?tion", "tab\there", "semi;colon", "d?", "d?/f"} if replica_kind == "webdav" else set())
    nothing_is_left_to_do("source-to-destination", source, destination, reads)

    source.edit({name: None for name in NAMES if name not in ("plain", *refused)})
    run("source-to-destination", source, destination, retain="all", allow_mass_delete=True)
    assert visible(destination) == {"plain": b"plain"}
    assert kept(destination) == {name: names[name] for name in NAMES if name not in ("plain", *refused)}


# ---------------------------------------------------------------------- state


@pytest.mark.parametrize("mode", ["source-to-destination", "two-way"])
def test_what_dies_with_the_process_is_remembered_by_the_process_alone(
    mode: str, places: Places, reads: List[str], isolated_user: Path
) -> None:
    source, destination = places.of("memory"), places.of("memory")
    source.edit(FIRST)
    run(mode, source, destination)
    nothing_is_left_to_do(mode, source, destination, reads)

    source.edit({"d/goes": None})
    run(mode, source, destination)

    assert visible(destination) == visible(source)
    assert [path for path in isolated_user.rglob("*.sqlite*") if path.is_file()] == []


@pytest.mark.parametrize("kind", ["memory", "ftp"])
def test_state_at_a_url_is_found_again_by_another_machine(
    kind: str, places: Places, reads: List[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, destination, state = places.of("local"), places.of("local"), places.of(kind)
    there = {"state": state.spec, "state_single_writer": kind == "ftp"}
    source.edit(FIRST)
    run("two-way", source, destination, **there)

    for variable in ("XDG_STATE_HOME", "SYNCENGINE_STATE", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "another machine"))
    nothing_is_left_to_do("two-way", source, destination, reads, **there)
    source.edit({"d/goes": None})
    run("two-way", source, destination, **there)

    assert visible(destination) == visible(source)
    assert "d/goes" not in visible(destination)


def test_state_at_a_place_without_conditions_needs_the_word_of_its_user(places: Places) -> None:
    source, destination, state = places.of("local"), places.of("local"), places.of("ftp")
    source.edit(FIRST)

    with pytest.raises(StateError, match="state_single_writer=True") as caught:
        run("two-way", source, destination, state=state.spec)

    assert "planted" not in str(caught.value)
    assert (visible(destination), state.everything()) == ({}, {})


def test_a_plan_finds_the_state_at_a_url_that_needs_a_password(places: Places, tmp_path: Path) -> None:
    source, destination, state = places.of("local"), places.of("local"), places.of("ftp")
    both = arguments("two-way", source, destination)
    source.edit(FIRST)

    planned = syncengine.plan(**both, state=state.spec, state_single_writer=True)
    assert syncengine.apply(planned).ok
    source.edit({"d/changes": b"changed"})
    with syncengine.SyncEngine(**both, state=state.spec, state_single_writer=True) as engine:
        assert engine.apply(engine.plan()).ok
    source.edit({"d/changes": b"changed again"})
    syncengine.plan(**both, state=state.spec, state_single_writer=True).save(tmp_path / "plan.json")
    assert "planted" not in (tmp_path / "plan.json").read_text()
    assert syncengine.apply(tmp_path / "plan.json", state=state.spec, state_single_writer=True).ok

    assert visible(destination) == {**FIRST, "d/changes": b"changed again"}
