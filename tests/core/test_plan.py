"""The plan as a value: what it may hold, what it says of itself, and how it is edited."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

import syncengine  # noqa: F401 - registers how plans are digested
from syncengine.core.entry import Base, Extent, Kind, Problem, ProblemKind, Side, Stamp
from syncengine.core.guards import Blocker, BlockerKind, Guards
from syncengine.core.plan import Plan
from syncengine.core.plan_parts import (
    Action,
    Agreement,
    AgreementKind,
    Conflict,
    ConflictKind,
    Endpoint,
    Operation,
    Reason,
    Resolution,
    Settings,
    StateRef,
    in_order,
)
from syncengine.core.report import Outcome, Report, Status
from syncengine.core.totals import Count
from syncengine.errors import PlanError, RecipeError

SOURCE, DESTINATION = Side.SOURCE, Side.DESTINATION
FILE, DIRECTORY = Kind.FILE, Kind.DIRECTORY
ENDPOINT = Endpoint("file:///x", "identity")


def create(path: str, size: int = 10, side: Side = DESTINATION, **fields: Any) -> Operation:
    origin = (side.other, path)
    return Operation(Action.CREATE, FILE, side, path, origin=origin, expect_origin=Stamp(size), size=size, **fields)


def update(path: str, size: int = 10, before: int = 100, side: Side = DESTINATION, **fields: Any) -> Operation:
    return evolve(create(path, size, side, **fields), action=Action.UPDATE, expect_target=Stamp(before))


def delete(path: str, before: int = 100, side: Side = DESTINATION, kind: Kind = FILE, **fields: Any) -> Operation:
    return Operation(Action.DELETE, kind, side, path, expect_target=Stamp(before), **fields)


def move(old: str, new: str, side: Side = DESTINATION) -> Operation:
    return Operation(Action.MOVE, FILE, side, new, origin=(side, old), expect_origin=Stamp(10))


def plan_of(*operations: Operation, **fields: Any) -> Plan:
    defaults: Dict[str, Any] = {
        "agreements": (),
        "conflicts": (),
        "problems": (),
        "source": ENDPOINT,
        "destination": ENDPOINT,
        "settings": Settings(),
        "base": StateRef(),
        "created_at": "2026-01-01T00:00:00Z",
    }
    return Plan.of(operations, **{**defaults, **fields})


OPERATIONS = (
    create("a.txt"),
    update("b/c.csv"),
    delete("b/old.csv"),
    move("d/e", "d/f"),
    delete("z", kind=DIRECTORY),
    create("a.txt", side=SOURCE),
)
PLAN = plan_of(*OPERATIONS)


def paths(plan: Plan) -> List[str]:
    return [operation.path for operation in plan]


# ------------------------------------------------------------------------------------------------------ construction


def test_operations_are_put_in_the_order_of_their_bytes_and_sides() -> None:
    names = ["é", "\udc80", "a0", "a/b", "a.b", "a"]
    plan = plan_of(*(create(name) for name in names), create("a", side=SOURCE))

    assert [(each.path, each.target) for each in plan] == [
        ("a", DESTINATION),
        ("a", SOURCE),
        ("a.b", DESTINATION),
        ("a/b", DESTINATION),
        ("a0", DESTINATION),
        ("\udc80", DESTINATION),
        ("é", DESTINATION),
    ]


def test_a_plan_holds_one_operation_for_each_path_of_a_side() -> None:
    with pytest.raises(PlanError, match="two operations for 'a' at the destination"):
        plan_of(create("a"), delete("a"))
    assert len(plan_of(create("a"), create("a", side=SOURCE))) == 2


def test_an_unsorted_plan_is_refused() -> None:
    fields = {name: getattr(PLAN, name) for name in ("agreements", "conflicts", "problems", "source", "destination")}
    with pytest.raises(PlanError, match="not sorted"):
        Plan((create("b"), create("a")), settings=Settings(), base=StateRef(), created_at="", **fields)


@pytest.mark.parametrize("path", ["../a", "/a", "a//b", "", "a/../b", "c:/a", "a\0"])
def test_a_path_that_could_leave_the_root_is_refused(path: str) -> None:
    with pytest.raises(PlanError, match="holds a path that"):
        plan_of(create(path))


# ------------------------------------------------------------------------------------------------------------- facts


def test_an_id_names_target_and_path_and_nothing_else() -> None:
    assert create("a").id == delete("a").id == update("a", 99).id
    assert len({create("a").id, create("a", side=SOURCE).id, create("b").id, create("\udc80").id}) == 4
    assert create("a").id == "ca0234adac13ff81"  # reviewers refer to it, also across versions


@pytest.mark.parametrize(
    ("operation", "destroys", "overwrites", "removes", "before"),
    [
        (create("a"), False, False, False, None),
        (update("a"), True, True, False, FILE),
        (delete("a"), True, False, True, FILE),
        (delete("a", kind=DIRECTORY), False, False, False, DIRECTORY),
        (move("a", "b"), False, False, False, None),
        (evolve(move("a", "b"), expect_target=Stamp(1)), True, True, False, FILE),
        (evolve(update("a"), action=Action.TOUCH), False, False, False, FILE),
        (update("a", reason=Reason.KIND_CHANGED), False, False, False, DIRECTORY),
        (evolve(update("a", reason=Reason.KIND_CHANGED), kind=DIRECTORY), True, True, False, FILE),
    ],
)
def test_an_operation_knows_what_it_destroys(
    operation: Operation, destroys: bool, overwrites: bool, removes: bool, before: Optional[Kind]
) -> None:
    assert (operation.destroys, operation.overwrites, operation.removes_file) == (destroys, overwrites, removes)
    assert operation.kind_before is before


def test_an_operation_knows_its_key_and_its_old_name() -> None:
    assert move("a", "b").moved_from == "a"
    assert update("a").moved_from is None
    assert (create("a").compared_as, create("a", key="k").compared_as) == ("a", "k")


def test_three_sums_of_bytes_are_kept_apart() -> None:
    operations = [
        create("a", 1),
        update("b", 20, before=300, retain=True),
        delete("c", before=4_000),
        delete("d", before=0, kind=DIRECTORY),
        update("e", 50_000, before=600_000, side=SOURCE),
        move("f", "g"),
    ]
    totals = plan_of(*operations).totals

    assert (totals.transfer_bytes, totals.removed_bytes, totals.overwritten_bytes) == (50_021, 4_000, 600_300)
    assert totals.count(Action.CREATE) == Count(1, 1)
    assert totals.count(Action.UPDATE) == Count(2, 50_020)
    assert totals.count(Action.UPDATE, SOURCE) == Count(1, 50_000)
    assert totals.count(Action.DELETE) == Count(2, 4_000)
    assert totals.count(Action.COPY) == Count()
    assert set(totals.counts) == {
        (DESTINATION, Action.CREATE),
        (DESTINATION, Action.UPDATE),
        (DESTINATION, Action.DELETE),
        (SOURCE, Action.UPDATE),
        (DESTINATION, Action.MOVE),
    }
    assert totals.retained == 1
    # Three calls for each write and two for each deletion, two for reading.
    assert totals.requests == {SOURCE: 2 + 2 + 3, DESTINATION: 3 + 3 + 2 + 2 + 2 + 3 + 2}


@given(
    st.lists(
        st.tuples(st.sampled_from(list(Action)), st.sampled_from(list(Side)), st.integers(0, 9), st.integers(0, 9))
    )
)
def test_totals_are_the_sums_of_the_operations(drawn: Sequence[Tuple[Action, Side, int, int]]) -> None:
    operations = [
        Operation(action, FILE, side, str(number), size=size, expect_target=Stamp(before))
        for number, (action, side, size, before) in enumerate(drawn)
    ]
    totals = plan_of(*operations).totals

    assert totals.transfer_bytes == sum(each.size for each in operations)
    assert sum(count.files for count in totals.counts.values()) == len(operations)
    for what, expected in ((totals.removed_bytes, "removes_file"), (totals.overwritten_bytes, "overwrites")):
        assert what == sum(before for each, (_, _, _, before) in zip(operations, drawn) if getattr(each, expected))


AGREEMENT = Agreement(AgreementKind.FORGET, "gone", FILE, None)
OPEN = Conflict("x", ConflictKind.CREATE_CREATE, None, Stamp(1), Stamp(2))
SETTLED = evolve(OPEN, path="y", resolution=Resolution.SOURCE)
HIDDEN = Problem(ProblemKind.DENIED, "u", "no", extent=Extent.SUBTREE)
SEEN = Problem(ProblemKind.UNSUPPORTED, "dev", "a device")


def test_a_plan_counts_what_is_not_an_operation() -> None:
    plan = plan_of(agreements=(AGREEMENT,), conflicts=(OPEN, SETTLED), problems=(HIDDEN, SEEN), unchanged=7, excluded=3)
    totals = plan.totals

    assert (totals.to_record, totals.conflicts, totals.unresolved, totals.problems) == (1, 2, 1, 2)
    assert (totals.unchanged, totals.excluded) == (7, 3)
    assert plan.unresolved == (OPEN,)
    assert not plan.complete
    assert plan_of(problems=(SEEN,)).complete


@pytest.mark.parametrize(
    ("plan", "empty", "true"),
    [
        (plan_of(), True, False),
        (plan_of(create("a")), False, True),
        (plan_of(conflicts=(OPEN,)), True, True),
        (plan_of(conflicts=(SETTLED,)), True, False),
        (plan_of(agreements=(AGREEMENT,)), True, False),
    ],
)
def test_a_plan_is_true_where_something_is_to_be_done_or_decided(plan: Plan, empty: bool, true: bool) -> None:
    assert (plan.empty, bool(plan)) == (empty, true)


def test_every_blocker_is_named_at_once() -> None:
    found = Blocker(BlockerKind.SIDE_EMPTIED, "the source is empty", SOURCE)
    guarded = Settings(
        guards=Guards(max_delete="0", max_transfer_bytes=0), require_complete=True, require_resolved=True
    )
    plan = plan_of(
        create("a"),
        delete("b"),
        conflicts=(OPEN,),
        problems=(HIDDEN,),
        findings=(found,),
        settings=guarded,
        live={SOURCE: 1, DESTINATION: 1},
    )

    assert [blocker.kind for blocker in plan.blockers] == [
        BlockerKind.SIDE_EMPTIED,
        BlockerKind.MAX_DELETE,
        BlockerKind.MAX_TRANSFER,
        BlockerKind.INCOMPLETE,
        BlockerKind.UNRESOLVED,
    ]
    assert plan_of(create("a"), conflicts=(OPEN,), problems=(HIDDEN,)).blockers == ()


def test_guards_judge_the_plan_as_it_was_edited() -> None:
    plan = plan_of(*(delete(str(number)) for number in range(20)), live={SOURCE: 20, DESTINATION: 20})

    assert [each.kind for each in plan.blockers] == [BlockerKind.MAX_DELETE]
    assert plan.drop(lambda operation: len(operation.path) == 2).blockers == ()


def test_a_path_is_looked_up_among_operations_and_conflicts() -> None:
    plan = plan_of(create("a"), conflicts=(OPEN,))

    assert plan["a"] == create("a")
    assert plan["x"] == OPEN
    with pytest.raises(KeyError):
        plan["nowhere"]


# ----------------------------------------------------------------------------------------------------------- editing


@pytest.mark.parametrize(
    ("match", "fields", "expected"),
    [
        ("*.csv", {}, ["b/c.csv", "b/old.csv"]),
        ("/b", {}, ["b/c.csv", "b/old.csv"]),
        ("b/**", {}, ["b/c.csv", "b/old.csv"]),
        ("nothing", {}, []),
        (lambda operation: operation.size == 10, {}, ["a.txt", "a.txt", "b/c.csv"]),
        ([create("a.txt").id], {}, ["a.txt"]),
        ([], {}, []),
        (plan_of(delete("z"), create("not there")), {}, ["z"]),
        (None, {"action": "delete"}, ["b/old.csv", "z"]),
        (None, {"action": Action.DELETE, "kind": "file"}, ["b/old.csv"]),
        (None, {"target": "source"}, ["a.txt"]),
        (None, {"destroys": True}, ["b/c.csv", "b/old.csv"]),
        (None, {"moved_from": "d/e"}, ["d/f"]),
        ("*.csv", {"destroys": True, "action": "update"}, ["b/c.csv"]),
        (None, {}, ["a.txt", "a.txt", "b/c.csv", "b/old.csv", "d/f", "z"]),
    ],
)
def test_where_keep_and_drop_choose_alike(match: Any, fields: Dict[str, Any], expected: List[str]) -> None:
    rest = [path for path in paths(PLAN) if path not in expected or expected.count(path) < paths(PLAN).count(path)]

    assert paths(PLAN.where(match, **fields)) == expected
    if match is not None:
        assert paths(PLAN.keep(match, **fields)) == expected
        assert sorted([*paths(PLAN.drop(match, **fields)), *expected]) == sorted(paths(PLAN))
        assert set(paths(PLAN.drop(match, **fields))) == set(rest)


def test_an_unknown_field_names_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=r"no field 'colour'.*action"):
        PLAN.where(colour="red")


def test_the_destructive_part_is_what_destroys_bytes() -> None:
    assert paths(PLAN.destructive) == ["b/c.csv", "b/old.csv"]


GROUP = (
    Operation(Action.COPY, FILE, DESTINATION, "f.conflict-1", origin=(DESTINATION, "f"), group="g"),
    create("f.conflict-1", side=SOURCE, group="g"),
    update("f", group="g"),
)


def test_groups_stand_or_fall_together() -> None:
    plan = plan_of(create("a"), *GROUP)

    assert paths(plan.keep("f")) == ["f", "f.conflict-1", "f.conflict-1"]
    assert paths(plan.drop("f")) == ["a"]
    assert paths(plan.drop("f.conflict-1", target=SOURCE)) == ["a"]
    assert paths(plan - plan.where("f")) == ["a"]
    assert paths(plan & plan.where("f")) == ["f", "f.conflict-1", "f.conflict-1"]


def test_a_part_of_a_group_that_is_looked_at_alone_keeps_what_it_destroys() -> None:
    plan = plan_of(create("a"), *GROUP)

    assert [operation.retain for operation in plan.where("f")] == [True]
    assert [operation.retain for operation in plan.keep("f")] == [False, False, False]
    assert not any(operation.retain for operation in plan)


def test_plans_are_subtracted_and_intersected_by_ids() -> None:
    other = plan_of(delete("b/c.csv"), delete("z"), delete("elsewhere"))

    assert paths(PLAN - other) == ["a.txt", "a.txt", "b/old.csv", "d/f"]
    assert paths(PLAN & other) == ["b/c.csv", "z"]
    assert (PLAN & other)["b/c.csv"] == PLAN["b/c.csv"]
    assert PLAN - plan_of() is PLAN
    assert (PLAN - PLAN).empty


def test_an_edited_plan_remembers_what_it_was_edited_from() -> None:
    once = PLAN.drop("*.csv")
    twice = once.drop("z")

    assert (once.parent_digest, once.root_digest) == (PLAN.digest, PLAN.digest)
    assert (twice.parent_digest, twice.root_digest) == (once.digest, PLAN.digest)
    assert len({PLAN.digest, once.digest, twice.digest}) == 3
    assert PLAN.parent_digest is None


def test_an_edit_that_changes_nothing_is_the_same_plan() -> None:
    assert PLAN.drop("nothing") is PLAN
    assert PLAN.keep(lambda _: True) is PLAN


def test_an_approval_is_over_a_digest_and_void_after_an_edit() -> None:
    approved = PLAN.approve(by="ann", note="looked at")
    (approval,) = approved.approvals

    assert (approval.by, approval.note, approval.digest) == ("ann", "looked at", PLAN.digest)
    assert approved.digest == PLAN.digest
    assert approved == PLAN
    assert len(approved.approve(by="bob").approvals) == 2
    assert approved.drop("z").approvals == ()
    assert PLAN.approvals == ()


def test_equal_plans_have_equal_digests() -> None:
    again = plan_of(*reversed(OPERATIONS))

    assert again == PLAN
    assert hash(again) == hash(PLAN)
    assert plan_of(create("a")) != PLAN
    assert PLAN != "a plan"


# --------------------------------------------------------------------------------------------------------- properties

segments = st.sampled_from(["a", "b", "a.csv", "é", "\udc80", "d"])
some_paths = st.lists(segments, min_size=1, max_size=3).map("/".join)


@st.composite
def any_plan(draw: st.DrawFn) -> Plan:
    operations: Dict[str, Operation] = {}
    for path in draw(st.lists(some_paths, max_size=8)):
        make = draw(st.sampled_from([create, update, delete]))
        side, group = draw(st.sampled_from(list(Side))), draw(st.sampled_from([None, None, "g", "h"]))
        made = make(path, side=side, group=group)
        operations[made.id] = made
    return plan_of(*operations.values())


def edits(plan: Plan, other: Plan, pattern: str) -> List[Plan]:
    edit: List[Callable[[], Plan]] = [
        lambda: plan.where(pattern),
        lambda: plan.keep(pattern),
        lambda: plan.drop(pattern),
        lambda: plan.where(action="delete"),
        lambda: plan.drop(lambda operation: operation.destroys),
        lambda: plan - other,
        lambda: plan & other,
        lambda: plan.destructive,
        lambda: plan.resolve(pattern, to="source"),
    ]
    return [each() for each in edit]


@settings(deadline=None)
@given(any_plan(), any_plan(), st.sampled_from(["a", "*.csv", "d/**", "/b", "*"]))
def test_an_edit_never_adds_an_operation_and_never_destroys_more(plan: Plan, other: Plan, pattern: str) -> None:
    operations, digest = plan.operations, plan.digest
    known = {each.id: each for each in operations}
    for edited in edits(plan, other, pattern):
        for operation in edited:
            assert operation in (known[operation.id], evolve(known[operation.id], retain=True))
        assert edited.root_digest == digest
    assert (plan.operations, plan.digest) == (operations, digest)


@settings(deadline=None)
@given(any_plan(), any_plan(), st.sampled_from(["a", "*.csv", "d/**", "/b"]))
def test_what_is_kept_and_what_is_dropped_share_no_group_and_make_the_whole(
    plan: Plan, other: Plan, pattern: str
) -> None:
    for match in (pattern, other, [operation.id for operation in other]):
        kept = plan.keep(match)
        whole_groups = {each.group for each in kept if each.group is not None}
        dropped = plan.drop(match)

        assert in_order([*kept, *dropped]) == plan.operations
        assert not whole_groups & {each.group for each in dropped}


# ------------------------------------------------------------------------------------------------------------ report


def test_what_remains_of_a_plan_is_what_was_not_done_and_nobody_approved_it() -> None:
    approved = evolve(PLAN, agreements=(AGREEMENT,)).approve(by="ann")
    outcomes = tuple(Outcome(each, Status.DONE if each.action is Action.DELETE else Status.FAILED) for each in approved)
    remaining = Report(approved, outcomes, "run", "then", "now").remaining()

    assert paths(remaining) == ["a.txt", "a.txt", "b/c.csv", "d/f"]
    assert (remaining.agreements, remaining.approvals) == ((), ())
    assert (remaining.parent_digest, remaining.root_digest) == (approved.digest, approved.root_digest)


def test_a_plan_of_which_nothing_was_done_remains_as_it_is() -> None:
    outcomes = tuple(Outcome(each, Status.NOT_STARTED) for each in PLAN)

    assert Report(PLAN, outcomes, "run", "then", "now").remaining() is PLAN


def test_a_row_in_a_plan_is_part_of_what_is_approved() -> None:
    rows = [Base("f", FILE, Stamp(1), Stamp(size)) for size in (1, 2)]
    plans = [
        plan_of(agreements=(Agreement(AgreementKind.ADOPT, "f", FILE, row, row.source, row.destination),))
        for row in rows
    ]

    assert plans[0].digest != plans[1].digest
