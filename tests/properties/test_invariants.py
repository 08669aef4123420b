"""The thirty invariants of the semantics, one property each, over random trees on pairs of places.

One tree is agreed on and then changed twice, independently; names and contents are drawn from few, so that both users
meet on a path, write the same, go back to an old content, and rename what looks alike. ``*`` is a content that nobody
ever wrote before.
"""

from __future__ import annotations

import os
import shutil
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

import pytest
from attrs import evolve
from hypothesis import assume
from hypothesis import strategies as st

import syncengine
from syncengine import Action, GuardError, Guards, Kind, Operation, Plan, Side, Status, SyncEngine
from syncengine.core.guards import Blocker
from syncengine.core.paths import is_reserved, is_within, parents
from syncengine.core.plan_parts import Reason
from syncengine.core.schedule import Schedule, schedule
from syncengine.stages import execution
from syncengine.state.records import Run

from .depth import holds
from .reference_model import MODES, POLICIES, Row, Tree, World, clashes
from .reference_model import unsynced as unsynced_in
from .worlds import EPOCH, Pair, Tape, failing, right_before

NAMES = ("a", "b", "c.txt", "d", "d/x", "d/y", "d/e", "d/e/z", "e/a")
ONE_WAY = tuple(mode for mode in MODES if mode != "two-way")
Edits = Dict[str, Optional[str]]

names = st.sampled_from(NAMES)
contents = st.sampled_from(["", "one", "two", "ONE", "*"])


def files_only(tree: Dict[str, str]) -> Dict[str, str]:
    return {path: text for path, text in tree.items() if not any(other.startswith(path + "/") for other in tree)}


trees = st.dictionaries(names, contents, max_size=7).map(files_only)
edits = st.dictionaries(names, st.one_of(st.none(), contents), max_size=4).map(files_only)
worlds = st.fixed_dictionaries({"agreed": trees, "source": edits, "destination": edits})
modes = st.one_of(st.just("two-way"), st.sampled_from(MODES))
ways = st.fixed_dictionaries(
    {"mode": modes, "conflict": st.sampled_from(POLICIES), "renames": st.booleans()},
)
two_ways = st.fixed_dictionaries(
    {"mode": st.just("two-way"), "conflict": st.sampled_from(POLICIES), "renames": st.booleans()},
)
side_names = st.sampled_from(list(Side))

both = pytest.mark.parametrize("kinds", ["memory-memory", "local-local"])
every = pytest.mark.parametrize("kinds", ["memory-memory", "local-local", "flat-flat", "coarse-local"])
most = pytest.mark.parametrize(
    "kinds",
    [
        "memory-memory",
        "local-local",
        pytest.param("flat-flat", marks=pytest.mark.thorough),
        pytest.param("coarse-local", marks=pytest.mark.thorough),
        pytest.param("local-memory", marks=pytest.mark.thorough),
    ],
)


def made(kinds: str, base: Path, world: Dict[str, Dict[str, Any]], **arguments: Any) -> Pair:
    """Return a pair that agreed on a tree once, and was edited on both sides since."""
    pair = Pair(kinds, base, **arguments)
    pair.agree_on({path: text.replace("*", f"agreed {path}") for path, text in world["agreed"].items()})
    for side in Side:
        edited = {path: text and text.replace("*", f"{side.value} {path}") for path, text in world[side.value].items()}
        pair.edit(side, edited)
    return pair


def unsynced(pair: Pair, *ways: Dict[str, Any]) -> Set[str]:
    """Return the contents of files that the other side never had, and that a run in one of *ways* may not destroy."""
    followed = any(way["mode"] == "two-way" and way["renames"] for way in ways)
    return unsynced_in(World(*pair.trees(), pair.remembered()), renames=followed)


def in_trash(pair: Pair) -> Set[str]:
    places = pair.places.values()
    return {text for place in places for path, text in place.everything().items() if is_reserved(path)}


def moments(pair: Pair) -> List[Tree]:
    return [dict(place.everything()) for place in pair.places.values()]


def mirrored(mode: str) -> str:
    swapped = {"source": "destination", "destination": "source"}
    return "-".join(swapped.get(part, part) for part in mode.split("-"))


def shapes(plan: Plan) -> Set[Tuple[str, str, str, str]]:
    return {(each.action.value, each.kind.value, each.target.value, each.path) for each in plan}


def versions_of(tree: Tree, path: str) -> List[str]:
    """Return the content of *path* and of its conflict copies."""
    stem, dot, suffix = path.rpartition(".")
    start = (stem if dot and "/" not in suffix else path) + ".conflict-"
    return sorted(text for name, text in tree.items() if name == path or name.startswith(start))


# ----------------------------------------------------------------------------------- what must not be lost


@every
@holds(world=worlds, way=ways)
def test_no_version_that_nobody_else_had_is_lost(
    kinds: str, world: Dict[str, Any], way: Dict[str, Any], tmp_path: Path
) -> None:
    """I1: what was unsynced before a run is in a tree or in the trash after it."""
    pair = made(kinds, tmp_path, world)
    before = unsynced(pair, way)
    pair.run(**way)
    assert before - pair.contents() == set()


