"""With every version retained no run is ever lost: each tree comes back, and a run is undone by its inverse."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Dict, List, Optional, Tuple, Type, Union

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import syncengine
from syncengine import Guards, SyncMode

from .sides import LocalSide, MemorySide, Tree, edits, trees

OPTIONS: Dict[str, Any] = {"retain": "all", "guards": Guards.off(), "allow_emptied": True, "compare": "hash-only"}
Kind = Type[Union[LocalSide, MemorySide]]
ONE_WAY = [SyncMode.SOURCE_TO_DESTINATION, SyncMode.SOURCE_BACKUP]
REVERSE = [SyncMode.DESTINATION_TO_SOURCE, SyncMode.DESTINATION_BACKUP]


def seen(side: Any) -> Tree:
    """Return the files of a side that a user sees."""
    return {path: content for path, content in side.files().items() if ".syncengine-" not in path}


def synced(sides: Tuple[Any, Any], mode: SyncMode, **options: Any) -> Tuple[Optional[str], Tuple[Tree, Tree]]:
    """Sync and return the run, where it did anything, and both trees."""
    report = syncengine.sync(sides[0].spec, sides[1].spec, mode=mode, **OPTIONS, **options)
    return (report.run_id if report.outcomes else None), (seen(sides[0]), seen(sides[1]))


def written(mode: SyncMode) -> str:
    return "source" if mode in REVERSE else "destination"


def applied(plan: syncengine.Plan) -> syncengine.Report:
    report = syncengine.apply(plan)
    assert not report.undone, str(report)
    return report


def check_every_run_comes_back(
    kind: Kind, mode: SyncMode, start: Tree, changes: List[Dict[str, Any]], other: Optional[List[Dict[str, Any]]] = None
) -> None:
    with TemporaryDirectory() as folder:
        sides = (kind(Path(folder)), kind(Path(folder)))
        options = {"state": f"{folder}/state"}
        leading = sides[1] if mode in REVERSE else sides[0]
        leading.edit(dict(start))
        history = [synced(sides, mode, **options)]
        for number, change in enumerate(changes):
            leading.edit(change)
            if other is not None:
                sides[1].edit(other[number])
            history.append(synced(sides, mode, **options))
        side = 0 if mode in REVERSE else 1
        for run, after in history:
            if run is None:
                continue
            arguments = {**OPTIONS, **options, "mode": mode}
            plan = syncengine.restore(
                sides[0].spec, sides[1].spec, run=run, side=written(mode), delete=True, **arguments
            )
            assert not plan.problems
            applied(plan)
            assert seen(sides[side]) == after[side]


def check_undoing_is_the_inverse(kind: Kind, mode: SyncMode, start: Tree, change: Any, there: Any) -> None:
    with TemporaryDirectory() as folder:
        sides = (kind(Path(folder)), kind(Path(folder)))
        options = {"state": f"{folder}/state"}
        for side in sides:
            side.edit(dict(start))
        synced(sides, mode, **options)
        sides[0].edit(change)
        sides[1].edit(there)
        before = (seen(sides[0]), seen(sides[1]))
        directories = [side.directories() for side in sides]
        run, after = synced(sides, mode, **options)
        if run is None:
            return
        arguments = {**OPTIONS, **options, "mode": mode}
        plan = syncengine.undo(run, sides[0].spec, sides[1].spec, **arguments)
        assert not plan.problems
        undone = applied(plan)
        assert (seen(sides[0]), seen(sides[1])) == before
        made = [side.directories() - known for side, known in zip(sides, directories)]
        assert made == [set(), set()]
        applied(syncengine.undo(undone.run_id, sides[0].spec, sides[1].spec, **arguments))
        assert (seen(sides[0]), seen(sides[1])) == after


histories = st.lists(edits, min_size=1, max_size=4)


@pytest.mark.parametrize("kind", [LocalSide, MemorySide])
@pytest.mark.parametrize("mode", [*ONE_WAY, *REVERSE], ids=lambda mode: mode.value)
@settings(max_examples=8, deadline=None)
@given(start=trees, changes=histories)
@example(
    start={"d/e/z": b"one", "b": b"two"},
    changes=[{"d/e/z": None, "b/c": b"one"}, {"d/y": b"one"}],
)
def test_the_tree_after_any_run_can_be_restored(
    kind: Kind, mode: SyncMode, start: Tree, changes: List[Dict[str, Any]]
) -> None:
    check_every_run_comes_back(kind, mode, start, changes)


@pytest.mark.parametrize("mode", list(SyncMode), ids=lambda mode: mode.value)
@settings(max_examples=10, deadline=None)
@given(start=trees, change=edits, there=edits)
@example(start={}, change={"b": b""}, there={"b/c": b""})
def test_undoing_the_last_run_is_its_inverse(mode: SyncMode, start: Tree, change: Any, there: Any) -> None:
    check_undoing_is_the_inverse(LocalSide, mode, start, change, there)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", [LocalSide, MemorySide])
@pytest.mark.parametrize("mode", [*ONE_WAY, *REVERSE], ids=lambda mode: mode.value)
@settings(max_examples=250, deadline=None)
@given(start=trees, changes=histories)
def test_the_tree_after_any_of_many_runs_can_be_restored(
    kind: Kind, mode: SyncMode, start: Tree, changes: List[Dict[str, Any]]
) -> None:
    check_every_run_comes_back(kind, mode, start, changes)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", [LocalSide, MemorySide])
@pytest.mark.parametrize("mode", list(SyncMode), ids=lambda mode: mode.value)
@settings(max_examples=250, deadline=None)
@given(start=trees, change=edits, there=edits)
def test_undoing_any_run_is_its_inverse(kind: Kind, mode: SyncMode, start: Tree, change: Any, there: Any) -> None:
    check_undoing_is_the_inverse(kind, mode, start, change, there)
