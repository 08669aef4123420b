"""The order in which the operations of a plan are performed, derived from the operations alone.

* What frees a path (what lies in a directory that a file replaces, a file that a directory replaces) goes with the
  first write that needs it, as one unit. Storages without directories have no operation for the directory itself.
  A file that is moved out of such a directory leaves it before, and is read before by whatever still has to; a new
  file that is made of what goes there is made before it goes.
* A write that replaces a file which other operations still read waits for them, and is withheld if one of them failed:
  it would destroy the only copy.
* Every other deletion comes after all writes to its side, files before the directories that held them, deepest first.
"""

from __future__ import annotations

from typing import Container, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

from attrs import frozen

from .entry import Kind, Side
from .paths import encoded, parents
from .plan_parts import Action, Operation, Reason

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
    if _only_fills(operations):
        return Schedule((), tuple(operations), (), ())
    units, rest = _units(operations)
    writes = [operation for operation in rest if operation.action is not Action.DELETE]
    deletes = [operation for operation in rest if operation.action is Action.DELETE]
    readers, freeing = _readers(writes), _freeing_moves(writes)
    early: List[Operation] = []
    late: List[Tuple[Operation, Tuple[Operation, ...]]] = []
    for operation in writes:
        waits_for = (*_waits_for(operation, readers), *_frees(operation, freeing))
        if waits_for:
            late.append((operation, waits_for))
        else:
            early.append(operation)
    last = {operation.id for operation, _ in late}
    # A move that waits for its readers comes before what waits for that move.
    late.sort(key=lambda each: any(other.id in last for other in each[1]))
    return Schedule(units, tuple(early), tuple(late), tuple(sorted(deletes, key=_deletion_order)))


def _only_fills(operations: Sequence[Operation]) -> bool:
    """Say whether everything comes from one side to free places of the other, so that nothing waits for anything."""
    target = operations[0].target if operations else None
    return all(
        operation.action is Action.CREATE
        and operation.target is target
        and operation.expect_target is None
        and operation.origin is not None
        and operation.origin[0] is not target
        for operation in operations
    )


def _units(operations: Sequence[Operation]) -> Tuple[Tuple[Unit, ...], List[Operation]]:
    freeing = _freeing(operations)
    leaving = _leaving(operations)
    left_free = {operation.origin for operation in leaving}
    left_free.update(_read_before_they_go(operations, freeing))
    units: List[Unit] = []
    rest: List[Operation] = []
    for operation in operations:
        freed = freeing.get(_place(operation), ())
        reads = operation.origin is not None and operation.origin in left_free
        if operation.action is not Action.DELETE and (freed or reads or _changes_kind(operation)):
            units.append(Unit((*sorted(freed, key=_deletion_order), operation)))
        else:
            rest.append(operation)
    taken = {operation.id for unit in units for operation in unit.operations}
    units.sort(key=lambda unit: _unit_order(unit.operations[-1], left_free))
    return tuple(units), [operation for operation in rest if operation.id not in taken]


def _unit_order(last: Operation, left_free: Container[Optional[Place]]) -> int:
    """Directories first, which others may move into, then who reads what moves, moves, which leave one, then files."""
    if last.kind is Kind.DIRECTORY:
        return 0
    if last.action is Action.MOVE:
        return 2
    return 1 if last.origin in left_free else 3


def _leaving(operations: Iterable[Operation]) -> List[Operation]:
    """Return the moves that leave a directory where a file comes."""
    moves = [operation for operation in operations if operation.action is Action.MOVE]
    above = {place for move in moves for place in _places_above_origin(move)}
    if not above:
        return []
    left = {_place(each) for each in operations if _place(each) in above and _needs_its_place(each)}
    return [move for move in moves if any(place in left for place in _places_above_origin(move))]


