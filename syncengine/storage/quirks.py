"""Per-backend facts in one place: which family a filesystem belongs to, what its info means, what it can do.

A family is found by the qualified names of the classes a filesystem inherits from, so that no backend is imported
to be recognised. What is stated here about a backend was seen by running it.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime, timezone
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from attrs import evolve, frozen

from ..core.entry import Entry, Extent, Kind, Listed, Problem, ProblemKind, Stamp
from ..core.paths import refusal, shown
from .protocol import Capabilities

Info = Mapping[str, Any]

SECOND_NS = 1_000_000_000
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@frozen
class Family:
    """Backends that behave alike: ``classes`` are qualified names, ``stamp`` reads one of their info dicts."""

    name: str
    classes: Tuple[str, ...]
    stamp: Callable[[Info], Stamp]
    capabilities: Capabilities


# What info means


def whole(value: Any) -> Optional[int]:
    """Return *value* as a number of bytes, None where it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def nanoseconds(value: Any) -> Optional[int]:
    """Return the time *value* in nanoseconds since the epoch; a time without a zone is not a time.

    >>> nanoseconds(1.5)
    1500000000
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            return None
        elapsed = value - _UNIX_EPOCH
        return (elapsed.days * 86_400 + elapsed.seconds) * SECOND_NS + elapsed.microseconds * 1000
    if isinstance(value, int) and not isinstance(value, bool):
        return value * SECOND_NS
    if isinstance(value, float):
        # A float of today's seconds is exact to a quarter of a microsecond, no further.
        return round(value * 1_000_000) * 1000
    return None


def plain_etag(value: Any) -> Optional[str]:
    """Return an ETag without its quotes and its mark of weakness.

    >>> plain_etag('W/"abc"')
    'abc'
    """
    if not isinstance(value, str):
        return None
    return (value[2:] if value.startswith("W/") else value).strip('"') or None


def hexadecimal(algorithm: str, value: Any, length: int) -> Tuple[str, ...]:
    """Return the digest that services give in base64, or raw, as ``algorithm:hex``; nothing where it is malformed."""
    try:
        raw = base64.b64decode(value, validate=True) if isinstance(value, str) else bytes(value or b"")
    except (binascii.Error, ValueError, TypeError):
        return ()
    return (f"{algorithm}:{raw.hex()}",) if len(raw) == length else ()


def http_date(value: Any) -> Optional[int]:
    """Return the time in an HTTP header in nanoseconds."""
    from email.utils import parsedate_to_datetime

    try:
        return nanoseconds(parsedate_to_datetime(value))
    except (TypeError, ValueError):
        return None


def _memory_stamp(info: Info) -> Stamp:
    # When the file was made is an identity; when it was written to last is the time of its content.
    created = nanoseconds(info.get("created"))
    return Stamp(
        size=whole(info.get("size")),
        mtime_ns=nanoseconds(info.get("modified")),
        version=None if created is None else str(created // 1000),
    )


def _zip_stamp(info: Info) -> Stamp:
    crc = info.get("CRC")
    digests = (f"crc32:{crc:08x}",) if isinstance(crc, int) else ()
    return Stamp(size=whole(info.get("size")), digests=digests)


def _timed_stamp(info: Info) -> Stamp:
    return Stamp(size=whole(info.get("size")), mtime_ns=nanoseconds(info.get("mtime")))


def _http_stamp(info: Info) -> Stamp:
    return Stamp(
        size=whole(info.get("size")),
        mtime_ns=http_date(info.get("Last-Modified")),
        etag=plain_etag(info.get("ETag")),
        digests=hexadecimal("md5", info.get("Content-MD5"), 16),
    )


_FTP_TIME = re.compile(r"^(\d{14})(?:\.(\d{1,9}))?$")


def ftp_time(value: Any) -> Optional[int]:
    """Return the time of an MLSD or MLST fact; the times of LIST have no zone and are none.

    >>> ftp_time("19700101000001.5")
    1500000000
    """
    match = _FTP_TIME.match(value) if isinstance(value, str) else None
    if match is None:
        return None
    try:
        seconds = datetime.strptime(match.group(1), "%Y%m%d%H%M%S").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    whole_ns = nanoseconds(seconds)
    return None if whole_ns is None else whole_ns + int((match.group(2) or "0").ljust(9, "0"))


def _ftp_stamp(info: Info) -> Stamp:
    return Stamp(
        size=whole(info.get("size")), mtime_ns=ftp_time(info.get("modify")), file_id=info.get("unique") or None
    )


def _webdav_stamp(info: Info) -> Stamp:
    return Stamp(
        size=whole(info.get("size")), mtime_ns=nanoseconds(info.get("modified")), etag=plain_etag(info.get("etag"))
    )


_CONTENT_ETAG = re.compile(r"^[0-9a-f]{32}(?:-\d+)?$")


def s3_stamp(info: Info) -> Stamp:
    """Return what S3 says of one object.

    An ETag is the MD5 of the content, or made of those of its parts, only where no key but the service's own encrypts
    it, which no listing tells. So it proves content equal, where it is equal, and never different.
    """
    etag = plain_etag(info.get("ETag"))
    of_content = etag is not None and _CONTENT_ETAG.match(etag) and not has_own_key(info)
    version = info.get("VersionId")
    return Stamp(
        size=whole(info.get("size")),
        mtime_ns=nanoseconds(info.get("LastModified")),
        etag=etag,
        version=version if version and version != "null" else None,
        digests=(f"etag:{etag}",) if of_content else (),
    )


def has_own_key(info: Info) -> bool:
    """Say whether an answer of S3 tells that a key service or the customer's key encrypts the object."""
    return "kms" in str(info.get("ServerSideEncryption") or "") or bool(info.get("SSECustomerAlgorithm"))


