"""From what a side should hold again and what stands there now to operations; what stands in the way is retained.

A path is created, updated or deleted, a directory is made, or removed where nothing is left in it. What cannot be done
without touching anything else is a problem, never a guess.
"""

from __future__ import annotations

from typing import Collection, Dict, Iterable, Iterator, List, Mapping, Optional, Set, Tuple

from attrs import define, evolve, field, frozen

from .entry import Entry, Kind, Problem, ProblemKind, Side, Stamp
from .journal_events import Place
from .paths import is_within, parents, shown
from .plan_parts import Action, Operation, Purpose, Reason


@frozen
class Wanted:
    """What a path is to hold again: a directory, or content that is to be had at ``origin`` as ``entry`` shows it.

    ``size`` is the number of bytes that travel.
    """

    kind: Kind = Kind.FILE
    origin: Optional[Place] = None
    entry: Optional[Entry] = None
    size: int = 0


@frozen
class Move:
    """A file that goes back from where a run had moved it, or a directory with the ``files`` in it.

    The stamp of a directory says what it must hold to go back as a whole.
    """

    old: str
    new: str
    entry: Entry
    files: Optional[int] = None


Target = Mapping[str, Optional[Wanted]]
"""What paths are to hold; None: nothing."""

Contents = Mapping[str, Collection[str]]
"""The paths of everything below a directory, by directory."""


