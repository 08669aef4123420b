"""The inverse of a run: what it did is taken back wherever what it left still stands, proven by its stamp.

Creations become deletions, updates and deletions bring back what was kept, moves go back. Everything else is listed
with its reason: a file that was changed since is somebody's, and a version that nobody kept is gone.
"""

from __future__ import annotations

from typing import Callable, Dict, Iterable, List, Mapping, Optional, Tuple

from attrs import define, evolve, field

from .bringing_back import Move, Target, Wanted, problem
from .entry import Entry, Extent, Kind, Problem, ProblemKind, Side, Stamp
from .journal_events import Place
from .plan_parts import Action, Operation, Purpose
from .report import Outcome, Status
from .units import counted
from .versions import Evidence

Difference = Callable[[Side, str, Stamp], Optional[str]]
"""Says why a directory of a side does not hold what a stamp says of it, None where it does."""


def unended(run_id: str, outcomes: Iterable[Outcome]) -> Problem:
    """Return what is to be said where the journal of a run holds *outcomes* and no end."""
    done = sum(outcome.status is Status.DONE for outcome in outcomes)
    message = (
        f"run {run_id} did not end, and {counted(done, 'operation')} of it {'is' if done == 1 else 'are'} on record; "
        "what it did beyond that is not known, and stays as it is"
    )
    return Problem(ProblemKind.MISSING, "", message, Purpose.UNDO.value, extent=Extent.NOTHING)


@define(eq=False)
class Undoing:
    """Takes the outcomes of one run and says what each side should hold again.

    ``evidence`` is about the paths of the run, whose number in it is ``run``. ``difference`` looks into a directory
    that was moved as a whole.
    """

    evidence: Evidence
    run: int
    difference: Difference = lambda *_: None
    wanted: Dict[Side, Dict[str, Optional[Wanted]]] = field(factory=lambda: {side: {} for side in Side}, init=False)
    moves: Dict[Side, List[Move]] = field(factory=lambda: {side: [] for side in Side}, init=False)
    problems: List[Problem] = field(factory=list, init=False)

    def take(self, outcomes: Iterable[Outcome]) -> None:
        """Take back each outcome that can be."""
        for outcome in outcomes:
            why = self._taken_back(outcome)
            if why is not None:
                kind, words = why
                target = outcome.operation.target
                self.problems.append(problem(kind, outcome.operation.path, words, Purpose.UNDO, target))

    @property
    def standing(self) -> Mapping[Place, Entry]:
        """What was found at the paths of the run."""
        return self.evidence.standing

    def target(self, side: Side) -> Target:
        """Return what *side* should hold again."""
        return self.wanted[side]

    def _taken_back(self, outcome: Outcome) -> Optional[Tuple[ProblemKind, str]]:
        """Note what one path should hold again, or return why it cannot."""
        operation = outcome.operation
        if outcome.status is not Status.DONE:
            return _not_done(outcome)
        if operation.action is Action.TOUCH:
            return ProblemKind.UNSUPPORTED, "which permission bits it had before is not on record"
        changed = self._changed_since(outcome)
        if changed is not None:
            return ProblemKind.CHANGED, changed
        if operation.action is Action.MOVE and operation.expect_target is None:
            return self._moved_back(operation)
        lost = self._noted(outcome)
        return None if lost is None else (ProblemKind.MISSING, lost)

    def _changed_since(self, outcome: Outcome) -> Optional[str]:
        operation = outcome.operation
        found = self.standing.get((operation.target, operation.path))
        if operation.action is Action.DELETE:
            return None if found is None or found.kind is operation.kind is Kind.DIRECTORY else "it is there again"
        if found is None:
            return "it is gone already"
        if found.kind is not operation.kind:
            return f"a {found.kind.value} stands there by now"
        place = (operation.target, operation.path)
        if operation.kind is Kind.DIRECTORY or self.evidence.stands(place, outcome.after, self.run):
            return None
        return "it was changed after the run, or nothing proves that it was not"

    def _moved_back(self, operation: Operation) -> Optional[Tuple[ProblemKind, str]]:
        assert operation.origin is not None
        side, old = operation.origin
        taken = self.standing.get((side, old))
        if taken is not None and (taken.kind is not Kind.DIRECTORY or operation.kind is Kind.DIRECTORY):
            return ProblemKind.COLLISION, "its old name is taken by now"
        moved = self.standing[side, operation.path]
        if operation.kind is Kind.DIRECTORY and operation.expect_origin is not None:
            changed = self.difference(side, operation.path, operation.expect_origin)
            if changed is not None:
                return ProblemKind.CHANGED, f"{changed} since the run"
            moved = evolve(moved, stamp=operation.expect_origin)
        self.moves[side].append(Move(old, operation.path, moved, operation.files))
        return None

    def _noted(self, outcome: Outcome) -> Optional[str]:
        operation = outcome.operation
        wanted = self.wanted[operation.target]
        before = operation.kind_before
        if operation.action is Action.DELETE:
            before = operation.kind
        if before is None:
            wanted[operation.path] = None
            return None
        if before is Kind.DIRECTORY:
            wanted[operation.path] = Wanted(Kind.DIRECTORY)
            return None
        return self._content_noted(outcome, before)

    def _content_noted(self, outcome: Outcome, before: Kind) -> Optional[str]:
        operation = outcome.operation
        assert operation.expect_target is not None
        found = self.evidence.found((operation.target, operation.path), operation.expect_target, self.run - 1)
        if found is None:
            kept = outcome.retained_at is not None
            return f"its old version {'is not in the trash any more' if kept else 'was not kept'}"
        self.wanted[operation.target][operation.path] = Wanted(before, *found)
        if operation.action is Action.MOVE and operation.origin is not None:
            # What it replaced comes back by an update, so what it brought is copied back rather than moved.
            moved = self.standing[operation.target, operation.path]
            self.wanted[operation.target][operation.origin[1]] = Wanted(
                moved.kind, (operation.target, operation.path), moved
            )
        return None


def _not_done(outcome: Outcome) -> Optional[Tuple[ProblemKind, str]]:
    if outcome.retained_at is None:
        return None
    return ProblemKind.UNSUPPORTED, f"it was not done, and its old version is in the trash at {outcome.retained_at}"
