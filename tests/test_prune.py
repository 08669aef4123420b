"""Pruning deletes what no rule keeps, from the trash alone, by a plan like any other."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

import syncengine
from syncengine.core.paths import TRASH_FOLDER
from syncengine.errors import RecipeError
from tests.trees import everything, files, trash, tree, write

MIRROR: Dict[str, Any] = {"mode": "source-to-destination", "retain": "all"}
START = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def on_day(number: int) -> Dict[str, Any]:
    return {"clock": lambda: START + timedelta(days=number)}


@pytest.fixture
def sides(tmp_path: Path) -> Tuple[Path, Path]:
    return write(tmp_path / "source", {"f": "0", "d/x": "x"}), write(tmp_path / "destination", {})


def synced_daily(sides: Tuple[Path, Path], days: int, **options: Any) -> List[str]:
    """Change and sync ``f`` on each of so many days; the version of a day is its number."""
    runs = []
    for day in range(days + 1):
        write(sides[0], {"f": f"{day:03}"})
        runs.append(syncengine.sync(*sides, **{**MIRROR, **options}, **on_day(day)).run_id)
    return runs


def kept(folder: Path) -> List[str]:
    found = [content for key, content in everything(folder).items() if key.startswith(TRASH_FOLDER) and content]
    return sorted(found)


def test_what_no_rule_keeps_goes_and_nothing_else(sides: Tuple[Path, Path]) -> None:
    synced_daily(sides, 5)
    before = files(sides[1])

    plan = syncengine.prune(*sides, keep_last=2, **MIRROR, **on_day(9))
    assert {operation.purpose.value for operation in plan} == {"prune"}
    assert all(operation.path.startswith(TRASH_FOLDER + "/") for operation in plan)
    assert syncengine.apply(plan).ok

    assert kept(sides[1]) == ["003", "004"]
    assert files(sides[1]) == before
    assert len(os.listdir(sides[1] / TRASH_FOLDER)) == 2
    assert syncengine.prune(*sides, keep_last=2, **MIRROR, **on_day(9)).empty


def test_ages_count_back_from_now(sides: Tuple[Path, Path]) -> None:
    synced_daily(sides, 5)

    syncengine.apply(syncengine.prune(*sides, keep_days=3, **MIRROR, **on_day(6)))

    assert kept(sides[1]) == ["002", "003", "004"]


def test_a_saved_plan_prunes_later_and_leaves_what_was_replaced(sides: Tuple[Path, Path], tmp_path: Path) -> None:
    synced_daily(sides, 3)
    syncengine.prune(*sides, keep_last=1, **MIRROR).save(tmp_path / "prune.json")

    assert syncengine.apply(tmp_path / "prune.json").ok

    assert kept(sides[1]) == ["002"]


def test_foreign_files_in_the_trash_are_left_alone_and_named(sides: Tuple[Path, Path]) -> None:
    (run, *_) = synced_daily(sides, 2)
    foreign = {f"{TRASH_FOLDER}/notes.txt": "mine", f"{TRASH_FOLDER}/{run}.old/f": "mine too"}
    write(sides[1], foreign)

    plan = syncengine.prune(*sides, keep_last=1, **MIRROR)
    report = syncengine.apply(plan)

    assert [problem.path for problem in plan.problems] == sorted(foreign, key=str.encode)
    assert report.exit_code == 0
    assert kept(sides[1]) == ["001", "mine", "mine too"]


def test_one_side_alone_is_pruned_where_that_is_asked(sides: Tuple[Path, Path]) -> None:
    options = {**MIRROR, "mode": "two-way"}
    for day in range(4):
        write(sides[day % 2], {"f": f"{day:03}"})
        syncengine.sync(*sides, **options, **on_day(day))
    write(sides[0], {f"{TRASH_FOLDER}/20260101T120000Z-00000000/f": "older"})
    write(sides[1], {f"{TRASH_FOLDER}/20260101T120000Z-00000000/f": "older"})

    plan = syncengine.prune(*sides, keep_last=1, side="source", **options)

    assert plan.operations
    assert {operation.target.value for operation in plan} == {"source"}


@pytest.fixture
def common(tmp_path: Path) -> Dict[str, Any]:
    return {"trash": str(tmp_path / "trash")}


def test_a_trash_of_several_pairs_is_pruned_for_this_one(
    sides: Tuple[Path, Path], common: Dict[str, Any], tmp_path: Path
) -> None:
    others = write(tmp_path / "s2", {"f": "0"}), write(tmp_path / "d2", {})
    synced_daily(others, 2, **common)
    synced_daily(sides, 3, **common)

    plan = syncengine.prune(*sides, keep_last=1, **MIRROR, **common)
    plan.save(tmp_path / "prune.json")
    assert syncengine.apply(tmp_path / "prune.json").ok

    assert kept(tmp_path / "trash") == ["000", "001", "002"]
    assert "2 versions of runs that this pair does not remember" in plan.problems[0].message


def test_two_versions_of_one_run_are_told_apart(sides: Tuple[Path, Path]) -> None:
    (_, run) = synced_daily(sides, 1)
    write(sides[1], {f"{TRASH_FOLDER}/{run}~2/f": "second"})

    history = syncengine.history(*sides, "f", **MIRROR)
    assert [version.kept_at for version in history if version.kept_at] == [
        f"{TRASH_FOLDER}/{run}~2/f",
        f"{TRASH_FOLDER}/{run}/f",
    ]
    syncengine.apply(syncengine.prune(*sides, keep_last=1, **MIRROR))
    assert kept(sides[1]) == ["second"]


def test_what_an_interrupted_run_set_aside_stays_until_a_later_run_has_ended(sides: Tuple[Path, Path]) -> None:
    synced_daily(sides, 1)
    write(sides[0], {"f": "002", "g": "new"})
    with syncengine.SyncEngine(*sides, **MIRROR, **on_day(2)) as engine:
        engine.cancel.set()
        with pytest.raises(syncengine.SyncInterrupted):
            engine.sync()
    run = syncengine.history(*sides).runs[0]
    assert run.ended.value == "interrupted"
    write(sides[1], {f"{TRASH_FOLDER}/{run.run_id}/f": "set aside"})

    assert syncengine.prune(*sides, keep_days=1, **MIRROR, **on_day(400)).totals.count(
        syncengine.Action.DELETE
    ).files == len([f"{TRASH_FOLDER}/run", f"{TRASH_FOLDER}/run/f"])
    syncengine.sync(*sides, **MIRROR, **on_day(3))
    syncengine.apply(syncengine.prune(*sides, keep_days=1, **MIRROR, **on_day(400)))

    assert kept(sides[1]) == []
    assert tree(sides[1])["f"] == "002"


def test_the_newest_version_of_an_open_conflict_is_not_pruned(sides: Tuple[Path, Path]) -> None:
    options = {**MIRROR, "mode": "two-way", "conflict": "manual"}
    for day in range(2):
        write(sides[0], {"f": f"{day:03}"})
        syncengine.sync(*sides, **options, **on_day(day))
    write(sides[0], {"f": "here"})
    write(sides[1], {"f": "there!"})

    assert syncengine.prune(*sides, keep_days=1, **options, **on_day(400)).empty
    assert trash(sides[1]) == {"f": "000"}


def test_no_rule_at_all_is_an_error_and_the_rules_of_a_recipe_count(sides: Tuple[Path, Path]) -> None:
    synced_daily(sides, 3)

    with pytest.raises(RecipeError, match="say what is to be kept: keep_last"):
        syncengine.prune(*sides, **MIRROR)
    syncengine.apply(syncengine.prune(*sides, **MIRROR, prune={"keep_last": 1}))
    assert kept(sides[1]) == ["002"]


def test_pruning_is_no_run_of_the_pair(sides: Tuple[Path, Path]) -> None:
    runs = synced_daily(sides, 2)

    syncengine.apply(syncengine.prune(*sides, keep_last=1, **MIRROR))

    assert [run.run_id for run in syncengine.history(*sides).runs] == runs[::-1]