@both
@holds(world=worlds, way=two_ways)
def test_a_deletion_in_two_way_rests_on_an_agreement(
    kinds: str, world: Dict[str, Any], way: Dict[str, Any], tmp_path: Path
) -> None:
    """I2: a file disappears only where it was agreed on and the other side removed it, or it is kept."""
    pair = made(kinds, tmp_path, world)
    before, rows = pair.trees(), pair.remembered()
    pair.run(**way)
    for mine, others, now in zip(before, reversed(before), pair.trees()):
        for path in set(mine) - set(now):
            if mine[path] in now.values():
                continue
            assert path in rows
            assert rows[path].live
            agreed = rows[path].content == mine[path]
            assert (agreed and path not in others) or mine[path] in pair.contents()


@every
@holds(world=worlds, way=ways)
def test_a_second_run_has_nothing_to_do_and_says_the_same(
    kinds: str, world: Dict[str, Any], way: Dict[str, Any], tmp_path: Path
) -> None:
    """I3: it writes nothing to either side or to the state, and its unresolved conflicts are those of the first."""
    pair = made(kinds, tmp_path, world)
    first, report = pair.run(**way)
    assert report.ok
    after, state = moments(pair), pair.state_bytes()
    tape = Tape()
    second, again = pair.run(tape, **way)
    assert (second.operations, again.outcomes, tape.calls) == ((), (), [])
    assert moments(pair) == after
    assert pair.state_bytes() == state
    assert [each.path for each in second.unresolved] == [each.path for each in first.unresolved]


@every
@holds(world=worlds, way=two_ways)
def test_a_two_way_sync_makes_both_sides_equal(
    kinds: str, world: Dict[str, Any], way: Dict[str, Any], tmp_path: Path
) -> None:
    """I4: outside unresolved conflicts."""
    pair = made(kinds, tmp_path, world)
    plan, _ = pair.run(**way)
    open_paths = [conflict.path for conflict in plan.unresolved]
    source, destination = (
        {path: text for path, text in tree.items() if not any(is_within(path, outer) for outer in open_paths)}
        for tree in pair.trees()
    )
    assert source == destination


@every
@holds(world=worlds, way=ways)
def test_what_the_state_says_is_true(kinds: str, world: Dict[str, Any], way: Dict[str, Any], tmp_path: Path) -> None:
    """I5: a live row stands for what both sides hold, in the very versions that a fresh look finds."""
    pair = made(kinds, tmp_path, world)
    plan, _ = pair.run(**way)
    rows, remembered = pair.rows(), pair.remembered()
    open_paths = [conflict.path for conflict in plan.unresolved]
    for path, row in rows.items():
        if not row.live or any(is_within(path, outer) for outer in open_paths):
            continue
        for side in Side:
            assert pair.tree(side)[path] == remembered[path].content
            found = pair.looks(side)[path]
            assert evolve(row.stamp(side), digests=()) == evolve(found, digests=())


@most
@holds(
    {
        "world": {"agreed": {}, "source": {"d": "ONE"}, "destination": {"d/y": "ONE"}},
        "way": {"mode": "two-way", "conflict": "newest", "renames": True},
    },
    world=worlds,
    way=two_ways,
)
def test_a_lost_state_deletes_nothing(kinds: str, world: Dict[str, Any], way: Dict[str, Any], tmp_path: Path) -> None:
    """I6: each path stays, or its content is a conflict copy on its own side."""
    pair = made(kinds, tmp_path, world)
    pair.lose_state()
    before = pair.trees()
    plan, _ = pair.run(**way)
    # A file that faces a directory moves to the name of its conflict copy; nothing else leaves its name.
    moves = [each.reason for each in plan if each.action is Action.MOVE]
    assert set(moves) <= {Reason.CONFLICT}
    assert not [each for each in plan if each.action is Action.DELETE]
    beaten = way["conflict"] in ("source", "destination", "newest")
    for mine, now in zip(before, pair.trees()):
        for path, text in mine.items():
            assert versions_of(now, path), f"{path} is gone"
            assert text in versions_of(now, path) or (beaten and text in pair.contents())


@most
@holds(world=worlds, mode=st.sampled_from(ONE_WAY), renames=st.booleans())
def test_a_one_way_mode_writes_to_one_side(
    kinds: str, world: Dict[str, Any], mode: str, renames: bool, tmp_path: Path
) -> None:
    """I7: not one mutating call reaches the leading side, and nothing there changes."""
    pair = made(kinds, tmp_path, world)
    before, tape = moments(pair), Tape()
    pair.run(tape, mode=mode, renames=renames)
    written = Side.DESTINATION if mode.startswith("source") else Side.SOURCE
    assert tape.sides() <= {written}
    leading = list(Side).index(written.other)
    assert moments(pair)[leading] == before[leading]


@most
@holds(world=worlds, mode=st.sampled_from(["source-backup", "destination-backup"]), renames=st.booleans())
def test_a_backup_only_grows(kinds: str, world: Dict[str, Any], mode: str, renames: bool, tmp_path: Path) -> None:
    """I8: no path goes, and a content goes only where it was the agreed version and the leading side replaced it."""
    pair = made(kinds, tmp_path, world)
    written = 1 if mode == "source-backup" else 0
    before, rows = pair.trees(), pair.remembered()
    pair.run(mode=mode, renames=renames)
    after = pair.trees()
    assert set(before[written]) <= set(after[written])
    for path, text in before[written].items():
        replaced = rows.get(path) == Row(text) and before[1 - written].get(path, text) != text
        assert replaced or text in {*after[written].values(), *in_trash(pair)}


