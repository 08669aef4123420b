"""The decision table, cell by cell, against a copy of it that was typed from the description and not from the code."""

from __future__ import annotations

from itertools import product
from typing import Dict, Iterator, Optional, Tuple

import pytest
from attrs import evolve, frozen

from syncengine.core.comparator import Change, Comparison, Equality, SideChange
from syncengine.core.drafts import Drafts, SideTraits
from syncengine.core.entry import Base, Entry, Kind, Side, Stamp
from syncengine.core.merge import Region, Views
from syncengine.core.modes import InitialSyncPreference, OnlyIf, Retain, SyncMode
from syncengine.core.plan_parts import AgreementKind, ConflictKind, Settings
from syncengine.core.planner import Planner
from syncengine.core.reconcile import Decision, Effect, Policy, leading_sides, prefers, reconcile, row_of

MODES = ("two-way", "source-to-destination", "source-backup", "destination-to-source", "destination-backup")
ABSENT, CREATED, SAME, TOUCHED, MODIFIED, REMOVED = (
    SideChange.ABSENT,
    SideChange.CREATED,
    SideChange.SAME,
    SideChange.TOUCHED,
    SideChange.MODIFIED,
    SideChange.REMOVED,
)
EQUAL, DIFFERENT, UNKNOWN = Equality.EQUAL, Equality.DIFFERENT, Equality.UNKNOWN

TABLE = """
T1  neither side has it and nobody remembers it      | —        | —        | —        | —        | —
T2  new at the source                                | →D       | →D       | →D       | ✗Sʳ      | —
T3  new at the destination                           | →S       | ✗Dʳ      | —        | →S       | →S
T4  new on both sides with equal content             | adopt    | adopt    | adopt    | adopt    | adopt
T5  new on both sides with different content         | !        | →Dʳ      | →Dʳ      | →Sʳ      | →Sʳ
T6  unchanged on both sides                          | —        | —        | —        | —        | —
T7  edited at the source                             | →D       | →D       | →D       | →Sʳ      | →Sʳ
T8  edited at the destination                        | →S       | →Dʳ      | →Dʳ      | →S       | →S
T9  edited alike on both sides                       | converge | converge | converge | converge | converge
T10 edited differently on both sides                 | !        | →Dʳ      | →Dʳ      | →Sʳ      | →Sʳ
T11 removed at the source                            | ✗D       | ✗D       | —        | →S       | →S
T12 removed at the destination                       | ✗S       | →D       | →D       | ✗S       | —
T13 removed on both sides                            | forget   | forget   | forget   | forget   | forget
T14 removed at the source, edited at the destination | !        | ✗Dʳ      | —        | →S       | →S
T15 edited at the source, removed at the destination | !        | →D       | →D       | ✗Sʳ      | —
"""

SITUATIONS: Dict[str, Tuple[SideChange, SideChange, Equality]] = {
    "T1": (ABSENT, ABSENT, UNKNOWN),
    "T2": (CREATED, ABSENT, UNKNOWN),
    "T3": (ABSENT, CREATED, UNKNOWN),
    "T4": (CREATED, CREATED, EQUAL),
    "T5": (CREATED, CREATED, DIFFERENT),
    "T6": (SAME, SAME, EQUAL),
    "T7": (MODIFIED, SAME, DIFFERENT),
    "T8": (SAME, MODIFIED, DIFFERENT),
    "T9": (MODIFIED, MODIFIED, EQUAL),
    "T10": (MODIFIED, MODIFIED, DIFFERENT),
    "T11": (REMOVED, SAME, UNKNOWN),
    "T12": (SAME, REMOVED, UNKNOWN),
    "T13": (REMOVED, REMOVED, UNKNOWN),
    "T14": (REMOVED, MODIFIED, UNKNOWN),
    "T15": (MODIFIED, REMOVED, UNKNOWN),
}
WITHOUT_BASE = ("T1", "T2", "T3", "T4", "T5")


def change(
    row: str, *, live: bool = True, weak: bool = False, kind: Kind = Kind.FILE, mtimes: Tuple[int, int] = (1, 1)
) -> Change:
    """Return a change that falls into *row*."""
    at_source, at_destination, equality = SITUATIONS[row]
    base = None if row in WITHOUT_BASE else Base("f", kind, Stamp(size=1), Stamp(size=1), live=live, weak=weak)
    entries = [
        None if what in (ABSENT, REMOVED) else Entry("f", kind, Stamp(size=1, mtime_ns=mtime))
        for what, mtime in zip((at_source, at_destination), mtimes)
    ]
    return Change("f", base, entries[0], entries[1], Comparison(at_source, at_destination, equality))


