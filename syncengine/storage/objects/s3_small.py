"""Small objects of S3 by plain requests: looks, reads, writes and copies, each at half the processor time of obstore's.

Only an answer that says yes is interpreted here. A refusal changed nothing, so whoever serves the bucket otherwise asks
again, and has the last word with its redirects and error messages. What failed at the server, or was never answered,
may have been done: it is not repeated here but raised, and looked into before it is reported.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from typing import Any, Dict, Iterable, Mapping, Optional, Tuple
from urllib.parse import quote

from attrs import evolve

from ...core.entry import Stamp
from ...core.paths import shown
from ...errors import StorageError, Throttled, Unavailable
from ..protocol import Expectation, Precondition
from ..quirks import s3_stamp
from .conversation import Conversation, held
from .exchange import Answer, Lost, Unclear, Unsent
from .fast import HEADER_NAMES, FastService, check_version
from .s3_direct import DirectS3
from .s3_values import condition_parameters, info_of, quoted
from .service import Headers, ObjectInfo, ObjectService
from .signing import digest_of_body

SMALL_BYTES = 1 << 20
"""Up to this size content goes and comes in one piece."""
_METADATA = "x-amz-meta-"
_STORAGE_CLASS = "x-amz-storage-class"
_FIELDS = {name.lower(): field for field, name in HEADER_NAMES.items()}
_TOLD = {
    "etag": "ETag",
    "x-amz-version-id": "VersionId",
    "x-amz-server-side-encryption": "ServerSideEncryption",
    "x-amz-server-side-encryption-customer-algorithm": "SSECustomerAlgorithm",
}
_CONDITIONS = {"IfMatch": "If-Match", "IfNoneMatch": "If-None-Match"}
_COPIED = re.compile(r"<CopyObjectResult.*?<ETag>([^<]+)</ETag>", re.DOTALL)
_COPIED_AT = re.compile(r"<LastModified>(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?)Z</LastModified>")
_FAILED = (408, 425, 429)
_THROTTLED = (429, 503)
_NOT_IMPLEMENTED = 501
_PLAIN = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?|")
_READ_STAMP = s3_stamp


class SmallObjects(FastService):
    """*base* as FastService has it, with whatever is small through *direct*."""

    def __init__(self, base: ObjectService, store: Any, direct: DirectS3, *, secrets: Iterable[str] = ()) -> None:
        super().__init__(base, store, secrets=secrets)
        self._direct = direct

    def head(self, key: str) -> Optional[ObjectInfo]:
        """Look at one object, None where it is missing; in S3 without its additional digests."""
        told, info = held(self.looking(key))
        # Not obstore: a copy needs the storage class, of which it tells nothing.
        return info if told else self._base.head(key)

    def looking(self, key: str) -> Conversation[Tuple[bool, Optional[ObjectInfo]]]:
        """Look at one object; return whether that was answered plainly, and what was found, None for nothing."""
        try:
            answer = yield self._direct.asked("HEAD", key, {})
        except Unclear:
            return False, None
        if answer.status == 404:
            return True, None
        size = _size(answer)
        return (False, None) if answer.status != 200 or size is None else (True, _info(key, size, answer))

    def get(self, key: str, limit: int, *, expect: Optional[Stamp] = None) -> Tuple[ObjectInfo, bytes]:
        """Open one version by one request: what the service tells about it, and its first bytes."""
        got = held(self.getting(key, limit, expect=expect))
        return super().get(key, limit, expect=expect) if got is None else got

    def getting(
        self, key: str, limit: int, *, expect: Optional[Stamp]
    ) -> Conversation[Optional[Tuple[ObjectInfo, bytes]]]:
        """Open one small version as ``get`` does; return None where that was not answered plainly."""
        size = None if expect is None else expect.size
        if expect is None or not expect.etag or size is None or size > min(limit, SMALL_BYTES):
            return None
        try:
            answer = yield self._direct.asked("GET", key, {"If-Match": quoted(expect.etag)})
        except Unclear:
            return None
        if answer.status != 200:
            return None
        info = _info(key, len(answer.content), answer)
        check_version(key, expect, info.stamp)
        return info, answer.content[:limit]

    def put(self, key: str, content: bytes, *, expect: Precondition, headers: Headers) -> ObjectInfo:
        """Write an object in one request under the condition *expect*."""
        made = held(self.putting(key, content, expect=expect, headers=headers))
        return super().put(key, content, expect=expect, headers=headers) if made is None else made

    def putting(
        self, key: str, content: bytes, *, expect: Precondition, headers: Headers
    ) -> Conversation[Optional[ObjectInfo]]:
        """Write a small object as ``put`` does; return None where that was refused, or cannot be asked plainly."""
        given = self._given(expect, headers) if len(content) <= SMALL_BYTES else None
        if given is None:
            return None
        # Its signature needs the digest, so this one to remember costs no second pass over the content.
        digest = digest_of_body(content)
        answer = yield from self._done("PUT", key, given, content, digest)
        if answer is None:
            return None
        told = _READ_STAMP(_told(answer))
        stamp = Stamp(len(content), None, told.etag, told.version, (*told.digests, f"sha256:{digest}"))
        return ObjectInfo(key, stamp, headers)

    def _given(self, expect: Precondition, headers: Headers) -> Optional[Dict[str, str]]:
        """Return what is sent besides the content, None where it cannot be said in plain text."""
        condition = _condition(expect)
        if condition is None or headers.storage_class:
            return None
        given = {}
        for field, name in HEADER_NAMES.items():
            value = getattr(headers, field)
            if not value:
                continue
            if not _PLAIN.fullmatch(value):
                return None
            given[name] = value
        for name, value in headers.metadata.items():
            if ":" in name or not _PLAIN.fullmatch(name) or not _PLAIN.fullmatch(value):
                return None
            given[_METADATA + name.lower()] = value
        return {**given, **condition}

    def _done(
        self,
        method: str,
        key: str,
        headers: Mapping[str, str],
        content: bytes = b"",
        digest: Optional[str] = None,
    ) -> Conversation[Optional[Answer]]:
        """Return the answer to a write that was done, None where it was refused; raises what may be tried again."""
        try:
            answer = yield self._direct.asked(method, key, headers, content=content, digest=digest)
        except Unsent:
            return None
        except Lost as error:
            raise Unavailable(f"{shown(key)}: the answer to a write was lost: {shown(str(error))}", path=key) from error
        if (answer.status >= 500 and answer.status != _NOT_IMPLEMENTED) or answer.status in _FAILED:
            raise _failure(key, answer)
        return answer if answer.status == 200 else None

    def copy(
        self,
        old: str,
        new: str,
        *,
        origin_bucket: Optional[str] = None,
        expect_origin: ObjectInfo,
        expect: Precondition,
    ) -> ObjectInfo:
        """Copy one version within the service, of any size, with its headers; *expect_origin* is what ``head`` said."""
        made = held(self.copying(new, expect_origin, origin_bucket or self.bucket, expect=expect))
        if made is not None:
            return made
        origin = evolve(expect_origin, headers=None)
        return self._base.copy(old, new, origin_bucket=origin_bucket, expect_origin=origin, expect=expect)

    def copying(
        self, new: str, origin: ObjectInfo, origin_bucket: str, *, expect: Precondition
    ) -> Conversation[Optional[ObjectInfo]]:
        """Copy as ``copy`` does; return None where that was refused, or is no matter of one short request."""
        from html import unescape

        sent = self._copying(f"{origin_bucket}/{origin.key}", origin, expect)
        answer = None if sent is None else (yield from self._done("PUT", new, sent))
        if answer is None:
            return None
        text = answer.content.decode("utf-8", "replace")
        found = _COPIED.search(text)
        if found is None:
            # S3 may answer that all is well and tell of a failure in what follows.
            raise Unavailable(f"{shown(new)}: the copy was begun, and its end was not told", path=new)
        told = {**_told(answer), "ETag": unescape(found.group(1)), "LastModified": _copied_at(text)}
        made = info_of(new, origin.stamp.size or 0, told, _READ_STAMP)
        return evolve(made, headers=origin.headers)

    def _copying(self, place: str, origin: ObjectInfo, expect: Precondition) -> Optional[Dict[str, str]]:
        """Return the headers of a copy of *place*, None where it is no matter of one short request."""
        etag, size, headers = origin.stamp.etag, origin.stamp.size, origin.headers
        condition = _condition(expect) if self.facts.copy_conditions else {}
        # S3 may be silent for longer than a request is waited for while it copies what is large.
        if etag is None or size is None or size > self.facts.single_bytes or headers is None or condition is None:
            return None
        # The service carries everything over by itself but the storage class.
        chosen = {_STORAGE_CLASS: headers.storage_class} if headers.storage_class else {}
        source = {"x-amz-copy-source": quote(f"/{place}"), "x-amz-copy-source-if-match": quoted(etag)}
        return {**source, **chosen, **condition}


def _condition(expect: Precondition) -> Optional[Dict[str, str]]:
    """Return the headers of a condition, None where the expected version has no ETag."""
    found = condition_parameters(expect)
    if expect.demand is Expectation.EXACTLY and not found:
        return None
    return {_CONDITIONS[name]: value for name, value in found.items()}


def _failure(key: str, answer: Answer) -> StorageError:
    said = shown(" ".join(answer.content[:300].decode("utf-8", "replace").split()))
    message = f"{shown(key)}: the server answered with status {answer.status}: {said}"
    if answer.status in _THROTTLED:
        after = answer.headers.get("retry-after", "")
        return Throttled(message, path=key, retry_after=float(after) if after.isdecimal() else None)
    return Unavailable(message, path=key)


def _size(answer: Answer) -> Optional[int]:
    text = answer.headers.get("content-length", "")
    return int(text) if text.isdecimal() else None


def _told(answer: Answer) -> Dict[str, Any]:
    return {name: answer.headers[header] for header, name in _TOLD.items() if header in answer.headers}


def _info(key: str, size: int, answer: Answer) -> ObjectInfo:
    headers = answer.headers
    stamp = _READ_STAMP({**_told(answer), "LastModified": _moment(headers.get("last-modified", "")), "size": size})
    fields = {field: headers[name] for name, field in _FIELDS.items() if name in headers}
    own = {name[len(_METADATA) :]: value for name, value in headers.items() if name.startswith(_METADATA)}
    return ObjectInfo(key, stamp, Headers(**fields, storage_class=headers.get(_STORAGE_CLASS, ""), metadata=own))


@lru_cache(maxsize=1024)
def _moment(text: str) -> Optional[datetime]:
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None


def _copied_at(text: str) -> Optional[datetime]:
    found = _COPIED_AT.search(text)
    return None if found is None else datetime.fromisoformat(f"{found.group(1)[:19]}+00:00")
