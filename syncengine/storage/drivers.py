"""Literal single-file calls on one filesystem: what is the same for all of them, and what each family needs.

Nothing here uses a plural or pattern call (``get put cp mv rm cat find walk glob exists``): those expand patterns,
swallow errors or leave half a file. A driver raises whatever its library raises; the client translates.
"""

from __future__ import annotations

import io
import tempfile
import threading
import time
from collections import deque
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Callable, ContextManager, Deque, Dict, Iterator, List, Optional, Tuple
from urllib.parse import quote, unquote

from attrs import define, evolve

from ..core.paths import parent, refusal
from ..errors import NotFound, PreconditionFailed, Unavailable, Unsupported
from .protocol import Capabilities, Source
from .quirks import Family, Info, capabilities, family_of, overrides
from .temporary import temporary
from .translation import classified, unless_missing

CHUNK_BYTES = 1 << 20
IN_MEMORY_BYTES = 8 << 20

Admit = Callable[[], None]
Child = Tuple[str, Info]


@define
class Incoming:
    """Content on its way into a storage, counted; ``failure`` is what the content itself raised."""

    content: Source
    count: int = 0
    failure: Optional[BaseException] = None

    def read(self, size: int = -1) -> bytes:
        """Return up to *size* bytes of the content."""
        with self._noted():
            data = self.content.read(size)
        self.count += len(data)
        return data

    def finish(self) -> None:
        """Check that the content has its length and did not change while it was being read."""
        with self._noted():
            if self.content.size is not None and self.content.size != self.count:
                raise PreconditionFailed(f"the content has {self.count} bytes instead of {self.content.size}")
            self.content.verify()

    @contextmanager
    def _noted(self) -> Iterator[None]:
        # A library in between may wrap what the content raises; the writer reports the original.
        try:
            yield
        except BaseException as error:
            self.failure = error
            raise


class Readable:
    """A file that is being read, one chunk at a time under the lock of its filesystem."""

    def __init__(self, stream: Any, lock: ContextManager[Any]) -> None:
        self._stream = stream
        self._lock = lock

    def read(self, size: int = -1) -> bytes:
        """Return up to *size* bytes."""
        with self._lock:
            return bytes(self._stream.read(size))

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._stream.close()


