"""New files of one folder are planned in one go: the plan is the one that is made file by file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

import pytest

from syncengine import Plan, SyncEngine
from syncengine.pipeline import Pipeline
from syncengine.stages.job import Job
from syncengine.storage.local import LocalStorageClient
from tests.trees import Content, aged, write

MODES = ("two-way", "source-to-destination", "source-backup", "destination-to-source", "destination-backup")

Sides = Tuple[Mapping[str, Content], Mapping[str, Content]]

NEW: Dict[str, Content] = {
    "at the root": "0",
    "a/1": "1",
    "a/2": "",
    "a/b/3": "three",
    "a/b/ü": "4",
    "a.txt": "5",
    "c/d/e/6": "6",
    "c/empty": None,
}
CASES: Dict[str, Sides] = {
    "only the source has files": (NEW, {}),
    "only the destination has files": ({}, NEW),
    "folders side by side": ({"a/1": "1", "a/3": "3"}, {"a/2": "2", "b/4": "4"}),
    "both have a file among new ones": ({"a/1": "1", "a/2": "2", "a/3": "3"}, {"a/2": "other content"}),
    "a file faces the folder of new ones": ({"a/1": "1", "a/2": "2", "b/3": "3"}, {"a": "a file"}),
    "a folder of new ones faces a file": ({"a": "a file", "b/1": "1"}, {"a/1": "1", "a/2": "2"}),
    "rules hide some": ({".syncignore": "*.tmp\n", "a/1": "1", "a/2.tmp": "2"}, {"b/3": "3", "b/4.tmp": "4"}),
}
OPTIONS: Tuple[Dict[str, Any], ...] = (
    {"state": None},
    {"ignore": ["a/1"]},
    {"scope": ["a", "c/d"]},
    {"metadata": ["mode"], "mode": "source-to-destination"},
    {"initial": "source-wins", "mode": "two-way"},
    {"initial": "destination-wins", "mode": "two-way"},
    {"only_if": "missing"},
)


class ShortNames(LocalStorageClient):
    """A side that refuses a name."""

    def name_refusal(self, path: str) -> Optional[str]:
        """Refuse names that hold a 2."""
        return "holds a 2" if "2" in path else None


def file_by_file(job: Job) -> Job:
    return job.with_(changes=list(job.changes))


def planned(source: Any, destination: Any, tmp_path: Path, **options: Any) -> Tuple[Plan, Plan]:
    """Return the plan as it is made, and as it is made file by file."""
    given = {"state": str(tmp_path / "state"), "progress": False, **options}
    with SyncEngine(source, destination, **given) as engine:
        together = engine.plan()
    with SyncEngine(source, destination, pipeline=Pipeline().insert_after("diff", file_by_file), **given) as engine:
        return together, engine.plan()


def must_agree(case: str, tmp_path: Path, **options: Any) -> None:
    source, destination = (write(tmp_path / name, each) for name, each in zip(("s", "d"), CASES[case]))
    aged(source, destination)
    together, single = planned(source, destination, tmp_path, **options)

    assert together.operations == single.operations
    assert together.problems == single.problems
    assert together.digest == single.digest


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mode", MODES)
def test_new_files_are_planned_as_if_one_by_one(case: str, mode: str, tmp_path: Path) -> None:
    must_agree(case, tmp_path, mode=mode)


@pytest.mark.parametrize("case", ["only the source has files", "folders side by side"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options_plan_new_files_as_if_one_by_one(case: str, options: Dict[str, Any], tmp_path: Path) -> None:
    must_agree(case, tmp_path, **options)


def test_a_name_that_the_other_side_refuses_leaves_the_other_new_files_in_the_plan(tmp_path: Path) -> None:
    source = write(tmp_path / "source", {"a/1": "1", "a/2": "2", "a/3": "3"})
    destination = ShortNames(str(write(tmp_path / "destination", {})))

    together, single = planned(source, destination, tmp_path)

    assert [operation.path for operation in together] == ["a/1", "a/3"]
    assert together.problems == single.problems != ()
