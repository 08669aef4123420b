"""Listings and deletions of S3 by plain requests of their own, for buckets that obstore reads and writes.

obstore drops the slash of directory markers and fails at odd keys, and the filesystem takes a second to import. So a
page is asked for here and read by its text. Whatever is not a plain answer is not interpreted: the filesystem asks
again, and with its retries, redirects and error messages has the last word.
"""

from __future__ import annotations

import os
import re
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Deque, Dict, Iterator, List, Mapping, Optional
from urllib.parse import urlsplit
from weakref import finalize

from attrs import define, field, frozen

from .obstore_options import PROXIES, StoreOptions
from .s3_listing import objects_in
from .service import ObjectInfo
from .signing import Credentials, encoded_path, encoded_query, signed

FULL_PAGE = 1000
_CONTENT = (200, 206)
_TOKEN = re.compile(r"<NextContinuationToken>([^<&]+)</NextContinuationToken>")
_SAFE_REGION = re.compile(r"^[a-z]{2}-[a-z]+-\d+$")


class Unclear(Exception):
    """An answer that is not interpreted here."""


@frozen
class Answer:
    """What came back."""

    status: int
    content: bytes
    etag: str
    """Quoted, empty where the answer has none."""


@define(eq=False)
class DirectS3:
    """Requests about the bucket at *address*: scheme, host and, where that does not name the bucket, its path."""

    address: str
    options: StoreOptions = field(repr=False)
    _idle: Deque[HTTPConnection] = field(factory=deque, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        finalize(self, _close, self._idle)

    def pages(self, prefix: str, *, start_after: str, page_size: int) -> Iterator[List[ObjectInfo]]:
        """Yield the pages of a listing, the next one asked for while one is handled; raises Unclear."""
        asked = {"list-type": "2", "encoding-type": "url", "prefix": prefix, "max-keys": str(page_size)}
        if start_after:
            asked["start-after"] = start_after
        with ThreadPoolExecutor(1, thread_name_prefix="syncengine-listing") as ahead:
            content: Optional[bytes] = self._page(asked)
            while content is not None:
                token = _next_token(content)
                following = {**asked, "continuation-token": token} if token else None
                # Whoever asks for small pages will hardly want the next one.
                coming = ahead.submit(self._page, following) if following and page_size >= FULL_PAGE else None
                yield _objects(content)
                if coming is None and following:
                    content = self._page(following)
                else:
                    content = None if coming is None else coming.result()

    def _page(self, query: Mapping[str, str]) -> bytes:
        answer = self._asked("GET", "", query, {})
        if answer.status != 200:
            raise Unclear(f"status {answer.status}")
        return answer.content

    def delete(self, key: str, etag: Optional[str]) -> Optional[int]:
        """Ask for a deletion, of the quoted version *etag* if given; return the status, None where it was lost."""
        try:
            return self._asked("DELETE", key, {}, {"If-Match": etag} if etag else {}).status
        except Unclear:
            return None

    def range(self, key: str, start: int, end: int, etag: str) -> bytes:
        """Return the bytes from *start* up to before *end* of the quoted version *etag*; raises Unclear.

        Some servers send the range under the status of a whole object: its length tells which it is.
        """
        answer = self._asked("GET", key, {}, {"If-Match": etag, "Range": f"bytes={start}-{end - 1}"})
        if answer.status not in _CONTENT or len(answer.content) != end - start or answer.etag != etag:
            raise Unclear(f"status {answer.status}, {len(answer.content)} bytes")
        return answer.content

    def close(self) -> None:
        """Close the connections that nobody uses."""
        _close(self._idle)

    def _asked(self, method: str, key: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        place = urlsplit(self.address)
        path = encoded_path(f"{place.path}/{key}" if key else place.path or "/")
        text = encoded_query(query)
        sent = self._signed(method, path, text, {"Host": place.netloc, **headers})
        connection = self._connection(place.scheme, place.netloc)
        try:
            connection.request(method, f"{path}?{text}" if text else path, headers=sent)
            with connection.getresponse() as response:
                answer = Answer(response.status, response.read(), response.headers.get("ETag", ""))
        except (OSError, HTTPException) as error:
            connection.close()
            raise Unclear(str(error)) from error
        self._idle.append(connection)
        return answer

    def _signed(self, method: str, path: str, query: str, headers: Mapping[str, str]) -> Dict[str, str]:
        payer = {"X-Amz-Request-Payer": "requester"} if self.options.config.get("request_payer") else {}
        credentials = _credentials(self.options)
        if credentials is None:
            return {**headers, **payer}
        region = str(self.options.config["region"])
        now = datetime.now(timezone.utc)
        return signed(method, path, query, {**headers, **payer}, credentials=credentials, region=region, now=now)

    def _connection(self, scheme: str, host: str) -> HTTPConnection:
        with suppress(IndexError):
            return self._idle.pop()
        kind = HTTPSConnection if scheme == "https" else HTTPConnection
        return kind(host, timeout=_seconds(self.options))


def _close(idle: Deque[HTTPConnection]) -> None:
    while idle:
        idle.pop().close()


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


def _credentials(options: StoreOptions) -> Optional[Credentials]:
    config: Mapping[str, Any] = options.config
    if config.get("skip_signature"):
        return None
    if options.credentials is not None:
        provided = options.credentials()
        return Credentials(provided["access_key_id"], provided["secret_access_key"], provided["token"])
    return Credentials(config["access_key_id"], config["secret_access_key"], config.get("session_token"))


def _seconds(options: StoreOptions) -> float:
    limit: timedelta = options.client["read_timeout"]
    return limit.total_seconds()


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
