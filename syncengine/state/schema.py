"""The stored form: tables, the sealed header, and how an agreed row becomes bytes and back.

Everything stored is sealed with a CRC of its key and its content, and the header holds the count and the sum of all
row seals. So a flipped bit in a row is noticed when the row is read, and a lost or doubled row at the latest at the
end of a full read: SQLite itself checks neither.
"""

from __future__ import annotations

import json
from json.scanner import make_scanner
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, cast
from zlib import crc32

from attrs import asdict, frozen

from ..core.entry import Base, Kind, Side, Stamp
from ..core.modes import InitialSyncPreference
from ..core.paths import decoded, encoded
from ..errors import StateError

FORMAT = 1
"""The version of everything below. ``header`` and its ``format`` member stay readable in every later version."""

TABLES = (
    "create table header (id integer primary key, seal integer not null, document blob not null)",
    "create table rows (position blob primary key, seal integer not null, payload blob not null) without rowid",
    "create table undo (position blob primary key, seal integer not null, payload blob not null) without rowid",
    "create table intents (id blob primary key, seal integer not null, document blob not null) without rowid",
    "create table runs (ordinal integer primary key, id blob not null unique, seal integer not null,"
    " document blob not null)",
)

ABSENT = b""
"""The payload of an undo row whose position held nothing before."""

_DORMANT, _WEAK, _RACY_FIRST, _RACY_SECOND, _SYMLINK = 1, 2, 4, 8, 16
_PLAIN = 8
SUM = 1 << 64
_SLASH = ord("/")
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_NOTHING_RARE = (None, None, None, (), None, None, ())


class Damage(StateError):
    """What is stored is not what was written."""


def seal(key: bytes, content: bytes) -> int:
    """Return the checksum that is stored beside *content*."""
    return crc32(key + content)


def packed(document: Any) -> bytes:
    """Return JSON bytes; undecodable names survive as escaped surrogates."""
    return _ENCODER.encode(document).encode("ascii")


def unpacked(key: bytes, checksum: Any, content: Any) -> Any:
    """Return the document stored under *key*; raises Damage where it is not the one that was written."""
    verify(key, checksum, content)
    return json.loads(content)


def verify(key: Any, checksum: Any, content: Any) -> None:
    """Raise Damage unless *content* is what was sealed under *key*."""
    # A flipped type byte turns a blob into a text or a number, so types are part of the check.
    if not isinstance(key, bytes) or not isinstance(content, bytes) or crc32(key + content) != checksum:
        raise Damage("a stored record does not match its checksum")


@frozen
class Header:
    """What is known about the whole pair; sides are ordered by identity, so that swapping them changes nothing.

    ``todo`` holds the prefixes whose first sync has not finished, ``clean`` is False from the first write of a run
    to its end, ``total`` is the sum of all row seals, ``undo`` the generation to which the undo rows lead back;
    ``undo_empty`` says that there was no row then, so that nothing is kept to lead back.
    """

    pair_id: str
    lineage: str
    created_at: str
    identities: Tuple[str, str]
    shown: Tuple[str, str]
    format: int = FORMAT
    generation: int = 0
    clean: bool = True
    todo: Tuple[str, ...] = ("",)
    preference: Optional[InitialSyncPreference] = None
    rows: int = 0
    live: int = 0
    live_files: int = 0
    total: int = 0
    undo: Optional[int] = None
    undo_empty: bool = False


def header_bytes(header: Header) -> bytes:
    """Return the stored form of *header*."""
    return packed(asdict(header))


def header_from(document: Dict[str, Any]) -> Header:
    """Return the header that was stored as *document*."""
    preference = document["preference"]
    changes = {
        "identities": tuple(document["identities"]),
        "shown": tuple(document["shown"]),
        "todo": tuple(document["todo"]),
        "preference": None if preference is None else InitialSyncPreference(preference),
    }
    return Header(**{**document, **changes})


def is_live(payload: bytes) -> bool:
    """Say whether a stored row is live without taking it apart."""
    return not int(payload[1 : payload.index(b",")]) & _DORMANT


def is_file(position: bytes) -> bool:
    """Say whether what stands at *position* is no directory."""
    return position[-1] != _SLASH


def generation_of(payload: bytes) -> int:
    """Return the generation in which a stored row was written without taking it apart."""
    return int(payload.split(b",", 2)[1])


def row_bytes(base: Base, generation: int, *, swapped: bool) -> bytes:
    """Return the stored form of *base*; *swapped* says that the destination is the first by identity.

    The usual row (size, mtime and file id on both sides) is a flat array of eight members, which is what the hot loop
    of ``bases`` reads; everything rarer follows behind.
    """
    first, second = (base.destination, base.source) if swapped else (base.source, base.destination)
    members: List[Any] = [_flags(base, swapped=swapped), generation]
    members += (first.size, first.mtime_ns, first.file_id, second.size, second.mtime_ns, second.file_id)
    rest = [base.digest, *_rest(first), *_rest(second)]
    return packed(members + rest if any(rest) else members)


