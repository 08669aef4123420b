"""S3 through the user's own s3fs filesystem: its session, credentials, endpoint, encryption and request options.

Keys are literal: no path is parsed, and nothing is cached. Where botocore had to repeat a request, a condition that
failed may have failed because of our own first try; that is looked into before it is reported.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from attrs import evolve

from ...core.entry import Entry, Kind, Stamp
from ...core.paths import shown
from ...errors import NotFound, PreconditionFailed, StorageError, Unavailable, Unsupported
from ..protocol import Expectation, Precondition, exactly
from ..quirks import S3
from ..translation import translated
from .exchange import Unclear
from .names import key_refusal
from .pouring import Take
from .s3_client import Refused, S3Client, error_code, was_repeated
from .s3_order import InOrder
from .s3_parts import Part, PartThreads, PlainParts
from .s3_values import (
    condition_parameters,
    copied_key_parameters,
    header_parameters,
    headers_in,
    identity_of,
    info_of,
    is_composed_of,
    is_content,
    listed,
    lost_answer,
    quoted,
    whole_size,
)
from .service import Headers, ObjectInfo, PartReader, ServiceFacts

if TYPE_CHECKING:
    from .s3_direct import DirectS3

MAX_KEY_BYTES = 1024
MAX_PARTS = 10_000
MEBIBYTE = 1 << 20
BYTES_IN_FLIGHT = 128 * MEBIBYTE
PARTS_AT_ONCE = 3
_BULK_KEYS = 1000
_DELETED = (200, 204)
_PRECONDITION_FAILED = 412

FACTS = ServiceFacts(
    name="s3",
    create_if_absent=True,
    replace_if_unchanged=True,
    delete_if_unchanged=True,
    multipart_conditions=True,
    listing_digests=("etag",),
    bulk_deletion=_BULK_KEYS,
)
"""What S3 defines and is always sent, but for the condition of a copy, which few servers know.

