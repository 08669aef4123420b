"""What a listing in packs leaves out is exactly what a look at every entry finds unchanged."""

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
from syncengine import ScanError, Side, Snapshot
from syncengine.core import merge
from syncengine.core.packs import Run
from syncengine.events import ScanProgressed
from syncengine.stages import diff, scan
from syncengine.stages.job import Job
from syncengine.storage import local_ahead, local_listing

NAMES = ("a", "a.txt", "b", "b.tmp", "c", "d", "\xe9", "\udcff", "~", ".syncignore")
PATHS = (*NAMES, *(f"{folder}/{name}" for folder in ("a", "b", "d") for name in NAMES), "d/b/a", "d/b/c")
LONG_AGO = 10**18

paths = st.sampled_from(PATHS)
edits = st.lists(
    st.tuples(
        st.sampled_from(("write", "touch", "resize", "racy", "remove", "link", "folder", "rename")),
        st.sampled_from(("source", "destination")),
        paths,
        paths,
    ),
    max_size=5,
)
arguments = st.sampled_from(
    (
        {},
        {"ignore": ("*.tmp",)},
        {"ignore": ("d/",)},
        {"include": ("a*",)},
        {"min_size": 2},
        {"scope": ("d",)},
        {"scope": ("a", "b.tmp")},
        {"symlinks": "preserve"},
        {"symlinks": "follow"},
        {"force": True},
        {"path_map": {"a": "moved"}},
        {"compare": "size-only"},
    )
)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


def write(path: Path, content: str, mtime_ns: int = LONG_AGO) -> None:
    for above in reversed(path.parents):
        if above.is_symlink() or (above.exists() and not above.is_dir()):
            remove(above)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove(path)
    path.write_text(content)
    os.utime(path, ns=(mtime_ns, mtime_ns))


def edit(root: Path, kind: str, name: str, other: str) -> None:
    path = root / name
    if kind in ("write", "resize"):
        write(path, "other" if kind == "write" else "much longer")
    elif kind == "folder":
        write(path / "inside", "in a folder")
    elif kind == "racy":
        write(path, "fresh")
        os.utime(path)
    elif kind == "link":
        write(path, "")
        path.unlink()
        path.symlink_to(other)
    elif kind == "rename" and os.path.lexists(path) and not (root / other).is_relative_to(path) and path.is_file():
        content = path.read_text()
        remove(path)
        write(root / other, content)
    elif kind == "touch" and path.is_file():
        os.utime(path, ns=(LONG_AGO + 7, LONG_AGO + 7))
    elif kind == "remove":
        remove(path)


def taken_apart(job: Job) -> Job:
    """Stand between filter and diff as a user's stage does that looks at every entry."""
    return job.with_(snapshots={side: Snapshot(each.location, iter(each)) for side, each in job.snapshots.items()})


def seen(engine: syncengine.SyncEngine, events: List[Any]) -> Dict[str, Any]:
    events.clear()
    job = engine.pipeline(engine.job(), until="diff")
    try:
        found: Any = list(job.changes)
    except ScanError as error:
        return {"error": str(error)}
    problems = {side: list(snapshot.problems) for side, snapshot in job.snapshots.items()}
    progress = [event for event in events if isinstance(event, ScanProgressed)]
    return {"changes": found, "tally": job.tally, "problems": problems, "progress": progress}


class Events(List[Any]):
    def on(self, event: Any) -> None:
        self.append(event)


def check(files: Dict[str, int], changes: List[Tuple[str, str, str, str]], options: Dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        roots = {side.value: Path(directory) / side.value for side in Side}
        for name, size in sorted(files.items()):
            write(roots["source"] / name, "*.tmp\nb/\n" if name.endswith(".syncignore") else "x" * size)
        roots["source"].mkdir(exist_ok=True)
        common = {"state": f"{directory}/state", "progress": False}
        syncengine.sync(roots["source"], roots["destination"], mode="source-to-destination", **common)
        for kind, side, name, other in changes:
            edit(roots[side], kind, name, other)
        events = Events()
        mode = "source-to-destination"
        with syncengine.SyncEngine(*roots.values(), mode=mode, observer=events, **common, **options) as engine:
            packed = seen(engine, events)
            engine.pipeline = engine.pipeline.insert_after("filter", taken_apart)

            assert packed == seen(engine, events)


@pytest.fixture(autouse=True, params=["here", "ahead"])
def small_steps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "LONG", 0)
    monkeypatch.setattr(local_ahead, "can_fork", lambda: request.param == "ahead")
    monkeypatch.setattr(local_listing, "PACK", 3)
    monkeypatch.setattr(local_listing, "REMEMBERED", 5)
    monkeypatch.setattr(merge, "LONGEST", 4)
    monkeypatch.setattr(diff, "PROGRESS_EVERY", 3)


quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=25, deadline=None, suppress_health_check=quiet)
@given(st.dictionaries(paths, st.integers(1, 3), max_size=25), edits, arguments)
def test_packs_leave_out_what_a_look_at_every_entry_finds_unchanged(files, changes, options):
    check(files, changes, options)


@pytest.mark.thorough
@settings(max_examples=600, deadline=None, suppress_health_check=quiet)
@given(st.dictionaries(paths, st.integers(1, 3), max_size=25), edits, arguments)
def test_packs_leave_out_what_a_look_at_every_entry_finds_unchanged_thoroughly(files, changes, options):
    check(files, changes, options)


def test_unchanged_files_never_become_entries(tmp_path, monkeypatch):
    for name in ("a", "b", "c", "d/e", "f.tmp"):
        write(tmp_path / "source" / name, name)
    both = (tmp_path / "source", tmp_path / "destination")
    syncengine.sync(*both, mode="source-to-destination", state=tmp_path / "state")
    made: List[str] = []
    make = Run.item
    monkeypatch.setattr(Run, "item", lambda run, index: made.append(run.position(index)) or make(run, index))

    plan = syncengine.plan(*both, mode="source-to-destination", state=tmp_path / "state", ignore="*.tmp")

    assert (made, plan.unchanged) == ([], 4)