def said(decision: Decision) -> str:
    """Return a decision as a cell of the table reads."""
    return decision.effect.value + ("ʳ" if decision.retain else "")


@frozen
class Cell:
    row: str
    says: str
    mode: SyncMode
    expected: str

    def __str__(self) -> str:
        return f"{self.row} {self.says} in {self.mode.value}: {self.expected}"


def cells(table: str) -> Iterator[Cell]:
    for line in table.strip().splitlines():
        head, *columns = (part.strip() for part in line.split("|"))
        row, _, says = head.partition(" ")
        for mode, expected in zip(MODES, columns):
            yield Cell(row, says.strip(), SyncMode(mode), expected)


CELLS = tuple(cells(TABLE))


def test_the_table_has_fifteen_rows_and_five_modes() -> None:
    assert len(CELLS) == 75
    assert len({(cell.row, cell.mode) for cell in CELLS}) == 75


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_cell_of_the_table(cell: Cell) -> None:
    decision = reconcile(change(cell.row), Policy(cell.mode))

    assert (decision.row, said(decision)) == (cell.row, cell.expected)


# A base that says what was agreed, while absence proves nothing: nothing is deleted in two-way, and whatever is
# replaced is kept, because it was promised to be kept.
DORMANT = """
T6  unchanged on both sides                          | —        | —        | —        | —        | —
T7  edited at the source                             | →Dʳ      | →Dʳ      | →Dʳ      | →Sʳ      | →Sʳ
T8  edited at the destination                        | →Sʳ      | →Dʳ      | →Dʳ      | →Sʳ      | →Sʳ
T9  edited alike on both sides                       | converge | converge | converge | converge | converge
T10 edited differently on both sides                 | !        | →Dʳ      | →Dʳ      | →Sʳ      | →Sʳ
T11 removed at the source                            | →S       | ✗Dʳ      | —        | →S       | →S
T12 removed at the destination                       | →D       | →D       | →D       | ✗Sʳ      | —
T13 removed on both sides                            | forget   | forget   | forget   | forget   | forget
T14 removed at the source, edited at the destination | →S       | ✗Dʳ      | —        | →S       | →S
T15 edited at the source, removed at the destination | →D       | →D       | →D       | ✗Sʳ      | —
"""


@pytest.mark.parametrize("cell", tuple(cells(DORMANT)), ids=str)
def test_a_dormant_base_restores_and_keeps_what_is_replaced(cell: Cell) -> None:
    decision = reconcile(change(cell.row, live=False), Policy(cell.mode))

    assert said(decision) == cell.expected


@pytest.mark.parametrize("row", ["T11", "T12", "T14", "T15"])
@pytest.mark.parametrize("mode", list(SyncMode))
def test_the_base_becomes_dormant_exactly_where_a_backup_skips_a_deletion(row: str, mode: SyncMode) -> None:
    decision = reconcile(change(row), Policy(mode))

    assert decision.dormant is (decision.effect is Effect.NOTHING)


@pytest.mark.parametrize("mode", list(SyncMode))
def test_nothing_else_makes_a_base_dormant(mode: SyncMode) -> None:
    for row in set(SITUATIONS) - {"T11", "T12", "T14", "T15"}:
        assert not reconcile(change(row), Policy(mode)).dormant


# --------------------------------------------------------------------------------------- the first two-way sync

PREFERENCES = (
    ("T2", "only at the source", "→D", "→D", "✗Sʳ"),
    ("T3", "only at the destination", "→S", "✗Dʳ", "→S"),
    ("T4", "equal", "adopt", "adopt", "adopt"),
    ("T5", "different", "!", "→Dʳ", "→Sʳ"),
)
PREFERENCE_CELLS = tuple(
    (row, preference, expected)
    for row, _, *columns in PREFERENCES
    for preference, expected in zip(InitialSyncPreference, columns)
)


@pytest.mark.parametrize(("row", "preference", "expected"), PREFERENCE_CELLS)
def test_a_first_sync_follows_its_preference(row: str, preference: InitialSyncPreference, expected: str) -> None:
    decision = reconcile(change(row), Policy(SyncMode.TWO_WAY, initial=preference))

    assert said(decision) == expected


