"""Retained versions come back: to their place or elsewhere, from wherever they are kept, by a plan like any other."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Dict, List, Tuple

import fsspec
import pytest

import syncengine
from syncengine import Status
from syncengine.errors import GuardError, RecipeError, StalePlanError
from tests.trees import everything, files, trash, tree, write

START = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
MIRROR: Dict[str, Any] = {"mode": "source-to-destination", "retain": "all"}


def does(plan: syncengine.Plan) -> List[Tuple[str, str]]:
    return [(operation.action.value, operation.path) for operation in plan]


@pytest.fixture
def sides(tmp_path: Path) -> Tuple[Path, Path]:
    source = write(tmp_path / "source", {"f": "one", "d/x": "first", "same": "="})
    return source, write(tmp_path / "destination", {})


def edited(source: Path, **changes: Any) -> None:
    for name, content in changes.items():
        if content is None:
            (source / name).unlink()
        else:
            write(source, {name: content})


def three_runs(source: Path, destination: Any, **options: Any) -> List[str]:
    """Mirror three times: ``f`` holds one, two two, then nothing; ``n`` comes with the second run."""
    runs = []
    for day, changes in enumerate(({}, {"f": "two two", "n": "new"}, {"f": None})):
        edited(source, **changes)
        clock = lambda day=day: START + timedelta(days=day)  # noqa: E731 - one clock for each run
        runs.append(syncengine.sync(source, destination, clock=clock, **options).run_id)
    return runs


def test_a_path_alone_brings_back_its_newest_kept_version(sides: Tuple[Path, Path]) -> None:
    three_runs(*sides, **MIRROR)

    plan = syncengine.restore(*sides, "f", **MIRROR)
    assert does(plan) == [("create", "f")]
    assert syncengine.apply(plan).ok
    assert files(sides[1]) == {"f": "two two", "d/x": "first", "same": "=", "n": "new"}


@pytest.mark.parametrize(("number", "content"), [(1, "two two"), (2, "one")])
def test_a_version_is_counted_from_the_newest(sides: Tuple[Path, Path], number: int, content: str) -> None:
    three_runs(*sides, **MIRROR)

    syncengine.apply(syncengine.restore(*sides, "f", version=number, **MIRROR))

    assert (sides[1] / "f").read_text() == content


def test_the_tree_comes_back_as_it_was_after_a_run_and_what_stood_there_is_kept(sides: Tuple[Path, Path]) -> None:
    first, second, _ = three_runs(*sides, **MIRROR)
    before = set(trash(sides[1]).values())

    syncengine.apply(syncengine.restore(*sides, run=first, delete=True, **MIRROR))
    assert tree(sides[1]) == {"f": "one", "d": None, "d/x": "first", "same": "="}
    assert set(trash(sides[1]).values()) == before | {"new"}

    syncengine.apply(syncengine.restore(*sides, run=second, delete=True, **MIRROR))
    assert files(sides[1]) == {"f": "two two", "d/x": "first", "same": "=", "n": "new"}


def test_without_delete_nothing_disappears(sides: Tuple[Path, Path]) -> None:
    first, _, _ = three_runs(*sides, **MIRROR)

    assert does(syncengine.restore(*sides, run=first, **MIRROR)) == [("create", "f")]


def test_restoring_twice_is_restoring_once(sides: Tuple[Path, Path]) -> None:
    first, _, _ = three_runs(*sides, **MIRROR)
    syncengine.apply(syncengine.restore(*sides, run=first, delete=True, **MIRROR))

    assert syncengine.restore(*sides, run=first, delete=True, **MIRROR).empty


def test_a_time_means_the_last_run_that_had_begun_by_then(sides: Tuple[Path, Path]) -> None:
    three_runs(*sides, **MIRROR)
    runs = syncengine.history(*sides).runs[::-1]

    syncengine.apply(syncengine.restore(*sides, at=runs[1].started_at, delete=True, **MIRROR))
    assert files(sides[1])["f"] == "two two"
    syncengine.apply(syncengine.restore(*sides, at="3650d", delete=True, **MIRROR))
    assert files(sides[1]) == {}


@pytest.mark.parametrize("where", [{}, {"to": "elsewhere"}], ids=["in place", "elsewhere"])
def test_a_time_before_the_first_run_is_refused_where_nothing_would_come_back(
    sides: Tuple[Path, Path], where: Dict[str, str], tmp_path: Path
) -> None:
    first, _, _ = three_runs(*sides, **MIRROR)
    options = {name: tmp_path / folder for name, folder in where.items()}

    with pytest.raises(
        RecipeError, match=f"nothing was there before the first run on record, {first} of 2026-01-01T12"
    ):
        syncengine.restore(*sides, "f", at="3650d", **options, **MIRROR)


def test_a_time_of_whole_seconds_is_all_of_that_second(sides: Tuple[Path, Path]) -> None:
    clock = lambda: START + timedelta(microseconds=900_000)  # noqa: E731 - one clock for the run
    syncengine.sync(*sides, clock=clock, **MIRROR)
    edited(sides[0], f="two")
    syncengine.sync(*sides, clock=lambda: START + timedelta(days=1), **MIRROR)

    syncengine.apply(syncengine.restore(*sides, "f", at="2026-01-01T12:00:00Z", **MIRROR))

    assert (sides[1] / "f").read_text() == "one"


def test_a_folder_is_restored_with_what_lies_below_it_alone(sides: Tuple[Path, Path]) -> None:
    write(sides[0], {"d/y": "y", "e/z": "z"})
    first = syncengine.sync(*sides, **MIRROR).run_id
    write(sides[0], {"d/x": "second", "d/y": "y2", "e/z": "z2"})
    syncengine.sync(*sides, **MIRROR)

    assert does(syncengine.restore(*sides, "d", run=first, **MIRROR)) == [("update", "d/x"), ("update", "d/y")]


def test_another_folder_gets_the_whole_tree_of_then_and_the_sides_stay(
    sides: Tuple[Path, Path], tmp_path: Path
) -> None:
    first, _, _ = three_runs(*sides, **MIRROR)
    before = everything(sides[1])

    plan = syncengine.restore(*sides, run=first, to=tmp_path / "out", **MIRROR)
    assert syncengine.apply(plan).ok

    assert files(tmp_path / "out") == {"f": "one", "d/x": "first", "same": "="}
    assert everything(sides[1]) == before
    assert len(syncengine.history(*sides).runs) == 3


def test_what_stands_in_the_other_folder_is_retained(sides: Tuple[Path, Path], tmp_path: Path) -> None:
    three_runs(*sides, **MIRROR)
    out = write(tmp_path / "out", {"f": "mine", "other": "stays"})

    syncengine.apply(syncengine.restore(*sides, "f", to=out, **MIRROR))

    assert files(out) == {"f": "two two", "other": "stays"}
    assert trash(out) == {"f": "mine"}


def test_a_folder_inside_a_side_is_no_other_folder(sides: Tuple[Path, Path]) -> None:
    three_runs(*sides, **MIRROR)

    with pytest.raises(RecipeError, match="outside both sides"):
        syncengine.restore(*sides, "f", to=sides[1] / "back", **MIRROR)


def test_a_saved_plan_restores_later_and_is_stale_where_somebody_wrote_meanwhile(
    sides: Tuple[Path, Path], tmp_path: Path
) -> None:
    first, _, _ = three_runs(*sides, **MIRROR)
    syncengine.restore(*sides, run=first, **MIRROR).save(tmp_path / "plan.json")
    loaded = syncengine.Plan.load(tmp_path / "plan.json")

    write(sides[1], {"f": "somebody's"})
    with pytest.raises(StalePlanError, match="1 of its operations no longer fit"):
        syncengine.apply(loaded)
    (sides[1] / "f").unlink()

    assert syncengine.apply(loaded).ok
    assert files(sides[1])["f"] == "one"


@pytest.mark.parametrize("common", [False, True])
def test_a_trash_elsewhere_gives_back_what_it_keeps(sides: Tuple[Path, Path], tmp_path: Path, common: bool) -> None:
    options = {**MIRROR, "trash": str(tmp_path / "trash")}
    if common:
        other = write(tmp_path / "other", {"f": "another pair's"})
        three_runs(other, tmp_path / "there", **options)
    first, _, _ = three_runs(*sides, **options)

    plan = syncengine.restore(*sides, run=first, delete=True, **options)
    plan.save(tmp_path / "plan.json")
    assert syncengine.apply(tmp_path / "plan.json").ok

    assert files(sides[1]) == {"f": "one", "d/x": "first", "same": "="}
    assert trash(sides[1]) == {}


def test_a_stranger_at_the_other_folder_is_left_where_the_trash_is_the_pairs(
    sides: Tuple[Path, Path], tmp_path: Path
) -> None:
    options = {**MIRROR, "trash": str(tmp_path / "trash")}
    three_runs(*sides, **options)
    out = write(tmp_path / "out", {"f": "mine"})

    plan = syncengine.restore(*sides, "f", to=out, **options)

    assert plan.empty
    assert [problem.path for problem in plan.problems] == ["f"]


def test_memory_keeps_and_restores_like_a_disk(tmp_path: Path) -> None:
    source = write(tmp_path / "source", {"f": "one", "d/x": "first"})
    first, _, _ = three_runs(source, "memory://backup", **MIRROR)

    syncengine.apply(syncengine.restore(source, "memory://backup", run=first, delete=True, **MIRROR))

    found = fsspec.filesystem("memory")
    assert found.cat_file("/backup/f") == b"one"
    assert not found.exists("/backup/n")


@pytest.mark.parametrize("number", [10, 100])
def test_many_versions_of_a_remote_side_are_found_by_listings(tmp_path: Path, number: int) -> None:
    source = write(tmp_path / "source", {f"d/{each}": "old" for each in range(number)})
    run_id = syncengine.sync(source, "memory://backup", **MIRROR).run_id
    write(source, {f"d/{each}": "newer" for each in range(number)})
    syncengine.sync(source, "memory://backup", **MIRROR)

    report = syncengine.apply(syncengine.restore(source, "memory://backup", run=run_id, **MIRROR), on_stale="stop")

    assert {outcome.status for outcome in report.outcomes} == {Status.DONE}
    assert len(report.outcomes) == number


def test_two_way_a_restored_file_is_an_edit_which_the_next_sync_carries_over(sides: Tuple[Path, Path]) -> None:
    options: Dict[str, Any] = {"mode": "two-way", "retain": "all"}
    first, _, _ = three_runs(*sides, **options)

    syncengine.apply(syncengine.restore(*sides, run=first, delete=True, **options))
    plan = syncengine.plan(*sides, **options)
    assert [(each.action.value, each.path, each.target.value) for each in plan] == [
        ("create", "f", "source"),
        ("delete", "n", "source"),
    ]
    assert not plan.conflicts
    syncengine.apply(plan)
    assert files(sides[0]) == files(sides[1]) == {"f": "one", "d/x": "first", "same": "="}
    assert syncengine.plan(*sides, **options).empty


def test_two_way_the_other_side_gives_what_a_user_overwrote_here(sides: Tuple[Path, Path]) -> None:
    options: Dict[str, Any] = {"mode": "two-way", "retain": "all"}
    first = syncengine.sync(*sides, **options).run_id
    write(sides[1], {"f": "edited at the destination"})
    syncengine.sync(*sides, **options)

    syncengine.apply(syncengine.restore(*sides, run=first, **options))

    assert files(sides[1])["f"] == "one"


def test_a_version_that_nobody_kept_is_a_problem_and_the_rest_is_restored(sides: Tuple[Path, Path]) -> None:
    first = syncengine.sync(*sides, **MIRROR).run_id
    edited(sides[0], f="two")
    syncengine.sync(*sides, **{**MIRROR, "retain": "none"})
    edited(sides[0], same="other")
    syncengine.sync(*sides, **MIRROR)

    plan = syncengine.restore(*sides, run=first, **MIRROR)

    assert does(plan) == [("update", "same")]
    assert [(problem.path, problem.kind.value) for problem in plan.problems] == [("f", "missing")]
    assert syncengine.apply(plan).exit_code == 7


def test_without_any_state_the_trash_alone_tells(sides: Tuple[Path, Path]) -> None:
    options = {**MIRROR, "state": None}
    three_runs(*sides, **options)

    assert does(syncengine.restore(*sides, "f", version=2, **options)) == [("create", "f")]
    syncengine.apply(syncengine.restore(*sides, at="3650d", delete=True, **options))

    # What was new in a run leaves nothing in the trash, so nobody can tell that it was not there.
    assert files(sides[1]) == {"f": "one", "d/x": "first", "same": "=", "n": "new"}


def test_a_file_and_a_directory_change_places_and_back(sides: Tuple[Path, Path]) -> None:
    first = syncengine.sync(*sides, **MIRROR).run_id
    for name, content in {"d/x": None, "f": None}.items():
        edited(sides[0], **{name: content})
    (sides[0] / "d").rmdir()
    write(sides[0], {"d": "a file now", "f/inner": "below"})
    second = syncengine.sync(*sides, **MIRROR).run_id

    for run, wanted in ((first, {"f": "one", "d/x": "first"}), (second, {"d": "a file now", "f/inner": "below"})):
        report = syncengine.apply(syncengine.restore(*sides, run=run, delete=True, **MIRROR))
        assert report.ok, str(report)
        assert files(sides[1]) == {**wanted, "same": "="}


def test_guards_hold_for_restoring_too(sides: Tuple[Path, Path]) -> None:
    first = syncengine.sync(*sides, **MIRROR).run_id
    write(sides[0], {f"n{number}": "new" for number in range(30)})
    syncengine.sync(*sides, **MIRROR)

    plan = syncengine.restore(*sides, run=first, delete=True, **MIRROR)

    with pytest.raises(GuardError, match="would delete 30"):
        syncengine.apply(plan)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "say what to restore"),
        ({"version": 1}, "a version is one of a file"),
        ({"path": "f", "run": "x", "version": 1}, "cannot be given together"),
        ({"path": "f", "version": 9}, "there is no version 9 of f at the destination; 2 are kept"),
        ({"path": "same"}, "no version of same at the destination is kept"),
        ({"path": "../f"}, "has a '..' part"),
        ({"run": "20000101T000000Z-00000000"}, "no journal of a run"),
        ({"path": "f", "to": "out", "delete": True}, "nothing is deleted"),
        ({"path": "f", "side": "left"}, "side cannot be 'left'"),
    ],
)
def test_what_cannot_be_restored_is_said(sides: Tuple[Path, Path], arguments: Dict[str, Any], words: str) -> None:
    three_runs(*sides, **MIRROR)

    with pytest.raises(RecipeError, match=words):
        syncengine.restore(*sides, **{**MIRROR, **arguments})
