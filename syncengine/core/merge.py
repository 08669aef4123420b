"""Join the sorted streams of the state and both sides into one view per path, in constant memory.

Streams are sorted by position: a file stands at its path, a directory at ``path + "/"``, ordered by bytes. Two things
make this more than a merge: a region that one side could not see (or that a filter hides) covers both sides, and a
file ``a`` on one side stands apart from a directory ``a/`` on the other, so a one-sided file is held back until the
place of its directory has passed, and so is one that only the state remembers: the directory may be out of sight.
"""

from __future__ import annotations

from typing import Callable, Iterable, Iterator, List, Optional, Tuple, Union

from attrs import define, evolve, field, frozen

from ..errors import ScanError
from .blocks import Block, length_of_block
from .entry import Base, Entry, Excluded, Extent, Kind, Pack, Problem, ProblemKind, Seen, Side, Stamp
from .packs import Rows, Run
from .paths import is_within, precedes, shown

Item = Union[Seen, Base, Pack, Rows]
Triple = Tuple[str, Optional[Base], Optional[Seen], Optional[Seen]]
Joined = Union[Triple, Block]
Agreed = Callable[[int], None]

LONGEST = 512
"""How many paths are compared at once where nothing has changed for a while."""


def join(
    base: Iterable[Union[Base, Rows]],
    source: Iterable[Union[Seen, Pack]],
    destination: Iterable[Union[Seen, Pack]],
    agreed: Optional[Agreed] = None,
    *,
    blocks: bool = False,
) -> Iterator[Joined]:
    """Yield ``(position, base, source, destination)`` for every position that any stream has.

    With *agreed*, files that come in packs and stand on both sides exactly as the state has them are left out, and
    their number is told instead. With *blocks*, files that come in packs and stand on one side alone, unknown to the
    state or exactly as it has them, come as blocks. Raises ScanError where a stream is not sorted: an entry out of its
    place would look like a deletion.
    """
    rows, sources, destinations = (_Cursor(stream) for stream in (base, source, destination))
    while True:
        if agreed is not None and sources.pack is not None:
            _leave_out(rows, sources, destinations, agreed)
        block = _block(rows, sources, destinations) if blocks else None
        if block is not None:
            yield block
            continue
        at_source, at_destination = sources.position, destinations.position
        if at_source == at_destination or at_destination is None:
            position = at_source
        elif at_source is None or precedes(at_destination, at_source):
            position = at_destination
        else:
            position = at_source
        at_base = rows.position
        if at_base is not None and at_base != position and (position is None or precedes(at_base, position)):
            position = at_base
        if position is None:
            return
        yield (
            position,
            rows.take() if at_base == position else None,  # type: ignore[misc]
            sources.take() if at_source == position else None,
            destinations.take() if at_destination == position else None,
        )


def _leave_out(rows: _Cursor, sources: _Cursor, destinations: _Cursor, agreed: Agreed) -> None:
    """Jump over the files that all three streams have next and that did not change.

    The stretch that is compared at once doubles where all of it is unchanged and halves where it is not: what it costs
    to find the next change is in proportion to how far away it is.
    """
    stretch = sources.stretch
    while True:
        number = min(stretch, rows.left, sources.left, destinations.left)
        if number and _unchanged(rows, sources, destinations, number):
            agreed(number)
            for cursor in (rows, sources, destinations):
                cursor.skip(number)
            stretch = min(2 * number, LONGEST)
        elif number > 1 and _unchanged(rows, sources, destinations, 1):
            stretch = number // 2
        else:
            break
    sources.stretch = max(stretch, 1)


def _unchanged(rows: _Cursor, sources: _Cursor, destinations: _Cursor, number: int) -> bool:
    state, first, second = rows.pack, sources.pack, destinations.pack
    if not (isinstance(state, Rows) and isinstance(first, Run) and isinstance(second, Run)):
        return False
    at_source, at_destination = sources.index, destinations.index
    wanted = state.positions[rows.index : rows.index + number]
    return (
        first.positions[at_source : at_source + number] == wanted
        # In one folder names say as much, and the bytes of the second side's paths need not be made.
        and second.inside == first.inside
        and second.names[at_destination : at_destination + number] == first.names[at_source : at_source + number]
        and state.agree(
            rows.index,
            first.stamps[at_source : at_source + number],
            second.stamps[at_destination : at_destination + number],
        )
    )


def _block(rows: _Cursor, sources: _Cursor, destinations: _Cursor) -> Optional[Block]:
    """Take the files that only one side has next, where nothing of the other side follows in their folder.

    So none of them can turn out to face a directory of the same name.
    """
    for side, has, lacks in ((Side.SOURCE, sources, destinations), (Side.DESTINATION, destinations, sources)):
        run, position = has.pack, has.position
        if not isinstance(run, Run) or not run.inside or position is None:
            continue
        if lacks.position is not None and (lacks.position.startswith(run.inside) or precedes(lacks.position, position)):
            continue
        if rows.position is not None and precedes(rows.position, position):
            continue
        return _taken_block(rows, has, run, side)
    return None