@pytest.mark.parametrize(
    ("todo", "expected"), [(("",), "✗Dʳ"), (("f",), "✗Dʳ"), (("d",), "→S"), (("d", "f/x"), "→S"), ((), "→S")]
)
def test_a_preference_governs_only_what_the_first_sync_has_not_seen(todo: Tuple[str, ...], expected: str) -> None:
    policy = Policy(SyncMode.TWO_WAY, initial=InitialSyncPreference.SOURCE_WINS, todo=todo)

    assert said(reconcile(evolve(change("T3"), path="f"), policy)) == expected


@pytest.mark.parametrize("preference", list(InitialSyncPreference))
@pytest.mark.parametrize("row", [row for row in SITUATIONS if row not in WITHOUT_BASE])
def test_a_path_with_a_base_never_follows_the_preference(row: str, preference: InitialSyncPreference) -> None:
    with_it = reconcile(change(row), Policy(SyncMode.TWO_WAY, initial=preference))

    assert with_it == reconcile(change(row), Policy(SyncMode.TWO_WAY))


@pytest.mark.parametrize("row", ["T2", "T3"])
def test_a_deletion_by_preference_is_kept_even_where_nothing_else_is(row: str) -> None:
    for preference in (InitialSyncPreference.SOURCE_WINS, InitialSyncPreference.DESTINATION_WINS):
        decision = reconcile(change(row), Policy(SyncMode.TWO_WAY, Retain.NONE, initial=preference))

        assert decision.retain is decision.effect.deletes


@pytest.mark.parametrize("mode", [mode for mode in SyncMode if mode is not SyncMode.TWO_WAY])
@pytest.mark.parametrize("row", WITHOUT_BASE)
def test_one_way_modes_know_no_preference(mode: SyncMode, row: str) -> None:
    with_it = reconcile(change(row), Policy(mode, initial=InitialSyncPreference.SOURCE_WINS))

    assert with_it == reconcile(change(row), Policy(mode))


# ------------------------------------------------------------------------------------------------------ retaining


def destroying() -> Iterator[Tuple[str, SyncMode, bool]]:
    """Yield the cells that destroy a version, with their mark."""
    for cell in CELLS:
        effect = Effect(cell.expected.rstrip("ʳ"))
        if effect.target is not None and change(cell.row).entry(effect.target) is not None:
            yield cell.row, cell.mode, cell.expected.endswith("ʳ")


DESTROYING = tuple(destroying())


@pytest.mark.parametrize(("row", "mode", "marked"), DESTROYING)
@pytest.mark.parametrize("retain", list(Retain))
def test_a_destroyed_version_is_kept_as_the_settings_ask(
    row: str, mode: SyncMode, marked: bool, retain: Retain
) -> None:
    decision = reconcile(change(row), Policy(mode, retain))

    assert decision.retain is {Retain.ALL: True, Retain.NONE: False, Retain.UNSYNCED: marked}[retain]


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_nothing_is_kept_where_nothing_is_destroyed(cell: Cell) -> None:
    destroys = any((row, mode) == (cell.row, cell.mode) for row, mode, _ in DESTROYING)

    assert destroys or not reconcile(change(cell.row), Policy(cell.mode, Retain.ALL)).retain


@pytest.mark.parametrize(("row", "mode", "marked"), [case for case in DESTROYING if case[0] not in WITHOUT_BASE])
def test_what_a_weak_agreement_destroys_is_kept(row: str, mode: SyncMode, marked: bool) -> None:
    assert reconcile(change(row, weak=True), Policy(mode)).retain
    assert not reconcile(change(row, weak=True), Policy(mode, Retain.NONE)).retain


@pytest.mark.parametrize(("row", "mode", "marked"), DESTROYING)
def test_a_directory_is_never_retained(row: str, mode: SyncMode, marked: bool) -> None:
    assert not reconcile(change(row, kind=Kind.DIRECTORY), Policy(mode, Retain.ALL)).retain


# ----------------------------------------------------------------------------------- unknown, touched, and equal


@pytest.mark.parametrize(("row", "falls_into"), [("T4", "T5"), ("T9", "T10")])
@pytest.mark.parametrize("mode", list(SyncMode))
def test_an_answer_that_could_not_be_had_is_never_taken_for_equal(row: str, falls_into: str, mode: SyncMode) -> None:
    known = change(row)
    unknown = evolve(known, comparison=evolve(known.comparison, equality=UNKNOWN))

    assert reconcile(unknown, Policy(mode)) == reconcile(change(falls_into), Policy(mode))


