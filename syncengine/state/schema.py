"""The stored form: tables, the sealed header, and how an agreed row becomes bytes and back.

Everything stored is sealed with a CRC of its key and its content, and the header holds the count and the sum of all
row seals. So a flipped bit in a row is noticed when the row is read, and a lost or doubled row at the latest at the
end of a full read: SQLite itself checks neither.
"""

from __future__ import annotations

import json
from struct import Struct
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple
from zlib import crc32

from attrs import asdict, frozen

from ..core.entry import Base, Kind, Side, Stamp
from ..core.modes import InitialSyncPreference
from ..core.packs import PLAIN_ROW, PLAIN_SIZE, Rows, plain_of, stamp_of
from ..core.paths import decoded, encoded
from ..errors import StateError

FORMAT = 2
"""The version of everything below. ``header`` and its ``format`` member stay readable in every later version.

In format 1 every row was JSON, as rare rows are still; the first run that writes converts it.
"""

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
_MEMBERS = 8
_TAIL = Struct("<BI")
_HEAD_SIZE = len(PLAIN_ROW) + 2 * PLAIN_SIZE
_PLAIN_SIZE = _HEAD_SIZE + _TAIL.size
_JSON = ord("[")
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
    return payload[0] != _JSON or not int(payload[1 : payload.index(b",")]) & _DORMANT


def is_file(position: bytes) -> bool:
    """Say whether what stands at *position* is no directory."""
    return position[-1] != _SLASH


def generation_of(payload: bytes) -> int:
    """Return the generation in which a stored row was written without taking it apart."""
    if payload[0] != _JSON:
        generation: int = _TAIL.unpack_from(payload, _HEAD_SIZE)[1]
        return generation
    return int(payload.split(b",", 2)[1])


def with_generation(payload: bytes, generation: int, *, weak: bool = False) -> bytes:
    """Return a stored row as if it were written in *generation*, *weak* or as it was, without taking it apart."""
    more = _WEAK if weak else 0
    if payload[0] == _JSON:
        flags, _, rest = payload.split(b",", 2)
        return b"[%d,%d,%s" % (int(flags[1:]) | more, generation, rest)
    tail = _TAIL.pack(payload[_HEAD_SIZE] | more, generation)
    return payload[:_HEAD_SIZE] + tail + payload[_PLAIN_SIZE:]


def row_bytes(base: Base, generation: int, *, swapped: bool) -> bytes:
    """Return the stored form of *base*; *swapped* says that the destination is the first by identity.

    The usual row, of a live file with a plain stamp on both sides, begins with PLAIN_ROW and both stamps, so that what
    a listing tells can be compared with it as it is; flags, generation and the digest follow. Every other row is an
    array in JSON.
    """
    first, second = (base.destination, base.source) if swapped else (base.source, base.destination)
    flags = _flags(base, swapped=swapped)
    if not flags & ~_WEAK and base.kind is Kind.FILE and generation < 1 << 32:
        one, other = plain_of(first), plain_of(second)
        if one is not None and other is not None:
            return PLAIN_ROW + one + other + _TAIL.pack(flags, generation) + encoded(base.digest or "")
    members: List[Any] = [flags, generation]
    members += (first.size, first.mtime_ns, first.file_id, second.size, second.mtime_ns, second.file_id)
    rest = [base.digest, *_rest(first), *_rest(second)]
    return packed(members + rest if any(rest) else members)


def converted(position: bytes, payload: bytes) -> bytes:
    """Return a stored row of any format in the present one."""
    base = base_from(position, payload, swapped=False)
    return row_bytes(base, base.generation, swapped=False)


def _flags(base: Base, *, swapped: bool) -> int:
    if base.live and not base.weak and not base.racy and base.kind is not Kind.SYMLINK:
        return 0
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
    if payload[0] == _JSON:
        return _rare_base(position, payload, swapped=swapped)
    flags, generation = _TAIL.unpack_from(payload, _HEAD_SIZE)
    first = stamp_of(payload[len(PLAIN_ROW) : len(PLAIN_ROW) + PLAIN_SIZE])
    second = stamp_of(payload[len(PLAIN_ROW) + PLAIN_SIZE : _HEAD_SIZE])
    source, destination = (second, first) if swapped else (first, second)
    digest = decoded(payload[_PLAIN_SIZE:]) or None
    weak = flags == _WEAK
    return Base(decoded(position), Kind.FILE, source, destination, True, weak, (), digest, generation)  # noqa: FBT003 - by position: for every row of a first look


def _rare_base(position: bytes, payload: bytes, *, swapped: bool) -> Base:
    members: Sequence[Any] = json.loads(payload)
    flags, generation = members[0], members[1]
    rare = members[_MEMBERS:] or _NOTHING_RARE
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


def packs(stored: Iterable[Sequence[Stored]], tally: Tally, *, swapped: bool) -> Iterator[Rows]:
    """Yield rows of position, seal and payload, which come many at a time, each checked against its seal."""
    for together in stored:
        positions, seals, payloads = map(list, zip(*together))
        try:
            sound = [crc32(position + payload) for position, payload in zip(positions, payloads)]
        except TypeError as error:
            raise Damage("a stored row has members of the wrong type") from error
        if sound != [*seals]:
            position = next(position for position, found, kept in zip(positions, sound, seals) if found != kept)
            raise Damage(f"the stored row of {position!r} does not match its checksum")
        tally.rows += len(together)
        tally.total += sum(seals)
        yield Rows(
            positions,
            [payload[:_HEAD_SIZE] for payload in payloads],
            swapped,
            _making(positions, payloads, swapped=swapped),
            _telling_generations(payloads),
        )


def _making(positions: Sequence[bytes], payloads: Sequence[bytes], *, swapped: bool) -> Callable[[int], Base]:
    return lambda index: base_from(positions[index], payloads[index], swapped=swapped)


def _telling_generations(payloads: Sequence[bytes]) -> Callable[[int], int]:
    return lambda index: generation_of(payloads[index])


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
