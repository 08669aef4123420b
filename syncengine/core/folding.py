"""Names of which a side knows several spellings: pair them under one key, and keep each side's own spelling.

A file system that ignores case, or that decomposes accents, finds one file under several spellings. Where one side
does, both sides are compared under the coarser key, and every operation goes by the spelling of the side it writes.
Where only one side tells spellings apart, a file takes its spelling on the other, too; directories keep theirs.
Two names of one side that share a key cannot both be held by the other: the one that was agreed on goes on syncing,
the rest are left alone and reported by name.
"""

from __future__ import annotations

from itertools import groupby
from typing import Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence

from attrs import evolve, field, frozen

from .entry import Base, Entry, Excluded, Extent, Kind, Problem, ProblemKind, Seen, Side
from .paths import encoded, fold, parent, shown

RowAt = Callable[[str], Optional[Base]]


@frozen
class Folding:
    """The key function of a pair of sides: the coarser of the two; nothing is folded by default.

    ``folds`` names the sides that cannot tell two spellings of one key apart. ``directories`` fills while listings are
    read: how each side spells a directory.
    """

    composed: bool = False
    """Composed and decomposed characters are one (NFC and NFD)."""
    case: bool = False
    folds: Sequence[Side] = ()
    directories: Mapping[Side, Dict[str, str]] = field(factory=lambda: {side: {} for side in Side}, eq=False)

    def __bool__(self) -> bool:
        return self.composed or self.case

    def key(self, path: str) -> str:
        """Return what all spellings of *path* are compared under."""
        return fold(path, "NFC" if self.composed else None, case=self.case)

    def spelled(self, path: str, side: Side) -> str:
        """Return how *side*, which does not hold *path* yet, is to spell it: in the directory as it spells that."""
        above, name = parent(path), path.rpartition("/")[2]
        if not above:
            return path
        known = self.directories[side].get(self.key(above))
        return f"{known or self.spelled(above, side)}/{name}"

    def leading(self) -> Optional[Side]:
        """Return the only side that tells spellings apart, so that its spelling is the one that was chosen."""
        others = [side for side in Side if side not in self.folds]
        return others[0] if len(others) == 1 else None


def folded(stream: Iterable[Seen], folding: Folding, side: Side, row_at: RowAt) -> Iterator[Seen]:
    """Yield *stream* of *side* under its keys, sorted again; names that share a key are judged together.

    *row_at* returns what was agreed on under a key. Holds the stream in memory: a key can stand anywhere.
    """
    items = [_keyed(item, folding, side) for item in stream]
    yield from (item for item in items if _has_no_place(item))
    placed = sorted((item for item in items if not _has_no_place(item)), key=lambda item: encoded(item.position))
    for _, group in groupby(placed, key=lambda item: item.position):
        yield from _at_one_key(list(group), side, row_at)


def _has_no_place(item: Seen) -> bool:
    return isinstance(item, Problem) and item.extent is Extent.NOTHING


def _keyed(item: Seen, folding: Folding, side: Side) -> Seen:
    if isinstance(item, Entry) and item.kind is Kind.DIRECTORY:
        folding.directories[side].setdefault(folding.key(item.path), item.own_path)
    if _has_no_place(item):
        return item
    key = folding.key(item.path)
    if key == item.path:
        return item
    return evolve(item, path=key, spelling=item.own_path) if isinstance(item, Entry) else evolve(item, path=key)


def _at_one_key(items: List[Seen], side: Side, row_at: RowAt) -> Sequence[Seen]:
    problems = [item for item in items if isinstance(item, Problem)]
    hidden = [item for item in items if isinstance(item, Excluded)]
    entries = [item for item in items if isinstance(item, Entry)]
    if problems or hidden:
        return problems or hidden[:1]
    if len(entries) == 1:
        return entries
    agreed = _agreed(entries, side, row_at(entries[0].path))
    others = [entry for entry in entries if entry is not agreed]
    if agreed is None:
        extent = Extent.SUBTREE if entries[0].kind is Kind.DIRECTORY else Extent.PATH
        return [_collision(entries, entries[0].path, side, extent)]
    return [agreed, *(_collision(entries, entry.own_path, side, Extent.NOTHING) for entry in others)]


def _agreed(entries: Sequence[Entry], side: Side, base: Optional[Base]) -> Optional[Entry]:
    """Return the one entry that is what was agreed on; None where there is none, or no telling which."""
    if base is None or base.kind is Kind.DIRECTORY:
        return None
    same = [entry for entry in entries if entry.stamp.same_version(base.stamp(side))]
    return same[0] if len(same) == 1 else None


def _collision(entries: Sequence[Entry], path: str, side: Side, extent: Extent) -> Problem:
    names = " and ".join(sorted(shown(entry.own_path) for entry in entries))
    message = (
        f"{names} are one name at the {side.other.value}, so {shown(path)} is left alone; rename all but one of them"
    )
    return Problem(ProblemKind.COLLISION, path, message, "scan", side, extent=extent)