@most
@holds(world=worlds, mode=st.sampled_from(["source-to-destination", "destination-to-source"]), renames=st.booleans())
def test_a_mirror_is_exact(kinds: str, world: Dict[str, Any], mode: str, renames: bool, tmp_path: Path) -> None:
    """I9: the following side holds the files of the leading one and no others."""
    pair = made(kinds, tmp_path, world)
    leading = pair.trees()[0 if mode.startswith("source") else 1]
    pair.run(mode=mode, renames=renames)
    assert pair.trees() == (leading, leading)


# ------------------------------------------------------------------------------------- crashes and lag


@most
@holds(
    {
        "lagging": False,
        "world": {"agreed": {"a": "one", "b": "two"}, "source": {"a": "*"}, "destination": {"a": "*"}},
        "way": {"mode": "two-way", "conflict": "keep-both", "renames": True},
    },
    {
        "lagging": True,
        "world": {"agreed": {"d/x": "one", "d/y": "two"}, "source": {"d": "*"}, "destination": {"b": "*"}},
        "way": {"mode": "two-way", "conflict": "newest", "renames": True},
    },
    world=worlds,
    way=ways,
    lagging=st.booleans(),
)
def test_a_run_killed_at_any_call_is_finished_by_the_next(
    kinds: str, world: Dict[str, Any], way: Dict[str, Any], lagging: bool, tmp_path: Path
) -> None:
    """I10: for every k, killed before the k-th mutating call and run again, the trees are those of one whole run."""
    # The hint that tells an edit from a rename is written before anything else, so no state of before lacks it.
    way = {**way, "renames": way["renames"] and not lagging}
    whole = made(kinds, tmp_path, world)
    whole.run(**way)
    at, dead = 0, True
    while dead:
        at += 1
        pair = made(kinds, tmp_path, world)
        before = unsynced(pair, way)
        image = pair.base / "state-of-before"
        shutil.copytree(pair.state, image) if pair.state.exists() else image.mkdir()
        dead = pair.killed(at, **way)
        if lagging:
            shutil.rmtree(pair.state, ignore_errors=True)
            image.rename(pair.state)
        _, report = pair.run(**way)
        assert report.ok
        assert pair.trees() == whole.trees(), f"killed at {at}"
        assert before - pair.contents() == set(), f"killed at {at}"


@pytest.mark.parametrize("reading", [True, False], ids=["content can be read", "content cannot be told"])
def test_where_no_content_can_be_told_a_killed_run_costs_a_copy_and_no_version(reading: bool, tmp_path: Path) -> None:
    """I10: two stores that tell neither digests nor versions; equal is then unknown, and unknown is a conflict.

    What the killed run wrote on both sides cannot be told from what two users wrote, so it is kept twice. With
    ``hash_by_download`` the trees are those of one whole run.
    """
    way = {"mode": "two-way", "conflict": "keep-both"}
    trees_after, at, dead = [], 0, True
    while dead:
        at += 1
        pair = Pair("flat-flat", tmp_path, hash_by_download=reading)
        pair.agree_on({"a": "one"})
        pair.edit(Side.SOURCE, {"a": "mine"})
        pair.edit(Side.DESTINATION, {"a": "theirs"})
        dead = pair.killed(at, **way)
        pair.run(**way)
        source, destination = pair.trees()
        assert source == destination
        assert set(source.values()) == {"mine", "theirs"}
        assert pair.plan(**way).operations == ()
        trees_after.append(source)
    whole = trees_after[-1]
    assert len(whole) == 2
    for tree in trees_after:
        assert tree == whole if reading else tree.items() >= whole.items() and len(tree) <= len(whole) + 1


@both
@holds(world=worlds, way=ways, data=st.data())
def test_a_state_that_lags_is_harmless(
    kinds: str, world: Dict[str, Any], way: Dict[str, Any], data: Any, tmp_path: Path
) -> None:
    """I11: with any mixture of old and new rows, a run over what a run left changes nothing."""
    way = {**way, "renames": False}
    pair = made(kinds, tmp_path, world)
    old = pair.all_rows()
    pair.run(**way)
    after = moments(pair)
    new = pair.all_rows()
    lagging = data.draw(st.sets(st.sampled_from(sorted({*old, *new}) or ["none"])))
    with pair.engine(**way) as engine:
        state = engine.job().state
        assert state is not None
        state.acquire()
        state.begin(Run("lag", datetime(2026, 1, 1, tzinfo=timezone.utc), "two-way", "digest", "digest"))
        state.commit([old[key] for key in lagging if key in old], forgotten=[key for key in lagging if key not in old])
        state.finish(datetime(2026, 1, 1, tzinfo=timezone.utc), {})
    pair.run(**way)
    assert moments(pair) == after


# ------------------------------------------------------------------------------- renames, symmetry, scope