@pytest.mark.parametrize("row", ["T7", "T8"])
def test_one_sided_edits_back_to_equal_content_converge(row: str) -> None:
    edited = change(row)
    equal = evolve(edited, comparison=evolve(edited.comparison, equality=EQUAL))

    assert row_of(equal) == "T9"


@pytest.mark.parametrize(
    ("at_source", "at_destination", "row"),
    [
        (TOUCHED, SAME, "T6"),
        (SAME, TOUCHED, "T6"),
        (TOUCHED, TOUCHED, "T6"),
        (MODIFIED, TOUCHED, "T7"),
        (TOUCHED, MODIFIED, "T8"),
        (REMOVED, TOUCHED, "T11"),
        (TOUCHED, REMOVED, "T12"),
    ],
)
def test_a_touched_file_counts_as_unchanged(at_source: SideChange, at_destination: SideChange, row: str) -> None:
    plain = change(row)
    comparison = evolve(plain.comparison, source=at_source, destination=at_destination)

    assert row_of(evolve(plain, comparison=comparison)) == row


# ---------------------------------------------------------------------------------------------- force and only_if

FORCED = {
    "two-way": "→D",
    "source-to-destination": "→D",
    "source-backup": "→D",
    "destination-to-source": "→S",
    "destination-backup": "→S",
}


@pytest.mark.parametrize("row", ["T4", "T6", "T9"])
@pytest.mark.parametrize("mode", MODES)
def test_force_transfers_what_is_equal_and_keeps_nothing(row: str, mode: str) -> None:
    assert said(reconcile(change(row), Policy(SyncMode(mode), force=True))) == FORCED[mode]


@pytest.mark.parametrize("row", ["T4", "T6", "T9"])
def test_force_keeps_what_was_only_weakly_equal(row: str) -> None:
    found = change(row)
    weakly = evolve(found, comparison=evolve(found.comparison, weak=True))

    assert reconcile(weakly, Policy(SyncMode.SOURCE_BACKUP, force=True)).retain


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell.row not in ("T4", "T6", "T9")], ids=str)
def test_force_changes_nothing_about_what_differs(cell: Cell) -> None:
    assert said(reconcile(change(cell.row), Policy(cell.mode, force=True))) == cell.expected


REPLACING = tuple((row, mode) for row, mode, _ in DESTROYING if not reconcile(change(row), Policy(mode)).effect.deletes)


@pytest.mark.parametrize(("row", "mode"), REPLACING)
@pytest.mark.parametrize("only_if", [OnlyIf.MISSING, OnlyIf.IMMUTABLE])
def test_an_existing_file_is_not_replaced(row: str, mode: SyncMode, only_if: OnlyIf) -> None:
    decision = reconcile(change(row), Policy(mode, only_if=only_if))

    assert decision.effect is Effect.NOTHING
    assert decision.refused
    assert not decision.retain
    assert not decision.dormant


@pytest.mark.parametrize(("row", "mode"), REPLACING)
@pytest.mark.parametrize(("at_target", "arriving", "replaced"), [(1, 2, True), (2, 1, False), (1, 1, False)])
def test_only_a_newer_file_replaces(row: str, mode: SyncMode, at_target: int, arriving: int, replaced: bool) -> None:
    wanted = reconcile(change(row), Policy(mode))
    mtimes = (arriving, at_target) if wanted.effect.target is Side.DESTINATION else (at_target, arriving)
    decision = reconcile(change(row, mtimes=mtimes), Policy(mode, only_if=OnlyIf.NEWER))

    assert decision == wanted if replaced else (decision.effect is Effect.NOTHING and bool(decision.refused))


def test_a_missing_time_is_never_newer() -> None:
    edited = change("T7")
    assert edited.source is not None
    timeless = evolve(edited, source=evolve(edited.source, stamp=Stamp(size=1)))

    assert reconcile(timeless, Policy(SyncMode.TWO_WAY, only_if=OnlyIf.NEWER)).refused == "it is not newer"


@pytest.mark.parametrize("cell", [c for c in CELLS if (c.row, c.mode) not in REPLACING], ids=str)
@pytest.mark.parametrize("only_if", list(OnlyIf))
def test_only_if_is_about_replacing_alone(cell: Cell, only_if: OnlyIf) -> None:
    assert said(reconcile(change(cell.row), Policy(cell.mode, only_if=only_if))) == cell.expected


