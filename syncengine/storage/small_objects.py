"""Small new files to, from and within S3 as conversations: many at once in one thread, each as ``routes`` copies one.

Each conversation returns None where the usual way has to be taken: something was refused, is out of the ordinary, or
cannot be asked plainly. What it raises may be tried again, by the usual way too.
"""

from __future__ import annotations

from functools import partial
from typing import Callable, Optional, Tuple

from attrs import evolve, frozen

from ..core.entry import Stamp
from .local import LocalStorageClient
from .object_store import ObjectStorageClient
from .objects.conversation import Conversation
from .objects.reading import ObjectSource
from .objects.s3_small import SmallObjects
from .protocol import ABSENT, ANYTHING, Precondition, Source, StorageClientProtocol, exactly
from .routes import Transferred, content_time, metadata_for

MOST_BYTES = 256 << 10
"""Beyond this the digests of the content take longer than its requests, and threads compute several at once."""


@frozen
class NewFile:
    """A file that goes to a name where nothing may stand: the version of it, and its time and permissions to be."""

    origin: str
    target: str
    expect: Stamp
    mtime_ns: Optional[int]
    mode: Optional[int]


Route = Callable[[NewFile], Conversation[Optional[Transferred]]]


def route(origin: StorageClientProtocol, target: StorageClientProtocol) -> Optional[Route]:
    """Return how small files are copied from *origin* to *target* in conversations, None where they are not."""
    # A class that is derived from ours may do more in its ``read`` and ``write``.
    if target.__class__ is LocalStorageClient and isinstance(target, LocalStorageClient):
        plain = _plain(origin)
        return None if plain is None else partial(_download, *plain, target)
    if origin.__class__ is LocalStorageClient and isinstance(origin, LocalStorageClient):
        plain = _plain(target)
        return None if plain is None else partial(_upload, origin, *plain)
    plain, other = _plain(target), _plain(origin)
    if plain is None or other is None:
        return None
    return partial(_copy if plain[0].can_copy_from(other[0]) else _relay, *other, *plain)


def _plain(client: StorageClientProtocol) -> Optional[Tuple[ObjectStorageClient, SmallObjects]]:
    if client.__class__ is not ObjectStorageClient or not isinstance(client, ObjectStorageClient):
        return None
    return (client, client.service) if isinstance(client.service, SmallObjects) else None


def _upload(
    origin: LocalStorageClient, target: ObjectStorageClient, service: SmallObjects, file: NewFile
) -> Conversation[Optional[Transferred]]:
    with origin.read(file.origin, expect=file.expect) as content:
        data = content.read((content.size or 0) + 1)
        if len(data) != content.size:
            return None
        read = content.verify()
    written = yield from _written(target, service, file.target, content, data, file.mtime_ns)
    return None if written is None else Transferred(read, written, None, len(data))


def _download(
    origin: ObjectStorageClient, service: SmallObjects, target: LocalStorageClient, file: NewFile
) -> Conversation[Optional[Transferred]]:
    content = yield from _opened(origin, service, file)
    if content is None:
        return None
    options = metadata_for(target, content_time(origin, content, file.mtime_ns), file.mode)
    written = target.write(file.target, content, expect=ABSENT, **options)
    return Transferred(content.verify(), written, None, content.size or 0)


def _relay(
    origin: ObjectStorageClient, there: SmallObjects, target: ObjectStorageClient, here: SmallObjects, file: NewFile
) -> Conversation[Optional[Transferred]]:
    """Copy from one storage to another, by way of this machine."""
    content = yield from _opened(origin, there, file)
    if content is None:
        return None
    data = content.read()
    read, mtime_ns = content.verify(), content_time(origin, content, file.mtime_ns)
    written = yield from _written(target, here, file.target, content, data, mtime_ns)
    return None if written is None else Transferred(read, written, None, len(data))


def _copy(
    origin: ObjectStorageClient, there: SmallObjects, target: ObjectStorageClient, here: SmallObjects, file: NewFile
) -> Conversation[Optional[Transferred]]:
    """Copy within one storage; no byte passes this machine, and the object brings its headers along."""
    if target.headers_for(file.target):
        return None
    key = target.listable_key(file.target)
    told, info = yield from there.looking(origin.key(file.origin))
    if not told or info is None:
        return None
    origin.check(exactly(file.expect), file.origin, info)
    condition = yield from _condition(here, key, holds=target.proven().copy)
    made = None if condition is None else (yield from here.copying(key, info, there.bucket, expect=condition))
    return None if made is None else Transferred(info.stamp, _sized(made.stamp, info.stamp.size), None, 0)


def _opened(origin: ObjectStorageClient, service: SmallObjects, file: NewFile) -> Conversation[Optional[ObjectSource]]:
    got = yield from service.getting(origin.key(file.origin), MOST_BYTES, expect=file.expect)
    if got is None:
        return None
    info, data = got
    origin.check(exactly(file.expect), file.origin, info)
    return origin.source(file.origin, info, data)


def _written(
    target: ObjectStorageClient,
    service: SmallObjects,
    path: str,
    content: Source,
    data: bytes,
    mtime_ns: Optional[int],
) -> Conversation[Optional[Stamp]]:
    key = target.listable_key(path)
    headers = target.headers_of(path, content, mtime_ns)
    condition = yield from _condition(service, key, holds=target.proven().create_if_absent)
    made = None if condition is None else (yield from service.putting(key, data, expect=condition, headers=headers))
    return None if made is None else _sized(made.stamp, len(data))


def _condition(service: SmallObjects, key: str, *, holds: bool) -> Conversation[Optional[Precondition]]:
    """Return the condition to send where nothing may stand; what the service does not check is looked at right before.

    RACE: between that look and the request another writer may come; see the client's windows.
    """
    if holds:
        return ABSENT
    told, found = yield from service.looking(key)
    return ANYTHING if told and found is None else None


def _sized(stamp: Stamp, size: Optional[int]) -> Stamp:
    return stamp if stamp.size == size else evolve(stamp, size=size)