Servers that imitate S3 may ignore a condition: each kind of request on its own, so one that holds for PUT tells
nothing about the completion of an upload in parts.
"""


class S3Service:
    """One bucket. *single_copy_bytes* is the largest object that one request copies; larger ones go in parts.

    *direct* asks for pages and deletions without the filesystem, which then need not have been made.
    """

    def __init__(
        self,
        filesystem: Any,
        bucket: str,
        *,
        secrets: Iterable[str] = (),
        facts: ServiceFacts = FACTS,
        single_copy_bytes: int = 5 << 30,
        copy_part_bytes: int = 512 * MEBIBYTE,
        direct: Optional[DirectS3] = None,
    ) -> None:
        self.facts = facts
        self.bucket = bucket
        self._client = S3Client(filesystem, bucket, secrets=secrets)
        self._single_copy_bytes = single_copy_bytes
        self._copy_part_bytes = copy_part_bytes
        self._direct = direct
        self._plain = None if direct is None else PlainParts(direct, self._client.border.secrets)
        self._threads = PartThreads()
        self._order = InOrder(self._as_told, True if direct is not None and direct.is_of_the_aws else None)
        self._read_stamp = S3.stamp

    # Looking

    def refusal(self, key: str) -> Optional[str]:
        """Return why no object can have this key, or None where one can."""
        return key_refusal(key, MAX_KEY_BYTES)

    def pages(self, prefix: str, *, start_after: str = "", page_size: int = 1000) -> Iterator[Sequence[ObjectInfo]]:
        """Yield every object whose key starts with *prefix*, page by page, in byte order of the keys."""
        return self._order.pages(prefix, start_after, page_size)

    def _as_told(self, prefix: str, start_after: str, page_size: int) -> Iterator[Sequence[ObjectInfo]]:
        if self._direct is None:
            yield from self._pages(prefix, start_after, page_size)
            return
        from .s3_direct import BrokenOff

        try:
            yield from self._direct.pages(prefix, start_after=start_after, page_size=page_size)
        except BrokenOff as error:
            yield from self._pages(prefix, start_after, page_size, error.token)

    def _pages(
        self, prefix: str, start_after: str, page_size: int, token: Optional[str] = None
    ) -> Iterator[List[ObjectInfo]]:
        start = {"StartAfter": start_after} if start_after else {}
        for page in self._listing(token, Prefix=prefix, MaxKeys=page_size, **start):
            yield list(listed(page, self._read_stamp))

    def children(self, prefix: str) -> Iterator[Tuple[List[ObjectInfo], List[str]]]:
        """Yield the objects directly below *prefix*, and the prefixes below it, by page."""
        for page in self._listing(None, Prefix=prefix, Delimiter="/"):
            below = [common["Prefix"] for common in page.get("CommonPrefixes", ())]
            yield list(listed(page, self._read_stamp)), below

    def _listing(self, token: Optional[str], **given: Any) -> Iterator[Mapping[str, Any]]:
        if self.bucket.endswith("--x-s3"):
            raise Unsupported(f"{self.bucket}: a directory bucket does not list its keys in order")
        while True:
            page = self._client.run("list_objects_v2", **given, **({"ContinuationToken": token} if token else {}))
            yield page
            if not page.get("IsTruncated"):
                return
            if not page.get("NextContinuationToken"):
                raise Unavailable(f"{shown(given['Prefix'])}: the listing broke off", path=given["Prefix"])
            token = page["NextContinuationToken"]

    def head(self, key: str) -> Optional[ObjectInfo]:
        """Look at one object with everything the service tells about it, None where it is missing."""
        try:
            answer = self._client.run("head_object", Key=key, ChecksumMode="ENABLED")
        except NotFound:
            return None
        return evolve(self._told(key, answer), headers=headers_in(answer))

    def _told(self, key: str, answer: Mapping[str, Any]) -> ObjectInfo:
        return info_of(key, answer["ContentLength"], answer, self._read_stamp)

    def part_size(self, key: str, *, expect: Stamp) -> Optional[int]:
        """Return the size in bytes of the first part of an object uploaded in parts, None where nobody knows."""
        _, dash, count = (expect.etag or "").rpartition("-")
        if not dash:
            return None
        with self._client.border.writing(key, exactly(expect)):
            answer = self._client.run("head_object", Key=key, PartNumber=1)
            if self._read_stamp(answer).etag != expect.etag:
                # Some servers answer with the ETag of the part; whether the object is the same is asked again.
                self._client.run("head_object", Key=key, **condition_parameters(exactly(expect)))
        # A server that does not know of parts answers for the whole object.
        return int(answer["ContentLength"]) if str(answer.get("PartsCount")) == count else None

    def digests(self, key: str, *, expect: Stamp) -> Tuple[str, ...]:
        """Return the digests of the whole object that the service has stored, as ``algorithm:value``."""
        pinned = condition_parameters(exactly(expect))
        with self._client.border.writing(key, exactly(expect)):
            answer = self._client.run("head_object", Key=key, ChecksumMode="ENABLED", **pinned)
        return self._told(key, answer).stamp.digests

    def get(self, key: str, limit: int, *, expect: Optional[Stamp] = None) -> Tuple[ObjectInfo, bytes]:
        """Open one version by one request: what the service tells about it, headers included, and its first bytes."""
        try:
            answer, content = self._got(key, expect, Range=f"bytes=0-{limit - 1}")
        except StorageError as error:
            # Of an empty object no range can be had.
            if error_code(error) != "InvalidRange":
                raise
            answer, content = self._got(key, expect)
        return evolve(info_of(key, whole_size(answer), answer, self._read_stamp), headers=headers_in(answer)), content

    def read(self, key: str, start: int, end: int, *, expect: Optional[Stamp] = None) -> bytes:
        """Return the bytes from *start* up to before *end* of exactly the expected version."""
        if self._direct is not None and expect is not None and expect.etag and start < end:
            from .s3_direct import Unclear

            with suppress(Unclear):
                return self._direct.range(key, start, end, quoted(expect.etag))
        return self._got(key, expect, Range=f"bytes={start}-{end - 1}")[1] if start < end else b""

    def _got(self, key: str, expect: Optional[Stamp], **given: Any) -> Tuple[Dict[str, Any], bytes]:
        pinned = {} if expect is None else condition_parameters(exactly(expect))
        with self._client.border(key):
            answer, content = self._client.loop.run(partial(self._body, Key=key, **given, **pinned))
        if len(content) != answer["ContentLength"]:
            raise Unavailable(f"{shown(key)}: the answer broke off after {len(content)} bytes", path=key)
        found = self._read_stamp({**answer, "size": whole_size(answer)})
        # Some servers ignore the condition.
        if expect is not None and identity_of(expect).same_version(found) is False:
            raise PreconditionFailed(f"{shown(key)}: it has changed", path=key)
        return answer, content

    async def _body(self, **given: Any) -> Tuple[Dict[str, Any], bytes]:
        answer = await self._client.call("get_object", **given)
        async with answer["Body"] as stream:
            return answer, bytes(await stream.read())

    # Writing

    @property
    def pours(self) -> bool:
        """Whether content is handed on while it comes: where it is asked for plainly."""
        return self._direct is not None

    def pour(self, key: str, start: int, end: int, take: Take, *, expect: Optional[Stamp] = None) -> bool:
        """Hand what ``read`` returns to *take* while it comes, where that is asked plainly and the version is named."""
        if self._direct is None or expect is None or expect.etag is None or end <= start:
            return False
        try:
            self._direct.pour(key, start, end, quoted(expect.etag), take)
        except Unclear:
            return False
        return True

    def put(self, key: str, content: bytes, *, expect: Precondition, headers: Headers) -> ObjectInfo:
        """Write an object in one request, under the service's own condition."""
        given = {"Key": key, **header_parameters(headers), **self._condition(key, expect)}
        with self._client.border.writing(key, expect):
            try:
                answer = self._client.run("put_object", Body=content, **given)
            except StorageError as error:
                return self._unless_ours(key, error, lambda stamp: is_content(stamp, content))
        return evolve(info_of(key, len(content), answer, self._read_stamp), headers=headers)

    def _condition(self, key: str, expect: Precondition) -> Dict[str, str]:
        """Return the condition of a write; an expected version whose ETag nobody recorded is looked at for it."""
        found = condition_parameters(expect)
        if found or expect.demand is not Expectation.EXACTLY:
            return found
        stands = self.head(key)
        expect.check(None if stands is None else Entry(key, Kind.FILE, stands.stamp), key)
        assert stands is not None
        return condition_parameters(exactly(stands.stamp))

    def _unless_ours(
        self, key: str, error: StorageError, recognised: Callable[[Stamp], Optional[bool]], *, was_sent: bool = False
    ) -> ObjectInfo:
        """Return what stands at *key* where a repeated write failed only because its first try had succeeded.

        *was_sent* says that it had been tried before botocore was asked.
        """
        refused = isinstance(error, PreconditionFailed) or error_code(error) == "NoSuchUpload"
        if not (refused and (was_sent or was_repeated(error))):
            raise error
        try:
            stands = self.head(key)
        except StorageError:
            raise lost_answer(key) from error
        ours = recognised(stands.stamp) if stands is not None else False
        if ours is None:
            raise lost_answer(key) from error
        if not ours or stands is None:
            raise error
        return stands

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
        """Write a large object in parts, under the service's own condition, and leave no parts behind on failure."""
        condition = self._condition(key, expect)
        with self._client.border.writing(key, expect):
            # An interrupt in just this request may leave an upload without parts, which costs nothing.
            upload, plain = self._begun(key, headers, size)
            try:
                parts = self._parts(key, upload, read, size, plain)
                admit()
                made = self._completed(key, upload, parts, size, condition, plain)
            except BaseException:
                self._abort(key, upload)
                raise
        return evolve(made, headers=headers)

    def _begun(self, key: str, headers: Headers, size: int) -> Tuple[str, Optional[PlainParts]]:
        """Begin an upload; return its id, and who sends its parts by plain requests if they are to go that way."""
        # Larger parts are those of so large an object that few of them fit in memory.
        plain = self._plain if self._part_bytes(size) == self.facts.part_bytes else None
        upload = None if plain is None else plain.begun(key, headers)
        if upload is not None:
            return upload, plain
        return str(self._client.run("create_multipart_upload", Key=key, **header_parameters(headers))["UploadId"]), None

    def _parts(
        self, key: str, upload: str, read: PartReader, size: int, plain: Optional[PlainParts]
    ) -> List[Dict[str, Any]]:
        part_bytes = self._part_bytes(size)
        pieces = _pieces(key, read, size, part_bytes)
        if plain is not None:
            etags = self._threads.sent(pieces, partial(plain.sent, key, upload))
            return [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
        with self._client.loop.flights(max(1, min(PARTS_AT_ONCE, BYTES_IN_FLIGHT // part_bytes))) as flights:
            for number, part in pieces:
                flights.launch(partial(self._part, key, upload, number, part))
            return flights.land()

    def _part_bytes(self, size: int) -> int:
        fewest = -(-size // MAX_PARTS)
        return max(self.facts.part_bytes, -(-fewest // MEBIBYTE) * MEBIBYTE)

    async def _part(self, key: str, upload: str, number: int, content: bytes) -> Dict[str, Any]:
        answer = await self._client.call("upload_part", Key=key, UploadId=upload, PartNumber=number, Body=content)
        return _named_part(number, answer)

    def _completed(
        self,
        key: str,
        upload: str,
        parts: Sequence[Mapping[str, Any]],
        size: int,
        condition: Mapping[str, str],
        plain: Optional[PlainParts] = None,
    ) -> ObjectInfo:
        etags = [str(part["ETag"]) for part in parts]
        was_sent = False
        try:
            told = None if plain is None else plain.completed(key, upload, etags, condition)
            if told is not None:
                return info_of(key, size, told, self._read_stamp)
        except Unclear:
            was_sent = True
        try:
            answer = self._client.run(
                "complete_multipart_upload",
                Key=key,
                UploadId=upload,
                MultipartUpload={"Parts": list(parts)},
                **condition,
            )
        except StorageError as error:
            named = [etag.strip('"') for etag in etags]
            return self._unless_ours(key, error, lambda stamp: is_composed_of(stamp, named, size), was_sent=was_sent)
        return info_of(key, size, answer, self._read_stamp)

    def _abort(self, key: str, upload: str) -> None:
        if self._plain is not None and self._plain.given_up(key, upload):
            return
        # What keeps the abort from working keeps whoever reads the original error busy enough.
        with suppress(StorageError):
            self._client.run("abort_multipart_upload", Key=key, UploadId=upload)

    # Copying

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
        origin = {"Bucket": origin_bucket or self.bucket, "Key": old}
        pinned = {
            f"CopySource{name}": value for name, value in condition_parameters(exactly(expect_origin.stamp)).items()
        }
        given = {
            "CopySource": origin,
            **pinned,
            **copied_key_parameters(self._client.options),
        }
        condition = self._condition(new, expect) if self.facts.copy_conditions else {}
        size = expect_origin.stamp.size
        with self._client.border.writing(new, exactly(expect_origin.stamp)):
            headers = expect_origin.headers or self._headers_at(origin)
            if size is not None and size > self._single_copy_bytes:
                made = self._copied_in_parts(new, size, given, headers, expect)
            else:
                made = self._copied_at_once(new, size, given, headers, condition)
        return evolve(made, headers=headers)

    def _headers_at(self, origin: Mapping[str, str]) -> Headers:
        return headers_in(self._client.run("head_object", **origin))

    def _copied_at_once(
        self, new: str, size: Optional[int], given: Mapping[str, Any], headers: Headers, condition: Mapping[str, str]
    ) -> ObjectInfo:
        # The service carries everything over by itself but the storage class.
        storage_class = {"StorageClass": headers.storage_class} if headers.storage_class else {}
        answer = self._client.run("copy_object", Key=new, **given, **storage_class, **condition)
        result = {**answer, **answer["CopyObjectResult"]}
        if size is None:
            return self._stands(new)
        return info_of(new, size, result, self._read_stamp)

    def _stands(self, key: str) -> ObjectInfo:
        found = self.head(key)
        if found is None:
            raise PreconditionFailed(f"{shown(key)}: it was removed right after it was written", path=key)
        return found

    def _copied_in_parts(
        self, new: str, size: int, given: Mapping[str, Any], headers: Headers, expect: Precondition
    ) -> ObjectInfo:
        condition = self._condition(new, expect) if self.facts.multipart_conditions else {}
        upload = self._client.run("create_multipart_upload", Key=new, **header_parameters(headers))["UploadId"]
        try:
            part_bytes = max(self._copy_part_bytes, -(-size // MAX_PARTS))
            with self._client.loop.flights(PARTS_AT_ONCE) as flights:
                for number, start in enumerate(range(0, size, part_bytes), 1):
                    span = f"bytes={start}-{min(start + part_bytes, size) - 1}"
                    flights.launch(partial(self._copied_part, new, upload, number, span, given))
                return self._completed(new, upload, flights.land(), size, condition)
        except BaseException:
            self._abort(new, upload)
            raise

    async def _copied_part(
        self, new: str, upload: str, number: int, span: str, given: Mapping[str, Any]
    ) -> Dict[str, Any]:
        answer = await self._client.call(
            "upload_part_copy", Key=new, UploadId=upload, PartNumber=number, CopySourceRange=span, **given
        )
        return _named_part(number, answer["CopyPartResult"])

    # Deleting

    def delete(self, key: str, *, expect: Precondition) -> None:
        """Delete one object; a missing one is gone already, unless *expect* names a version."""
        condition = self._condition(key, expect)
        status = 0 if self._direct is None else self._direct.delete(key, condition.get("IfMatch"))
        if status in _DELETED:
            return
        if status == _PRECONDITION_FAILED:
            raise PreconditionFailed(f"{shown(key)}: it has changed", path=key)
        with self._client.border.writing(key, expect):
            try:
                self._client.run("delete_object", Key=key, **condition)
            except StorageError as error:
                # Where the first try's answer was lost, nothing being there any more is what was asked for.
                if not ((status is None or was_repeated(error)) and self.head(key) is None):
                    raise

    def delete_many(self, keys: Sequence[str]) -> Dict[str, Optional[StorageError]]:
        """Delete up to a thousand objects and return, for each key, None or why it still stands."""
        answers: Dict[str, Optional[StorageError]] = {}
        # XML cannot carry control characters, so such keys are deleted one by one.
        plain = [key for key in keys if key.isprintable()]
        if plain:
            answer = self._client.run("delete_objects", Delete={"Objects": [{"Key": key} for key in plain]})
            answers.update(self._bulk_answers(answer, plain))
        for key in keys:
            if key not in answers:
                answers[key] = self._deletion_failure(key)
        return answers

    def _bulk_answers(
        self, answer: Mapping[str, Any], keys: Sequence[str]
    ) -> Iterator[Tuple[str, Optional[StorageError]]]:
        """Read every answer; a key that none is about counts as standing."""
        deleted = {item.get("Key") for item in answer.get("Deleted", ())}
        refused = {item.get("Key"): item for item in answer.get("Errors", ())}
        for key in keys:
            if key in refused:
                yield key, translated(Refused(refused[key]), key, secrets=self._client.border.secrets)
            elif key in deleted:
                yield key, None
            else:
                yield key, Unavailable(f"{shown(key)}: the service said nothing about its deletion", path=key)

    def _deletion_failure(self, key: str) -> Optional[StorageError]:
        try:
            self._client.run("delete_object", Key=key)
        except StorageError as error:
            return error
        return None

    def close(self) -> None:
        """Leave the connections of the filesystem to it, which may be the user's and closes them with itself."""
        self._threads.close()
        if self._direct is not None:
            self._direct.close()


def _pieces(key: str, read: PartReader, size: int, part_bytes: int) -> Iterator[Part]:
    """Yield the parts of an upload as they are read; empty content is one empty part."""
    sent = number = 0
    while sent < size or not number:
        part = read(min(part_bytes, size - sent))
        sent, number = sent + len(part), number + 1
        if not part and size:
            raise PreconditionFailed(f"{shown(key)}: {sent} of {size} bytes could be read", path=key)
        yield number, part


def _named_part(number: int, answer: Mapping[str, Any]) -> Dict[str, Any]:
    """Return a part as the completion names it, with the checksum under which the service took it."""
    checksums = {name: value for name, value in answer.items() if name.startswith("Checksum") and value}
    return {"PartNumber": number, "ETag": answer["ETag"], **checksums}