@pytest.mark.parametrize(("row", "expected"), [("T4", "adopt"), ("T6", "—"), ("T9", "converge")])
@pytest.mark.parametrize("only_if", [OnlyIf.MISSING, OnlyIf.NEWER, OnlyIf.IMMUTABLE])
def test_what_only_if_does_not_let_force_replace_is_simply_equal(row: str, expected: str, only_if: OnlyIf) -> None:
    decision = reconcile(change(row), Policy(SyncMode.SOURCE_BACKUP, only_if=only_if, force=True))

    assert (said(decision), decision.refused) == (expected, None)


# -------------------------------------------------------------------------------------------------- conflict kinds


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("T5", ConflictKind.CREATE_CREATE),
        ("T10", ConflictKind.MODIFY_MODIFY),
        ("T14", ConflictKind.DELETE_MODIFY),
        ("T15", ConflictKind.DELETE_MODIFY),
    ],
)
def test_a_conflict_says_its_kind(row: str, kind: ConflictKind) -> None:
    assert reconcile(change(row), Policy(SyncMode.TWO_WAY)).conflict is kind
    assert reconcile(change(row), Policy(SyncMode.SOURCE_TO_DESTINATION)).conflict is None


# -------------------------------------------------------------------------------------------------------- symmetry

MIRRORED_MODE = {
    SyncMode.TWO_WAY: SyncMode.TWO_WAY,
    SyncMode.SOURCE_TO_DESTINATION: SyncMode.DESTINATION_TO_SOURCE,
    SyncMode.DESTINATION_TO_SOURCE: SyncMode.SOURCE_TO_DESTINATION,
    SyncMode.SOURCE_BACKUP: SyncMode.DESTINATION_BACKUP,
    SyncMode.DESTINATION_BACKUP: SyncMode.SOURCE_BACKUP,
}
MIRRORED_PREFERENCE: Dict[Optional[InitialSyncPreference], Optional[InitialSyncPreference]] = {
    None: None,
    InitialSyncPreference.MERGE: InitialSyncPreference.MERGE,
    InitialSyncPreference.SOURCE_WINS: InitialSyncPreference.DESTINATION_WINS,
    InitialSyncPreference.DESTINATION_WINS: InitialSyncPreference.SOURCE_WINS,
}
MIRRORED_EFFECT = {
    **{effect: effect for effect in Effect},
    Effect.TO_SOURCE: Effect.TO_DESTINATION,
    Effect.TO_DESTINATION: Effect.TO_SOURCE,
    Effect.DELETE_SOURCE: Effect.DELETE_DESTINATION,
    Effect.DELETE_DESTINATION: Effect.DELETE_SOURCE,
}
MIRRORED_ROW = {
    **{row: row for row in SITUATIONS},
    "T2": "T3",
    "T3": "T2",
    "T7": "T8",
    "T8": "T7",
    "T11": "T12",
    "T12": "T11",
    "T14": "T15",
    "T15": "T14",
}


def swapped(found: Change) -> Change:
    """Return *found* as it looks with the sides exchanged."""
    comparison = found.comparison
    return Change(
        found.path,
        found.base,
        found.destination,
        found.source,
        Comparison(comparison.destination, comparison.source, comparison.equality, comparison.weak),
    )


def all_changes() -> Iterator[Change]:
    for row, live, weak, mtimes in product(SITUATIONS, (True, False), (True, False), ((1, 2), (2, 1))):
        yield change(row, live=live, weak=weak, mtimes=mtimes)


@pytest.mark.parametrize("mode", list(SyncMode))
def test_exchanging_the_sides_and_mirroring_the_mode_mirrors_every_decision(mode: SyncMode) -> None:
    # Forced two-way transfers have no leading side: they go to the destination, so force is mirrored one way only.
    forces = (False,) if mode is SyncMode.TWO_WAY else (False, True)
    for found, retain, initial, only_if, force in product(all_changes(), Retain, MIRRORED_PREFERENCE, OnlyIf, forces):
        decision = reconcile(found, Policy(mode, retain, initial, only_if, force))
        mirrored = reconcile(
            swapped(found), Policy(MIRRORED_MODE[mode], retain, MIRRORED_PREFERENCE[initial], only_if, force)
        )

        assert mirrored == evolve(decision, row=MIRRORED_ROW[decision.row], effect=MIRRORED_EFFECT[decision.effect])


