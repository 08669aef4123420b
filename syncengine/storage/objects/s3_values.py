"""What S3 says and is told, as values: headers, conditions, and the stamp in an answer."""

from __future__ import annotations

import hashlib
import re
import zlib
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Sequence, Tuple

from attrs import evolve

from ...core.entry import Stamp
from ...core.paths import shown
from ...errors import Unavailable
from ..protocol import Expectation, Precondition
from ..quirks import Info, has_own_key, hexadecimal, plain_etag
from .s3_listing import OBJECTS
from .service import Headers, ObjectInfo

ReadStamp = Callable[[Info], Stamp]

_HEADERS = {
    "content_type": "ContentType",
    "cache_control": "CacheControl",
    "content_disposition": "ContentDisposition",
    "content_encoding": "ContentEncoding",
    "content_language": "ContentLanguage",
    "storage_class": "StorageClass",
}
# Bytes of each digest; S3 gives them in base64.
_CHECKSUMS = {
    "CRC32C": 4,
    "CRC32": 4,
    "CRC64NVME": 8,
    "SHA1": 20,
    "SHA256": 32,
    "SHA512": 64,
    "MD5": 16,
}
_MD5 = re.compile(r"^[0-9a-f]{32}$")
_PARTS = re.compile(r"^[0-9a-f]{32}-([0-9]+)$")
_CUSTOMER_KEY = ("SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5")


def quoted(etag: str) -> str:
    """Return an ETag as conditions spell it."""
    return f'"{etag}"'


def header_parameters(headers: Headers) -> Dict[str, Any]:
    """Return the parameters that send *headers*; what they leave unsaid is left to the filesystem's own options."""
    given = {name: getattr(headers, field) for field, name in _HEADERS.items() if getattr(headers, field)}
    return {**given, "Metadata": dict(headers.metadata)} if headers.metadata else given


def headers_in(answer: Mapping[str, Any]) -> Headers:
    """Return the headers of an object from the answer to a look."""
    told = {field: str(answer.get(name) or "") for field, name in _HEADERS.items()}
    return Headers(**told, metadata=dict(answer.get("Metadata") or {}))


def condition_parameters(expect: Precondition) -> Dict[str, str]:
    """Return the parameters of a write under a condition; an expected version carries its ETag."""
    if expect.demand is Expectation.ABSENT:
        return {"IfNoneMatch": "*"}
    if expect.demand is Expectation.EXACTLY and expect.stamp is not None and expect.stamp.etag is not None:
        return {"IfMatch": quoted(expect.stamp.etag)}
    return {}


def copied_key_parameters(options: Mapping[str, Any]) -> Dict[str, Any]:
    """Return what a copy needs to read an object that the customer's own key encrypts."""
    return {f"CopySource{name}": options[name] for name in _CUSTOMER_KEY if name in options}


def info_of(key: str, size: int, answer: Mapping[str, Any], read_stamp: ReadStamp) -> ObjectInfo:
    """Return what an answer about one whole object says; *size* is in bytes."""
    stamp = read_stamp({**answer, "size": size})
    return ObjectInfo(
        key, evolve(stamp, digests=tuple(sorted({*stamp.digests, *_md5_in(answer), *checksums_in(answer)})))
    )


def _md5_in(answer: Mapping[str, Any]) -> Tuple[str, ...]:
    """Return the MD5 that the ETag of a single upload is where nothing but the service's own key encrypts it."""
    etag = plain_etag(answer.get("ETag")) or ""
    return (f"md5:{etag}",) if _MD5.match(etag) and not has_own_key(answer) else ()


def whole_size(answer: Mapping[str, Any]) -> int:
    """Return the size of the whole object from the answer that brings a part of it, or all."""
    total = str(answer.get("ContentRange", "")).rpartition("/")[2]
    return int(total) if total.isdigit() else int(answer["ContentLength"])


def listed(page: Mapping[str, Any], read_stamp: ReadStamp) -> Iterator[ObjectInfo]:
    """Yield the objects of one page of a listing."""
    yield from page.get(OBJECTS, ())
    for item in page.get("Contents", ()):
        yield ObjectInfo(item["Key"], read_stamp({**item, "size": item["Size"]}))


def checksums_in(answer: Mapping[str, Any]) -> Tuple[str, ...]:
    """Return the digests of the whole content; a checksum of the checksums of parts is none.

    Servers that do not tell the type of a checksum mark a composite one by the number of its parts, as in ETags.
    """
    if answer.get("ChecksumType") == "COMPOSITE" or ("ChecksumType" not in answer and "-" in str(answer.get("ETag"))):
        return ()
    found = (
        hexadecimal(name.lower(), answer.get(f"Checksum{name}"), length)
        for name, length in _CHECKSUMS.items()
        if answer.get(f"Checksum{name}")
    )
    return tuple(digest for digests in found for digest in digests)


def is_content(found: Stamp, content: bytes) -> Optional[bool]:
    """Say whether the object *found* holds just *content*, None where nothing it carries can tell."""
    if found.size != len(content):
        return False
    md5 = found.digest("md5")
    if md5 is not None:
        return md5 == "md5:" + hashlib.md5(content, usedforsecurity=False).hexdigest()
    crc32 = found.digest("crc32")
    return None if crc32 is None else crc32 == f"crc32:{zlib.crc32(content):08x}"


def is_composed_of(found: Stamp, part_etags: Sequence[str], size: int) -> Optional[bool]:
    """Say whether the object *found* was completed from just these parts of *size* bytes in all, None if none can tell.

    An equal composite ETag proves it, and another size or number of parts disproves it; an unequal ETag alone proves
    nothing, because a key service changes it.
    """
    count = _PARTS.search(found.etag or "")
    if found.size != size or (count is not None and int(count[1]) != len(part_etags)):
        return False
    try:
        parts = b"".join(bytes.fromhex(etag) for etag in part_etags)
    except ValueError:
        return None
    composite = f"{hashlib.md5(parts, usedforsecurity=False).hexdigest()}-{len(part_etags)}"
    return True if found.etag == composite else None


def lost_answer(key: str) -> Unavailable:
    """Return the error of a write whose first answer was lost, and that may or may not have happened."""
    return Unavailable(f"{shown(key)}: the answer to a write was lost, and what stands there now cannot tell", path=key)


def identity_of(stamp: Stamp) -> Stamp:
    """Return the components that every answer of a service spells alike; times differ in their fractions."""
    return Stamp(size=stamp.size, etag=stamp.etag, version=stamp.version)
