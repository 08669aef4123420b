"""The order of operations: what frees a path, what still reads it, and what goes last."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncengine.core.entry import Kind, Side, Stamp
from syncengine.core.paths import is_within, parents
from syncengine.core.plan_parts import Action, Operation, Reason
from syncengine.core.schedule import Schedule, schedule

SOURCE, DESTINATION = Side.SOURCE, Side.DESTINATION
FILE, DIRECTORY = Kind.FILE, Kind.DIRECTORY
STAMP = Stamp(size=1)


def create(path: str, side: Side = DESTINATION, origin: Optional[Tuple[Side, str]] = None) -> Operation:
    return Operation(Action.CREATE, FILE, side, path, origin=origin or (side.other, path), expect_origin=STAMP)


def update(path: str, side: Side = DESTINATION) -> Operation:
    return Operation(
        Action.UPDATE, FILE, side, path, origin=(side.other, path), expect_target=STAMP, expect_origin=STAMP
    )


def delete(path: str, side: Side = DESTINATION, kind: Kind = FILE) -> Operation:
    return Operation(Action.DELETE, kind, side, path, expect_target=STAMP)


def move(old: str, new: str, side: Side = DESTINATION) -> Operation:
    return Operation(Action.MOVE, FILE, side, new, origin=(side, old), expect_origin=STAMP)


def copy(old: str, new: str, side: Side = DESTINATION) -> Operation:
    return Operation(Action.COPY, FILE, side, new, origin=(side, old), expect_origin=STAMP)


def becomes_file(path: str, side: Side = DESTINATION) -> Operation:
    return Operation(
        Action.UPDATE,
        FILE,
        side,
        path,
        origin=(side.other, path),
        expect_target=Stamp(),
        reason=Reason.KIND_CHANGED,
        group=f"kind:{path}",
    )


def becomes_directory(path: str, side: Side = DESTINATION) -> Operation:
    return Operation(
        Action.UPDATE, DIRECTORY, side, path, expect_target=STAMP, reason=Reason.KIND_CHANGED, group=f"kind:{path}"
    )


def flat(order: Schedule) -> List[Operation]:
    """Return the operations one after the other, as they are begun."""
    return [
        *(operation for unit in order.units for operation in unit.operations),
        *order.writes,
        *(operation for operation, _ in order.late),
        *order.deletes,
    ]


def test_nothing_is_an_order_of_nothing() -> None:
    assert flat(schedule([])) == []


def test_deletions_come_after_all_writes() -> None:
    order = schedule([delete("a"), create("b"), delete("c", SOURCE), update("d", SOURCE)])

    assert order.writes == (create("b"), update("d", SOURCE))
    assert order.deletes == (delete("a"), delete("c", SOURCE))


def test_directories_go_last_and_the_deepest_first() -> None:
    folders = [delete(path, kind=DIRECTORY) for path in ("a", "a/b", "a/b/c", "z")]
    order = schedule([*folders, delete("a/b/c/f"), delete("zz")])

    assert [each.path for each in order.deletes] == ["a/b/c/f", "zz", "a/b/c", "a/b", "a", "z"]


def test_what_lies_in_a_directory_goes_with_the_file_that_replaces_it() -> None:
    below = [delete("p/x"), delete("p/y/z"), delete("p/y", kind=DIRECTORY)]
    beside = [delete("p!"), delete("p/x", SOURCE)]
    order = schedule([becomes_file("p"), *beside, *below])

    assert [unit.operations for unit in order.units] == [(*below, becomes_file("p"))]
    assert set(order.deletes) == set(beside)


def test_a_directory_takes_the_place_of_a_file_before_anything_is_written_into_it() -> None:
    order = schedule([create("p/x"), becomes_directory("p"), create("p/y")])

    assert [unit.operations for unit in order.units] == [(becomes_directory("p"),)]
    assert order.writes == (create("p/x"), create("p/y"))


def test_a_move_waits_for_whoever_still_reads_the_old_name() -> None:
    reader = create("f", SOURCE, origin=(DESTINATION, "old"))
    order = schedule([move("old", "new"), reader])

    assert order.writes == (reader,)
    assert order.late == ((move("old", "new"), (reader,)),)


def test_a_write_waits_for_whoever_still_reads_what_it_replaces() -> None:
    beside, across = copy("f", "f.conflict"), create("f.conflict", SOURCE, origin=(DESTINATION, "f"))
    order = schedule([update("f"), beside, across])

    assert set(order.writes) == {beside, across}
    assert order.late == ((update("f"), (beside, across)),)


def test_a_reader_of_the_same_name_on_the_other_side_is_nobody_to_wait_for() -> None:
    order = schedule([update("f"), copy("f", "g", SOURCE)])

    assert order.late == ()


def test_a_move_does_not_wait_for_itself() -> None:
    assert schedule([move("old", "new")]).writes == (move("old", "new"),)


# -------------------------------------------------------------------------------------------------------- properties

names = st.sampled_from(["a", "b", "a/x", "a/y", "a/x/1", "a/x/2", "b/x", "b/x/1", "c", "c/d/e"])
sides = st.sampled_from(list(Side))


@st.composite
def any_operation(draw: st.DrawFn) -> Operation:
    path, other, side = draw(names), draw(names), draw(sides)
    make = draw(st.integers(0, 8))
    return (
        create(path, side),
        update(path, side),
        delete(path, side),
        delete(path, side, DIRECTORY),
        move(other, path, side),
        copy(other, path, side),
        becomes_file(path, side),
        becomes_directory(path, side),
        create(path, side, origin=(side.other, other)),
    )[make]


operations = st.lists(any_operation(), max_size=9, unique_by=lambda each: (each.target, each.path))


@settings(max_examples=300, deadline=None)
@given(operations)
def test_every_operation_is_performed_exactly_once(given_operations: Sequence[Operation]) -> None:
    performed = flat(schedule(given_operations))

    assert sorted(each.id for each in performed) == sorted(each.id for each in given_operations)


@settings(max_examples=300, deadline=None)
@given(operations)
def test_only_what_frees_a_path_is_deleted_before_a_write(given_operations: Sequence[Operation]) -> None:
    order = schedule(given_operations)

    assert all(each.action is Action.DELETE for each in order.deletes)
    assert not any(each.action is Action.DELETE for each in order.writes)
    for unit in order.units:
        *freeing, write = unit.operations
        assert write.action is not Action.DELETE
        for each in freeing:
            below = is_within(each.path, write.path) and each.path != write.path
            above = is_within(write.path, each.path) and each.kind is FILE
            assert each.target is write.target
            assert each.action is Action.DELETE
            assert below or above


@settings(max_examples=300, deadline=None)
@given(operations)
def test_a_file_replaces_a_directory_only_when_everything_in_it_is_gone(given_operations: Sequence[Operation]) -> None:
    performed = flat(schedule(given_operations))
    for index, write in enumerate(performed):
        if write.reason is Reason.KIND_CHANGED and write.kind is FILE:
            later = performed[index + 1 :]
            files = {
                each.path
                for each in given_operations
                if each.action is not Action.DELETE and each.target is write.target and each.kind is FILE
            }
            assert not [
                each
                for each in later
                if each.action is Action.DELETE
                and each.target is write.target
                and write.path in parents(each.path)
                and not (files - {write.path}).intersection(parents(each.path))
            ]


@settings(max_examples=300, deadline=None)
@given(operations)
def test_a_directory_is_removed_after_what_lies_in_it(given_operations: Sequence[Operation]) -> None:
    removed: List[Operation] = []
    for operation in schedule(given_operations).deletes:
        if operation.kind is DIRECTORY:
            removed.append(operation)
        else:
            assert not removed
        assert not [
            each for each in removed[:-1] if each.path in parents(operation.path) and each.target is operation.target
        ]


@settings(max_examples=300, deadline=None)
@given(operations)
def test_what_is_replaced_is_read_before(given_operations: Sequence[Operation]) -> None:
    order = schedule(given_operations)
    waiting = dict(order.late)
    writes = [*order.writes, *(operation for operation, _ in order.late)]
    for operation in writes:
        readers = [
            each for each in writes if each is not operation and each.origin == (operation.target, operation.path)
        ]
        for reader in readers:
            assert reader in waiting.get(operation, ())


@pytest.mark.parametrize("count", [20_000])
def test_many_operations_are_ordered_in_linear_time(count: int) -> None:
    many = [create(f"new/{number}") for number in range(count)]
    many += [delete(f"old/{number}/f") for number in range(count)]
    many += [delete(f"old/{number}", kind=DIRECTORY) for number in range(count)]
    many += [becomes_file(f"p/{number}") for number in range(1000)]

    assert len(flat(schedule(many))) == len(many)


def test_a_new_file_is_made_of_what_goes_with_a_directory_before_it_goes() -> None:
    operations = [becomes_file("b"), delete("b/c"), create("d", origin=(DESTINATION, "b/c")), copy("b/c", "e")]
    found = schedule(operations)

    order = [[each.path for each in unit.operations] for unit in found.units]
    assert order == [["d"], ["e"], ["b/c", "b"]]
    assert (found.writes, found.late, found.deletes) == ((), (), ())


def test_a_new_file_that_has_to_wait_for_its_own_place_is_not_made_before() -> None:
    operations = [becomes_file("b"), delete("b/c"), delete("p"), create("p/q", origin=(DESTINATION, "b/c"))]

    assert [[each.path for each in unit.operations] for unit in schedule(operations).units] == [
        ["b/c", "b"],
        ["p", "p/q"],
    ]
