"""What another process puts in its place is what this one would have written, and the report says what is there."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, cast
from unittest.mock import patch

import pytest
from object_servers import S3Server
from observed import Observed
from small_files import FILES, contents, engine, fill, here, told

import syncengine
from syncengine import Report, SyncInterrupted
from syncengine.core.entry import Stamp
from syncengine.core.report import Outcome, Status
from syncengine.stages import held_together, placing_apart
from syncengine.stages.commit import Recorder
from syncengine.storage import local_second, local_writing
from syncengine.storage.local import LocalStorageClient
from syncengine.storage.local_second import SecondProcess
from syncengine.storage.small_objects import Fetched, NewFile

pytest.importorskip("obstore", reason="without it the filesystem serves, and plain requests are not made")
pytestmark = pytest.mark.skipif(not local_second.is_of_use(), reason="needs Linux and two processors")


@pytest.fixture(params=[1, 60], ids=["a file a message", "several folders a message"])
def started(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> List[int]:
    """Use another process for a few files already, so many bytes to a message, and note each that is started."""
    noted: List[int] = []

    class Noted(SecondProcess):
        def __init__(self) -> None:
            super().__init__()
            assert self._process is not None
            noted.append(self._process)

    monkeypatch.setattr(placing_apart, "SecondProcess", Noted)
    monkeypatch.setattr(placing_apart, "BATCH_BYTES", request.param)
    monkeypatch.setattr(held_together, "MANY", 1)
    return noted


@pytest.fixture
def bucket(moto: S3Server, tmp_path: Path) -> str:
    """A bucket that holds the files of ``tmp_path / "source"``, with their times."""
    found = f"s3://{moto.bucket()}"
    with engine(fill(tmp_path / "source"), found, moto, state=None) as run:
        assert run.sync().ok
    return found


@pytest.fixture
def no_write_here() -> Iterator[None]:
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("this process wrote a file")

    with patch.object(LocalStorageClient, "write", never):
        yield


def check_truth(report: Report, source: Path, target: Path) -> None:
    """Check that exactly what the report calls done is there, as it says, and that no other process is left."""
    done = {outcome.operation.path: outcome for outcome in report.outcomes if outcome.status is Status.DONE}
    assert here(target) == {path: fact for path, fact in here(source).items() if path in done}
    for path, outcome in done.items():
        found = os.stat(target / path)
        stamp = outcome.after
        assert stamp is not None
        assert (stamp.size, stamp.mtime_ns, stamp.file_id) == (found.st_size, found.st_mtime_ns, str(found.st_ino))


@pytest.mark.usefixtures("no_write_here")
def test_another_process_writes_everything_and_is_gone(
    moto: S3Server, bucket: str, tmp_path: Path, started: List[int]
) -> None:
    began_ns = time.time_ns()
    with engine(bucket, tmp_path / "target", moto) as run:
        report = run.sync()
        ended_ns = time.time_ns()
        assert run.plan().empty

    assert (report.ok, len(report.outcomes), len(started)) == (True, FILES, 1)
    assert all(began_ns <= outcome.looked_ns <= ended_ns for outcome in report.outcomes)
    assert not Path(f"/proc/{started[0]}").exists()
    check_truth(report, tmp_path / "source", tmp_path / "target")


def changed_in_between(target: Path, elsewhere: Path) -> None:
    """Put what has to be told in the way: files of a user, and a link instead of a folder."""
    elsewhere.mkdir()
    for path in list(contents())[:10:3]:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_bytes(b"of a user")
        os.utime(target / path, ns=(1, 1))
    (target / "3").symlink_to(elsewhere)


def test_outcomes_are_those_of_one_process_whatever_happened_in_between(
    moto: S3Server, bucket: str, tmp_path: Path, started: List[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: List[Report] = []
    for name in ("apart", "here"):
        target = tmp_path / name
        target.mkdir()
        with engine(bucket, target, moto, state=None) as run:
            plan = run.plan()
            changed_in_between(target, tmp_path / f"elsewhere-{name}")
            # As a pipeline's own look right before finds nothing: the writes themselves have to be refused.
            with patch("syncengine.stages.preflight.Preflight.__call__", lambda _, job: job):
                reports.append(run.apply(plan))
        assert list((tmp_path / f"elsewhere-{name}").iterdir()) == []
        monkeypatch.setattr(held_together, "MANY", 10**9)

    assert len(started) == 1
    assert [(told(outcome), outcome.attempts) for outcome in reports[0].outcomes] == [
        (told(outcome), outcome.attempts) for outcome in reports[1].outcomes
    ]
    assert {path.relative_to(tmp_path / "apart"): fact for path, fact in found(tmp_path / "apart").items()} == {
        path.relative_to(tmp_path / "here"): fact for path, fact in found(tmp_path / "here").items()
    }
    assert len(reports[0].by_status[Status.STALE]) == 4 + 10


def found(folder: Path) -> Dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("after", [1, FILES // 2])
def test_a_killed_process_costs_nothing_but_time(
    moto: S3Server, bucket: str, tmp_path: Path, started: List[int], after: int
) -> None:
    observer = Observed(after, lambda: os.kill(started[0], signal.SIGKILL))
    with engine(bucket, tmp_path / "target", moto, observer=observer) as run:
        report = run.sync()
        assert run.plan().empty

    assert report.ok
    check_truth(report, tmp_path / "source", tmp_path / "target")


def test_a_file_whose_answer_was_lost_is_done_and_not_refused(
    moto: S3Server, bucket: str, tmp_path: Path, started: List[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = SecondProcess.answers

    def lost(self: SecondProcess) -> Optional[Any]:
        answers(self)
        return None

    monkeypatch.setattr(SecondProcess, "answers", lost)
    with engine(bucket, tmp_path / "target", moto, state=None) as run:
        report = run.sync()

    assert (report.ok, len(started)) == (True, 1)
    assert max(outcome.attempts for outcome in report.outcomes) > 1
    check_truth(report, tmp_path / "source", tmp_path / "target")


def test_after_a_process_that_dies_at_once_none_is_started(
    moto: S3Server, bucket: str, tmp_path: Path, started: List[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_together, "PATIENCE", 0)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    monkeypatch.setattr(placing_apart, "is_of_use", lambda: True)
    with engine(bucket, tmp_path / "target", moto, state=None) as run:
        report = run.sync()

    assert (report.ok, len(started)) == (True, 1)
    check_truth(report, tmp_path / "source", tmp_path / "target")


def test_one_object_that_cannot_be_placed_is_one_that_fails(
    moto: S3Server, bucket: str, tmp_path: Path, started: List[int]
) -> None:
    odd = list(contents())[5]
    name = bucket.partition("//")[2]
    moto.filesystem().call_s3("put_object", Bucket=name, Key=odd, Body=b"odd", Metadata={"mtime": "9" * 20})
    with engine(bucket, tmp_path / "target", moto, state=None) as run:
        report = run.sync()

    assert [outcome.operation.path for outcome in report.outcomes if outcome.status is Status.FAILED] == [odd]
    assert {outcome.attempts for outcome in report.by_status[Status.DONE]} == {1}
    assert len(started) == 1


def test_where_no_process_can_be_started_this_one_does_everything(
    moto: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> int:
        raise BlockingIOError(11, "too many processes")

    monkeypatch.setattr(held_together, "MANY", 1)
    monkeypatch.setattr(os, "posix_spawn", refused)
    with engine(bucket, tmp_path / "target", moto, state=None) as run:
        report = run.sync()

    assert report.ok
    check_truth(report, tmp_path / "source", tmp_path / "target")


def test_where_files_without_a_name_do_not_work_this_process_writes(
    moto: S3Server, bucket: str, tmp_path: Path, started: List[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine(bucket, tmp_path / "target", moto, state=None) as run:
        plan = run.plan()
        with patch.object(placing_apart, "is_of_use", lambda: True):
            monkeypatch.setattr(local_writing, "CAN_BE_NAMELESS", False)
            report = run.apply(plan)

    assert (report.ok, len(started)) == (True, 1)
    check_truth(report, tmp_path / "source", tmp_path / "target")


class Arrived:
    """A file of a few bytes that has arrived."""

    def __init__(self, target: LocalStorageClient, name: str) -> None:
        self.file = NewFile(name, name, Stamp(), None, None)
        self.content = b"content"
        self._target = target

    def to_place(self) -> Any:
        return self._target.small_write(self.file.target, self.content, mtime_ns=None, mode=None)


def test_narrow_pipes_are_no_deadlock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_second, "_PIPE_BYTES", 4096)
    monkeypatch.setattr(placing_apart, "BATCH_BYTES", 2_000)
    apart: placing_apart.PlacingApart[int] = placing_apart.PlacingApart()
    target = LocalStorageClient(str(tmp_path))
    try:
        placed = [
            key
            for number in range(3_000)
            for key, *_ in apart.place(number, cast(Fetched, Arrived(target, str(number))), 0.0)
        ]
        placed += [key for key, *_ in apart.rest()]
    finally:
        apart.end()

    assert apart._second.room == 4096 // 64
    assert placed == list(range(3_000))
    assert len(os.listdir(tmp_path)) == 3_000


def test_a_name_that_cannot_be_spelled_is_left_to_who_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ascii_only(name: str) -> bytes:
        return name.encode("ascii")

    monkeypatch.setattr(os, "fsencode", ascii_only)
    target = LocalStorageClient(str(tmp_path))

    assert target.small_write("plain", b"", mtime_ns=None, mode=None) is not None
    assert target.small_write("dü/file", b"", mtime_ns=None, mode=None) is None
    assert target.small_write("d/filü", b"", mtime_ns=None, mode=None) is None


def test_a_few_files_are_written_here(moto: S3Server, bucket: str, tmp_path: Path) -> None:
    with patch.object(placing_apart.PlacingApart, "__init__", side_effect=AssertionError):
        report = syncengine.sync(
            bucket, tmp_path / "target", mode="source-backup", state=None, source_options=moto.options
        )

    assert report.ok
    check_truth(report, tmp_path / "source", tmp_path / "target")


def test_what_has_arrived_when_a_run_is_cancelled_is_written_and_reported(
    moto: S3Server, bucket: str, tmp_path: Path, started: List[int]
) -> None:
    cancel = threading.Event()
    options: Dict[str, Any] = {"observer": Observed(5, cancel.set), "cancel": cancel, "workers": 4}
    with (
        engine(bucket, tmp_path / "target", moto, **options) as run,
        pytest.raises(SyncInterrupted) as caught,
    ):
        run.sync()
    report = caught.value.report

    assert {Status.DONE, Status.CANCELLED} == set(report.by_status)
    assert not Path(f"/proc/{started[0]}").exists()
    check_truth(report, tmp_path / "source", tmp_path / "target")


def test_a_run_that_is_broken_off_reports_what_was_handed_over(
    moto: S3Server, bucket: str, tmp_path: Path, started: List[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    take, taken = Recorder.take, iter(range(FILES * 2))

    def broken_off(self: Recorder, outcome: Outcome) -> None:
        take(self, outcome)
        if next(taken) == 20:
            raise KeyboardInterrupt

    monkeypatch.setattr(Recorder, "take", broken_off)
    with engine(bucket, tmp_path / "target", moto) as run:
        with pytest.raises(SyncInterrupted) as caught:
            run.sync()
        monkeypatch.undo()
        check_truth(caught.value.report, tmp_path / "source", tmp_path / "target")
        assert run.sync().ok
        assert run.plan().empty

    assert caught.value.report.interrupted
    assert not Path(f"/proc/{started[0]}").exists()
    assert here(tmp_path / "target") == here(tmp_path / "source")
