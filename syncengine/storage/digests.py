"""Content digests, written ``algorithm:value``, and a memory of those that were computed.

A digest belongs to one version: the file is looked at before and after it is read, and where the two looks differ
there is no digest but a PreconditionFailed.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from importlib import import_module
from threading import Lock
from typing import Callable, List, Optional, Protocol, Sequence, Tuple

from ..core.comparator import PARTS
from ..core.entry import Stamp
from ..errors import Unsupported
from .protocol import Source, StorageClientProtocol, SupportsDigest

CHUNK_BYTES = 1024 * 1024
_CASTAGNOLI_PACKAGES = ("google_crc32c", "awscrt")
# What hashlib calls guaranteed but gives no fixed length, so that "the digest" does not exist.
_WITHOUT_LENGTH = ("shake_128", "shake_256")


class Hasher(Protocol):
    """Takes bytes and gives a digest; the shape of hashlib's objects."""

    def update(self, data: bytes, /) -> None:
        """Take in more bytes."""

    def hexdigest(self) -> str:
        """Return the digest of everything so far."""


@lru_cache(maxsize=1)
def algorithms_available() -> Tuple[str, ...]:
    """Return the names of the algorithms that can be computed here, sorted."""
    import hashlib

    found = {"crc32", *hashlib.algorithms_guaranteed} - set(_WITHOUT_LENGTH)
    castagnoli = {"crc32c"} if any(map(_is_installed, _CASTAGNOLI_PACKAGES)) else set()
    return tuple(sorted(found | castagnoli))


def hasher(algorithm: str) -> Hasher:
    """Return a new hasher; raises Unsupported, with what there is, for an algorithm that cannot be computed here."""
    import hashlib

    if algorithm.startswith(PARTS):
        return PartsHasher(int(algorithm[len(PARTS) :]))
    if algorithm not in algorithms_available():
        available = ", ".join(algorithms_available())
        raise Unsupported(f"the digest {algorithm!r} cannot be computed here; available: {available}")
    if algorithm == "crc32":
        return _Checksum(_crc32_function())
    if algorithm == "crc32c":
        return _Checksum(_castagnoli_function())
    return hashlib.new(algorithm, usedforsecurity=False)


def digest_of(content: Source, algorithm: str) -> str:
    """Read *content* to its end and return its verified digest."""
    return stamped_with_digests(content, (algorithm,))[1][0]


def stamped_with_digests(content: Source, algorithms: Sequence[str]) -> Tuple[Stamp, Tuple[str, ...]]:
    """Read *content* to its end; return the stamp of the version that was read, and its digests in that order."""
    states = tuple(map(hasher, algorithms))
    for data in iter(lambda: content.read(CHUNK_BYTES), b""):
        for state in states:
            state.update(data)
    stamp = content.verify()
    return stamp, tuple(f"{name}:{state.hexdigest()}" for name, state in zip(algorithms, states))


def digest(client: StorageClientProtocol, path: str, algorithm: str, *, expect: Optional[Stamp] = None) -> str:
    """Return ``algorithm:value`` of the expected version: as the storage says it, or by reading the file.

    Raises PreconditionFailed where another version stands there, Unsupported for an algorithm nobody can compute.
    """
    if isinstance(client, SupportsDigest):
        try:
            return client.digest(path, algorithm, expect=expect)
        except Unsupported:
            # The storage cannot say this one, but whoever reads the content may compute it.
            hasher(algorithm)
    with client.read(path, expect=expect) as content:
        return digest_of(content, algorithm)


class DigestCache:
    """Remembers the digests of the versions seen last, in this process; safe to use from several threads.

    A version that its stamp does not tell from others (no modification time, ETag or version) is never remembered.
    *limit* is how many digests are kept.
    """

    def __init__(self, limit: int = 100_000) -> None:
        self._limit = limit
        self._lock = Lock()
        self._values: OrderedDict[Tuple[str, str, Stamp, str], str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, client: StorageClientProtocol, path: str, algorithm: str, *, stamp: Stamp) -> str:
        """Return the digest of the version *stamp*, computed at most once while it is remembered."""
        known = stamp.digest(algorithm)
        if known is not None:
            return known
        key = (client.identity, path, stamp, algorithm)
        value = self._recalled(key)
        if value is None:
            value = digest(client, path, algorithm, expect=stamp)
            self._remember(key, value)
        return value

    def put(self, identity: str, path: str, stamp: Stamp, digest: str) -> None:
        """Remember a digest that was found on another way, such as while copying."""
        self._remember((identity, path, stamp, digest.partition(":")[0]), digest)

    def _recalled(self, key: Tuple[str, str, Stamp, str]) -> Optional[str]:
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def _remember(self, key: Tuple[str, str, Stamp, str], value: str) -> None:
        stamp = key[2]
        if stamp.mtime_ns is None and stamp.etag is None and stamp.version is None:
            return
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._limit:
                self._values.popitem(last=False)


class PartsHasher:
    """Computes the ETag that S3 gives content uploaded in parts of *part_size* bytes: ``<md5 of md5s>-<parts>``.

    Empty content is one empty part.

    >>> parts = PartsHasher(2)
    >>> parts.update(b"aab")
    >>> parts.hexdigest()
    '4bae95d1ce34ae766cac2a1e313d7b06-2'
    """

    def __init__(self, part_size: int) -> None:
        if part_size < 1:
            raise ValueError(f"a part has at least one byte, not {part_size}")
        self._part_size = part_size
        self._finished: List[bytes] = []
        self._begin()

    def _begin(self) -> None:
        import hashlib

        self._part, self._left = hashlib.md5(usedforsecurity=False), self._part_size

    def update(self, data: bytes, /) -> None:
        """Take in more bytes."""
        view = memoryview(data)
        while view:
            if not self._left:
                self._finished.append(self._part.digest())
                self._begin()
            taken = view[: self._left]
            self._part.update(taken)
            self._left -= len(taken)
            view = view[len(taken) :]

    def hexdigest(self) -> str:
        """Return the ETag of everything so far."""
        import hashlib

        parts = [*self._finished, self._part.digest()]
        whole = hashlib.md5(b"".join(parts), usedforsecurity=False)
        return f"{whole.hexdigest()}-{len(parts)}"


def _is_installed(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None


class _Checksum:
    """A checksum of 32 bits as eight hex digits; *extend* takes the checksum so far and more bytes."""

    def __init__(self, extend: Callable[[int, bytes], int]) -> None:
        self._extend = extend
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = self._extend(self._value, data)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


def _crc32_function() -> Callable[[int, bytes], int]:
    """Return the checksum that zip archives carry."""
    from zlib import crc32

    return lambda value, data: crc32(data, value)


def _castagnoli_function() -> Callable[[int, bytes], int]:
    """Return CRC-32C by whichever optional package is installed."""
    if _is_installed("google_crc32c"):
        extend = import_module("google_crc32c").extend
        return lambda value, data: int(extend(value, data))
    checksum = import_module("awscrt.checksums").crc32c
    return lambda value, data: int(checksum(data, value))
