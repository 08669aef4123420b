"""The first sync ends when everything it governs was done, and its preference decides nothing afterwards."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Tuple

import pytest

import syncengine
from syncengine import Guards, RecipeError, SyncEngine, SyncInterrupted
from syncengine.core.bootstrap import MOST_PATHS, still_to_see
from syncengine.events import OperationFinished
from tests.trees import files, write

FIRST = {"mode": "two-way", "guards": Guards.off()}


@pytest.fixture
def sides(tmp_path: Path) -> Tuple[Path, Path]:
    """A pair that was never synced: one file on both sides, one only at the destination."""
    source = write(tmp_path / "source", {"same": "1"})
    return source, write(tmp_path / "destination", {"same": "1", "extra": "2", "other": "3"})


def still_governed(sides: Tuple[Path, Path]) -> Tuple[str, ...]:
    with SyncEngine(*sides, mode="two-way") as engine:
        state = engine.job().state
        assert state is not None
        return state.bootstrap.todo


def test_what_was_taken_out_of_the_plan_is_still_governed_by_the_preference(sides: Tuple[Path, Path]) -> None:
    plan = syncengine.plan(*sides, initial="source-wins", **FIRST)
    syncengine.apply(plan.drop("extra"))

    syncengine.sync(*sides, initial="source-wins", **FIRST)

    assert files(sides[0]) == files(sides[1]) == {"same": "1"}
    assert still_governed(sides) == ()


def test_an_operation_that_was_not_done_is_still_governed_by_the_preference(sides: Tuple[Path, Path]) -> None:
    plan = syncengine.plan(*sides, initial="source-wins", **FIRST)
    write(sides[1], {"extra": "changed meanwhile"})

    syncengine.apply(plan, on_stale="skip")
    assert still_governed(sides) == ("extra",)
    syncengine.sync(*sides, **FIRST)

    assert files(sides[0]) == files(sides[1]) == {"same": "1"}
    assert still_governed(sides) == ()


def test_an_interrupted_first_sync_leaves_all_of_it_to_do(sides: Tuple[Path, Path]) -> None:
    write(sides[0], {"new 1": "1", "new 2": "2"})

    class Impatient:
        def on(self, event: object) -> None:
            if isinstance(event, OperationFinished):
                engine.cancel.set()

    engine = SyncEngine(*sides, mode="two-way", initial="source-wins", guards=Guards.off(), observer=Impatient())
    with engine, pytest.raises(SyncInterrupted):
        engine.sync()

    assert still_governed(sides) == ("",)


def test_a_plan_that_was_applied_whole_ends_the_first_sync(sides: Tuple[Path, Path]) -> None:
    syncengine.apply(syncengine.plan(*sides, initial="source-wins", **FIRST))

    assert still_governed(sides) == ()


def test_a_preference_that_decides_nothing_any_more_is_told(sides: Tuple[Path, Path]) -> None:
    syncengine.sync(*sides, initial="source-wins", **FIRST)
    write(sides[1], {"new": "4"})

    plan = syncengine.plan(*sides, initial="source-wins", **FIRST)

    assert [problem.message.partition(":")[0] for problem in plan.problems] == ["initial='source-wins' has no effect"]
    assert plan.complete
    assert [(each.action.value, each.path) for each in plan] == [("create", "new")]


def test_merging_again_is_what_happens_anyway(sides: Tuple[Path, Path]) -> None:
    syncengine.sync(*sides, initial="merge", **FIRST)

    assert syncengine.plan(*sides, initial="merge", **FIRST).problems == ()


def test_a_preference_without_a_state_is_refused(sides: Tuple[Path, Path]) -> None:
    for stateless in (None, "none"):
        with pytest.raises(RecipeError, match="initial='source-wins' needs a state"):
            syncengine.plan(*sides, initial="source-wins", state=stateless, **FIRST)


def test_a_two_way_plan_without_a_state_says_that_it_is_a_first_sync_each_time(sides: Tuple[Path, Path]) -> None:
    plan = syncengine.plan(*sides, state=None, **FIRST)

    assert "every run is a first sync" in str(plan)
    assert plan.complete


def test_many_paths_that_were_not_done_are_kept_as_their_prefix() -> None:
    undone = [f"a/{number}" for number in range(MOST_PATHS + 1)]

    assert still_to_see(("a",), (), (), undone=undone) == ("a",)
    assert still_to_see(("a",), (), (), undone=undone[:2]) == ("a/0", "a/1")


@pytest.mark.parametrize(
    ("only_if", "conflict"),
    [
        ("missing", "source"),
        ("missing", "keep-both"),
        ("immutable", "source"),
        ("immutable", "keep-both"),
        ("newer", "source"),
    ],
)
def test_only_if_holds_for_a_conflict_that_the_policy_would_decide(tmp_path: Path, only_if: str, conflict: str) -> None:
    sides = write(tmp_path / "source", {"f": "old"}), write(tmp_path / "destination", {"f": "new!"})
    for age, side in enumerate(reversed(sides)):
        os.utime(side / "f", (1_700_000_000 - 1000 * age,) * 2)

    report = syncengine.sync(*sides, mode="two-way", conflict=conflict, only_if=only_if)

    assert (files(sides[0]), files(sides[1])) == ({"f": "old"}, {"f": "new!"})
    assert [each.path for each in report.plan.unresolved] == ["f"]
    assert "f is in conflict and not replaced" in report.plan.problems[0].message
