"""How a conflict is decided, by a policy or by a reviewer, and which operations carry the decision out."""

from __future__ import annotations

from typing import Dict, List, Optional, Set, Tuple

import pytest
from attrs import evolve

from syncengine.core.entry import Kind, Side, Stamp
from syncengine.core.modes import ConflictPolicy, Retain, SyncMode
from syncengine.core.plan import Plan
from syncengine.core.plan_parts import (
    Action,
    Conflict,
    ConflictKind,
    Endpoint,
    Inside,
    Operation,
    Reason,
    Resolution,
    Settings,
    StateRef,
)
from syncengine.core.resolve import (
    TOLERANCE_NS,
    _identity,
    conflict_copy,
    decided,
    keeps_both,
    newer,
    newest,
    operations_for,
    winner_of,
)
from syncengine.errors import RecipeError

SOURCE, DESTINATION = Side.SOURCE, Side.DESTINATION
OLD, NEW = Stamp(3, 10_000_000_000), Stamp(5, 20_000_000_000)
BASE = Stamp(1, 0)


def conflict(kind: ConflictKind, source: Optional[Stamp] = OLD, destination: Optional[Stamp] = NEW) -> Conflict:
    times = [None if stamp is None else stamp.mtime_ns for stamp in (source, destination)]
    both = None not in (source, destination)
    return Conflict("d/f.txt", kind, BASE, source, destination, newer=newest(*times) if both else None)


EDITS = (ConflictKind.CREATE_CREATE, ConflictKind.MODIFY_MODIFY)
S, D, BOTH, OPEN = Resolution.SOURCE, Resolution.DESTINATION, Resolution.KEEP_BOTH, None

INSIDE = (
    Inside("d/f.txt", Kind.DIRECTORY, Stamp()),
    Inside("d/f.txt/empty", Kind.DIRECTORY, Stamp()),
    Inside("d/f.txt/new", Kind.FILE, NEW),
    Inside("d/f.txt/sub", Kind.DIRECTORY, Stamp(), removed=True),
    Inside("d/f.txt/sub/old", Kind.FILE, OLD, removed=True),
)
CLASH = Conflict("d/f.txt", ConflictKind.KIND_CLASH, None, OLD, Stamp(), inside=INSIDE)

# Columns: newest, source, destination, keep-both, manual.
POLICIES: List[Tuple[str, Conflict, Tuple[Optional[Resolution], ...]]] = [
    *(("destination newer", conflict(kind), (D, S, D, BOTH, OPEN)) for kind in EDITS),
    *(("source newer", conflict(kind, NEW, OLD), (S, S, D, BOTH, OPEN)) for kind in EDITS),
    *(("a tie", conflict(kind, OLD, OLD), (BOTH, S, D, BOTH, OPEN)) for kind in EDITS),
    *(("no time there", conflict(kind, NEW, Stamp(5)), (BOTH, S, D, BOTH, OPEN)) for kind in EDITS),
    ("removed here", conflict(ConflictKind.DELETE_MODIFY, None), (D, S, D, D, OPEN)),
    ("removed there", conflict(ConflictKind.DELETE_MODIFY, OLD, None), (S, S, D, S, OPEN)),
    ("another kind, contents unknown", conflict(ConflictKind.KIND_CLASH), (OPEN, OPEN, OPEN, OPEN, OPEN)),
    ("another kind", CLASH, (BOTH, BOTH, BOTH, BOTH, OPEN)),
]
POLICY_CELLS = [
    (says, found, policy, expected)
    for says, found, columns in POLICIES
    for policy, expected in zip(ConflictPolicy, columns)
]


@pytest.mark.parametrize(("says", "found", "policy", "expected"), POLICY_CELLS)
def test_a_policy_decides(says: str, found: Conflict, policy: ConflictPolicy, expected: Optional[Resolution]) -> None:
    answer = decided(found, policy)

    assert answer.resolution is expected
    assert answer.open is (expected is None)
    assert answer.decided_by == ("" if expected is None else f"rule:{policy.value}")