@define(eq=False)
class BringingBack:
    """The operations that make one side hold what is wanted; what is not mentioned stays as it is.

    ``standing`` is what was found at every path of ``wanted`` and at the paths above them.
    """

    side: Side
    wanted: Target
    standing: Mapping[str, Entry]
    purpose: Purpose
    label: str
    moves: Tuple[Move, ...] = ()
    real_directories: bool = True
    problems: List[Problem] = field(factory=list, init=False)
    _operations: Dict[str, Operation] = field(factory=dict, init=False)
    _filled: Set[str] = field(init=False)
    """The directories in which something arrives."""

    def __attrs_post_init__(self) -> None:
        """Note where something arrives."""
        self._filled = places_above(self._arriving)

    def emptied_candidates(self) -> Tuple[str, ...]:
        """Return the directories of which one has to know what is in them."""
        if not self.real_directories:
            return ()
        found = {path for path in self.wanted if self._stands_as(path) is Kind.DIRECTORY and not self._stays(path)}
        found.update(move.old for move in self.moves if self._replaces_directory(move))
        for path in self._leaving():
            found.update(parents(path))
        return tuple(sorted(found))

    def operations(self, contents: Contents) -> List[Operation]:
        """Return the operations, given what is below every candidate."""
        gone = self._gone(contents)
        for path in sorted(self.wanted):
            self._plan(path, gone)
        for move in self.moves:
            self._move(move, gone)
        for path in sorted(gone):
            if path not in self._operations:
                self._add(Action.DELETE, Kind.DIRECTORY, path, expect_target=Stamp())
        self._group_kind_changes()
        return list(self._operations.values())

    # ------------------------------------------------------------ what is there

    def _stands_as(self, path: str) -> Optional[Kind]:
        entry = self.standing.get(path)
        return None if entry is None else entry.kind

    def _stays(self, path: str) -> bool:
        want = self.wanted[path]
        return want is not None and want.kind is Kind.DIRECTORY

    def _leaving(self) -> Iterator[str]:
        """Yield the files that go away."""
        for path, want in self.wanted.items():
            if want is None and self._stands_as(path) not in (None, Kind.DIRECTORY):
                yield path
        yield from (move.new for move in self.moves)

    @property
    def _arriving(self) -> Iterator[str]:
        yield from (path for path, want in self.wanted.items() if want is not None)
        yield from (move.old for move in self.moves)

    def _emptied(self, contents: Contents) -> Set[str]:
        """Return the directories that hold nothing afterwards, and that nothing arrives in."""
        leaving = set(self._leaving())
        held = set(self._filled)
        held.update(path for path, want in self.wanted.items() if want is not None and want.kind is Kind.DIRECTORY)
        gone: Set[str] = set()
        for directory in sorted(self.emptied_candidates(), key=lambda path: -path.count("/")):
            inside = contents.get(directory)
            if inside is None or directory in held or self._stands_as(directory) not in (None, Kind.DIRECTORY):
                continue
            if all(path in leaving or path in gone or self._goes_along(path) for path in inside):
                gone.add(directory)
        return gone

    def _goes_along(self, path: str) -> bool:
        return any(move.files is not None and is_within(path, move.new) for move in self.moves)

    def _replaces_directory(self, move: Move) -> bool:
        return self.real_directories and self._stands_as(move.old) is Kind.DIRECTORY

    # ---------------------------------------------------------------- deciding

    def _gone(self, contents: Contents) -> Set[str]:
        """Return the directories that go; a move to the name of one that stays is refused, and leaves nothing empty."""
        while True:
            gone = self._emptied(contents)
            taken = [move for move in self.moves if self._replaces_directory(move) and move.old not in gone]
            if not taken:
                return gone
            self.moves = tuple(move for move in self.moves if move not in taken)
            for move in taken:
                self._refuse(move.old, _DIRECTORY_STAYS)

    def _plan(self, path: str, gone: Collection[str]) -> None:
        want, stands = self.wanted[path], self._stands_as(path)
        if want is None:
            self._remove(path, stands, gone)
        elif self._is_blocked(path):
            self._refuse(path, "a file stands where a directory above it is needed")
        elif want.kind is Kind.DIRECTORY:
            self._make_directory(path, stands)
        elif stands is Kind.DIRECTORY and self.real_directories:
            self._replace_directory(path, want, gone)
        else:
            standing = None if stands is Kind.DIRECTORY else self.standing.get(path)
            self._write(path, want, None if standing is None else standing.stamp)

    def _is_blocked(self, path: str) -> bool:
        above = (each for each in parents(path) if self._stands_as(each) not in (None, Kind.DIRECTORY))
        return self.real_directories and any(each not in self.wanted or self._is_file(each) for each in above)

    def _is_file(self, path: str) -> bool:
        want = self.wanted[path]
        return want is not None and want.kind is not Kind.DIRECTORY

    def _remove(self, path: str, stands: Optional[Kind], gone: Collection[str]) -> None:
        if stands is Kind.DIRECTORY:
            # What is restored says what was known to be there; a directory that holds more than that simply stays.
            if path not in gone and self.purpose is Purpose.UNDO:
                self._refuse(path, "the directory is not removed: something else is in it", ProblemKind.NOT_EMPTY)
        elif stands is not None:
            stamp = self.standing[path].stamp
            self._add(Action.DELETE, stands, path, expect_target=stamp, retain=self.purpose is not Purpose.PRUNE)

    def _make_directory(self, path: str, stands: Optional[Kind]) -> None:
        if stands is None:
            if path not in self._filled:
                self._add(Action.CREATE, Kind.DIRECTORY, path)
        elif stands is not Kind.DIRECTORY:
            stamp = self.standing[path].stamp
            self._add(Action.UPDATE, Kind.DIRECTORY, path, expect_target=stamp, retain=True, reason=Reason.KIND_CHANGED)

    def _replace_directory(self, path: str, want: Wanted, gone: Collection[str]) -> None:
        if path not in gone:
            self._refuse(path, _DIRECTORY_STAYS)
            return
        self._write(path, want, Stamp())
        changed = evolve(self._operations[path], action=Action.UPDATE, reason=Reason.KIND_CHANGED, retain=False)
        self._operations[path] = changed

    def _write(self, path: str, want: Wanted, standing: Optional[Stamp]) -> None:
        assert want.entry is not None
        self._add(
            Action.CREATE if standing is None else Action.UPDATE,
            want.kind,
            path,
            origin=want.origin,
            expect_target=standing,
            expect_origin=want.entry.stamp,
            retain=standing is not None,
            size=want.size,
            mode=want.entry.mode if want.kind is Kind.FILE else None,
            link=want.entry.link,
        )

    def _move(self, move: Move, gone: Collection[str]) -> None:
        origin = (self.side, move.new)
        if self._replaces_directory(move):
            # A rename needs a free name, and the directory goes only for what comes in its place.
            self._replace_directory(move.old, Wanted(move.entry.kind, origin, move.entry), gone)
            self._remove(move.new, move.entry.kind, gone)
            return
        stamp = move.entry.stamp
        self._add(Action.MOVE, move.entry.kind, move.old, origin=origin, expect_origin=stamp, files=move.files)

    def _add(self, action: Action, kind: Kind, path: str, **fields: object) -> None:
        reason = fields.pop("reason", _REASONS[self.purpose])
        made = Operation(action, kind, self.side, path, reason=reason, chosen_by=self._chosen_by, **fields)  # type: ignore[arg-type]
        self._operations[path] = made

    @property
    def _chosen_by(self) -> str:
        return f"{self.purpose.value}:{self.label}"

    def _group_kind_changes(self) -> None:
        """Let what has to go for a change of kind, and what comes with it, stand or fall with it."""
        changed = [path for path, each in self._operations.items() if each.reason is Reason.KIND_CHANGED]
        for outer in changed:
            inside = (path for path in self._operations if path == outer or path.startswith(outer + "/"))
            for path in inside:
                self._operations[path] = evolve(self._operations[path], group=f"kind:{outer}")

    def _refuse(self, path: str, why: str, kind: ProblemKind = ProblemKind.COLLISION) -> None:
        self.problems.append(problem(kind, path, why, self.purpose, self.side))


_DIRECTORY_STAYS = "a directory stands there, and something in it stays"
_REASONS = {Purpose.RESTORE: Reason.RESTORED, Purpose.UNDO: Reason.UNDONE, Purpose.PRUNE: Reason.PRUNED}


def problem(kind: ProblemKind, path: str, why: str, purpose: Purpose, side: Side) -> Problem:
    """Return why one path cannot be brought back."""
    return Problem(kind, path, f"{shown(path)}: {why}", purpose.value, side)


def contents_of(paths: Iterable[str], directories: Collection[str]) -> Dict[str, List[str]]:
    """Return which of *paths* lie below each of *directories*."""
    found: Dict[str, List[str]] = {directory: [] for directory in directories}
    for path in paths:
        for above in parents(path):
            if above in found:
                found[above].append(path)
    return found


def places_above(paths: Iterable[str]) -> Set[str]:
    """Return the directories above *paths*."""
    return {above for path in paths for above in parents(path)}
