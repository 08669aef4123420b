"""A file on one side that faces a directory on the other: what becomes of both, by the policy or by a reviewer.

By default both stay: the directory keeps the name, since nothing below it may be given up for a file, and the file
becomes a conflict copy on both sides. The copy is durable on the other side before the file leaves its name, so a
run that is killed in between finds the copy, and one that is killed later finds an ordinary file and an ordinary
directory.
"""

from __future__ import annotations

from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from attrs import define, evolve, field

from .comparator import Change, SideChange
from .drafts import Drafts
from .entry import Entry, Kind, Side, Stamp
from .merge import Views
from .modes import Retain
from .paths import parents
from .plan_parts import Action, Conflict, Inside, Operation, Reason, Resolution


def file_side(conflict: Conflict) -> Side:
    """Return the side that holds the file; a directory has no version."""
    return Side.DESTINATION if conflict.source == Stamp() else Side.SOURCE


def group_of(conflict: Conflict) -> str:
    """Return the group of the operations that resolve *conflict*."""
    return f"conflict:{conflict.path}"


@define(eq=False)
class Clash:
    """A path that is a file on one side, and what is met below the directory on the other."""

    change: Change
    side: Side
    """Where the directory stands."""
    real: bool
    """That side has real directories."""
    across: bool
    """The side of the file has real directories, too."""
    _met: List[Tuple[Entry, bool]] = field(factory=list, init=False)
    """What stands below, and whether the side of the file removed it."""
    _kept: Set[str] = field(factory=set, init=False)

    @classmethod
    def of(cls, change: Change, *, real: Mapping[Side, bool]) -> Clash:
        """Return the clash that *change* is; *real* says which sides have real directories."""
        side = Side.SOURCE if change.source is not None and change.source.kind is Kind.DIRECTORY else Side.DESTINATION
        return cls(change, side, real[side], real[side.other])

    def take(self, seen: Change) -> None:
        """Note one path below the directory."""
        entry = seen.entry(self.side)
        if entry is None or (entry.kind is Kind.DIRECTORY and not self.real) or seen.path == self.change.path:
            return
        since = seen.comparison.source if self.side is Side.SOURCE else seen.comparison.destination
        removed = seen.base is not None and seen.base.live and since in (SideChange.SAME, SideChange.TOUCHED)
        self._met.append((entry, removed))

    def keep(self, views: Views) -> None:
        """Note something that may not be touched, so that the directories above it stay."""
        self._kept.update(parents(views.path))

    def inside(self, drafts: Drafts) -> Tuple[Inside, ...]:
        """Return what the directory holds; a directory is removed only if everything in it is."""
        kept = set(self._kept)
        for entry, removed in self._met:
            if not removed:
                kept.update(parents(entry.path))
        own = [(Entry(self.change.path, Kind.DIRECTORY, Stamp()), False)] if self.real else []
        return tuple(
            Inside(
                entry.path,
                entry.kind,
                drafts.stamp(self.side, entry),
                removed=removed and entry.path not in kept,
                holdable=entry.kind is not Kind.DIRECTORY or (self.across and entry.path not in self._kept),
                link=entry.link,
            )
            for entry, removed in (*own, *self._met)
        )


def clash_operations(
    conflict: Conflict, copies: Mapping[Side, str], *, retain: Retain, copied: bool = False
) -> Tuple[Operation, ...]:
    """Return the operations that carry out the resolution of a clash.

    *copies* are the names of the file's conflict copy; *copied* says that it stands there already.
    """
    side = file_side(conflict)
    if conflict.resolution in (Resolution.KEEP_BOTH, Resolution.NEWER):
        new = [each for each in conflict.inside if not each.removed]
        gone = (_deletion(conflict, each, retain) for each in conflict.inside if each.removed)
        if copied:
            return (*_opened(conflict, retain, new), *gone)
        return (*_copied(conflict, copies), *_arrivals(conflict, new), *gone)
    if conflict.resolution is _resolution(side):
        return (*_emptied(conflict, retain), _replacement(conflict))
    return _opened(conflict, retain, conflict.inside)


def _resolution(side: Side) -> Resolution:
    return Resolution.SOURCE if side is Side.SOURCE else Resolution.DESTINATION


def _lies_below(each: Inside, conflict: Conflict) -> bool:
    return each.path != conflict.path


def _operation(conflict: Conflict, action: Action, kind: Kind, target: Side, path: str) -> Operation:
    return Operation(
        action,
        kind,
        target,
        path,
        reason=Reason.CONFLICT,
        chosen_by=conflict.decided_by,
        group=group_of(conflict),
    )


def _file_kind(link: Optional[str]) -> Kind:
    return Kind.FILE if link is None else Kind.SYMLINK


def _file(conflict: Conflict, action: Action, target: Side, path: str) -> Operation:
    """Return an operation whose content is that of the file."""
    side = file_side(conflict)
    link = conflict.link(side)
    return evolve(
        _operation(conflict, action, _file_kind(link), target, path),
        origin=(side, conflict.path_at(side)),
        expect_origin=conflict.stamp(side),
        link=link,
    )


