"""What is decided of directories in blocks is exactly what is decided of them file by file."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import syncengine
from syncengine import Plan, Side
from syncengine.core.blocks import Block
from syncengine.stages.job import Job
from syncengine.state import database
from syncengine.storage import local_listing

FOLDERS = ("d", "d/deep", "d/deep/er", "d-x", "q", "q/r", "é", "\udcff")
NAMES = ("a", "a.txt", "b", "c", "deep.txt", "z", "~")
PATHS = (*(f"{folder}/{name}" for folder in FOLDERS for name in NAMES), "k", "k.txt")
LONG_AGO = 10**18

paths = st.sampled_from(PATHS)
folders = st.sampled_from((*FOLDERS, "new", "new/place", "d/new", "q/deep"))
steps = st.one_of(
    st.tuples(st.sampled_from(("rename", "rename", "rename", "remove", "exchange")), folders, folders),
    st.tuples(st.sampled_from(("edit", "add", "touch", "link", "hidden")), paths, st.just("")),
)
edits = st.lists(st.tuples(st.sampled_from(("source", "source", "destination")), steps), min_size=1, max_size=4)
files = st.dictionaries(paths, st.integers(0, 3), min_size=3, max_size=30)
options = st.sampled_from(
    ({}, {}, {}, {"ignore": ("*.txt",)}, {"force": True}, {"conflict": "keep-both"}, {"mode": "source-to-destination"})
)


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, ns=(LONG_AGO, LONG_AGO))


def edit(root: Path, action: str, first: str, second: str) -> None:
    one, other = root / first, root / second
    if action in ("rename", "exchange"):
        if one.is_dir() and not other.is_relative_to(one) and not one.is_relative_to(other):
            rename(one, other, exchanged=action == "exchange")
    elif action == "remove":
        shutil.rmtree(one, ignore_errors=True)
    elif action in ("edit", "add"):
        write(one, "edited" if action == "edit" else "x")
    elif one.is_file() and action == "touch":
        os.utime(one, ns=(LONG_AGO + 7, LONG_AGO + 7))
    elif one.is_file() and action == "link":
        one.with_name("linked").unlink(missing_ok=True)
        os.link(one, one.with_name("linked"))
    elif action == "hidden":
        write(one.parent / ".syncignore", "z\n")


def rename(one: Path, other: Path, *, exchanged: bool) -> None:
    if not other.exists():
        other.parent.mkdir(parents=True, exist_ok=True)
        os.rename(one, other)
    elif exchanged and other.is_dir():
        away = one.with_name("away")
        for old, new in ((one, away), (other, one), (away, other)):
            os.rename(old, new)


def one_by_one(job: Job) -> Job:
    """Stand between diff and plan as a user's stage does that looks at every change."""
    return job.with_(changes=iter(job.changes))


def said(plan: Plan) -> Dict[str, Any]:
    return {
        "operations": sorted(plan.operations, key=repr),
        "agreements": sorted(plan.agreements, key=repr),
        "conflicts": plan.conflicts,
        "problems": sorted(plan.problems, key=repr),
        "totals": plan.totals,
        "blockers": plan.blockers,
    }


def check(tree: Dict[str, int], changes: List[Any], chosen: Dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        roots = {side.value: Path(directory) / side.value for side in Side}
        for name, size in tree.items():
            write(roots["source"] / name, "x" * size)
        roots["destination"].mkdir()
        common: Dict[str, Any] = {"state": f"{directory}/state", "progress": False, "mode": "two-way"}
        both: Tuple[Path, ...] = tuple(roots.values())
        syncengine.sync(*both, **common)
        for side, step in changes:
            edit(roots[side], *step)
        with syncengine.SyncEngine(*both, **{**common, **chosen}) as engine:
            in_blocks = said(engine.plan())
        with syncengine.SyncEngine(*both, **{**common, **chosen}) as engine:
            engine.pipeline = engine.pipeline.insert_after("diff", one_by_one)

            assert in_blocks == said(engine.plan())


@pytest.fixture(autouse=True)
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let folders come in several runs, and rows in packs that end elsewhere."""
    monkeypatch.setattr(local_listing, "PACK", 3)
    monkeypatch.setattr(database, "ROWS_AT_A_TIME", 4)


quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=40, deadline=None, suppress_health_check=quiet)
@given(files, edits, options)
def test_blocks_are_decided_as_their_files_are(tree, changes, chosen):
    check(tree, changes, chosen)


@pytest.mark.thorough
@settings(max_examples=1_500, deadline=None, suppress_health_check=quiet)
@given(files, edits, options)
def test_blocks_are_decided_as_their_files_are_thoroughly(tree, changes, chosen):
    check(tree, changes, chosen)


def test_files_of_a_renamed_directory_never_become_changes(tmp_path, monkeypatch):
    write(tmp_path / "source" / "k", "k")
    for name in NAMES:
        write(tmp_path / "source" / "d" / name, name)
        write(tmp_path / "source" / "d/deep" / name, name)
    (tmp_path / "destination").mkdir()
    both = (tmp_path / "source", tmp_path / "destination")
    common: Dict[str, Any] = {"mode": "two-way", "state": tmp_path / "state", "progress": False}
    syncengine.sync(*both, **common)
    os.rename(tmp_path / "source/d", tmp_path / "source/e")
    taken_apart: List[str] = []
    make = Block.changes
    monkeypatch.setattr(Block, "changes", lambda block: taken_apart.append(block.path) or make(block))
    monkeypatch.setattr("syncengine.stages.directory_moves.RACE_WINDOW_NS", -(10**12))

    plan = syncengine.plan(*both, **common)

    assert [(each.moved_from, each.path, each.files) for each in plan] == [("d", "e", 2 * len(NAMES))]
    assert taken_apart == []