def _taken_block(rows: _Cursor, has: _Cursor, run: Run, side: Side) -> Optional[Block]:
    known = rows.pack if isinstance(rows.pack, Rows) else None
    number = length_of_block(known, rows.index, rows.position, run, has.index, side)
    if number == 0:
        return None
    gone = rows.position == has.position
    block = Block(side, run.slice(has.index, has.index + number), known if gone else None, rows.index)
    has.skip(number)
    if gone:
        rows.skip(number)
    return block


_FILE = Kind.FILE  # looking a member up in its enum costs more than comparing with it


class _Cursor:
    """The head of one stream, checked for its order; while ``pack`` is not None the head is its file at ``index``."""

    __slots__ = ("_next", "index", "item", "left", "pack", "position", "stretch")

    def __init__(self, stream: Iterable[Item]) -> None:
        self._next = iter(stream).__next__
        self.position: Optional[str] = ""
        self.item: Union[Seen, Base, None] = None
        self.pack: Union[Pack, Rows, None] = None
        self.index = self.left = 0
        self.stretch = 1
        self._advance()

    def take(self) -> Union[Seen, Base, None]:
        """Return the head and go on to the next."""
        if self.pack is not None:
            taken: Union[Seen, Base, None] = self.pack.item(self.index)
            self.skip(1)
            return taken
        taken = self.item
        self._advance()
        return taken

    def skip(self, number: int) -> None:
        """Go on by *number* files of the pack."""
        assert self.pack is not None
        if number < self.left:
            self.index += number
            self.left -= number
            self.position = self.pack.position(self.index)
            return
        self.position = self.pack.position(len(self.pack) - 1)
        self.pack, self.left = None, 0
        self._advance()

    def _advance(self) -> None:
        before = self.position
        try:
            item = self._next()
        except StopIteration:
            self.item = self.position = None
            return
        if type(item) is Problem:
            self._problem(item)
            return
        if isinstance(item, (Pack, Rows)):
            self.item, self.pack, self.index, self.left = None, item, 0, len(item)
            position = item.position(0)
        else:
            # The position of a file is its path: asking the property costs more than the rest of this step.
            position = item.path if item.kind is _FILE else item.position
            self.item = item
        if before and not precedes(before, position):
            raise ScanError(f"the listing is out of order: {shown(position)!r} came after {shown(before)!r}")
        self.position = position

    def _problem(self, problem: Problem) -> None:
        self.item = problem
        if problem.extent is not Extent.NOTHING:
            self.position = problem.position
        # An odd name has no place in the order of keys; it stands where it was met.


@frozen
class Region:
    """A path whose contents neither side may touch in this run: it could not be seen, or a filter hides it."""

    path: str
    excluded: bool
    rest: bool = False

    def covers(self, path: str) -> bool:
        """Say whether *path* lies in the region."""
        return self.rest or is_within(path, self.path)

    def passed(self, position: str) -> bool:
        """Say whether no later position can lie in the region."""
        return not self.rest and not position.startswith(self.path) and precedes(self.path, position)


@frozen
class Views:
    """What state and sides say about one path; ``region`` says why it is out of bounds."""

    path: str
    base: Optional[Base]
    source: Optional[Entry]
    destination: Optional[Entry]
    region: Optional[Region] = None
    collision: bool = False
    """One side holds both a file and a directory of this name, which the other side cannot."""

    @property
    def problem(self) -> Problem:
        """What to say of a collision."""
        message = f"{shown(self.path)} is a file and a directory on one side, which the other side cannot hold"
        return Problem(ProblemKind.COLLISION, self.path, message, "plan")

    def entry(self, side: Side) -> Optional[Entry]:
        """Return what *side* holds."""
        return self.source if side is Side.SOURCE else self.destination

    def with_entry(self, side: Side, entry: Entry) -> Views:
        """Return these views with more known of one side's entry."""
        return evolve(self, source=entry) if side is Side.SOURCE else evolve(self, destination=entry)


@define
class _Held:
    """A file that not both sides have, waiting until the place of a directory of that name has passed."""

    views: Views

    def passed(self, position: str) -> bool:
        path = self.views.path
        return not position.startswith(path) or (position > path + "/" and not position.startswith(path + "/"))


