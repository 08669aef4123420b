"""Objects through obstore: reads and small writes without the interpreter lock, several times as fast.

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
from ..causes import shown_cause
from ..protocol import Expectation, Precondition
from ..translation import redacted, translated, without_markup
from .dialects import DIALECTS, pinned
from .pouring import Take
from .service import Headers, ObjectInfo, ObjectService, PartReader

_Result = TypeVar("_Result")
# What obstore refuses in a key, or changes: odd parts, control characters, text that is no Unicode.
_UNSPEAKABLE = re.compile("^/|//|/$|(?:^|/)\\.{1,2}(?:/|$)|[\x00-\x1f\x7f\ud800-\udfff]")
_PIECE_BYTES = 1 << 20
HEADER_NAMES = {
    "content_type": "Content-Type",
    "cache_control": "Cache-Control",
    "content_disposition": "Content-Disposition",
    "content_encoding": "Content-Encoding",
    "content_language": "Content-Language",
}
_FIELDS = {name.lower(): field for field, name in HEADER_NAMES.items()}


class FastService:
    """*base* with reads and small writes through the obstore store of the same bucket that *store* gives.

    *store* is asked when the first of them is due, and for each; None says that there is none. *secrets* appear in no
    message.
    """

    def __init__(self, base: ObjectService, store: Callable[[], Optional[Any]], *, secrets: Iterable[str] = ()) -> None:
        self.facts = base.facts
        self.bucket = base.bucket
        self._base = base
        self._dialect = DIALECTS[base.facts.name]
        self._store = store
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
        """Look at one object, None where it is missing; in S3 without its storage class and additional digests."""
        store = self._store_for(key) if self._dialect.looks else None
        if store is None:
            return self._base.head(key)

        def call() -> Optional[ObjectInfo]:
            try:
                result = _obstore().get(store, key, options={"head": True})
            except FileNotFoundError:
                return None
            return self._info(key, result.meta, result.attributes)

        return self._bordered(key, call)

    def get(self, key: str, limit: int, *, expect: Optional[Stamp] = None) -> Tuple[ObjectInfo, bytes]:
        """Open one version by one request: what the service tells about it, and its first bytes."""
        store = self._store_for(key)
        if store is None:
            return self._base.get(key, limit, expect=expect)

        def call() -> Tuple[ObjectInfo, bytes]:
            result = _obstore().get(store, key, options=pinned(expect))
            info = self._info(key, result.meta, result.attributes)
            check_version(key, expect, info.stamp)
            return info, _beginning(result, info.stamp.size, limit)

        info, content = self._bordered(key, call)
        return (self._exactly_named(info) if self._dialect.keeps_case else info), content

    def _exactly_named(self, info: ObjectInfo) -> ObjectInfo:
        """Return *info* with metadata as the service spells it; only ``mtime`` is sure to be spelled as headers are."""
        if info.headers is None or not info.headers.metadata.keys() - {"mtime"}:
            return info
        looked = self._base.head(info.key)
        if looked is None or looked.stamp.same_version(info.stamp) is False:
            raise PreconditionFailed(f"{shown(info.key)}: it changed while it was being opened", path=info.key)
        return evolve(info, headers=looked.headers)

    def read(self, key: str, start: int, end: int, *, expect: Optional[Stamp] = None) -> bytes:
        """Return the bytes from *start* up to before *end* of exactly the expected version."""
        if end <= start:
            return b""
        store = self._store_for(key) if self._marks_ranges else None
        if store is None:
            return self._base.read(key, start, end, expect=expect)
        options = {**pinned(expect), "range": (start, end)}

        def call() -> bytes:
            result = _obstore().get(store, key, options=options)
            check_version(key, expect, self._dialect.stamp(result.meta))
            return bytes(result.bytes())

        try:
            return self._bordered(key, call)
        except StorageError as error:
            if "non-partial" not in str(error.__cause__):
                raise
            # Some servers send the range that was asked for under the status of a whole object: obstore refuses it.
            self._marks_ranges = False
            return self._base.read(key, start, end, expect=expect)

    @property
    def pours(self) -> bool:
        """Whether the service hands content on while it comes."""
        return self._base.pours

    def pour(self, key: str, start: int, end: int, take: Take, *, expect: Optional[Stamp] = None) -> bool:
        """Hand what ``read`` returns to *take* while it comes, where the service can."""
        return self._base.pour(key, start, end, take, expect=expect)

    def put(self, key: str, content: bytes, *, expect: Precondition, headers: Headers) -> ObjectInfo:
        """Write an object in one request under the condition *expect*."""
        mode = self._mode(expect)
        attributes = self._attributes(headers)
        store = None if mode is None or attributes is None else self._store_for(key)
        if store is None:
            return self._base.put(key, content, expect=expect, headers=headers)

        def call() -> ObjectInfo:
            # A condition is always one request; without one, parts would be sent above a few megabytes.
            result = _obstore().put(store, key, content, mode=mode, use_multipart=False, attributes=attributes)
            return ObjectInfo(key, self._dialect.written(content, result), headers)

        return self._bordered(key, call)

    def _store_for(self, key: str) -> Optional[Any]:
        """Return the store, None where it cannot spell *key*, or where there is none."""
        return None if _UNSPEAKABLE.search(key) else self._store()

    def _mode(self, expect: Precondition) -> Any:
        """Return a condition in obstore's words, None where the expected version has no name."""
        if expect.stamp is not None:
            return self._dialect.condition(expect.stamp)
        return "create" if expect.demand is Expectation.ABSENT else "overwrite"

    def _attributes(self, headers: Headers) -> Optional[Dict[str, str]]:
        """Return *headers* in obstore's words, None where it has none for them."""
        named = {name: getattr(headers, field) for field, name in HEADER_NAMES.items()}
        own = {self._dialect.metadata_name(name): value for name, value in headers.metadata.items()}
        if headers.storage_class or not all(map(str.isascii, (*own, *own.values()))):
            return None
        if self._dialect.keeps_case and not all(name == name.lower() for name in own):
            return None
        return {**{name: value for name, value in named.items() if value}, **own}

    def _info(self, key: str, meta: Mapping[str, Any], attributes: Mapping[Any, Any]) -> ObjectInfo:
        return ObjectInfo(key, self._dialect.stamp(meta), _headers(attributes) if attributes else None)

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
        # Where obstore looked, the service asks for the headers itself, since only some were told.
        origin = evolve(expect_origin, headers=None) if self._dialect.looks else expect_origin
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
        except Exception as error:  # noqa: BLE001 - obstore's classes have no base of their own below Exception
            raise _translated(error, key, self._secrets) from shown_cause(error, self._secrets)