def _gcs_stamp(info: Info) -> Stamp:
    # The etag and the time of an object change when its metadata is edited; its generation does not.
    digests = hexadecimal("crc32c", info.get("crc32c"), 4) + hexadecimal("md5", info.get("md5Hash"), 16)
    generation = info.get("generation")
    return Stamp(size=whole(info.get("size")), version=str(generation) if generation else None, digests=digests)


def _azure_stamp(info: Info) -> Stamp:
    settings = info.get("content_settings")
    md5 = settings.get("content_md5") if isinstance(settings, Mapping) else getattr(settings, "content_md5", None)
    return Stamp(
        size=whole(info.get("size")),
        mtime_ns=nanoseconds(info.get("last_modified")),
        etag=plain_etag(info.get("etag")),
        digests=hexadecimal("md5", md5, 16),
    )


def _git_stamp(info: Info) -> Stamp:
    # The name of a blob stands for its bytes, but hashes a header too: it identifies, and is no digest of a file.
    return Stamp(size=whole(info.get("size")), etag=info.get("hex") or info.get("sha"))


_ETAGS = ("ETag", "etag", "e_tag")
_TIMES = ("mtime", "modified", "last_modified", "LastModified")
_VERSIONS = ("generation", "version", "version_id", "VersionId")


def _guessed_stamp(info: Info) -> Stamp:
    """Read what filesystems commonly name so; whatever does not look like it is left out."""
    etags = (plain_etag(info.get(name)) for name in _ETAGS)
    times = (nanoseconds(info.get(name)) for name in _TIMES)
    versions = (str(info[name]) for name in _VERSIONS if info.get(name))
    return Stamp(
        size=whole(info.get("size")),
        mtime_ns=next((time for time in times if time is not None), None),
        etag=next((etag for etag in etags if etag), None),
        version=next(versions, None),
    )


# What a family can do

_CHECKED = "checked right before; a writer that comes in between is overwritten"
_WINDOW_WRITE = (("create_if_absent", _CHECKED), ("replace_if_unchanged", _CHECKED))
_WINDOW_DELETE = (("delete_if_unchanged", "checked right before; a version written in between is deleted"),)
_WINDOWS = _WINDOW_WRITE + _WINDOW_DELETE

