"""What becomes of whole trees: directories, kind changes, hidden places, conflicts, and what is only recorded.

Changes are made as the diff makes them, from three trees written as literals.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple, Union

import pytest
from attrs import evolve, frozen

from syncengine.core.comparator import Change, FileComparator, Question, SideFacts
from syncengine.core.conflicts import Conflicts
from syncengine.core.drafts import Drafts, SideTraits
from syncengine.core.entry import Base, Entry, Excluded, Extent, Kind, Problem, ProblemKind, Seen, Side, Stamp
from syncengine.core.merge import Joiner, join
from syncengine.core.modes import (
    ConflictPolicy,
    InitialSyncPreference,
    OnlyIf,
    Retain,
    SyncMode,
)
from syncengine.core.path_map import PathMap
from syncengine.core.paths import encoded
from syncengine.core.plan_parts import (
    Action,
    AgreementKind,
    Conflict,
    ConflictKind,
    Operation,
    Reason,
    Resolution,
    Settings,
)
from syncengine.core.planner import Planner
from syncengine.core.reconcile import Policy
from syncengine.core.schedule import schedule

SOURCE, DESTINATION = Side.SOURCE, Side.DESTINATION
SECOND = 1_000_000_000
HOUR = 3600 * SECOND

DIR = "<directory>"
HIDDEN = "<excluded>"
UNREADABLE = "<unreadable>"
Tree = Mapping[str, str]
"""Contents by path; the same text is the same content. ``link: x`` is a symbolic link."""

LOCAL = SideTraits(cheap_reads=True, true_mtime=True)
STORE = SideTraits(real_directories=False)
TWO_WAY, MIRROR, BACKUP = SyncMode.TWO_WAY, SyncMode.SOURCE_TO_DESTINATION, SyncMode.SOURCE_BACKUP
MIRROR_BACK, BACKUP_BACK = SyncMode.DESTINATION_TO_SOURCE, SyncMode.DESTINATION_BACKUP


def stamp(text: str) -> Stamp:
    """Return the stamp of a content: its digest proves equality, its time says which is newer (``text@seconds``).

    A text that begins with a question mark has no digest.
    """
    content, _, seconds = text.partition("@")
    digests = () if content.startswith("?") else (f"md5:{content}",)
    return Stamp(len(content), int(seconds or 10) * SECOND, digests=digests)


def entry(path: str, text: str) -> Seen:
    if text == DIR:
        return Entry(path, Kind.DIRECTORY, Stamp())
    if text == HIDDEN:
        return Excluded(path, Kind.FILE, "a rule")
    if text == UNREADABLE:
        return Problem(ProblemKind.DENIED, path, "no", extent=Extent.SUBTREE)
    if text.startswith("link: "):
        return Entry(path, Kind.SYMLINK, Stamp(size=len(text)), link=text[6:])
    return Entry(path, Kind.FILE, stamp(text))


def row(path: str, text: str) -> Base:
    if text == DIR:
        return Base(path, Kind.DIRECTORY, Stamp(), Stamp())
    return Base(path, Kind.FILE, stamp(text), stamp(text), digest=f"md5:{text}")


def listed(tree: Tree, *, real: bool = True) -> List[Seen]:
    """Return the listing of *tree*, with the directories that its paths imply where the side has real ones."""
    items = dict(tree)
    if real:
        for path in tree:
            for end, character in enumerate(path):
                if character == "/":
                    items.setdefault(path[:end], DIR)
    return sorted((entry(path, text) for path, text in items.items()), key=lambda item: encoded(item.position))


def rows(tree: Tree) -> List[Base]:
    found = [each for each in listed(tree) if isinstance(each, Entry)]
    return [row(each.path, DIR if each.kind is Kind.DIRECTORY else tree[each.path]) for each in found]


@frozen
class Sides:
    """The traits of both sides."""

    source: SideTraits = LOCAL
    destination: SideTraits = LOCAL

    def both(self) -> Dict[Side, SideTraits]:
        return {SOURCE: self.source, DESTINATION: self.destination}


def planned(
    base: Union[Tree, Iterable[Base]],
    source: Tree,
    destination: Tree,
    *,
    sides: Sides = Sides(),
    look: Optional[Mapping[Tuple[Side, str], Entry]] = None,
    initial: Optional[InitialSyncPreference] = None,
    path_map: Optional[PathMap] = None,
    stateful: bool = True,
    twice: Tuple[str, ...] = (),
    **settings: Any,
) -> Planner:
    """Return the planner after it has seen three trees; *twice* are files of a store with names below them."""
    asked = Settings(**{"mode": MIRROR, **settings})
    drafts = Drafts(asked, sides.both(), path_map or PathMap(), observed_ns=HOUR)
    known = look or {}
    deciding = Conflicts(drafts, lambda question: _sha256(question), lambda side, path: known.get((side, path)))
    policy = Policy(asked.mode, asked.retain, initial, asked.only_if, asked.force)
    planner = Planner(drafts, policy, stateful=stateful, deciding=deciding)
    remembered = rows(base) if isinstance(base, Mapping) else base
    listings = (
        listed(source, real=sides.source.real_directories),
        listed(destination, real=sides.destination.real_directories),
    )
    facts = [SideFacts(each.true_mtime, cheap_reads=each.cheap_reads) for each in sides.both().values()]
    compare = FileComparator(asked.compare, facts[0], facts[1])
    flat = not (sides.source.real_directories or sides.destination.real_directories)
    for views in Joiner(holds_both=flat, holds_below=lambda _, path: path in twice).views(join(remembered, *listings)):
        if views.region is not None or views.collision:
            planner.take(views)
        else:
            comparison = compare(views.base, views.source, views.destination, settled=True)
            planner.take(Change(views.path, views.base, views.source, views.destination, comparison))
    planner.finish()
    return planner


def _sha256(question: Question) -> Optional[str]:
    content = question.entry.stamp.digest("md5")
    return None if content is None else "sha256:" + content.partition(":")[2]


def said(planner: Planner) -> Set[str]:
    """Return operations in short: ``+> path`` makes at the destination, ``<`` is the source, ``/`` a directory."""
    return {line(operation) for operation in planner.operations}


def line(operation: Operation) -> str:
    marks = {
        Action.CREATE: "+",
        Action.UPDATE: "~",
        Action.DELETE: "-",
        Action.COPY: "&",
        Action.MOVE: "@",
        Action.TOUCH: "t",
    }
    direction = ">" if operation.target is DESTINATION else "<"
    slash = "/" if operation.kind is Kind.DIRECTORY else ""
    return f"{marks[operation.action]}{direction} {operation.path}{slash}" + (" kept" if operation.retain else "")


def clashes(planner: Planner) -> List[str]:
    return [conflict.path for conflict in planner.conflicts if conflict.kind is ConflictKind.KIND_CLASH]


# ------------------------------------------------------------------------------------------------------ directories

NOTHING: Tree = {}


@frozen
class Case:
    says: str
    base: Tree
    source: Tree
    destination: Tree
    expected: Set[str]
    mode: SyncMode = MIRROR
    sides: Sides = Sides()

    def __str__(self) -> str:
        return f"{self.mode.value}: {self.says}"


DIRECTORIES = [
    Case("a directory is made with its contents", NOTHING, {"d/e/f": "x"}, NOTHING, {"+> d/e/f"}),
    Case("an empty directory is made by itself", NOTHING, {"d": DIR}, NOTHING, {"+> d/"}),
    Case("only the innermost of empty directories is made", NOTHING, {"d/e/f": DIR}, NOTHING, {"+> d/e/f/"}),
    Case(
        "an empty directory beside a file is made",
        NOTHING,
        {"d/empty": DIR, "d/f": "x"},
        NOTHING,
        {"+> d/empty/", "+> d/f"},
    ),
    Case("directories that both have are nothing to do", NOTHING, {"d": DIR}, {"d": DIR}, set()),
    Case(
        "a directory is removed with its contents, bottom up",
        {"d/e/f": "x"},
        NOTHING,
        {"d/e/f": "x"},
        {"-> d/e/f", "-> d/e/", "-> d/"},
    ),
    Case("an empty directory is removed", {"d": DIR}, NOTHING, {"d": DIR}, {"-> d/"}),
    Case("a directory that a mirror does not know goes, too", NOTHING, NOTHING, {"d": DIR}, {"-> d/"}),
    Case(
        "a directory stays where something excluded lies in it",
        {"d/e/f": "x"},
        NOTHING,
        {"d/e/f": "x", "d/e/hidden": HIDDEN, "d/o/p": "x"},
        {"-> d/e/f", "-> d/o/p kept", "-> d/o/"},
    ),
    Case(
        "a directory stays where something could not be seen",
        {"d/e/f": "x"},
        NOTHING,
        {"d/e/f": "x", "d/u": UNREADABLE},
        {"-> d/e/f", "-> d/e/"},
    ),
    Case("a backup removes no directory", {"d/f": "x"}, NOTHING, {"d/f": "x"}, set(), BACKUP),
    Case("a backup makes them", NOTHING, {"d": DIR}, NOTHING, {"+> d/"}, BACKUP),
    Case("mirroring back restores an empty directory", {"d": DIR}, NOTHING, {"d": DIR}, {"+< d/"}, MIRROR_BACK),
    Case("two-way: a removed directory goes", {"d/f": "x"}, NOTHING, {"d/f": "x"}, {"-> d/f", "-> d/"}, TWO_WAY),
    Case(
        "two-way: what is new in a removed directory survives on both sides",
        {"d/f": "x", "d/e/g": "x"},
        NOTHING,
        {"d/f": "x", "d/new": "n", "d/e/g": "x"},
        {"-> d/f", "+< d/new", "-> d/e/g", "-> d/e/"},
        TWO_WAY,
    ),
    Case(
        "two-way: what was edited in a removed directory survives on both sides",
        {"d/f": "x"},
        NOTHING,
        {"d/f": "edited"},
        {"+< d/f"},
        TWO_WAY,
    ),
    Case("two-way: both removed it", {"d/f": "x"}, NOTHING, NOTHING, set(), TWO_WAY),
    Case(
        "a directory with only hidden contents is neither empty nor wanted",
        NOTHING,
        {"d/hidden": HIDDEN, "e/empty": DIR, "e/hidden": HIDDEN},
        NOTHING,
        {"+> e/empty/"},
    ),
    Case(
        "stores know no directories",
        {"d/f": "x"},
        {"empty": DIR, "n/f": "y"},
        {"d/f": "x"},
        {"+> n/f", "-> d/f"},
        sides=Sides(destination=STORE),
    ),
    Case(
        "and what is empty beside a store is left alone",
        {"d/f": "x"},
        {"d": DIR},
        NOTHING,
        set(),
        TWO_WAY,
        sides=Sides(destination=STORE),
    ),
]


@pytest.mark.parametrize("case", DIRECTORIES, ids=str)
def test_directories(case: Case) -> None:
    planner = planned(case.base, case.source, case.destination, mode=case.mode, sides=case.sides)

    assert said(planner) == case.expected
    assert clashes(planner) == []
    assert planner.problems == []


MIRRORED = {
    TWO_WAY: TWO_WAY,
    MIRROR: MIRROR_BACK,
    MIRROR_BACK: MIRROR,
    BACKUP: BACKUP_BACK,
    BACKUP_BACK: BACKUP,
}


def mirrored(lines: Set[str]) -> Set[str]:
    turn = str.maketrans("<>", "><")
    return {text[:2].translate(turn) + text[2:] for text in lines}


@pytest.mark.parametrize("case", DIRECTORIES, ids=str)
def test_directories_the_other_way_round(case: Case) -> None:
    sides = Sides(case.sides.destination, case.sides.source)
    planner = planned(case.base, case.destination, case.source, mode=MIRRORED[case.mode], sides=sides)

    assert said(planner) == mirrored(case.expected)


def test_directories_are_removed_after_their_contents_and_deepest_first() -> None:
    tree = {"d/a": "x", "d/e/f/g": "x", "d/e/h": "x", "d!": "x"}
    order = schedule(planned(tree, NOTHING, tree).operations).deletes

    assert [line(each) for each in order] == [
        "-> d!",
        "-> d/a",
        "-> d/e/f/g",
        "-> d/e/h",
        "-> d/e/f/",
        "-> d/e/",
        "-> d/",
    ]


# ------------------------------------------------------------------------------------------------------ kind changes

KINDS = [
    Case(
        "a file that became a directory",
        {"p": "file"},
        {"p/x": "X", "p/y": "Y"},
        {"p": "file"},
        {"~> p/", "+> p/x", "+> p/y"},
    ),
    Case("a file that became an empty directory", {"p": "file"}, {"p": DIR}, {"p": "file"}, {"~> p/"}),
    Case(
        "an unknown file where the source has a directory",
        NOTHING,
        {"p/x": "X"},
        {"p": "drift"},
        {"~> p/ kept", "+> p/x"},
    ),
    Case(
        "a directory that became a file",
        {"p/x": "X", "p/y/z": "Z"},
        {"p": "file"},
        {"p/x": "X", "p/y/z": "Z"},
        {"~> p", "-> p/x", "-> p/y/z", "-> p/y/"},
    ),
    Case(
        "a directory that became a file, with drift in it",
        {"p/x": "X"},
        {"p": "file"},
        {"p/x": "edited", "p/new": "n"},
        {"~> p", "-> p/x kept", "-> p/new kept"},
    ),
    Case("an empty directory that became a file", {"p": DIR}, {"p": "file"}, {"p": DIR}, {"~> p"}),
    Case(
        "the destination replaced the file by a directory",
        {"p": "file"},
        {"p": "file"},
        {"p/x": "drift"},
        {"~> p", "-> p/x kept"},
    ),
    Case(
        "the destination replaced the directory by a file",
        {"p/x": "X"},
        {"p/x": "X"},
        {"p": "drift"},
        {"~> p/ kept", "+> p/x"},
    ),
    Case(
        "names beside the path are not part of it",
        {"p": "file", "p!": "1", "p.b": "2"},
        {"p/x": "X", "p!": "new", "p.b": "2"},
        {"p": "file", "p!": "1", "p.b": "2"},
        {"~> p/", "+> p/x", "~> p!"},
    ),
    Case(
        "a link takes the place of a directory",
        {"p/x": "X"},
        {"p": "link: elsewhere"},
        {"p/x": "X"},
        {"~> p", "-> p/x"},
        sides=Sides(evolve(LOCAL, symlinks=True), evolve(LOCAL, symlinks=True)),
    ),
    Case(
        "two-way: a file that became a directory",
        {"p": "file"},
        {"p/x": "X"},
        {"p": "file"},
        {"~> p/", "+> p/x"},
        TWO_WAY,
    ),
    Case(
        "two-way: a directory that became a file",
        {"p/x": "X", "p/y/z": "Z"},
        {"p": "file"},
        {"p/x": "X", "p/y/z": "Z"},
        {"~> p", "-> p/x", "-> p/y/z", "-> p/y/"},
        TWO_WAY,
    ),
    Case(
        "two-way: both made it a directory",
        {"p": "file"},
        {"p/x": "X"},
        {"p/y": "Y"},
        {"+> p/x", "+< p/y"},
        TWO_WAY,
    ),
    Case("two-way: both made it a file", {"p/x": "X"}, {"p": "file"}, {"p": "file"}, set(), TWO_WAY),
]


@pytest.mark.parametrize("case", KINDS, ids=str)
def test_kind_changes(case: Case) -> None:
    planner = planned(case.base, case.source, case.destination, mode=case.mode, sides=case.sides)

    assert said(planner) == case.expected
    assert planner.conflicts == []


@pytest.mark.parametrize("case", KINDS, ids=str)
def test_kind_changes_the_other_way_round(case: Case) -> None:
    sides = Sides(case.sides.destination, case.sides.source)
    planner = planned(case.base, case.destination, case.source, mode=MIRRORED[case.mode], sides=sides)

    assert said(planner) == mirrored(case.expected)


@pytest.mark.parametrize(
    "case", [case for case in KINDS if "~> p/" in "".join(case.expected) or "~> p" in case.expected], ids=str
)
def test_a_kind_change_is_one_group_with_all_that_goes_for_it(case: Case) -> None:
    planner = planned(case.base, case.source, case.destination, mode=case.mode, sides=case.sides)
    groups = {each.group for each in planner.operations if each.path == "p" or each.path.startswith("p/")}
    (change,) = [each for each in planner.operations if each.path == "p"]

    assert groups == {"kind:p"}
    assert change.reason is Reason.KIND_CHANGED
    assert change.kind_before is not change.kind


@pytest.mark.parametrize("case", KINDS, ids=str)
def test_a_backup_never_replaces_one_kind_by_another(case: Case) -> None:
    for source, destination in ((case.source, case.destination), (case.destination, case.source)):
        for mode in (BACKUP, BACKUP_BACK):
            planner = planned(case.base, source, destination, mode=mode, sides=case.sides)
            kinds = {side: listed(tree) for side, tree in ((SOURCE, source), (DESTINATION, destination))}
            differ = (
                {each.path: each for each in kinds[SOURCE] if isinstance(each, Entry)}.get("p"),
                {each.path: each for each in kinds[DESTINATION] if isinstance(each, Entry)}.get("p"),
            )
            clash = None not in differ and len({each.kind is Kind.DIRECTORY for each in differ if each}) == 2

            assert clashes(planner) == (["p"] if clash else [])
            if clash:
                assert not [each for each in planner.operations if each.path == "p" or each.path.startswith("p/")]


SKIPPED = [
    ("a file took the name of a folder", {"p/x": "X", "p/y": "Y"}, {"p": "new"}, {"p/x": "X", "p/y": "edit"}),
    ("a folder took the name of a file", {"p": "file"}, {"p/x": "new"}, {"p": "file"}),
    ("a folder took the name of a file that was edited", {"p": "file"}, {"p/x": "new"}, {"p": "edit"}),
]


@pytest.mark.parametrize(("says", "base", "source", "destination"), SKIPPED)
@pytest.mark.parametrize("mode", [BACKUP, BACKUP_BACK])
def test_a_deletion_that_a_backup_skips_for_a_change_of_kind_is_remembered_as_skipped(
    says: str, base: Tree, source: Tree, destination: Tree, mode: SyncMode
) -> None:
    trees = (source, destination) if mode is BACKUP else (destination, source)
    planner = planned(base, *trees, mode=mode)

    dormant = {each.path for each in planner.agreements if each.kind is AgreementKind.DORMANT}
    assert (planner.operations, clashes(planner)) == ([], ["p"])
    assert {path for path in dormant if path in base} == set(base)
    assert all(each.row is not None and not each.row.live for each in planner.agreements)


@pytest.mark.parametrize("mode", [BACKUP, BACKUP_BACK])
def test_what_the_kept_side_gave_up_itself_is_no_deletion_that_a_backup_skips(mode: SyncMode) -> None:
    trees = ({"p": "file"}, {"p/x": "X"}) if mode is BACKUP else ({"p/x": "X"}, {"p": "file"})
    planner = planned({"p": "file"}, *trees, mode=mode)

    assert (planner.operations, clashes(planner), planner.agreements) == ([], ["p"], [])


BLOCKED = [
    ("something excluded stays", {"p/x": "X"}, {"p": "file"}, {"p/x": "X", "p/hidden": HIDDEN}, MIRROR),
    ("something cannot be seen", {"p/x": "X"}, {"p": "file"}, {"p/x": "X", "p/u": UNREADABLE}, MIRROR),
    ("two-way: something is new in it", {"p/x": "X"}, {"p": "file"}, {"p/x": "X", "p/new": "n"}, TWO_WAY),
    ("two-way: something was edited in it", {"p/x": "X"}, {"p": "file"}, {"p/x": "edited"}, TWO_WAY),
    ("two-way: both are new", NOTHING, {"p": "file"}, {"p/x": "X"}, TWO_WAY),
    ("two-way: the file was edited meanwhile", {"p": "file"}, {"p": "edited"}, {"p/x": "X"}, TWO_WAY),
]


@pytest.mark.parametrize(("says", "base", "source", "destination", "mode"), BLOCKED)
@pytest.mark.parametrize("swapped", [False, True])
def test_a_subtree_whose_kind_cannot_change_is_frozen_as_a_whole(
    says: str, base: Tree, source: Tree, destination: Tree, mode: SyncMode, swapped: bool
) -> None:
    beside = {"beside": "new"}
    trees = ({**source, **beside}, {**destination, **beside})
    mode = MIRRORED[mode] if swapped else mode
    manual = ConflictPolicy.MANUAL
    planner = planned(base, *(reversed(trees) if swapped else trees), mode=mode, conflict=manual)

    assert planner.operations == []
    assert clashes(planner) == ["p"]
    (conflict,) = planner.conflicts
    file_stamp, directory_stamp = (
        (conflict.destination, conflict.source) if swapped else (conflict.source, conflict.destination)
    )
    assert (file_stamp, directory_stamp) == (evolve(stamp(source["p"]), digests=()), Stamp())
    assert not [each for each in planner.agreements if each.path.startswith("p")]


CLASHING = [
    ("both are new", NOTHING, {"p": "file"}, {"p/x": "X"}, {"+> copy", "@< copy", "+< p/x"}),
    (
        "an empty directory in it",
        NOTHING,
        {"p": "file"},
        {"p/e": DIR, "p/x": "X"},
        {"+> copy", "@< copy", "+< p/e/", "+< p/x"},
    ),
    (
        "something new",
        {"p/x": "X"},
        {"p": "file"},
        {"p/n": "n", "p/x": "X"},
        {"+> copy", "@< copy", "+< p/n", "-> p/x"},
    ),
    ("an edit of it", {"p": "file"}, {"p": "edited"}, {"p/x": "X"}, {"+> copy", "@< copy", "+< p/x"}),
    ("something hidden", {"p/x": "X"}, {"p": "f"}, {"p/h": HIDDEN, "p/x": "X"}, {"+> copy", "@< copy", "-> p/x"}),
]


@pytest.mark.parametrize(("says", "base", "source", "destination", "expected"), CLASHING)
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("policy", [policy for policy in ConflictPolicy if policy is not ConflictPolicy.MANUAL])
def test_a_directory_keeps_its_name_and_the_file_becomes_a_copy_on_both_sides(
    says: str, base: Tree, source: Tree, destination: Tree, expected: Set[str], swapped: bool, policy: ConflictPolicy
) -> None:
    trees = (destination, source) if swapped else (source, destination)
    planner = planned(base, *trees, mode=TWO_WAY, conflict=policy)

    (copy,) = {each.path for each in planner.operations if each.path.startswith("p.conflict-")}
    assert said(planner) == {text.replace("copy", copy) for text in (mirrored(expected) if swapped else expected)}
    assert [(each.path, each.resolution) for each in planner.conflicts] == [("p", Resolution.KEEP_BOTH)]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (ConflictPolicy.NEWEST, {"+> copy", "@< copy", "+< p/x"}),
        (ConflictPolicy.KEEP_BOTH, {"+> copy", "@< copy", "+< p/x"}),
        (ConflictPolicy.DESTINATION, {"+> copy", "@< copy", "+< p/x"}),
        (ConflictPolicy.SOURCE, {"~> p", "-> p/x kept"}),
    ],
)
def test_an_edit_below_keeps_the_directory_unless_its_own_policy_gives_it_up(
    policy: ConflictPolicy, expected: Set[str]
) -> None:
    planner = planned({"p/x": "X"}, {"p": "file"}, {"p/x": "edit"}, mode=TWO_WAY, conflict=policy)
    copies = {each.path for each in planner.operations if each.path.startswith("p.conflict-")}

    assert said(planner) == {text.replace("copy", "".join(copies)) for text in expected}


def test_a_kind_change_towards_a_store_needs_no_room() -> None:
    sides = Sides(destination=STORE)

    assert said(planned({"p": "f"}, {"p/x": "X"}, {"p": "f"}, sides=sides)) == {"-> p", "+> p/x"}
    assert said(planned({"p/x": "X"}, {"p": "f"}, {"p/x": "X"}, sides=sides)) == {"+> p", "-> p/x"}


def test_between_two_stores_a_file_and_names_below_it_go_side_by_side() -> None:
    sides = Sides(STORE, STORE)
    both = {"p": "file", "p/x": "X"}

    assert said(planned(NOTHING, both, NOTHING, sides=sides)) == {"+> p", "+> p/x"}
    assert said(planned(NOTHING, {"p": "f"}, {"p/x": "X"}, sides=sides, mode=TWO_WAY)) == {"+> p", "+< p/x"}


def test_a_name_used_twice_in_a_store_is_reported_and_its_children_sync() -> None:
    planner = planned(NOTHING, {"p": "file", "p/x": "X"}, NOTHING, sides=Sides(source=STORE))

    assert said(planner) == {"+> p/x"}
    assert [(each.kind, each.path) for each in planner.problems] == [(ProblemKind.COLLISION, "p")]


# --------------------------------------------------------------------------------------- what cannot be held or seen


def test_a_name_that_is_too_long_for_the_target_is_a_problem_and_keeps_its_place() -> None:
    sides = Sides(destination=evolve(LOCAL, max_name_bytes=4))
    planner = planned(NOTHING, {"four": "x", "d/fünf": "x", "é" * 2: "x"}, NOTHING, sides=sides)

    assert said(planner) == {"+> four", f"+> {'é' * 2}"}
    assert [(each.kind, each.path, each.side) for each in planner.problems] == [
        (ProblemKind.BAD_NAME, "d/fünf", DESTINATION)
    ]


def test_an_existing_name_is_not_judged_where_it_comes_from() -> None:
    sides = Sides(source=evolve(LOCAL, max_name_bytes=1))

    assert said(planned(NOTHING, {"long": "x"}, NOTHING, sides=sides)) == {"+> long"}


def test_a_link_does_not_reach_a_side_without_links() -> None:
    links = Sides(source=evolve(LOCAL, symlinks=True))
    planner = planned(NOTHING, {"l": "link: x", "f": "x"}, NOTHING, sides=links)

    assert said(planner) == {"+> f"}
    assert [(each.kind, each.path) for each in planner.problems] == [(ProblemKind.UNSUPPORTED, "l")]
    assert said(planned(NOTHING, {"f": "x"}, {"l": "link: x"}, sides=links)) == {"+> f", "-> l kept"}


def test_a_link_travels_as_a_link() -> None:
    links = Sides(evolve(LOCAL, symlinks=True), evolve(LOCAL, symlinks=True))
    (operation,) = planned(NOTHING, {"l": "link: x/y"}, NOTHING, sides=links).operations

    assert (operation.kind, operation.link) == (Kind.SYMLINK, "x/y")


@pytest.mark.parametrize("mode", list(SyncMode))
@pytest.mark.parametrize("hidden", [HIDDEN, UNREADABLE])
def test_nothing_happens_at_or_below_what_is_hidden(mode: SyncMode, hidden: str) -> None:
    seen = {"h": "file"} if hidden == HIDDEN else {"h/x": "X", "h/y": "edited"}
    base = {"h": "old"} if hidden == HIDDEN else {"h/y": "y", "h/z": "z"}
    for source, destination in (({"h": hidden}, seen), (seen, {"h": hidden})):
        planner = planned(base, source, destination, mode=mode)

        assert planner.operations == []
        assert planner.conflicts == []


def test_a_row_that_a_filter_hides_becomes_dormant_and_one_that_cannot_be_seen_stays() -> None:
    base = {"h": "x", "u/y": "y"}
    planner = planned(base, {"h": HIDDEN, "u": UNREADABLE}, base)

    assert [(each.kind, each.path) for each in planner.agreements] == [(AgreementKind.DORMANT, "h")]
    (agreement,) = planner.agreements
    assert agreement.row == evolve(row("h", "x"), live=False)
    assert planner.tally.excluded == 1


# ---------------------------------------------------------------------------------------------------- what is recorded

RECORDED = [
    ("equal files are adopted", NOTHING, {"f": "x"}, {"f": "x@11"}, MIRROR, {("adopt", "f")}),
    ("equal edits converge", {"f": "old"}, {"f": "x"}, {"f": "x"}, MIRROR, {("converge", "f")}),
    ("what is gone on both sides is forgotten", {"f": "x"}, NOTHING, NOTHING, MIRROR, {("forget", "f")}),
    ("a touched file is refreshed", {"f": "x"}, {"f": "x@11"}, {"f": "x"}, MIRROR, {("touch", "f")}),
    ("what is as it was needs no row", {"f": "x"}, {"f": "x"}, {"f": "x"}, MIRROR, set()),
    ("equal directories are adopted", NOTHING, {"d": DIR}, {"d": DIR}, TWO_WAY, {("adopt", "d")}),
    ("directories gone on both sides are forgotten", {"d": DIR}, NOTHING, NOTHING, TWO_WAY, {("forget", "d")}),
    ("a backup remembers the deletion that it skipped", {"f": "x"}, NOTHING, {"f": "x"}, BACKUP, {("dormant", "f")}),
    ("also of an edited file", {"f": "x"}, NOTHING, {"f": "y"}, BACKUP, {("dormant", "f")}),
    ("and backing up back", {"f": "x"}, {"f": "x"}, NOTHING, BACKUP_BACK, {("dormant", "f")}),
    ("copies are recorded when they are done", NOTHING, {"f": "x"}, NOTHING, MIRROR, set()),
    ("differences that are not resolved stay as they were", {"f": "o"}, {"f": "x"}, {"f": "y"}, TWO_WAY, set()),
]


@pytest.mark.parametrize(("says", "base", "source", "destination", "mode", "expected"), RECORDED)
def test_what_costs_no_operation_is_recorded(
    says: str, base: Tree, source: Tree, destination: Tree, mode: SyncMode, expected: Set[Tuple[str, str]]
) -> None:
    planner = planned(base, source, destination, mode=mode, conflict=ConflictPolicy.MANUAL)

    assert {(each.kind.value, each.path) for each in planner.agreements} == expected
    assert planned(base, source, destination, mode=mode, stateful=False).agreements == []


def test_a_dormant_row_is_not_recorded_again_and_an_agreement_wakes_it() -> None:
    asleep = [evolve(row("f", "x"), live=False)]

    assert planned(asleep, NOTHING, {"f": "x"}, mode=BACKUP).agreements == []
    (woken,) = planned(asleep, {"f": "x"}, {"f": "x"}).agreements
    assert (woken.kind, woken.row is not None and woken.row.live) == (AgreementKind.TOUCH, True)


@pytest.mark.parametrize(("seconds", "racy"), [(10, ()), (3600, None)])
def test_a_stamp_that_was_too_young_is_trusted_from_when_it_is_not(
    seconds: int, racy: Optional[Tuple[Side, ...]]
) -> None:
    young = evolve(row("f", f"?x@{seconds}"), racy=(SOURCE, DESTINATION), digest=None)
    agreements = planned([young], {"f": f"?x@{seconds}"}, {"f": f"?x@{seconds}"}).agreements

    assert [each.row and each.row.racy for each in agreements] == ([] if racy is None else [racy])


def test_an_agreement_rests_on_the_stamps_of_the_listings() -> None:
    (agreement,) = planned(NOTHING, {"f": "x@11"}, {"f": "x@12"}).agreements
    plain = [evolve(stamp(text), digests=()) for text in ("x@11", "x@12")]

    assert [agreement.source, agreement.destination] == plain
    assert agreement.row == Base("f", Kind.FILE, plain[0], plain[1], digest="md5:x")


@pytest.mark.parametrize(("seconds", "racy"), [(3598, ()), (3599, (SOURCE,)), (3600, (SOURCE,)), (3601, (SOURCE,))])
def test_a_stamp_that_was_too_young_is_recorded_as_racy(seconds: int, racy: Tuple[Side, ...]) -> None:
    (agreement,) = planned(NOTHING, {"f": f"x@{seconds}"}, {"f": "x"}).agreements

    assert agreement.row is not None
    assert agreement.row.racy == racy


def test_digests_of_the_listing_stay_in_the_stamps_and_computed_ones_do_not() -> None:
    keeps = Sides(evolve(LOCAL, listing_digests=("md5",)), LOCAL)
    (operation,) = planned(NOTHING, {"f": "x"}, {"f": "y"}, sides=keeps).operations

    assert operation.expect_origin is not None
    assert operation.expect_target is not None
    assert (operation.expect_origin.digests, operation.expect_target.digests) == (("md5:x",), ())
    assert operation.digest == "md5:x"


def test_only_files_are_counted() -> None:
    tree = {"a": "x", "d/b": "x", "d/e": DIR}
    planner = planned(NOTHING, {**tree, "new": "n"}, {**tree, "h": HIDDEN})

    assert (planner.tally.unchanged, planner.tally.excluded) == (2, 1)
    assert planner.tally.changes == 6


# ------------------------------------------------------------------------------------------------------- operations


@pytest.mark.parametrize(
    ("base", "source", "destination", "mode", "expected"),
    [
        (NOTHING, {"f": "x"}, NOTHING, MIRROR, (Reason.ONLY_AT_SOURCE, "rule:T2")),
        (NOTHING, NOTHING, {"f": "x"}, MIRROR, (Reason.ONLY_AT_DESTINATION, "rule:T3")),
        (NOTHING, {"f": "x"}, {"f": "y"}, MIRROR, (Reason.CONTENT_DIFFERS, "rule:T5")),
        ({"f": "o"}, {"f": "x"}, {"f": "o"}, MIRROR, (Reason.CHANGED_AT_SOURCE, "rule:T7")),
        ({"f": "o"}, {"f": "o"}, {"f": "x"}, MIRROR, (Reason.CHANGED_AT_DESTINATION, "rule:T8")),
        ({"f": "o"}, {"f": "x"}, {"f": "y"}, MIRROR, (Reason.CHANGED_ON_BOTH_SIDES, "rule:T10")),
        ({"f": "o"}, NOTHING, {"f": "o"}, MIRROR, (Reason.REMOVED_AT_SOURCE, "rule:T11")),
        ({"f": "o"}, {"f": "o"}, NOTHING, MIRROR, (Reason.REMOVED_AT_DESTINATION, "rule:T12")),
        ({"f": "o"}, NOTHING, {"f": "x"}, MIRROR, (Reason.REMOVED_AT_SOURCE, "rule:T14")),
        ({"f": "o"}, {"f": "x"}, NOTHING, MIRROR, (Reason.REMOVED_AT_DESTINATION, "rule:T15")),
        ({"f": "o"}, {"f": "x"}, {"f": "y"}, TWO_WAY, (Reason.CONFLICT, "rule:newest")),
    ],
)
def test_an_operation_says_why_it_is_there(
    base: Tree, source: Tree, destination: Tree, mode: SyncMode, expected: Tuple[Reason, str]
) -> None:
    for operation in planned(base, source, destination, mode=mode).operations:
        assert (operation.reason, operation.chosen_by) == expected


def test_a_preference_is_named_as_the_reason() -> None:
    wins = InitialSyncPreference.SOURCE_WINS
    (operation,) = planned(NOTHING, NOTHING, {"f": "x"}, mode=TWO_WAY, initial=wins, retain=Retain.NONE).operations

    assert (operation.reason, line(operation)) == (Reason.PREFERENCE, "-> f kept")


def test_what_cannot_be_compared_is_transferred_one_way_and_a_conflict_both_ways() -> None:
    sides = Sides(STORE, STORE)
    (operation,) = planned(NOTHING, {"f": "?ab"}, {"f": "?cd"}, sides=sides).operations
    (conflict,) = planned(NOTHING, {"f": "?ab"}, {"f": "?cd"}, sides=sides, mode=TWO_WAY).conflicts

    assert (operation.reason, line(operation)) == (Reason.CANNOT_COMPARE, "~> f kept")
    assert conflict.kind is ConflictKind.CREATE_CREATE


def test_forced_transfers_are_named_so_and_leave_directories_alone() -> None:
    tree = {"d/f": "x"}
    (operation,) = planned(tree, tree, tree, force=True).operations

    assert (operation.reason, line(operation)) == (Reason.FORCED, "~> d/f")


def test_bytes_do_not_travel_within_one_storage() -> None:
    one = evolve(LOCAL, stays_inside=lambda _: True)
    apart = planned(NOTHING, {"f": "four"}, NOTHING)
    within = planned(NOTHING, {"f": "four"}, NOTHING, sides=Sides(one, one))

    assert [each.size for each in (*apart.operations, *within.operations)] == [4, 0]


def test_what_must_not_be_replaced_is_reported_by_immutable_and_passed_by_missing() -> None:
    immutable = planned(NOTHING, {"f": "x"}, {"f": "y"}, only_if=OnlyIf.IMMUTABLE)
    missing = planned(NOTHING, {"f": "x"}, {"f": "y"}, only_if=OnlyIf.MISSING)

    assert (immutable.operations, missing.operations, missing.problems) == ([], [], [])
    assert [each.path for each in immutable.problems] == ["f"]


# -------------------------------------------------------------------------------------------------- permission bits


def with_modes(source: int, destination: int, *, mode: SyncMode, metadata: Sequence[str] = ("mode",)) -> Planner:
    compare = FileComparator()
    at_source = Entry("f", Kind.FILE, stamp("x"), mode=source)
    at_destination = Entry("f", Kind.FILE, stamp("x"), mode=destination)
    base = row("f", "x")
    drafts = Drafts(Settings(mode=mode, metadata=tuple(metadata)), Sides().both())
    planner = Planner(drafts, Policy(mode))
    planner.take(Change("f", base, at_source, at_destination, compare(base, at_source, at_destination)))
    planner.finish()
    return planner


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (MIRROR, [("t> f", 0o755)]),
        (BACKUP, [("t> f", 0o755)]),
        (MIRROR_BACK, [("t< f", 0o644)]),
        (BACKUP_BACK, [("t< f", 0o644)]),
        (TWO_WAY, []),
    ],
)
def test_permission_bits_follow_the_leading_side(mode: SyncMode, expected: List[Tuple[str, int]]) -> None:
    planner = with_modes(0o755, 0o644, mode=mode)

    assert [(line(each), each.mode) for each in planner.operations] == expected
    assert all(each.reason is Reason.MODE_DIFFERS for each in planner.operations)
    assert with_modes(0o755, 0o644, mode=mode, metadata=()).operations == []
    assert with_modes(0o644, 0o644, mode=mode).operations == []


@pytest.mark.parametrize(("keeps", "expected"), [(True, 0o750), (False, None)])
def test_copies_carry_permission_bits_where_both_sides_keep_them(keeps: bool, expected: Optional[int]) -> None:
    sides = Sides(evolve(LOCAL, keeps_modes=True), evolve(LOCAL, keeps_modes=keeps))
    planner = Planner(Drafts(Settings(mode=MIRROR), sides.both()), Policy(MIRROR))
    new = Entry("f", Kind.FILE, stamp("x"), mode=0o750)
    planner.take(Change("f", None, new, None, FileComparator()(None, new, None)))

    assert [each.mode for each in planner.operations] == [expected]


# ---------------------------------------------------------------------------------------------------------- path map

MAPPED = PathMap.of({"raw": "landing/raw"})


def with_map(
    path_map: PathMap, source: Optional[str], destination: Optional[str], *, mode: SyncMode, base: Optional[str] = None
) -> Planner:
    """Return the planner after one path: ``raw/f`` at the source is ``landing/raw/f`` at the destination."""
    key = "landing/raw/f"
    here = None if source is None else Entry(key, Kind.FILE, stamp(source), spelling="raw/f")
    there = None if destination is None else Entry(key, Kind.FILE, stamp(destination))
    remembered = None if base is None else row(key, base)
    settings = Settings(mode=mode, path_map=path_map.pairs, conflict=ConflictPolicy.NEWEST)
    planner = Planner(Drafts(settings, Sides().both(), path_map), Policy(mode))
    planner.take(Change(key, remembered, here, there, FileComparator()(remembered, here, there)))
    planner.finish()
    return planner


@pytest.mark.parametrize(
    ("source", "destination", "mode", "expected"),
    [
        ("x", None, MIRROR, ("+> landing/raw/f", (SOURCE, "raw/f"))),
        ("x", "y", MIRROR, ("~> landing/raw/f kept", (SOURCE, "raw/f"))),
        (None, "y", MIRROR, ("-> landing/raw/f kept", None)),
        (None, "y", MIRROR_BACK, ("+< raw/f", (DESTINATION, "landing/raw/f"))),
        ("x", "y", MIRROR_BACK, ("~< raw/f kept", (DESTINATION, "landing/raw/f"))),
        ("x", None, MIRROR_BACK, ("-< raw/f kept", None)),
    ],
)
def test_a_mapped_path_is_spelled_as_its_side_spells_it(
    source: Optional[str], destination: Optional[str], mode: SyncMode, expected: Tuple[str, Optional[Tuple[Side, str]]]
) -> None:
    (operation,) = with_map(MAPPED, source, destination, mode=mode).operations

    assert (line(operation), operation.origin) == expected
    assert operation.compared_as == "landing/raw/f"


@pytest.mark.parametrize(
    ("source", "destination", "expected"),
    [
        ("x@10", "y@20", [("~< raw/f kept", (DESTINATION, "landing/raw/f"))]),
        ("x@20", "y@10", [("~> landing/raw/f kept", (SOURCE, "raw/f"))]),
        (None, "y@20", [("+< raw/f", (DESTINATION, "landing/raw/f"))]),
    ],
)
def test_a_conflict_over_a_mapped_path_is_resolved_under_both_names(
    source: Optional[str], destination: str, expected: List[Tuple[str, Tuple[Side, str]]]
) -> None:
    planner = with_map(MAPPED, source, destination, mode=TWO_WAY, base="old")

    assert [(line(each), each.origin) for each in planner.operations] == expected
    assert {each.compared_as for each in planner.operations} == {"landing/raw/f"}
    assert [(each.path, each.path_at(SOURCE)) for each in planner.conflicts] == [("landing/raw/f", "raw/f")]


def test_both_versions_of_a_mapped_path_are_kept_under_both_names() -> None:
    planner = with_map(MAPPED, "x@10", "yy@10", mode=TWO_WAY)
    places = {(each.target, each.path, each.origin) for each in planner.operations}
    copies = {path for _, path, _ in places if "conflict" in path}

    assert (DESTINATION, "landing/raw/f", (SOURCE, "raw/f")) in places
    assert {path.rpartition("/")[0] for path in copies} == {"raw", "landing/raw"}


def test_a_mapping_by_function_cannot_be_turned_around() -> None:
    function = PathMap.of(str.upper)
    planner = with_map(function, None, "y", mode=MIRROR_BACK)

    assert planner.operations == []
    assert [(each.kind, each.side) for each in planner.problems] == [(ProblemKind.UNSUPPORTED, SOURCE)]


def test_under_a_mapping_directories_are_implied_by_their_files() -> None:
    planner = planned(NOTHING, {"f": "x"}, {"d": DIR}, path_map=PathMap.of({"a": "b"}))

    assert said(planner) == {"+> f"}


# --------------------------------------------------------------------------------------------------------- conflicts


def two_way(source: Tree, destination: Tree, base: Tree = NOTHING, **settings: Any) -> Planner:
    return planned(base, source, destination, mode=TWO_WAY, **settings)


def test_a_conflict_is_listed_with_what_each_side_holds() -> None:
    planner = two_way({"f": "x@20"}, {"f": "y@10"}, {"f": "old"}, conflict=ConflictPolicy.MANUAL)
    plain = [evolve(stamp(text), digests=()) for text in ("x@20", "y@10")]

    expected = Conflict("f", ConflictKind.MODIFY_MODIFY, stamp("old"), plain[0], plain[1], newer=Resolution.SOURCE)
    assert planner.conflicts == [expected]
    assert planner.operations == []


@pytest.mark.parametrize(
    ("source", "destination", "expected"),
    [("x@20", "y@10", "~> f kept"), ("x@10", "y@20", "~< f kept")],
)
def test_the_newer_file_wins_and_the_loser_is_kept(source: str, destination: str, expected: str) -> None:
    assert said(two_way({"f": source}, {"f": destination})) == {expected}


@pytest.mark.parametrize("traits", [evolve(LOCAL, true_mtime=False), STORE])
def test_times_that_are_not_those_of_the_content_decide_nothing(traits: SideTraits) -> None:
    planner = two_way({"f": "x@20"}, {"f": "y@10"}, sides=Sides(LOCAL, traits))

    assert [each.resolution for each in planner.conflicts] == [Resolution.KEEP_BOTH]
    assert len(planner.operations) == 3


@pytest.mark.parametrize(
    ("keeps", "policy", "asked", "winner"),
    [
        (True, ConflictPolicy.NEWEST, ["f"], Resolution.DESTINATION),
        (True, ConflictPolicy.KEEP_BOTH, [], Resolution.KEEP_BOTH),
        (False, ConflictPolicy.NEWEST, [], Resolution.KEEP_BOTH),
    ],
)
def test_the_time_of_a_content_is_asked_for_only_where_it_is_kept_and_decides(
    keeps: bool, policy: ConflictPolicy, asked: List[str], winner: Resolution
) -> None:
    sides = Sides(LOCAL, evolve(STORE, keeps_mtime=keeps))
    drafts = Drafts(Settings(mode=TWO_WAY, conflict=policy), sides.both())
    seen: List[str] = []
    deciding = Conflicts(drafts, _sha256, content_time=lambda side, entry: seen.append(entry.path) or HOUR)
    planner = Planner(drafts, Policy(TWO_WAY), deciding=deciding)
    here, there = (Entry("f", Kind.FILE, stamp(text)) for text in ("x@10", "y@20"))
    planner.take(Change("f", None, here, there, FileComparator()(None, here, there)))

    assert (seen, [each.resolution for each in planner.conflicts]) == (asked, [winner])


def test_without_a_trash_both_are_kept() -> None:
    planner = two_way({"f": "x@20"}, {"f": "y@10"}, retain=Retain.NONE)

    assert said(planner) == {"&> f.conflict-y", "+< f.conflict-y", "~> f"}


@pytest.mark.parametrize("policy", list(ConflictPolicy))
def test_the_edit_beats_the_deletion_unless_a_side_was_preferred(policy: ConflictPolicy) -> None:
    removed_here = said(two_way(NOTHING, {"f": "new"}, {"f": "old"}, conflict=policy))
    removed_there = said(two_way({"f": "new"}, NOTHING, {"f": "old"}, conflict=policy))

    assert (removed_here, removed_there) == {
        ConflictPolicy.NEWEST: ({"+< f"}, {"+> f"}),
        ConflictPolicy.KEEP_BOTH: ({"+< f"}, {"+> f"}),
        ConflictPolicy.SOURCE: ({"-> f kept"}, {"+> f"}),
        ConflictPolicy.DESTINATION: ({"+< f"}, {"-< f kept"}),
        ConflictPolicy.MANUAL: (set(), set()),
    }[policy]


def test_a_directory_goes_with_the_conflict_whose_deletion_won() -> None:
    base = {"d/f": "old"}

    assert said(two_way(NOTHING, {"d/f": "new"}, base, conflict=ConflictPolicy.SOURCE)) == {"-> d/f kept", "-> d/"}
    assert said(two_way(NOTHING, {"d/f": "new"}, base, conflict=ConflictPolicy.MANUAL)) == set()
    assert said(two_way(NOTHING, {"d/f": "new"}, base, conflict=ConflictPolicy.NEWEST)) == {"+< d/f"}


KEEP = {"conflict": ConflictPolicy.KEEP_BOTH}
LOSER = "f.conflict-b.txt"


def test_the_copy_is_named_after_the_losing_content() -> None:
    assert said(two_way({"f.txt": "a@20"}, {"f.txt": "b@10"}, **KEEP)) == {f"&> {LOSER}", f"+< {LOSER}", "~> f.txt"}
    assert said(two_way({"f.txt": "b@10"}, {"f.txt": "a@20"}, **KEEP)) == {f"&< {LOSER}", f"+> {LOSER}", "~< f.txt"}


def test_the_loser_of_a_tie_without_times_is_the_destination() -> None:
    sides = Sides(SideTraits(cheap_reads=True), SideTraits(cheap_reads=True))
    here = Entry("f.txt", Kind.FILE, evolve(stamp("a"), mtime_ns=None))
    there = Entry("f.txt", Kind.FILE, stamp("b@99"))
    drafts = Drafts(Settings(mode=TWO_WAY), sides.both())
    planner = Planner(drafts, Policy(TWO_WAY), deciding=Conflicts(drafts, _sha256))
    planner.take(Change("f.txt", None, here, there, FileComparator()(None, here, there)))

    assert said(planner) == {f"&> {LOSER}", f"+< {LOSER}", "~> f.txt"}


@pytest.mark.parametrize("stands_at", [[SOURCE], [DESTINATION], [SOURCE, DESTINATION]])
def test_a_copy_that_a_killed_run_left_is_used(stands_at: List[Side]) -> None:
    """Its own row brings it to the side that lacks it; the loser is retained, for it was not copied by this plan."""
    standing = {(side, LOSER): Entry(LOSER, Kind.FILE, stamp("b@10")) for side in stands_at}
    trees = {SOURCE: {"f.txt": "a@20"}, DESTINATION: {"f.txt": "b@10"}}
    for side in stands_at:
        trees[side][LOSER] = "b@10"
    planner = two_way(trees[SOURCE], trees[DESTINATION], look=standing, **KEEP)
    across = {(SOURCE,): {f"+> {LOSER}"}, (DESTINATION,): {f"+< {LOSER}"}}.get(tuple(stands_at), set())

    assert said(planner) == {"~> f.txt kept", *across}


def test_a_different_file_under_the_name_of_the_copy_is_left_alone() -> None:
    standing = {
        (DESTINATION, LOSER): Entry(LOSER, Kind.FILE, stamp("c")),
        (SOURCE, "f.conflict-b-2.txt"): Entry("f.conflict-b-2.txt", Kind.DIRECTORY, Stamp()),
    }
    planner = two_way({"f.txt": "a@20"}, {"f.txt": "b@10"}, look=standing, **KEEP)

    assert said(planner) == {"&> f.conflict-b-3.txt", "+< f.conflict-b-3.txt", "~> f.txt"}


def test_links_in_conflict_stay_links() -> None:
    links = Sides(evolve(LOCAL, symlinks=True), evolve(LOCAL, symlinks=True))
    planner = two_way({"f": "link: here"}, {"f": "link: there"}, sides=links, **KEEP)

    assert {each.kind for each in planner.operations} == {Kind.SYMLINK}
    assert {(each.action, each.link) for each in planner.operations} == {
        (Action.COPY, "there"),
        (Action.CREATE, "there"),
        (Action.UPDATE, "here"),
    }


@pytest.mark.parametrize(
    ("source", "destination", "settings", "sides"),
    [
        ("link: x", "file@30", {}, Sides(evolve(LOCAL, symlinks=True), LOCAL)),
        ("aaa", "b@9", KEEP, Sides(LOCAL, evolve(LOCAL, max_name_bytes=4))),
    ],
)
def test_a_conflict_stays_open_where_a_side_cannot_hold_what_would_resolve_it(
    source: str, destination: str, settings: Dict[str, Any], sides: Sides
) -> None:
    """A link that has to go beside the file, and the long name of a copy."""
    asked = {"conflict": ConflictPolicy.KEEP_BOTH, **settings}
    planner = two_way({"f": source}, {"f": destination}, sides=sides, **asked)

    assert planner.operations == []
    assert [each.open for each in planner.conflicts] == [True]
    assert {each.kind for each in planner.problems} <= {ProblemKind.UNSUPPORTED, ProblemKind.BAD_NAME}
    assert planner.problems


# ----------------------------------------------------------------------------------------------------------- wholes

TREES: List[Tree] = [
    NOTHING,
    {"a": "1", "d/b": "2", "d/e/c": "3"},
    {"a": "1", "d": "2"},
    {"a/b": "1", "d/b": "2", "d/e": "3"},
    {"d": DIR, "a": "2"},
    {"d/hidden": HIDDEN, "d/b": "2", "a": "x"},
]


@pytest.mark.parametrize("mode", list(SyncMode))
@pytest.mark.parametrize("base", TREES[:4])
def test_no_plan_of_any_trees_breaks_a_rule(mode: SyncMode, base: Tree) -> None:
    for source in TREES:
        for destination in TREES:
            planner = planned(base, source, destination, mode=mode)
            written = {each.target for each in planner.operations}
            allowed = {
                DESTINATION: mode.allows_upload,
                SOURCE: mode.allows_download,
            }
            places = [(each.target, each.path) for each in planner.operations]

            assert all(allowed[side] for side in written)
            assert len(set(places)) == len(places)
            assert not (mode.is_backup and any(each.action is Action.DELETE for each in planner.operations))
            assert not [each for each in planner.operations if "hidden" in each.path]


@pytest.mark.parametrize("mode", [TWO_WAY, MIRROR, BACKUP])
def test_a_name_used_twice_in_a_store_is_reported_and_its_children_sync_once_they_have_met(mode: SyncMode) -> None:
    store = {"p": "file", "p/n": "new", "p/x": "X"}
    planner = planned({"p/x": "X"}, store, {"p/x": "X"}, sides=Sides(source=STORE), mode=mode, twice=("p",))

    assert said(planner) == {"+> p/n"}
    assert [problem.path for problem in planner.problems] == ["p"]
    assert clashes(planner) == []