@both
@pytest.mark.parametrize("mode", MODES)
@holds(
    agreed=trees.filter(bool),
    other=edits,
    policy=st.sampled_from(POLICIES),
    side=side_names,
    data=st.data(),
)
def test_recognising_renames_only_refines(
    kinds: str, mode: str, agreed: Dict[str, str], other: Edits, policy: str, side: Side, data: Any, tmp_path: Path
) -> None:
    """I12: the same files with detection as without, where no rename meets an edit; never more bytes or conflicts."""
    old = data.draw(st.sampled_from(sorted(agreed)))
    results = {}
    for renames in (True, False):
        pair = made(kinds, tmp_path, {"agreed": agreed, "source": {}, "destination": {}})
        pair.places[side].rename(old, "renamed")
        pair.edit(side.other, {path: text and text.replace("*", f"other {path}") for path, text in other.items()})
        before = unsynced(pair, {"mode": mode, "renames": renames})
        plan, report = pair.run(mode=mode, conflict=policy, renames=renames)
        assert report.ok
        assert before - pair.contents() == set()
        crossed = [
            each.operation.path
            for each in report.outcomes
            if each.operation.origin is not None and each.operation.origin[0] is not each.operation.target
        ]
        results[renames] = pair.trees(), {each.path for each in plan.conflicts}, len(crossed)
    followed, plain = results[True], results[False]
    edited = old in other and other[old] is not None
    assert followed[0] == plain[0] or (edited and mode == "two-way")
    assert followed[1] <= plain[1]
    assert followed[2] <= plain[2]


@both
@holds(world=worlds, way=ways)
def test_the_sides_may_be_swapped(kinds: str, world: Dict[str, Any], way: Dict[str, Any], tmp_path: Path) -> None:
    """I13: with mode and policy mirrored, the plan and the result are mirrored; a tie leaves the name to the source."""
    # Memory has no times, so that nobody is newer there and every such conflict is a tie.
    if "memory" in kinds and way["conflict"] in ("newest", "keep-both"):
        way = {**way, "conflict": "source"}
    results = []
    for swapped in (False, True):
        pair = Pair(kinds, tmp_path)
        mirror = Side.DESTINATION if swapped else Side.SOURCE
        agreed = {path: text.replace("*", f"agreed {path}") for path, text in world["agreed"].items()}
        pair.edit(mirror, agreed)
        pair.run(mode=mirrored("source-to-destination") if swapped else "source-to-destination")
        for side in (mirror, mirror.other):
            name = "source" if side is mirror else "destination"
            pair.edit(side, {path: text and text.replace("*", f"{name} {path}") for path, text in world[name].items()})
        asked = {**way, "mode": mirrored(way["mode"]), "conflict": mirrored(way["conflict"])} if swapped else way
        plan, _ = pair.run(**asked)
        steps = {
            (action, kind, mirrored(target) if swapped else target, path) for action, kind, target, path in shapes(plan)
        }
        results.append((pair.trees()[::-1] if swapped else pair.trees(), steps))
    assert results[0] == results[1]


@most
@holds(
    {
        "world": {"agreed": {"d": "one", "a": "two"}, "source": {"d/x": "*"}, "destination": {"d": None}},
        "way": {"mode": "two-way", "conflict": "newest", "renames": True},
        "blind": Side.SOURCE,
        "prefix": "d",
    },
    world=worlds,
    way=ways,
    blind=side_names,
    prefix=st.sampled_from(["d", "d/e", "e"]),
)
def test_what_could_not_be_seen_is_left_alone(
    kinds: str, world: Dict[str, Any], way: Dict[str, Any], blind: Side, prefix: str, tmp_path: Path
) -> None:
    """I14: nothing at or below a prefix that one side could not list changes on either side, nor in the state."""
    pair = made(kinds, tmp_path, world)
    assume(any(is_within(path, prefix) for path in pair.tree(blind)))
    # Two stores of keys: the key itself is no part of what begins with it.
    apart = kinds == "flat-flat" and prefix not in pair.tree(blind)

    def is_hidden(path: str) -> bool:
        return is_within(path, prefix) and not (apart and path == prefix)

    def hidden() -> List[Any]:
        trees = [{path: text for path, text in tree.items() if is_hidden(path)} for tree in pair.trees()]
        return [*trees, {path: row for path, row in pair.rows().items() if is_hidden(path)}]

    before, lost = hidden(), unsynced(pair, way)
    tape = Tape(blind={blind: prefix})
    pair.run(tape, **way)
    assert hidden() == before
    assert lost - pair.contents() == set()
    assert not [path for _, _, path in tape.calls if is_hidden(path)]


@most
@holds(agreed=trees, way=ways, pattern=st.sampled_from(["/d", "a*", "*.txt", "e/", "/d/e", "*"]))
def test_excluding_and_including_again_is_nothing_at_all(
    kinds: str, agreed: Dict[str, str], way: Dict[str, Any], pattern: str, tmp_path: Path
) -> None:
    """I15: without edits, trees and state are as before."""
    pair = made(kinds, tmp_path, {"agreed": agreed, "source": {}, "destination": {}})
    before, rows = moments(pair), {path: evolve(row, generation=0) for path, row in pair.rows().items()}
    pair.run(**way, ignore=[pattern])
    assert moments(pair) == before
    pair.run(**way)
    assert moments(pair) == before
    assert {path: evolve(row, generation=0) for path, row in pair.rows().items()} == rows