class Driver:
    """One root of one filesystem whose class nobody knows; the most careful way that its methods allow.

    Content is collected locally and checked before the filesystem is touched. Then it is sent under a temporary
    name and renamed; where the class has no rename, copied; where it has no copy either, sent to its name directly.
    """

    writes_aside = True
    """Writes go through temporary names, so that a killed run may leave some behind."""

    def __init__(self, filesystem: Any, root: str, *, private: bool) -> None:
        self.filesystem = filesystem
        self.root = root
        self.private = private
        self.family: Family = family_of(filesystem)
        self.capabilities: Capabilities = capabilities(filesystem)
        self.condition: ContextManager[Any] = nullcontext()
        """Held from a look to the change that rests on it, where that makes both one step."""
        self.lock: ContextManager[Any] = threading.RLock() if self.capabilities.threads == 1 else nullcontext()
        self._own_pipe = overrides(filesystem, "pipe_file")
        self._own_open = overrides(filesystem, "_open", "open")
        self._quiet_cache()

    def _quiet_cache(self) -> None:
        cache = getattr(self.filesystem, "dircache", None)
        if self.private and cache is not None and hasattr(cache, "use_listings_cache"):
            cache.clear()
            cache.use_listings_cache = False

    def _forget(self, path: str) -> None:
        if not self.private:
            self.filesystem.invalidate_cache(path)

    # Names

    def path_of(self, key: str) -> str:
        """Return what the filesystem calls *key*."""
        if not key:
            return self.root
        return f"{self.root.rstrip('/')}/{key}" if self.root else self.filesystem.root_marker + key

    def refusal(self, key: str) -> Optional[str]:
        """Return why the backend cannot hold a file of this name, None where it can."""
        return None

    def write_refusal(self, key: str) -> Optional[str]:
        """Return why a file of this name cannot be written, None where it can."""
        return self.refusal(key)

    def children(self, key: str) -> List[Child]:
        """Return the names below the directory *key* with their infos; a name may be odd, empty or deep."""
        directory = self.path_of(key)
        with self.lock:
            self._forget(directory)
            found = list(self.filesystem.ls(directory, detail=True))
        return [(self._name_below(directory, info["name"]), info) for info in found]

    def _name_below(self, directory: str, name: str) -> str:
        """Return *name* relative to *directory*: empty for itself, a slash for what is called ``directory/``."""
        if "://" in name:
            name = self.filesystem._strip_protocol(name)  # noqa: SLF001 - part of what fsspec asks of every class
        above = directory.strip("/")
        if not above:
            return name[1:] if name.startswith("/") else name
        bare, inside = name.lstrip("/"), above + "/"
        if bare in (above, inside):
            return bare[len(above) :]
        return bare[len(inside) :] if bare.startswith(inside) else name

    # Looking

    def info(self, path: str) -> Info:
        """Return what the filesystem says about *path* now; raises where it is missing."""
        with self.lock:
            self._forget(path)
            return dict(self.filesystem.info(path))

    def opened(self, path: str, size: Optional[int]) -> Any:
        """Return an open file with ``read`` and ``close``."""
        with self.lock:
            return Readable(self.filesystem.open(path, "rb"), self.lock)

    # Changing

    def make_directory(self, path: str) -> None:
        """Make a directory and those above it."""
        with self.lock:
            if overrides(self.filesystem, "makedirs"):
                self.filesystem.makedirs(path, exist_ok=True)
            elif overrides(self.filesystem, "mkdir"):
                self._make_one_by_one(path)

    def _make_one_by_one(self, path: str) -> None:
        if not path.strip("/") or self._is_directory(path):
            return
        self._make_one_by_one(parent(path))
        self.filesystem.mkdir(path, create_parents=False)

    def _is_directory(self, path: str) -> bool:
        info = self.look(path)
        return info is not None and info.get("type") == "directory"

    def look(self, path: str) -> Optional[Info]:
        """Return what the filesystem says about *path* now, None where it is missing."""
        return unless_missing(lambda: self.info(path))

    def _make_unless_made(self, path: str, make: Callable[[], Any]) -> None:
        try:
            make()
        except Exception:
            # Another worker may have made it in between.
            if not self._is_directory(path):
                raise

    def remove_directory(self, path: str) -> None:
        """Remove a directory that was seen to be empty."""
        with self.lock:
            self.filesystem.rmdir(path)

    def remove(self, path: str) -> None:
        """Delete one file."""
        with self.lock:
            self.filesystem.rm_file(path)

    def copy(self, old: str, new: str, admit: Admit, *, absent: bool) -> None:
        """Copy within the storage; *admit* is asked right before the copy becomes visible."""
        if not self.capabilities.server_move:
            admit()
            with self.lock:
                self.filesystem.cp_file(old, new)
            return
        with self._aside(new) as aside:
            with self.lock:
                self.filesystem.cp_file(old, aside)
            admit()
            self.rename(aside, new, absent=absent)

    def rename(self, old: str, new: str, *, absent: bool) -> None:
        """Rename one file by the literal call of the filesystem, replacing *new* unless it is expected *absent*."""
        with self.lock:
            self.filesystem.mv_file(old, new)

    def place(
        self, path: str, incoming: Incoming, admit: Admit, *, absent: bool, mtime_ns: Optional[int]
    ) -> Optional[Info]:
        """Write a file, all or nothing, asking *admit* right before; returns the info of what was written, if known."""
        with _spooled(incoming) as spool:
            if not self.capabilities.server_move and not self.capabilities.server_copy:
                admit()
                self._send_in_place(path, spool, incoming.count)
                return None
            with self._aside(path) as aside:
                self._send(aside, spool, incoming.count)
                self._check_size(aside, incoming.count)
                admit()
                self._bring(aside, path, absent=absent)
        return None

    def _bring(self, aside: str, path: str, *, absent: bool) -> None:
        if self.capabilities.server_move:
            self.rename(aside, path, absent=absent)
            return
        with self.lock:
            self.filesystem.cp_file(aside, path)
        self.remove(aside)

    def _send_in_place(self, path: str, spool: Any, size: int) -> None:
        existed = self.look(path) is not None
        try:
            self._send(path, spool, size)
        except BaseException:
            if not existed:
                self._discard(path)
            raise

    def _send(self, path: str, spool: Any, size: int) -> None:
        with self.lock:
            if self._own_pipe and (size <= IN_MEMORY_BYTES or not self._own_open):
                self.filesystem.pipe_file(path, spool.read())
                return
            with self.filesystem.open(path, "wb") as stream:
                _pour(spool, stream)

    @contextmanager
    def _aside(self, path: str) -> Iterator[str]:
        """Give a temporary path beside *path*, and see that nothing is left there."""
        with temporary() as name:
            directory = parent(path)
            aside = f"{directory}/{name}" if directory or path.startswith("/") else name
            try:
                yield aside
            except BaseException:
                self._discard(aside)
                raise

    def _discard(self, path: str) -> None:
        # What cannot be removed now is named in the next listing as a leftover, and swept.
        with suppress(Exception):
            self.remove(path)

    def _check_size(self, path: str, size: int) -> Info:
        info = self.info(path)
        if info.get("size") not in (size, None):
            raise Unavailable(f"the storage kept {info.get('size')} of {size} bytes")
        return info

    def close(self) -> None:
        """Let go of connections."""


