"""Which service serves a bucket: obstore beside the user's filesystem where it understands all, else that alone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping, Tuple, Union

from ...errors import RecipeError, StorageError
from ..object_store import ObjectStorageClient
from ..quirks import family_of
from ..translation import translated
from .service import ObjectService

if TYPE_CHECKING:
    from .obstore_options import StoreOptions

_BESIDE = "obstore reads and writes, and s3fs does what obstore cannot"


def object_client(
    filesystem: Any, path: str, *, identity: str, storage: str, secrets: Iterable[str] = ()
) -> ObjectStorageClient:
    """Return a client for *path*, a bucket and a prefix in it as *filesystem* spells them."""
    bucket, _, root = path.strip("/").partition("/")
    if not bucket:
        raise RecipeError("a root in an object store begins with a bucket; give one, as in s3://bucket/folder")
    hidden = tuple(secrets)
    service, why = service_for(filesystem, bucket, secrets=hidden)
    return ObjectStorageClient(service, root, identity=identity, storage=storage, why=why)


def unmade_client(
    make: Callable[[], Any],
    options: Mapping[str, Any],
    path: str,
    *,
    identity: str,
    storage: str,
    secrets: Iterable[str] = (),
) -> ObjectStorageClient:
    """Return a client for *path* in S3; *make* makes the filesystem with *options* only when it is needed."""
    from .s3_unmade import Deferred, plain_options

    bucket, _, root = path.strip("/").partition("/")
    found = plain_options(options, bucket, os.environ) if bucket else None
    if found is None:
        return object_client(make(), path, identity=identity, storage=storage, secrets=secrets)
    service = _beside(Deferred(make), bucket, found, tuple(secrets))
    return ObjectStorageClient(service, root, identity=identity, storage=storage, why=_BESIDE)


def service_for(filesystem: Any, bucket: str, *, secrets: Tuple[str, ...] = ()) -> Tuple[ObjectService, str]:
    """Return the service that serves *bucket*, and why it is that one."""
    alone = f"through {type(filesystem).__module__}.{type(filesystem).__qualname__} alone"
    family = family_of(filesystem).name
    if family == "gcs":
        from .gcs import GcsService

        return GcsService(filesystem, bucket, secrets=secrets), f"{alone}: its listings tell all, in key order"
    if family == "azure":
        from .azure import AzureService

        return AzureService(filesystem, bucket, secrets=secrets), f"{alone}: its listings tell all, in key order"
    return _s3_service(filesystem, bucket, alone, secrets=secrets)


def _s3_service(filesystem: Any, bucket: str, alone: str, *, secrets: Tuple[str, ...]) -> Tuple[ObjectService, str]:
    from .obstore_options import reason_against
    from .s3 import S3Service

    reason: Any = reason_against(filesystem)
    if reason is None:
        try:
            reason = _s3_options(filesystem, bucket, secrets)
        except StorageError as error:
            # Whatever keeps obstore from being set up, the filesystem itself can tell the user, or serve all the same.
            reason = f"obstore could not be set up: {error}"
    if isinstance(reason, str):
        return S3Service(filesystem, bucket, secrets=secrets), f"{alone}: {reason}"
    return _beside(filesystem, bucket, reason, secrets), _BESIDE


def _beside(filesystem: Any, bucket: str, options: StoreOptions, secrets: Tuple[str, ...]) -> ObjectService:
    """Return a service through obstore that leaves to *filesystem* what obstore cannot do."""
    from .fast import FastService
    from .obstore_options import store_of
    from .s3 import S3Service
    from .s3_direct import direct_to

    base = S3Service(filesystem, bucket, secrets=secrets, direct=direct_to(options))
    try:
        return FastService(base, store_of(options), secrets=secrets)
    except Exception as error:  # obstore's classes have no base of their own below Exception
        raise translated(error, bucket, secrets=secrets) from error


def _s3_options(filesystem: Any, bucket: str, secrets: Tuple[str, ...]) -> Union[StoreOptions, str]:
    """Return what an obstore store of *bucket* is made with, or the reason why there cannot be one."""
    from .obstore_options import s3_options

    try:
        return s3_options(filesystem, bucket)
    except Exception as error:
        raise translated(error, bucket, secrets=secrets) from error