@both
@holds(world=worlds, mode=modes, scopes=st.permutations(["d", "e"]))
def test_partial_syncs_compose(kinds: str, world: Dict[str, Any], mode: str, scopes: List[str], tmp_path: Path) -> None:
    """I16: one scope after the other, then everything, is one full run; without renames and conflicts."""
    whole, parts = made(kinds, tmp_path, world), made(kinds, tmp_path, world)
    plan, _ = whole.run(mode=mode, renames=False)
    assume(not plan.conflicts)
    for scope in scopes:
        elsewhere = [{p: text for p, text in tree.items() if not is_within(p, scope)} for tree in parts.trees()]
        parts.run(mode=mode, renames=False, scope=scope)
        now = [{p: text for p, text in tree.items() if not is_within(p, scope)} for tree in parts.trees()]
        assert now == elsewhere
    parts.run(mode=mode, renames=False)
    assert parts.trees() == whole.trees()
    assert parts.remembered() == whole.remembered()


# ----------------------------------------------------------------------------------------------- plans


@most
@holds(world=worlds, way=ways)
def test_planning_changes_nothing_and_foretells_the_run(
    kinds: str, world: Dict[str, Any], way: Dict[str, Any], tmp_path: Path
) -> None:
    """I17: no byte of the sides, the trash or the state; the run at that instant performs the very same plan."""
    pair = made(kinds, tmp_path, world)
    before, state, tape = moments(pair), pair.state_bytes(), Tape()
    with pair.engine(tape, **way) as engine:
        plan = engine.plan()
    assert (moments(pair), pair.state_bytes(), tape.calls) == (before, state, [])
    with pair.engine(**way) as engine:
        report = engine.sync()
    assert report.plan.operations == plan.operations
    assert report.plan.conflicts == plan.conflicts
    assert {each.operation.id for each in report.outcomes} == {each.id for each in plan}


@both
@holds(world=worlds, way=ways)
def test_a_saved_plan_is_a_run(kinds: str, world: Dict[str, Any], way: Dict[str, Any], tmp_path: Path) -> None:
    """I18: plan, save, load and apply leave what a sync leaves, in the trees and in the state."""
    direct, saved = made(kinds, tmp_path, world, by_url=True), made(kinds, tmp_path, world, by_url=True)
    direct.run(**way)
    with saved.engine(**way) as engine:
        text = engine.plan().to_json()
    assert syncengine.apply(Plan.from_json(text), on_stale="stop", progress=False).ok
    saved.observe()
    assert saved.trees() == direct.trees()
    assert saved.remembered() == direct.remembered()


@both
@holds(world=worlds, way=ways, data=st.data())
def test_a_stale_plan_leaves_alone_what_changed(
    kinds: str, world: Dict[str, Any], way: Dict[str, Any], data: Any, tmp_path: Path
) -> None:
    """I18: a plan that has become stale gives up what touches the edited path, and loses nothing."""
    pair = made(kinds, tmp_path, world, by_url=True)
    with pair.engine(**way) as engine:
        plan = Plan.from_json(engine.plan().to_json())
    touched, side = _an_end_of(plan, data)
    written_over = {text for p, text in pair.tree(side).items() if is_within(p, touched) or is_within(touched, p)}
    before = unsynced(pair, way) - written_over
    pair.write(side, touched, "late")
    report = syncengine.apply(plan, on_stale="skip", progress=False)
    pair.observe()
    assert pair.tree(side)[touched] == "late"
    for outcome in report.outcomes:
        ends = {(outcome.operation.target, outcome.operation.path), outcome.operation.origin}
        assert outcome.status is not Status.DONE or (side, touched) not in ends
    assert {*before, "late"} - pair.contents() == set()


def _an_end_of(plan: Plan, data: Any) -> Tuple[str, Side]:
    """Draw a path at which an operation on a file reads or writes."""
    files = [each for each in plan if each.kind is Kind.FILE]
    assume(files)
    operation = data.draw(st.sampled_from(files))
    ends = [(operation.path, operation.target)]
    if operation.origin is not None:
        ends.append((operation.origin[1], operation.origin[0]))
    return data.draw(st.sampled_from(ends))  # type: ignore[no-any-return]


def _shuffled(random: Any) -> Callable[[List[Operation]], Schedule]:
    """Return what schedules operations in another order that is just as legal."""

    def order(operations: List[Operation]) -> Schedule:
        found = schedule(operations)
        writes, files = list(found.writes), [each for each in found.deletes if each.kind is not Kind.DIRECTORY]
        random.shuffle(writes)
        random.shuffle(files)
        directories = [each for each in found.deletes if each.kind is Kind.DIRECTORY]
        return evolve(found, writes=tuple(writes), deletes=(*files, *directories))

    return order


@both
@pytest.mark.parametrize("threads", [1, 4])
@holds(world=worlds, way=ways, random=st.randoms(use_true_random=False))
def test_the_order_of_operations_does_not_matter(
    kinds: str, threads: int, world: Dict[str, Any], way: Dict[str, Any], random: Any, tmp_path: Path
) -> None:
    """I19: any order that the dependencies allow, with any number of workers, leaves the same trees and state."""
    plain, other = made(kinds, tmp_path, world), made(kinds, tmp_path, world)
    plain.run(**way)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "schedule", _shuffled(random))
        other.threads = threads
        _, report = other.run(**way)
    assert report.ok
    assert other.trees() == plain.trees()
    assert other.remembered() == plain.remembered()


