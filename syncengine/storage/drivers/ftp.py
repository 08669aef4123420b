"""FTP through ftplib."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from typing import Any, Callable, Deque, Dict, List, Optional

from attrs import evolve

from ...core.paths import parent
from ...errors import NotFound
from ..quirks import Info
from ..translation import classified
from .base import Child, RenamingDriver
from .content import CHUNK_BYTES, Incoming


class FtpDriver(RenamingDriver):
    """FTP through ftplib: exact listings and looks (MLSD, MLST), and a connection of its own for every read.

    fsspec's listing shows a directory that may not be listed as empty, and its reader asks for one range after
    another; neither is used where the server speaks MLSD.
    """

    def __init__(self, filesystem: Any, root: str, *, private: bool) -> None:
        super().__init__(filesystem, root, private=private)
        self._idle: Deque[Any] = deque()
        self._features = self._read_features()
        keeps_times = "MFMT" in self._features
        self.capabilities = evolve(
            self.capabilities, set_mtime=keeps_times, mtime_is_content_time=keeps_times and "MLST" in self._features
        )

    def _quiet_cache(self) -> None:
        """Leave the cache on: whether a listing entered it is the only sign that fsspec's listing succeeded."""

    def _read_features(self) -> str:
        from ftplib import error_perm

        try:
            return self._said("FEAT").upper()
        except error_perm:
            return ""

    def _said(self, command: str) -> str:
        return str(self._calling(lambda ftp: ftp.sendcmd(command)))

    def _calling(self, call: Callable[[Any], Any]) -> Any:
        """Run one exchange on the control connection, and make a new connection after one that broke off."""
        with self.lock:
            if self.filesystem.ftp.sock is None:
                self._connect()
            try:
                return call(self.filesystem.ftp)
            except BaseException as error:
                if str(error)[:1] != "5":
                    # Replies may be outstanding: the next command would read the answer to this one.
                    self._reconnect()
                raise

    def _reconnect(self) -> None:
        # A server that is gone now is asked again by the next call, which reports it.
        with suppress(Exception):
            self.filesystem.ftp.close()
            self._connect()

    def _connect(self) -> None:
        self.filesystem._connect()  # noqa: SLF001 - fsspec has no public way to reconnect
        if self.filesystem.tls is True:
            self.filesystem.ftp.prot_p()

    def _looking(self, call: Callable[[Any], Any]) -> Any:
        """Run an exchange that changes nothing, once more where an idle connection turns out to be dead."""
        try:
            return self._calling(call)
        except (EOFError, ConnectionError):
            return self._calling(call)

    def refusal(self, key: str) -> Optional[str]:
        """Refuse what would end a command line."""
        return "holds a line break" if "\n" in key or "\r" in key else None

    def children(self, key: str) -> List[Child]:
        """Return the names in a directory."""
        directory = self.path_of(key)
        if "MLST" not in self._features:
            return self._children_by_text(directory)
        facts = self._looking(lambda ftp: list(ftp.mlsd(directory or "/")))
        return [(name, _ftp_info(found)) for name, found in facts if found.get("type") not in ("cdir", "pdir")]

    def _children_by_text(self, directory: str) -> List[Child]:
        path = "/" + directory.strip("/")
        with self.lock:
            self.filesystem.invalidate_cache()
            found = self.filesystem.ls(path, detail=True)
            if path not in self.filesystem.dircache:
                raise NotFound("the server does not list it")
        return [(self._name_below(path, info["name"]), {**info, "modify": None}) for info in found]

    def info(self, path: str) -> Info:
        """Return the facts about one path; where the server has no MLST, its line in the parent's listing."""
        if not path.strip("/"):
            return {"type": "directory", "name": "/"}
        if "MLST" in self._features:
            from ftplib import error_perm

            try:
                return self._facts(path)
            except error_perm as error:
                if "not a directory" in str(error).lower():
                    raise NotADirectoryError(path) from error
                # Reply 550 says that there is nothing or that it may not be seen; unclear words are not believed.
                if classified(error) is not None:
                    raise
        return self._info_by_listing(path)

    def _facts(self, path: str) -> Info:
        reply = self._looking(lambda ftp: ftp.sendcmd(f"MLST {path}"))
        facts = reply.splitlines()[1].strip().partition(" ")[0]
        return _ftp_info(dict(fact.lower().split("=", 1) for fact in facts.rstrip(";").split(";")))

    def _info_by_listing(self, path: str) -> Info:
        directory, _, wanted = path.rpartition("/")
        key = directory[len(self.root) :].strip("/") if directory.startswith(self.root) else None
        listed = self.children(key) if key is not None else self._children_by_text(directory)
        for name, info in listed:
            if name == wanted:
                return info
        raise NotFound(path)

    def opened(self, path: str, size: Optional[int]) -> Any:
        """Start one RETR on a connection that nothing else uses."""
        return _FtpReading(self._connection(), path, self._idle)

    def _connection(self) -> Any:
        while self._idle:
            filesystem = self._idle.popleft()
            with suppress(Exception):
                filesystem.ftp.voidcmd("NOOP")
                return filesystem
        options = {**self.filesystem.storage_options, "skip_instance_cache": True}
        return type(self.filesystem)(*self.filesystem.storage_args, **options)

    def make_directory(self, path: str) -> None:
        """Make a directory and those above it."""
        if self._is_directory(path):
            return
        self.make_directory(parent(path))
        self._make_unless_made(path, lambda: self._calling(lambda ftp: ftp.mkd(path)))

    def remove_directory(self, path: str) -> None:
        """RMD, which refuses a full directory."""
        self._calling(lambda ftp: ftp.rmd(path))

    def remove(self, path: str) -> None:
        """DELE."""
        self._calling(lambda ftp: ftp.delete(path))

    def upload(self, path: str, incoming: Incoming) -> None:
        """STOR to a temporary name."""
        self._calling(lambda ftp: ftp.storbinary(f"STOR {path}", incoming, blocksize=CHUNK_BYTES))

    def set_mtime(self, path: str, mtime_ns: int) -> None:
        """MFMT, in whole seconds."""
        stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime(mtime_ns // 1_000_000_000))
        self._said(f"MFMT {stamp} {path}")

    def rename(self, old: str, new: str, *, absent: bool) -> None:
        """RNFR and RNTO, which replaces on most servers and is refused on the others."""
        self._calling(lambda ftp: ftp.rename(old, new))

    def close(self) -> None:
        """Close the connections."""
        while self._idle:
            self._idle.popleft().ftp.close()
        if self.private:
            self.filesystem.ftp.close()


def _ftp_info(facts: Dict[str, str]) -> Info:
    kind = facts.get("type", "").lower()
    size = facts.get("size", "")
    return {
        **facts,
        "type": {"dir": "directory", "cdir": "directory", "pdir": "directory"}.get(kind, kind),
        "size": int(size) if size.isdigit() else None,
    }


class _FtpReading:
    """One download; its connection goes back to the idle ones only after the server has confirmed the end."""

    def __init__(self, filesystem: Any, path: str, idle: Deque[Any]) -> None:
        self._filesystem = filesystem
        self._idle = idle
        self._ended = False
        try:
            filesystem.ftp.voidcmd("TYPE I")
            self._data = filesystem.ftp.transfercmd(f"RETR {path}")
        except BaseException:
            filesystem.ftp.close()
            raise

    def read(self, size: int = -1) -> bytes:
        if self._ended:
            return b""
        if size < 0:
            return b"".join(iter(lambda: self.read(CHUNK_BYTES), b""))
        chunk = bytes(self._data.recv(size))
        if not chunk:
            self._end()
        return chunk

    def _end(self) -> None:
        self._ended = True
        try:
            if hasattr(self._data, "unwrap"):
                self._data.unwrap()
            self._data.close()
            self._filesystem.ftp.voidresp()
        except BaseException:
            self._filesystem.ftp.close()
            raise
        self._idle.append(self._filesystem)

    def close(self) -> None:
        if not self._ended:
            self._ended = True
            self._data.close()
            self._filesystem.ftp.close()
