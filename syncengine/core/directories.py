"""Directories, and files that face a directory of the same name: what no path can decide without what lies below it.

A directory is made with its contents and removed only when nothing survives in it, so both wait until every path has
been seen. A file that replaces a directory, or the reverse, is one group with everything that has to go for it.
"""

from __future__ import annotations

from typing import Dict, Iterator, Optional, Set, Union

from attrs import define, evolve, field, frozen

from .comparator import Change
from .drafts import Drafts
from .entry import Problem, Side, Stamp
from .merge import Views
from .paths import parents
from .plan_parts import Action, Operation, Reason
from .reconcile import Decision


@frozen
class _Waiting:
    """A directory that one side has: its removal or creation waits until its contents are known."""

    change: Change
    decision: Decision
    group: Optional[str]


@frozen
class _Replacement:
    """A directory of *side* that a file replaces, if nothing survives in it."""

    change: Change
    side: Side


@define(eq=False)
class Directories:
    """Knows what survives where, and which paths change from a file to a directory or back."""

    drafts: Drafts
    _frozen: Set[str] = field(factory=set, init=False)
    _replaced: Dict[str, _Replacement] = field(factory=dict, init=False)
    _beside: Dict[str, _Replacement] = field(factory=dict, init=False)
    """Directories that a file joins where there are no real ones."""
    _opened: Dict[str, Side] = field(factory=dict, init=False)
    """Files that a directory replaces, and on which side."""
    _removals: Dict[Side, Dict[str, _Waiting]] = field(factory=lambda: {side: {} for side in Side}, init=False)
    _creations: Dict[Side, Dict[str, _Waiting]] = field(factory=lambda: {side: {} for side in Side}, init=False)
    _surviving: Dict[Side, Set[str]] = field(factory=lambda: {side: set() for side in Side}, init=False)
    _left_out: Set[str] = field(factory=set, init=False)
    """Directories in which something is hidden, could not be seen, or cannot be held by the other side."""

    # --------------------------------------------------------------- survivors

    def hold(self, path: str, side: Side) -> None:
        """Note that something stands at *path* on *side* afterwards, so that no directory above it is removed."""
        surviving = self._surviving[side]
        surviving.add(path)
        surviving.update(parents(path))

    def survives(self, seen: Union[Views, Change]) -> None:
        """Note that what both sides have at a path stays; what could not be seen may be there on both."""
        for side in Side:
            # Only where a removal waits does it matter what was there before: nearly every run has none.
            waits = self._removals[side] or self._replaced or self._beside
            entry = seen.source if side is Side.SOURCE else seen.destination
            if waits and (entry is not None or isinstance(seen, Views)):
                self.hold(seen.path, side)
        if isinstance(seen, Views):
            self._leave_out(seen.path)

    def leave_out(self, change: Change) -> None:
        """Note that *change* is not made although it was wanted."""
        self.survives(change)
        self._leave_out(change.path)

    def _leave_out(self, path: str) -> None:
        if any(self._creations.values()):
            self._left_out.update(parents(path))

    def freeze(self, path: str) -> None:
        """Leave *path* and everything below it alone, on both sides."""
        self._frozen.add(path)

    def is_frozen(self, path: str) -> bool:
        """Say whether *path* lies where nothing may be touched."""
        return bool(self._frozen) and (path in self._frozen or any(outer in self._frozen for outer in parents(path)))

    # ------------------------------------------------------------ kind changes

    @property
    def any_replaced(self) -> bool:
        """Whether any path is known to change its kind, or to be left alone for that."""
        return bool(self._frozen or self._replaced or self._beside or self._opened)

    def file_becomes_directory(self, change: Change, decision: Decision) -> Operation:
        """Return the operation that makes room for a directory; what is in it follows by its own operations."""
        target = decision.effect.target
        assert target is not None
        self._opened[change.path] = target
        self.hold(change.path, target)
        return self.drafts.directory_for_file(change, decision, group=f"kind:{change.path}")

    def directory_becomes_file(self, change: Change, alone: Change, decision: Decision) -> Union[Operation, Problem]:
        """Return the operation that puts a file in the place of a directory, once everything below it is gone.

        *alone* is the change as if there were only the file; *decision* is about that.
        """
        target = decision.effect.target
        assert target is not None
        created = self.drafts.carried(alone, decision)
        if isinstance(created, Problem):
            self.freeze(change.path)
            self.hold(change.path, target)
            return created
        if not self.drafts.traits[target].real_directories:
            # A file and names below it can stand side by side there, but what survives cannot come to the other side.
            if self.drafts.settings.mode.is_bidirectional:
                self._beside[change.path] = _Replacement(change, target)
            return created
        self._replaced[change.path] = _Replacement(change, target)
        return evolve(
            created,
            action=Action.UPDATE,
            expect_target=Stamp(),
            reason=Reason.KIND_CHANGED,
            group=f"kind:{change.path}",
        )

    def group_of(self, path: str, side: Side) -> Optional[str]:
        """Return the group of the kind change that *path* on *side* is part of."""
        if not (self._replaced or self._opened):
            return None
        for outer in (*parents(path), path):
            if side in (self._replaced_at(outer), self._opened.get(outer)):
                return f"kind:{outer}"
        return None

    def _replaced_at(self, path: str) -> Optional[Side]:
        replacement = self._replaced.get(path)
        return None if replacement is None else replacement.side

    def blocked_replacements(self) -> Iterator[Change]:
        """Yield the changes in which a file should replace a directory, but something survives in it."""
        for path, each in (*self._replaced.items(), *self._beside.items()):
            if path in self._surviving[each.side]:
                yield each.change

    # ------------------------------------------------------------- directories

    def takes_part(self, change: Change) -> bool:
        """Say whether a directory is a decision of its own, and not implied by its files or by a file in its place."""
        for side in (self._replaced_at(change.path), self._opened.get(change.path)):
            if side is not None and change.entry(side) is not None and change.entry(side.other) is None:
                return False  # the file that replaces it removes it
        if all(traits.real_directories for traits in self.drafts.traits.values()):
            return True
        # Beside a side that has none, a directory goes only with one above it that a file replaces.
        around = next((self._replaced[outer] for outer in parents(change.path) if outer in self._replaced), None)
        return around is not None and change.entry(around.side) is not None and change.entry(around.side.other) is None

    def wait(self, change: Change, decision: Decision) -> bool:
        """Remember a directory that one side has, and say whether that was all there is to do about it."""
        target = decision.effect.target
        if self.drafts.path_map and (target is None or self.group_of(change.path, target) is None):
            return True  # under a mapping directories are implied by their files, but for one that a file replaces
        if target is None:
            return False
        waiting = self._removals if decision.effect.deletes else self._creations
        waiting[target][change.path] = _Waiting(change, decision, self.group_of(change.path, target))
        return True

    def operations(self) -> Iterator[Operation]:
        """Yield, when every path was seen, the removals of what became empty and the makings of what stays empty."""
        for side in Side:
            yield from self._removed(side)
            yield from self._made(side)

    def _removed(self, side: Side) -> Iterator[Operation]:
        for path, waiting in self._removals[side].items():
            if path not in self._surviving[side]:
                decision = evolve(waiting.decision, retain=False)
                yield self.drafts.deletion(waiting.change, decision, group=waiting.group)

    def _made(self, side: Side) -> Iterator[Operation]:
        # A directory that only holds what is left out is neither known to be empty nor known to be wanted.
        implied = self._surviving[side] | self._left_out
        for path in self._creations[side]:
            implied.update(parents(path))
        for path, waiting in self._creations[side].items():
            if path not in implied:
                yield self.drafts.new_directory(waiting.change, waiting.decision, group=waiting.group)