@contextmanager
def _spooled(incoming: Incoming) -> Iterator[Any]:
    """Collect the content in memory, or in a local file where it is large, and check it."""
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as spool:
        _pour(incoming, spool)
        incoming.finish()
        spool.seek(0)
        yield spool


def _pour(source: Any, target: Any) -> None:
    while True:
        chunk = source.read(CHUNK_BYTES)
        if not chunk:
            return
        target.write(chunk)


# Every client of this process writes to one memory, so conditions on it hold for all of them.
_MEMORY_LOCK = threading.RLock()


class MemoryDriver(Driver):
    """``memory://``: conditions and changes happen together under one lock of the process."""

    writes_aside = False

    def __init__(self, filesystem: Any, root: str, *, private: bool) -> None:
        super().__init__(filesystem, root, private=private)
        self.lock = self.condition = _MEMORY_LOCK

    def opened(self, path: str, size: Optional[int]) -> Any:
        """Return a copy of the content: every opener of a memory file would get the same object and position."""
        with self.lock:
            return io.BytesIO(self.filesystem.cat_file(path))

    def make_directory(self, path: str) -> None:
        """Make a directory and those above it."""
        with self.lock:
            self.filesystem.makedirs(path, exist_ok=True)

    def place(
        self, path: str, incoming: Incoming, admit: Admit, *, absent: bool, mtime_ns: Optional[int]
    ) -> Optional[Info]:
        """Put the whole content at once."""
        content = io.BytesIO()
        _pour(incoming, content)
        incoming.finish()
        with self.lock:
            admit()
            self.filesystem.pipe_file(path, content.getvalue())
            return self.info(path)

    def copy(self, old: str, new: str, admit: Admit, *, absent: bool) -> None:
        """Copy at once."""
        with self.lock:
            admit()
            self.filesystem.cp_file(old, new)

    def rename(self, old: str, new: str, *, absent: bool) -> None:
        """Hang the file under its new name; the version stays."""
        strip = self.filesystem._strip_protocol  # noqa: SLF001 - part of what fsspec asks of every class
        with self.lock:
            moved = self.filesystem.store.pop(strip(old))
            moved.path = strip(new)
            self.filesystem.store[moved.path] = moved

    def remove(self, path: str) -> None:
        """Delete one file; the directory it stood in stays, as real directories do."""
        with self.lock:
            self.filesystem.makedirs(parent(path), exist_ok=True)
            self.filesystem.rm_file(path)