@define
class Joiner:
    """Turns joined triples into views per path: applies regions, and finds files that face directories.

    ``excludes`` is asked about paths that not both sides have, with the rules of both sides.
    """

    excludes: Optional[Callable[[str, Kind], Optional[str]]] = None
    holds_both: bool = False
    """Both sides can hold a file and a directory of one name (two object stores)."""
    holds_below: Callable[[Side, str], bool] = lambda *_: False
    """Says whether a side that holds a file also holds names below it; asked where it faces a directory."""
    filters: Callable[[], bool] = lambda: True
    """Says whether ``excludes`` can exclude anything, as far as is known by now."""
    _regions: List[Region] = field(factory=list, init=False)
    _held: List[_Held] = field(factory=list, init=False)

    def views(self, joined: Iterable[Joined]) -> Iterator[Union[Views, Block]]:
        """Yield the views of each path; a held file comes out where its directory would stand.

        A block stays one where nothing is hidden or unknown around it and no file waits for a directory that holds it.
        """
        for item in joined:
            if not isinstance(item, Block):
                yield from self._views_of(*item)
            elif self._stays_whole(item):
                yield from self._released(item.path, None, None)
                yield item
            else:
                for triple in item.alone():
                    yield from self._views_of(*triple)
        for held in self._held:
            yield held.views
        self._held.clear()

    def _stays_whole(self, block: Block) -> bool:
        path = block.path
        self._regions = [region for region in self._regions if not region.passed(path)]
        if self._regions or (self.excludes is not None and self.filters()):
            return False
        return not any(path.startswith(held.views.path + "/") for held in self._held)

    def _views_of(
        self, position: str, base: Optional[Base], source: Optional[Seen], destination: Optional[Seen]
    ) -> Iterator[Views]:
        if self._held:
            yield from self._released(position, source, destination)
        if self._regions:
            self._regions = [region for region in self._regions if not region.passed(position)]
        views = self._view(position, base, source, destination)
        if views is None:
            return
        if views.region is None and self._may_face_directory(position, views):
            self._held.append(_Held(views))
        else:
            yield views

    def _view(
        self, position: str, base: Optional[Base], source: Optional[Seen], destination: Optional[Seen]
    ) -> Optional[Views]:
        path = position[:-1] if position.endswith("/") else position
        for seen in (source, destination):
            if seen is not None and type(seen) is not Entry:
                self._open_region(seen)
        here = source if type(source) is Entry else None
        there = destination if type(destination) is Entry else None
        region = next((region for region in self._regions if region.covers(path)), None) if self._regions else None
        if region is None and base is None and here is None and there is None:
            return None  # an odd name, which stands at the place of whatever came before it
        if region is None and self.excludes is not None and (here is None or there is None):
            kind = Kind.DIRECTORY if position.endswith("/") else Kind.FILE
            if self.excludes(path, kind) is not None:
                region = Region(path, excluded=True)
                self._regions.append(region)
        return Views(path, base, here, there, region)

    def _open_region(self, seen: Union[Problem, Excluded, Entry]) -> None:
        if isinstance(seen, Excluded):
            self._regions.append(Region(seen.path, excluded=True))
        elif isinstance(seen, Problem) and seen.extent is not Extent.NOTHING:
            self._regions.append(Region(seen.path, excluded=False, rest=seen.extent is Extent.REST))
            if seen.extent is Extent.REST:
                # Whether a directory faces them can no longer be known.
                self._held = [_Held(evolve(held.views, region=self._regions[-1])) for held in self._held]

    def _may_face_directory(self, position: str, views: Views) -> bool:
        if self.holds_both or position.endswith("/"):
            return False
        return views.source is None or views.destination is None

    def _released(self, position: str, source: Optional[Seen], destination: Optional[Seen]) -> Iterator[Views]:
        waiting: List[_Held] = []
        for held in self._held:
            path = held.views.path
            below = position.startswith(path + "/")
            if below and source is None and destination is None:
                waiting.append(held)  # only the state remembers something there
            elif below and held.views.region is None:
                yield self._facing(held.views, position, source, destination)
            elif below or held.passed(position):
                yield held.views
            else:
                waiting.append(held)
        self._held = waiting

    def _facing(self, views: Views, position: str, source: Optional[Seen], destination: Optional[Seen]) -> Views:
        """Return the views of a file whose name is a directory's on one side."""
        if views.source is None and views.destination is None:
            return self._remembered(views, position, source, destination)
        across = destination if views.source is not None else source
        if position == views.path + "/" and across is not None and type(across) is not Entry:
            return self._blocked(views, across)
        if across is None or self.holds_below(
            Side.SOURCE if views.source is not None else Side.DESTINATION, views.path
        ):
            return evolve(views, collision=True)
        directory = Entry(views.path, Kind.DIRECTORY, Stamp())
        if views.source is not None:
            return Views(views.path, views.base, views.source, directory)
        return Views(views.path, views.base, directory, views.destination)

    def _remembered(self, views: Views, position: str, source: Optional[Seen], destination: Optional[Seen]) -> Views:
        """Return the views of a file that neither side shows; a directory in its place may hide what became of it."""
        hiding = (seen for seen in (source, destination) if seen is not None and type(seen) is not Entry)
        across = next(hiding, None) if position == views.path + "/" else None
        return views if across is None else self._blocked(views, across)

    def _blocked(self, views: Views, across: Union[Problem, Excluded, Entry]) -> Views:
        region = Region(views.path, excluded=isinstance(across, Excluded))
        return Views(views.path, views.base, views.source, views.destination, region)
