"""Factories of clients over every kind of storage, for the conformance suite and for tests of one kind."""

from __future__ import annotations

import io
import sys
import tarfile
import uuid
import zipfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping

import pytest
import trustme
from attrs import evolve

sys.path.insert(0, str(Path(__file__).parents[1]))

from object_servers import (
    AzureServer,
    GcsServer,
    S3Server,
    azure_server,
    gcs_server,
    moto_server,
    rclone_server,
    seaweedfs_server,
    shared_models,
)
from servers import ftp_server, http_server, running, webdav_server
from sftp_servers import sftp_asyncssh, sftp_openssh, sftp_server  # noqa: F401 - fixtures
from wire import Wire

from syncengine.storage.conformance import Factory, Subject
from syncengine.storage.location import locate
from syncengine.storage.objects import exchange

KINDS = (
    "local",
    "memory",
    "zip",
    "tar",
    "http",
    "ftp",
    "webdav",
    "dir::memory",
    "bare class",
    "rich class",
    "plain client",
    "moto by obstore",
    "moto by s3fs",
    "rclone by obstore",
    "rclone by s3fs",
    "gcs by obstore",
    "gcs by gcsfs",
    "azure by obstore",
    "azure by adlfs",
)


def put_files(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for key, content in files.items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.fixture(scope="session")
def http_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("http")
    with http_server(folder) as url:
        yield folder, url


@pytest.fixture(scope="session")
def ftp_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("ftp")
    with ftp_server(folder) as url:
        yield folder, url


@pytest.fixture(scope="session")
def webdav_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("webdav")
    with webdav_server(folder) as url:
        yield folder, url


@pytest.fixture(scope="session")
def moto() -> Iterator[S3Server]:
    with shared_models(), moto_server() as url:
        yield S3Server(url)


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with shared_models(), rclone_server(tmp_path_factory.mktemp("rclone")) as url:
        yield S3Server(url)


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Takes seconds to start: only test_seaweedfs.py uses it, so that one worker alone starts one."""
    with shared_models(), seaweedfs_server(tmp_path_factory.mktemp("seaweedfs")) as url:
        yield S3Server(url)


@pytest.fixture(scope="session")
def gcs() -> Iterator[GcsServer]:
    with gcs_server() as url:
        yield GcsServer(url)


@pytest.fixture(scope="session")
def azure() -> Iterator[AzureServer]:
    with azure_server() as url:
        yield AzureServer(url)


@pytest.fixture
def with_obstore() -> None:
    """Skip a test of what is done through obstore, or beside it only, where it is not installed."""
    pytest.importorskip("obstore", reason="obstore is not installed, and this is about what is done with it")


@pytest.fixture
def wire() -> Iterator[Callable[..., Wire]]:
    with ExitStack() as stack:

        def serve(*answers: Any) -> Wire:
            made = Wire(*answers)
            stack.callback(made.server.server_close)
            stack.enter_context(running(partial(made.server.serve_forever, poll_interval=0.01), made.server.shutdown))
            return made

        yield serve


class Factories:
    """Makes subjects of one kind and closes their clients at the end."""

    def __init__(self, request: pytest.FixtureRequest, folder: Path) -> None:
        self._request = request
        self._folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> Factories:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def of(self, kind: str) -> Factory:
        makers: Dict[str, Callable[[Mapping[str, bytes]], Subject]] = {
            "local": self._local,
            "memory": lambda files: self._memory(files, "memory://"),
            "dir::memory": lambda files: self._memory(files, "dir::memory://"),
            "zip": self._zip,
            "tar": self._tar,
            "http": lambda files: self._served(files, "http_root"),
            "ftp": lambda files: self._served(files, "ftp_root"),
            "webdav": self._webdav,
            "bare class": lambda files: self._registered(files, "bare"),
            "rich class": lambda files: self._registered(files, "rich"),
            "plain client": self._plain,
            "moto by obstore": lambda files: self._s3(files, "moto", fast=True),
            "moto by s3fs": lambda files: self._s3(files, "moto", fast=False),
            "rclone by obstore": lambda files: self._s3(files, "rclone", fast=True),
            "rclone by s3fs": lambda files: self._s3(files, "rclone", fast=False),
            "gcs by obstore": lambda files: self._objects(files, "gcs", "gs", fast=True),
            "gcs by gcsfs": lambda files: self._objects(files, "gcs", "gs", fast=False),
            "azure by obstore": lambda files: self._objects(files, "azure", "abfs", fast=True),
            "azure by adlfs": lambda files: self._objects(files, "azure", "abfs", fast=False),
        }
        return makers[kind]

    def _subject(self, open_one: Callable[[], Any]) -> Subject:
        def opened() -> Any:
            client = open_one()
            if hasattr(client, "close"):
                self._stack.callback(client.close)
            return client

        return Subject(opened(), again=opened)

    def _local(self, files: Mapping[str, bytes]) -> Subject:
        folder = self._folder / uuid.uuid4().hex
        put_files(folder, files)
        return self._subject(lambda: locate(folder).open())

    def _memory(self, files: Mapping[str, bytes], prefix: str) -> Subject:
        import fsspec

        name = uuid.uuid4().hex
        memory = fsspec.filesystem("memory")
        memory.makedirs(f"/{name}")
        for key, content in files.items():
            memory.makedirs(f"/{name}/{key}".rpartition("/")[0], exist_ok=True)
            memory.pipe_file(f"/{name}/{key}", content)
        return self._subject(lambda: locate(prefix + name).open())

    def _zip(self, files: Mapping[str, bytes]) -> Subject:
        path = self._folder / f"{uuid.uuid4().hex}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for key, content in files.items():
                archive.writestr(key, content)
        return self._subject(lambda: locate(f"zip://::file://{path}").open())

    def _tar(self, files: Mapping[str, bytes]) -> Subject:
        path = self._folder / f"{uuid.uuid4().hex}.tar"
        with tarfile.open(path, "w") as archive:
            for key, content in files.items():
                member = tarfile.TarInfo("./" + key)
                member.size = len(content)
                member.mtime = 1_600_000_000
                archive.addfile(member, io.BytesIO(content))
        return self._subject(lambda: locate(f"tar://::file://{path}").open())

    def _served(self, files: Mapping[str, bytes], root: str) -> Subject:
        folder, url = self._request.getfixturevalue(root)
        name = uuid.uuid4().hex
        put_files(folder / name, files)
        return self._subject(lambda: locate(f"{url}/{name}").open())

    def _webdav(self, files: Mapping[str, bytes]) -> Subject:
        folder, url = self._request.getfixturevalue("webdav_root")
        name = uuid.uuid4().hex
        put_files(folder / name, files)
        return self._subject(lambda: locate(f"webdav://{name}", options={"base_url": url}).open())

    def _registered(self, files: Mapping[str, bytes], protocol: str) -> Subject:
        import filesystems

        filesystems.register()
        name = uuid.uuid4().hex
        store = filesystems.BareFileSystem.store
        for key, content in files.items():
            store[f"{name}/{key}"] = content
        filesystems.RichFileSystem.directories.update(_directories(name, files))
        return self._subject(lambda: locate(f"{protocol}://{name}").open())

    def _s3(self, files: Mapping[str, bytes], server: str, *, fast: bool) -> Subject:
        running = evolve(self._request.getfixturevalue(server), fast=fast)
        bucket = running.bucket()
        running.fill(bucket, files, prefix="root/")
        return self._subject(lambda: running.client(bucket, "root"))

    def _objects(self, files: Mapping[str, bytes], fixture: str, protocol: str, *, fast: bool) -> Subject:
        server = evolve(self._request.getfixturevalue(fixture), fast=fast)
        bucket = server.bucket()
        server.fill(bucket, files, "root/")
        return self._subject(lambda: locate(f"{protocol}://{bucket}/root", options=server.options).open())

    def _plain(self, files: Mapping[str, bytes]) -> Subject:
        from plain_client import PlainClient

        client = PlainClient(files)
        return Subject(locate(client).open(), again=lambda: client)


def _directories(name: str, files: Mapping[str, bytes]) -> List[str]:
    paths = [f"{name}/{key}" for key in files]
    return [name, *(path[:position] for path in paths for position, sign in enumerate(path) if sign == "/")]


@pytest.fixture
def factories(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Factories]:
    with Factories(request, tmp_path) as made:
        yield made


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[trustme.CA]:
    """Return an authority that this system trusts during the test."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "trusted.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
    exchange._trust.cache_clear()
    yield made
    exchange._trust.cache_clear()