@both
@holds(
    {
        "world": {"agreed": {"d/e/z": "one", "d/x": "two"}, "source": {}, "destination": {"d/e": "one"}},
        "way": {"mode": "two-way", "conflict": "source", "renames": False},
        "side": Side.SOURCE,
        "edited": "d/e/z",
        "content": "",
    },
    world=worlds,
    way=ways,
    side=side_names,
    edited=names,
    content=st.one_of(st.none(), contents),
)
def test_paths_are_decided_on_their_own(
    kinds: str,
    world: Dict[str, Any],
    way: Dict[str, Any],
    side: Side,
    edited: str,
    content: Optional[str],
    tmp_path: Path,
) -> None:
    """I20: without renames, an edit changes no decision at a path that is neither above nor below it."""
    way = {**way, "renames": False}
    with_edit, without = made(kinds, tmp_path, world), made(kinds, tmp_path, world)
    # What is written over goes too, and is then an edit of its own.
    assume(not any(is_within(path, edited) != is_within(edited, path) for path in with_edit.tree(side)))
    with_edit.edit(side, {edited: content})
    # What becomes of a path above, or of the edited one, may be that it is kept beside under a name of its own.
    copies = tuple(f"{path.partition('.')[0]}.conflict-" for path in (*parents(edited), edited))

    def elsewhere(plan: Plan) -> Set[Tuple[str, str, str, str]]:
        related = (is_within(edited, step[3]) or is_within(step[3], edited) for step in shapes(plan))
        return {
            step
            for step, is_related in zip(shapes(plan), related)
            if not is_related and not step[3].startswith(copies) and step[1] == "file"
        }

    assert elsewhere(with_edit.plan(**way)) == elsewhere(without.plan(**way))


# ----------------------------------------------------------------------------------- edits, faults, halves


@most
@holds(world=worlds, way=ways, data=st.data(), right_at_the_call=st.booleans())
def test_an_edit_during_the_run_survives_and_is_an_edit_for_the_next(
    kinds: str, world: Dict[str, Any], way: Dict[str, Any], data: Any, right_at_the_call: bool, tmp_path: Path
) -> None:
    """I21: the operation at that path is given up, its row stays, and the next run sees an edit of the old base."""
    pair = made(kinds, tmp_path, world)
    rows = pair.remembered()
    done: List[str] = []
    with pair.engine(**way) as engine:
        plan = engine.plan()
        assume(plan.operations)
        touched, side = _an_end_of(plan, data)
        if not right_at_the_call:
            pair.write(side, touched, "late")
            done.append(touched)
        else:
            _set_hook(
                engine, right_before(1, lambda: done or (done.append(touched), pair.write(side, touched, "late")))
            )
        report = engine.apply(plan)
    pair.observe()
    if not done:
        return  # the plan only removes directories
    assert "late" in pair.contents()
    now = pair.remembered()
    if pair.tree(side).get(touched) == "late" and touched in now and touched in rows:
        assert now[touched].content in (rows[touched].content, "late")
    assert report.outcomes
    pair.run(**way)
    assert "late" in pair.contents()


def _set_hook(engine: SyncEngine, before: Callable[..., None]) -> None:
    for client in (engine.source, engine.destination):
        client.tape.before = before


@most
@holds(
    {
        "world": {"agreed": {"a": "one", "b": "two", "d": ""}, "source": {"a": None}, "destination": {}},
        "way": {"mode": "two-way", "conflict": "newest", "renames": False},
        "at": 1,
    },
    world=worlds,
    way=ways,
    at=st.integers(1, 8),
)
def test_a_fault_stops_only_what_depends_on_it(
    kinds: str, world: Dict[str, Any], way: Dict[str, Any], at: int, tmp_path: Path
) -> None:
    """I22: everything else is done and recorded, and the next run leaves what a faultless one would have."""
    whole, pair = made(kinds, tmp_path, world), made(kinds, tmp_path, world)
    whole.run(**way)
    before = unsynced(pair, way)
    tape = Tape(failing(at))
    _, report = pair.run(tape, **way)
    assert before - pair.contents() == set()
    failed = [each for each in report.outcomes if each.status is not Status.DONE]
    broken = [each for each in failed if each.status is Status.FAILED]
    sides = {each.operation.target for each in failed if each.operation.action is not Action.DELETE}
    groups = {each.operation.group for each in broken}
    for each in failed:
        waits = each.operation.action is Action.DELETE and each.operation.target in sides
        together = each.operation.group is not None and each.operation.group in groups
        reads = any(
            other.operation.origin in ((each.operation.target, each.operation.path), each.operation.origin)
            for other in broken
        )
        nested = any(
            is_within(other.operation.path, each.operation.path) or is_within(each.operation.path, other.operation.path)
            for other in broken
        )
        assert each.status is Status.FAILED or waits or together or reads or nested, str(each)
    pair.remembered()
    _, again = pair.run(**way)
    assert again.ok
    assert pair.trees() == whole.trees()


