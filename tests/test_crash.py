"""Killed at any moment, run again: the trees are equal and nothing else lies about."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Set

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import syncengine
from syncengine import LocalStorageClient, SyncEngine

from .properties.sides import LocalSide, Tree, edits, kept, trees, visible

SYNC = """
import sys, syncengine
report = syncengine.sync(sys.argv[1], sys.argv[2], mode="source-to-destination", state=sys.argv[3], progress=False)
sys.exit(report.exit_code)
"""


def start(base: Path) -> subprocess.Popen[bytes]:
    places = [str(base / name) for name in ("source", "destination", "state")]
    return subprocess.Popen([sys.executable, "-c", SYNC, *places])


def contents(folder: Path) -> Tree:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def make_source(folder: Path, *, large: int, small: int) -> None:
    folder.mkdir()
    (folder / "large.bin").write_bytes(os.urandom(1 << 20) * large)
    for number in range(small):
        place = folder / f"{number % 20:02d}"
        place.mkdir(exist_ok=True)
        (place / f"{number}.dat").write_bytes(b"%d" % number * 20)


def check_killed_and_run_again(base: Path, *, moments: int, large: int, small: int, longest: float) -> None:
    make_source(base / "source", large=large, small=small)
    expected = contents(base / "source")
    generator = random.Random(7)
    killed = 0
    for moment in range(moments):
        place = base / str(moment)
        place.mkdir()
        (place / "source").symlink_to(base / "source")
        process = start(place)
        try:
            process.wait(generator.uniform(0.1, longest))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
        assert start(place).wait() == 0
        assert contents(place / "destination") == expected
        assert syncengine.plan(place / "source", place / "destination", mode="std", state=place / "state").empty
    assert killed, "every run finished before it could be killed; the moments are too late"


def test_a_sync_that_was_killed_is_finished_by_one_more_run(tmp_path: Path) -> None:
    check_killed_and_run_again(tmp_path, moments=5, large=60, small=400, longest=0.8)


@pytest.mark.thorough
def test_a_sync_that_was_killed_at_twenty_moments_is_finished_by_one_more_run(tmp_path: Path) -> None:
    check_killed_and_run_again(tmp_path, moments=20, large=300, small=4_000, longest=3.0)


class Killed(BaseException):
    """The process is gone."""


class Crashing(LocalStorageClient):
    """A folder whose process dies right after its n-th effect."""

    left: int

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed

    def write(self, *arguments: Any, **options: Any) -> Any:
        stamp = super().write(*arguments, **options)
        self._count()
        return stamp

    def move(self, *arguments: Any, **options: Any) -> Any:
        stamp = super().move(*arguments, **options)
        self._count()
        return stamp

    def preserve(self, *arguments: Any, **options: Any) -> Any:
        stamp = super().preserve(*arguments, **options)
        self._count()
        return stamp

    def delete(self, *arguments: Any, **options: Any) -> None:
        super().delete(*arguments, **options)
        self._count()

    def make_directory(self, path: str) -> None:
        super().make_directory(path)
        self._count()

    def remove_directory(self, path: str) -> None:
        super().remove_directory(path)
        self._count()


def crashing(folder: str, after: int) -> Crashing:
    client = Crashing(folder)
    client.left = after
    return client


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    agreed=trees,
    at_source=edits,
    at_destination=edits,
    after=st.integers(0, 12),
    mode=st.sampled_from(["source-to-destination", "source-backup"]),
)
def test_a_crash_after_any_effect_converges_to_what_an_uninterrupted_run_gives(
    agreed: Tree, at_source: Dict[str, Any], at_destination: Dict[str, Any], after: int, mode: str, tmp_path: Path
) -> None:
    arguments: Dict[str, Any] = {"guards": syncengine.Guards.off(), "allow_emptied": True, "progress": False}
    results = []
    for crashes in (False, True):
        source, destination = LocalSide(tmp_path), LocalSide(tmp_path)
        state = str(tmp_path / f"state-{source.path.name}")
        source.edit(agreed)
        syncengine.sync(source.spec, destination.spec, mode="source-to-destination", state=state, **arguments)
        source.edit(at_source)
        destination.edit(at_destination)
        before = versions_of(source, destination)
        if crashes:
            crash(source.spec, destination.spec, after, mode=mode, state=state, **arguments)
        report = syncengine.sync(source.spec, destination.spec, mode=mode, state=state, **arguments)
        assert report.ok
        results.append((visible(source.files()), visible(destination.files())))
        lost = before - versions_of(source, destination) - set(agreed.values())
        assert lost == set()
        assert litter(destination) == []

    assert results[0] == results[1]


def versions_of(*sides: LocalSide) -> Set[bytes]:
    return {content for side in sides for content in [*visible(side.files()).values(), *kept(side.files())]}


def litter(side: LocalSide) -> list[str]:
    return [path for path in side.files() if ".syncengine-tmp-" in path]


def crash(source: str, destination: str, after: int, **arguments: Any) -> None:
    engine = SyncEngine(source, crashing(destination, after), **arguments)
    try:
        engine.sync()
    except Killed:
        pass
    finally:
        engine.close()