@pytest.mark.parametrize("kind", EDITS)
def test_times_that_do_not_count_decide_nothing(kind: ConflictKind) -> None:
    unknown = evolve(conflict(kind), newer=None)

    assert decided(unknown, ConflictPolicy.NEWEST).resolution is BOTH


@pytest.mark.parametrize(
    ("apart", "expected"),
    [(0, BOTH), (TOLERANCE_NS, BOTH), (TOLERANCE_NS + 1, S), (-TOLERANCE_NS, BOTH), (-TOLERANCE_NS - 1, D)],
)
def test_times_within_the_tolerance_are_a_tie(apart: int, expected: Resolution) -> None:
    start = 10**18

    assert newest(start + apart, start) is expected


@pytest.mark.parametrize(("apart", "expected"), [(5 * TOLERANCE_NS, BOTH), (5 * TOLERANCE_NS + 1, S)])
def test_a_coarser_clock_widens_the_tolerance(apart: int, expected: Resolution) -> None:
    assert newest(apart, 0, tolerance_ns=5 * TOLERANCE_NS) is expected


@pytest.mark.parametrize(("source", "destination"), [(Stamp(1), NEW), (NEW, Stamp(1)), (Stamp(1), Stamp(1))])
def test_a_missing_time_is_a_tie_and_the_source_keeps_the_name(source: Stamp, destination: Stamp) -> None:
    found = decided(conflict(EDITS[0], source, destination), ConflictPolicy.NEWEST)

    assert found.resolution is BOTH
    assert winner_of(found) is SOURCE


# ------------------------------------------------------------------------------------------------------- operations


def resolved(found: Conflict, resolution: Resolution) -> Conflict:
    return evolve(found, resolution=resolution, decided_by="user:ann")


@pytest.mark.parametrize("retain", list(Retain))
@pytest.mark.parametrize(
    ("source", "destination", "resolution", "expected"),
    [
        (OLD, NEW, S, (Action.UPDATE, DESTINATION, 3)),
        (OLD, NEW, D, (Action.UPDATE, SOURCE, 5)),
        (OLD, NEW, Resolution.NEWER, (Action.UPDATE, SOURCE, 5)),
        (NEW, OLD, Resolution.NEWER, (Action.UPDATE, DESTINATION, 5)),
        (None, NEW, S, (Action.DELETE, DESTINATION, 0)),
        (None, NEW, D, (Action.CREATE, SOURCE, 5)),
        (None, NEW, BOTH, (Action.CREATE, SOURCE, 5)),
        (None, NEW, Resolution.NEWER, (Action.CREATE, SOURCE, 5)),
        (OLD, None, S, (Action.CREATE, DESTINATION, 3)),
        (OLD, None, D, (Action.DELETE, SOURCE, 0)),
        (OLD, None, BOTH, (Action.CREATE, DESTINATION, 3)),
    ],
)
def test_the_winner_reaches_the_other_side(
    source: Optional[Stamp],
    destination: Optional[Stamp],
    resolution: Resolution,
    expected: Tuple[Action, Side, int],
    retain: Retain,
) -> None:
    found = resolved(conflict(EDITS[1], source, destination), resolution)
    (operation,) = operations_for(found, retain=retain)
    stamps = {SOURCE: source, DESTINATION: destination}
    standing, arriving = stamps[operation.target], stamps[operation.target.other]

    assert (operation.action, operation.target, operation.size) == expected
    assert (operation.expect_target, operation.expect_origin) == (standing, arriving)
    assert operation.retain is (standing is not None and retain is not Retain.NONE)
    assert operation.origin == (None if arriving is None else (operation.target.other, "d/f.txt"))
    assert (operation.reason, operation.chosen_by) == (Reason.CONFLICT, "user:ann")


@pytest.mark.parametrize("found", [conflict(EDITS[0]), resolved(conflict(EDITS[0]), Resolution.SKIP)])
def test_an_open_conflict_touches_nothing(found: Conflict) -> None:
    assert operations_for(found, retain=Retain.ALL) == ()


COPY = f"d/f.conflict-{conflict_copy('x', _identity(OLD)).partition('conflict-')[2]}.txt"


