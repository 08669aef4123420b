"""How bytes get from one client to another: inside one storage, by the kernel, or as a stream.

Content never lies in memory as a whole, and the version that was read is verified before anything becomes visible.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, Tuple

from attrs import frozen

from ..core.entry import Stamp
from ..core.paths import shown
from ..errors import AccessDenied, NotFound, PreconditionFailed, Unsupported
from .digests import Hasher, hasher
from .local import LocalStorageClient
from .protocol import (
    Expectation,
    Precondition,
    Source,
    StorageClientProtocol,
    SupportsCopy,
    SupportsCopyFrom,
    SupportsHeaders,
    exactly,
)

DIGEST_OF_THE_UNCERTAIN = "sha256"
_WORKERS_OVER_ONE_NETWORK = 16
_WORKERS_OVER_TWO_NETWORKS = 8


@frozen
class Transferred:
    """What a transfer did: the versions that were read and written, and how many bytes travelled.

    ``digest`` is ``algorithm:value`` of the very bytes, None where they stayed inside the storage. ``bytes`` counts
    what this machine moved: nothing for a copy inside one storage.
    """

    origin: Stamp
    target: Stamp
    digest: Optional[str]
    bytes: int


def transfer(
    origin_client: StorageClientProtocol,
    origin_path: str,
    target_client: StorageClientProtocol,
    target_path: str,
    *,
    expect_origin: Optional[Stamp],
    expect_target: Precondition,
    mtime_ns: Optional[int],
    mode: Optional[int] = None,
    digest: Optional[str] = None,
    racy: bool = False,
    on_bytes: Optional[Callable[[int], None]] = None,
) -> Transferred:
    """Copy one version of a file, all or nothing, by the shortest way there is.

    *digest* names an algorithm to compute while copying. *racy* says that the origin's modification time is too
    fresh to tell versions apart, so a digest is computed in any case. *mtime_ns* and *mode* are passed on where they
    mean something: the origin's times are of content and the target keeps them. *on_bytes* is told of bytes as they
    move. Raises what the clients raise; PreconditionFailed where either end is not what was expected.
    """
    algorithm = DIGEST_OF_THE_UNCERTAIN if racy and digest is None else digest
    if algorithm is None and expect_origin is not None and expect_target.demand is Expectation.ABSENT:
        small = _copied_small(origin_client, origin_path, target_client, target_path, expect_origin, mtime_ns, mode)
        if small is not None:
            moved = small[1].size or 0
            if on_bytes is not None and moved:
                on_bytes(moved)
            return Transferred(*small, None, moved)
    # A copy inside the storage would bring the origin's headers; where others are asked for, the bytes travel.
    carries = not (isinstance(target_client, SupportsHeaders) and target_client.headers_for(target_path))
    inside = (
        _copied_inside(origin_client, origin_path, target_client, target_path, expect_origin, expect_target)
        if carries
        else None
    )
    if inside is not None:
        return Transferred(*inside, inside[1].digest(algorithm) if algorithm else None, 0)
    if (
        carries
        and _may_stay_inside(origin_client, target_client, algorithm)
        and isinstance(target_client, SupportsCopy)
    ):
        before = _looked_at(origin_client, origin_path, expect_origin)
        copied = target_client.copy(origin_path, target_path, expect=expect_target, expect_origin=before)
        # No byte passes here, so looks before and after and the size have to vouch for the copy.
        origin = _looked_at(origin_client, origin_path, before)
        _check_sizes(target_path, origin, copied)
        return Transferred(origin, copied, copied.digest(algorithm) if algorithm else None, 0)
    with origin_client.read(origin_path, expect=expect_origin) as content:
        options = metadata_for(target_client, content_time(origin_client, content, mtime_ns), mode)
        watched = _Watched(content, None if algorithm is None else hasher(algorithm), on_bytes)
        written = target_client.write(target_path, watched, expect=expect_target, **options)
        origin = watched.verified()
        watched.settle(written.size)
        return Transferred(origin, written, watched.digest(algorithm), watched.moved)


def workers(origin: StorageClientProtocol, target: StorageClientProtocol, asked: Optional[int] = None) -> int:
    """Return how many transfers this route takes at once; *asked* lowers or raises it up to what the clients allow.

    Between local disks one is fastest: several fight over the interpreter lock.
    """
    remote = [client for client in (origin, target) if not _is_local(client)]
    if not remote:
        return 1
    usual = _WORKERS_OVER_ONE_NETWORK if len(remote) == 1 else _WORKERS_OVER_TWO_NETWORKS
    allowed = min(client.capabilities.threads for client in remote)
    return max(1, min(allowed, usual if asked is None else asked))


def _is_local(client: StorageClientProtocol) -> bool:
    # Local calls are safe from any number of threads; that one thread is fastest holds only between local disks.
    return isinstance(client, LocalStorageClient)


def _copied_small(
    origin: StorageClientProtocol,
    old: str,
    target: StorageClientProtocol,
    new: str,
    expect_origin: Stamp,
    mtime_ns: Optional[int],
    mode: Optional[int],
) -> Optional[Tuple[Stamp, Stamp]]:
    """Take the short way between two places of this machine, where it leads; None where it does not."""
    # A class that is derived from ours may do more in its ``read`` and ``write``.
    if target.__class__ is not LocalStorageClient or origin.__class__ is not LocalStorageClient:
        return None
    if origin.identity == target.identity:
        return None
    return target.copy_small(origin, old, new, expect_origin=expect_origin, mtime_ns=mtime_ns, mode=mode)


class _Watched:
    """Content that is counted, and hashed where that is asked, on its way from one client to another.

    The bytes are hidden from the kernel where they have to be hashed. Otherwise a writer may copy from
    ``local_path``, or from ``descriptor`` while calling ``advance``.
    """

    def __init__(self, content: Source, state: Optional[Hasher], on_bytes: Optional[Callable[[int], None]]) -> None:
        visible = state is None
        self.size = content.size
        self.local_path: Optional[str] = content.local_path if visible else None
        self.descriptor: Optional[int] = getattr(content, "descriptor", None) if visible else None
        self._pour: Any = getattr(content, "pour", None) if visible else None
        self.headers: Any = getattr(content, "headers", None)
        """What travels with an object, for a writer that keeps it too."""
        self.moved = 0
        self._content = content
        self._state = state
        self._on_bytes = on_bytes
        self._verified: Optional[Stamp] = None

    def read(self, size: int = -1) -> bytes:
        data = self._content.read(size)
        if self._state is not None:
            self._state.update(data)
        self.advance(len(data))
        return data

    def pour(self, take: Callable[[int, Any], None], moved: Callable[[int], None]) -> bool:
        """Let the content hand itself on in any order, where it can and nobody has to see it in its own."""

        def advance(count: int) -> None:
            self.advance(count)
            moved(count)

        return self._pour is not None and bool(self._pour(take, advance))

    def verify(self) -> Stamp:
        self._verified = self._content.verify()
        return self._verified

    def verified(self) -> Stamp:
        """Return the stamp that the writer verified, or verify now what a careless writer did not."""
        return self.verify() if self._verified is None else self._verified

    def advance(self, count: int) -> None:
        self.moved += count
        if self._on_bytes is not None and count:
            self._on_bytes(count)

    def settle(self, size: Optional[int]) -> None:
        """Count what a writer took from ``local_path`` without a word."""
        if self.local_path is not None and size is not None and size > self.moved:
            self.advance(size - self.moved)

    def digest(self, algorithm: Optional[str]) -> Optional[str]:
        return None if self._state is None else f"{algorithm}:{self._state.hexdigest()}"


def _may_stay_inside(origin: StorageClientProtocol, target: StorageClientProtocol, algorithm: Optional[str]) -> bool:
    """Say whether the bytes may stay inside the storage: where reading is free, a wanted digest is worth a read."""
    same = origin is target or origin.identity == target.identity
    return same and (algorithm is None or not target.capabilities.cheap_reads)


def stays_inside(origin: StorageClientProtocol, target: StorageClientProtocol) -> bool:
    """Say whether what is copied from *origin* to *target* never leaves their storage."""
    if isinstance(target, SupportsCopyFrom) and target.can_copy_from(origin):
        return True
    return origin.identity == target.identity and target.capabilities.server_copy


def _copied_inside(
    origin: StorageClientProtocol,
    origin_path: str,
    target: StorageClientProtocol,
    target_path: str,
    expect_origin: Optional[Stamp],
    expect: Precondition,
) -> Optional[Tuple[Stamp, Stamp]]:
    """Return the stamps of origin and copy where the storage copied by itself, None where it cannot."""
    # To look for a protocol takes as long as a small file takes; nearly every client is told by one name.
    if not hasattr(target, "copy_from") or not isinstance(target, SupportsCopyFrom) or not target.can_copy_from(origin):
        return None
    try:
        return target.copy_from(origin, origin_path, target_path, expect=expect, expect_origin=expect_origin)
    except (AccessDenied, Unsupported):
        # Each side's own credentials may be good for its own part only; then the bytes pass here.
        return None


def content_time(origin: StorageClientProtocol, content: Source, mtime_ns: Optional[int]) -> Optional[int]:
    """Return the modification time of the content: the origin's own, or what was kept with it where that is told."""
    if origin.capabilities.mtime_is_content_time:
        return mtime_ns
    kept: Optional[int] = getattr(content, "mtime_ns", None)
    return kept


def metadata_for(target: StorageClientProtocol, mtime_ns: Optional[int], mode: Optional[int]) -> Dict[str, Any]:
    """Return what is said to *target* of a file besides its content, as far as it keeps such things."""
    keeps_mtime = target.capabilities.set_mtime or target.capabilities.keeps_mtime
    options: Dict[str, Any] = {"mtime_ns": mtime_ns if keeps_mtime else None}
    if mode is not None and target.capabilities.set_mode:
        options["mode"] = mode
    return options


def _looked_at(client: StorageClientProtocol, path: str, expect: Optional[Stamp]) -> Stamp:
    entry = client.stat(path)
    if expect is not None:
        exactly(expect).check(entry, path, granularity_ns=client.capabilities.mtime_granularity_ns)
    if entry is None:
        raise NotFound(f"{shown(path)}: there is nothing there", path=path)
    return entry.stamp


def _check_sizes(path: str, origin: Stamp, copied: Stamp) -> None:
    if origin.size is not None and copied.size is not None and origin.size != copied.size:
        reason = f"the copy has {copied.size:,} bytes and the original {origin.size:,}"
        raise PreconditionFailed(f"{shown(path)}: {reason}", path=path)