def _read_before_they_go(operations: Iterable[Operation], freeing: Dict[Place, List[Operation]]) -> Set[Place]:
    """Return what is deleted to free a path and read by new files, each of which could be written before all else."""
    gone = {_place(deletion) for deletions in freeing.values() for deletion in deletions}
    if not gone:
        return set()
    readers = [each for each in operations if each.origin in gone]
    moved = {each.origin for each in operations if each.action is Action.MOVE}
    return {
        each.origin
        for each in readers
        if each.origin is not None
        if all(
            _fills(other) and gone.union(moved).isdisjoint(_places_above(other)) and _place(other) not in freeing
            for other in readers
            if other.origin == each.origin
        )
    }


def _fills(operation: Operation) -> bool:
    return operation.action in (Action.CREATE, Action.COPY) and operation.expect_target is None


def _changes_kind(operation: Operation) -> bool:
    return operation.action is Action.UPDATE and operation.reason is Reason.KIND_CHANGED


def _freeing(operations: Iterable[Operation]) -> Dict[Place, List[Operation]]:
    """Return, by the place of a write, the deletions in the directory it replaces, and of a file above it."""
    deletions = {_place(each): each for each in operations if each.action is Action.DELETE}
    if not deletions:
        return {}
    writes = [operation for operation in operations if operation.action is not Action.DELETE]
    replacing = {_place(operation) for operation in writes if _needs_its_place(operation)}
    first_below: Dict[Place, Place] = {}
    for operation in writes:
        for above in _places_above(operation):
            if above in deletions:
                first_below.setdefault(above, _place(operation))
    freeing: Dict[Place, List[Operation]] = {}
    for place, deletion in deletions.items():
        needed_by = next((above for above in _places_above(deletion) if above in replacing), None)
        if needed_by is None and deletion.kind is not Kind.DIRECTORY:
            needed_by = first_below.get(place)
        if needed_by is not None:
            freeing.setdefault(needed_by, []).append(deletion)
    return freeing


def _needs_its_place(operation: Operation) -> bool:
    """Say whether a file comes where a directory may stand."""
    return (
        operation.action is not Action.DELETE
        and operation.kind is not Kind.DIRECTORY
        and operation.kind_before in (None, Kind.DIRECTORY)
    )


def _place(operation: Operation) -> Place:
    return operation.target, operation.path


def _places_above(operation: Operation) -> Iterator[Place]:
    return ((operation.target, path) for path in parents(operation.path))


def _places_above_origin(operation: Operation) -> Iterator[Place]:
    assert operation.origin is not None
    side, path = operation.origin
    return ((side, above) for above in parents(path))


def _deletion_order(operation: Operation) -> Tuple[bool, int, bytes]:
    is_directory = operation.kind is Kind.DIRECTORY
    return is_directory, -operation.path.count("/") if is_directory else 0, encoded(operation.path)


def _readers(writes: Iterable[Operation]) -> Dict[Place, List[Operation]]:
    readers: Dict[Place, List[Operation]] = {}
    for operation in writes:
        if operation.origin is not None:
            readers.setdefault(operation.origin, []).append(operation)
    return readers


def _freeing_moves(writes: Iterable[Operation]) -> Dict[Place, Operation]:
    """Return the moves by the place that they leave free."""
    moves = (operation for operation in writes if operation.action is Action.MOVE)
    return {move.origin: move for move in moves if move.origin is not None}


def _frees(operation: Operation, freeing: Dict[Place, Operation]) -> Tuple[Operation, ...]:
    """Return the moves that have to leave the path of *operation*, or one above it, before it can be written."""
    if not freeing:
        return ()
    places = ((operation.target, path) for path in (*parents(operation.path), operation.path))
    found = (freeing.get(place) for place in places)
    return tuple(move for move in found if move is not None and move is not operation)


def _waits_for(operation: Operation, readers: Dict[Place, List[Operation]]) -> Tuple[Operation, ...]:
    """Return the operations that must have read what *operation* replaces or moves away."""
    places: List[Place] = [(operation.target, operation.path)]
    if operation.action is Action.MOVE and operation.origin is not None:
        places.append(operation.origin)
    return tuple(reader for place in places for reader in readers.get(place, ()) if reader is not operation)
