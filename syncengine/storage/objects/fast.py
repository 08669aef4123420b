"""Objects through obstore: looks, reads and small writes without the interpreter lock, several times as fast.

Everything else, listings and keys that obstore cannot spell among it, goes to the service over the user's filesystem.
A listing has to show keys as they are, and obstore drops the slash of directory markers and fails at odd keys.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, TypeVar

from attrs import evolve

from ...core.entry import Stamp
from ...core.paths import shown
from ...errors import (
    AccessDenied,
    NotFound,
    PreconditionFailed,
    StorageError,
    Throttled,
    Unavailable,
    Unsupported,
)
from ..protocol import Expectation, Precondition
from ..quirks import nanoseconds, plain_etag, whole
from ..translation import redacted, translated
from .service import Headers, ObjectInfo, ObjectService, PartReader

_Result = TypeVar("_Result")
# What obstore refuses in a key, or changes: odd parts, control characters, text that is no Unicode.
_UNSPEAKABLE = re.compile("^/|//|/$|(?:^|/)\\.{1,2}(?:/|$)|[\x00-\x1f\x7f\ud800-\udfff]")
_PIECE_BYTES = 1 << 20
_MD5 = re.compile(r"^[0-9a-f]{32}$")
_HEADER_NAMES = {
    "content_type": "Content-Type",
    "cache_control": "Cache-Control",
    "content_disposition": "Content-Disposition",
    "content_encoding": "Content-Encoding",
    "content_language": "Content-Language",
}
_FIELDS = {name.lower(): field for field, name in _HEADER_NAMES.items()}


class FastService:
    """*base* with looks, reads and small writes through the obstore store *store* of the same bucket.

    *secrets* appear in no message.
    """

    def __init__(self, base: ObjectService, store: Any, *, secrets: Iterable[str] = ()) -> None:
        import obstore

        self.facts = base.facts
        self.bucket = base.bucket
        self._base = base
        self._store = store
        self._obstore: Any = obstore
        self._secrets = tuple(secrets)
        self._marks_ranges = True

    def refusal(self, key: str) -> Optional[str]:
        """Return why no object can have this key, or None where one can."""
        return self._base.refusal(key)

    def pages(self, prefix: str, *, start_after: str = "", page_size: int = 1000) -> Iterator[Sequence[ObjectInfo]]:
        """Yield every object whose key starts with *prefix*, page by page, in byte order of the keys."""
        return self._base.pages(prefix, start_after=start_after, page_size=page_size)

    def children(self, prefix: str) -> Iterator[Tuple[List[ObjectInfo], List[str]]]:
        """Yield the objects directly below *prefix*, and the prefixes below it, by page."""
        return self._base.children(prefix)

    def head(self, key: str) -> Optional[ObjectInfo]:
        """Look at one object, None where it is missing; its storage class is not told, so headers are not complete."""
        if _UNSPEAKABLE.search(key):
            return self._base.head(key)

        def call() -> Optional[ObjectInfo]:
            try:
                result = self._obstore.get(self._store, key, options={"head": True})
            except FileNotFoundError:
                return None
            return _info(key, result.meta, result.attributes)

        return self._bordered(key, call)

    def get(self, key: str, limit: int, *, expect: Optional[Stamp] = None) -> Tuple[ObjectInfo, bytes]:
        """Open one version by one request: what the service tells about it, and its first bytes."""
        if _UNSPEAKABLE.search(key):
            return self._base.get(key, limit, expect=expect)
        options = _pinned(expect)

        def call() -> Tuple[ObjectInfo, bytes]:
            result = self._obstore.get(self._store, key, options=options)
            info = _info(key, result.meta, result.attributes)
            _check_version(key, expect, info.stamp)
            return info, _beginning(result, info.stamp.size, limit)

        return self._bordered(key, call)

    def read(self, key: str, start: int, end: int, *, expect: Optional[Stamp] = None) -> bytes:
        """Return the bytes from *start* up to before *end* of exactly the expected version."""
        if not self._marks_ranges or _UNSPEAKABLE.search(key):
            return self._base.read(key, start, end, expect=expect)
        options = {**_pinned(expect), "range": (start, end)}

        def call() -> bytes:
            result = self._obstore.get(self._store, key, options=options)
            _check_version(key, expect, _info(key, result.meta, {}).stamp)
            return bytes(result.bytes())

        try:
            return self._bordered(key, call)
        except StorageError as error:
            if "non-partial" not in str(error.__cause__):
                raise
            # Some servers send the range that was asked for under the status of a whole object: obstore refuses it.
            self._marks_ranges = False
            return self._base.read(key, start, end, expect=expect)

    def put(self, key: str, content: bytes, *, expect: Precondition, headers: Headers) -> ObjectInfo:
        """Write an object in one request under the condition *expect*."""
        if _UNSPEAKABLE.search(key) or headers.storage_class:
            return self._base.put(key, content, expect=expect, headers=headers)
        mode: Any = "overwrite"
        if expect.demand is Expectation.ABSENT:
            mode = "create"
        elif expect.stamp is not None:
            named = {"e_tag": _quoted(expect.stamp.etag), "version": expect.stamp.version}
            mode = {name: value for name, value in named.items() if value is not None}

        def call() -> ObjectInfo:
            # A condition is always one request; without one, parts would be sent above a few megabytes.
            result = self._obstore.put(
                self._store, key, content, mode=mode, use_multipart=False, attributes=_attributes(headers)
            )
            meta = {"size": len(content), "e_tag": result["e_tag"], "version": result["version"]}
            return evolve(_info(key, meta, {}), headers=headers)

        return self._bordered(key, call)

    def upload(
        self,
        key: str,
        read: PartReader,
        size: int,
        *,
        expect: Precondition,
        headers: Headers,
        admit: Callable[[], None],
    ) -> ObjectInfo:
        """Write a large object in parts."""
        return self._base.upload(key, read, size, expect=expect, headers=headers, admit=admit)

    def copy(
        self,
        old: str,
        new: str,
        *,
        origin_bucket: Optional[str] = None,
        expect_origin: ObjectInfo,
        expect: Precondition,
    ) -> ObjectInfo:
        """Copy one version within the service, of any size, with its headers."""
        # The service asks for the headers itself, since obstore tells only some.
        origin = evolve(expect_origin, headers=None)
        return self._base.copy(old, new, origin_bucket=origin_bucket, expect_origin=origin, expect=expect)

    def delete(self, key: str, *, expect: Precondition) -> None:
        """Delete one object; a missing one is gone already, unless *expect* names a version."""
        self._base.delete(key, expect=expect)

    def delete_many(self, keys: Sequence[str]) -> Dict[str, Optional[StorageError]]:
        """Delete objects and return, for each key, None or why it still stands."""
        return self._base.delete_many(keys)

    def part_size(self, key: str, *, expect: Stamp) -> Optional[int]:
        """Return the size of the first part of an object uploaded in parts, None where nobody knows."""
        return self._base.part_size(key, expect=expect)

    def digests(self, key: str, *, expect: Stamp) -> Tuple[str, ...]:
        """Return the digests of the whole object that the service has stored."""
        return self._base.digests(key, expect=expect)

    def close(self) -> None:
        """Let go of connections."""
        self._base.close()

    def _bordered(self, key: str, call: Callable[[], _Result]) -> _Result:
        try:
            return call()
        except StorageError:
            raise
        except Exception as error:  # obstore's classes have no base of their own below Exception
            raise _translated(error, key, self._secrets) from error


def _pinned(expect: Optional[Stamp]) -> Dict[str, Any]:
    etag = None if expect is None else expect.etag
    return {"if_match": _quoted(etag)} if etag else {}


def _quoted(etag: Optional[str]) -> Optional[str]:
    return None if etag is None else f'"{etag}"'


def _check_version(key: str, expect: Optional[Stamp], found: Stamp) -> None:
    # Some servers take a condition and answer with whatever they have.
    if expect is not None and expect.etag and found.etag and expect.etag != found.etag:
        raise PreconditionFailed(f"{shown(key)}: it has changed", path=key)


def _beginning(result: Any, size: Optional[int], limit: int) -> bytes:
    if size is not None and size <= limit:
        return bytes(result.bytes())
    # The rest is left on its way: letting go of the stream ends it.
    pieces: List[bytes] = []
    for piece in result.stream(min_chunk_size=_PIECE_BYTES):
        pieces.append(bytes(piece))
        if sum(map(len, pieces)) >= limit:
            break
    return b"".join(pieces)[:limit]


def _info(key: str, meta: Mapping[str, Any], attributes: Mapping[Any, Any]) -> ObjectInfo:
    etag = plain_etag(meta.get("e_tag"))
    version = meta.get("version")
    stamp = Stamp(
        size=whole(meta.get("size")),
        mtime_ns=nanoseconds(meta.get("last_modified")),
        etag=etag,
        version=version if version and version != "null" else None,
        digests=(f"md5:{etag}",) if etag is not None and _MD5.match(etag) else (),
    )
    return ObjectInfo(key, stamp, _headers(attributes) if attributes else None)


def _headers(attributes: Mapping[Any, Any]) -> Headers:
    told = {str(name): str(value) for name, value in attributes.items()}
    known = {_FIELDS[name.lower()]: value for name, value in told.items() if name.lower() in _FIELDS}
    own = {name: value for name, value in told.items() if name.lower() not in _FIELDS}
    return Headers(**known, metadata=own)


def _attributes(headers: Headers) -> Dict[str, str]:
    named = {name: getattr(headers, field) for field, name in _HEADER_NAMES.items()}
    return {**{name: value for name, value in named.items() if value}, **headers.metadata}


_BY_NAME = {
    "FileNotFoundError": NotFound,
    "NotFoundError": NotFound,
    "AlreadyExistsError": PreconditionFailed,
    "PreconditionError": PreconditionFailed,
    "PermissionDeniedError": AccessDenied,
    "UnauthenticatedError": AccessDenied,
    "NotSupportedError": Unsupported,
    "NotImplementedError": Unsupported,
    "InvalidPathError": Unsupported,
}
_STATUS = re.compile(r"status code: (\d{3})|\bstatus: (\d{3})")
_THROTTLING = re.compile(r"SlowDown|TooManyRequests|Throttl")


def _translated(error: Exception, key: str, secrets: Iterable[str]) -> StorageError:
    if type(error).__name__ not in _BY_NAME and not type(error).__module__.startswith("obstore"):
        return translated(error, key, secrets=secrets)
    # What follows is the structure of the error, with every header and URL in it.
    text = str(error).partition("Debug source")[0].strip() or type(error).__name__
    text = text.encode("utf-8", "replace").decode("utf-8")
    kind = _BY_NAME.get(type(error).__name__) or _by_text(text)
    return kind(f"{shown(key)}: {shown(' '.join(redacted(text, secrets).split()))}", path=key)


def _by_text(text: str) -> type[StorageError]:
    found = _STATUS.search(text)
    status = int(next(filter(None, found.groups()))) if found else None
    if status == 429 or _THROTTLING.search(text):
        return Throttled
    if status in (401, 403):
        return AccessDenied
    if status in (409, 412):
        return PreconditionFailed
    if status == 404:
        return NotFound
    if status is None or status >= 500 or status in (408, 425):
        # Without a status no answer came: a connection that failed, a timeout, a body that broke off.
        return Unavailable
    return StorageError