@pytest.mark.parametrize(
    ("to", "copied", "expected"),
    [
        pytest.param(
            BOTH,
            False,
            [
                ("create", "destination", COPY),
                ("move", "source", COPY),
                ("create", "source", "d/f.txt/empty"),
                ("create", "source", "d/f.txt/new"),
                ("delete", "destination", "d/f.txt/sub"),
                ("delete", "destination", "d/f.txt/sub/old"),
            ],
            id="both stay",
        ),
        pytest.param(
            BOTH,
            True,
            [
                ("delete", "source", "d/f.txt", "kept"),
                ("create", "source", "d/f.txt/empty"),
                ("create", "source", "d/f.txt/new"),
                ("delete", "destination", "d/f.txt/sub"),
                ("delete", "destination", "d/f.txt/sub/old"),
            ],
            id="both stay, and the copy stands there already",
        ),
        pytest.param(
            S,
            False,
            [
                ("delete", "destination", "d/f.txt/empty"),
                ("delete", "destination", "d/f.txt/new", "kept"),
                ("delete", "destination", "d/f.txt/sub"),
                ("delete", "destination", "d/f.txt/sub/old"),
                ("update", "destination", "d/f.txt"),
            ],
            id="the file",
        ),
        pytest.param(
            D,
            False,
            [
                ("delete", "source", "d/f.txt", "kept"),
                ("create", "source", "d/f.txt/empty"),
                ("create", "source", "d/f.txt/new"),
                ("create", "source", "d/f.txt/sub/old"),
            ],
            id="the directory",
        ),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_a_clash_of_kinds_is_decided_with_all_that_lies_below(
    to: Resolution, copied: bool, expected: List[Tuple[str, ...]], swapped: bool
) -> None:
    turn = {"source": "destination", "destination": "source"}
    to = Resolution(turn.get(to.value, to.value)) if swapped else to
    found = evolve(CLASH, source=CLASH.destination, destination=CLASH.source) if swapped else CLASH
    operations = operations_for(resolved(found, to), retain=Retain.UNSYNCED, copied=copied)

    said = [
        (each.action.value, each.target.value, each.path, *(["kept"] if each.retain else [])) for each in operations
    ]
    assert said == [(action, turn[side] if swapped else side, *rest) for action, side, *rest in expected]
    assert len({each.id for each in operations}) == len(operations)
    assert {each.group for each in operations} == {"conflict:d/f.txt"}


@pytest.mark.parametrize(("to", "copied"), [(D, False), (BOTH, True)])
def test_an_empty_directory_takes_the_place_of_a_file(to: Resolution, copied: bool) -> None:
    found = resolved(evolve(CLASH, inside=INSIDE[:1]), to)
    (opened,) = operations_for(found, retain=Retain.UNSYNCED, copied=copied)

    assert (opened.action, opened.kind, opened.path) == (Action.UPDATE, Kind.DIRECTORY, "d/f.txt")
    assert (opened.expect_target, opened.retain, opened.kind_before) == (OLD, True, Kind.FILE)


def test_a_store_without_directories_needs_no_room_for_a_file() -> None:
    found = evolve(CLASH, inside=INSIDE[2:3], resolution=S)

    assert [(each.action.value, each.path) for each in operations_for(found, retain=Retain.ALL)] == [
        ("delete", "d/f.txt/new"),
        ("create", "d/f.txt"),
    ]


def test_a_clash_can_be_decided_anew_and_given_up() -> None:
    found = plan_of(CLASH, mode=SyncMode.TWO_WAY)
    one, other = found.resolve("**", to="source"), found.resolve("**", to="keep-both")

    assert one.resolve("**", to="keep-both").operations == other.operations
    assert other.resolve("**", to="source").operations == one.operations
    assert one.resolve("**", to="skip").operations == ()


@pytest.mark.parametrize(
    ("source", "destination", "winner"), [(NEW, OLD, SOURCE), (OLD, NEW, DESTINATION), (OLD, OLD, SOURCE)]
)
@pytest.mark.parametrize("resolution", [BOTH, Resolution.NEWER])
def test_both_are_kept_by_three_operations(
    source: Stamp, destination: Stamp, winner: Side, resolution: Resolution
) -> None:
    found = resolved(conflict(EDITS[0], source, destination), resolution)
    if not keeps_both(found):
        assert newer(found) is not BOTH
        return
    beside, across, over = operations_for(found, retain=Retain.UNSYNCED, identity="sha256:0123456789")
    copy, loser = "d/f.conflict-01234567.txt", winner.other
    losing, winning = (destination, source) if winner is SOURCE else (source, destination)

    assert [(each.action, each.target, each.path) for each in (beside, across, over)] == [
        (Action.COPY, loser, copy),
        (Action.CREATE, winner, copy),
        (Action.UPDATE, loser, "d/f.txt"),
    ]
    assert [each.origin for each in (beside, across, over)] == [
        (loser, "d/f.txt"),
        (loser, "d/f.txt"),
        (winner, "d/f.txt"),
    ]
    assert [each.expect_target for each in (beside, across, over)] == [None, None, losing]
    assert [each.expect_origin for each in (beside, across, over)] == [losing, losing, winning]
    assert [each.size for each in (beside, across, over)] == [0, losing.size, winning.size]
    assert {each.group for each in (beside, across, over)} == {"conflict:d/f.txt"}
    assert not over.retain  # its copy is the retained version


def test_a_copy_that_stood_there_before_does_not_spare_the_trash() -> None:
    found = resolved(conflict(EDITS[0]), BOTH)
    (over,) = operations_for(found, retain=Retain.UNSYNCED, copied=True)
    (unkept,) = operations_for(found, retain=Retain.NONE, copied=True)

    assert (over.action, over.retain, unkept.retain) == (Action.UPDATE, True, False)


@pytest.mark.parametrize(
    ("path", "identity", "number", "expected"),
    [
        ("report.txt", "sha256:0123456789abcdef", 1, "report.conflict-01234567.txt"),
        ("d/e/report", "sha256:0123456789abcdef", 1, "d/e/report.conflict-01234567"),
        ("a.tar.gz", "sha256:0123456789abcdef", 1, "a.tar.conflict-01234567.gz"),
        (".hidden", "sha256:0123456789abcdef", 1, ".hidden.conflict-01234567"),
        ("d.d/.hidden.txt", "sha256:0123456789abcdef", 1, "d.d/.hidden.conflict-01234567.txt"),
        ("report.txt", "0123456789", 1, "report.conflict-01234567.txt"),
        ("report.txt", "md5:ab", 1, "report.conflict-ab.txt"),
        ("report.txt", "sha256:0123456789", 2, "report.conflict-01234567-2.txt"),
        ("report.txt", "sha256:0123456789", 3, "report.conflict-01234567-3.txt"),
    ],
)
def test_the_copy_is_named_after_its_content(path: str, identity: str, number: int, expected: str) -> None:
    assert conflict_copy(path, identity, number) == expected


def copies(loser: Stamp) -> Set[str]:
    found = resolved(conflict(EDITS[0], NEW, loser), BOTH)
    return {each.path for each in operations_for(found, retain=Retain.NONE)} - {"d/f.txt"}


def test_a_version_whose_content_was_not_read_is_named_after_its_stamp() -> None:
    assert copies(OLD) == copies(Stamp(3, 10_000_000_000)) != copies(Stamp(4, 10_000_000_000))
    assert copies(Stamp(3, etag="x")) != copies(Stamp(3, etag="y"))
    assert copies(Stamp(3, 1, digests=("md5:abcdef",))) == {"d/f.conflict-abcdef.txt"}


# ---------------------------------------------------------------------------------------------------- plan.resolve

ENDPOINT = Endpoint("file:///x", "identity")


def plan_of(
    *conflicts: Conflict,
    operations: Tuple[Operation, ...] = (),
    retain: Retain = Retain.UNSYNCED,
    mode: SyncMode = SyncMode.SOURCE_BACKUP,
) -> Plan:
    return Plan.of(
        operations,
        agreements=(),
        conflicts=conflicts,
        problems=(),
        source=ENDPOINT,
        destination=ENDPOINT,
        settings=Settings(mode=mode, retain=retain),
        base=StateRef(),
        created_at="2026-01-01T00:00:00Z",
    )


OTHER = Operation(Action.CREATE, Kind.FILE, DESTINATION, "other", origin=(SOURCE, "other"), expect_origin=OLD, size=3)
TWO = (conflict(EDITS[0]), evolve(conflict(EDITS[1], NEW, OLD), path="e"))


@pytest.mark.parametrize(
    ("to", "resolution"),
    [
        ("source", S),
        ("destination", D),
        ("newer", Resolution.NEWER),
        ("newest", Resolution.NEWER),
        ("keep-both", BOTH),
        ("keep_both", BOTH),
        ("skip", Resolution.SKIP),
        (Side.SOURCE, S),
        (Resolution.KEEP_BOTH, BOTH),
    ],
)
def test_a_reviewer_decides_by_name(to: str, resolution: Resolution) -> None:
    before = plan_of(*TWO, operations=(OTHER,))
    after = before.resolve("d/**", to=to, by="ann")
    first, second = after.conflicts

    assert (first.resolution, first.decided_by) == (resolution, "user:ann")
    assert second == TWO[1]
    assert set(after.operations) - {OTHER} == set(operations_for(first, retain=Retain.UNSYNCED))
    assert OTHER in after.operations


def test_the_plan_that_is_resolved_stays_as_it_was() -> None:
    before = plan_of(*TWO, operations=(OTHER,)).approve(by="ann")
    digest, approvals = before.digest, before.approvals
    after = before.resolve("**", to="source")

    assert (before.digest, before.approvals, before.conflicts, before.operations) == (digest, approvals, TWO, (OTHER,))
    assert (after.parent_digest, after.root_digest, after.approvals) == (digest, digest, ())


@pytest.mark.parametrize("to", ["source", "destination", "newer", "keep-both"])
def test_only_recorded_conflicts_become_operations(to: str) -> None:
    after = plan_of(*TWO).resolve(lambda _: True, to=to)
    recorded = {each.path for each in TWO}

    for operation in after.operations:
        assert operation.path in recorded or ".conflict-" in operation.path
        assert operation.origin is None or operation.origin[1] in recorded
    assert plan_of().resolve("**", to=to).operations == ()


def test_another_decision_replaces_the_first() -> None:
    found = plan_of(*TWO, operations=(OTHER,))
    decisions: Dict[str, Plan] = {
        to: found.resolve("**", to=to) for to in ("source", "destination", "keep-both", "skip")
    }
    for first in decisions.values():
        for to, alone in decisions.items():
            assert first.resolve("**", to=to).operations == alone.operations


def test_a_match_of_nothing_is_the_same_plan() -> None:
    found = plan_of(*TWO)

    assert found.resolve("nowhere", to="source") is found


def test_a_clash_of_kinds_is_not_decided_by_a_name() -> None:
    found = plan_of(conflict(ConflictKind.KIND_CLASH))

    with pytest.raises(RecipeError, match="cannot be resolved by editing a plan"):
        found.resolve("**", to="source")


def test_retention_follows_the_settings_of_the_plan() -> None:
    kept = plan_of(*TWO).resolve("**", to="source")
    unkept = plan_of(*TWO, retain=Retain.NONE).resolve("**", to="source")

    assert {each.retain for each in kept.operations} == {True}
    assert {each.retain for each in unkept.operations} == {False}


def test_an_unknown_decision_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'source'"):
        plan_of(*TWO).resolve("**", to="sorce")


def test_newer_is_refused_where_times_are_not_those_of_the_content() -> None:
    uploaded = evolve(conflict(EDITS[1]), newer=None)

    with pytest.raises(RecipeError, match=r"d/f\.txt is newer is not known.*keep-both"):
        plan_of(uploaded).resolve("**", to="newer")
    assert plan_of(uploaded).resolve("**", to="keep-both").unresolved == ()


def test_newer_needs_no_times_where_there_is_only_one_version() -> None:
    assert plan_of(conflict(ConflictKind.DELETE_MODIFY, None)).resolve("**", to="newer").unresolved == ()
