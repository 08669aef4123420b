"""Which service serves a bucket: obstore beside the user's filesystem where it understands all, else that alone."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Callable, Iterable, Mapping, Optional, Tuple, Union

from attrs import frozen

from ...errors import RecipeError, StorageError
from ..causes import shown_cause
from ..object_store import ObjectStorageClient
from ..quirks import family_of, qualified_names
from ..translation import translated
from .obstore_options import Store, StoreOptions, missing, store_of
from .service import ObjectService

_BESIDE = "obstore reads and writes, and {} does what obstore cannot"


@frozen
class _Family:
    """Where the parts of one family are: *module* is both its service's and, with a prefix, its options'."""

    module: str
    service: str
    filesystems: Tuple[str, ...]
    """The classes that obstore may stand in for; another one may do anything in its own way."""

    def base(self, filesystem: Any, bucket: str, **given: Any) -> ObjectService:
        """Return the service through the filesystem alone."""
        made: ObjectService = getattr(_sibling(self.module), self.service)(filesystem, bucket, **given)
        return made

    def options_function(self, name: str) -> Any:
        """Return the function of this family's options that is called ``s3_<name>`` for S3."""
        return getattr(_sibling(f"obstore_{self.module}"), f"{self.module}_{name}")


def _sibling(name: str) -> Any:
    return import_module(f".{name}", __package__)


_FAMILIES = {
    "s3": _Family("s3", "S3Service", ("s3fs.core.S3FileSystem",)),
    "gcs": _Family("gcs", "GcsService", ("gcsfs.core.GCSFileSystem", "gcsfs.extended_gcsfs.ExtendedGcsFileSystem")),
    "azure": _Family("azure", "AzureService", ("adlfs.spec.AzureBlobFileSystem",)),
}


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
    # Whether it is there, not whether it can be imported: that takes as long as a page of a listing, which needs none.
    is_installed = find_spec("obstore") is not None
    found = plain_options(options, bucket, os.environ) if bucket and is_installed else None
    if found is None:
        return object_client(make(), path, identity=identity, storage=storage, secrets=secrets)
    hidden = tuple(secrets)
    service = _beside(_FAMILIES["s3"], Deferred(make), bucket, found, _store(found, bucket, hidden), hidden)
    return ObjectStorageClient(service, root, identity=identity, storage=storage, why=_BESIDE.format("s3fs"))


def service_for(filesystem: Any, bucket: str, *, secrets: Tuple[str, ...] = ()) -> Tuple[ObjectService, str]:
    """Return the service that serves *bucket*, and why it is that one."""
    family = _FAMILIES[family_of(filesystem).name]
    alone = f"through {type(filesystem).__module__}.{type(filesystem).__qualname__} alone"
    found: Union[StoreOptions, str, None] = reason_against(filesystem)
    if found is None:
        try:
            found = _options(family, filesystem, bucket, secrets)
            if isinstance(found, StoreOptions):
                package = type(filesystem).__module__.partition(".")[0]
                store = _store(found, bucket, secrets)
                store()
                return _beside(family, filesystem, bucket, found, store, secrets), _BESIDE.format(package)
        except StorageError as error:
            # Whatever keeps obstore from being set up, the filesystem itself can tell the user, or serve all the same.
            found = f"obstore could not be set up: {error}"
    return family.base(filesystem, bucket, secrets=secrets), f"{alone}: {found}"


def reason_against(filesystem: Any) -> Optional[str]:
    """Return why obstore cannot stand in for *filesystem*, None where it can; nothing is connected to.

    That it is not installed is said last, and so only where installing it would change something.
    """
    family = _FAMILIES[family_of(filesystem).name]
    found = qualified_names(type(filesystem))[0]
    if found not in family.filesystems:
        known, own = family.filesystems[0].partition(".")[0], found.rpartition(".")[2]
        return f"obstore stands in for {known} itself only; this is a {own}"
    return next(iter(family.options_function("reasons")(filesystem)), None) or missing()


def _store(options: StoreOptions, bucket: str, secrets: Tuple[str, ...]) -> Store:
    """Return what makes the store of *bucket* once it is needed; raises StorageError then, where it cannot be made."""

    def make() -> Optional[Any]:
        try:
            return store_of(options)
        except ImportError:
            return None
        except Exception as error:  # noqa: BLE001 - obstore's classes have no base of their own below Exception
            raise translated(error, bucket, secrets=secrets) from shown_cause(error, secrets)

    return Store(make)


def _beside(
    family: _Family, filesystem: Any, bucket: str, options: StoreOptions, store: Store, secrets: Tuple[str, ...]
) -> ObjectService:
    """Return a service through obstore that leaves to *filesystem* what obstore cannot do."""
    from .fast import FastService

    direct = None
    if family.module == "s3":
        from .s3_direct import direct_to

        direct = direct_to(options)
    given = {} if direct is None else {"direct": direct}
    base = family.base(filesystem, bucket, secrets=secrets, **given)
    if direct is None:
        return FastService(base, store, secrets=secrets)
    from .s3_small import SmallObjects

    return SmallObjects(base, store, direct, secrets=secrets)


def _options(family: _Family, filesystem: Any, bucket: str, secrets: Tuple[str, ...]) -> Union[StoreOptions, str]:
    """Return what an obstore store of *bucket* is made with, or the reason why there cannot be one."""
    try:
        found: Union[StoreOptions, str] = family.options_function("options")(filesystem, bucket)
    except Exception as error:  # noqa: BLE001 - a border: it is raised again, translated
        raise translated(error, bucket, secrets=secrets) from shown_cause(error, secrets)
    return found
