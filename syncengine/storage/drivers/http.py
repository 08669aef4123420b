"""Web servers."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any, List, Optional, Tuple
from urllib.parse import quote, unquote, urljoin

from ..quirks import Info
from ..translation import unless_missing
from .base import Child, Driver
from .content import Readable


class _Links(HTMLParser):
    """Collects the targets of the links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: List[str] = []

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, Optional[str]]]) -> None:
        """Note where an anchor leads."""
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


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
        """Return the links of a page that lead below it.

        The page is read here: fsspec's own ``ls`` takes every link that starts with ``http`` for an absolute URL, so
        that a folder called ``http/`` is silently missing from its listing (2026.9).
        """
        directory = self.path_of(key)
        with self.lock:
            page = self.filesystem.cat_file(directory + "/")
        links = _Links()
        links.feed(page.decode("utf-8", "replace"))
        found = {urljoin(directory + "/", link) for link in links.found}
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
        return info.get("mimetype") == "text/html" and bool(unless_missing(lambda: self.children("")))

    def opened(self, path: str, size: Optional[int]) -> Any:
        """Start one GET; ranges of a file that is replaced meanwhile would not fit together."""
        return Readable(self.filesystem.open(path, "rb", block_size=0), self.lock)

    def close(self) -> None:
        """Close the session."""
        session = getattr(self.filesystem, "_session", None)
        if self.private and session is not None:
            self.filesystem.close_session(self.filesystem.loop, session)