_READ_ONLY = Capabilities(writable=False)
_ARCHIVE = evolve(_READ_ONLY, real_directories=True, cheap_reads=True)
_SFTP = Capabilities(
    atomic_put=True,
    server_move=True,
    set_mtime=True,
    real_directories=True,
    listing_sorted=True,
    mtime_is_content_time=True,
    mtime_granularity_ns=SECOND_NS,
    stamps=("size", "mtime_ns"),
    windows=_WINDOWS,
)
_OBJECTS = Capabilities(
    atomic_put=True,
    server_copy=True,
    listing_digests=("etag",),
    listing_sorted=True,
    mtime_granularity_ns=SECOND_NS,
    threads=16,
    stamps=("size", "mtime_ns", "etag", "version"),
    windows=_WINDOWS,
)

S3 = Family("s3", ("s3fs.core.S3FileSystem", "syncengine.storage.objects.s3_unmade.S3Address"), s3_stamp, _OBJECTS)

FAMILIES: Tuple[Family, ...] = (
    Family(
        "memory",
        ("fsspec.implementations.memory.MemoryFileSystem",),
        _memory_stamp,
        Capabilities(
            atomic_put=True,
            create_if_absent=True,
            replace_if_unchanged=True,
            delete_if_unchanged=True,
            server_copy=True,
            server_move=True,
            set_mtime=True,
            real_directories=True,
            listing_sorted=True,
            mtime_is_content_time=True,
            mtime_granularity_ns=1000,
            cheap_reads=True,
            ephemeral=True,
            stamps=("size", "mtime_ns", "version"),
        ),
    ),
    Family(
        "zip",
        ("fsspec.implementations.zip.ZipFileSystem",),
        _zip_stamp,
        evolve(_ARCHIVE, listing_sorted=True, listing_digests=("crc32",), stamps=("size", "digests")),
    ),
    Family(
        "tar",
        ("fsspec.implementations.tar.TarFileSystem",),
        _timed_stamp,
        evolve(
            _ARCHIVE,
            listing_sorted=True,
            mtime_is_content_time=True,
            mtime_granularity_ns=SECOND_NS,
            stamps=("size", "mtime_ns"),
        ),
    ),
    Family(
        "libarchive",
        ("fsspec.implementations.libarchive.LibArchiveFileSystem",),
        _timed_stamp,
        evolve(_ARCHIVE, listing_sorted=True, mtime_granularity_ns=SECOND_NS, stamps=("size", "mtime_ns")),
    ),
    Family(
        "http",
        ("fsspec.implementations.http.HTTPFileSystem",),
        _http_stamp,
        evolve(
            _READ_ONLY,
            listing_sorted=True,
            mtime_granularity_ns=SECOND_NS,
            threads=8,
            stamps=("size", "mtime_ns", "etag"),
        ),
    ),
    Family(
        "ftp",
        ("fsspec.implementations.ftp.FTPFileSystem",),
        _ftp_stamp,
        Capabilities(
            atomic_put=True,
            server_move=True,
            real_directories=True,
            listing_sorted=True,
            mtime_granularity_ns=SECOND_NS,
            stamps=("size", "mtime_ns", "file_id"),
            windows=_WINDOWS,
        ),
    ),
    Family(
        "webdav",
        ("webdav4.fsspec.WebdavFileSystem",),
        _webdav_stamp,
        Capabilities(
            atomic_put=True,
            server_copy=True,
            server_move=True,
            real_directories=True,
            listing_sorted=True,
            mtime_granularity_ns=SECOND_NS,
            threads=8,
            stamps=("size", "mtime_ns", "etag"),
            windows=(
                *_WINDOWS,
                (
                    "remove_directory",
                    "looked at right before; a file put into it in between is deleted with it",
                ),
            ),
        ),
    ),
    Family("sshfs", ("sshfs.spec.SSHFileSystem",), _timed_stamp, evolve(_SFTP, threads=8)),
    Family("sftp", ("fsspec.implementations.sftp.SFTPFileSystem",), _timed_stamp, _SFTP),
    S3,
    Family(
        "gcs",
        ("gcsfs.core.GCSFileSystem",),
        _gcs_stamp,
        evolve(
            _OBJECTS,
            listing_digests=("crc32c", "md5"),
            mtime_granularity_ns=1,
            stamps=("size", "version", "digests"),
        ),
    ),
    Family(
        "azure",
        ("adlfs.spec.AzureBlobFileSystem",),
        _azure_stamp,
        evolve(_OBJECTS, stamps=("size", "mtime_ns", "etag")),
    ),
    Family(
        "git",
        ("fsspec.implementations.git.GitFileSystem", "fsspec.implementations.github.GithubFileSystem"),
        _git_stamp,
        evolve(_READ_ONLY, listing_sorted=True, stamps=("size", "etag")),
    ),
)

