"""Deletions by one request: each file has its own look before, its own answer after, and its own line in the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

import fsspec
import pytest
from attrs import evolve

import syncengine
from syncengine import Report, Status, SyncInterrupted
from syncengine.core.entry import Entry
from syncengine.errors import AccessDenied, StorageError, Throttled, Unavailable
from syncengine.events import OperationFinished
from syncengine.stages import bulk_deletion
from syncengine.storage.filesystem import FsspecStorageClient
from syncengine.storage.location import locate

NAMES = [f"{number:02}" for number in range(9)]
Answers = Dict[str, Optional[StorageError]]


class Bucket(FsspecStorageClient):
    """Memory that deletes many files by one request, and notes what it is asked."""

    def __init__(self, url: str) -> None:
        opened = locate(url).open()
        assert isinstance(opened, FsspecStorageClient)
        self.__dict__.update(vars(opened))
        self.requests: List[List[str]] = []
        self.singles: List[str] = []
        self.before: Callable[[Sequence[str]], None] = lambda paths: None
        self.after: Callable[[Answers], Answers] = lambda answers: answers
        self.look: Callable[[str], None] = lambda path: None

    def stat(self, path: str) -> Optional[Entry]:
        self.look(path)
        return super().stat(path)

    def delete(self, path: str, **options: Any) -> None:
        self.singles.append(path)
        super().delete(path, **options)

    def delete_many(self, paths: Sequence[str]) -> Answers:
        self.requests.append(list(paths))
        self.before(paths)
        for path in paths:
            fsspec.filesystem("memory").rm_file(f"/bucket/{path}")
        return self.after(dict.fromkeys(paths))


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setattr(bulk_deletion, "BATCH", 4)
    made = Bucket("memory://bucket")
    made.capabilities = evolve(made.capabilities, delete_if_unchanged=False)
    return made


def mirrored(tmp_path: Path, bucket: Bucket, **options: Any) -> Report:
    """Mirror a source that has lost all of NAMES but keeps one file."""
    memory = fsspec.filesystem("memory")
    for name in (*NAMES, "kept"):
        memory.pipe_file(f"/bucket/{name}", name.encode())
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "kept").write_text("kept")
    plan = syncengine.plan(
        tmp_path / "s", bucket, mode="source-to-destination", retain="none", allow_mass_delete=True, state=None
    )
    plan = evolve(plan, operations=tuple(evolve(each, retain=False) for each in plan.operations))
    return syncengine.apply(plan, state=None, **options)


def left() -> List[str]:
    return sorted(path.rpartition("/")[2] for path in fsspec.filesystem("memory").find("/bucket"))


def statuses(report: Report) -> Dict[str, Status]:
    return {outcome.operation.path: outcome.status for outcome in report.outcomes}


def test_many_files_go_by_few_requests(tmp_path: Path, bucket: Bucket) -> None:
    report = mirrored(tmp_path, bucket)

    assert statuses(report) == dict.fromkeys(NAMES, Status.DONE)
    assert sorted(map(len, bucket.requests)) == [1, 4, 4]
    assert bucket.singles == []
    assert left() == ["kept"]


def test_a_file_that_changed_since_the_plan_is_not_even_named(tmp_path: Path, bucket: Bucket) -> None:
    looks: List[str] = []

    def edited(path: str) -> None:
        looks.append(path)
        if looks.count("03") == 2:  # the first one is the preflight's
            fsspec.filesystem("memory").pipe_file("/bucket/03", b"an edit of a user")

    bucket.look = edited
    report = mirrored(tmp_path, bucket)

    assert statuses(report)["03"] is Status.STALE
    assert all("03" not in request for request in bucket.requests)
    assert left() == ["03", "kept"]


def test_a_file_that_the_service_refuses_to_delete_is_a_failure_of_its_own(tmp_path: Path, bucket: Bucket) -> None:
    def refused(answers: Answers) -> Answers:
        if "05" in answers:
            fsspec.filesystem("memory").pipe_file("/bucket/05", b"05")
            answers["05"] = AccessDenied("05: not yours", path="05")
        return answers

    bucket.after = refused
    report = mirrored(tmp_path, bucket)
    failed = [outcome for outcome in report.outcomes if outcome.status is Status.FAILED]

    assert [(outcome.operation.path, outcome.problem and outcome.problem.message) for outcome in failed] == [
        ("05", "05: not yours")
    ]
    assert left() == ["05", "kept"]


@pytest.mark.parametrize("lost", ["the answer of one", "one is not answered", "all answers", "all, and nothing done"])
def test_what_was_not_answered_is_looked_at_and_deleted_once(tmp_path: Path, bucket: Bucket, lost: str) -> None:
    def losing(answers: Answers) -> Answers:
        bucket.after = lambda answers: answers
        first = next(iter(answers))
        if lost == "all answers":
            raise Unavailable("the connection broke")
        if lost == "one is not answered":
            del answers[first]
        else:
            answers[first] = Throttled("slow down", path=first)
        return answers

    def breaking(paths: Sequence[str]) -> None:
        bucket.before = lambda paths: None
        raise Unavailable("no connection")

    if lost == "all, and nothing done":
        bucket.before = breaking
    else:
        bucket.after = losing
    report = mirrored(tmp_path, bucket)

    assert statuses(report) == dict.fromkeys(NAMES, Status.DONE)
    assert left() == ["kept"]
    assert len(bucket.singles) == (4 if lost == "all, and nothing done" else 0)


def test_deletions_whose_old_version_is_kept_or_whose_condition_the_service_checks_go_one_by_one(
    tmp_path: Path, bucket: Bucket
) -> None:
    bucket.capabilities = evolve(bucket.capabilities, delete_if_unchanged=True)
    report = mirrored(tmp_path, bucket)

    assert statuses(report) == dict.fromkeys(NAMES, Status.DONE)
    assert bucket.requests == []
    assert sorted(bucket.singles) == NAMES


def test_what_somebody_else_deleted_before_an_interrupted_request_was_sent_is_not_called_done(
    tmp_path: Path, bucket: Bucket
) -> None:
    looks: List[str] = []

    def broken_off(path: str) -> None:
        looks.append(path)
        if looks.count("02") == 2:  # the first one is the preflight's
            bucket.look = lambda path: None
            fsspec.filesystem("memory").rm_file("/bucket/01")
            raise KeyboardInterrupt

    bucket.look = broken_off
    with pytest.raises(SyncInterrupted) as caught:
        mirrored(tmp_path, bucket)

    assert bucket.requests == []
    assert statuses(caught.value.report) == dict.fromkeys(NAMES, Status.CANCELLED)
    assert left() == [*(name for name in NAMES if name != "01"), "kept"]


def test_a_second_interrupt_keeps_what_a_request_has_deleted_in_the_report(tmp_path: Path, bucket: Bucket) -> None:
    class Pressing:
        def on(self, event: Any) -> None:
            if isinstance(event, OperationFinished):
                raise KeyboardInterrupt

    with pytest.raises(SyncInterrupted) as caught:
        mirrored(tmp_path, bucket, observer=Pressing())

    done = [path for path, status in statuses(caught.value.report).items() if status is Status.DONE]
    assert left() == [*(name for name in NAMES if name not in done), "kept"]
    assert len(done) == 4


def test_what_an_interrupted_request_has_deleted_is_reported_and_the_rest_is_not(
    tmp_path: Path, bucket: Bucket
) -> None:
    def broken_off(paths: Sequence[str]) -> None:
        fsspec.filesystem("memory").rm_file(f"/bucket/{paths[0]}")
        raise KeyboardInterrupt

    bucket.before = broken_off
    with pytest.raises(SyncInterrupted) as caught:
        mirrored(tmp_path, bucket)

    done = [path for path, status in statuses(caught.value.report).items() if status is Status.DONE]
    assert len(done) == 1
    assert left() == [*(name for name in NAMES if name not in done), "kept"]