class RenamingDriver(Driver):
    """Storages with a rename: content streams to a temporary name beside its place."""

    def place(
        self, path: str, incoming: Incoming, admit: Admit, *, absent: bool, mtime_ns: Optional[int]
    ) -> Optional[Info]:
        """Stream to a temporary name, check, and rename over."""
        with self._aside(path) as aside:
            self.upload(aside, incoming)
            incoming.finish()
            if mtime_ns is not None and self.capabilities.set_mtime:
                self.set_mtime(aside, mtime_ns)
            info = self._check_size(aside, incoming.count)
            admit()
            self.rename(aside, path, absent=absent)
        return info if self.capabilities.set_mtime else None

    def upload(self, path: str, incoming: Incoming) -> None:
        """Send the content to a temporary name."""
        with self.lock, self.filesystem.open(path, "wb") as stream:
            _pour(incoming, stream)

    def set_mtime(self, path: str, mtime_ns: int) -> None:
        """Set the time of the content."""
        raise Unsupported("the storage keeps no times")


class WebdavDriver(RenamingDriver):
    """WebDAV through webdav4's client, which takes paths that are already escaped; fsspec's layer strips blanks."""

    @staticmethod
    def _escaped(path: str) -> str:
        return quote(path, safe="/")

    def write_refusal(self, key: str) -> Optional[str]:
        """Refuse what servers cut off when they read the target of a MOVE: the file would get another's name."""
        found = sorted({sign for sign in key if sign in "?#;" or not sign.isprintable()})
        return f"holds {', '.join(map(repr, found))}" if found else None

    def children(self, key: str) -> List[Child]:
        """Return the names below a collection."""
        directory = self.path_of(key)
        found = self.filesystem.client.ls(self._escaped(directory), detail=True, allow_listing_resource=False)
        return [(self._name_below(directory, info["name"]), _webdav_info(info)) for info in found]

    def info(self, path: str) -> Info:
        """Return the properties of one resource."""
        return _webdav_info(self.filesystem.client.info(self._escaped(path)))

    def opened(self, path: str, size: Optional[int]) -> Any:
        """Start one GET; nothing is asked for again, so that two versions never mix."""
        client = self.filesystem.client
        request = client.http.build_request(
            "GET", client.join_url(self._escaped(path)), headers={"Accept-Encoding": "identity"}
        )
        response = client.http.send(request, stream=True, follow_redirects=True)
        try:
            response.raise_for_status()
        except BaseException:
            response.close()
            raise
        return _Response(response)

    def make_directory(self, path: str) -> None:
        """Make a collection and those above it."""
        if not path.strip("/") or self._is_directory(path):
            return
        self.make_directory(parent(path))
        self._make_unless_made(path, lambda: self.filesystem.client.mkdir(self._escaped(path)))

    def remove_directory(self, path: str) -> None:
        """Delete a collection that was seen to be empty; the protocol has no call that would refuse a full one."""
        self.filesystem.client.remove(self._escaped(path))

    def remove(self, path: str) -> None:
        """Delete one resource."""
        self.filesystem.client.remove(self._escaped(path))

    def upload(self, path: str, incoming: Incoming) -> None:
        """PUT to a temporary name.

        What fits in memory is read before the request begins. A PUT that breaks off may be finished by the server
        after its file was deleted; then a leftover stays, which the next listing names.
        """
        ahead = _Ahead(incoming)
        self.filesystem.client.upload_fileobj(
            ahead, self._escaped(path), overwrite=True, size=ahead.size, chunk_size=CHUNK_BYTES
        )

    def rename(self, old: str, new: str, *, absent: bool) -> None:
        """MOVE, telling the server whether something may be replaced."""
        self.filesystem.client.move(self._escaped(old), self._escaped(new), overwrite=not absent)

    def copy(self, old: str, new: str, admit: Admit, *, absent: bool) -> None:
        """COPY to a temporary name, then MOVE."""
        with self._aside(new) as aside:
            self.filesystem.client.copy(self._escaped(old), self._escaped(aside))
            admit()
            self.rename(aside, new, absent=absent)

    def close(self) -> None:
        """Close the connections."""
        if self.private:
            self.filesystem.client.http.close()


