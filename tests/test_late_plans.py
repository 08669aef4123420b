"""A plan that is applied after others: what it says of unchanged files counts only where it is still true."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

import syncengine
from syncengine import SyncEngine
from syncengine.errors import StalePlanError
from syncengine.stages import commit
from syncengine.state.manager import SyncStateManager
from syncengine.storage.local import LocalStorageClient
from tests.trees import files, remembered, write

TWO_WAY: Dict[str, Any] = {"mode": "two-way", "progress": False}


@pytest.fixture
def sides(tmp_path: Path) -> Tuple[Path, Path]:
    """Return two sides that hold ``a`` alike, not agreed on yet, and two new files at the source."""
    source = write(tmp_path / "source", {"a": "equal", "y": "1", "z": "2"})
    destination = write(tmp_path / "destination", {"a": "equal"})
    os.utime(source / "a", (1_000_000_000, 1_000_000_000))
    os.utime(destination / "a", (1_100_000_000, 1_100_000_000))
    return source, destination


def agreed(source: Path, destination: Path) -> List[str]:
    return [row.path for row in remembered(source, destination)[1]]


def test_an_old_agreement_does_not_bring_back_what_was_deleted_since(sides: Tuple[Path, Path], tmp_path: Path) -> None:
    source, destination = sides
    plan = syncengine.plan(source, destination, **TWO_WAY)
    plan.where("z").save(tmp_path / "plan.json")
    syncengine.apply(plan.where("y"))
    os.rename(source / "a", tmp_path / "a")
    syncengine.sync(source, destination, **TWO_WAY)
    assert "a" not in files(destination)
    os.rename(tmp_path / "a", source / "a")

    syncengine.apply(tmp_path / "plan.json", on_stale="skip")
    assert "a" not in agreed(source, destination)
    syncengine.sync(source, destination, **TWO_WAY)

    assert files(source) == files(destination) == {"a": "equal", "y": "1", "z": "2"}


def test_an_old_agreement_that_still_holds_is_written_by_the_later_part_of_a_plan(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    plan = syncengine.plan(source, destination, **TWO_WAY)
    syncengine.apply(plan.where("y"))
    syncengine.apply(plan.where("z"))

    assert agreed(source, destination) == ["a", "y", "z"]
    assert syncengine.plan(source, destination, **TWO_WAY).empty


def test_agreements_of_a_plan_applied_at_once_cost_no_look(
    sides: Tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, destination = sides
    plan = syncengine.plan(source, destination, **TWO_WAY)
    looked: List[str] = []
    stat = LocalStorageClient.stat

    def noted(self: Any, path: str) -> Any:
        looked.append(path)
        return stat(self, path)

    monkeypatch.setattr(LocalStorageClient, "stat", noted)
    syncengine.apply(plan)

    assert "a" not in looked


def test_files_are_durable_before_the_first_group_of_agreements_about_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "GROUP", 2)
    names = {f"{number}": "equal" for number in range(6)}
    source, destination = write(tmp_path / "source", names), write(tmp_path / "destination", names)
    calls: List[str] = []
    flush, record = LocalStorageClient.flush, SyncStateManager.commit

    def flushed(self: Any) -> None:
        calls.append("flush")
        flush(self)

    def recorded(self: Any, *rest: Any, **options: Any) -> int:
        calls.append("rows")
        return record(self, *rest, **options)

    monkeypatch.setattr(LocalStorageClient, "flush", flushed)
    monkeypatch.setattr(SyncStateManager, "commit", recorded)
    syncengine.sync(source, destination, **TWO_WAY)

    assert calls == ["flush", "flush", "rows", "rows", "rows"]


def test_an_old_plan_does_not_put_a_newer_row_to_sleep(tmp_path: Path) -> None:
    source, destination = write(tmp_path / "s", {"f": "old", "k": "kept"}), write(tmp_path / "d", {})
    syncengine.sync(source, destination)
    (source / "f").unlink()
    plan = syncengine.plan(source, destination)
    write(source, {"f": "made again"})
    syncengine.sync(source, destination)

    syncengine.apply(plan, on_stale="skip")

    assert {row.path: row.live for row in remembered(source, destination)[1]} == {"f": True, "k": True}


@pytest.mark.parametrize(("on_stale", "written"), [("skip", ["b"]), ("stop", [])])
def test_a_plan_that_nobody_looks_at_before_still_finds_what_is_stale(
    tmp_path: Path, on_stale: str, written: List[str]
) -> None:
    source = write(tmp_path / "source", {"a": "planned", "b": "planned"})
    destination = write(tmp_path / "destination", {})
    with SyncEngine(source, destination, progress=False) as engine:
        plan = engine.plan()
        write(source, {"a": "edited since"})
        with suppress(StalePlanError):
            report = engine.apply(plan, on_stale=on_stale, preflight=False)
            assert [outcome.status.value for outcome in report.outcomes] == ["stale", "done"]

    assert sorted(files(destination)) == written
