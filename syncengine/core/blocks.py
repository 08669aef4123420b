"""Blocks: files of one folder that one side has and the other lacks, which travel as one until somebody asks for them.

A renamed directory is gone under one name and new under another, with every file in it. Where all of them are as the
state has them, making views, changes and comparisons of each would cost many times what it takes to see that.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Iterable, Iterator, List, Optional, Tuple, Union

from attrs import define, field

from .comparator import Change, Comparison, SideChange
from .entry import Base, Entry, Side
from .packs import Rows, Run
from .paths import encoded, precedes

Alone = Tuple[str, Optional[Base], Optional[Entry], Optional[Entry]]
"""Position, row and entries of one file of a block, one of the entries missing."""


@define(eq=False)
class Block:
    """Regular files of one folder that only *side* has, and that no filter and no problem is about.

    Either no row of the state is about any of them, or *rows*, from *first* on, has one for each with the very stamp
    that it has: the other side lost them.
    """

    side: Side
    run: Run
    rows: Optional[Rows] = None
    first: int = 0
    _changes: Optional[List[Change]] = field(default=None, init=False)

    def __len__(self) -> int:
        return len(self.run)

    @property
    def folder(self) -> str:
        """The directory that holds the files."""
        return self.run.inside[:-1]

    @property
    def path(self) -> str:
        """The first of the files."""
        return self.run.position(0)

    def base(self, index: int) -> Optional[Base]:
        """Make the row of one file."""
        return None if self.rows is None else self.rows.item(self.first + index)

    def recorded(self, side: Side) -> List[bytes]:
        """Return the plain stamps that the rows have of *side*."""
        assert self.rows is not None
        return self.rows.recorded(side, self.first, self.first + len(self))

    def generations(self) -> List[int]:
        """Return in which generation each row was written."""
        assert self.rows is not None
        return [self.rows.generation(index) for index in range(self.first, self.first + len(self))]

    def alone(self) -> Iterator[Alone]:
        """Take the block apart, file by file."""
        at_source = self.side is Side.SOURCE
        for index, entry in enumerate(self.run):
            yield entry.path, self.base(index), entry if at_source else None, None if at_source else entry

    def changes(self) -> List[Change]:
        """Take the block apart into what a comparison of each file says; the same objects each time."""
        if self._changes is None:
            comparison = self._comparison()
            self._changes = [Change(*each, comparison=comparison) for each in self.alone()]
        return self._changes

    def first_change(self) -> Change:
        """Return what a comparison of the first file says; it says the same of the others."""
        return Change(*next(self.alone()), comparison=self._comparison())

    def _comparison(self) -> Comparison:
        here, there = SideChange.CREATED, SideChange.ABSENT
        if self.rows is not None:
            here, there = SideChange.SAME, SideChange.REMOVED
        return Comparison(*((here, there) if self.side is Side.SOURCE else (there, here)))


def taken_apart(items: Iterable[Union[Block, Change]]) -> Iterator[Change]:
    """Yield *items* with every block taken apart."""
    for item in items:
        if isinstance(item, Block):
            yield from item.changes()
        else:
            yield item


def length_of_block(rows: Optional[Rows], row: int, at_row: Optional[str], run: Run, index: int, side: Side) -> int:
    """Return how many files of *run* from *index* on make one block of *side*, if the other side has nothing there.

    *rows* is the pack of the state whose row *row* comes next, at *at_row*.
    """
    position = run.position(index)
    if at_row == position:
        return 0 if rows is None else _length_gone(rows, row, run, index, side)
    if at_row is None or not at_row.startswith(run.inside):
        return len(run) - index
    # Rows of the same folder follow: what comes before the next is new.
    assert precedes(position, at_row)
    return bisect_left(run.positions, encoded(at_row), index) - index


def _length_gone(rows: Rows, row: int, run: Run, index: int, side: Side) -> int:
    """Return how many files from *index* on stand exactly as the rows from *row* on have them."""
    most = min(len(rows) - row, len(run) - index)
    recorded = rows.recorded(side, row, row + most)
    found = zip(run.positions[index : index + most], run.stamps[index : index + most])
    wanted = zip(rows.positions[row : row + most], recorded)
    return next((number for number, (one, other) in enumerate(zip(found, wanted)) if one != other), most)
