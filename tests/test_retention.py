"""What is replaced is kept until it is proven that it still stands, even where the answer of a storage is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Optional

import fsspec
import pytest

import syncengine
from syncengine import Action, Operation, Status
from syncengine.core.entry import Kind, Side
from syncengine.errors import AccessDenied, StorageError, Unavailable
from syncengine.stages.retention import Retention
from syncengine.storage.filesystem import FsspecStorageClient
from syncengine.storage.local import LocalStorageClient
from tests.trees import aged, files, trash, write

MIRROR = "source-to-destination"


class Forgetful(LocalStorageClient):
    """Does what it is asked to do to one file, and then raises instead of answering, so many times."""

    def __init__(self, root: Path, call: str, error: StorageError, *, path: str = "f", times: int = 1) -> None:
        super().__init__(str(root))
        self._lost = (call, path)
        self._error = error
        self._times = times

    def _answer(self, call: str, path: str) -> None:
        if (call, path) == self._lost and self._times:
            self._times -= 1
            raise self._error

    def write(self, path: str, content: Any, **options: Any) -> Any:
        written = super().write(path, content, **options)
        self._answer("write", path)
        return written

    def delete(self, path: str, **options: Any) -> None:
        super().delete(path, **options)
        self._answer("delete", path)

    def move(self, old: str, new: str, **options: Any) -> Any:
        moved = super().move(old, new, **options)
        self._answer("move", old)
        return moved


class Blinded(Forgetful):
    """Also refuses every look at the file once its answer was lost."""

    def stat(self, path: str) -> Any:
        if not self._times and path == "f":
            raise AccessDenied("no look is allowed", path=path)
        return super().stat(path)


LOST = Unavailable("the connection broke after the commit", path="f")
BROKEN = AccessDenied("refused after the commit", path="f")


def mirrored(source: Path, client: LocalStorageClient, **options: Any) -> syncengine.Report:
    return syncengine.sync(source, client, mode=MIRROR, **options)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "source", {"f": "the new version"})


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    folder = write(tmp_path / "destination", {"f": "the only copy"})
    aged(folder)
    return folder


@pytest.mark.parametrize("retries", [0, 1])
def test_a_write_whose_answer_was_lost_is_recognised_as_done_and_the_old_version_is_kept(
    source: Path, destination: Path, retries: int
) -> None:
    report = mirrored(source, Forgetful(destination, "write", LOST), retries=retries)

    (outcome,) = report.outcomes
    assert outcome.status is Status.DONE
    assert outcome.after is not None
    assert outcome.retained_at is not None
    assert files(destination) == {"f": "the new version"}
    assert trash(destination) == {"f": "the only copy"}
    assert syncengine.plan(source, destination, mode=MIRROR).empty


@pytest.mark.parametrize("client_class", [Forgetful, Blinded])
def test_a_write_that_failed_after_its_commit_leaves_the_old_version_in_the_trash_and_says_where(
    source: Path, destination: Path, client_class: Any
) -> None:
    report = mirrored(source, client_class(destination, "write", BROKEN))

    (outcome,) = report.outcomes
    assert outcome.status is Status.FAILED
    assert outcome.retained_at is not None
    assert (destination / outcome.retained_at).read_text() == "the only copy"


def test_a_write_that_goes_on_after_its_answer_was_given_up_is_waited_for(source: Path, tmp_path: Path) -> None:
    target = write(tmp_path / "destination", {"other": "x"}) / "f"

    class Slow(LocalStorageClient):
        """Gives up the answer when half is written, and has the rest when it is looked at for the second time."""

        looks = 0

        def write(self, path: str, content: Any, **options: Any) -> Any:
            if target.exists():
                return super().write(path, content, **options)
            target.write_text("the new")
            raise LOST

        def stat(self, path: str) -> Any:
            if path == "f" and target.exists():
                self.looks += 1
                if self.looks == 2:
                    target.write_text("the new version")
            return super().stat(path)

    client = Slow(str(target.parent))
    report = syncengine.sync(source, client, retries=1)

    (outcome,) = report.outcomes
    assert (outcome.status, client.looks) == (Status.DONE, 2)


def test_a_lost_answer_about_other_content_is_not_taken_for_success(source: Path, destination: Path) -> None:
    class Torn(Forgetful):
        def _answer(self, call: str, path: str) -> None:
            if call == "write" and self._times:
                (destination / path).write_text("someone else's")
            super()._answer(call, path)

    report = mirrored(source, Torn(destination, "write", LOST), retries=1)

    (outcome,) = report.outcomes
    assert outcome.status is Status.STALE
    assert trash(destination) == {"f": "the only copy"}
    assert outcome.retained_at is not None


def test_a_write_that_was_refused_before_it_changed_anything_leaves_nothing_in_the_trash(
    source: Path, destination: Path
) -> None:
    class Refusing(LocalStorageClient):
        def write(self, path: str, content: Any, **options: Any) -> Any:
            raise BROKEN

    report = mirrored(source, Refusing(str(destination)))

    assert [(outcome.status, outcome.retained_at) for outcome in report.outcomes] == [(Status.FAILED, None)]
    assert files(destination) == {"f": "the only copy"}
    assert trash(destination) == {}


@pytest.mark.parametrize(
    ("call", "elsewhere", "error", "status"),
    [
        ("delete", True, LOST, Status.DONE),
        ("delete", True, BROKEN, Status.FAILED),
        ("move", False, LOST, Status.DONE),
        ("move", False, BROKEN, Status.FAILED),
    ],
)
def test_a_deletion_that_raised_after_it_was_done_still_leads_to_the_kept_version(
    source: Path, destination: Path, tmp_path: Path, call: str, elsewhere: bool, error: StorageError, status: Status
) -> None:
    write(source, {"k": "kept in step"})
    (source / "f").unlink()
    place: Optional[str] = str(tmp_path / "trash") if elsewhere else None
    options: Dict[str, Any] = {"trash": place} if elsewhere else {}

    report = mirrored(source, Forgetful(destination, call, error), retries=1, **options)

    deletion = next(outcome for outcome in report.outcomes if outcome.operation.path == "f")
    assert deletion.status is status
    assert deletion.retained_at is not None
    assert (Path(place or destination) / deletion.retained_at).read_text() == "the only copy"
    assert "f" not in files(destination)


def test_a_look_that_fails_after_the_put_does_not_cost_the_version_that_was_replaced(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/kept/f", b"the only copy")
    looks = iter([LOST])
    written = FsspecStorageClient._written

    def look(self: Any, path: str, *rest: Any) -> Any:
        error = next(looks, None) if path == "f" else None
        if error is not None:
            raise error
        return written(self, path, *rest)

    monkeypatch.setattr(FsspecStorageClient, "_written", look)
    report = syncengine.sync(source, "memory://kept", mode=MIRROR, retries=1)

    (outcome,) = report.outcomes
    assert outcome.status is Status.DONE
    assert memory.cat("/kept/f") == b"the new version"
    assert memory.cat(f"/kept/{outcome.retained_at}") == b"the only copy"


@pytest.mark.parametrize("protocol", ["", "memory://"])
def test_a_directory_that_holds_the_trash_of_another_sync_is_no_empty_directory_to_remove(
    tmp_path: Path, protocol: str
) -> None:
    source = write(tmp_path / "source", {"f": "1", "d/x": "2"})
    destination = f"{protocol}{tmp_path}/destination"
    filesystem, root = fsspec.url_to_fs(destination)
    syncengine.sync(source, destination, mode=MIRROR)
    filesystem.makedirs(f"{root}/d/.syncengine-trash/run")
    filesystem.pipe_file(f"{root}/d/.syncengine-trash/run/x", b"old")
    (source / "d" / "x").unlink()
    (source / "d").rmdir()

    first, second = (syncengine.sync(source, destination, mode=MIRROR) for _ in range(2))

    assert [outcome.operation.path for outcome in first.outcomes] == ["d/x"]
    assert (first.exit_code, second.exit_code, len(second.outcomes)) == (0, 0, 0)
    assert filesystem.cat_file(f"{root}/d/.syncengine-trash/run/x") == b"old"


@pytest.mark.parametrize("apart", [True, False])
def test_a_version_is_kept_beside_an_earlier_one_that_stands_where_it_needs_a_directory(
    tmp_path: Path, apart: bool
) -> None:
    """A run that goes on later, or a bucket that holds ``a`` and ``a/b``, keeps both in one folder of the trash."""
    root = write(tmp_path / "root", {"a": "a file"})
    client, elsewhere = LocalStorageClient(str(root)), LocalStorageClient(str(tmp_path / "trash"))
    kept = Retention(dict.fromkeys(Side, client), "20261122T135216Z-1a2b3c4d", elsewhere if apart else None)

    def keep(path: str) -> Optional[str]:
        found = client.stat(path)
        assert found is not None
        deletion = Operation(Action.DELETE, Kind.FILE, Side.DESTINATION, path, expect_target=found.stamp)
        kept.set_aside(deletion)
        return kept.settle(deletion, done=True)

    places = [keep("a")]
    write(root, {"a/b/c": "below", "a/b/d": "beside"})
    places += [keep("a/b/c"), keep("a/b/d")]

    held = tmp_path / "trash" if apart else root
    assert [(held / str(place)).read_text() for place in places] == ["a file", "below", "beside"]
    assert [str(place).split("/")[1].partition("~")[2] for place in places] == ["", "2", "2"]
