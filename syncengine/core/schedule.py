"""The order in which the operations of a plan are performed, derived from the operations alone.

* What frees a path (a directory that a file replaces, a file that a directory replaces) goes with the write that
  needs it, as one unit.
* A write that replaces a file which other operations still read waits for them, and is withheld if one of them failed:
  it would destroy the only copy.
* Every other deletion comes after all writes to its side, files before the directories that held them, deepest first.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Sequence, Set, Tuple

from attrs import frozen

from .entry import Kind, Side
from .paths import encoded, is_within
from .plan import Action, Operation, Reason

Place = Tuple[Side, str]


@frozen
class Unit:
    """Operations that stand or fall together: what frees a path, and the write that needs it (the last one)."""

    operations: Tuple[Operation, ...]


@frozen
class Schedule:
    """Operations in the order of execution.

    ``units`` come first, then ``writes``, then ``late`` writes each with the writes it waits for, then deletions.
    """

    units: Tuple[Unit, ...]
    writes: Tuple[Operation, ...]
    late: Tuple[Tuple[Operation, Tuple[Operation, ...]], ...]
    deletes: Tuple[Operation, ...]


def schedule(operations: Sequence[Operation]) -> Schedule:
    """Return the order in which *operations* are performed."""
    units, rest = _units(operations)
    writes = [operation for operation in rest if operation.action is not Action.DELETE]
    deletes = [operation for operation in rest if operation.action is Action.DELETE]
    readers = _readers(writes)
    early: List[Operation] = []
    late: List[Tuple[Operation, Tuple[Operation, ...]]] = []
    for operation in writes:
        waits_for = _waits_for(operation, readers)
        if waits_for:
            late.append((operation, waits_for))
        else:
            early.append(operation)
    return Schedule(units, tuple(early), tuple(late), tuple(sorted(deletes, key=_deletion_order)))


def _units(operations: Sequence[Operation]) -> Tuple[Tuple[Unit, ...], List[Operation]]:
    changes = [
        operation
        for operation in operations
        if operation.action is Action.UPDATE and operation.reason is Reason.KIND_CHANGED
    ]
    if not changes:
        return (), list(operations)
    units: List[Unit] = []
    taken: Set[str] = set()
    for change in changes:
        freeing = _freeing(change, operations)
        taken.update(operation.id for operation in (*freeing, change))
        units.append(Unit((*freeing, change)))
    return tuple(units), [operation for operation in operations if operation.id not in taken]


def _freeing(change: Operation, operations: Iterable[Operation]) -> Tuple[Operation, ...]:
    """Return the deletions below a directory that a file replaces, contents first."""
    if change.kind is Kind.DIRECTORY:
        return ()
    below = [
        operation
        for operation in operations
        if operation.action is Action.DELETE
        and operation.target is change.target
        and is_within(operation.path, change.path)
    ]
    return tuple(sorted(below, key=_deletion_order))


def _deletion_order(operation: Operation) -> Tuple[bool, int, bytes]:
    is_directory = operation.kind is Kind.DIRECTORY
    return is_directory, -operation.path.count("/") if is_directory else 0, encoded(operation.path)


def _readers(writes: Iterable[Operation]) -> Dict[Place, List[Operation]]:
    readers: Dict[Place, List[Operation]] = {}
    for operation in writes:
        if operation.origin is not None:
            readers.setdefault(operation.origin, []).append(operation)
    return readers


def _waits_for(operation: Operation, readers: Dict[Place, List[Operation]]) -> Tuple[Operation, ...]:
    """Return the operations that must have read what *operation* replaces or moves away."""
    places: List[Place] = [(operation.target, operation.path)]
    if operation.action is Action.MOVE and operation.origin is not None:
        places.append(operation.origin)
    return tuple(reader for place in places for reader in readers.get(place, ()) if reader is not operation)
