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
from syncengine.state.manager import Run
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
