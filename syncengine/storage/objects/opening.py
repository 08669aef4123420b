"""Which service serves a bucket: obstore beside the user's filesystem where it understands all, else that alone."""

from __future__ import annotations

from typing import Any, Iterable, Tuple

from ...errors import RecipeError, StorageError
from ..object_store import ObjectStorageClient
from ..quirks import family_of
from ..translation import translated
from .service import ObjectService


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
    from .fast import FastService
    from .obstore_options import reason_against
    from .s3 import S3Service

    base = S3Service(filesystem, bucket, secrets=secrets)
    reason = reason_against(filesystem)
    if reason is not None:
        return base, f"{alone}: {reason}"
    try:
        store = _store(filesystem, bucket, secrets)
    except StorageError as error:
        # Whatever keeps obstore from being set up, the filesystem itself can tell the user, or serve all the same.
        return base, f"{alone}: obstore could not be set up: {error}"
    if isinstance(store, str):
        return base, f"{alone}: {store}"
    return FastService(base, store, secrets=secrets), "obstore reads and writes, s3fs lists and does the rest"


def _store(filesystem: Any, bucket: str, secrets: Tuple[str, ...]) -> Any:
    """Return an obstore store of *bucket*, or the reason why there cannot be one."""
    from .obstore_options import StoreOptions, s3_options, store_of

    try:
        options = s3_options(filesystem, bucket)
        return store_of(options) if isinstance(options, StoreOptions) else options
    except Exception as error:
        raise translated(error, bucket, secrets=secrets) from error
