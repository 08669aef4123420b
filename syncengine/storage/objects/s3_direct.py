"""Requests about one bucket of S3, made plainly: pages of listings, deletions, ranges, and whatever fits in one answer.

obstore drops the slash of directory markers and fails at odd keys, and the filesystem takes a second to import. So a
page is asked for here and read by its text. Whatever is not a plain answer is not interpreted: the filesystem asks
again, and with its retries, redirects and error messages has the last word.
"""

from __future__ import annotations

import os
import re
from binascii import b2a_base64
from collections import deque
from datetime import datetime, timezone
from hashlib import md5
from threading import Semaphore, Thread, current_thread
from typing import Callable, Deque, Iterator, List, Mapping, Optional, Tuple
from urllib.parse import urlsplit

from attrs import define, field

from .conversation import Asked, ask
from .exchange import Answer, Connections, Lost, Unclear, Unsent
from .obstore_options import PROXIES, StoreOptions
from .pouring import Take, poured
from .s3_listing import objects_in
from .service import ObjectInfo
from .signing import NOTHING, Credentials, digest_of_body, encoded_path, encoded_query, signed

__all__ = ["BrokenOff", "DirectS3", "Lost", "Unclear", "Unsent", "direct_to"]

FULL_PAGE = 1000
_OK = 200
_CONTENT = (_OK, 206)
_TOKEN = re.compile(r"<NextContinuationToken>([^<&]+)</NextContinuationToken>")
_SAFE_REGION = re.compile(r"^[a-z]{2}-[a-z]+-\d+$")


class BrokenOff(Unclear):
    """A listing that became unclear; *token* asks for what is missing of it, None where all is."""

    def __init__(self, message: str, token: Optional[str]) -> None:
        super().__init__(message)
        self.token = token


class _Ahead(Thread):
    """Fetches page after page, each when the one before is waited for, in the thread that this one came to.

    Handing each page's token to another thread takes milliseconds where the machine is busy, in which the server has
    nothing to do. It is no pool of concurrent.futures, because loading that takes half as long as a page.
    """

    def __init__(self, fetch: Callable[[Optional[str]], bytes]) -> None:
        # Whoever leaves a listing unread does not keep the process from ending.
        super().__init__(name="syncengine-listing", daemon=True)
        self._fetch = fetch
        self._wanted, self._come = Semaphore(0), Semaphore(0)
        self._pages: Deque[Tuple[bytes, Optional[str]]] = deque()
        self._failure: Optional[BaseException] = None
        self._ended = False
        self.start()

    def run(self) -> None:
        """Fetch the pages up to the last one, or until nobody wants more."""
        token: Optional[str] = None
        try:
            while not self._ended:
                content = self._fetch(token)
                token = _next_token(content)
                self._pages.append((content, token))
                self._come.release()
                if token is None:
                    return
                self._wanted.acquire()
        except BaseException as error:  # noqa: BLE001 - it is raised again, where the page is waited for
            self._failure = error
            self._come.release()

    def take(self) -> Tuple[bytes, Optional[str]]:
        """Wait for the next page and return it with the token of the one that follows; raises what kept it away."""
        self._wanted.release()
        self._come.acquire()
        if not self._pages:
            assert self._failure is not None
            raise self._failure
        return self._pages.popleft()

    def end(self) -> None:
        """Wait for what is on its way, and fetch no more."""
        self._ended = True
        self._wanted.release()
        # The collector of garbage may find a listing that was left unread while it runs in this very thread.
        if current_thread() is not self:
            self.join()


