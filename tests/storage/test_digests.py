"""Content digests: of exactly one version, by the storage or by reading, remembered by stamp."""

from __future__ import annotations

import hashlib
import sys
import zlib
from pathlib import Path
from types import ModuleType
from typing import List, Optional

import pytest

from syncengine import errors
from syncengine.core.entry import Stamp
from syncengine.storage import digests
from syncengine.storage.digests import DigestCache, algorithms_available, digest, hasher
from syncengine.storage.local import LocalStorageClient
from syncengine.storage.protocol import SupportsDigest

CASTAGNOLI_OF_DIGITS = 0xE3069283
"""The CRC-32C of ``123456789``, from its specification."""


class Counting(LocalStorageClient):
    """A user's subclass that notes what was asked of it, and knows SHA-256 only."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.asked: List[str] = []

    def digest(self, path: str, algorithm: str, *, expect: Optional[Stamp] = None) -> str:
        self.asked.append(algorithm)
        if algorithm != "sha256":
            raise errors.Unsupported(f"only sha256, not {algorithm}")
        return super().digest(path, algorithm, expect=expect)


@pytest.fixture
def client(tmp_path: Path) -> Counting:
    (tmp_path / "f").write_bytes(b"abc")
    return Counting(str(tmp_path))


def stamp_of(client: LocalStorageClient, path: str = "f") -> Stamp:
    entry = client.stat(path)
    assert entry is not None
    return entry.stamp


@pytest.mark.parametrize("algorithm", ["sha256", "md5", "sha1", "blake2b"])
def test_a_digest_names_its_algorithm_and_is_of_the_content(client, algorithm):
    expected = hashlib.new(algorithm, b"abc").hexdigest()

    assert digest(client, "f", algorithm, expect=stamp_of(client)) == f"{algorithm}:{expected}"


def test_a_digest_the_storage_cannot_say_is_computed_by_reading(client):
    assert digest(client, "f", "md5") == "md5:900150983cd24fb0d6963f7d28e17f72"
    assert client.asked == ["md5"]


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_there_is_no_digest_of_another_version(client, algorithm):
    with pytest.raises(errors.PreconditionFailed):
        digest(client, "f", algorithm, expect=Stamp(size=4))


def test_an_unknown_algorithm_is_refused_with_what_there_is(client):
    with pytest.raises(errors.Unsupported, match=r"available: .*sha256"):
        digest(client, "f", "crc16")


def test_algorithms_without_a_length_of_their_own_are_not_offered():
    offered = algorithms_available()

    assert list(offered) == sorted(offered)
    assert {"md5", "sha256", "sha512"} <= set(offered)
    assert not {name for name in offered if name.startswith("shake")}
    assert all(hasher(name).hexdigest() for name in offered)


@pytest.mark.parametrize("package", ["google_crc32c", "awscrt"])
def test_the_castagnoli_checksum_comes_from_whichever_package_is_installed(monkeypatch, package):
    def checksum(data: bytes, value: int = 0) -> int:
        value ^= 0xFFFFFFFF
        for byte in data:
            value ^= byte
            for _ in range(8):
                value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        return value ^ 0xFFFFFFFF

    stand_in = ModuleType(package)
    stand_in.extend = lambda value, data: checksum(data, value)  # type: ignore[attr-defined]
    stand_in.checksums = stand_in  # type: ignore[attr-defined]
    stand_in.crc32c = checksum  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, package, stand_in)
    monkeypatch.setitem(sys.modules, f"{package}.checksums", stand_in)
    monkeypatch.setattr(digests, "_is_installed", lambda name: name == package)
    algorithms_available.cache_clear()
    try:
        state = hasher("crc32c")
        state.update(b"1234")
        state.update(b"56789")
        assert int(state.hexdigest(), 16) == CASTAGNOLI_OF_DIGITS
    finally:
        algorithms_available.cache_clear()


def test_a_digest_is_computed_once_per_version(client):
    cache = DigestCache()
    stamp = stamp_of(client)

    assert cache.get(client, "f", "sha256", stamp=stamp) == cache.get(client, "f", "sha256", stamp=stamp)
    assert client.asked == ["sha256"]
    with pytest.raises(errors.PreconditionFailed):
        cache.get(client, "f", "sha256", stamp=Stamp(size=3, mtime_ns=1))


def test_a_digest_that_the_stamp_carries_is_not_computed_again(client):
    known = stamp_of(client).with_digest("sha256:known")

    assert DigestCache().get(client, "f", "sha256", stamp=known) == "sha256:known"
    assert client.asked == []


def test_a_digest_found_on_another_way_is_remembered(client):
    cache = DigestCache()
    cache.put(client.identity, "f", stamp_of(client), "sha256:found")

    assert cache.get(client, "f", "sha256", stamp=stamp_of(client)) == "sha256:found"


def test_a_version_that_its_stamp_does_not_tell_from_others_is_never_remembered(client):
    cache = DigestCache()
    cache.put(client.identity, "f", Stamp(size=3), "sha256:of an older version")

    assert len(cache) == 0
    assert cache.get(client, "f", "sha256", stamp=Stamp(size=3)) != "sha256:of an older version"


def test_the_memory_is_bounded_and_forgets_what_was_used_longest_ago(client):
    cache = DigestCache(limit=2)
    stamps = [Stamp(size=3, mtime_ns=number) for number in range(3)]
    for stamp in stamps[:2]:
        cache.put(client.identity, "f", stamp, f"sha256:{stamp.mtime_ns}")
    assert cache.get(client, "f", "sha256", stamp=stamps[0]) == "sha256:0"
    cache.put(client.identity, "f", stamps[2], "sha256:2")

    assert len(cache) == 2
    assert cache.get(client, "f", "sha256", stamp=stamps[0]) == "sha256:0"
    with pytest.raises(errors.PreconditionFailed):
        cache.get(client, "f", "sha256", stamp=stamps[1])


@pytest.mark.parametrize("size", [0, 1, 4, 5, 8, 9])
def test_a_multipart_etag_is_the_digest_of_the_digests_of_its_parts(size):
    data = bytes(range(size))
    parts = [data[start : start + 4] for start in range(0, size, 4)] or [b""]
    expected = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()

    state = hasher("etag-4")
    for start in range(0, size, 3):
        state.update(data[start : start + 3])

    assert state.hexdigest() == f"{expected}-{len(parts)}"


def test_a_part_without_bytes_is_refused():
    with pytest.raises(ValueError, match="at least one byte"):
        hasher("etag-0")


def test_the_local_client_can_say_digests(client):
    assert isinstance(client, SupportsDigest)


def test_the_checksum_of_zip_archives_is_computed() -> None:
    state = hasher("crc32")
    state.update(b"hello ")
    state.update(b"world")

    assert state.hexdigest() == f"{zlib.crc32(b'hello world'):08x}"
