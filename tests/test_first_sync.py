"""The first sync ends when everything it governs was done, and its preference decides nothing afterwards."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Optional, Tuple

import pytest

import syncengine
from syncengine import Guards, RecipeError, SyncEngine, SyncInterrupted
from syncengine.core.bootstrap import MOST_PATHS, still_to_see, unequal
from syncengine.core.entry import Side
from syncengine.core.modes import InitialSyncPreference
from syncengine.events import OperationFinished
from syncengine.state.manager import SyncStateManager
from syncengine.storage.local import LocalStorageClient
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


# ------------------------------------------------------------------ killed on the way


class Stopped(BaseException):
    """The process was killed."""


def killed_in(target: Any, method: str, sides: Tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin the first sync and die in one call, before anything of it is done."""

    def never(*_: Any, **__: Any) -> None:
        raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(target, method, never)
        with pytest.raises(Stopped):
            syncengine.sync(*sides, initial="source-wins", **FIRST)


@pytest.mark.parametrize(
    ("target", "method"),
    [
        (LocalStorageClient, "move"),
        (SyncStateManager, "begin"),
        (SyncStateManager, "commit"),
        (SyncStateManager, "set_bootstrap"),
        (SyncStateManager, "finish"),
    ],
)
def test_a_first_sync_killed_at_any_step_ends_as_if_it_had_not_been(
    sides: Tuple[Path, Path], target: Any, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_in(target, method, sides, monkeypatch)
    asked = "source-wins" if method == "begin" else None  # before that nothing remembers the preference
    syncengine.sync(*sides, initial=asked, **FIRST)

    assert files(sides[0]) == files(sides[1]) == {"same": "1"}
    assert still_governed(sides) == ()


def test_a_first_sync_that_lacked_only_its_end_deletes_nothing_that_comes_later(
    sides: Tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_in(SyncStateManager, "set_bootstrap", sides, monkeypatch)
    report = syncengine.sync(*sides, **FIRST)
    assert report.outcomes == ()

    write(sides[1], {"new": "made after the first sync"})
    syncengine.sync(*sides, **FIRST)

    assert files(sides[0]) == files(sides[1]) == {"same": "1", "new": "made after the first sync"}


def test_a_first_sync_of_two_empty_sides_is_finished(tmp_path: Path) -> None:
    sides = write(tmp_path / "source", {}), write(tmp_path / "destination", {})
    syncengine.sync(*sides, initial="source-wins", **FIRST)
    write(sides[1], {"new": "1"})
    syncengine.sync(*sides, initial="source-wins", **FIRST)

    assert files(sides[0]) == {"new": "1"}


def test_another_preference_is_refused_while_a_killed_first_sync_is_not_finished(
    sides: Tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_in(SyncStateManager, "commit", sides, monkeypatch)

    with pytest.raises(RecipeError, match="begun with initial='source-wins'"):
        syncengine.plan(*sides, initial="destination-wins", **FIRST)


# ------------------------------------------------------------------ sides that are very unequal

MERGE, SOURCE_WINS, DESTINATION_WINS = InitialSyncPreference


@pytest.mark.parametrize(
    ("says", "source", "destination", "shared", "warns"),
    [
        ("both empty", 0, 0, 0, False),
        ("the usual beginning", 500, 0, 0, False),
        ("nothing in common", 500, 400, 0, True),
        ("nothing in common, a handful of files", 9, 9, 0, False),
        ("nothing in common, just enough files", 10, 1, 0, True),
        ("one in common, about as many", 500, 400, 1, False),
        ("a tenth is not small", 500, 50, 4, False),
        ("small, and little in common", 500, 49, 4, True),
        ("small, and a part of the other", 500, 49, 49, False),
        ("small, and a tenth in common", 500, 40, 4, False),
    ],
)
def test_sides_with_hardly_anything_in_common_are_told(
    says: str, source: int, destination: int, shared: int, warns: bool
) -> None:
    for seen in ((source, destination), (destination, source)):
        assert bool(list(unequal(dict(zip(Side, seen)), shared))) is warns


@pytest.mark.parametrize(
    ("preference", "outcome"),
    [
        (None, "500 files go to the destination and 12 files to the source"),
        (MERGE, "500 files go to the destination and 12 files to the source"),
        (SOURCE_WINS, "the 12 files that only the destination holds are moved to its trash"),
        (DESTINATION_WINS, "the 500 files that only the source holds are moved to its trash"),
    ],
)
def test_the_warning_says_what_will_happen(preference: Optional[InitialSyncPreference], outcome: str) -> None:
    (problem,) = unequal({Side.SOURCE: 500, Side.DESTINATION: 12}, 0, preference)

    assert outcome in problem.message
    assert "check that both are the places you mean" in problem.message


def test_a_merge_of_unequal_sides_warns_and_goes_on(tmp_path: Path) -> None:
    source = write(tmp_path / "source", {f"photo {number}": str(number) for number in range(12)})
    destination = write(tmp_path / "destination", {"invoice": "1"})
    plan = syncengine.plan(source, destination, **FIRST)

    assert "the two sides look very unequal: of 12 files at the source and 1 file at the destination 0" in str(plan)
    assert plan.complete
    assert syncengine.apply(plan).exit_code == 0
    assert len(files(source)) == len(files(destination)) == 13
    assert syncengine.plan(source, destination, **FIRST).problems == ()


def test_a_mirror_of_unequal_sides_is_what_was_asked_for(tmp_path: Path) -> None:
    source = write(tmp_path / "source", {f"photo {number}": str(number) for number in range(12)})
    destination = write(tmp_path / "destination", {"invoice": "1"})

    assert syncengine.plan(source, destination, mode="source-to-destination").problems == ()
