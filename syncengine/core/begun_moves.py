"""Moves that a killed run had begun: tell what it did itself from what users did to the moved files afterwards.

Such a run leaves a file that both sides hold under its new name while the state still knows the old one. Untouched,
both are found equal. Where a user went on, the new name would look like two unrelated files, or like a new one whose
copy was never made. So what was agreed under the old name is taken for the new one, where the old name is gone from
both sides and a side still holds, under the new name, the very version that was agreed on. The move is a hint that is
checked here, never trusted: whatever is destroyed because of it is retained.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Sequence, Tuple, Union

from attrs import evolve

from .comparator import Change, Comparison, Equality, SideChange
from .entry import Base, Kind, Side
from .merge import Views
from .paths import is_within

Move = Tuple[str, str]
"""The old and the new name, of a file or of a directory with everything in it."""

Place = Tuple[str, bool]
"""A path, and whether it is that of a directory."""


def after_moves(changes: Sequence[Union[Change, Views]], moves: Iterable[Move]) -> List[Union[Change, Views]]:
    """Return *changes* as they look once the *moves* that were done, and never recorded, are taken for done."""
    begun = list(moves)
    gone = {
        (change.path, change.kind is Kind.DIRECTORY): change.base
        for change in changes
        if isinstance(change, Change) and change.base is not None and change.source is change.destination is None
    }
    return [_after(change, gone, begun) if isinstance(change, Change) else change for change in changes]


def _after(change: Change, gone: Dict[Place, Base], moves: Sequence[Move]) -> Change:
    if change.base is not None or change.clash:
        return change
    directory = change.kind is Kind.DIRECTORY
    names = (old + change.path[len(new) :] for old, new in moves if is_within(change.path, new))
    before = next((gone[name, directory] for name in names if (name, directory) in gone), None)
    return change if before is None or not before.live else _taken_up(change, before)


def _taken_up(change: Change, before: Base) -> Change:
    source, destination = (_since(change, before, side) for side in Side)
    if SideChange.SAME not in (source, destination):
        return change  # nothing shows that it is what was moved
    if source is destination and change.comparison.equality is Equality.DIFFERENT:
        return change  # two contents that were never agreed on have got the stamps of those that were
    if source is destination:
        # Both versions are those that were agreed on, whether or not their contents can be compared.
        return evolve(change, comparison=evolve(change.comparison, equality=Equality.EQUAL, weak=before.weak))
    base = evolve(before, path=change.path, weak=True)
    return evolve(change, base=base, comparison=Comparison(source, destination, change.comparison.equality, weak=True))


def _since(change: Change, before: Base, side: Side) -> SideChange:
    """Return what happened on *side* since the agreement, under the new name."""
    entry = change.entry(side)
    if entry is None:
        return SideChange.REMOVED
    same = entry.kind is before.kind and bool(entry.stamp.same_version(before.stamp(side)))
    return SideChange.SAME if same or entry.kind is Kind.DIRECTORY else SideChange.MODIFIED
