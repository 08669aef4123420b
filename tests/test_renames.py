"""Renames that are followed: what proves them, what they record, and what is left where they break off."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import pytest
from attrs import evolve

import syncengine
from syncengine import Action, Status
from syncengine.core.comparator import Change, Comparison, Equality, SideChange
from syncengine.core.entry import Base, Entry, Kind, Side, Stamp
from syncengine.core.plan_parts import Operation, Reason
from syncengine.core.renames import DigestOf, Rename, is_same_content, renames
from syncengine.core.schedule import schedule
from syncengine.events import OperationFinished
from syncengine.storage import local
from syncengine.storage.local import LocalStorageClient
from tests.trees import aged, files, trash, write

TWO_WAY: Dict[str, Any] = {"mode": "two-way", "progress": False}


@pytest.fixture
def sides(tmp_path: Path) -> Tuple[Path, Path]:
    """Return two sides that have agreed on ``a`` and ``k``, an hour ago."""
    source, destination = write(tmp_path / "source", {"a": "agreed", "k": "1"}), write(tmp_path / "destination", {})
    aged(source)
    syncengine.sync(source, destination, **TWO_WAY)
    return source, destination


def actions(plan: syncengine.Plan) -> List[Tuple[str, str]]:
    return sorted((operation.action.value, operation.path) for operation in plan)


def reuse(old: Path, new: Path, content: str) -> None:
    """Let *new* have the id, the size and the time that *old* had, and other content."""
    before = old.stat()
    os.rename(old, new)
    assert len(content) == before.st_size
    with new.open("r+") as stream:
        stream.write(content)
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert new.stat().st_ino == before.st_ino


# ------------------------------------------------------------------ evidence


def test_a_file_that_reuses_the_id_of_a_deleted_one_is_no_rename(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    reuse(source / "a", source / "b", "OTHER!")

    report = syncengine.sync(source, destination, **TWO_WAY)

    assert actions(report.plan) == [("create", "b"), ("delete", "a")]
    assert files(destination) == files(source) == {"b": "OTHER!", "k": "1"}


def test_a_rename_that_its_content_proves_is_still_a_move(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    os.rename(source / "a", source / "b")

    report = syncengine.sync(source, destination, **TWO_WAY)

    assert actions(report.plan) == [("move", "b")]
    assert files(destination) == {"b": "agreed", "k": "1"}


def test_an_edit_that_follows_an_unproved_rename_keeps_what_stood_under_the_new_name(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    reuse(source / "a", source / "b", "OTHER!")
    write(destination, {"a": "edited there"})

    syncengine.sync(source, destination, **TWO_WAY)

    versions = {*files(source).values(), *trash(source).values(), *files(destination).values()}
    assert {"OTHER!", "edited there"} <= versions


def test_nothing_is_read_where_nothing_looks_renamed(sides: Tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    read: List[str] = []
    digest = LocalStorageClient.digest

    def noted(self: Any, path: str, *rest: Any, **options: Any) -> str:
        read.append(path)
        return digest(self, path, *rest, **options)

    monkeypatch.setattr(LocalStorageClient, "digest", noted)
    source, destination = sides
    assert syncengine.plan(source, destination, **TWO_WAY).empty
    assert read == []

    os.rename(source / "a", source / "b")
    assert actions(syncengine.plan(source, destination, **TWO_WAY)) == [("move", "b")]
    assert sorted(read) == ["a", "b"]


STAMP = Stamp(size=6, mtime_ns=1_000, file_id="7")
SHA, OTHER_SHA, MD5 = "sha256:aa", "sha256:bb", "md5:cc"
BOTH, NEITHER = (Side.SOURCE, Side.DESTINATION), ()


def found(base: Base, arrived: Stamp, standing: Stamp) -> Rename:
    gone = Comparison(SideChange.REMOVED, SideChange.SAME, Equality.UNKNOWN)
    new = Comparison(SideChange.CREATED, SideChange.ABSENT, Equality.UNKNOWN)
    changes = (
        Change("a", base, None, Entry("a", Kind.FILE, standing), gone),
        Change("b", None, Entry("b", Kind.FILE, arrived), None, new),
    )
    (rename,) = renames(changes, Side.SOURCE, digest_of=lambda _: None, follow_edits=False)
    return rename


def answering(answers: Dict[Side, str]) -> DigestOf:
    return lambda question: answers.get(question.side)


BASE = Base("a", Kind.FILE, STAMP, Stamp(size=6))
AGREED = evolve(BASE, digest=SHA)
VERSIONED = evolve(STAMP, version="v1")


@pytest.mark.parametrize(
    ("base", "arrived", "standing", "reads", "answers", "same"),
    [
        pytest.param(BASE, STAMP, Stamp(size=6), BOTH, (SHA, SHA), True, id="read and equal"),
        pytest.param(BASE, STAMP, Stamp(size=6), BOTH, (OTHER_SHA, SHA), False, id="read and different"),
        pytest.param(BASE, STAMP, Stamp(size=6), BOTH, (None, None), False, id="unreadable"),
        pytest.param(BASE, STAMP, Stamp(size=6), NEITHER, (SHA, SHA), None, id="reads are not cheap"),
        pytest.param(BASE, STAMP, Stamp(size=6), (Side.SOURCE,), (SHA, SHA), None, id="reads are cheap on one side"),
        pytest.param(
            BASE, STAMP, Stamp(size=6, digests=(MD5,)), (Side.SOURCE,), (MD5, None), True, id="the other side tells it"
        ),
        pytest.param(AGREED, STAMP, Stamp(size=6), (Side.SOURCE,), (SHA, None), True, id="as agreed"),
        pytest.param(AGREED, STAMP, Stamp(size=6), (Side.SOURCE,), (OTHER_SHA, SHA), False, id="not as agreed"),
        pytest.param(
            evolve(BASE, source=VERSIONED), VERSIONED, Stamp(size=6), NEITHER, (None, None), True, id="same version"
        ),
    ],
)
def test_a_file_id_alone_proves_no_rename(
    base: Base,
    arrived: Stamp,
    standing: Stamp,
    reads: Tuple[Side, ...],
    answers: Tuple[Optional[str], Optional[str]],
    same: Optional[bool],
) -> None:
    told = {side: answer for side, answer in zip(Side, answers) if answer is not None}

    assert is_same_content(found(base, arrived, standing), answering(told), reads) is same


@pytest.mark.parametrize("copies", [True, False])
def test_a_backup_copies_to_a_new_name_only_where_nothing_travels_for_it(
    copies: bool, sides: Tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, destination = sides
    os.rename(source / "a", source / "b")
    monkeypatch.setattr(local, "CAPABILITIES", evolve(local.CAPABILITIES, server_copy=copies))

    report = syncengine.sync(source, destination, mode="source-backup", progress=False)

    assert actions(report.plan) == [("copy" if copies else "create", "b")]
    assert files(destination) == {"a": "agreed", "b": "agreed", "k": "1"}


# ------------------------------------------------------------- what is recorded


def test_a_followed_rename_is_as_uncertain_as_the_agreement_before_it(tmp_path: Path) -> None:
    # Equal size and time on both sides, found without reading: such an agreement is weak.
    source, destination = (write(tmp_path / name, {"a": "same", "k": "1"}) for name in ("source", "destination"))
    for folder in (source, destination):
        os.utime(folder / "a", (1_000_000_000, 1_000_000_000))
    syncengine.sync(source, destination, **TWO_WAY)
    os.rename(source / "a", source / "b")
    assert actions(syncengine.sync(source, destination, **TWO_WAY).plan) == [("move", "b")]

    write(source, {"b": "replaced"})
    syncengine.sync(source, destination, **TWO_WAY)

    assert trash(destination) == {"b": "same"}


# -------------------------------------------------------- an edit meets a rename


@pytest.fixture
def renamed_and_edited(sides: Tuple[Path, Path]) -> Tuple[Path, Path]:
    source, destination = sides
    os.rename(source / "a", source / "b")
    write(destination, {"a": "edited there"})
    return sides


def test_an_edit_and_a_rename_meet_under_the_new_name_and_are_agreed_on(renamed_and_edited: Tuple[Path, Path]) -> None:
    source, destination = renamed_and_edited
    plan = syncengine.sync(source, destination, **TWO_WAY).plan
    assert actions(plan) == [("move", "b"), ("update", "b")]

    assert files(source) == files(destination) == {"b": "edited there", "k": "1"}
    (destination / "b").unlink()
    assert actions(syncengine.plan(source, destination, **TWO_WAY)) == [("delete", "b")]


def test_a_run_cancelled_between_an_edit_and_its_rename_is_taken_up_by_the_next(
    renamed_and_edited: Tuple[Path, Path],
) -> None:
    source, destination = renamed_and_edited
    cancel = threading.Event()

    class Stopping:
        def on(self, event: Any) -> None:
            if isinstance(event, OperationFinished):
                cancel.set()

    with pytest.raises(syncengine.SyncInterrupted):
        syncengine.apply(syncengine.plan(source, destination, **TWO_WAY), observer=Stopping(), cancel=cancel)
    assert files(source) == {"b": "edited there", "k": "1"}
    assert files(destination) == {"a": "edited there", "k": "1"}

    assert actions(syncengine.plan(source, destination, **TWO_WAY)) == [("move", "b")]
    (destination / "a").unlink()
    assert actions(syncengine.plan(source, destination, **TWO_WAY)) == [("create", "b")]


def test_a_rename_whose_file_was_deleted_meanwhile_does_not_delete_the_edit(
    renamed_and_edited: Tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, destination = renamed_and_edited
    move = LocalStorageClient.move

    def late(self: Any, old: str, new: str, **options: Any) -> Stamp:
        (destination / "a").unlink()
        return move(self, old, new, **options)

    with monkeypatch.context() as patched:
        patched.setattr(LocalStorageClient, "move", late)
        report = syncengine.sync(source, destination, **TWO_WAY)
    status = {outcome.operation.action: outcome.status for outcome in report.outcomes}
    assert status == {Action.UPDATE: Status.DONE, Action.MOVE: Status.STALE}

    syncengine.sync(source, destination, **TWO_WAY)

    assert files(source) == files(destination) == {"b": "edited there", "k": "1"}


def test_an_edit_taken_without_its_rename_is_not_recorded_as_agreed(renamed_and_edited: Tuple[Path, Path]) -> None:
    source, destination = renamed_and_edited
    syncengine.apply(syncengine.plan(source, destination, **TWO_WAY).where(target=Side.SOURCE))

    syncengine.sync(source, destination, **TWO_WAY)

    assert "edited there" in files(source).values()
    assert files(source) == files(destination)
    assert files(source)["b"] == "edited there"


def test_an_edit_is_read_before_its_file_leaves_a_directory_that_becomes_a_file(tmp_path: Path) -> None:
    source, destination = write(tmp_path / "source", {"d/x": "agreed", "k": "1"}), write(tmp_path / "destination", {})
    aged(source)
    syncengine.sync(source, destination, **TWO_WAY)
    os.rename(source / "d/x", source / "e")
    (source / "d").rmdir()
    write(source, {"d": "a file now"})
    write(destination, {"d/x": "edited there"})

    report = syncengine.sync(source, destination, **TWO_WAY)

    assert report.ok
    assert files(source) == files(destination) == {"d": "a file now", "e": "edited there", "k": "1"}
    assert syncengine.plan(source, destination, **TWO_WAY).empty


def test_a_reader_of_what_leaves_a_directory_comes_before_the_move_and_the_file_after_both() -> None:
    stamp = Stamp(size=1)
    file = Operation(
        Action.UPDATE,
        Kind.FILE,
        Side.DESTINATION,
        "d",
        origin=(Side.SOURCE, "d"),
        expect_target=Stamp(),
        reason=Reason.KIND_CHANGED,
    )
    move = Operation(Action.MOVE, Kind.FILE, Side.DESTINATION, "e", origin=(Side.DESTINATION, "d/x"))
    edit = Operation(Action.UPDATE, Kind.FILE, Side.SOURCE, "e", origin=(Side.DESTINATION, "d/x"), expect_target=stamp)
    other = Operation(Action.CREATE, Kind.FILE, Side.DESTINATION, "f", origin=(Side.SOURCE, "f"))
    order = schedule([file, move, other, edit])

    assert [unit.operations for unit in order.units] == [(edit,), (move,), (file,)]
    assert order.writes == (other,)
