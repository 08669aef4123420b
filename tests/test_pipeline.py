"""Stages on plain values, alone and together: stop after any, replace one, insert one's own."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, List, Optional, Tuple

import pytest
from attrs import evolve

import syncengine
from syncengine import (
    Action,
    ComparisonMode,
    DirectoryScanner,
    Entry,
    FileComparator,
    Guards,
    IgnoreFileManager,
    Kind,
    LocalStorageClient,
    Operation,
    Pipeline,
    RecipeError,
    Side,
    Snapshot,
    Stamp,
    Status,
    SyncEngine,
    SyncInterrupted,
    SyncOperations,
)
from syncengine.core.comparator import Comparison, Equality, SideChange
from syncengine.core.entry import Base, Excluded
from syncengine.core.merge import Joiner, join
from syncengine.core.reconcile import Effect, Policy, reconcile
from syncengine.core.schedule import schedule
from syncengine.pipeline import Job
from syncengine.stages.commit import CommitState
from syncengine.stages.diff import Diff, changes
from syncengine.stages.execute import Execute
from syncengine.stages.job import Tally
from syncengine.stages.learned import Learned
from syncengine.stages.plan import MakePlan
from syncengine.stages.scan import Scan
from tests.trees import exactly, files, write

MIRROR = "source-to-destination"
NAMES = ("scan", "filter", "diff", "plan", "execute", "commit")


@pytest.fixture
def sides(tmp_path: Path) -> Tuple[Path, Path]:
    source = write(tmp_path / "source", {"a": "1", "b.tmp": "2", "d/c": "3, new"})
    return source, write(tmp_path / "destination", {"d/c": "3", "old": "4"})


def engine_of(sides: Tuple[Path, Path], **options: Any) -> SyncEngine:
    return SyncEngine(*sides, mode=MIRROR, ignore="*.tmp", guards=Guards.off(), **options)


def file(path: str, **stamp: Any) -> Entry:
    return Entry(path, Kind.FILE, Stamp(**stamp))


# ------------------------------------------------------------ each stage alone, on plain values


def test_a_comparator_takes_two_or_three_views_of_a_path() -> None:
    old, new = file("f", size=1, etag="old"), file("f", size=2, etag="new")
    base = Base("f", Kind.FILE, old.stamp, old.stamp)

    assert FileComparator()(None, new, old).equality is Equality.DIFFERENT
    assert FileComparator()(base, new, old).source is SideChange.MODIFIED
    assert FileComparator()(base, None, old).source is SideChange.REMOVED
    assert FileComparator(ComparisonMode.SIZE_ONLY)(None, old, file("f", size=1)).equality is Equality.EQUAL


def test_a_scanner_reads_one_client(sides: Tuple[Path, Path]) -> None:
    snapshot = DirectoryScanner(LocalStorageClient(str(sides[0])))()

    assert [(item.path, item.kind.value) for item in snapshot.entries] == [
        ("a", "file"),
        ("b.tmp", "file"),
        ("d", "directory"),
        ("d/c", "file"),
    ]
    assert snapshot.complete


def test_a_filter_takes_any_stream_of_entries() -> None:
    manager = IgnoreFileManager(ignore=["*.tmp"], now=datetime.now(timezone.utc))
    snapshot = Snapshot("anywhere", [file("a", size=1), file("b.tmp", size=1)])

    seen = list(manager.filtered(Side.SOURCE, snapshot))

    assert [(type(item), item.path) for item in seen] == [(Entry, "a"), (Excluded, "b.tmp")]


def test_a_diff_takes_three_sorted_streams() -> None:
    tally = Tally()
    found = list(
        changes(
            [Base("gone", Kind.FILE, Stamp(size=1), Stamp(size=1))],
            [file("a", size=1), file("same", size=2, etag="x")],
            [file("gone", size=1)],
            comparator=FileComparator(),
            joiner=Joiner(),
            answer=lambda question: (),
            tally=tally,
        )
    )

    assert [change.path for change in found] == ["a", "gone", "same"]
    assert (tally.seen[Side.SOURCE], tally.seen[Side.DESTINATION]) == (2, 1)


def test_joining_and_deciding_are_functions_of_values() -> None:
    triples = list(join([], [file("a", size=1)], [file("b", size=1)]))
    assert [(position, source is not None) for position, _, source, _ in triples] == [("a", True), ("b", False)]
    only_there = syncengine.Change(
        "b", None, None, file("b", size=1), Comparison(SideChange.ABSENT, SideChange.CREATED)
    )

    decision = reconcile(only_there, Policy(syncengine.SyncMode.SOURCE_TO_DESTINATION))

    assert (decision.row, decision.effect, decision.retain) == ("T3", Effect.DELETE_DESTINATION, True)


def test_operations_are_ordered_without_any_storage() -> None:
    delete = Operation(Action.DELETE, Kind.FILE, Side.DESTINATION, "a", expect_target=Stamp(size=1))
    create = Operation(Action.CREATE, Kind.FILE, Side.DESTINATION, "z", origin=(Side.SOURCE, "z"))

    order = schedule([delete, create])

    assert (order.writes, order.deletes) == ((create,), (delete,))


def test_single_operations_are_performed_between_any_two_clients(sides: Tuple[Path, Path]) -> None:
    clients = {Side.SOURCE: LocalStorageClient(str(sides[0])), Side.DESTINATION: LocalStorageClient(str(sides[1]))}
    operations = SyncOperations(clients, run_id="20260101T000000Z-00000000")
    create = Operation(Action.CREATE, Kind.FILE, Side.DESTINATION, "a", origin=(Side.SOURCE, "a"))

    assert operations.perform(create).status is Status.DONE
    assert operations.perform(create).status is Status.STALE
    assert files(sides[1])["a"] == "1"


@pytest.mark.parametrize(("age_ns", "racy"), [(1_000_000, tuple(Side)), (10**9, ())])
def test_a_stamp_is_too_young_by_when_it_was_looked_at_however_late_it_is_recorded(
    age_ns: int, racy: Tuple[Side, ...], sides: Tuple[Path, Path]
) -> None:
    written_ns = 1_600_000_000_123_456_789
    os.utime(sides[0] / "a", ns=(written_ns, written_ns))
    clients = {Side.SOURCE: LocalStorageClient(str(sides[0])), Side.DESTINATION: LocalStorageClient(str(sides[1]))}
    found = clients[Side.SOURCE].stat("a")
    assert found is not None
    operations = SyncOperations(clients, "20260101T000000Z-00000000", clock=lambda: (written_ns + age_ns) / 1e9)
    create = Operation(
        Action.CREATE, Kind.FILE, Side.DESTINATION, "a", origin=(Side.SOURCE, "a"), expect_origin=found.stamp
    )
    learned = Learned(syncengine.plan(*sides), clients, lambda _: None, lambda _: ())
    learned.note(operations.perform(create))

    assert learned.rows["a"].racy == racy


# ------------------------------------------------------------------------- stop after any


@pytest.mark.parametrize(
    ("until", "known"),
    [
        ("scan", lambda job: set(job.snapshots) == set(Side) and job.excludes is None),
        ("filter", lambda job: job.excludes is not None),
        (
            "diff",
            lambda job: sorted(change.path for change in job.changes if hasattr(change, "comparison"))[:1] == ["a"],
        ),
        ("plan", lambda job: [operation.path for operation in job.plan] == ["a", "d/c", "old"]),
    ],
)
def test_a_run_can_stop_after_any_stage_that_reads_and_changes_nothing(
    until: str, known: Callable[[Job], bool], sides: Tuple[Path, Path]
) -> None:
    before = exactly(*sides)
    with engine_of(sides) as engine:
        job = engine.pipeline(engine.job(), until=until)
        assert known(job)
        assert job.report is None
    assert exactly(*sides) == before


def test_stages_can_be_called_one_by_one(sides: Tuple[Path, Path]) -> None:
    with engine_of(sides) as engine:
        job = engine.job()
        for stage in engine.pipeline.stages:
            job = stage(job)
        assert job.report is not None
        assert job.report.ok
    assert files(sides[1]) == {"a": "1", "d/c": "3, new"}


def test_executing_without_committing_leaves_the_state_behind_and_never_ahead(sides: Tuple[Path, Path]) -> None:
    with engine_of(sides) as engine:
        assert engine.pipeline(engine.job(), until="execute").report.ok
    assert files(sides[1]) == {"a": "1", "d/c": "3, new"}
    with engine_of(sides) as engine:
        again = engine.sync()
    assert again.outcomes == ()


def test_a_pipeline_can_go_on_after_a_stage(sides: Tuple[Path, Path]) -> None:
    with engine_of(sides) as engine:
        planned = engine.pipeline(engine.job(), until="plan")
        assert engine.pipeline(planned, after="plan").report.ok
    assert files(sides[1]) == {"a": "1", "d/c": "3, new"}


# ---------------------------------------------------------------------- insert and replace


def only_small_changes(job: Job) -> Job:
    assert job.plan is not None
    return evolve(job, plan=job.plan.drop(lambda operation: operation.size > 1))


def test_a_function_between_plan_and_execute_drops_operations(sides: Tuple[Path, Path]) -> None:
    with engine_of(sides, pipeline=Pipeline().insert_after("plan", only_small_changes)) as engine:
        report = engine.sync()

    assert [outcome.operation.path for outcome in report.outcomes] == ["a", "old"]
    assert files(sides[1]) == {"a": "1", "d/c": "3"}


@pytest.mark.parametrize("approved", [True, False])
def test_an_approval_step_lets_a_plan_pass_or_stops_it(approved: bool, sides: Tuple[Path, Path]) -> None:
    def approval(job: Job) -> Job:
        if not approved:
            raise SyncInterrupted(f"{len(job.plan)} operations were not approved")
        return job.with_(plan=job.plan.approve(by="alice"))

    before = exactly(*sides)
    with engine_of(sides, pipeline=Pipeline().insert_before("execute", approval)) as engine:
        if approved:
            assert engine.sync().plan.approvals[0].by == "alice"
            return
        with pytest.raises(SyncInterrupted, match="3 operations were not approved"):
            engine.sync()
    assert exactly(*sides) == before


@pytest.mark.parametrize("place", NAMES)
def test_a_function_can_stand_between_any_two_stages(place: str, sides: Tuple[Path, Path]) -> None:
    seen: List[str] = []

    def watching(job: Job) -> Job:
        seen.append(place)
        return job

    for pipeline in (Pipeline().insert_before(place, watching), Pipeline().insert_after(place, watching)):
        with engine_of(sides, pipeline=pipeline) as engine:
            assert engine.sync().ok
    assert seen == [place, place]
    assert files(sides[1]) == {"a": "1", "d/c": "3, new"}


def test_a_stage_of_ones_own_can_change_the_stream_of_one_side(sides: Tuple[Path, Path]) -> None:
    def without_d(job: Job) -> Job:
        items = [item for item in job.snapshots[Side.SOURCE] if not item.path.startswith("d")]
        return job.with_(snapshots={**job.snapshots, Side.SOURCE: Snapshot("filtered", items)})

    with engine_of(sides, pipeline=Pipeline().insert_after("scan", without_d)) as engine:
        assert [(each.action.value, each.path) for each in engine.plan()] == [
            ("create", "a"),
            ("delete", "d"),
            ("delete", "d/c"),
            ("delete", "old"),
        ]


def test_a_stage_can_be_replaced_and_left_out(sides: Tuple[Path, Path]) -> None:
    always_different = Diff(comparator=AlwaysDifferent())
    write(sides[1], {"a": "1"})
    with engine_of(sides, pipeline=Pipeline().replace("diff", always_different)) as engine:
        assert [operation.path for operation in engine.plan()] == ["a", "d/c", "old"]
    with engine_of(sides, pipeline=Pipeline().replace("filter")) as engine:
        assert "b.tmp" in [operation.path for operation in engine.plan()]


class AlwaysDifferent(FileComparator):
    def equality(self, source: Entry, destination: Entry) -> Tuple[Equality, bool]:
        return Equality.DIFFERENT, False


def test_a_plan_is_applied_through_the_pipeline_of_its_engine(sides: Tuple[Path, Path]) -> None:
    done: List[Optional[int]] = []

    def notify(job: Job) -> Job:
        done.append(len(job.report.outcomes) if job.report is not None else None)
        return job

    with engine_of(sides, pipeline=Pipeline().insert_after("commit", notify)) as engine:
        engine.apply(engine.plan())
    assert done == [3]


def test_a_pipeline_that_ends_early_says_what_it_lacks(sides: Tuple[Path, Path]) -> None:
    short = Pipeline((Scan(), Diff(), MakePlan()))
    with engine_of(sides, pipeline=short) as engine, pytest.raises(RecipeError, match="ended without a report"):
        engine.sync()


def test_a_pipeline_is_a_value_and_names_its_stages() -> None:
    pipeline = Pipeline()
    longer = pipeline.insert_after("plan", only_small_changes)

    assert pipeline.names == NAMES
    assert longer.names == ("scan", "filter", "diff", "plan", "only_small_changes", "execute", "commit")
    assert Pipeline([Execute(), CommitState()]).names == ("execute", "commit")
    with pytest.raises(RecipeError, match=r"no stage 'filters'; it has: scan, filter"):
        pipeline.insert_before("filters", only_small_changes)
