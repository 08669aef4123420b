"""One pass of the filter over one side's sorted stream."""

from __future__ import annotations

from typing import Dict, Iterable, Iterator, List, Optional, Union

from attrs import define, field

from ..core.entry import Entry, Excluded, Extent, Kind, Listed, Pack, Problem, ProblemKind, Seen
from ..core.packs import Packed, Run
from ..core.paths import encoded, is_within, parent, parents, precedes, without_empty_parts
from ..errors import ScanError
from .filter_rules import KnownRules, SideRules, place_of

_NO_PLACE = (Extent.NOTHING, Extent.REST)


def _is_odd(item: Listed) -> bool:
    """Say whether *item* is a name that can be no key, and so is left alone whatever the rules say."""
    return isinstance(item, Problem) and item.kind is ProblemKind.BAD_NAME and item.extent is Extent.NOTHING


@define(eq=False)
class Sieve:
    """One pass over one side's stream.

    A flat listing (an object store's) tells nothing before it delivers, and an ignore file stands behind the names
    of its directory that sort before it. Those are held until its place has passed.
    """

    known: KnownRules
    rules: SideRules
    last_ignore_file: str
    arrived: Optional[str] = None
    """The directory of the last item that came in, before anything was held."""
    blocked_by: Optional[str] = None
    """The outermost directory above ``arrived`` whose ignore file may still come."""
    held: List[Listed] = field(factory=list)
    held_by: Optional[str] = None
    directory: Optional[str] = None
    """The directory of the last item that was judged, and what hides it."""
    covering: Union[Excluded, Problem, None] = None
    announced: Union[Excluded, Problem, None] = None

    def run(self, stream: Iterable[Packed]) -> Iterator[Union[Seen, Pack]]:
        """Yield what becomes of each item of *stream*, in order."""
        rules, known = self.rules, self.known
        for item in stream:
            # The hot loop: nothing to check, and the client tells of ignore files before it delivers them.
            if rules.tree and not known.active:
                yield item
            elif isinstance(item, Run):
                yield from self._run(item)
            else:
                yield from self._item(item)
        yield from self._released()
        yield from self._unreported(None)

    def _item(self, item: Listed) -> Iterator[Seen]:
        if not self.rules.tree:
            yield from self._passed(item)
            return
        if len(self.rules.failures) != len(self.rules.reported):
            yield from self._unreported(item)
        seen = self._judged(item)
        if seen is not None:
            yield seen

    def _run(self, run: Run) -> Iterator[Union[Seen, Pack]]:
        """Judge the files of a pack by their names, and leave those that take part packed."""
        failed = len(self.rules.failures) != len(self.rules.reported)
        if failed or not self.rules.tree or self.known.measures.limited or self._is_covered(run.position(0)):
            for item in run:
                yield from self._item(item)
            return
        first = 0
        for index in range(len(run)):
            path = run.position(index)
            why = self._why(path)
            if why is None:
                continue
            yield from run.part(first, index)
            yield Excluded(path, Kind.FILE, why)
            first = index + 1
        yield from run.part(first, len(run))

    def _is_covered(self, path: str) -> bool:
        """Say whether something above *path* hides it."""
        if self.announced is not None and is_within(path, self.announced.path):
            return True
        directory = parent(path)
        if directory != self.directory:
            self.directory, self.rules.reached = directory, place_of(directory)
            self.covering = self._covering(directory)
        return self.covering is not None

    def _passed(self, item: Listed) -> Iterator[Seen]:
        blocked_by = self._blocked_by(item)
        if self.held and blocked_by != self.held_by:
            yield from self._released()
        if blocked_by is not None:
            self.held_by = blocked_by
            self.held.append(item)
            return
        seen = self._judged(item) if self.known.active else item
        if seen is not None:
            yield seen

    def _blocked_by(self, item: Listed) -> Optional[str]:
        """Return the outermost directory whose ignore file may still come, for an item of a flat listing."""
        if not self.last_ignore_file or (isinstance(item, Problem) and item.extent in _NO_PLACE and not _is_odd(item)):
            return None
        directory = parent(item.path)
        if directory != self.arrived:
            self.arrived = directory
            self.blocked_by = self._blocked_above(directory)
        if self.blocked_by is not None or directory in self.rules.loaded:
            return self.blocked_by
        return directory if self._may_precede(item.position[len(directory) + bool(directory) :]) else None

    def _blocked_above(self, directory: str) -> Optional[str]:
        above = ""
        for place in (*parents(directory), directory) if directory else ():
            name = place[len(above) + bool(above) :]
            if above not in self.rules.loaded and self._may_precede(name + "/"):
                return above
            above = place
        return None

    def _may_precede(self, position: str) -> bool:
        return not precedes(self.last_ignore_file, position)

    def _released(self) -> Iterator[Seen]:
        held, self.held, self.held_by = self.held, [], None
        self._load_from(held)
        for item in held:
            seen = self._judged(item)
            if seen is not None:
                yield seen

    def _load_from(self, held: List[Listed]) -> None:
        """Load the ignore files among the held items, outermost first: none is read in an excluded directory."""
        met: Dict[str, List[str]] = {}
        for item in held:
            if isinstance(item, Entry) and item.kind is Kind.FILE:
                directory, _, name = item.path.rpartition("/")
                if name in self.known.ignore_files:
                    met.setdefault(directory, []).append(name)
        for directory in sorted(met, key=len):
            if self._covering(directory) is None:
                self.known.load(self.rules, directory, met[directory])
                self.directory = None

    def _judged(self, item: Listed) -> Optional[Seen]:
        """Return what becomes of one item, or None where it is swallowed."""
        if isinstance(item, Problem) and item.extent is Extent.REST:
            return item
        if _is_odd(item) and self._hides_odd(item.path):
            return None
        if self.announced is not None and is_within(item.path, self.announced.path):
            return self._in_hidden(item, self.announced) if self.known.lists_hidden(self.rules.side) else None
        if isinstance(item, Problem) and item.extent is Extent.NOTHING:
            return item
        if self._is_covered(item.path) and self.covering is not None:
            return self._announced(self.covering)
        if isinstance(item, Problem):
            return self._problem(item)
        return self._directory(item) if item.kind is Kind.DIRECTORY else self._file(item)

    def _hides_odd(self, name: str) -> bool:
        """Say whether the rules hide a name that can be no key: nothing is done there, so nobody need be told."""
        path = without_empty_parts(name)
        if isinstance(self._covering(parent(path)), Excluded):
            return True
        return bool(path) and self._why(path, directory=name.endswith("/")) is not None

    def _covering(self, directory: str) -> Union[Excluded, Problem, None]:
        """Return the outermost thing that hides everything in *directory*."""
        hidden = self.known.hidden_directory(self.rules.side, directory)
        problem = self.rules.failure(directory)
        if hidden is not None and (problem is None or len(hidden[0]) <= len(problem.path)):
            return Excluded(hidden[0], Kind.DIRECTORY, hidden[1])
        return problem

    def _announced(self, seen: Union[Excluded, Problem]) -> Union[Excluded, Problem]:
        if isinstance(seen, Problem):
            self.rules.reported.add(seen.path)
            if not seen.path:
                raise ScanError(seen.message, side=self.rules.side.value)
        self.announced = seen
        return seen

    def _in_hidden(self, item: Listed, hidden: Union[Excluded, Problem]) -> Optional[Seen]:
        if isinstance(hidden, Problem) or isinstance(item, Problem):
            return item if isinstance(item, Problem) else None
        return Excluded(item.path, item.kind, hidden.rule)

    def _unreported(self, item: Optional[Listed]) -> Iterator[Problem]:
        """Yield the problems of directories of which nothing was delivered before *item* came."""
        for directory in sorted(self.rules.failures.keys() - self.rules.reported, key=place_of):
            passed = item is None or (
                not is_within(item.path, directory) and place_of(directory) < encoded(item.position)
            )
            if passed and self._covering(directory) is self.rules.failures[directory]:
                self._announced(self.rules.failures[directory])
                yield self.rules.failures[directory]

    def _directory(self, item: Entry) -> Optional[Seen]:
        hidden = self.known.hides(self.rules.side, item.path)
        if hidden is not None:
            return self._announced(Excluded(item.path, Kind.DIRECTORY, hidden))
        return item if self.known.selection.leaves_out(item.path, directory=True) is None else None

    def _problem(self, item: Problem) -> Seen:
        if item.extent is Extent.SUBTREE:
            hidden = self.known.hides(self.rules.side, item.path)
            return item if hidden is None else self._announced(Excluded(item.path, Kind.DIRECTORY, hidden))
        why = self._why(item.path)
        return item if why is None else Excluded(item.path, Kind.FILE, why)

    def _file(self, item: Entry) -> Seen:
        why = self._why(item.path) or self.known.measures.excludes(item)
        return item if why is None else Excluded(item.path, item.kind, why)

    def _why(self, path: str, *, directory: bool = False) -> Optional[str]:
        left_out = self.known.selection.leaves_out(path, directory=directory)
        return left_out or self.rules.excludes(path, directory=directory)
