"""What the object client asks of a service: literal calls on whole keys of one bucket, with their conditions.

Everything here is about one key at a time, except a listing and a bulk deletion. A key is literal text; a call never
expands patterns, never strips anything and never answers from a cache. Every call raises subclasses of StorageError
only: NotFound, PreconditionFailed where a condition did not hold, Unsupported where the service cannot do it,
Throttled (with ``retry_after`` where the service said one) and Unavailable where a retry may help.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Dict, Iterator, List, Mapping, Optional, Protocol, Sequence, Tuple

from attrs import field, frozen

from ...core.entry import Stamp
from ...errors import StorageError
from ..protocol import Precondition

if TYPE_CHECKING:
    from .pouring import Take


@frozen
class Headers:
    """What travels with an object besides its content; an empty text or mapping means that nothing is said.

    ``metadata`` is user metadata; ``mtime`` in it is the modification time in rclone's format (seconds since the
    epoch, a point, up to nine digits).
    """

    content_type: str = ""
    cache_control: str = ""
    content_disposition: str = ""
    content_encoding: str = ""
    content_language: str = ""
    storage_class: str = ""
    metadata: Mapping[str, str] = field(factory=dict)


@frozen
class ObjectInfo:
    """What a service says about one object; listings say less than looks.

    ``stamp.etag`` is without quotes, ``stamp.version`` is the generation or version where there is one, and
    ``stamp.digests`` what the service vouches for. ``headers`` is None where it was not told (most listings).
    ``is_marker`` says that this object only stands for a directory though its key does not end in a slash (Azure's
    ``hdi_isfolder``).
    """

    key: str
    stamp: Stamp
    headers: Optional[Headers] = None
    is_marker: bool = False


@frozen
class ServiceFacts:
    """Which conditions a service checks by itself, and what else it can do.

    What is False is checked right before by the client and declared as a window in its capabilities.
    """

    name: str
    tried_out: bool = True
    """Whether conditions are tried out before they are relied on: many servers speak the language, some ignore them."""
    create_if_absent: bool = False
    replace_if_unchanged: bool = False
    delete_if_unchanged: bool = False
    multipart_conditions: bool = False
    """Whether both conditions hold for uploads in parts as well."""
    copy_conditions: bool = False
    """Whether a copy checks what stands at its target."""
    moves: bool = False
    """Whether a rename is one call (a bucket with a hierarchical namespace, GCS ``moveTo``)."""
    listing_metadata: bool = False
    """Whether listings tell user metadata, so that ``mtime`` costs no look."""
    listing_digests: Tuple[str, ...] = ("md5",)
    """The algorithms of the digests that listings tell."""
    bulk_deletion: int = 1
    """How many keys one deletion can name."""
    part_bytes: int = 8 << 20
    """Size of the parts of an upload, and of a ranged download."""
    single_bytes: int = 8 << 20
    """Up to this size content is sent in one request."""


class PartReader(Protocol):
    """Hands out the content of an upload part by part, in order; safe to call from one thread only."""

    def __call__(self, size: int) -> bytes:
        """Return the next *size* bytes, fewer only at the end."""


class ObjectService(Protocol):
    """One bucket or container."""

    facts: ServiceFacts
    bucket: str
    """The name of the bucket or container."""

    @property
    def pours(self) -> bool:
        """Whether ``pour`` can do anything at all."""

    def refusal(self, key: str) -> Optional[str]:
        """Return why no object can have this key, as ``holds a control character`` does, or None where one can."""

    def pages(self, prefix: str, *, start_after: str = "", page_size: int = 1000) -> Iterator[Sequence[ObjectInfo]]:
        """Yield every object whose key starts with *prefix*, page by page, in byte order of the keys.

        Pages follow each other in order; within a page a careless service may mix, and the client sorts. Keys come
        as they are: markers with their slash, empty and dotted parts too. Raises where the listing breaks off: it is
        never silently short. A missing bucket raises NotFound, a prefix without keys is an empty listing.
        """

    def children(self, prefix: str) -> Iterator[Tuple[List[ObjectInfo], List[str]]]:
        """Yield the objects directly below *prefix*, and the prefixes below it (each ending in a slash), by page."""

    def head(self, key: str) -> Optional[ObjectInfo]:
        """Look at one object with everything the service tells about it, None where it is missing."""

    def get(self, key: str, limit: int, *, expect: Optional[Stamp] = None) -> Tuple[ObjectInfo, bytes]:
        """Open one version by one request: what the service tells about it, headers included, and its first bytes.

        Returns the first *limit* bytes, fewer only where the object is no longer; an empty object is no error. The
        info is of the very version the bytes are of. Where *expect* has an ETag or a version, another one raises
        PreconditionFailed, also from a service that ignores the condition.
        """

    def read(self, key: str, start: int, end: int, *, expect: Optional[Stamp] = None) -> bytes:
        """Return the bytes from *start* up to before *end* of exactly the expected version."""

    def pour(self, key: str, start: int, end: int, take: Take, *, expect: Optional[Stamp] = None) -> bool:
        """Hand what ``read`` returns to *take* while it comes; say whether all of it came.

        Where it did not, any of it may have been handed on, and ``read`` brings it or says what is wrong.
        """

    def put(self, key: str, content: bytes, *, expect: Precondition, headers: Headers) -> ObjectInfo:
        """Write an object in one request; the condition is the service's own wherever ``facts`` says so."""

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
        """Write a large object in parts, several on their way at once, and leave no parts behind on failure.

        *admit* is called after the last part has been read and sent and right before the object becomes visible; what
        it raises aborts the upload.
        """

    def copy(
        self,
        old: str,
        new: str,
        *,
        origin_bucket: Optional[str] = None,
        expect_origin: ObjectInfo,
        expect: Precondition,
    ) -> ObjectInfo:
        """Copy one version within the service, of any size, with its headers; *origin_bucket* where it is another."""

    def delete(self, key: str, *, expect: Precondition) -> None:
        """Delete one object; a missing one is gone already, unless *expect* names a version."""

    def delete_many(self, keys: Sequence[str]) -> Dict[str, Optional[StorageError]]:
        """Delete up to ``facts.bulk_deletion`` objects and return, for each key, None or why it still stands."""

    def part_size(self, key: str, *, expect: Stamp) -> Optional[int]:
        """Return the size in bytes of the first part of an object uploaded in parts, None where nobody knows."""

    def digests(self, key: str, *, expect: Stamp) -> Tuple[str, ...]:
        """Return the digests of the whole object that the service has stored, as ``algorithm:value``, maybe none."""

    def close(self) -> None:
        """Let go of connections."""
