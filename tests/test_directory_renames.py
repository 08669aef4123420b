"""Directories that are renamed as a whole: what is one operation, what is not, and what is left when it breaks off."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import pytest
from attrs import evolve

import syncengine
from syncengine import Action, Guards, Limit, Plan, StalePlanError, Status
from syncengine.core.entry import Kind
from syncengine.state.manager import SyncStateManager
from syncengine.storage import local_times
from syncengine.storage.local import LocalStorageClient
from tests.trees import aged, files, remembered, trash, tree, write

TWO_WAY: Dict[str, Any] = {"mode": "two-way", "progress": False}
TREE = {"k": "1", "d/a": "A", "d/b": "same", "d/c": "same", "d/deep/x": "XX", "d/deep/y": "", "d/empty": None}
Sides = Tuple[Path, Path]


@pytest.fixture(params=["source", "destination"])
def sides(request: pytest.FixtureRequest, tmp_path: Path) -> Sides:
    """Return the side that is edited and the one that follows, in agreement since an hour ago."""
    first, second = write(tmp_path / "one", TREE), write(tmp_path / "other", {})
    aged(first)
    syncengine.sync(first, second, **TWO_WAY)
    aged_state(first, second)
    return (first, second) if request.param == "source" else (second, first)


def aged_state(first: Path, second: Path) -> None:
    """Record nothing new: what was agreed on is old enough to be trusted from now on."""
    assert syncengine.plan(first, second, **TWO_WAY).empty


def both(sides: Sides) -> Tuple[Path, Path]:
    first, second = sorted(sides)
    return first, second


def plan_of(sides: Sides, **options: Any) -> Plan:
    return syncengine.plan(*both(sides), **{**TWO_WAY, **options})


def said(plan: Plan) -> List[str]:
    return sorted(
        f"{each.action.value} {each.moved_from or ''}{'/' if each.kind is Kind.DIRECTORY else ''} {each.path}"
        for each in plan
    )


def settled(sides: Sides) -> bool:
    plan = plan_of(sides)
    return plan.empty and tree(sides[0]) == tree(sides[1])


def test_a_renamed_directory_is_one_operation_without_a_byte_or_a_deletion(sides: Sides) -> None:
    os.rename(sides[0] / "d", sides[0] / "e")
    plan = plan_of(sides, guards=Guards(max_delete=Limit(count=0)))
    (operation,) = plan
    report = syncengine.apply(plan)

    assert said(plan) == ["move d/ e"]
    assert (operation.files, operation.size, operation.removes_file, plan.blockers) == (5, 0, False, ())
    assert plan.totals.transfer_bytes == 0
    assert plan.totals.count(Action.MOVE).files == report.totals.count(Action.MOVE).files == 5
    assert "moved with 5 files" in str(plan)
    assert [(each.status, each.bytes) for each in report.outcomes] == [(Status.DONE, 0)]
    assert files(sides[1]) == {path.replace("d/", "e/"): text for path, text in TREE.items() if text is not None}
    assert settled(sides)
    assert not any(row.path.startswith("d") for row in remembered(*both(sides))[1])


RENAMES: Dict[str, Tuple[List[Tuple[str, str]], List[str]]] = {
    "into a new directory": ([("d", "new/place/d")], ["move d/ new/place/d"]),
    "a directory in another": ([("d/deep", "d/shallow")], ["move d/deep/ d/shallow"]),
    "out of a directory": ([("d/deep", "deep")], ["move d/deep/ deep"]),
    "two of them": ([("d/deep", "one"), ("d", "two")], ["move d/ two", "move d/deep/ one"]),
    "nested": ([("d/deep", "d/lower"), ("d", "e")], ["move d/deep/ e/lower"]),
}


@pytest.mark.parametrize("says", list(RENAMES))
def test_directories_move_as_whole_as_they_can(sides: Sides, says: str) -> None:
    edits, expected = RENAMES[says]
    for old, new in edits:
        (sides[0] / new).parent.mkdir(parents=True, exist_ok=True)
        os.rename(sides[0] / old, sides[0] / new)
    plan = plan_of(sides)
    report = syncengine.apply(plan)

    assert report.ok, report
    assert set(expected) & set(said(plan)) == set(expected) - {"move d/ two"}
    assert plan.totals.transfer_bytes == sum(each.size for each in plan if each.action is not Action.MOVE)
    assert settled(sides)


Edit = Callable[[Path, Path], object]
OTHERWISE: Dict[str, Edit] = {
    "edited inside": lambda here, _: write(here, {"e/a": "edited"}),
    "something added inside": lambda here, _: write(here, {"e/new": "n"}),
    "something removed inside": lambda here, _: (here / "e/a").unlink(),
    "edited there": lambda _, there: write(there, {"d/a": "edited there"}),
    "something added there": lambda _, there: write(there, {"d/new": "n"}),
    "something removed there": lambda _, there: (there / "d/a").unlink(),
    "a target that exists there": lambda _, there: write(there, {"e/mine": "m"}),
    "a file in the place of the target": lambda _, there: write(there, {"e": "file"}),
    "a new directory under the old name": lambda here, _: write(here, {"d/other": "o"}),
    "a file under the old name": lambda here, _: write(here, {"d": "file"}),
    "renamed there as well, to another name": lambda _, there: os.rename(there / "d", there / "f"),
    "renamed there as well, to the same name": lambda _, there: os.rename(there / "d", there / "e"),
}


@pytest.mark.parametrize("says", list(OTHERWISE))
def test_what_is_not_exactly_a_rename_goes_by_parts_and_loses_nothing(sides: Sides, says: str) -> None:
    os.rename(sides[0] / "d", sides[0] / "e")
    OTHERWISE[says](*sides)
    versions = {*files(sides[0]).values(), *files(sides[1]).values()} - {"A"}
    plan = plan_of(sides)
    report = syncengine.apply(plan)
    without = plan_of(sides, renames=False)

    assert "move d/ e" not in said(plan)
    assert report.ok, report
    assert versions <= {text for side in sides for held in (files(side), trash(side)) for text in held.values()}
    assert without.empty
    assert settled(sides)


def test_the_rest_of_an_edited_directory_still_moves_cheaply(sides: Sides) -> None:
    os.rename(sides[0] / "d", sides[0] / "e")
    write(sides[0], {"e/a": "edited"})
    plan = plan_of(sides)

    assert "move d/deep/ e/deep" in said(plan)
    assert plan.totals.transfer_bytes <= len("edited") + 2 * len("same")


def test_a_directory_of_files_too_young_to_be_told_by_their_times_moves_as_a_whole(sides: Sides) -> None:
    """Their contents are compared to prove it, and the move expects none of what that has computed."""
    for place in (*sides[0].rglob("*"), *sides[1].rglob("*")):
        os.utime(place, (time.time() + 3600,) * 2)
    syncengine.sync(*both(sides), **TWO_WAY)
    os.rename(sides[0] / "d", sides[0] / "e")
    plan = plan_of(sides)

    assert said(plan) == ["move d/ e"]
    assert syncengine.apply(plan).ok
    assert settled(sides)


def test_exchanged_directories_end_up_exchanged(sides: Sides) -> None:
    write(sides[0], {"q/only": "Q", "q/a": "other A"})
    aged(sides[0])
    syncengine.sync(*both(sides), **TWO_WAY)
    for old, new in (("d", "tmp"), ("q", "d"), ("tmp", "q")):
        os.rename(sides[0] / old, sides[0] / new)
    wanted = tree(sides[0])
    syncengine.sync(*both(sides), **TWO_WAY)

    assert tree(sides[0]) == tree(sides[1]) == wanted
    assert settled(sides)


def test_what_a_filter_hides_in_it_keeps_a_directory_where_it_is(sides: Sides) -> None:
    write(sides[1], {"d/mine.tmp": "scratch"})
    os.rename(sides[0] / "d", sides[0] / "e")
    plan = plan_of(sides, ignore=["*.tmp"])
    syncengine.apply(plan)

    assert "move d/ e" not in said(plan)
    assert "move d/deep/ e/deep" in said(plan)
    assert files(sides[1])["d/mine.tmp"] == "scratch"


def test_a_rename_counts_only_where_both_names_are_in_scope(sides: Sides) -> None:
    os.rename(sides[0] / "d", sides[0] / "e")

    assert not [each for each in plan_of(sides, scope=["e"]) if each.action is Action.MOVE]
    assert said(plan_of(sides, scope=["d", "e"])) == ["move d/ e"]


@pytest.mark.parametrize("mode", ["source-to-destination", "destination-to-source"])
def test_a_mirror_follows_the_side_that_leads(sides: Sides, mode: str) -> None:
    os.rename(sides[0] / "d", sides[0] / "e")
    first, second = both(sides)
    leads = (sides[0] == first) == (mode == "source-to-destination")
    plan = plan_of(sides, mode=mode)
    wanted = tree(sides[0] if leads else sides[1])
    syncengine.apply(plan)

    assert (said(plan) == ["move d/ e"]) is leads
    assert tree(first) == tree(second) == wanted


def test_a_backup_copies_and_the_old_name_stays(tmp_path: Path) -> None:
    source, destination = write(tmp_path / "source", TREE), write(tmp_path / "destination", {})
    aged(source)
    backup: Dict[str, Any] = {"mode": "source-backup", "progress": False}
    syncengine.sync(source, destination, **backup)
    os.rename(source / "d", source / "e")
    plan = syncengine.plan(source, destination, **backup)
    syncengine.apply(plan)

    assert {each.action for each in plan} <= {Action.COPY, Action.CREATE}
    assert {"d/a", "e/a"} <= set(files(destination))
    assert not [row for row in remembered(source, destination)[1] if row.path == "d/a" and row.live]
    assert syncengine.plan(source, destination, **backup).empty


# ---------------------------------------------------------------- evidence


@pytest.mark.parametrize("kept", [True, False])
def test_an_archive_unpacked_in_place_of_another_is_no_rename(
    sides: Sides, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inodes of deleted files are given to new ones, with the names, sizes and times of the archive."""
    if not kept:
        monkeypatch.setattr(local_times, "_TRUSTWORTHY", frozenset())
    here = sides[0]
    os.rename(here / "d", here / "e")
    for name, text in (("e/a", "B"), ("e/deep/x", "YY")):
        before = (here / name).stat()
        with (here / name).open("r+") as stream:
            stream.write(text)
        os.utime(here / name, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert (here / name).stat().st_ino == before.st_ino
    plan = plan_of(sides)
    syncengine.apply(plan)

    assert not [each for each in plan if each.action is Action.MOVE and each.kind is Kind.DIRECTORY]
    assert files(sides[1])["e/a"] == "B"
    assert files(sides[1])["e/deep/x"] == "YY"


def test_nothing_is_read_where_nobody_touched_the_files(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    if not local_times.keeps_change_times(str(sides[0])):
        pytest.skip("the file system of the temporary folder is not known to keep change times")
    later = [evolve(run, finished_at=run.finished_at + timedelta(seconds=1)) for run in remembered(*both(sides))[2]]
    monkeypatch.setattr(SyncStateManager, "runs", lambda _: later)
    os.rename(sides[0] / "d", sides[0] / "e")

    def never(*_: Any, **__: Any) -> str:
        raise AssertionError("a file was read")

    monkeypatch.setattr(LocalStorageClient, "digest", never)
    assert said(plan_of(sides)) == ["move d/ e"]


# ------------------------------------------------------------ saved, late, edited


@pytest.mark.parametrize("changed", ["d/a", "d/deep/new"])
def test_a_late_plan_notices_what_happened_inside(sides: Sides, changed: str) -> None:
    os.rename(sides[0] / "d", sides[0] / "e")
    plan = Plan.from_json(plan_of(sides).to_json())
    write(sides[1], {changed: "late"})
    with pytest.raises(StalePlanError, match="something in it has changed"):
        syncengine.apply(plan)
    report = syncengine.apply(plan, on_stale="skip")

    assert [each.status for each in report.outcomes] == [Status.STALE]
    assert files(sides[1])[changed] == "late"


def test_a_late_plan_applies_where_nothing_happened(sides: Sides) -> None:
    os.rename(sides[0] / "d", sides[0] / "e")
    plan = Plan.from_json(plan_of(sides).to_json())

    assert syncengine.apply(plan).ok
    assert settled(sides)


def test_what_changes_in_between_plan_and_rename_is_noticed(sides: Sides) -> None:
    os.rename(sides[0] / "d", sides[0] / "e")
    plan = plan_of(sides)
    write(sides[1], {"d/deep/x": "in between"})
    report = syncengine.apply(plan, on_stale="skip")

    assert [each.status for each in report.outcomes] == [Status.STALE]
    assert files(sides[1])["d/deep/x"] == "in between"


def test_a_dropped_rename_leaves_everything_as_it_was(sides: Sides) -> None:
    os.rename(sides[0] / "d", sides[0] / "e")
    plan = plan_of(sides)

    assert plan.drop("e").operations == plan.drop(lambda each: each.kind is Kind.DIRECTORY).operations == ()
    assert plan.keep("e").operations == plan.operations
    syncengine.apply(plan.drop("e"))
    assert said(plan_of(sides)) == ["move d/ e"]


def test_a_rename_has_no_inverse_of_its_own(sides: Sides) -> None:
    os.rename(sides[0] / "d", sides[0] / "e")

    with pytest.raises(syncengine.RecipeError, match="a move has no inverse"):
        plan_of(sides).flip("e")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_that_is_killed_around_the_rename_converges(
    sides: Sides, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    move = LocalStorageClient.move_directory

    def killed(self: LocalStorageClient, old: str, new: str) -> None:
        if when == "after":
            move(self, old, new)
        raise Killed

    os.rename(sides[0] / "d", sides[0] / "e")
    with monkeypatch.context() as patched, suppress(Killed):
        patched.setattr(LocalStorageClient, "move_directory", killed)
        syncengine.sync(*both(sides), **TWO_WAY)
    report = syncengine.sync(*both(sides), **TWO_WAY)

    assert report.plan.totals.transfer_bytes == 0
    assert not report.plan.conflicts
    assert files(sides[1]) == {path.replace("d/", "e/"): text for path, text in TREE.items() if text is not None}
    assert settled(sides)


def test_a_directory_that_was_copied_and_removed_is_moved_by_its_content_only(sides: Sides) -> None:
    shutil.copytree(sides[0] / "d", sides[0] / "e")
    shutil.rmtree(sides[0] / "d")
    plan = plan_of(sides)
    report = syncengine.apply(plan)

    assert report.ok
    assert "move d/ e" not in said(plan)
    assert settled(sides)


class Stopped(BaseException):
    """The process was killed."""


def killed_after_the_rename(sides: Sides, monkeypatch: pytest.MonkeyPatch, method: str = "move_directory") -> None:
    """Sync, and die when the other side has followed the rename and nothing of it is recorded."""
    move = getattr(LocalStorageClient, method)

    def killed(self: LocalStorageClient, *arguments: Any, **options: Any) -> None:
        move(self, *arguments, **options)
        raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(LocalStorageClient, method, killed)
        with pytest.raises(Stopped):
            syncengine.sync(*both(sides), **TWO_WAY)


EDITED_SINCE: Dict[str, Tuple[Edit, List[str]]] = {
    "edited where it was renamed": (lambda here, _: write(here, {"e/a": "edited"}), ["update e/a"]),
    "edited where it followed": (lambda _, there: write(there, {"e/a": "edited"}), ["update e/a"]),
    "deleted where it was renamed": (lambda here, _: (here / "e/a").unlink(), ["delete e/a"]),
    "deleted where it followed": (lambda _, there: (there / "e/a").unlink(), ["delete e/a"]),
    "deleted with its directory": (lambda here, _: shutil.rmtree(here / "e/deep"), ["delete e/deep/x"]),
    "something added": (lambda here, _: write(here, {"e/new": "n"}), ["create e/new"]),
    "nothing": (lambda *_: None, []),
}


@pytest.mark.parametrize("renames", [True, False])
@pytest.mark.parametrize("says", list(EDITED_SINCE))
def test_an_edit_after_a_killed_rename_is_a_clean_edit(
    sides: Sides, says: str, renames: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.rename(sides[0] / "d", sides[0] / "e")
    killed_after_the_rename(sides, monkeypatch)
    edit, expected = EDITED_SINCE[says]
    edit(*sides)
    wanted = {**files(sides[0])} if "followed" not in says else {**files(sides[1])}
    report = syncengine.sync(*both(sides), renames=renames, **TWO_WAY)

    assert report.ok, report
    assert report.plan.conflicts == ()
    assert set(expected) <= {f"{each.action.value} {each.path}" for each in report.plan}
    assert files(sides[0]) == files(sides[1]) == wanted
    assert settled(sides)


def test_edits_on_both_sides_after_a_killed_rename_are_one_conflict(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.rename(sides[0] / "d", sides[0] / "e")
    killed_after_the_rename(sides, monkeypatch)
    for side, text in zip(sides, ("mine", "theirs!")):
        write(side, {"e/a": text})
    plan = plan_of(sides, conflict="keep-both")
    syncengine.apply(plan)

    assert [each.path for each in plan.conflicts] == ["e/a"]
    assert {"mine", "theirs!"} <= {*files(sides[0]).values()}
    assert settled(sides)


def test_what_is_destroyed_because_of_a_begun_rename_is_kept(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    os.rename(sides[0] / "d", sides[0] / "e")
    killed_after_the_rename(sides, monkeypatch)
    (sides[0] / "e/a").unlink()
    write(sides[0], {"e/deep/x": "edited"})
    syncengine.sync(*both(sides), **TWO_WAY)

    assert sorted(trash(sides[1]).values()) == ["A", "XX"]


def test_an_edit_after_the_killed_rename_of_a_file_is_a_clean_edit(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.rename(sides[0] / "d/a", sides[0] / "b")
    killed_after_the_rename(sides, monkeypatch, "move")
    write(sides[1], {"b": "edited"})
    report = syncengine.sync(*both(sides), **TWO_WAY)

    assert report.plan.conflicts == ()
    assert said(report.plan) == ["update  b"]
    assert settled(sides)


def test_a_begun_rename_that_was_not_done_is_only_a_hint(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands under the new name is somebody else's file, and nothing is taken for agreed on."""
    os.rename(sides[0] / "d", sides[0] / "e")

    def never(*_: Any) -> None:
        raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(LocalStorageClient, "move_directory", never)
        with pytest.raises(Stopped):
            syncengine.sync(*both(sides), **TWO_WAY)
    for side, text in zip(sides, ("mine", "theirs!")):
        shutil.rmtree(side / "e", ignore_errors=True)
        shutil.rmtree(side / "d", ignore_errors=True)
        write(side, {"e/a": text})
    plan = plan_of(sides, conflict="keep-both")
    syncengine.apply(plan)

    assert [(each.path, each.kind.value) for each in plan.conflicts] == [("e/a", "create_create")]
    assert settled(sides)


def test_nothing_is_left_of_a_begun_rename_that_was_taken_up(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    os.rename(sides[0] / "d", sides[0] / "e")
    killed_after_the_rename(sides, monkeypatch)

    assert [(each.kind, each.paths) for each in intents_of(sides)] == [("move", ("d", "e"))]
    syncengine.sync(*both(sides), **TWO_WAY)
    assert intents_of(sides) == []


def intents_of(sides: Sides) -> List[Any]:
    with syncengine.SyncEngine(*both(sides), **TWO_WAY) as engine:
        state = engine.job().state
        assert state is not None
        return state.intents()