@define(eq=False)
class DirectS3:
    """Requests about the bucket at *address*: scheme, host and, where that does not name the bucket, its path."""

    address: str
    options: StoreOptions = field(repr=False)
    _connections: Connections = field(init=False, repr=False)
    _path: str = field(init=False)
    _own: Mapping[str, str] = field(init=False)
    """The headers of every request."""
    _region: str = field(init=False)
    _lasting: Optional[Credentials] = field(default=None, init=False, repr=False)
    _held: Optional[Tuple[datetime, Credentials]] = field(default=None, init=False, repr=False)
    """Credentials that expire, and until when they are good."""

    def __attrs_post_init__(self) -> None:
        """Read once what every request needs."""
        place, config = urlsplit(self.address), self.options.config
        payer = {"X-Amz-Request-Payer": "requester"} if config.get("request_payer") else {}
        self._path, self._own, self._region = place.path, {"Host": place.netloc, **payer}, str(config["region"])
        if self.options.credentials is None and not config.get("skip_signature"):
            key, secret, token = config["access_key_id"], config["secret_access_key"], config.get("session_token")
            self._lasting = Credentials(key, secret, token)
        connect, read = (self.options.client[name].total_seconds() for name in ("connect_timeout", "read_timeout"))
        self._connections = Connections(self.address, connect, read)

    @property
    def is_of_the_aws(self) -> bool:
        """Whether this is S3 itself, and none of the servers that imitate it."""
        return (urlsplit(self.address).hostname or "").endswith(".amazonaws.com")

    def pages(self, prefix: str, *, start_after: str, page_size: int) -> Iterator[List[ObjectInfo]]:
        """Yield the pages of a listing, the next one asked for while one is handled; raises BrokenOff."""
        asked = {"list-type": "2", "encoding-type": "url", "prefix": prefix, "max-keys": str(page_size)}
        if start_after:
            asked["start-after"] = start_after
        token: Optional[str] = None

        def fetch(token: Optional[str]) -> bytes:
            return self._page({**asked, "continuation-token": token} if token else asked)

        # Whoever asks for small pages will hardly want the next one.
        ahead = _Ahead(fetch) if page_size >= FULL_PAGE else None
        try:
            while True:
                content, following = _with_token(fetch(token)) if ahead is None else ahead.take()
                yield _objects(content)
                if following is None:
                    return
                token = following
        except Unclear as error:
            raise BrokenOff(str(error), token) from error
        finally:
            if ahead is not None:
                ahead.end()

    def _page(self, query: Mapping[str, str]) -> bytes:
        answer = self.ask("GET", "", {}, query=query)
        if answer.status != 200:
            raise Unclear(f"status {answer.status}")
        return answer.content

    def delete(self, key: str, etag: Optional[str]) -> Optional[int]:
        """Ask for a deletion, of the quoted version *etag* if given; return the status, None where it was lost."""
        try:
            return self.ask("DELETE", key, {"If-Match": etag} if etag else {}).status
        except Unclear:
            return None

    def range(self, key: str, start: int, end: int, etag: str) -> bytes:
        """Return the bytes from *start* up to before *end* of the quoted version *etag*; raises Unclear.

        Some servers send the range under the status of a whole object: its length tells which it is. What says that
        it is another range, as a cache may answer, is none of ours.
        """
        answer = self.ask("GET", key, {"If-Match": etag, "Range": f"bytes={start}-{end - 1}"})
        if len(answer.content) != end - start or not _holds_range(answer, start, end, etag):
            raise Unclear(f"status {answer.status}, {len(answer.content)} bytes")
        return answer.content

    def pour(self, key: str, start: int, end: int, etag: str, take: Take) -> None:
        """Hand what ``range`` returns to *take*, by offsets from *start*; raises Unclear, and what *take* raises."""
        asked = self.asked("GET", key, {"If-Match": etag, "Range": f"bytes={start}-{end - 1}"})
        poured(
            asked,
            end - start,
            lambda answer: _holds_range(answer, start, end, etag),
            lambda offset, piece: take(start + offset, piece),
        )

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._connections.close()

    def ask(
        self,
        method: str,
        key: str,
        headers: Mapping[str, str],
        *,
        content: bytes = b"",
        query: Optional[Mapping[str, str]] = None,
    ) -> Answer:
        """Send one signed request about *key*, empty for the bucket; raises Unsent or Lost, and repeats nothing."""
        return ask(self.asked(method, key, headers, content=content, query=query))

    def asked(
        self,
        method: str,
        key: str,
        headers: Mapping[str, str],
        *,
        content: bytes = b"",
        digest: Optional[str] = None,
        query: Optional[Mapping[str, str]] = None,
    ) -> Asked:
        """Return a signed request about *key*, empty for the bucket; it is good for some minutes.

        *digest* is that of the content, computed here where nobody knows it. Raises Unsent where credentials that
        expire cannot be had.
        """
        path = encoded_path(f"{self._path}/{key}" if key else self._path or "/")
        text = encoded_query(query) if query else ""
        given = {**self._own, **headers}
        if content and method == "PUT":
            # Not every server holds content against the digest of the signature, and buckets with locks ask for this.
            given["Content-MD5"] = b2a_base64(md5(content, usedforsecurity=False).digest(), newline=False).decode()
        sent = self._signed(method, path, text, given, content, digest)
        return Asked(self._connections, method, f"{path}?{text}" if text else path, sent, content)

    def _signed(
        self, method: str, path: str, query: str, headers: Mapping[str, str], content: bytes, digest: Optional[str]
    ) -> Mapping[str, str]:
        now = datetime.now(timezone.utc)
        credentials = self._lasting or self._credentials(now)
        if credentials is None:
            return headers
        payload = digest or (digest_of_body(content) if content else NOTHING)
        return signed(
            method, path, query, headers, credentials=credentials, region=self._region, now=now, payload=payload
        )

    def _credentials(self, now: datetime) -> Optional[Credentials]:
        if self.options.credentials is None or self.options.config.get("skip_signature"):
            return None
        if self._held is None or now >= self._held[0]:
            try:
                provided = self.options.credentials()
            except Exception as error:
                # Whoever asks otherwise wants them too, and says what is wrong with them.
                raise Unsent(f"no credentials: {type(error).__name__}") from error
            found = Credentials(provided["access_key_id"], provided["secret_access_key"], provided["token"])
            self._held = provided["expires_at"], found
        return self._held[1]