def _webdav_info(info: Info) -> Info:
    return {**info, "size": info.get("content_length")}


class _Ahead:
    """Content whose beginning was read already; ``size`` is known where that was all."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._head = io.BytesIO()
        ended = False
        while not ended and self._head.tell() < IN_MEMORY_BYTES:
            ended = not self._head.write(incoming.read(CHUNK_BYTES))
        self.size = self._head.tell() if ended else incoming.content.size
        self._head.seek(0)

    def read(self, size: int = -1) -> bytes:
        return self._head.read(size) or self._incoming.read(size)


class _Response:
    """The body of an answer as something that is read in pieces of any size."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self._chunks = response.iter_bytes(CHUNK_BYTES)
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            rest, self._rest = self._rest, b""
            return rest + b"".join(self._chunks)
        if not self._rest:
            self._rest = next(self._chunks, b"")
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    def close(self) -> None:
        self._response.close()


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


class SftpDriver(RenamingDriver):
    """paramiko's SFTP, whose connection serves one call at a time."""

    def upload(self, path: str, incoming: Incoming) -> None:
        """Send to a temporary name; content is collected first, so that the lock is not held while it arrives."""
        with _spooled_unchecked(incoming) as spool, self.lock:
            self.filesystem.ftp.putfo(spool, path, confirm=False)

    def rename(self, old: str, new: str, *, absent: bool) -> None:
        """Rename in one step; the plain rename of the protocol refuses an existing name."""
        with self.lock:
            (self.filesystem.ftp.rename if absent else self.filesystem.ftp.posix_rename)(old, new)

    def set_mtime(self, path: str, mtime_ns: int) -> None:
        """Set the time in whole seconds."""
        seconds = mtime_ns // 1_000_000_000
        with self.lock:
            self.filesystem.ftp.utime(path, (seconds, seconds))

    def make_directory(self, path: str) -> None:
        """Make a directory and those above it."""
        with self.lock:
            self.filesystem.makedirs(path, exist_ok=True)

    def close(self) -> None:
        """Close the connection."""
        if self.private:
            self.filesystem.client.close()


@contextmanager
def _spooled_unchecked(incoming: Incoming) -> Iterator[Any]:
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as spool:
        _pour(incoming, spool)
        spool.seek(0)
        yield spool


class SshfsDriver(RenamingDriver):
    """sshfs: its own rename falls back to a copy that may lose the file, and its rmdir does nothing."""

    def _on_channel(self, method: str, *arguments: Any, **options: Any) -> Any:
        from fsspec.asyn import sync  # type: ignore[import-untyped]

        async def call() -> Any:
            async with self.filesystem._pool.get() as channel:  # noqa: SLF001 - the only way to these primitives
                return await getattr(channel, method)(*arguments, **options)

        return sync(self.filesystem.loop, call)

    def rename(self, old: str, new: str, *, absent: bool) -> None:
        """Rename in one step; the plain rename of the protocol refuses an existing name."""
        self._on_channel("rename" if absent else "posix_rename", old, new)

    def set_mtime(self, path: str, mtime_ns: int) -> None:
        """Set the time in whole seconds."""
        seconds = mtime_ns // 1_000_000_000
        self._on_channel("utime", path, times=(seconds, seconds))

    def make_directory(self, path: str) -> None:
        """Make a directory and those above it."""
        self._on_channel("makedirs", path, exist_ok=True)

    def remove_directory(self, path: str) -> None:
        """Remove an empty directory."""
        self._on_channel("rmdir", path)

    def remove(self, path: str) -> None:
        """Delete one file."""
        self._on_channel("remove", path)