@most
@holds(world=worlds, way=ways)
def test_no_file_is_ever_half_there(kinds: str, world: Dict[str, Any], way: Dict[str, Any], tmp_path: Path) -> None:
    """I23: whenever anybody looks, between two calls or in the middle of one, a path holds an old or a new version."""
    long = {
        where: {path: text and text.replace("*", "*" * 5000) for path, text in tree.items()}
        for where, tree in world.items()
    }
    pair = made(kinds, tmp_path, long)
    written = {text for tree in pair.trees() for text in tree.values()} | {""}
    looked: List[int] = []

    def look(*_: Any) -> None:
        looked.append(1)
        for side in Side:
            assert set(pair.tree(side).values()) <= written

    _, report = pair.run(Tape(look, reading=look), **way)
    look()
    assert report.ok


@pytest.mark.parametrize("side", list(Side))
def test_an_edit_within_one_tick_of_the_clock_is_an_edit(side: Side, tmp_path: Path) -> None:
    """I5: a stamp too young to tell two versions apart is not trusted; the content is."""
    pair = Pair("local-local", tmp_path)
    soon = time.time() + 3600 - EPOCH  # too young however slow the machine is
    pair.write(side, "a", "one", at=soon)
    pair.run(mode="two-way")
    file = pair.places[side].path / "a"
    before = file.stat()
    file.write_text("ONE")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    pair.run(mode="two-way")
    assert pair.trees() == ({"a": "ONE"}, {"a": "ONE"})


# ---------------------------------------------------------------------------------- content, bytes, names


@both
@holds(
    agreed=trees,
    source=edits,
    destination=edits,
    mode=modes,
    policy=st.sampled_from(["source", "destination", "keep-both", "manual"]),
    shifted=side_names,
    seconds=st.sampled_from([-86_400, 1, 3600]),
)
def test_only_content_counts(
    kinds: str,
    agreed: Dict[str, str],
    source: Edits,
    destination: Edits,
    mode: str,
    policy: str,
    shifted: Side,
    seconds: int,
    tmp_path: Path,
) -> None:
    """I24: other modification times change no operation where content can be read; ``newest`` excepted."""
    plans = []
    for late in (0, seconds):
        pair = Pair(kinds, tmp_path, compare="hash-only")
        texts = {path: text.replace("*", f"agreed {path}") for path, text in agreed.items()}
        for side in Side:
            pair.edit(side, texts)
        pair.run(mode="two-way")  # adopted by reading, so that the state knows the content
        for side, edited in ((Side.SOURCE, source), (Side.DESTINATION, destination)):
            pair.edit(side, {path: text and text.replace("*", f"{side.value} {path}") for path, text in edited.items()})
        times = pair.places[shifted].times()
        for path in pair.tree(shifted) if late else ():
            pair.places[shifted].touch(path, times.get(path, 1_600_000_000) + late)
        # Whose name a copy bears is decided by who is newer, so only the operations on plain names are compared.
        plan = pair.plan(mode=mode, conflict=policy)
        plans.append({step for step in shapes(plan) if policy != "keep-both" or not plan.conflicts})
    assert plans[0] == plans[1]


@both
@holds(world=worlds, way=ways)
def test_no_more_bytes_travel_than_changed(
    kinds: str, world: Dict[str, Any], way: Dict[str, Any], tmp_path: Path
) -> None:
    """I25: agreeing, deleting and renaming move nothing; the rest no more than the sizes of the files that differ."""
    pair = made(kinds, tmp_path, world)
    source, destination = pair.trees()
    differing = [path for path in {*source, *destination} if source.get(path) != destination.get(path)]
    bound = sum(len(tree[path]) for tree in (source, destination) for path in differing if path in tree)
    _, report = pair.run(**way)
    assert sum(outcome.bytes for outcome in report.outcomes) <= bound
    for outcome in report.outcomes:
        inside = outcome.operation.origin is None or outcome.operation.origin[0] is outcome.operation.target
        assert outcome.bytes == 0 or not inside or outcome.operation.action is Action.COPY


@both
@holds(tree=trees.filter(bool), side=side_names, removed=names)
def test_adopting_forgetting_and_renaming_move_no_byte(
    kinds: str, tree: Dict[str, str], side: Side, removed: str, tmp_path: Path
) -> None:
    """I25: equal trees are adopted, what both sides removed is forgotten, a renamed file is renamed."""
    pair = Pair(kinds, tmp_path)
    texts = {path: f"{text} {path}" for path, text in tree.items()}
    for each in Side:
        pair.edit(each, texts)
    _, report = pair.run(mode="two-way")
    assert report.outcomes == ()
    assert set(pair.remembered()) == set(texts)
    for each in Side:
        pair.edit(each, {removed: None})
    left = sorted(pair.tree(side))
    if left:
        pair.places[side].rename(left[0], "renamed")
    _, report = pair.run(mode="two-way")
    assert sum(outcome.bytes for outcome in report.outcomes) == 0
    assert set(pair.remembered()) == set(pair.tree(side))
    assert [outcome.operation.action for outcome in report.outcomes if outcome.operation.kind is Kind.FILE] == [
        Action.MOVE for _ in left[:1]
    ]


_OTHER_NAMES = {"a": "m", "b": "c", "c": "a", "d": "x", "x": "q", "y": "d", "e": "n n", "z": "ü"}


def _renamed(path: str) -> str:
    """Return the path with other names, dots and folders where they were."""
    parts = (part.partition(".") for part in path.split("/"))
    return "/".join(_OTHER_NAMES[stem] + dot + rest for stem, dot, rest in parts)


