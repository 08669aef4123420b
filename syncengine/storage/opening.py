"""Opening a location: which client serves a URL or a filesystem, with host keys verified and no secret in an error."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Tuple, TypeVar

from ..core.modes import SymlinkPolicy
from ..errors import SyncError
from .causes import shown_cause
from .links import Link, is_sshfs
from .protocol import StorageClientProtocol
from .translation import redacted, translated

_Result = TypeVar("_Result")

# What these instances know is in their options, so another instance is as good; others may hold what nobody else has.
_OBJECT_STORES = ("s3", "gcs", "azure")
REBUILT = ("http", "ftp", "webdav", "sftp", *_OBJECT_STORES)


def open_url(
    url: str, options: Mapping[str, Any], path: str, *, identity: str, storage: str, secrets: Tuple[str, ...]
) -> StorageClientProtocol:
    """Return the client for *path* on the filesystem that fsspec makes of *url*."""

    def opened() -> StorageClientProtocol:
        filesystem = _filesystem_of(url, options)
        return _served(filesystem, path, identity=identity, storage=storage, secrets=secrets, private=True)

    return _bordered(opened, url, secrets)


def _bordered(call: Callable[[], _Result], url: str, secrets: Tuple[str, ...]) -> _Result:
    try:
        return call()
    except SyncError:
        raise
    except Exception as error:  # noqa: BLE001 - a border: it is raised again, translated
        raise translated(error, redacted(url, secrets), secrets=secrets) from shown_cause(error, secrets)


def _filesystem_of(url: str, options: Mapping[str, Any]) -> Any:
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]

    return url_to_fs(url, **{**options, "skip_instance_cache": True})[0]


def open_s3(
    url: str, options: Mapping[str, Any], path: str, *, identity: str, storage: str, secrets: Tuple[str, ...]
) -> StorageClientProtocol:
    """Return a client for S3, for which the filesystem is made only when it is needed."""
    from .objects.opening import unmade_client

    def make() -> Any:
        return _bordered(lambda: _filesystem_of(url, options), url, secrets)

    def opened() -> StorageClientProtocol:
        return unmade_client(make, options, path, identity=identity, storage=storage, secrets=secrets)

    return _bordered(opened, url, secrets)


def _served(
    filesystem: Any, path: str, *, identity: str, storage: str, secrets: Tuple[str, ...], private: bool
) -> StorageClientProtocol:
    from .quirks import family_of

    if family_of(filesystem).name in _OBJECT_STORES:
        from .objects.opening import object_client

        return object_client(filesystem, path, identity=identity, storage=storage, secrets=secrets)
    from .filesystem import client_for

    return client_for(filesystem, path, identity=identity, secrets=secrets, private=private)


def open_sftp(
    options: Mapping[str, Any], path: str, symlinks: SymlinkPolicy, *, identity: str, secrets: Tuple[str, ...]
) -> StorageClientProtocol:
    """Return a client for SFTP, by asyncssh."""
    # sshfs itself is never instantiated: it would connect at once, and without any look at the host key.
    from .sftp import sftp_client

    return sftp_client(options, path, identity=identity, symlinks=symlinks, secrets=secrets)


def verifying(options: Mapping[str, Any], links: List[Link]) -> Dict[str, Any]:
    """Return *options* with which host keys are verified, also where archives are read through SFTP."""
    verified: Dict[str, Any] = {**options, **_host_key_policy(links[0].filesystem_class, links[0].options)}
    for link in links[1:]:
        if is_sshfs(link.filesystem_class):
            # What asyncssh takes for "the usual files"; sshfs would take silence for "none".
            verified[link.protocol] = {"known_hosts": (), **(options.get(link.protocol) or {})}
    return verified


def _host_key_policy(filesystem_class: Any, options: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the option by which paramiko verifies host keys, where the user has none and fsspec knows it."""
    from .quirks import family_of_class

    if family_of_class(filesystem_class).name != "sftp" or "host_key_policy" in options:
        return {}
    from fsspec.implementations import sftp  # type: ignore[import-untyped]

    if not hasattr(sftp, "HOST_KEY_POLICIES"):
        return {}  # an older fsspec, which takes every key and cannot be told otherwise
    from .drivers.host_keys import KnownHosts

    return {"host_key_policy": KnownHosts()}


def open_live(
    filesystem: Any, path: str, *, identity: str, storage: str, secrets: Tuple[str, ...], rebuilt: bool
) -> StorageClientProtocol:
    """Return a client for *path* on a filesystem that the user made; *rebuilt* opens an equal one instead."""
    try:
        if rebuilt:
            options = {**filesystem.storage_options, "skip_instance_cache": True}
            options.update(_host_key_policy(type(filesystem), options))
            filesystem = type(filesystem)(*filesystem.storage_args, **options)
        return _served(filesystem, path, identity=identity, storage=storage, secrets=secrets, private=rebuilt)
    except SyncError:
        raise
    except Exception as error:  # noqa: BLE001 - a border: it is raised again, translated
        raise translated(error, secrets=secrets) from shown_cause(error, secrets)
