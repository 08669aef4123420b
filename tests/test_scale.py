"""A run with nothing to do costs a look at each entry: flat memory, no read, no request for a single file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, List

import pytest

import syncengine
from syncengine import LocalStorageClient

NOTHING_TO_DO = '''
import json, resource, sys
import syncengine
from syncengine import Capabilities, Entry, Kind, Stamp, Side, SyncStateManager
from syncengine.core.entry import Base
from syncengine.state.records import Run
from datetime import datetime, timezone

class Generated:
    """A storage whose listing is made up while it is read."""

    def __init__(self, name, number):
        self.identity = name
        self.number = number
        self.capabilities = Capabilities(listing_sorted=True, stamps=("size", "mtime_ns"))

    def list(self, prefix="", *, prune=None):
        for i in range(self.number):
            yield Entry(f"d{i // 1000:06d}/f{i % 1000:04d}.txt", Kind.FILE, Stamp(i, 1_700_000_000_000_000_000 + i))

    def stat(self, path):
        assert path == "", f"a request for the single file {path}"
        return Entry("", Kind.DIRECTORY, Stamp())

    def read(self, path, *, expect=None):
        raise AssertionError(f"{path} was read")

    def write(self, path, content, *, expect, mtime_ns=None):
        raise AssertionError(f"{path} was written")

    def delete(self, path, *, expect):
        raise AssertionError(f"{path} was deleted")

number, place = int(sys.argv[1]), sys.argv[2]
source, destination = Generated("one", number), Generated("two", number)
engine = syncengine.SyncEngine(source, destination, mode="source-to-destination", state=place, progress=False)
if sys.argv[3] == "record":
    endpoints = engine.job().endpoints
    with SyncStateManager(place, endpoints[Side.SOURCE].identity, endpoints[Side.DESTINATION].identity) as state:
        now = datetime.now(timezone.utc)
        state.begin(Run("recorded", now, "source-to-destination", "", ""))
        state.commit(Base(e.path, e.kind, e.stamp, e.stamp) for e in source.list())
        state.finish(now, {})
else:
    report = engine.sync()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"unchanged": report.plan.unchanged, "operations": len(report.plan), "megabytes": peak}))
'''


MODES = ("source-to-destination", "two-way")


def nothing_to_do(number: int, place: Path) -> Any:
    def run(step: str) -> str:
        command = [sys.executable, "-c", NOTHING_TO_DO, str(number), str(place), step]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    run("record")
    return json.loads(run("sync"))


def check_flat_memory(small: int, large: int, base: Path) -> None:
    first, second = nothing_to_do(small, base / "small"), nothing_to_do(large, base / "large")

    assert (first["unchanged"], first["operations"]) == (small, 0)
    assert (second["unchanged"], second["operations"]) == (large, 0)
    assert second["megabytes"] <= first["megabytes"] + 20


def test_memory_stays_flat_while_unchanged_entries_stream_by(tmp_path: Path) -> None:
    check_flat_memory(5_000, 100_000, tmp_path)


@pytest.mark.thorough
def test_memory_stays_flat_for_a_million_unchanged_entries(tmp_path: Path) -> None:
    check_flat_memory(100_000, 1_000_000, tmp_path)


@pytest.mark.thorough
def test_ten_million_unchanged_entries_fit_into_200_megabytes(tmp_path: Path) -> None:
    found = nothing_to_do(10_000_000, tmp_path)

    assert (found["unchanged"], found["operations"]) == (10_000_000, 0)
    assert found["megabytes"] <= 200


LOCAL_FILES = """
import json, os, resource, sys
from datetime import datetime, timezone
import syncengine
from syncengine import LocalStorageClient, Side, SyncStateManager
from syncengine.core.entry import Base
from syncengine.stages import scan
from syncengine.state.records import Run

scan.LONG = int(sys.argv[4])
number, base, step = int(sys.argv[1]), sys.argv[2], sys.argv[3]
source, destination, place = (os.path.join(base, name) for name in ("source", "destination", "state"))
if step == "record":
    for i in range(number):
        folder = f"{i // 1000:04d}"
        if i % 1000 == 0:
            for root in (source, destination):
                os.makedirs(os.path.join(root, folder))
        path = os.path.join(folder, f"file {i % 1000:03d}")
        os.close(os.open(os.path.join(source, path), os.O_CREAT | os.O_WRONLY))
        os.utime(os.path.join(source, path), ns=(10**18, 10**18))
        os.link(os.path.join(source, path), os.path.join(destination, path))
    engine = syncengine.SyncEngine(source, destination, state=place, progress=False)
    endpoints = engine.job().endpoints
    sides = zip(LocalStorageClient(source).list(), LocalStorageClient(destination).list())
    with SyncStateManager(place, endpoints[Side.SOURCE].identity, endpoints[Side.DESTINATION].identity) as state:
        state.begin(Run("recorded", datetime.now(timezone.utc), "source-to-destination", "", ""))
        state.commit(Base(one.path, one.kind, one.stamp, other.stamp) for one, other in sides)
        state.finish(datetime.now(timezone.utc), {})
