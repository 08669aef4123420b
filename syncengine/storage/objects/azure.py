"""Azure Blob Storage through the user's own adlfs filesystem: its account, credentials and endpoint.

Calls go to the SDK's clients that adlfs made. The SDK repeats looks by itself; changes are sent once, so that a
condition never fails because of our own first try, and the engine repeats them.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
from base64 import b64encode
from functools import partial
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple
from uuid import uuid4

from attrs import evolve

from ...core.entry import Entry, Kind, Stamp
from ...core.paths import encoded, shown
from ...errors import NotFound, PreconditionFailed, StorageError, Unavailable, Unsupported
from ..protocol import Expectation, Precondition, exactly
from ..quirks import family_of
from .border import Border
from .loop import Loop
from .names import identifier, key_refusal
from .pouring import Take
from .service import Headers, ObjectInfo, PartReader, ServiceFacts

MAX_KEY_CHARACTERS = 1024
MAX_PARTS = 50_000
MEBIBYTE = 1 << 20
BYTES_IN_FLIGHT = 128 * MEBIBYTE
PARTS_AT_ONCE = 8
_DELETIONS_AT_ONCE = 16
_LONGEST_LOOK_SECONDS = 10.0
_CONTROLS = "".join(map(chr, (*range(32), 127)))
_SETTINGS = ("content_type", "cache_control", "content_disposition", "content_encoding", "content_language")
_ONCE: Mapping[str, Any] = {"retry_total": 0}

FACTS = ServiceFacts(
    name="azure",
    tried_out=False,
    create_if_absent=True,
    replace_if_unchanged=True,
    delete_if_unchanged=True,
    multipart_conditions=True,
    copy_conditions=True,
    listing_metadata=True,
    bulk_deletion=100,
    # The SDK hands larger content over in one piece, for which the loop of the filesystem would stand still.
    single_bytes=MEBIBYTE,
)


class AzureService:
    """One container."""

    def __init__(
        self, filesystem: Any, bucket: str, *, secrets: Iterable[str] = (), facts: ServiceFacts = FACTS
    ) -> None:
        self.facts = facts
        self.bucket = bucket
        self._filesystem = filesystem
        self._border = Border(secrets, lambda error: _code(error) == "ContainerNotFound")
        self._loop = Loop(filesystem)
        self._read_stamp = family_of(filesystem).stamp

    def refusal(self, key: str) -> Optional[str]:
        """Return why no object can have this key, or None where one can."""
        if len(key) > MAX_KEY_CHARACTERS:
            return f"is {len(key)} characters long with the root, and this storage allows {MAX_KEY_CHARACTERS}"
        if any(part.endswith(".") for part in key.split("/")):
            return "has a part that ends in a dot, which this storage drops"
        # A backslash becomes a slash on its way.
        return key_refusal(key, 4 * MAX_KEY_CHARACTERS, _CONTROLS + "\\")

    # Calls

    async def _call(self, key: str, name: str, *arguments: Any, **given: Any) -> Any:
        blob = self._filesystem.service_client.get_blob_client(self.bucket, key)
        return await getattr(blob, name)(*arguments, **given)

    def _run(self, key: str, name: str, *arguments: Any, **given: Any) -> Any:
        with self._border(key):
            return self._loop.run(partial(self._call, key, name, *arguments, **given))

    # Looking

    def pages(self, prefix: str, *, start_after: str = "", page_size: int = 1000) -> Iterator[Sequence[ObjectInfo]]:
        """Yield every object whose key starts with *prefix*, page by page, in byte order of the keys.

        The service cannot begin in the middle of a listing: what lies before *start_after* is read and left out.
        """
        last = encoded(start_after)
        for blobs in self._listing("list_blobs", prefix, page_size):
            page = [info for info in map(self._listed, blobs) if encoded(info.key) > last]
            yield page

    def children(self, prefix: str) -> Iterator[Tuple[List[ObjectInfo], List[str]]]:
        """Yield the objects directly below *prefix*, and the prefixes below it, by page."""
        for found in self._listing("walk_blobs", prefix, 1000, delimiter="/"):
            below = [item.name for item in found if not hasattr(item, "size")]
            yield [self._listed(item) for item in found if hasattr(item, "size")], below

    def _listing(self, name: str, prefix: str, page_size: int, **given: Any) -> Iterator[List[Any]]:
        container = self._filesystem.service_client.get_container_client(self.bucket)

        async def begun() -> Any:
            listing = getattr(container, name)
            return listing(name_starts_with=prefix, include=["metadata"], results_per_page=page_size, **given).by_page()

        async def following(pages: Any) -> Optional[List[Any]]:
            try:
                page = await pages.__anext__()
            except StopAsyncIteration:
                return None
            return [item async for item in page]

        with self._border(prefix):
            pages = self._loop.run(begun)
        while True:
            with self._border(prefix):
                found = self._loop.run(partial(following, pages))
            if found is None:
                return
            yield found

    def _listed(self, blob: Any) -> ObjectInfo:
        return self._info(blob.name, blob)

    def _info(self, key: str, blob: Any) -> ObjectInfo:
        told = {field: str(getattr(blob.content_settings, field) or "") for field in _SETTINGS}
        metadata = {name: value for name, value in (blob.metadata or {}).items() if name != "hdi_isfolder"}
        # A tier that is only the account's default is nothing that was said of this object.
        tier = "" if blob.blob_tier_inferred else str(blob.blob_tier or "")
        headers = Headers(**told, storage_class=tier, metadata=metadata)
        # A namespace with real directories lists them as empty objects.
        marker = str((blob.metadata or {}).get("hdi_isfolder", "")).lower() == "true"
        return ObjectInfo(key, self._stamp(blob, blob.size), headers=headers, is_marker=marker)

    def _stamp(self, told: Any, size: Optional[int]) -> Stamp:
        names = ("etag", "last_modified", "content_settings")
        return self._read_stamp({**{name: getattr(told, name, None) for name in names}, "size": size})

    def head(self, key: str) -> Optional[ObjectInfo]:
        """Look at one object with everything the service tells about it, None where it is missing."""
        try:
            return self._info(key, self._run(key, "get_blob_properties"))
        except NotFound as error:
            if _code(error) == "ContainerNotFound":
                raise
            return None

    def get(self, key: str, limit: int, *, expect: Optional[Stamp] = None) -> Tuple[ObjectInfo, bytes]:
        """Open one version by one request: what the service tells about it, headers included, and its first bytes."""
        properties, content = self._content(key, 0, limit, expect)
        info = self._info(key, properties)
        return evolve(info, stamp=evolve(info.stamp, size=_whole_size(properties))), content

    def read(self, key: str, start: int, end: int, *, expect: Optional[Stamp] = None) -> bytes:
        """Return the bytes from *start* up to before *end* of exactly the expected version."""
        if end <= start:
            return b""
        properties, content = self._content(key, start, end - start, expect)
        due = min(end, _whole_size(properties)) - start
        if len(content) != due:
            raise Unavailable(f"{shown(key)}: {len(content)} of {due} bytes arrived", path=key)
        return content

    def _content(self, key: str, start: int, length: int, expect: Optional[Stamp]) -> Tuple[Any, bytes]:
        with self._border(key):
            try:
                return self._loop.run(partial(self._downloaded, key, expect, start, length))
            except Exception as error:
                # Of an empty object no range can be had.
                if start or _code_of(error) != "InvalidRange":
                    raise
                return self._loop.run(partial(self._downloaded, key, expect))

    async def _downloaded(self, key: str, expect: Optional[Stamp], *span: int) -> Tuple[Any, bytes]:
        stream = await self._call(key, "download_blob", *span, decompress=False, **_pinned(expect))
        content = await stream.readall()
        return stream.properties, bytes(content)

    def part_size(self, key: str, *, expect: Stamp) -> Optional[int]:
        """Return None: no version is named after the parts it was uploaded in."""
        return None

    def digests(self, key: str, *, expect: Stamp) -> Tuple[str, ...]:
        """Return the digests of the whole object that the service has stored, as ``algorithm:value``."""
        with self._border.writing(key, exactly(expect)):
            return self._info(key, self._run(key, "get_blob_properties", **_pinned(expect))).stamp.digests

    # Writing

    def _condition(self, key: str, expect: Precondition) -> Dict[str, Any]:
        """Return the condition of a write; an expected version whose ETag nobody recorded is looked at for it."""
        if expect.demand is Expectation.ANYTHING:
            return {}
        if expect.demand is Expectation.ABSENT:
            return {"match_condition": _match_conditions().IfMissing}
        assert expect.stamp is not None
        if expect.stamp.etag is not None:
            return _pinned(expect.stamp)
        stands = self.head(key)
        expect.check(None if stands is None else Entry(key, Kind.FILE, stands.stamp), key)
        assert stands is not None
        return _pinned(stands.stamp)

    @property
    def pours(self) -> bool:
        """Whether content is handed on while it comes: here it is not."""
        return False

    def pour(self, key: str, start: int, end: int, take: Take, *, expect: Optional[Stamp] = None) -> bool:
        """Say that ranges only come as a whole."""
        return False

    def put(self, key: str, content: bytes, *, expect: Precondition, headers: Headers) -> ObjectInfo:
        """Write an object in one request, under the service's own condition, with the digest of its content."""
        condition = self._condition(key, expect)
        digest = hashlib.md5(content, usedforsecurity=False)
        with self._border.writing(key, expect):
            answer = self._once(
                key, "upload_blob", content, length=len(content), overwrite=True, **_sent(headers, digest), **condition
            )
        return evolve(self._written(key, answer, digest, len(content)), headers=headers)

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
        """Write a large object in blocks, under the service's own condition.

        Blocks that were never committed are invisible, and the service drops them after a week; there is no call that
        would drop them earlier without touching what stands at the key.
        """
        condition = self._condition(key, expect)
        digest = hashlib.md5(usedforsecurity=False)
        with self._border.writing(key, expect):
            blocks = self._blocks(key, read, size, digest)
            admit()
            answer = self._once(key, "commit_block_list", blocks, **_sent(headers, digest), **condition)
        return evolve(self._written(key, answer, digest, size), headers=headers)

    def _blocks(self, key: str, read: PartReader, size: int, digest: Any) -> List[Any]:
        fewest = -(-size // MAX_PARTS)
        part_bytes = max(self.facts.part_bytes, -(-fewest // MEBIBYTE) * MEBIBYTE)
        # Two writers of one key share its blocks until one of them commits, so their names must never meet.
        mark = uuid4().hex
        with self._loop.flights(max(1, min(PARTS_AT_ONCE, BYTES_IN_FLIGHT // part_bytes))) as flights:
            sent = number = 0
            while sent < size:
                part = read(min(part_bytes, size - sent))
                if not part:
                    raise PreconditionFailed(f"{shown(key)}: {sent} of {size} bytes could be read", path=key)
                digest.update(part)
                name = b64encode(f"{mark}{number:06d}".encode()).decode()
                flights.launch(partial(self._block, key, name, part))
                sent, number = sent + len(part), number + 1
            return flights.land()

    async def _block(self, key: str, name: str, content: bytes) -> Any:
        from azure.storage.blob import BlobBlock

        await self._call(key, "stage_block", name, io.BytesIO(content), length=len(content))
        return BlobBlock(block_id=name)

    def _once(self, key: str, name: str, *arguments: Any, **given: Any) -> Any:
        return self._run(key, name, *arguments, **given, **_ONCE)

    def _written(self, key: str, answer: Mapping[str, Any], digest: Any, size: int) -> ObjectInfo:
        told = {"etag": answer["etag"], "last_modified": answer.get("last_modified"), "size": size}
        stamp = self._read_stamp({**told, "content_settings": {"content_md5": digest.digest()}})
        return ObjectInfo(key, stamp)

    # Copying and deleting

    def copy(
        self,
        old: str,
        new: str,
        *,
        origin_bucket: Optional[str] = None,
        expect_origin: ObjectInfo,
        expect: Precondition,
    ) -> ObjectInfo:
        """Copy one version within the account, of any size, with its headers; waits until the service is done."""
        origin = self._filesystem.service_client.get_blob_client(origin_bucket or self.bucket, old)
        given = {f"source_{name}": value for name, value in _pinned(expect_origin.stamp).items()}
        if expect_origin.headers is not None and expect_origin.headers.storage_class:
            given["standard_blob_tier"] = _tier(expect_origin.headers)
        condition = self._condition(new, expect)
        with self._border.writing(new, exactly(expect_origin.stamp)):
            # The URL may carry a signature; errors are shown without it.
            answer = self._once(new, "start_copy_from_url", origin.url, **given, **condition)
            if answer.get("copy_status") != "success":
                self._wait(new, answer["copy_id"])
            return self._info(new, self._run(new, "get_blob_properties"))

    def _wait(self, key: str, copy_id: str) -> None:
        try:
            properties = self._loop.run(partial(self._settled, key, copy_id))
        except BaseException:
            self._once(key, "abort_copy", copy_id)
            raise
        if properties.copy.id != copy_id:
            raise PreconditionFailed(f"{shown(key)}: it was replaced while it was being copied", path=key)
        if properties.copy.status != "success":
            raise Unavailable(f"{shown(key)}: the copy ended as {properties.copy.status}", path=key)

    async def _settled(self, key: str, copy_id: str) -> Any:
        pause = 0.1
        while True:
            properties = await self._call(key, "get_blob_properties")
            if properties.copy.id != copy_id or properties.copy.status != "pending":
                return properties
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_LOOK_SECONDS)

    def delete(self, key: str, *, expect: Precondition) -> None:
        """Delete one object; a missing one is gone already, unless *expect* names a version."""
        condition = self._condition(key, expect)
        try:
            with self._border.writing(key, expect):
                self._once(key, "delete_blob", **condition)
        except NotFound as error:
            if _code(error) == "ContainerNotFound":
                raise

    def delete_many(self, keys: Sequence[str]) -> Dict[str, Optional[StorageError]]:
        """Delete objects, some at once, and return, for each key, None or why it still stands."""
        with self._loop.flights(_DELETIONS_AT_ONCE) as flights:
            for key in keys:
                flights.launch(partial(self._deletion_failure, key))
            return dict(zip(keys, flights.land()))

    async def _deletion_failure(self, key: str) -> Optional[StorageError]:
        try:
            with self._border(key):
                await self._call(key, "delete_blob")
        except NotFound as error:
            return error if _code(error) == "ContainerNotFound" else None
        except StorageError as error:
            return error
        return None

    def close(self) -> None:
        """Leave the connections to the filesystem, which may be the user's and closes them with itself."""


def _match_conditions() -> Any:
    from azure.core import MatchConditions

    return MatchConditions


def _pinned(expect: Optional[Stamp]) -> Dict[str, Any]:
    if expect is None or expect.etag is None:
        return {}
    return {"etag": f'"{expect.etag}"', "match_condition": _match_conditions().IfNotModified}


def _sent(headers: Headers, digest: Any) -> Dict[str, Any]:
    """Return what travels with content; the service stores the digest it is given, and computes none by itself."""
    from azure.storage.blob import ContentSettings

    settings = {name: getattr(headers, name) or None for name in _SETTINGS}
    given: Dict[str, Any] = {
        "content_settings": ContentSettings(**settings, content_md5=bytearray(digest.digest())),
        "metadata": {identifier(name): value for name, value in headers.metadata.items()} or None,
    }
    return {**given, "standard_blob_tier": _tier(headers)} if headers.storage_class else given


def _tier(headers: Headers) -> Any:
    from azure.storage.blob import PremiumPageBlobTier, StandardBlobTier

    names = {tier.value.lower(): tier for tier in (*StandardBlobTier, *PremiumPageBlobTier)}
    tier = names.get(headers.storage_class.lower())
    if tier is None:
        raise Unsupported(f"{headers.storage_class!r} is no storage class here; one of {', '.join(sorted(names))} is")
    return tier


def _whole_size(properties: Any) -> int:
    """Return the size of the whole object from the answer that brings a part of it, or all."""
    total = str(properties.content_range or "").rpartition("/")[2]
    return int(total) if total.isdigit() else int(properties.size)


def _code(error: StorageError) -> str:
    return _code_of(error.__cause__)


def _code_of(error: Optional[BaseException]) -> str:
    code = getattr(error, "error_code", "")
    return str(getattr(code, "value", code))
