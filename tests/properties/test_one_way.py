"""Properties of the one-way modes over random trees: a plan predicts exactly the tree that applying it leaves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import syncengine
from syncengine import Action, Kind, Plan, Side, SyncEngine
from syncengine.core.plan_parts import AgreementKind

from .sides import PAIRS, Tree, edits, kept, trees, visible

MIRRORS = ("source-to-destination", "destination-to-source")
BACKUPS = ("source-backup", "destination-backup")
ONE_WAY = MIRRORS + BACKUPS
OPEN = {"guards": syncengine.Guards.off(), "allow_emptied": True, "progress": False}

QUICK = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
THOROUGH = settings(QUICK, max_examples=500)

pairs = pytest.mark.parametrize("pair", PAIRS)
modes = pytest.mark.parametrize("mode", ONE_WAY)


class World:
    """Two sides with a common past: one agreed tree, and what each side's user did to it since."""

    def __init__(self, pair: str, base: Path, agreed: Tree, at_source: Dict[str, Any], at_destination: Dict[str, Any]):
        first, second = PAIRS[pair]
        self.source, self.destination = first(base), second(base)
        self.arguments: Dict[str, Any] = {**OPEN}
        if "memory" not in pair:
            self.arguments["state"] = str(base / "state")
        self.source.edit(agreed)
        with self.engine("source-to-destination") as engine:
            engine.sync()
        self.agreed = visible(self.source.files())
        self.source.edit(at_source)
        self.destination.edit(at_destination)

    def engine(self, mode: str, **more: Any) -> SyncEngine:
        return SyncEngine(self.source.spec, self.destination.spec, mode=mode, **{**self.arguments, **more})

    def trees(self) -> Tuple[Tree, Tree]:
        return visible(self.source.files()), visible(self.destination.files())


def predicted(plan: Plan, source: Tree, destination: Tree) -> Tuple[Tree, Tree]:
    """Return the trees that performing *plan* must leave, from its operations alone."""
    before = {Side.SOURCE: source, Side.DESTINATION: destination}
    after = {Side.SOURCE: dict(source), Side.DESTINATION: dict(destination)}
    for operation in plan.operations:
        if operation.action is Action.DELETE or operation.kind is Kind.DIRECTORY:
            after[operation.target].pop(operation.path, None)
        if operation.action is Action.MOVE and operation.origin is not None:
            after[operation.target].pop(operation.origin[1], None)
    for operation in plan.operations:
        if operation.action is not Action.DELETE and operation.kind is Kind.FILE:
            assert operation.origin is not None
            side, path = operation.origin
            after[operation.target][operation.path] = before[side][path]
    return after[Side.SOURCE], after[Side.DESTINATION]


def check_plan_predicts_the_tree(world: World, mode: str, **more: Any) -> None:
    before = world.trees()
    with world.engine(mode, **more) as engine:
        plan = engine.plan()
        assert world.trees() == before, "planning writes nothing"
        report = engine.apply(plan)
        assert report.ok, str(report)
        assert world.trees() == predicted(plan, *before)
        assert engine.plan().operations == (), "a second plan is empty"


@pairs
@modes
@QUICK
@given(agreed=trees, at_source=edits, at_destination=edits)
@example(agreed={"b": b"one"}, at_source={"b/c": b"two"}, at_destination={})
@example(agreed={"b/c": b"one"}, at_source={"b": b"two"}, at_destination={"b/c": b"three"})
@example(agreed={"d/x": b""}, at_source={"d/x": b""}, at_destination={"d/x": None})
def test_a_plan_predicts_exactly_the_tree_that_applying_it_leaves(
    pair: str, mode: str, agreed: Tree, at_source: Tree, at_destination: Tree, tmp_path: Path
) -> None:
    check_plan_predicts_the_tree(World(pair, tmp_path, agreed, at_source, at_destination), mode)


@pytest.mark.thorough
@pairs
@modes
@THOROUGH
@given(agreed=trees, at_source=edits, at_destination=edits)
def test_a_plan_predicts_the_tree_thoroughly(
    pair: str, mode: str, agreed: Tree, at_source: Tree, at_destination: Tree, tmp_path: Path
) -> None:
    check_plan_predicts_the_tree(World(pair, tmp_path, agreed, at_source, at_destination), mode)


@pairs
@pytest.mark.parametrize("mode", MIRRORS)
@QUICK
@given(agreed=trees, at_source=edits, at_destination=edits)
def test_a_mirror_makes_both_sides_equal_and_leaves_its_leading_side_alone(
    pair: str, mode: str, agreed: Tree, at_source: Tree, at_destination: Tree, tmp_path: Path
) -> None:
    world = World(pair, tmp_path, agreed, at_source, at_destination)
    leading = world.trees()[0 if mode == "source-to-destination" else 1]
    with world.engine(mode) as engine:
        engine.sync()

    assert world.trees() == (leading, leading)


