"""Packs: many files of one folder, or many rows of the state, that travel as one until somebody asks for one of them.

A run with nothing to do looks at every path and keeps none. Making an entry, a stamp and a row for each would cost
several times what the system takes to tell of the file, so listings of local disks and the state hand on what they were
told in packs; entries and rows are made where two packs differ, and for everybody who reads entry by entry.

A *plain* stamp is what a local disk tells: size, modification time and a numeric file id, packed into 24 bytes. Two
plain stamps are equal if and only if their bytes are.
"""

from __future__ import annotations

import re
import struct
from typing import Callable, Iterator, List, Optional, Sequence, Tuple, Union

from attrs import define, field

from .entry import Base, Entry, Kind, Listed, Pack, Side, Stamp, unpacked
from .paths import decoded, encoded

_PLAIN = struct.Struct("<qqQ")
PLAIN_SIZE = _PLAIN.size
PLAIN_ROW = b"\0"
"""What the head of a row begins with whose stamps are plain, of a live file whose stamps can be trusted."""

_NUMBER = re.compile(r"0|[1-9][0-9]{0,19}").fullmatch
"""Matches a text that comes back unchanged from the number it is read as: not "007", not other digits."""

_NO_BYTES = bytes(8)

plain = _PLAIN.pack
"""Pack size, modification time and file id; raises struct.error where one is out of range."""


def plain_of(stamp: Stamp) -> Optional[bytes]:
    """Return the packed form of *stamp*, or None where it is not plain.

    >>> stamp_of(plain_of(Stamp(1, 2, file_id="3"))) == Stamp(1, 2, file_id="3")
    True
    """
    if stamp.size is None or stamp.mtime_ns is None or stamp.file_id is None or stamp.etag is not None:
        return None
    if stamp.version is not None or stamp.digests or not _NUMBER(stamp.file_id):
        return None
    try:
        return plain(stamp.size, stamp.mtime_ns, int(stamp.file_id))
    except struct.error:
        return None  # beyond 64 bits


def stamp_of(packed: bytes) -> Stamp:
    """Return the stamp whose packed form is *packed*."""
    size, mtime_ns, number = _PLAIN.unpack(packed)
    return Stamp(size, mtime_ns, None, None, (), str(number))


def is_empty(packed: bytes) -> bool:
    """Say whether *packed* is the plain stamp of an empty file."""
    return packed.startswith(_NO_BYTES)


def sizes(stamps: Sequence[bytes]) -> int:
    """Return how many bytes the files of all these plain stamps have together."""
    return sum(size for size, _, _ in _PLAIN.iter_unpack(b"".join(stamps)))


@define(eq=False)
class Run(Pack):
    """Regular files of one folder in key order; ``inside`` is the folder with its slash, empty for the root.

    ``modes`` are as the system gave them, ``stamps`` plain stamps. Nothing else of the folder sorts between the names.
    """

    inside: str
    names: Sequence[str]
    modes: Sequence[int]
    stamps: Sequence[bytes]
    _positions: Optional[List[bytes]] = field(default=None, init=False)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def positions(self) -> Sequence[bytes]:
        """The bytes by which the files are ordered."""
        if self._positions is None:
            inside = encoded(self.inside)
            # No name holds a NUL: one encoding does for all of them.
            self._positions = [inside + name for name in encoded("\0".join(self.names)).split(b"\0")]
        return self._positions

    def position(self, index: int) -> str:
        """Return the place of one file in key order, which is its path."""
        return self.inside + self.names[index]

    def item(self, index: int) -> Entry:
        """Make the entry of one file."""
        size, mtime_ns, number = _PLAIN.unpack(self.stamps[index])
        stamp = Stamp(size, mtime_ns, None, None, (), str(number))
        return Entry(self.inside + self.names[index], Kind.FILE, stamp, self.modes[index] & 0o7777)

    def told(self) -> Iterator[Tuple[str, Stamp, int]]:
        """Yield path, stamp and permission bits of each file, for who needs no entries."""
        inside, numbers = self.inside, _PLAIN.iter_unpack(b"".join(self.stamps))
        for name, (size, mtime_ns, number), mode in zip(self.names, numbers, self.modes):
            yield inside + name, Stamp(size, mtime_ns, None, None, (), str(number)), mode & 0o7777

    def slice(self, first: int, last: int) -> Run:
        """Return the files from *first* to before *last* as a run of their own."""
        if first == 0 and last == len(self.names):
            return self
        return Run(self.inside, self.names[first:last], self.modes[first:last], self.stamps[first:last])

    def part(self, first: int, last: int) -> Iterator[Run]:
        """Yield the files from *first* to before *last* as a run of their own, if there are any."""
        if first < last:
            yield self.slice(first, last)


@define(eq=False)
class Rows:
    """Rows of the state in key order.

    ``heads`` begin with PLAIN_ROW and hold both plain stamps, the first side's first, where a row has them; any other
    head equals no such bytes. ``swapped`` says that the first side is the destination.
    """

    positions: Sequence[bytes]
    heads: Sequence[bytes]
    swapped: bool
    item: Callable[[int], Base]
    """Makes one row."""
    generation: Callable[[int], int]
    """Tells in which generation one row was written."""

    def __len__(self) -> int:
        return len(self.positions)

    def position(self, index: int) -> str:
        """Return the place of one row in key order."""
        return decoded(self.positions[index])

    def recorded(self, side: Side, first: int, last: int) -> List[bytes]:
        """Return the plain stamps that the rows from *first* to before *last* have of *side*.

        What stands for a row without plain stamps equals no stamp.
        """
        at_first = (side is Side.DESTINATION) is self.swapped
        low = len(PLAIN_ROW) if at_first else len(PLAIN_ROW) + PLAIN_SIZE
        return [head[low : low + PLAIN_SIZE] if head.startswith(PLAIN_ROW) else b"" for head in self.heads[first:last]]

    def agree(self, first: int, source: Sequence[bytes], destination: Sequence[bytes]) -> bool:
        """Say whether the rows from the one at *first* on hold exactly these stamps of both sides."""
        stamps = zip(destination, source) if self.swapped else zip(source, destination)
        told = [PLAIN_ROW + one + other for one, other in stamps]
        return told == self.heads[first : first + len(told)]

    def __iter__(self) -> Iterator[Base]:
        return map(self.item, range(len(self.positions)))


Packed = Union[Listed, Run]


class Listing:
    """A listing of entries and problems in key order that can be read in packs instead, once, one way or the other."""

    def __init__(
        self,
        items: Callable[[], Iterator[Packed]],
        packs: Callable[[], Iterator[Packed]],
        ahead: Callable[[], Iterator[Packed]],
    ) -> None:
        self._read, self._packs, self._ahead = items, packs, ahead
        self._items: Optional[Iterator[Listed]] = None

    def packs(self, *, ahead: bool = False) -> Iterator[Packed]:
        """Read the listing in packs; *ahead* says that it is worth a process of its own."""
        return self._ahead() if ahead else self._packs()

    def __iter__(self) -> Iterator[Listed]:
        return self

    def __next__(self) -> Listed:
        if self._items is None:
            self._items = unpacked(self._read())
        return next(self._items)
