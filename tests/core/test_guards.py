"""Limits that refuse a whole plan before anything is changed."""

from __future__ import annotations

from typing import Dict, Iterable, List, Optional, Set, Union

import pytest

from syncengine.core.entry import Kind, Side, Stamp
from syncengine.core.guards import (
    DEFAULT_MAX_DELETE,
    Blocker,
    BlockerKind,
    Guards,
    Limit,
    emptied_blockers,
    guard_blockers,
)
from syncengine.core.plan_parts import Action, Operation, Reason
from syncengine.errors import RecipeError

SOURCE, DESTINATION = Side.SOURCE, Side.DESTINATION
STAMP = Stamp(size=7)


def operation(
    action: Action,
    path: str = "f",
    side: Side = DESTINATION,
    *,
    kind: Kind = Kind.FILE,
    stamp: Optional[Stamp] = STAMP,
    size: int = 0,
    reason: Reason = Reason.CONTENT_DIFFERS,
) -> Operation:
    return Operation(action, kind, side, path, expect_target=stamp, size=size, reason=reason)


def deletions(count: int, side: Side = DESTINATION) -> List[Operation]:
    return [operation(Action.DELETE, f"f{number}", side) for number in range(count)]


def found(
    operations: Iterable[Operation], guards: Guards, live: int = 100, *, allow_mass_delete: bool = False
) -> List[Blocker]:
    holds: Dict[Side, int] = dict.fromkeys(Side, live)
    return list(guard_blockers(operations, guards, holds, allow_mass_delete=allow_mass_delete))


# ------------------------------------------------------------------------------------------------------------ limits


@pytest.mark.parametrize(
    ("limit", "number", "of", "allowed"),
    [
        ("0", 0, 10, True),
        ("0", 1, 10, False),
        ("25", 25, 30, True),
        ("25", 26, 1_000_000, False),
        ("5%", 5, 100, True),
        ("5%", 6, 100, False),
        ("5%", 1, 10, False),
        ("0%", 1, 10, False),
        ("100%", 10, 10, True),
        ("12.5%", 1, 8, True),
        ("50%", 1, 0, False),
        (DEFAULT_MAX_DELETE, 5, 10, True),
        (DEFAULT_MAX_DELETE, 6, 10, False),
        (DEFAULT_MAX_DELETE, 9, 9, True),
        (DEFAULT_MAX_DELETE, 10, 9, False),
        (DEFAULT_MAX_DELETE, 812, 3, False),
    ],
)
def test_a_limit_is_a_count_or_a_share(limit: Union[str, Limit], number: int, of: int, allowed: bool) -> None:
    assert Limit.parse(limit).allows(number, of=of) is allowed


