"""How obstore tells the versions of each service, and what it leaves out of what a service could tell."""

from __future__ import annotations

import hashlib
from typing import Any, Callable, Dict, Mapping, Optional

from attrs import frozen

from ...core.entry import Stamp
from ..quirks import nanoseconds, plain_etag, s3_stamp, whole
from .names import identifier

Meta = Mapping[str, Any]


@frozen
class Dialect:
    """One service as obstore speaks with it.

    ``stamp`` is read from what obstore tells about an object; ``condition`` names a version for a write, None where
    the stamp has nothing it could be named by. ``looks`` says whether obstore's looks are used: they tell neither
    digests nor a storage class, so only where every answer would have to be asked for again anyway. ``keeps_case``
    says whether the service keeps the case of metadata names, of which HTTP headers keep nothing. ``metadata_name``
    spells such a name as the service allows.
    """

    stamp: Callable[[Meta], Stamp]
    condition: Callable[[Stamp], Optional[Dict[str, str]]]
    looks: bool = False
    keeps_case: bool = True
    metadata_name: Callable[[str], str] = str

    def written(self, content: bytes, result: Meta) -> Stamp:
        """Return the stamp of *content* from the answer to its write; whatever was written, its digest is known."""
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        stamp = self.stamp({"e_tag": result["e_tag"], "version": result["version"], "size": len(content)})
        return stamp.with_digest(f"md5:{digest}")


def pinned(expect: Optional[Stamp]) -> Dict[str, Any]:
    """Return the options of a read that name the version it expects.

    A generation is not named: a bucket that keeps old versions would serve it though another took its place.
    """
    etag = None if expect is None else expect.etag
    return {"if_match": _quoted(etag)} if etag else {}


def _quoted(etag: str) -> str:
    return f'"{etag}"'


def _by_etag(stamp: Stamp) -> Optional[Dict[str, str]]:
    return {"e_tag": _quoted(stamp.etag)} if stamp.etag else None


def _by_generation(stamp: Stamp) -> Optional[Dict[str, str]]:
    return {"version": stamp.version} if stamp.version else None


def _s3_stamp(meta: Meta) -> Stamp:
    names = {"ETag": "e_tag", "LastModified": "last_modified", "VersionId": "version", "size": "size"}
    return s3_stamp({name: meta.get(told) for name, told in names.items()})


def _gcs_stamp(meta: Meta) -> Stamp:
    # The ETag and the time of an object change when its metadata is edited; its generation does not.
    return Stamp(size=whole(meta.get("size")), version=meta.get("version"))


def _azure_stamp(meta: Meta) -> Stamp:
    return Stamp(
        size=whole(meta.get("size")),
        mtime_ns=nanoseconds(meta.get("last_modified")),
        etag=plain_etag(meta.get("e_tag")),
    )


DIALECTS: Mapping[str, Dialect] = {
    "s3": Dialect(_s3_stamp, _by_etag, looks=True, keeps_case=False),
    "gcs": Dialect(_gcs_stamp, _by_generation),
    "azure": Dialect(_azure_stamp, _by_etag, metadata_name=identifier),
}
"""By the name in a service's facts."""
