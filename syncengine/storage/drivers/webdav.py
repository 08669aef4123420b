"""WebDAV through webdav4."""

from __future__ import annotations

import io
import re
from typing import Any, List, Optional
from urllib.parse import quote

from ...core.paths import parent
from ..quirks import Info
from .base import Admit, Child, RenamingDriver
from .content import CHUNK_BYTES, IN_MEMORY_BYTES, Incoming

_REFUSED = re.compile(r"[?;\x00-\x1f\ud800-\udfff\ufffe\uffff]")


class WebdavDriver(RenamingDriver):
    """WebDAV through webdav4's client, which takes paths that are already escaped; fsspec's layer strips blanks."""

    @staticmethod
    def _escaped(path: str) -> str:
        return quote(path, safe="/")

    def write_refusal(self, key: str) -> Optional[str]:
        """Refuse what servers cut off when they read the target of a MOVE: the file would get another's name.

        What cannot be part of XML is refused too: no folder that holds such a name could be listed again.
        """
        found = sorted(set(_REFUSED.findall(key)))
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