def _holds_range(answer: Answer, start: int, end: int, etag: str) -> bool:
    """Say whether the head of an answer announces the bytes from *start* to before *end* of a version."""
    told = answer.headers.get("content-range")
    if told is None:
        return answer.status == _OK and answer.etag == etag
    return answer.status in _CONTENT and answer.etag == etag and told.partition("/")[0] == f"bytes {start}-{end - 1}"


def direct_to(options: StoreOptions) -> Optional[DirectS3]:
    """Return who asks for pages of the bucket of *options*, None where it is not plainly reached."""
    config = options.config
    if any(value and name.upper() in PROXIES for name, value in os.environ.items()):
        return None
    endpoint, bucket, region = config.get("endpoint"), str(config["bucket"]), str(config["region"])
    in_host = bool(config.get("virtual_hosted_style_request"))
    if endpoint is None and (not _SAFE_REGION.match(region) or region.startswith("cn-")):
        return None
    if endpoint is not None:
        address = str(endpoint).rstrip("/")
        return DirectS3(address if in_host else f"{address}/{bucket}", options)
    host = f"s3.{region}.amazonaws.com"
    return DirectS3(f"https://{bucket}.{host}" if in_host else f"https://{host}/{bucket}", options)


def _with_token(content: bytes) -> Tuple[bytes, Optional[str]]:
    return content, _next_token(content)


def _next_token(content: bytes) -> Optional[str]:
    """Return by what the next page is asked for, None after the last one."""
    text = content[:4096].decode("utf-8", "replace") + content[-4096:].decode("utf-8", "replace")
    if "<IsTruncated>false</IsTruncated>" in text:
        return None
    token = _TOKEN.search(text)
    if "<IsTruncated>true</IsTruncated>" not in text or token is None:
        raise Unclear("no token")
    return token.group(1)


def _objects(content: bytes) -> List[ObjectInfo]:
    if not content.rstrip().endswith(b"</ListBucketResult>"):
        raise Unclear("no plain page")
    found = objects_in(content)
    if not found and b"<Contents" in content:
        raise Unclear("no plain keys")
    return found
