"""Google Cloud Storage through the user's own gcsfs filesystem: its session, credentials, endpoint and billing project.

Versions are generations: they change with the content only, and every condition is about them. Listings tell user
metadata and digests.
"""

from __future__ import annotations

import hashlib
import io
import json
from base64 import b64encode
from contextlib import suppress
from functools import partial
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple
from uuid import uuid4

from attrs import evolve

from ...core.entry import Entry, Kind, Stamp
from ...core.paths import encoded, shown
from ...errors import NotFound, PreconditionFailed, StorageError, Unavailable
from ..protocol import ANYTHING, Expectation, Precondition, exactly
from ..quirks import family_of
from .gcs_client import Answer, GcsClient, is_about_bucket
from .names import key_refusal
from .pouring import Take
from .service import Headers, ObjectInfo, PartReader, ServiceFacts

MAX_KEY_BYTES = 1024
_DELETIONS_AT_ONCE = 16
_RESUME_INCOMPLETE = 308
_OBJECT = "b/{}/o/{}"
_FIELDS = {
    "content_type": "contentType",
    "cache_control": "cacheControl",
    "content_disposition": "contentDisposition",
    "content_encoding": "contentEncoding",
    "content_language": "contentLanguage",
    "storage_class": "storageClass",
}
_TOLD = f"name,size,generation,md5Hash,crc32c,metadata,{','.join(_FIELDS.values())}"
_LISTED = f"nextPageToken,prefixes,items({_TOLD})"
# Without it the service would send the content of what is stored compressed in another form than it was written in.
_AS_STORED = {"Accept-Encoding": "gzip"}

FACTS = ServiceFacts(
    name="gcs",
    tried_out=False,
    create_if_absent=True,
    replace_if_unchanged=True,
    delete_if_unchanged=True,
    multipart_conditions=True,
    copy_conditions=True,
    listing_metadata=True,
    listing_digests=("crc32c", "md5"),
    bulk_deletion=100,
)