class ObjectDriver(Driver):
    """S3 and GCS through s3fs and gcsfs: one commit after the last byte, nothing visible before."""

    writes_aside = False

    def refusal(self, key: str) -> Optional[str]:
        """Refuse what s3fs reads as a version and would write to another key."""
        return "holds '?versionId='" if "?versionId=" in key else None

    def make_directory(self, path: str) -> None:
        """Do nothing: directories are implied."""

    def place(
        self, path: str, incoming: Incoming, admit: Admit, *, absent: bool, mtime_ns: Optional[int]
    ) -> Optional[Info]:
        """Send without committing, check, and commit; a new key is asked for exclusively."""
        stream = self.filesystem.open(path, "xb" if absent else "wb", autocommit=False)
        try:
            _pour(incoming, stream)
            incoming.finish()
            admit()
            stream.close()
            stream.commit()
        except BaseException:
            with suppress(Exception):
                stream.discard()
            stream.closed = True
            raise
        return None

    def copy(self, old: str, new: str, admit: Admit, *, absent: bool) -> None:
        """Copy on the server, which shows whole objects only."""
        admit()
        self.filesystem.cp_file(old, new)


class AzureDriver(ObjectDriver):
    """Azure through adlfs, which sends a checked local file in one commit."""

    def place(
        self, path: str, incoming: Incoming, admit: Admit, *, absent: bool, mtime_ns: Optional[int]
    ) -> Optional[Info]:
        """Collect, check and send."""
        with tempfile.NamedTemporaryFile() as spool:
            _pour(incoming, spool)
            spool.flush()
            incoming.finish()
            admit()
            options: Dict[str, Any] = {"mode": "create"} if absent else {"overwrite": True}
            self.filesystem.put_file(spool.name, path, **options)
        return None


class ArchiveDriver(Driver):
    """zip, tar and libarchive: the members are read once into a tree.

    A leading ``./`` of a member's name means nothing; of members of one name the last wins, as when unpacking.
    """

    writes_aside = False

    def __init__(self, filesystem: Any, root: str, *, private: bool) -> None:
        super().__init__(filesystem, root.strip("/"), private=private)
        self._members: Dict[str, Info] = {"": {"name": "", "type": "directory"}}
        self._below: Dict[str, Dict[str, Info]] = {"": {}}
        for info in self._infos():
            self._add(info)

    def _infos(self) -> List[Info]:
        self.filesystem._get_dirs()  # noqa: SLF001 - ls() walks all members for every directory
        links = self._links()
        members = self.filesystem.dir_cache.items()
        # Directories that fsspec inferred have nothing but these; the members below them imply them here too.
        inferred = {"name", "size", "type"}
        return [{**info, "name": name, **links.get(name, {})} for name, info in members if set(info) != inferred]

    def _links(self) -> Dict[str, Info]:
        archive = getattr(self.filesystem, "tar", None)
        odd = (
            [member for member in archive if not (member.isfile() or member.isdir() or member.islnk())]
            if archive
            else []
        )
        return {member.name: {"type": "link" if member.issym() else "special file"} for member in odd}

    def _add(self, info: Info) -> None:
        name = str(info["name"])
        while name.startswith("./"):
            name = name[2:]
        if name in ("", "."):
            return
        directory = ""
        while refusal(name) is not None or "/" in name:
            first, slash, rest = name.partition("/")
            if not slash or refusal(first) is not None:
                break
            directory = self._directory(directory, first)
            name = rest
        self._below[directory][name] = info
        path = f"{directory}/{name}" if directory else name
        self._members[path] = info
        if info.get("type") == "directory":
            self._below.setdefault(path, {})

    def _directory(self, above: str, name: str) -> str:
        path = f"{above}/{name}" if above else name
        if path not in self._below:
            self._below[path] = {}
            self._below[above].setdefault(name, {"name": path, "type": "directory"})
            self._members.setdefault(path, {"name": path, "type": "directory"})
        return path

    def path_of(self, key: str) -> str:
        """Return the place in the tree."""
        return f"{self.root}/{key}" if self.root and key else self.root or key

    def children(self, key: str) -> List[Child]:
        """Return the names in a directory of the archive."""
        path = self.path_of(key)
        if path not in self._below:
            raise NotFound(path)
        return list(self._below[path].items())

    def info(self, path: str) -> Info:
        """Return what the archive says about a member."""
        if path not in self._members:
            raise NotFound(path)
        return self._members[path]

    def opened(self, path: str, size: Optional[int]) -> Any:
        """Open a member by the name it has in the archive."""
        return super().opened(str(self.info(path)["name"]), size)

    def close(self) -> None:
        """Close the archive; the tar filesystem of older fsspec leaves that to its tar file."""
        closing = [getattr(held, "close", None) for held in (self.filesystem, getattr(self.filesystem, "tar", None))]
        if self.private:
            next(filter(None, closing))()