@pytest.mark.parametrize(
    ("mode", "leading"),
    [
        ("two-way", {Side.SOURCE, Side.DESTINATION}),
        ("source-to-destination", {Side.SOURCE}),
        ("source-backup", set()),
        ("destination-to-source", {Side.DESTINATION}),
        ("destination-backup", set()),
    ],
)
def test_absences_spread_from_the_leading_sides_only(mode: str, leading: set[Side]) -> None:
    assert set(leading_sides(SyncMode(mode))) == leading


def test_a_preference_is_for_one_side() -> None:
    assert prefers(InitialSyncPreference.SOURCE_WINS, Side.SOURCE)
    assert prefers(InitialSyncPreference.DESTINATION_WINS, Side.DESTINATION)
    assert not prefers(InitialSyncPreference.MERGE, Side.SOURCE)
    assert not prefers(None, Side.DESTINATION)
    assert not prefers(InitialSyncPreference.SOURCE_WINS, Side.DESTINATION)


# ---------------------------------------------------------------------------------------------------- completeness

SINCE = {None: (ABSENT, CREATED), True: (SAME, TOUCHED, MODIFIED, REMOVED), False: (SAME, TOUCHED, MODIFIED, REMOVED)}
"""What can have happened on a side, without a base, since a live one, and since a dormant one."""


def situations() -> Iterator[Tuple[Optional[bool], SideChange, SideChange, Equality]]:
    """Yield every situation that a path can be in: equality is asked only where both sides hold something."""
    for live, since in SINCE.items():
        for at_source, at_destination in product(since, since):
            both = not {ABSENT, REMOVED} & {at_source, at_destination}
            untouched = {at_source, at_destination} <= {SAME, TOUCHED}
            for equality in ((EQUAL,) if untouched else Equality) if both else (UNKNOWN,):
                yield live, at_source, at_destination, equality


def in_situation(live: Optional[bool], at_source: SideChange, at_destination: SideChange, equality: Equality) -> Change:
    base = None if live is None else Base("f", Kind.FILE, Stamp(size=1), Stamp(size=1), live=live)
    source, destination = (
        None if what in (ABSENT, REMOVED) else Entry("f", Kind.FILE, Stamp(size=1, mtime_ns=1))
        for what in (at_source, at_destination)
    )
    return Change("f", base, source, destination, Comparison(at_source, at_destination, equality))


EXPECTED = {
    **{(cell.row, None if cell.row in WITHOUT_BASE else True, cell.mode): cell.expected for cell in CELLS},
    **{(cell.row, False, cell.mode): cell.expected for cell in cells(DORMANT)},
}


def test_the_tables_of_this_file_cover_every_combination_of_row_base_and_mode() -> None:
    with_base = set(SITUATIONS) - set(WITHOUT_BASE)
    bases = [*product(WITHOUT_BASE, [None]), *product(with_base, [True, False])]

    assert set(EXPECTED) == {(row, live, SyncMode(mode)) for (row, live), mode in product(bases, MODES)}


def test_every_situation_falls_into_a_row_and_every_row_is_met() -> None:
    met = {(row_of(in_situation(*each)), each[0]) for each in situations()}

    assert met == {(row, live) for row, live, _ in EXPECTED}


@pytest.mark.parametrize("mode", list(SyncMode))
def test_every_situation_is_decided_as_its_cell_says(mode: SyncMode) -> None:
    for situation in situations():
        found = in_situation(*situation)

        assert said(reconcile(found, Policy(mode))) == EXPECTED[row_of(found), situation[0], mode], situation


@pytest.mark.parametrize("mode", list(SyncMode))
@pytest.mark.parametrize("live", [None, True, False])
@pytest.mark.parametrize("seen", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("excluded", [True, False])
def test_what_one_side_could_not_see_is_never_decided(
    mode: SyncMode, live: Optional[bool], seen: Tuple[bool, bool], excluded: bool
) -> None:
    """The row U: no operation, and no row is written but for the sleep of what a filter hides."""
    base = None if live is None else Base("f", Kind.FILE, Stamp(size=1), Stamp(size=1), live=live)
    entries = [Entry("f", Kind.FILE, Stamp(size=2)) if there else None for there in seen]
    sides = {side: SideTraits() for side in Side}
    planner = Planner(Drafts(Settings(mode=mode), sides), Policy(mode))
    planner.take(Views("f", base, entries[0], entries[1], Region("f", excluded=excluded)))
    planner.finish()

    assert (planner.operations, planner.conflicts) == ([], [])
    assert [each.kind for each in planner.agreements] == [AgreementKind.DORMANT] * bool(excluded and live)
