"""Conflicts that are merged: by a function while planning, or by whoever reviews the plan."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable, Dict, Tuple

import pytest

import syncengine
from syncengine import Conflict, Plan
from syncengine.errors import RecipeError

Read = Callable[[str], bytes]
Sides = Tuple[Path, Path]


def files(root: Path) -> Dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}


@pytest.fixture
def sides(tmp_path: Path) -> Sides:
    """Return two folders that agreed on a list, to which both have added since."""
    here, there = tmp_path / "here", tmp_path / "there"
    for side in (here, there):
        side.mkdir()
    (here / "list").write_text("bread\n")
    (here / "other").write_text("untouched")
    syncengine.sync(here, there, mode="two-way")
    (here / "list").write_text("bread\nmilk\n")
    (there / "list").write_text("bread\neggs, six\n")
    return here, there


def union(conflict: Conflict, read: Read) -> bytes:
    """Merge two lists: every line once."""
    lines = [line for side in ("source", "destination") for line in read(side).splitlines(keepends=True)]
    return b"".join(dict.fromkeys(lines))


MERGED = {"list": b"bread\nmilk\neggs, six\n", "other": b"untouched"}


def test_a_function_merges_and_both_versions_are_kept(sides: Sides) -> None:
    report = syncengine.sync(*sides, mode="two-way", conflict=union)
    again = syncengine.sync(*sides, mode="two-way", conflict=union)

    assert (files(sides[0]), files(sides[1])) == (MERGED, MERGED)
    assert [(each.resolution, each.decided_by) for each in report.plan.conflicts] == [("merged", "function:union")]
    assert "both sides get the merged content (function:union)" in next(report.plan.itemize())
    kept = [side / outcome.retained_at for side, outcome in zip((sides[1], sides[0]), _by_side(report))]
    assert [path.read_text() for path in kept] == ["bread\neggs, six\n", "bread\nmilk\n"]
    assert (len(again.plan), again.plan.conflicts) == (0, ())


def _by_side(report: Any) -> Any:
    return sorted(report.outcomes, key=lambda each: str(each.operation.target.value))


def test_a_saved_plan_carries_the_content_to_who_applies_it(sides: Sides, tmp_path: Path) -> None:
    syncengine.plan(*sides, mode="two-way", conflict=union).save(tmp_path / "plan.json")
    loaded = Plan.load(tmp_path / "plan.json")

    report = syncengine.apply(loaded)

    assert report.ok
    assert loaded.totals.transfer_bytes == 2 * len(MERGED["list"])
    assert (files(sides[0]), files(sides[1])) == (MERGED, MERGED)
    assert syncengine.plan(*sides, mode="two-way").empty


def test_content_that_was_altered_after_the_plan_was_sealed_is_refused(sides: Sides, tmp_path: Path) -> None:
    plan = syncengine.plan(*sides, mode="two-way", conflict=union)
    carried = next(each.content for each in plan if each.content is not None)
    (tmp_path / "plan.json").write_text(plan.to_json().replace(carried, "YWx0ZXJlZA=="))

    with pytest.raises(syncengine.errors.PlanFormatError, match="digest"):
        Plan.load(tmp_path / "plan.json")


def test_a_reviewer_merges(sides: Sides) -> None:
    plan = syncengine.plan(*sides, mode="two-way", conflict="manual")

    report = syncengine.apply(plan.resolve("list", to=b"agreed\n", by="ann"))

    assert report.ok
    assert {side.read_bytes() for side in (sides[0] / "list", sides[1] / "list")} == {b"agreed\n"}
    assert [each.decided_by for each in report.plan.conflicts] == ["user:ann"]
    assert syncengine.plan(*sides, mode="two-way").empty


def test_a_merged_conflict_can_be_decided_otherwise(sides: Sides) -> None:
    plan = syncengine.plan(*sides, mode="two-way", conflict=union)

    report = syncengine.apply(plan.resolve("list", to="source"))

    assert report.ok
    assert (sides[1] / "list").read_text() == "bread\nmilk\n"


@pytest.mark.parametrize("edited", [0, 1], ids=["source", "destination"])
def test_an_edit_after_the_plan_is_not_overwritten(sides: Sides, edited: int) -> None:
    plan = syncengine.plan(*sides, mode="two-way", conflict=union)
    (sides[edited] / "list").write_text("a later edit, and longer")

    report = syncengine.apply(plan, on_stale="skip")

    assert not report.ok
    assert (sides[edited] / "list").read_text() == "a later edit, and longer"
    following = syncengine.sync(*sides, mode="two-way", conflict=union)
    assert following.ok
    assert files(sides[0]) == files(sides[1])
    assert b"a later edit, and longer" in files(sides[0])["list"]


def test_half_of_a_merge_is_never_taken_for_agreed(sides: Sides) -> None:
    plan = syncengine.plan(*sides, mode="two-way", conflict=union)
    (sides[1] / "list").write_text("a later edit, and longer")
    syncengine.apply(plan, on_stale="skip")

    again = syncengine.plan(*sides, mode="two-way", conflict="manual")

    assert [each.path for each in again.unresolved] == ["list"]


def test_what_was_removed_on_one_side_reads_as_nothing(sides: Sides) -> None:
    (sides[1] / "list").unlink()
    seen: Dict[str, bytes] = {}

    def decide(conflict: Conflict, read: Read) -> bytes:
        seen.update({side: read(side) for side in ("source", "destination")})
        return b"both"

    syncengine.sync(*sides, mode="two-way", conflict=decide)

    assert seen == {"source": b"bread\nmilk\n", "destination": b""}
    assert (files(sides[0]), files(sides[1])) == ({**MERGED, "list": b"both"}, {**MERGED, "list": b"both"})


@pytest.mark.parametrize(
    "change", [os.unlink, lambda path: Path(path).write_text("a later edit")], ids=["gone", "edited"]
)
def test_a_version_that_is_no_longer_there_leaves_the_conflict_open_and_the_rest_goes_on(
    sides: Sides, change: Callable[[Path], Any]
) -> None:
    (sides[0] / "new").write_text("new")

    def late(conflict: Conflict, read: Read) -> bytes:
        change(sides[0] / "list")
        return read("source")

    report = syncengine.sync(*sides, mode="two-way", conflict=late)

    assert [each.path for each in report.plan.unresolved] == ["list"]
    assert [each.path for each in report.plan.problems] == ["list"]
    assert (sides[1] / "new").read_text() == "new"
    assert (sides[1] / "list").read_text() == "bread\neggs, six\n"


def test_content_that_cannot_be_merged_leaves_the_conflict_open(tmp_path: Path) -> None:
    (tmp_path / "here" / "name").mkdir(parents=True)
    (tmp_path / "here" / "name" / "inside").write_text("1")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "name").write_text("a file")

    plan = syncengine.plan(tmp_path / "here", tmp_path / "there", mode="two-way", conflict=lambda _: b"merged")

    assert [each.path for each in plan.unresolved] == ["name"]
    assert any("a file and a directory have no merged content" in each.message for each in plan.problems)


def test_merged_is_no_word_to_decide_with(sides: Sides) -> None:
    plan = syncengine.plan(*sides, mode="two-way", conflict="manual")

    with pytest.raises(RecipeError, match="given as bytes"):
        plan.resolve("list", to="merged")
    with pytest.raises(RecipeError, match="returns the merged content itself"):
        syncengine.plan(*sides, mode="two-way", conflict=lambda _: "merged")


def test_undoing_a_merge_brings_both_versions_back(sides: Sides) -> None:
    report = syncengine.sync(*sides, mode="two-way", conflict=union)

    undone = syncengine.apply(syncengine.undo(report.run_id, *sides))

    assert undone.ok
    assert (sides[0] / "list").read_text() == "bread\nmilk\n"
    assert (sides[1] / "list").read_text() == "bread\neggs, six\n"