else:
    report = syncengine.sync(source, destination, mode=step, state=place, progress=False)
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps({"unchanged": report.plan.unchanged, "operations": len(report.plan), "megabytes": peak // 1024}))
"""


def local_files(number: int, place: Path, *modes: str, long: int = 20_000) -> List[Any]:
    def run(step: str) -> str:
        command = [sys.executable, "-c", LOCAL_FILES, str(number), str(place), step, str(long)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    run("record")
    return [json.loads(run(mode)) for mode in modes]


def test_local_files_by_the_thousand_are_compared_in_flat_memory(tmp_path: Path) -> None:
    # From so many paths on a second process lists the destination, which counts as well.
    (small,) = local_files(500, tmp_path / "small", "two-way", long=1_000)
    large = local_files(6_000, tmp_path / "large", *MODES, long=1_000)

    assert [(found["unchanged"], found["operations"]) for found in large] == [(6_000, 0)] * 2
    assert max(found["megabytes"] for found in large) <= small["megabytes"] + 20


@pytest.mark.thorough
def test_a_million_local_files_take_no_more_memory_than_a_hundred_thousand(tmp_path: Path) -> None:
    small = local_files(100_000, tmp_path / "small", *MODES)
    large = local_files(1_000_000, tmp_path / "large", *MODES)

    assert [(found["unchanged"], found["operations"]) for found in large] == [(1_000_000, 0)] * 2
    for few, many in zip(small, large):
        assert many["megabytes"] <= min(few["megabytes"] + 20, 150)


FIRST_SYNC = """
import json, os, resource, sys
import syncengine

base = sys.argv[1]
source, destination = os.path.join(base, "source"), os.path.join(base, "destination")
plan = syncengine.plan(source, destination, mode="two-way", state=os.path.join(base, "new"), progress=False)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(json.dumps({"agreements": len(plan.agreements), "megabytes": peak}))
"""


@pytest.mark.thorough
def test_a_first_two_way_sync_of_200_000_equal_files_fits_into_900_megabytes(tmp_path: Path) -> None:
    local_files(200_000, tmp_path)
    command = [sys.executable, "-c", FIRST_SYNC, str(tmp_path)]

    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert found["agreements"] == 200_200  # the folders, too
    assert found["megabytes"] <= 900


LARGE_PLAN = """
import json, os, resource, sys
import syncengine
from syncengine import Capabilities, Entry, Kind, Plan, Stamp

class Generated:
    def __init__(self, name, number):
        self.identity, self.number = name, number
        self.capabilities = Capabilities(listing_sorted=True, stamps=("size", "mtime_ns"))

    def list(self, prefix="", *, prune=None):
        for i in range(self.number):
            yield Entry(f"d{i // 1000:06d}/f{i % 1000:04d}.txt", Kind.FILE, Stamp(i, 1_700_000_000_000_000_000 + i))

    def stat(self, path):
        return Entry("", Kind.DIRECTORY, Stamp())

    def read(self, path, *, expect=None):
        raise AssertionError(f"{path} was read")

    write = delete = read

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

number, path = int(sys.argv[1]), os.path.join(sys.argv[2], "plan.json")
both = (Generated("one", number), Generated("two", 0))
if sys.argv[3] == "make":
    plan = syncengine.plan(*both, mode="source-to-destination", state=None, progress=False)
    plan.save(path)
else:
    plan = Plan.load(path)
found = {"operations": len(plan), "bytes": plan.totals.transfer_bytes, "digest": plan.digest}
print(json.dumps({**found, "megabytes": peak()}))
"""


@pytest.mark.thorough
def test_a_plan_of_a_million_operations_takes_ten_times_the_memory_of_a_hundred_thousand(tmp_path: Path) -> None:
    def run(number: int, step: str) -> Any:
        (tmp_path / str(number)).mkdir(exist_ok=True)
        command = [sys.executable, "-c", LARGE_PLAN, str(number), str(tmp_path / str(number)), step]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    for step in ("make", "load"):
        small, large = run(100_000, step), run(1_000_000, step)
        assert (small["operations"], large["operations"]) == (100_000, 1_000_000)
        assert large["bytes"] == 999_999 * 500_000
        assert large["megabytes"] <= 11 * small["megabytes"]
    assert run(1_000_000, "load")["digest"] == large["digest"]


class Watched(LocalStorageClient):
    """Notes every call that is about a single file."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.calls: List[str] = []

    def stat(self, path: str) -> Any:
        if path:
            self.calls.append(f"stat {path}")
        return super().stat(path)

    def read(self, path: str, **arguments: Any) -> Any:
        self.calls.append(f"read {path}")
        return super().read(path, **arguments)

    def digest(self, path: str, algorithm: str, **arguments: Any) -> str:
        self.calls.append(f"digest {path}")
        return super().digest(path, algorithm, **arguments)


def test_an_unchanged_tree_is_recognised_without_a_call_for_any_file(tmp_path: Path) -> None:
    for name in ("a", "d/b", "d/e/c"):
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_text(name)
        os.utime(tmp_path / "source" / name, ns=(10**18, 10**18))
    syncengine.sync(tmp_path / "source", tmp_path / "destination", mode="source-to-destination")
    source, destination = Watched(str(tmp_path / "source")), Watched(str(tmp_path / "destination"))

    plan = syncengine.plan(source, destination, mode="source-to-destination")

    assert plan.unchanged == 3
    assert not plan
    assert source.calls == destination.calls == []