class GcsService:
    """One bucket."""

    def __init__(
        self,
        filesystem: Any,
        bucket: str,
        *,
        secrets: Iterable[str] = (),
        facts: ServiceFacts = FACTS,
        pauses: Sequence[float] = (0.5, 1, 2),
    ) -> None:
        self.facts = facts
        self.bucket = bucket
        self._client = GcsClient(filesystem, secrets=secrets, pauses=pauses)
        self._read_stamp = family_of(filesystem).stamp

    def refusal(self, key: str) -> Optional[str]:
        """Return why no object can have this key, or None where one can."""
        if key.startswith(".well-known/acme-challenge/"):
            return "begins with '.well-known/acme-challenge/'"
        return key_refusal(key, MAX_KEY_BYTES, "\r\n")

    # Looking

    def pages(self, prefix: str, *, start_after: str = "", page_size: int = 1000) -> Iterator[Sequence[ObjectInfo]]:
        """Yield every object whose key starts with *prefix*, page by page, in byte order of the keys."""
        start = {"startOffset": start_after} if start_after else {}
        for page in self._listing(prefix, maxResults=page_size, **start):
            # The offset itself belongs to what the service lists.
            infos = (self._info(item) for item in page.get("items", ()))
            yield [info for info in infos if not start_after or encoded(info.key) > encoded(start_after)]

    def children(self, prefix: str) -> Iterator[Tuple[List[ObjectInfo], List[str]]]:
        """Yield the objects directly below *prefix*, and the prefixes below it, by page."""
        for page in self._listing(prefix, delimiter="/"):
            yield [self._info(item) for item in page.get("items", ())], list(dict.fromkeys(page.get("prefixes", ())))

    def _listing(self, prefix: str, **given: Any) -> Iterator[Mapping[str, Any]]:
        parameters = {"prefix": prefix, "projection": "noAcl", "fields": _LISTED, **given}
        while True:
            page = self._client.look(prefix, "b/{}/o", self.bucket, parameters=parameters).json
            yield page
            if not page.get("nextPageToken"):
                return
            parameters["pageToken"] = page["nextPageToken"]

    def _info(self, item: Mapping[str, Any]) -> ObjectInfo:
        told = {field: str(item.get(name) or "") for field, name in _FIELDS.items()}
        headers = Headers(**told, metadata=dict(item.get("metadata") or {}))
        return ObjectInfo(item["name"], self._read_stamp({**item, "size": int(item.get("size") or 0)}), headers=headers)

    def head(self, key: str) -> Optional[ObjectInfo]:
        """Look at one object with everything the service tells about it, None where it is missing."""
        try:
            return self._look(key)
        except NotFound as error:
            if is_about_bucket(error):
                raise
            return None

    def _look(self, key: str, **condition: str) -> ObjectInfo:
        parameters = {"projection": "noAcl", "fields": _TOLD, **condition}
        return self._info(self._client.look(key, _OBJECT, self.bucket, key, parameters=parameters).json)

    def get(self, key: str, limit: int, *, expect: Optional[Stamp] = None) -> Tuple[ObjectInfo, bytes]:
        """Open one version: what the service tells about it, headers included, and its first bytes.

        The API tells user metadata and content in two requests; the second is pinned to the generation of the first.
        """
        info = self._look(key, **_pinned(expect))
        self._check(key, expect, info.stamp.version)
        size = info.stamp.size or 0
        return info, self.read(key, 0, min(limit, size), expect=info.stamp)

    def read(self, key: str, start: int, end: int, *, expect: Optional[Stamp] = None) -> bytes:
        """Return the bytes from *start* up to before *end* of exactly the expected version."""
        if end <= start:
            return b""
        with self._client.border.writing(key, ANYTHING if expect is None else exactly(expect)):
            answer = self._client.look(
                key,
                _OBJECT,
                self.bucket,
                key,
                parameters={"alt": "media", **_pinned(expect)},
                headers={**_AS_STORED, "Range": f"bytes={start}-{end - 1}"},
            )
        self._check(key, expect, answer.headers.get("x-goog-generation"))
        return _span(answer, key, start, end)

    @staticmethod
    def _check(key: str, expect: Optional[Stamp], generation: Optional[str]) -> None:
        """Raise where another version answered; some servers ignore the condition."""
        if expect is not None and None not in (expect.version, generation) and expect.version != generation:
            raise PreconditionFailed(f"{shown(key)}: it has changed", path=key)

    def part_size(self, key: str, *, expect: Stamp) -> Optional[int]:
        """Return None: no version is named after the parts it was uploaded in."""
        return None

    def digests(self, key: str, *, expect: Stamp) -> Tuple[str, ...]:
        """Return the digests of the whole object that the service has stored, as ``algorithm:value``."""
        with self._client.border.writing(key, exactly(expect)):
            info = self._look(key, **_pinned(expect))
        self._check(key, expect, info.stamp.version)
        return info.stamp.digests

    # Writing

    def _condition(self, key: str, expect: Precondition) -> Dict[str, str]:
        """Return the condition of a write; an expected version whose generation nobody recorded is looked at for it."""
        if expect.demand is Expectation.ANYTHING:
            return {}
        if expect.demand is Expectation.ABSENT:
            return {"ifGenerationMatch": "0"}
        assert expect.stamp is not None
        if expect.stamp.version is not None:
            return {"ifGenerationMatch": expect.stamp.version}
        stands = self.head(key)
        expect.check(None if stands is None else Entry(key, Kind.FILE, stands.stamp), key)
        assert stands is not None
        return {"ifGenerationMatch": str(stands.stamp.version)}

    @property
    def pours(self) -> bool:
        """Whether content is handed on while it comes: here it is not."""
        return False

    def pour(self, key: str, start: int, end: int, take: Take, *, expect: Optional[Stamp] = None) -> bool:
        """Say that ranges only come as a whole."""
        return False

    def put(self, key: str, content: bytes, *, expect: Precondition, headers: Headers) -> ObjectInfo:
        """Write an object in one request, under the service's own condition; the service checks its digest."""
        resource = {"name": key, **_resource(headers), "md5Hash": _base64(hashlib.md5(content, usedforsecurity=False))}
        boundary, body = _related(resource, content)
        parameters = {"uploadType": "multipart", **self._condition(key, expect)}
        with self._client.border.writing(key, expect):
            answer = self._client.run(
                key,
                "POST",
                self._client.upload_path,
                self.bucket,
                parameters=parameters,
                headers={"Content-Type": f"multipart/related; boundary={boundary}"},
                data=io.BytesIO(body),
            )
        return evolve(self._info(answer.json), headers=headers)

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
        """Write a large object in one resumable upload, under the service's own condition.

        The service takes the parts of an upload one after the other; the next one is read while one is on its way.
        """
        condition = self._condition(key, expect)
        with self._client.border.writing(key, expect):
            session = self._begun(key, size, headers, condition)
            try:
                made = self._sent(key, session, read, size, admit)
            except BaseException:
                with suppress(StorageError):
                    self._client.run(key, "DELETE", session, data=b"")
                raise
        return evolve(made, headers=headers)

    def _begun(self, key: str, size: int, headers: Headers, condition: Mapping[str, str]) -> str:
        answer = self._client.run(
            key,
            "POST",
            self._client.upload_path,
            self.bucket,
            parameters={"uploadType": "resumable", "name": key, **condition},
            headers={
                "X-Upload-Content-Type": headers.content_type or "application/octet-stream",
                "X-Upload-Content-Length": str(size),
            },
            json={"name": key, **_resource(headers)},
        )
        return answer.headers["location"]

    def _sent(self, key: str, session: str, read: PartReader, size: int, admit: Callable[[], None]) -> ObjectInfo:
        digest = hashlib.md5(usedforsecurity=False)
        start, part = 0, read(min(self.facts.part_bytes, size))
        with self._client.loop.flights(1) as flights:
            while start + len(part) < size:
                if not part:
                    raise PreconditionFailed(f"{shown(key)}: {start} of {size} bytes could be read", path=key)
                digest.update(part)
                flights.launch(partial(self._part, key, session, part, start, size))
                start, part = start + len(part), read(min(self.facts.part_bytes, size - start - len(part)))
            digest.update(part)
            flights.land()
            admit()
            flights.launch(partial(self._part, key, session, part, start, size, digest=_base64(digest)))
            answer: Answer = flights.land()[-1]
        made = self._info(answer.json)
        if made.stamp.digest("md5") not in (None, f"md5:{digest.hexdigest()}"):
            raise Unavailable(f"{shown(key)}: the service stored other bytes than were sent", path=key)
        return made

    async def _part(
        self, key: str, session: str, part: bytes, start: int, size: int, *, digest: Optional[str] = None
    ) -> Answer:
        """Send one part, and what the service did not take of it again."""
        last = digest is not None
        while True:
            end = start + len(part)
            span = f"bytes {start}-{end - 1}/{size}" if part else f"bytes */{size}"
            headers = {"Content-Range": span, **({"X-Goog-Hash": f"md5={digest}"} if last else {})}
            answer = await self._client.send("PUT", session, headers=headers, data=io.BytesIO(part))
            if answer.status != _RESUME_INCOMPLETE:
                return answer
            taken = int(answer.headers.get("range", "bytes=0--1").rpartition("-")[2]) + 1
            if taken == end and not last:
                return answer
            if not start < taken < end:
                raise Unavailable(f"{shown(key)}: the service took {taken} of {end} bytes", path=key)
            part, start = part[taken - start :], taken

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
        """Copy one version within the service, of any size, with its headers."""
        version = expect_origin.stamp.version
        pinned = {"sourceGeneration": version, "ifSourceGenerationMatch": version} if version else {}
        parameters = {**pinned, **self._condition(new, expect)}
        headers = expect_origin.headers
        # What is said of the copy replaces everything that the service would carry over, so it is said only where the
        # storage class has to be.
        body = {"json": _resource(headers)} if headers is not None and headers.storage_class else {"data": b""}
        path = "b/{}/o/{}/rewriteTo/b/{}/o/{}"
        names = (origin_bucket or self.bucket, old, self.bucket, new)
        with self._client.border.writing(new, exactly(expect_origin.stamp)):
            answer = self._client.run(new, "POST", path, *names, parameters=parameters, **body).json
            while not answer.get("done"):
                parameters["rewriteToken"] = answer["rewriteToken"]
                answer = self._client.run(new, "POST", path, *names, parameters=parameters, **body).json
        return self._info(answer["resource"])

    def delete(self, key: str, *, expect: Precondition) -> None:
        """Delete one object; a missing one is gone already, unless *expect* names a version."""
        parameters = self._condition(key, expect)
        try:
            with self._client.border.writing(key, expect):
                self._client.run(key, "DELETE", _OBJECT, self.bucket, key, parameters=parameters)
        except NotFound as error:
            if is_about_bucket(error):
                raise

    def delete_many(self, keys: Sequence[str]) -> Dict[str, Optional[StorageError]]:
        """Delete objects, some at once, and return, for each key, None or why it still stands."""
        with self._client.loop.flights(_DELETIONS_AT_ONCE) as flights:
            for key in keys:
                flights.launch(partial(self._deletion_failure, key))
            return dict(zip(keys, flights.land()))

    async def _deletion_failure(self, key: str) -> Optional[StorageError]:
        try:
            with self._client.border(key):
                await self._client.send("DELETE", _OBJECT, self.bucket, key)
        except NotFound as error:
            return error if is_about_bucket(error) else None
        except StorageError as error:
            return error
        return None

    def close(self) -> None:
        """Leave the connections to the filesystem, which may be the user's and closes them with itself."""