def _obstore() -> Any:
    import obstore

    return obstore


def check_version(key: str, expect: Optional[Stamp], found: Stamp) -> None:
    """Raise PreconditionFailed where another version came than was asked for."""
    # Some servers take a condition and answer with whatever they have.
    if expect is None:
        return
    names = ((expect.etag, found.etag), (expect.version, found.version))
    known = next(((due, told) for due, told in names if due and told), ("", ""))
    if known[0] != known[1]:
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


def _headers(attributes: Mapping[Any, Any]) -> Headers:
    told = {str(name): str(value) for name, value in attributes.items()}
    known = {_FIELDS[name.lower()]: value for name, value in told.items() if name.lower() in _FIELDS}
    own = {name: value for name, value in told.items() if name.lower() not in _FIELDS}
    return Headers(**known, metadata=own)


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
# A conditional request that finds no bucket is answered 404 as well, which obstore takes for a failed condition.
_NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|specified bucket does not exist")
_THROTTLING = re.compile(r"SlowDown|TooManyRequests|Throttl")


def _translated(error: Exception, key: str, secrets: Iterable[str]) -> StorageError:
    if type(error).__name__ not in _BY_NAME and not type(error).__module__.startswith("obstore"):
        return translated(error, key, secrets=secrets)
    # What follows is the structure of the error, with every header and URL in it.
    text = str(error).partition("Debug source")[0].strip() or type(error).__name__
    text = text.encode("utf-8", "replace").decode("utf-8")
    kind = NotFound if _NO_BUCKET.search(text) else _BY_NAME.get(type(error).__name__) or _by_text(text)
    return kind(f"{shown(key)}: {shown(' '.join(redacted(without_markup(text), secrets).split()))}", path=key)


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
