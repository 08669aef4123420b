"""Small new files to, from and within S3 as conversations: many at once in one thread, each as ``routes`` copies one.

Each conversation returns None where the usual way has to be taken: something was refused, is out of the ordinary, or
cannot be asked plainly. What it raises may be tried again, by the usual way too.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Callable, Optional, Tuple, Union

from attrs import evolve, field, frozen

from ..core.entry import Stamp
from .local import LocalStorageClient
from .object_store import ObjectStorageClient
from .objects.conversation import Conversation
from .objects.s3_small import SmallObjects
from .objects.service import ObjectInfo
from .protocol import ABSENT, ANYTHING, Precondition, Source, StorageClientProtocol, exactly
from .routes import Transferred, content_time, metadata_for

if TYPE_CHECKING:
    from .local_small import Content, Folder, Look

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


@frozen
class Fetched:
    """A file that has arrived as a whole from *origin* and still needs its place on this machine."""

    file: NewFile
    origin: ObjectStorageClient
    info: ObjectInfo
    content: bytes = field(repr=False)
    target: LocalStorageClient
    mtime_ns: Optional[int]

    def to_place(self) -> Optional[Tuple[Folder, Content]]:
        """Return what ``local_small.written`` needs to know to place it; None where ``placed`` has to."""
        options = metadata_for(self.target, self.mtime_ns, self.file.mode)
        return self.target.small_write(
            self.file.target, self.content, mtime_ns=options["mtime_ns"], mode=options.get("mode")
        )

    def placed(self) -> Transferred:
        """Write it in this process."""
        options = metadata_for(self.target, self.mtime_ns, self.file.mode)
        content = self.origin.source(self.file.origin, self.info, self.content)
        return self._made(self.target.write(self.file.target, content, expect=ABSENT, **options))

    def placed_apart(self, made: Look) -> Transferred:
        """Return what another process did, which says that it has *made* this."""
        size, mtime_ns, number = made
        return self._made(Stamp(size, mtime_ns, None, None, (), number))

    def _made(self, written: Stamp) -> Transferred:
        return Transferred(self.info.stamp, written, None, len(self.content))


Copied = Union[Transferred, Fetched, None]
"""What a conversation about a file comes to; None: the usual way has to be taken."""

Route = Callable[[NewFile], Conversation[Copied]]


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
) -> Conversation[Copied]:
    with origin.read(file.origin, expect=file.expect) as content:
        data = content.read((content.size or 0) + 1)
        if len(data) != content.size:
            return None
        read = content.verify()
    written = yield from _written(target, service, file.target, content, data, file.mtime_ns)
    return None if written is None else Transferred(read, written, None, len(data))


def _download(
    origin: ObjectStorageClient, service: SmallObjects, target: LocalStorageClient, file: NewFile
) -> Conversation[Copied]:
    got = yield from _got(origin, service, file)
    if got is None:
        return None
    content = origin.source(file.origin, *got)
    return Fetched(file, origin, *got, target, content_time(origin, content, file.mtime_ns))


def _relay(
    origin: ObjectStorageClient, there: SmallObjects, target: ObjectStorageClient, here: SmallObjects, file: NewFile
) -> Conversation[Copied]:
    """Copy from one storage to another, by way of this machine."""
    got = yield from _got(origin, there, file)
    if got is None:
        return None
    info, data = got
    content = origin.source(file.origin, info, data)
    mtime_ns = content_time(origin, content, file.mtime_ns)
    written = yield from _written(target, here, file.target, content, data, mtime_ns)
    return None if written is None else Transferred(info.stamp, written, None, len(data))


def _copy(
    origin: ObjectStorageClient, there: SmallObjects, target: ObjectStorageClient, here: SmallObjects, file: NewFile
) -> Conversation[Copied]:
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


def _got(
    origin: ObjectStorageClient, service: SmallObjects, file: NewFile
) -> Conversation[Optional[Tuple[ObjectInfo, bytes]]]:
    got = yield from service.getting(origin.key(file.origin), MOST_BYTES, expect=file.expect)
    if got is not None:
        origin.check(exactly(file.expect), file.origin, got[0])
    return got


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