class HttpDriver(Driver):
    """Web servers: names are URLs, listings are pages with links, and only a HEAD tells a size or a version."""

    writes_aside = False

    def __init__(self, filesystem: Any, root: str, *, private: bool) -> None:
        super().__init__(filesystem, root.rstrip("/"), private=private)
        if private:
            self._prepare()

    def _prepare(self) -> None:
        import aiohttp

        # Lengths are of the bytes themselves, and a large file may take longer than the default five minutes.
        headers = {**self.filesystem.kwargs.get("headers", {}), "Accept-Encoding": "identity"}
        self.filesystem.kwargs["headers"] = headers
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60)
        self.filesystem.client_kwargs = {"timeout": timeout, **self.filesystem.client_kwargs}

    def path_of(self, key: str) -> str:
        """Return the URL of *key*."""
        return f"{self.root}/{quote(key)}" if key else self.root

    def children(self, key: str) -> List[Child]:
        """Return the links of a page that lead below it."""
        from html import unescape

        directory = self.path_of(key)
        with self.lock:
            self._forget(directory)
            found = [unescape(str(info["name"])) for info in self.filesystem.ls(directory + "/", detail=True)]
        return [child for url in sorted(found) for child in self._child(directory, url)]

    @staticmethod
    def _child(directory: str, url: str) -> List[Child]:
        scheme = directory.partition("://")[0]
        below = scheme + "://" + url.partition("://")[2]
        if not below.startswith(directory + "/") or "?" in url or "#" in url:
            return []
        name = below[len(directory) + 1 :]
        if not name.strip("/."):
            return []
        # An escaped slash belongs to a name that no other storage could hold.
        parts = [unquote(part, errors="surrogateescape") for part in name.split("/")]
        if any("/" in part for part in parts):
            return [("/" + unquote(name), {"type": "file"})]
        kind = "directory" if len([part for part in parts if part]) > 1 or name.endswith("/") else "file"
        return [(parts[0], {"type": kind, "size": None})]

    def info(self, path: str) -> Info:
        """HEAD one URL; one that leads to a URL with a trailing slash is a directory."""
        info = dict(self.filesystem.info(path))
        if str(info.get("url", "")).endswith("/") or (path == self.root and self._is_index(info)):
            info["type"] = "directory"
        return info

    def _is_index(self, info: Info) -> bool:
        return info.get("mimetype") == "text/html" and bool(self.children(""))

    def opened(self, path: str, size: Optional[int]) -> Any:
        """Start one GET; ranges of a file that is replaced meanwhile would not fit together."""
        return Readable(self.filesystem.open(path, "rb", block_size=0), self.lock)

    def close(self) -> None:
        """Close the session."""
        session = getattr(self.filesystem, "_session", None)
        if self.private and session is not None:
            self.filesystem.close_session(self.filesystem.loop, session)


_DRIVERS: Dict[str, Callable[..., Driver]] = {
    "memory": MemoryDriver,
    "zip": ArchiveDriver,
    "tar": ArchiveDriver,
    "libarchive": ArchiveDriver,
    "http": HttpDriver,
    "ftp": FtpDriver,
    "webdav": WebdavDriver,
    "sftp": SftpDriver,
    "sshfs": SshfsDriver,
    "s3": ObjectDriver,
    "gcs": ObjectDriver,
    "azure": AzureDriver,
}


def driver_for(filesystem: Any, root: str, *, private: bool) -> Driver:
    """Return the driver of the family *filesystem* belongs to; a *private* instance is nobody else's to see."""
    return _DRIVERS.get(family_of(filesystem).name, Driver)(filesystem, root, private=private)