@pytest.mark.parametrize("text", ["", "many", "-1", "1.5", "5 %x", "%", "1e3", "101%", "True"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(RecipeError):
        Limit.parse(text)


@pytest.mark.parametrize("fraction", [-0.1, 1.1])
def test_a_share_lies_between_nothing_and_all(fraction: float) -> None:
    with pytest.raises(RecipeError, match="between 0 and 1"):
        Limit.share(fraction)


@pytest.mark.parametrize(
    ("text", "shown"), [("25", "25"), ("1000", "1,000"), ("5%", "5%"), ("12.5%", "12.5%"), (" 5 % ", "5%")]
)
def test_a_limit_reads_as_it_was_asked_for(text: str, shown: str) -> None:
    assert str(Limit.parse(text)) == shown


def test_guards_take_limits_and_patterns_as_people_write_them() -> None:
    guards = Guards(max_delete="5%", max_overwrite="10", protect="*.db")

    assert guards == Guards(max_delete=Limit.share(0.05), max_overwrite=Limit(count=10), protect=("*.db",))


def test_only_deletions_and_emptied_sides_are_guarded_by_default() -> None:
    assert Guards() == Guards(max_delete=DEFAULT_MAX_DELETE, stop_if_emptied=True)
    assert not found([*deletions(100), operation(Action.UPDATE, "u", size=10**15)], Guards.off())


# -------------------------------------------------------------------------------------------------------- max_delete


@pytest.mark.parametrize(("count", "blocked"), [(0, False), (50, False), (51, True), (100, True)])
@pytest.mark.parametrize("side", list(Side))
def test_deleting_more_than_half_of_a_side_is_refused(count: int, blocked: bool, side: Side) -> None:
    blockers = found(deletions(count, side), Guards())

    assert [(each.kind, each.side) for each in blockers] == ([(BlockerKind.MAX_DELETE, side)] if blocked else [])
    assert not found(deletions(count, side), Guards(), allow_mass_delete=True)


def test_each_side_is_counted_by_itself() -> None:
    both = [*deletions(40, SOURCE), *deletions(40, DESTINATION)]

    assert not found(both, Guards())
    assert len(found([*both, *deletions(60, SOURCE)[40:], *deletions(60)[40:]], Guards())) == 2


@pytest.mark.parametrize(
    "harmless",
    [
        operation(Action.DELETE, "d", kind=Kind.DIRECTORY, stamp=Stamp()),
        operation(Action.MOVE, "new", stamp=None),
        operation(Action.CREATE, "new", stamp=None),
        operation(Action.UPDATE, "f"),
        operation(Action.TOUCH, "f"),
    ],
)
def test_only_files_that_disappear_are_deletions(harmless: Operation) -> None:
    assert not found([harmless], Guards(max_delete="0"))


def test_the_message_says_the_numbers_and_both_cures() -> None:
    (blocker,) = found(deletions(812), Guards(), live=1_040)

    assert "delete 812 of 1,040 files (78%) at the destination; the limit is 50%" in blocker.message
    assert "allow_mass_delete=True (--allow-mass-delete)" in blocker.message
    assert "guards.max_delete" in blocker.message


# -------------------------------------------------------------------------------------------- overwrites, bytes, names


@pytest.mark.parametrize(
    ("replacing", "counts"),
    [
        (operation(Action.UPDATE), True),
        (operation(Action.MOVE), True),
        (operation(Action.COPY), True),
        (operation(Action.MOVE, stamp=None), False),
        (operation(Action.CREATE, stamp=None), False),
        (operation(Action.TOUCH), False),
        (operation(Action.DELETE), False),
        (operation(Action.UPDATE, kind=Kind.DIRECTORY, reason=Reason.KIND_CHANGED), True),
        (operation(Action.UPDATE, stamp=Stamp(), reason=Reason.KIND_CHANGED), False),
    ],
)
def test_replacing_a_file_counts_as_overwriting(replacing: Operation, counts: bool) -> None:
    kinds = [each.kind for each in found([replacing], Guards(max_delete=None, max_overwrite="0"))]

    assert kinds == ([BlockerKind.MAX_OVERWRITE] if counts else [])


@pytest.mark.parametrize(("limit", "blocked"), [(30, False), (29, True), (0, True)])
def test_bytes_that_travel_are_limited(limit: int, blocked: bool) -> None:
    travelling = [operation(Action.CREATE, str(size), stamp=None, size=size) for size in (10, 20)]
    kinds = [each.kind for each in found(travelling, Guards(max_transfer_bytes=limit))]

    assert kinds == ([BlockerKind.MAX_TRANSFER] if blocked else [])


@pytest.mark.parametrize(
    ("patterns", "refused"),
    [
        (["*.db"], {"a.db", "d/b.db"}),
        (["/d"], {"d/b.db", "d/c"}),
        (["d/"], {"d/b.db", "d/c"}),
        (["*", "!c"], {"a.db", "d/b.db", "d/c"}),
        (["*.db", "!b.db"], {"a.db"}),
        (["nothing"], set()),
    ],
)
def test_what_is_protected_may_not_be_destroyed(patterns: List[str], refused: Set[str]) -> None:
    destroying = [operation(Action.DELETE, "a.db"), operation(Action.UPDATE, "d/b.db"), operation(Action.DELETE, "d/c")]
    harmless = [operation(Action.CREATE, "new.db", stamp=None), operation(Action.DELETE, "d", kind=Kind.DIRECTORY)]
    blockers = found([*destroying, *harmless], Guards(max_delete=None, protect=patterns))

    assert {each.kind for each in blockers} <= {BlockerKind.PROTECTED}
    assert {path for path in ("a.db", "d/b.db", "d/c") if any(path in each.message for each in blockers)} == refused
    assert len(blockers) == len(refused)


def test_every_limit_that_is_exceeded_is_named_at_once() -> None:
    guards = Guards(max_delete="0", max_overwrite="0", max_transfer_bytes=0, protect=("f",))
    everything = [operation(Action.DELETE), operation(Action.UPDATE, "u", size=1), *deletions(1, SOURCE)]

    assert [(each.kind, each.side) for each in found(everything, guards)] == [
        (BlockerKind.MAX_DELETE, SOURCE),
        (BlockerKind.MAX_DELETE, DESTINATION),
        (BlockerKind.MAX_OVERWRITE, DESTINATION),
        (BlockerKind.MAX_TRANSFER, None),
        (BlockerKind.PROTECTED, DESTINATION),
    ]


# ------------------------------------------------------------------------------------------------------ emptied sides


@pytest.mark.parametrize(
    ("here", "there", "remembered", "alone", "expected"),
    [
        (0, 5, 5, False, BlockerKind.SIDE_EMPTIED),
        (0, 5, 5, True, BlockerKind.SIDE_EMPTIED),
        (0, 5, 2, False, BlockerKind.SIDE_EMPTIED),
        (0, 5, 1, False, None),
        (0, 5, 1, True, BlockerKind.AUTHORITY_EMPTY),
        (0, 5, 0, True, BlockerKind.AUTHORITY_EMPTY),
        (0, 5, 0, False, None),
        (0, 0, 5, True, None),
        (1, 5, 5, True, None),
        (5, 0, 5, True, None),
    ],
)
@pytest.mark.parametrize("side", list(Side))
def test_emptiness_does_not_spread(
    here: int, there: int, remembered: int, alone: bool, expected: Optional[BlockerKind], side: Side
) -> None:
    seen = {side: here, side.other: there}
    blockers = list(emptied_blockers(side, seen, remembered, alone_decides=alone))

    assert [(each.kind, each.side) for each in blockers] == ([] if expected is None else [(expected, side)])
    assert all("allow_emptied=True (--allow-emptied)" in each.message for each in blockers)