def _pinned(expect: Optional[Stamp]) -> Dict[str, str]:
    return {"ifGenerationMatch": expect.version} if expect is not None and expect.version is not None else {}


def _resource(headers: Headers) -> Dict[str, Any]:
    """Return *headers* as the API says them; what they leave unsaid is left to the bucket's defaults."""
    given = {name: getattr(headers, field) for field, name in _FIELDS.items() if getattr(headers, field)}
    return {**given, "metadata": dict(headers.metadata)} if headers.metadata else given


def _related(resource: Mapping[str, Any], content: bytes) -> Tuple[str, bytes]:
    """Return a boundary that nothing else contains, and the body that says *resource* and then *content*."""
    boundary = uuid4().hex
    content_type = resource.get("contentType", "application/octet-stream")
    head = (
        f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{json.dumps(resource)}\r\n"
        f"--{boundary}\r\nContent-Type: {content_type}\r\n\r\n"
    )
    return boundary, b"".join((head.encode(), content, f"\r\n--{boundary}--\r\n".encode()))


def _base64(digest: Any) -> str:
    return b64encode(digest.digest()).decode()


def _span(answer: Answer, key: str, start: int, end: int) -> bytes:
    """Return the bytes that were asked for; a server that ignores the range sends everything."""
    if answer.status != 206:
        return answer.content[start:end]
    total = answer.headers.get("content-range", "").rpartition("/")[2]
    due = (min(end, int(total)) if total.isdigit() else end) - start
    if len(answer.content) != due:
        raise Unavailable(f"{shown(key)}: {len(answer.content)} of {due} bytes arrived", path=key)
    return answer.content
