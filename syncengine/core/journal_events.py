"""What the outcomes of past runs prove about paths, on the side that was written and on the one that was read."""

from __future__ import annotations

from typing import Iterator, Optional, Tuple

from attrs import frozen

from .entry import Kind, Side, Stamp
from .paths import is_reserved
from .plan_parts import Action, Purpose, Reason
from .report import Outcome, Status

Place = Tuple[Side, str]
"""A path of a side; a path in the reserved trash folder is one of that side's trash."""


@frozen
class Event:
    """What one run did at one path of one side, or saw there: a mere sight leaves what was ``before`` as ``after``.

    ``before`` and ``after`` are None where nothing stood. ``kept_at`` is where the version before is kept, ``moved_to``
    where a move took it. ``equals`` is the path, and the version there, whose content the version after is.
    """

    run: int
    side: Side
    path: str
    action: Optional[Action]
    kind: Kind = Kind.FILE
    kind_before: Optional[Kind] = None
    before: Optional[Stamp] = None
    after: Optional[Stamp] = None
    kept_at: Optional[str] = None
    moved_to: Optional[str] = None
    equals: Optional[Tuple[Place, Stamp]] = None
    digest: Optional[str] = None
    in_journal: bool = True
    """False where only the trash tells of it, so that what came after is not known."""

    @property
    def is_sight(self) -> bool:
        """Whether nothing was changed."""
        return self.action is None


def events_of(run: int, outcome: Outcome) -> Iterator[Event]:
    """Yield what an outcome proves of both sides; nothing for one that is not done."""
    if outcome.status is not Status.DONE:
        return
    operation = outcome.operation
    if operation.action is Action.TOUCH:
        return
    yield _written(run, outcome)
    if operation.origin is not None and not is_reserved(operation.origin[1]):
        yield from _at_origin(run, outcome, operation.origin)
    if operation.purpose is Purpose.SYNC and operation.key is None:
        yield from _seen_at_other_side(run, outcome)


def _seen_at_other_side(run: int, outcome: Outcome) -> Iterator[Event]:
    """Yield what a deletion and a followed rename prove of the side whose user deleted or renamed."""
    operation, other = outcome.operation, outcome.operation.target.other
    if operation.action is Action.DELETE:
        yield Event(run, other, operation.path, None, operation.kind)
    elif operation.reason in _RENAMED and operation.action is Action.MOVE and operation.origin is not None:
        yield Event(run, other, operation.origin[1], None, operation.kind)
        if operation.counterpart is not None and outcome.after is not None:
            equal = ((operation.target, operation.path), outcome.after)
            seen = operation.counterpart
            yield Event(
                run, other, operation.path, None, operation.kind, operation.kind, before=seen, after=seen, equals=equal
            )


_RENAMED = (Reason.RENAMED_AT_SOURCE, Reason.RENAMED_AT_DESTINATION)


def _written(run: int, outcome: Outcome) -> Event:
    operation = outcome.operation
    deleted = operation.action is Action.DELETE
    is_directory = operation.kind is Kind.DIRECTORY
    read = outcome.origin or operation.expect_origin
    return Event(
        run,
        operation.target,
        operation.path,
        operation.action,
        operation.kind,
        operation.kind_before,
        before=operation.expect_target,
        after=None if deleted else (Stamp() if is_directory else outcome.after),
        kept_at=outcome.retained_at,
        equals=None if operation.origin is None or read is None else (operation.origin, read),
        digest=outcome.digest or operation.digest,
    )


def _at_origin(run: int, outcome: Outcome, origin: Place) -> Iterator[Event]:
    operation, (side, path) = outcome.operation, origin
    read = outcome.origin or operation.expect_origin
    if operation.action is Action.MOVE:
        yield Event(run, side, path, Action.MOVE, operation.kind, operation.kind, before=read, moved_to=operation.path)
    elif read is not None:
        equal = None if outcome.after is None else ((operation.target, operation.path), outcome.after)
        yield Event(run, side, path, None, operation.kind, operation.kind, before=read, after=read, equals=equal)
