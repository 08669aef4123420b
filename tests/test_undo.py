"""A run is taken back where what it left still stands, and an undoing is a run that can be taken back too."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

import syncengine
from syncengine.core.entry import Kind
from syncengine.errors import GuardError, RecipeError
from tests.trees import aged, files, tree, write

MIRROR: Dict[str, Any] = {"mode": "source-to-destination", "retain": "all"}
TWO_WAY: Dict[str, Any] = {"mode": "two-way", "retain": "all"}


def does(plan: syncengine.Plan) -> List[Tuple[str, str]]:
    return [(operation.action.value, operation.path) for operation in plan]


@pytest.fixture
def sides(tmp_path: Path) -> Tuple[Path, Path]:
    source = write(tmp_path / "source", {"f": "one", "d/x": "first", "e/y": "y", "same": "="})
    return source, write(tmp_path / "destination", {})


def changed(source: Path) -> None:
    """Update one file, delete one with its folder, add one in a new folder, rename one, add an empty folder."""
    write(source, {"f": "two two", "new/n": "new", "empty": None})
    (source / "d" / "x").unlink()
    (source / "d").rmdir()
    (source / "e" / "y").rename(source / "e" / "moved")


@pytest.mark.parametrize("options", [MIRROR, TWO_WAY], ids=["mirror", "two-way"])
def test_undoing_the_last_run_gives_back_the_tree_before_it(
    sides: Tuple[Path, Path], options: Dict[str, Any], tmp_path: Path
) -> None:
    syncengine.sync(*sides, **options)
    before = tree(sides[1])
    changed(sides[0])
    run = syncengine.sync(*sides, **options)
    after = tree(sides[1])

    plan = syncengine.undo(run.run_id, *sides, **options)
    assert not plan.problems
    assert ("move", "e/y") in does(plan)
    plan.save(tmp_path / "undo.json")
    undone = syncengine.apply(tmp_path / "undo.json")
    assert undone.ok
    assert tree(sides[1]) == before

    redone = syncengine.apply(syncengine.undo(undone.run_id, *sides, **options))
    assert redone.ok
    assert tree(sides[1]) == after

    again = syncengine.apply(syncengine.undo(redone.run_id, *sides, **options))
    assert again.ok
    assert tree(sides[1]) == before


def test_a_run_can_be_undone_after_it_was_undone_and_redone_by_undoing(sides: Tuple[Path, Path]) -> None:
    syncengine.sync(*sides, **MIRROR)
    before = tree(sides[1])
    changed(sides[0])
    run = syncengine.sync(*sides, **MIRROR)
    undone = syncengine.apply(syncengine.undo(run.run_id, *sides, **MIRROR))
    syncengine.apply(syncengine.undo(undone.run_id, *sides, **MIRROR))

    plan = syncengine.undo(run.run_id, *sides, **MIRROR)

    assert not plan.problems
    syncengine.apply(plan)
    assert tree(sides[1]) == before


def test_what_was_changed_since_is_left_alone_and_named(sides: Tuple[Path, Path]) -> None:
    syncengine.sync(*sides, **MIRROR)
    changed(sides[0])
    run = syncengine.sync(*sides, **MIRROR)
    write(sides[1], {"f": "edited since", "d/x": "there again", "new/other": "somebody's"})
    (sides[1] / "e" / "moved").unlink()

    plan = syncengine.undo(run.run_id, *sides, **MIRROR)

    assert does(plan) == [("delete", "empty"), ("delete", "new/n")]
    reasons = {problem.path: problem.message for problem in plan.problems}
    assert set(reasons) == {"f", "d/x", "e/moved"}
    assert "changed after the run" in reasons["f"]
    assert "there again" in reasons["d/x"]
    assert "gone already" in reasons["e/moved"]
    syncengine.apply(plan)
    assert files(sides[1]) == {"f": "edited since", "d/x": "there again", "same": "=", "new/other": "somebody's"}


@pytest.fixture
def renamed(sides: Tuple[Path, Path]) -> Tuple[Path, Path, str]:
    """A run by which the destination follows the rename of a whole directory, and the id of the one before."""
    aged(sides[0])
    first = syncengine.sync(*sides, **TWO_WAY)
    (sides[0] / "d").rename(sides[0] / "moved")
    assert syncengine.plan(*sides, **TWO_WAY)["moved"].kind is Kind.DIRECTORY
    return (*sides, first.run_id)


def test_a_directory_that_was_moved_as_a_whole_goes_back_as_a_whole(renamed: Tuple[Path, Path, str]) -> None:
    sides = renamed[:2]
    before = tree(sides[1])
    run = syncengine.sync(*sides, **TWO_WAY)

    plan = syncengine.undo(run.run_id, *sides, **TWO_WAY)
    assert does(plan) == [("move", "d")]
    assert not plan.problems
    undone = syncengine.apply(plan)
    assert undone.ok
    assert tree(sides[1]) == before

    syncengine.apply(syncengine.undo(undone.run_id, *sides, **TWO_WAY))
    assert tree(sides[1]) == tree(sides[0])


def test_two_way_nothing_is_deleted_because_a_moved_directory_went_back(renamed: Tuple[Path, Path, str]) -> None:
    sides = renamed[:2]
    run = syncengine.sync(*sides, **TWO_WAY)
    syncengine.apply(syncengine.undo(run.run_id, *sides, **TWO_WAY))

    plan = syncengine.plan(*sides, **TWO_WAY)

    assert {operation.action for operation in plan} == {syncengine.Action.CREATE}
    syncengine.apply(plan)
    assert tree(sides[0]) == tree(sides[1])
    assert {"d/x", "moved/x"} < set(files(sides[0]))


def test_a_moved_directory_in_which_something_changed_stays_and_is_named(renamed: Tuple[Path, Path, str]) -> None:
    sides = renamed[:2]
    run = syncengine.sync(*sides, **TWO_WAY)
    write(sides[1], {"moved/x": "edited since"})

    plan = syncengine.undo(run.run_id, *sides, **TWO_WAY)

    assert plan.empty
    assert "something in it has changed since the run" in plan.problems[0].message


@pytest.mark.parametrize("side", [0, 1], ids=["source", "destination"])
def test_the_files_of_a_moved_directory_are_restored_under_the_names_they_had(
    renamed: Tuple[Path, Path, str], side: int
) -> None:
    sides, first = renamed[:2], renamed[2]
    before = {**tree(sides[1]), "moved": None, "moved/x": None}
    second = syncengine.sync(*sides, **TWO_WAY).run_id
    where: Dict[str, Any] = {"side": ("source", "destination")[side], **TWO_WAY}

    now = syncengine.restore(*sides, run=second, **where)
    assert (now.empty, now.problems) == (True, ())
    then = syncengine.restore(*sides, run=first, delete=True, **where)
    assert not then.problems
    syncengine.apply(then)
    assert {path: text for path, text in before.items() if not path.startswith("moved")} == tree(sides[side])


def test_what_was_written_after_its_directory_moved_is_told_from_what_lay_there_before(
    renamed: Tuple[Path, Path, str],
) -> None:
    sides, first = renamed[:2], renamed[2]
    second = syncengine.sync(*sides, **TWO_WAY).run_id
    write(sides[0], {"moved/x": "second version", "d/x": "somebody else's"})
    syncengine.sync(*sides, **TWO_WAY)

    for run, content in ((first, {"d/x": "first"}), (second, {"moved/x": "first"})):
        syncengine.apply(syncengine.restore(*sides, run=run, delete=True, **TWO_WAY))
        assert {path: text for path, text in files(sides[1]).items() if "/x" in path} == content


def test_a_version_that_was_not_kept_cannot_come_back(sides: Tuple[Path, Path]) -> None:
    syncengine.sync(*sides, **MIRROR)
    changed(sides[0])
    run = syncengine.sync(*sides, **{**MIRROR, "retain": "none"})

    plan = syncengine.undo(run.run_id, *sides, **MIRROR)

    lost = {problem.path: problem.message for problem in plan.problems}
    assert set(lost) == {"f", "d/x"}
    assert all("not kept" in message for message in lost.values())


def test_a_pruned_version_cannot_come_back(sides: Tuple[Path, Path]) -> None:
    syncengine.sync(*sides, **MIRROR)
    write(sides[0], {"f": "two two"})
    run = syncengine.sync(*sides, **MIRROR)
    (sides[1] / str(run.outcomes[0].retained_at)).unlink()

    plan = syncengine.undo(run.run_id, *sides, **MIRROR)

    assert plan.empty
    assert "not in the trash any more" in plan.problems[0].message


def test_a_report_is_enough_where_there_is_no_state(sides: Tuple[Path, Path], tmp_path: Path) -> None:
    options = {**MIRROR, "state": None}
    syncengine.sync(*sides, **options)
    before = tree(sides[1])
    changed(sides[0])
    syncengine.sync(*sides, **options).save(tmp_path / "report.json")

    report = syncengine.Report.load(tmp_path / "report.json")
    assert syncengine.apply(syncengine.undo(report, state=None)).ok
    assert tree(sides[1]) == before


def test_a_report_of_a_run_that_had_nothing_to_do_tells_all_there_is(sides: Tuple[Path, Path]) -> None:
    options = {**MIRROR, "state": None}
    syncengine.sync(*sides, **options)

    plan = syncengine.undo(syncengine.sync(*sides, **options), state=None)

    assert (plan.empty, plan.problems) == (True, ())


def test_two_way_an_undone_run_is_compared_anew_and_nothing_is_deleted_because_of_it(
    sides: Tuple[Path, Path],
) -> None:
    syncengine.sync(*sides, **TWO_WAY)
    changed(sides[0])
    mine = tree(sides[0])
    run = syncengine.sync(*sides, **TWO_WAY)
    syncengine.apply(syncengine.undo(run.run_id, *sides, **TWO_WAY))
    assert tree(sides[0]) == mine

    plan = syncengine.plan(*sides, **TWO_WAY)

    assert not [operation for operation in plan if operation.action is syncengine.Action.DELETE]
    assert [conflict.path for conflict in plan.conflicts] == ["f"]
    syncengine.apply(plan)
    assert syncengine.plan(*sides, **TWO_WAY).empty
    assert files(sides[0])["f"] == "two two"


def test_both_sides_of_a_two_way_run_go_back(sides: Tuple[Path, Path]) -> None:
    syncengine.sync(*sides, **TWO_WAY)
    write(sides[0], {"f": "edited here"})
    write(sides[1], {"same": "edited there"})
    before = [tree(side) for side in sides]
    run = syncengine.sync(*sides, **TWO_WAY)

    syncengine.apply(syncengine.undo(run.run_id, *sides, **TWO_WAY))

    assert [tree(side) for side in sides] == before


def test_a_conflict_whose_both_versions_were_kept_is_taken_apart_again(sides: Tuple[Path, Path]) -> None:
    options = {**TWO_WAY, "conflict": "keep-both"}
    syncengine.sync(*sides, **options)
    write(sides[0], {"f": "edited here"})
    write(sides[1], {"f": "edited there too"})
    before = [tree(side) for side in sides]
    run = syncengine.sync(*sides, **options)
    assert len(files(sides[0])) == 5

    report = syncengine.apply(syncengine.undo(run.run_id, *sides, **options))

    assert report.ok, str(report)
    assert [tree(side) for side in sides] == before


@pytest.mark.parametrize("conflict", ["newest", "keep-both"])
def test_a_file_that_made_way_for_a_directory_takes_its_name_back(
    sides: Tuple[Path, Path], conflict: str, tmp_path: Path
) -> None:
    options = {**TWO_WAY, "conflict": conflict}
    syncengine.sync(*sides, **options)
    write(sides[0], {"b": ""})
    write(sides[1], {"b/c": "", "b/deep/er": "deeper"})
    before = [tree(side) for side in sides]
    run = syncengine.sync(*sides, **options)
    after = [tree(side) for side in sides]
    assert after[0] == after[1]

    plan = syncengine.undo(run.run_id, *sides, **options)
    assert not plan.problems
    plan.save(tmp_path / "undo.json")
    undone = syncengine.apply(tmp_path / "undo.json")
    assert undone.ok, str(undone)
    assert [tree(side) for side in sides] == before

    redone = syncengine.apply(syncengine.undo(undone.run_id, *sides, **options))
    assert redone.ok, str(redone)
    assert [tree(side) for side in sides] == after


def test_a_renamed_file_goes_back_to_a_name_that_the_run_gave_to_a_directory(sides: Tuple[Path, Path]) -> None:
    syncengine.sync(*sides, **MIRROR)
    before = tree(sides[1])
    (sides[0] / "f").rename(sides[0] / "moved")
    write(sides[0], {"f/inside": "new"})
    run = syncengine.sync(*sides, **MIRROR)

    report = syncengine.apply(syncengine.undo(run.run_id, *sides, **MIRROR))

    assert report.ok, str(report)
    assert tree(sides[1]) == before


def test_a_directory_that_somebody_uses_keeps_the_name_of_the_file_that_made_way_for_it(
    sides: Tuple[Path, Path],
) -> None:
    syncengine.sync(*sides, **TWO_WAY)
    write(sides[0], {"b": "file"})
    write(sides[1], {"b/c": "c"})
    run = syncengine.sync(*sides, **TWO_WAY)
    write(sides[0], {"b/theirs": "since then"})
    (copy,) = sides[0].glob("b.conflict-*")

    plan = syncengine.undo(run.run_id, *sides, **TWO_WAY)

    assert "b" in [problem.path for problem in plan.problems]
    assert syncengine.apply(plan).ok
    assert copy.read_text() == "file"
    assert (sides[0] / "b" / "theirs").read_text() == "since then"


def test_swapped_roles_are_told_by_who_the_sides_are(sides: Tuple[Path, Path]) -> None:
    syncengine.sync(*sides, **TWO_WAY)
    before = tree(sides[1])
    changed(sides[0])
    run = syncengine.sync(*sides, **TWO_WAY)

    plan = syncengine.undo(run.run_id, sides[1], sides[0], **TWO_WAY)
    assert {operation.target.value for operation in plan} == {"source"}
    assert syncengine.apply(plan).ok
    assert tree(sides[1]) == before


def test_the_first_run_of_all_can_be_undone_but_not_past_a_guard(sides: Tuple[Path, Path]) -> None:
    write(sides[0], {f"many/{number}": "x" for number in range(20)})
    run = syncengine.sync(*sides, **MIRROR)

    with pytest.raises(GuardError, match="would delete 24"):
        syncengine.apply(syncengine.undo(run.run_id, *sides, **MIRROR))
    syncengine.apply(syncengine.undo(run.run_id, *sides, **MIRROR, allow_mass_delete=True))

    assert tree(sides[1]) == {}


def test_permission_bits_are_not_on_record(sides: Tuple[Path, Path]) -> None:
    syncengine.sync(*sides, **MIRROR)
    (sides[0] / "f").chmod(0o600)
    run = syncengine.sync(*sides, **MIRROR, metadata="mode")

    plan = syncengine.undo(run.run_id, *sides, **MIRROR)

    assert plan.empty
    assert "permission bits" in plan.problems[0].message


def test_history_calls_an_undoing_by_its_name(sides: Tuple[Path, Path]) -> None:
    run = syncengine.sync(*sides, **MIRROR)
    syncengine.apply(syncengine.undo(run.run_id, *sides, **MIRROR))

    assert [each.mode for each in syncengine.history(*sides).runs] == ["undo", "source-to-destination"]


def test_a_first_sync_that_has_not_finished_stays_unfinished(sides: Tuple[Path, Path]) -> None:
    run = syncengine.sync(*sides, **TWO_WAY, scope="d")
    syncengine.apply(syncengine.undo(run.run_id, *sides, **TWO_WAY))

    with syncengine.SyncEngine(*sides, **TWO_WAY) as engine:
        state = engine.job().state
        assert state is not None
        assert not state.bootstrap.finished


def test_a_plan_to_undo_is_not_flipped(sides: Tuple[Path, Path]) -> None:
    syncengine.sync(*sides, **TWO_WAY)
    write(sides[0], {"f": "edited here"})
    write(sides[1], {"same": "edited there"})
    run = syncengine.sync(*sides, **TWO_WAY)

    with pytest.raises(RecipeError, match="goes one way only"):
        syncengine.undo(run.run_id, *sides, **TWO_WAY).flip("f")


def test_an_unknown_run_and_one_without_its_places_are_errors(sides: Tuple[Path, Path]) -> None:
    run = syncengine.sync(*sides, **MIRROR)
    mistyped = run.run_id[:-1] + "-"  # no run id ends so

    with pytest.raises(RecipeError, match=f"did you mean '{run.run_id}'"):
        syncengine.undo(mistyped, *sides)
    with pytest.raises(RecipeError, match="with its two places"):
        syncengine.undo(run.run_id)