UNKNOWN = Family(
    "unknown",
    (),
    _guessed_stamp,
    Capabilities(listing_sorted=True, mtime_granularity_ns=SECOND_NS, stamps=("size", "mtime_ns"), windows=_WINDOWS),
)

_BY_CLASS: Dict[str, Family] = {name: family for family in FAMILIES for name in family.classes}


def qualified_names(filesystem_class: type) -> Tuple[str, ...]:
    """Return the qualified names of the classes *filesystem_class* inherits from, nearest first."""
    return tuple(f"{base.__module__}.{base.__qualname__}" for base in filesystem_class.__mro__)


def family_of_class(filesystem_class: type) -> Family:
    """Return the family of a class; one of nobody's family gets the careful treatment of UNKNOWN."""
    return next((_BY_CLASS[name] for name in qualified_names(filesystem_class) if name in _BY_CLASS), UNKNOWN)


def family_of(filesystem: Any) -> Family:
    """Return the family of an instance."""
    return family_of_class(type(filesystem))


def capabilities(filesystem: Any) -> Capabilities:
    """Return what *filesystem* can do, as far as its class tells.

    An unknown class has the directories, copies and renames whose literal single-file methods it defines itself:
    what it inherits is either missing or made of calls that expand patterns.
    """
    family = family_of(filesystem)
    if family is not UNKNOWN:
        return family.capabilities
    renames, copies = overrides(filesystem, "mv_file"), overrides(filesystem, "cp_file")
    writable = overrides(filesystem, "_open", "pipe_file", "_pipe_file") and overrides(filesystem, "rm_file", "_rm")
    partial = (("atomic_put", "a crash while it is being sent leaves a part of the new version in place"),)
    return evolve(
        family.capabilities,
        atomic_put=renames,
        server_copy=copies,
        server_move=renames,
        real_directories=overrides(filesystem, "mkdir", "_mkdir") and overrides(filesystem, "rmdir", "_rmdir"),
        writable=writable,
        windows=() if not writable else _WINDOWS if renames else _WINDOWS + partial,
    )


def overrides(filesystem: Any, *methods: str) -> bool:
    """Say whether the class of *filesystem* defines one of *methods* itself instead of inheriting fsspec's default."""
    for base in type(filesystem).__mro__:
        if base.__module__ in ("fsspec.spec", "fsspec.asyn", "fsspec.archive"):
            return False
        if any(name in vars(base) or f"_{name}" in vars(base) for name in methods):
            return True
    return False


# Info → Entry

_KINDS = {"file": Kind.FILE, "directory": Kind.DIRECTORY}


def entry_from_info(family: Family, info: Info, key: str) -> Listed:
    """Return what *info* says about *key*, as an entry, or as a problem where it is neither a file nor a directory."""
    reason = refusal(key) if key else None
    if reason is not None:
        return Problem(ProblemKind.BAD_NAME, key, f"{shown(key)}: the name {reason}", extent=Extent.NOTHING)
    kind = _KINDS.get(str(info.get("type")))
    if kind is None or info.get("islink"):
        what = "link" if info.get("islink") else info.get("type") or "thing of no kind"
        message = f"{shown(key)}: a {shown(str(what))} is neither a file nor a directory"
        return Problem(ProblemKind.UNSUPPORTED, key, message)
    if kind is Kind.DIRECTORY:
        return Entry(key, kind, Stamp())
    permissions = info.get("permissions", info.get("mode"))
    mode = permissions & 0o7777 if isinstance(permissions, int) else None
    return Entry(key, kind, family.stamp(info), mode=mode)