def _flags(base: Base, *, swapped: bool) -> int:
    first = Side.DESTINATION if swapped else Side.SOURCE
    return (
        (0 if base.live else _DORMANT)
        | (_WEAK if base.weak else 0)
        | (_RACY_FIRST if first in base.racy else 0)
        | (_RACY_SECOND if first.other in base.racy else 0)
        | (_SYMLINK if base.kind is Kind.SYMLINK else 0)
    )


def _rest(stamp: Stamp) -> Tuple[Any, ...]:
    return (stamp.etag, stamp.version, stamp.digests)


def base_from(position: bytes, payload: bytes, *, swapped: bool) -> Base:
    """Return the row that is stored as *payload* at *position*."""
    members: Sequence[Any] = json.loads(payload)
    flags, generation = members[0], members[1]
    rare = members[_PLAIN:] or _NOTHING_RARE
    digest, first_etag, first_version, first_digests, second_etag, second_version, second_digests = rare
    first = Stamp(members[2], members[3], first_etag, first_version, tuple(first_digests), members[4])
    second = Stamp(members[5], members[6], second_etag, second_version, tuple(second_digests), members[7])
    source, destination = (second, first) if swapped else (first, second)
    path, kind = decoded(position), Kind.SYMLINK if flags & _SYMLINK else Kind.FILE
    if position[-1] == _SLASH:
        path, kind = path[:-1], Kind.DIRECTORY
    return Base(
        path=path,
        kind=kind,
        source=source,
        destination=destination,
        live=not flags & _DORMANT,
        weak=bool(flags & _WEAK),
        racy=_racy(flags, swapped=swapped),
        digest=digest,
        generation=generation,
    )


def _racy(flags: int, *, swapped: bool) -> Tuple[Side, ...]:
    first = Side.DESTINATION if swapped else Side.SOURCE
    racy = {side for side, flag in ((first, _RACY_FIRST), (first.other, _RACY_SECOND)) if flags & flag}
    return tuple(side for side in Side if side in racy)


class Tally:
    """How many rows a full read has seen, and the sum of their seals."""

    def __init__(self) -> None:
        self.rows = 0
        self.total = 0

    def settle(self, header: Header) -> None:
        """Raise Damage where a full read found rows missing or doubled."""
        if self.rows != header.rows or self.total % SUM != header.total:
            raise Damage(f"{header.rows} rows were stored, but what is there is something else ({self.rows} rows)")


Stored = Tuple[bytes, int, bytes]


def bases(stored: Iterable[Stored], tally: Tally, *, swapped: bool) -> Iterator[Base]:
    """Yield the rows of a cursor over position, seal and payload, each checked against its seal.

    This loop runs once for every path of a pair; the plain row is therefore built in place.
    """
    # The scanner behind json.loads, without the wrappers that look for blanks around a document.
    scan: Callable[[str, int], Tuple[Any, int]] = cast(Any, make_scanner)(json.JSONDecoder())
    file, none = Kind.FILE, None
    rows = total = 0
    for position, checksum, payload in stored:
        try:
            sound = crc32(position + payload) == checksum
        except TypeError as error:
            raise Damage("a stored row has members of the wrong type") from error
        if not sound:
            raise Damage(f"the stored row of {position!r} does not match its checksum")
        rows += 1
        total += checksum
        members = scan(payload.decode(), 0)[0]
        if members[0] or len(members) != _PLAIN or position[-1] == _SLASH:
            yield base_from(position, payload, swapped=swapped)
            continue
        _, generation, size, mtime, file_id, other_size, other_mtime, other_id = members
        first = Stamp(size, mtime, none, none, (), file_id)
        second = Stamp(other_size, other_mtime, none, none, (), other_id)
        path = position.decode("utf-8", "surrogateescape")
        if swapped:
            yield Base(path, file, second, first, True, False, (), none, generation)  # noqa: FBT003 - hot path
        else:
            yield Base(path, file, first, second, True, False, (), none, generation)  # noqa: FBT003 - hot path
    tally.rows += rows
    tally.total += total


def ranges(prefixes: Sequence[str]) -> List[Tuple[bytes, Optional[bytes]]]:
    """Return the half-open ranges of positions at and below *prefixes*, in order; none overlaps another.

    >>> ranges(["a"])
    [(b'a', b'a\\x00'), (b'a/', b'a0')]
    """
    if not prefixes or "" in prefixes:
        return [(b"", None)]
    keys = {encoded(prefix) for prefix in prefixes}
    found: List[Tuple[bytes, Optional[bytes]]] = []
    for key in keys:
        if not any(key.startswith(other + b"/") for other in keys):
            # A file of that name and what lies below it are apart in key order: "a" < "a.txt" < "a/".
            found += [(key, key + b"\0"), (key + b"/", key + b"0")]
    return sorted(found, key=lambda low_high: low_high[0])
