"""Promises 8 to 14 and 26 to 28 where both sides are edited: accidents of two-way syncs elsewhere."""

from __future__ import annotations

import os
import time
import unicodedata
from pathlib import Path
from typing import Any, Dict, Tuple

import pytest

import syncengine
from syncengine import Action, Guards, Status, SyncEngine
from syncengine.core import comparator
from syncengine.core.plan_parts import ConflictKind
from tests.trees import aged, exactly, files, trash, write

TWO_WAY = "two-way"


@pytest.fixture
def agreed(tmp_path: Path) -> Tuple[Path, Path]:
    """Two folders that agreed an hour ago."""
    source, destination = write(tmp_path / "source", {"f": "v1", "k": "kept", "d/x": "x"}), tmp_path / "destination"
    destination.mkdir()
    aged(source)
    syncengine.sync(source, destination, mode=TWO_WAY)
    return source, destination


def everywhere(*sides: Path) -> list[str]:
    return [text for side in sides for text in (*files(side).values(), *trash(side).values())]


def sync(sides: Tuple[Path, Path], **options: Any) -> syncengine.Report:
    return syncengine.sync(*sides, mode=TWO_WAY, **options)


@pytest.mark.parametrize("side", [0, 1], ids=["source", "destination"])
def test_promise_10_two_edits_within_one_tick_of_a_coarse_disk_are_two_edits(
    side: int, agreed: Tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # FAT, HFS+ and many file servers keep whole seconds; a slow machine must not let this one pass.
    monkeypatch.setattr(comparator, "COARSE_WINDOW_NS", 3600 * 1_000_000_000)
    tick = (int(time.time()) - 60) * 1_000_000_000

    def edited(content: str) -> None:
        path = agreed[side] / "f"
        path.write_text(content)
        os.utime(path, ns=(tick, tick))

    edited("first edit")
    sync(agreed)
    edited("other edit")
    report = sync(agreed)

    assert len(report.outcomes) == 1
    assert (agreed[1 - side] / "f").read_text() == "other edit"


@pytest.mark.parametrize("policy", ["newest", "source", "destination", "keep-both", "manual"])
def test_promise_08_both_edited_is_a_conflict_and_the_loser_is_kept(policy: str, agreed: Tuple[Path, Path]) -> None:
    write(agreed[0], {"f": "older edit"})
    os.utime(agreed[0] / "f", ns=(10**18, 10**18))
    write(agreed[1], {"f": "newer edit"})

    report = sync(agreed, conflict=policy)

    assert [(each.path, each.kind) for each in report.plan.conflicts] == [("f", ConflictKind.MODIFY_MODIFY)]
    assert {"older edit", "newer edit"} <= set(everywhere(*agreed))
    plain = {"newest": "newer edit", "destination": "newer edit", "source": "older edit"}.get(policy)
    assert plain is None or [files(side)["f"] for side in agreed] == [plain, plain]


@pytest.mark.parametrize("policy", ["newest", "keep-both", "manual"])
@pytest.mark.parametrize("edited", [0, 1], ids=["edited-at-source", "edited-at-destination"])
def test_promise_09_an_edit_survives_a_deletion_and_is_reported(
    edited: int, policy: str, agreed: Tuple[Path, Path]
) -> None:
    write(agreed[edited], {"f": "an edit"})
    (agreed[1 - edited] / "f").unlink()

    report = sync(agreed, conflict=policy)

    assert [(each.path, each.kind) for each in report.plan.conflicts] == [("f", ConflictKind.DELETE_MODIFY)]
    assert files(agreed[edited])["f"] == "an edit"
    assert (files(agreed[1 - edited]).get("f") == "an edit") is (policy != "manual")


@pytest.mark.parametrize("edited", [0, 1], ids=["edited-at-source", "edited-at-destination"])
def test_promise_10_an_edit_with_an_older_time_is_an_edit(edited: int, agreed: Tuple[Path, Path]) -> None:
    write(agreed[edited], {"f": "unpacked from an archive"})
    os.utime(agreed[edited] / "f", ns=(10**17, 10**17))

    report = sync(agreed)

    assert [files(side)["f"] for side in agreed] == ["unpacked from an archive"] * 2
    assert report.plan.conflicts == ()


@pytest.mark.parametrize("late", [0, 1], ids=["at-source", "at-destination"])
def test_promise_11_an_edit_made_while_the_other_version_waits_is_not_overwritten(
    late: int, agreed: Tuple[Path, Path]
) -> None:
    write(agreed[0], {"f": "v2"})
    with SyncEngine(*agreed, mode=TWO_WAY) as engine:
        plan = engine.plan()
        write(agreed[late], {"f": "a late edit"})
        report = engine.apply(plan)

    assert {each.operation.path: each.status for each in report.outcomes} == {"f": Status.STALE}
    assert not report.ok
    assert files(agreed[late])["f"] == "a late edit"
    again = sync(agreed, conflict="keep-both")
    assert again.outcomes, "the next run sees the edit"
    assert "a late edit" in everywhere(*agreed)


@pytest.mark.parametrize("mode", [TWO_WAY, "source-to-destination", "source-backup"])
def test_promise_14_what_only_looks_like_a_rename_costs_no_copy(mode: str, agreed: Tuple[Path, Path]) -> None:
    """The new file has the size, the time and even the file id of the one that vanished, and other content."""
    source, destination = agreed
    before = (source / "f").stat()
    (source / "f").rename(source / "g")
    (source / "g").write_text("w2")
    os.utime(source / "g", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (source / "g").stat().st_ino == before.st_ino

    syncengine.sync(source, destination, mode=mode, guards=Guards.off())

    assert files(source)["g"] == files(destination)["g"] == "w2"
    assert ("f" in files(destination)) is (mode == "source-backup")


def test_promise_14_a_backup_follows_a_rename_by_a_copy(agreed: Tuple[Path, Path]) -> None:
    (agreed[0] / "f").rename(agreed[0] / "g")
    report = syncengine.sync(*agreed, mode="source-backup")
    assert [each.operation.action for each in report.outcomes] == [Action.COPY]
    assert files(agreed[1]) == {"f": "v1", "g": "v1", "k": "kept", "d/x": "x"}


@pytest.mark.parametrize("mode", [TWO_WAY, "source-to-destination"])
def test_promise_26_a_file_that_became_a_directory_stops_nothing(mode: str, agreed: Tuple[Path, Path]) -> None:
    (agreed[0] / "f").unlink()
    write(agreed[0], {"f/inside": "new"})
    (agreed[0] / "k").unlink()

    report = syncengine.sync(*agreed, mode=mode, guards=Guards.off())

    assert report.ok
    assert files(agreed[0]) == files(agreed[1]) == {"f/inside": "new", "d/x": "x"}


@pytest.mark.parametrize("mode", [TWO_WAY, "source-to-destination"])
def test_promise_26_a_directory_that_became_a_file_stops_nothing(mode: str, agreed: Tuple[Path, Path]) -> None:
    (agreed[0] / "d" / "x").unlink()
    (agreed[0] / "d").rmdir()
    write(agreed[0], {"d": "a file"})
    (agreed[0] / "k").unlink()

    report = syncengine.sync(*agreed, mode=mode, guards=Guards.off())

    assert report.ok
    assert files(agreed[0]) == files(agreed[1]) == {"d": "a file", "f": "v1"}


def test_promise_27_names_that_only_look_alike_are_both_copied(agreed: Tuple[Path, Path]) -> None:
    twins: Dict[str, str] = {unicodedata.normalize(form, "Zo\u00eb"): form for form in ("NFC", "NFD")}
    write(agreed[0], twins)

    report = sync(agreed)

    assert len(twins) == 2
    assert twins.items() <= files(agreed[1]).items()
    assert report.ok


@pytest.mark.parametrize("side", [0, 1], ids=["at-source", "at-destination"])
def test_promise_28_a_moved_directory_is_moved_and_no_byte_travels(side: int, agreed: Tuple[Path, Path]) -> None:
    write(agreed[0], {f"d/{name}": f"content of {name}" for name in ("y", "e/z")})
    aged(agreed[0])
    sync(agreed)
    (agreed[side] / "d").rename(agreed[side] / "elsewhere")
    inodes = {path.stat().st_ino for path in (agreed[1 - side] / "d").rglob("*") if path.is_file()}

    report = sync(agreed)

    assert sum(each.bytes for each in report.outcomes) == 0
    moved = agreed[1 - side] / "elsewhere"
    assert {path.stat().st_ino for path in moved.rglob("*") if path.is_file()} == inodes
    assert not (agreed[1 - side] / "d").exists()


def test_promise_28_a_swap_of_two_names_loses_nothing(agreed: Tuple[Path, Path]) -> None:
    source = agreed[0]
    (source / "f").rename(source / "aside")
    (source / "k").rename(source / "f")
    (source / "aside").rename(source / "k")

    assert sync(agreed).ok

    assert files(agreed[0]) == files(agreed[1]) == {"f": "kept", "k": "v1", "d/x": "x"}


def test_promise_29_a_run_that_finds_nothing_new_looks_at_no_file_by_itself(agreed: Tuple[Path, Path]) -> None:
    looked = []

    class Looking(syncengine.LocalStorageClient):
        def stat(self, path: str) -> Any:
            looked.append(path)
            return super().stat(path)

        def read(self, path: str, **options: Any) -> Any:
            looked.append(path)
            return super().read(path, **options)

    def clients() -> Tuple[Any, Any]:
        return Looking(str(agreed[0])), Looking(str(agreed[1]))

    for _ in range(2):  # the state of these clients' own pair, then the run that needs no look
        before = exactly(*agreed)
        looked.clear()
        report = syncengine.sync(*clients(), mode=TWO_WAY, state=str(agreed[0].parent / "state"))

    assert report.outcomes == ()
    assert exactly(*agreed) == before
    assert [path for path in looked if path] == []


def test_promise_29_the_plan_says_how_many_requests_it_will_make(agreed: Tuple[Path, Path]) -> None:
    requests = []
    for count in (1, 10):
        write(agreed[0], {f"new {number}": "new" for number in range(count)})
        requests.append(dict(syncengine.plan(*agreed, mode=TWO_WAY).totals.requests))
    one, ten = requests
    assert all(one[side] > 0 and ten[side] == 10 * one[side] for side in syncengine.Side)