@QUICK
@given(agreed=trees, at_source=edits, at_destination=edits)
def test_a_mirror_of_folders_also_makes_their_directories_equal(
    agreed: Tree, at_source: Tree, at_destination: Tree, tmp_path: Path
) -> None:
    world = World("local-local", tmp_path, agreed, at_source, at_destination)
    with world.engine("source-to-destination") as engine:
        engine.sync()

    assert world.source.directories() == world.destination.directories()


@pairs
@pytest.mark.parametrize("mode", BACKUPS)
@QUICK
@given(agreed=trees, at_source=edits, at_destination=edits)
def test_a_backup_only_grows(
    pair: str, mode: str, agreed: Tree, at_source: Tree, at_destination: Tree, tmp_path: Path
) -> None:
    world = World(pair, tmp_path, agreed, at_source, at_destination)
    written = 1 if mode == "source-backup" else 0
    before = world.trees()
    with world.engine(mode) as engine:
        engine.sync()
    after = world.trees()

    assert set(before[written]) <= set(after[written])
    assert after[1 - written] == before[1 - written]


@pairs
@modes
@QUICK
@given(agreed=trees, at_source=edits, at_destination=edits)
def test_no_version_that_was_not_agreed_is_ever_lost(
    pair: str, mode: str, agreed: Tree, at_source: Tree, at_destination: Tree, tmp_path: Path
) -> None:
    world = World(pair, tmp_path, agreed, at_source, at_destination)
    unsynced = [
        content for tree in world.trees() for path, content in tree.items() if world.agreed.get(path) != content
    ]
    with world.engine(mode) as engine:
        engine.sync()
    everywhere = [
        *(content for tree in world.trees() for content in tree.values()),
        *kept(world.source.files()),
        *kept(world.destination.files()),
    ]

    assert [content for content in unsynced if content not in everywhere] == []


@pairs
@modes
@QUICK
@given(agreed=trees, at_source=edits, at_destination=edits, data=st.data())
def test_nothing_outside_an_edited_plan_changes(
    pair: str, mode: str, agreed: Tree, at_source: Tree, at_destination: Tree, data: Any, tmp_path: Path
) -> None:
    world = World(pair, tmp_path, agreed, at_source, at_destination)
    before = world.trees()
    with world.engine(mode) as engine:
        plan = engine.plan()
        chosen = data.draw(st.lists(st.sampled_from([each.id for each in plan] or ["none"]), unique=True))
        part = plan.keep(chosen)
        report = engine.apply(part)

    assert {each.operation.id for each in report.outcomes} == {each.id for each in part}
    done = {each.operation.id for each in report.outcomes if each.status.value == "done"}
    assert world.trees() == predicted(part.keep(done), *before)


@pairs
@modes
@QUICK
@given(agreed=trees, at_source=edits, at_destination=edits)
def test_a_saved_plan_applied_later_equals_a_sync(
    pair: str, mode: str, agreed: Tree, at_source: Tree, at_destination: Tree, tmp_path: Path
) -> None:
    world = World(pair, tmp_path, agreed, at_source, at_destination)
    before = world.trees()
    with world.engine(mode) as engine:
        plan = Plan.from_json(engine.plan().to_json())
        expected = predicted(plan, *before)
        engine.apply(plan)

        assert world.trees() == expected
        learned = [each for each in engine.plan().agreements if each.kind is not AgreementKind.TOUCH]
        assert learned == [], "the state knows everything that was agreed (files just written are looked at again)"


@pairs
@QUICK
@given(agreed=trees, at_source=edits, at_destination=edits, order=st.permutations(ONE_WAY))
def test_any_sequence_of_one_way_modes_keeps_what_was_not_agreed(
    pair: str, agreed: Tree, at_source: Tree, at_destination: Tree, order: List[str], tmp_path: Path
) -> None:
    world = World(pair, tmp_path, agreed, at_source, at_destination)
    unsynced = [
        content for tree in world.trees() for path, content in tree.items() if world.agreed.get(path) != content
    ]
    for mode in order[:3]:
        with world.engine(mode) as engine:
            engine.sync()
    everywhere = [*world.source.files().values(), *world.destination.files().values()]

    assert [content for content in unsynced if content not in everywhere] == []


@QUICK
@given(agreed=trees, hidden=st.sampled_from(["d/", "a*", "*.b", "e/a"]))
def test_exclude_run_include_run_is_the_identity(agreed: Tree, hidden: str, tmp_path: Path) -> None:
    world = World("local-local", tmp_path, agreed, {}, {})
    before = world.trees()
    with world.engine("source-to-destination", ignore=[hidden]) as engine:
        assert engine.sync().outcomes == ()
    with world.engine("source-to-destination") as engine:
        assert engine.sync().outcomes == ()

    assert world.trees() == before
    assert os.path.exists(world.source.spec)