@both
@holds(world=worlds, way=ways)
def test_names_mean_nothing(kinds: str, world: Dict[str, Any], way: Dict[str, Any], tmp_path: Path) -> None:
    """I26: other names, the same outcome under those names."""
    plain = made(kinds, tmp_path, world)
    other = Pair(kinds, tmp_path)
    other.agree_on({_renamed(path): text.replace("*", f"agreed {path}") for path, text in world["agreed"].items()})
    for side in Side:
        for path, text in world[side.value].items():
            other.edit(side, {_renamed(path): text and text.replace("*", f"{side.value} {path}")})
    plain.run(**way)
    other.run(**way)
    expected = tuple({_renamed(path): text for path, text in tree.items()} for tree in plain.trees())
    assert other.trees() == expected


# ----------------------------------------------------------------------------- guards, termination, kinds


@both
@holds(world=worlds, way=ways, guards=st.sampled_from([{"max_delete": 0}, {"max_delete": "10%"}, {}]))
def test_a_guard_refuses_everything_or_nothing(
    kinds: str, world: Dict[str, Any], way: Dict[str, Any], guards: Dict[str, Any], tmp_path: Path
) -> None:
    """I27: a refused run changes nothing, the state included; with the overrides it is a run without guards."""
    free, guarded = made(kinds, tmp_path, world), made(kinds, tmp_path, world)
    free.run(**way)
    before, state, tape = moments(guarded), guarded.state_bytes(), Tape()
    limits = {"guards": Guards(**guards), "allow_emptied": False}
    refused: Tuple[Blocker, ...] = ()
    try:
        guarded.run(tape, **way, **limits)
    except GuardError as error:
        refused = error.blockers
    if refused:
        assert (moments(guarded), guarded.state_bytes(), tape.calls) == (before, state, [])
        guarded.run(**way, **{**limits, "allow_emptied": True, "allow_mass_delete": True})
    assert guarded.trees() == free.trees()
    assert guarded.remembered() == free.remembered()


@most
@holds(world=worlds, first=ways, second=ways)
def test_one_run_is_enough(
    kinds: str, world: Dict[str, Any], first: Dict[str, Any], second: Dict[str, Any], tmp_path: Path
) -> None:
    """I28: whatever is asked for, the plan after one run of it is empty."""
    pair = made(kinds, tmp_path, world)
    for way in (first, second, first):
        pair.run(**way)
        assert pair.plan(**way).operations == ()


@most
@holds(world=worlds, way=ways, ignore=st.sampled_from(["*.txt", "z", "x", "y"]))
def test_no_path_is_ever_both_and_nothing_hidden_is_removed(
    kinds: str, world: Dict[str, Any], way: Dict[str, Any], ignore: str, tmp_path: Path
) -> None:
    """I29: at no moment is a path a file and a directory, and what a filter hides is never part of a deletion."""
    pair = made(kinds, tmp_path, world)

    def hidden() -> List[Tree]:
        def is_hidden(path: str) -> bool:
            return any(part == ignore or ("*" in ignore and part.endswith(ignore[1:])) for part in path.split("/"))

        return [{path: text for path, text in tree.items() if is_hidden(path)} for tree in pair.trees()]

    before = hidden()

    def sound(*_: Any) -> None:
        assert hidden() == before
        for side in Side:
            assert "flat" in kinds or not list(clashes(pair.tree(side)))

    pair.run(Tape(sound), **way, ignore=[ignore])
    sound()


@most
@holds(world=worlds, sequence=st.lists(ways, min_size=2, max_size=4))
def test_modes_may_follow_each_other_in_any_order(
    kinds: str, world: Dict[str, Any], sequence: List[Dict[str, Any]], tmp_path: Path
) -> None:
    """I30: what was unsynced is still there after any sequence of modes, and the state was true after each."""
    pair = made(kinds, tmp_path, world)
    before = unsynced(pair, *sequence)
    for way in sequence:
        before |= unsynced(pair, *sequence)
        pair.run(**way)
        pair.remembered()
    assert before - pair.contents() == set()


@most
@holds(
    {
        "world": {"agreed": {"d/e/z": "*", "c.txt": "ONE"}, "source": {"d": "ONE"}, "destination": {}},
        "mode": "source-backup",
        "way": {"mode": "two-way", "conflict": "manual", "renames": True},
    },
    world=worlds,
    mode=st.sampled_from(["source-backup", "destination-backup"]),
    way=two_ways,
)
def test_two_way_deletes_nothing_that_a_backup_kept(
    kinds: str, world: Dict[str, Any], mode: str, way: Dict[str, Any], tmp_path: Path
) -> None:
    """I30: a deletion that a backup skipped is not made up for later."""
    pair = made(kinds, tmp_path, world)
    pair.run(mode=mode)
    written = Side.DESTINATION if mode == "source-backup" else Side.SOURCE
    kept = set(pair.tree(written)) - set(pair.tree(written.other))
    pair.run(**{**way, "renames": False})
    for path in kept:
        assert versions_of(pair.tree(written), path), path


def test_every_invariant_has_a_property() -> None:
    told = " ".join(str(check.__doc__) for name, check in globals().items() if name.startswith("test_"))
    assert [number for number in range(1, 31) if f"I{number}:" not in told] == []