def _copied(conflict: Conflict, copies: Mapping[Side, str]) -> Iterator[Operation]:
    """Yield the copy across, which reads the file under its own name, and the rename that frees the name."""
    side = file_side(conflict)
    stamp = conflict.stamp(side)
    across = _file(conflict, Action.CREATE, side.other, copies[side.other])
    yield evolve(across, size=(stamp.size or 0) if stamp is not None else 0)
    yield _file(conflict, Action.MOVE, side, copies[side])


def _removal(conflict: Conflict, retain: Retain) -> Operation:
    """Return the removal of the file; nobody agreed to lose it."""
    side = file_side(conflict)
    link = conflict.link(side)
    removal = _operation(conflict, Action.DELETE, _file_kind(link), side, conflict.path_at(side))
    return evolve(removal, expect_target=conflict.stamp(side), retain=retain is not Retain.NONE)


def _replacement(conflict: Conflict) -> Operation:
    """Return the write of the file in the place of the directory, which is empty by then."""
    side = file_side(conflict)
    stamp = conflict.stamp(side)
    real = any(not _lies_below(each, conflict) for each in conflict.inside)
    placed = _file(conflict, Action.UPDATE if real else Action.CREATE, side.other, conflict.path_at(side.other))
    return evolve(
        placed,
        expect_target=Stamp() if real else None,
        reason=Reason.KIND_CHANGED if real else Reason.CONFLICT,
        size=(stamp.size or 0) if stamp is not None else 0,
    )


def _emptied(conflict: Conflict, retain: Retain) -> Iterator[Operation]:
    for each in conflict.inside:
        if _lies_below(each, conflict):
            yield _deletion(conflict, each, retain)


def _deletion(conflict: Conflict, each: Inside, retain: Retain) -> Operation:
    """Return the removal of something in the directory; what both had agreed on needs no trash."""
    kept = retain is Retain.ALL or (retain is Retain.UNSYNCED and not each.removed)
    return evolve(
        _operation(conflict, Action.DELETE, each.kind, file_side(conflict).other, each.path),
        expect_target=each.stamp,
        retain=kept and each.kind is not Kind.DIRECTORY,
    )


def _opened(conflict: Conflict, retain: Retain, arriving: Sequence[Inside]) -> Tuple[Operation, ...]:
    """Return the removal of the file and what comes in its place, which may be nothing but a directory."""
    removal, arrivals = _removal(conflict, retain), tuple(_arrivals(conflict, arriving))
    if not arrivals or arrivals[0].path != conflict.path:
        return (removal, *arrivals)
    return (evolve(removal, action=Action.UPDATE, kind=Kind.DIRECTORY, reason=Reason.KIND_CHANGED), *arrivals[1:])


def _arrivals(conflict: Conflict, arriving: Sequence[Inside]) -> Iterator[Operation]:
    """Yield the writes of *arriving*; a directory is one of them only where nothing in it implies it."""
    side = file_side(conflict)
    implied = {above for each in arriving for above in parents(each.path)}
    for each in arriving:
        if not each.holdable or (each.kind is Kind.DIRECTORY and each.path in implied):
            continue
        yield evolve(
            _operation(conflict, Action.CREATE, each.kind, side, each.path),
            origin=(side.other, each.path),
            expect_origin=each.stamp,
            size=0 if each.kind is Kind.DIRECTORY else each.stamp.size or 0,
            link=each.link,
        )


@define(eq=False)
class Clashes:
    """The clashes of one plan, while what lies below their directories is met."""

    real: Mapping[Side, bool]
    _found: Dict[str, Clash] = field(factory=dict, init=False)
    _frozen: Set[str] = field(factory=set, init=False)

    def __bool__(self) -> bool:
        return bool(self._found)

    def open(self, change: Change, *, frozen: bool) -> None:
        """Note a clash; where it is *frozen*, nothing below is planned by itself."""
        self._found[change.path] = Clash.of(change, real=self.real)
        if frozen:
            self._frozen.add(change.path)

    def take(self, seen: Change) -> bool:
        """Note a path below a clash, and say whether that is all there is to do about it."""
        above = self._above(seen.path)
        if above is not None:
            self._found[above].take(seen)
        return above in self._frozen

    def keep(self, views: Views) -> None:
        """Note a path that is out of bounds."""
        above = self._above(views.path)
        if above is not None:
            self._found[above].keep(views)

    def frozen(self) -> List[Clash]:
        """Return the clashes whose files wait for a decision."""
        return [self._found[path] for path in self._found if path in self._frozen]

    def at(self, paths: Iterable[str]) -> List[Clash]:
        """Return the clashes at *paths*."""
        return [self._found[path] for path in paths]

    def _above(self, path: str) -> Optional[str]:
        if not self._found:
            return None
        return next((outer for outer in (*parents(path), path) if outer in self._found), None)
