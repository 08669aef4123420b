"""Applying: plans travel between processes, meet a changed world, fail in the middle, and lose nothing."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import tarfile
import threading
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import fsspec
import pytest
from attrs import evolve, frozen
from upath import UPath

import syncengine
from syncengine import (
    Action,
    GuardError,
    Guards,
    Operation,
    Plan,
    PlanFormatError,
    RecipeError,
    Report,
    StalePlanError,
    Status,
    SyncEngine,
    SyncInterrupted,
)
from syncengine.core.entry import Kind, Side
from syncengine.errors import AccessDenied
from syncengine.events import OperationFinished
from syncengine.storage.filesystem import FsspecStorageClient
from syncengine.storage.location import locate
from tests.servers import ftp_server
from tests.trees import (
    LocalWithHook,
    aged,
    everything,
    exactly,
    files,
    output_of,
    python,
    remembered,
    trash,
    tree,
    write,
)

MIRROR = "source-to-destination"
APPLY_ELSEWHERE = """
import sys, syncengine
report = syncengine.apply(sys.argv[1])
print(report.ok, len(report.outcomes), *report.notes)
"""


@pytest.fixture
def sides(tmp_path: Path) -> Tuple[Path, Path]:
    return write(tmp_path / "source", {}), write(tmp_path / "destination", {})


def actions(plan: Plan) -> List[Tuple[str, str]]:
    return [(operation.action.value, operation.path) for operation in plan]


def statuses(report: Report) -> Dict[str, Status]:
    return {outcome.operation.path: outcome.status for outcome in report.outcomes}


def failing_at(path: str, *, call: str = "write", error: Optional[BaseException] = None) -> Callable[[str, str], None]:
    def before(called: str, at: str) -> None:
        if (called, at) == (call, path):
            raise error or AccessDenied(f"{at}: refused", path=at)

    return before


def interrupting_at(number: int) -> Callable[[str, str], None]:
    """Return a hook that presses Ctrl-C, once, at the call of that number."""
    calls: List[str] = []

    def before(_: str, path: str) -> None:
        calls.append(path)
        if len(calls) == number:
            raise KeyboardInterrupt

    return before


# ------------------------------------------------------------- another process, another time


def test_a_saved_plan_is_applied_by_another_process_and_a_second_time_does_nothing(
    sides: Tuple[Path, Path], tmp_path: Path
) -> None:
    source, destination = sides
    write(source, {"a": "1", "d/b": "2", "empty/inner": None})
    plan = syncengine.plan(source, destination, mode=MIRROR)
    plan.save(tmp_path / "plan.json")

    assert output_of(APPLY_ELSEWHERE, tmp_path / "plan.json") == "True 3"
    assert tree(destination) == tree(source)
    before = exactly(destination)
    assert output_of(APPLY_ELSEWHERE, tmp_path / "plan.json").startswith("True 3 this plan was applied before")
    assert exactly(destination) == before
    assert syncengine.plan(source, destination, mode=MIRROR).empty


def test_plan_save_load_apply_gives_what_sync_gives(tmp_path: Path) -> None:
    results = []
    for name in ("by plan", "by sync"):
        source = write(tmp_path / name / "s", {"same": "1", "new": "2", "changed": "new content"})
        destination = write(tmp_path / name / "d", {"same": "1", "gone": "3", "changed": "old"})
        if name == "by plan":
            syncengine.plan(source, destination, mode=MIRROR).save(tmp_path / "plan.json")
            syncengine.apply(tmp_path / "plan.json").raise_for_status()
        else:
            syncengine.sync(source, destination, mode=MIRROR).raise_for_status()
        again = syncengine.plan(source, destination, mode=MIRROR)
        results.append((tree(destination), trash(destination), again.empty, again.unchanged))

    assert results[0] == results[1]


def test_agreements_alone_are_recorded_by_apply(sides: Tuple[Path, Path], tmp_path: Path) -> None:
    source, destination = sides
    write(source, {"a": "1", "b": "2"})
    write(destination, {"a": "1", "b": "2"})
    plan = syncengine.plan(source, destination, mode=MIRROR)
    assert (plan.empty, len(plan.agreements)) == (True, 2)
    plan.save(tmp_path / "plan.json")

    assert syncengine.apply(tmp_path / "plan.json").recorded == 2


def test_a_file_changed_in_between_makes_the_plan_stale_and_nothing_is_written(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"a": "1", "b": "2"})
    write(destination, {"b": "old, and longer"})
    plan = syncengine.plan(source, destination, mode=MIRROR)
    write(destination, {"b": "edited meanwhile"})
    before = exactly(source, destination)

    with pytest.raises(StalePlanError, match="b at the destination: it has changed") as caught:
        syncengine.apply(plan)

    assert [operation.path for operation, _ in caught.value.stale] == ["b"]
    assert exactly(source, destination) == before


@pytest.mark.parametrize("edited", ["source", "destination"])
def test_with_on_stale_skip_the_rest_goes_on_and_the_edit_survives(sides: Tuple[Path, Path], edited: str) -> None:
    source, destination = sides
    write(source, {"a": "1", "b": "2"})
    write(destination, {"b": "old, and longer"})
    plan = syncengine.plan(source, destination, mode=MIRROR)
    write(source if edited == "source" else destination, {"b": "edited meanwhile"})

    report = syncengine.apply(plan, on_stale="skip")

    assert statuses(report) == {"a": Status.DONE, "b": Status.STALE}
    assert report.exit_code == 3
    assert files(destination)["b"] == ("edited meanwhile" if edited == "destination" else "old, and longer")
    syncengine.sync(source, destination, mode=MIRROR)
    assert files(destination) == files(source)
    assert edited == "source" or trash(destination) == {"b": "edited meanwhile"}


def test_another_run_in_between_makes_a_plan_stale_even_where_the_files_look_alike(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"a": "1"})
    plan = syncengine.plan(source, destination, mode=MIRROR)
    write(source, {"b": "2"})
    syncengine.sync(source, destination, mode=MIRROR)
    os.remove(destination / "a")

    with pytest.raises(StalePlanError, match="another run has synced this path"):
        syncengine.apply(plan)


def test_a_plan_is_not_applied_to_a_place_that_is_gone(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"a": "1", "b": "2"})
    syncengine.sync(source, destination, mode=MIRROR)
    write(source, {"c": "3"})
    plan = syncengine.plan(source, destination, mode=MIRROR)
    shutil.rmtree(destination)

    with pytest.raises(syncengine.ScanError, match="does not exist any more"):
        syncengine.apply(plan)
    assert not destination.exists()


def test_a_reset_state_makes_a_plan_stale(sides: Tuple[Path, Path], isolated_user: Path) -> None:
    source, destination = sides
    write(source, {"a": "1"})
    syncengine.sync(source, destination, mode=MIRROR)
    write(source, {"b": "2"})
    plan = syncengine.plan(source, destination, mode=MIRROR)
    shutil.rmtree(isolated_user / "syncengine-state")
    write(source, {"c": "3"})
    syncengine.sync(source, destination, mode=MIRROR, ignore="b")

    with pytest.raises(StalePlanError, match="it was reset since"):
        syncengine.apply(plan)


def test_a_one_way_plan_without_its_state_retains_everything_it_destroys(
    sides: Tuple[Path, Path], isolated_user: Path
) -> None:
    source, destination = sides
    write(source, {"a": "old", "gone": "1", "kept": "2"})
    syncengine.sync(source, destination, mode=MIRROR)
    write(source, {"a": "new content"})
    os.remove(source / "gone")
    plan = syncengine.plan(source, destination, mode=MIRROR)
    assert not any(operation.retain for operation in plan)

    syncengine.apply(plan, state=None).raise_for_status()

    assert trash(destination) == {"a": "old", "gone": "1"}


def test_an_engine_plans_and_applies_again_and_again(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    with SyncEngine(source, destination, mode=MIRROR) as engine:
        for number in range(4):
            write(source, {f"file {number}": str(number)})
            plan = engine.plan()
            report = engine.apply(plan) if number % 2 else engine.sync()
            assert statuses(report) == {f"file {number}": Status.DONE}

        assert engine.plan().empty


def test_applying_through_an_engine_tells_its_observer(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"a": "1"})
    seen: List[str] = []

    class Watching:
        def on(self, event: Any) -> None:
            seen.append(type(event).__name__)

    with SyncEngine(source, destination, observer=Watching()) as engine:
        engine.apply(engine.plan())

    assert seen == ["PlanMade", "ApplyStarted", "OperationFinished", "ApplyFinished"]


def test_an_observer_that_raises_is_dropped_and_cannot_fail_a_sync(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"a": "1"})

    class Raising:
        def on(self, event: Any) -> None:
            raise ValueError("an observer's own fault")

    assert syncengine.sync(source, destination, observer=Raising()).ok


# ------------------------------------------------------------------------- failures


def test_deletions_come_last_and_are_withheld_after_a_failed_write_on_their_side(tmp_path: Path) -> None:
    source = write(tmp_path / "s", {"a": "1", "z": "2", "kept": "3"})
    folder = write(tmp_path / "d", {"b": "old", "c/d": "old", "kept": "3"})
    destination = LocalWithHook(folder, failing_at("z"))

    report = syncengine.sync(source, destination, mode=MIRROR, guards=Guards.off())

    assert statuses(report) == {
        "a": Status.DONE,
        "z": Status.FAILED,
        "b": Status.WITHHELD,
        "c": Status.WITHHELD,
        "c/d": Status.WITHHELD,
    }
    assert files(folder) == {"a": "1", "b": "old", "c/d": "old", "kept": "3"}
    assert (report.exit_code, report.reasons["denied"]) == (3, 1)
    with pytest.raises(syncengine.PartialApplyError):
        report.raise_for_status()


def test_remaining_applies_cleanly_and_is_no_new_plan_to_the_state(tmp_path: Path) -> None:
    source = write(tmp_path / "s", {"a": "1", "z": "2", "kept": "3"})
    folder = write(tmp_path / "d", {"b": "old", "kept": "3"})
    broken: List[Callable[[str, str], None]] = [failing_at("z")]
    destination = LocalWithHook(folder, lambda call, path: broken[0](call, path))
    first = syncengine.sync(source, destination, mode=MIRROR, guards=Guards.off())
    broken[0] = lambda call, path: None

    remaining = first.remaining()
    assert actions(remaining) == [("delete", "b"), ("create", "z")]
    second = syncengine.apply(remaining)

    assert second.ok
    assert files(folder) == files(source)
    assert syncengine.plan(source, destination, mode=MIRROR).empty


def test_what_remains_of_a_loaded_plan_needs_no_options_again(tmp_path: Path) -> None:
    source = write(tmp_path / "s", {"a": "1", "b": "2"})
    served = write(tmp_path / "served", {"data": None})
    with ftp_server(served) as url:
        syncengine.plan(source, f"{url}/data").save(tmp_path / "plan.json")
        options = {"username": "someone", "password": "planted-ftp-secret"}
        write(source, {"b": "changed"})
        report = syncengine.apply(tmp_path / "plan.json", destination_options=options, on_stale="skip")
        assert statuses(report) == {"a": Status.DONE, "b": Status.STALE}
        write(source, {"b": "2"})
        again = syncengine.apply(report.remaining(), on_stale="skip")
    assert list(statuses(again)) == ["b"]


def test_a_plan_outlives_its_engine(tmp_path: Path) -> None:
    source = write(tmp_path / "s", {"a": "1"})
    served = write(tmp_path / "served", {"data": None})
    with ftp_server(served) as url:
        with SyncEngine(source, f"{url}/data") as engine:
            plan = engine.plan()
        assert syncengine.apply(plan).ok
    assert files(served / "data") == {"a": "1"}


def test_a_loaded_plan_for_a_client_of_ones_own_asks_for_the_client(tmp_path: Path) -> None:
    source = write(tmp_path / "s", {"a": "1"})
    destination = LocalWithHook(tmp_path / "d", lambda call, path: None)
    saved = syncengine.plan(source, destination).to_json()

    with pytest.raises(RecipeError, match="give it again: relocate="):
        syncengine.apply(Plan.from_json(saved))
    report = syncengine.apply(Plan.from_json(saved), relocate={"destination": destination})
    assert (report.ok, report.recorded) == (True, 1)


@pytest.mark.parametrize(
    "error", [AccessDenied("no"), ValueError("a client's own fault"), OSError(5, "input/output error")], ids=repr
)
def test_whatever_a_client_raises_one_file_does_not_stop_the_others(tmp_path: Path, error: Exception) -> None:
    source = write(tmp_path / "s", {"a": "1", "b": "2", "c": "3"})
    destination = LocalWithHook(tmp_path / "d", failing_at("b", error=error))

    report = syncengine.sync(source, destination, retries=0)

    assert statuses(report) == {"a": Status.DONE, "b": Status.FAILED, "c": Status.DONE}
    assert files(tmp_path / "d") == {"a": "1", "c": "3"}


def test_a_throttled_write_is_tried_again(tmp_path: Path) -> None:
    source = write(tmp_path / "s", {"a": "1"})
    calls: List[str] = []

    def throttled_once(call: str, path: str) -> None:
        calls.append(call)
        if len(calls) == 1:
            raise syncengine.Throttled("slow down", path=path)

    report = syncengine.sync(source, LocalWithHook(tmp_path / "d", throttled_once), retries=1)

    assert (report.ok, report.outcomes[0].attempts) == (True, 2)


# ------------------------------------------------------------------------- interrupts


def test_an_interrupt_gives_a_report_and_the_next_run_completes(tmp_path: Path) -> None:
    source = write(tmp_path / "s", {name: name for name in "abcde"})
    destination = LocalWithHook(tmp_path / "d", interrupting_at(3))

    with SyncEngine(source, destination, mode=MIRROR) as engine:
        with pytest.raises(SyncInterrupted) as caught:
            engine.sync()
        report = caught.value.report
        assert syncengine.last_report() is report
        assert statuses(report) == {
            "a": Status.DONE,
            "b": Status.DONE,
            "c": Status.CANCELLED,
            "d": Status.CANCELLED,
            "e": Status.CANCELLED,
        }
        assert (report.exit_code, report.interrupted, files(tmp_path / "d")) == (130, True, {"a": "a", "b": "b"})

        assert statuses(engine.sync()) == dict.fromkeys("cde", Status.DONE)
    assert files(tmp_path / "d") == files(source)


def test_an_interrupted_apply_of_a_saved_plan_raises_with_its_report(tmp_path: Path) -> None:
    source = write(tmp_path / "s", {"a": "1", "b": "2"})
    plan = syncengine.plan(source, LocalWithHook(tmp_path / "d", interrupting_at(2)))

    with pytest.raises(SyncInterrupted) as caught:
        syncengine.apply(plan)
    assert statuses(caught.value.report) == {"a": Status.DONE, "b": Status.CANCELLED}


def test_an_interrupt_of_many_workers_reports_exactly_what_was_done(tmp_path: Path) -> None:
    source = write(tmp_path / "s", {f"file {number}": "content" for number in range(100)})
    memory = fsspec.filesystem("memory")

    class Pressing:
        seen = 0

        def on(self, event: Any) -> None:
            self.seen += 1
            if self.seen == 20:
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(SyncInterrupted) as caught:
        syncengine.sync(source, "memory://bucket", workers=8, observer=Pressing())

    done = {outcome.operation.path for outcome in caught.value.report.outcomes if outcome.status is Status.DONE}
    assert {path.rpartition("/")[2] for path in memory.find("/bucket")} == done
    assert 15 < len(done) < 100
    rest = syncengine.sync(source, "memory://bucket", workers=8)
    assert (rest.ok, len(rest.outcomes)) == (True, 100 - len(done))


class Pressing:
    """Presses Ctrl-C once more, where nobody takes it any longer, at the first operation that is told of as done."""

    def __init__(self, wait: Callable[[], None]) -> None:
        self._wait, self._pressed = wait, False

    def on(self, event: Any) -> None:
        if isinstance(event, OperationFinished) and not self._pressed:
            self._pressed = True
            self._wait()
            raise KeyboardInterrupt


def test_a_second_interrupt_keeps_what_workers_have_done_meanwhile_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = threading.Semaphore(0)
    source = write(tmp_path / "s", {f"file {number}": "content" for number in range(30)})
    destination = locate("memory://bucket").open()
    monkeypatch.setattr(destination, "capabilities", evolve(destination.capabilities, threads=4))
    plainly = FsspecStorageClient.write

    def counted(self: Any, *arguments: Any, **options: Any) -> Any:
        stamp = plainly(self, *arguments, **options)
        written.release()
        return stamp

    def wait() -> None:
        for _ in range(20):
            assert written.acquire(timeout=20)

    monkeypatch.setattr(FsspecStorageClient, "write", counted)
    with pytest.raises(SyncInterrupted) as caught:
        syncengine.sync(source, destination, observer=Pressing(wait))

    done = {path for path, status in statuses(caught.value.report).items() if status is Status.DONE}
    assert done == {path.rpartition("/")[2] for path in fsspec.filesystem("memory").find("/bucket")}
    assert len(done) >= 20


def test_a_second_interrupt_keeps_a_change_of_kind_whole_in_the_report(tmp_path: Path) -> None:
    source = write(tmp_path / "s", {"p": "a file now"})
    destination = write(tmp_path / "d", {"p/one": "1", "p/two": "2"})

    with pytest.raises(SyncInterrupted) as caught:
        syncengine.sync(source, destination, mode=MIRROR, observer=Pressing(lambda: None))

    assert files(destination) == {"p": "a file now"}
    assert set(statuses(caught.value.report).values()) == {Status.DONE}


def test_a_cancel_token_stops_a_run_from_elsewhere_and_stays_set(tmp_path: Path) -> None:
    source = write(tmp_path / "s", {"a": "1", "b": "2"})
    engine = SyncEngine(source, tmp_path / "d")
    hooked = LocalWithHook(tmp_path / "d", lambda call, path: engine.cancel.set())
    engine.destination = hooked

    with engine, pytest.raises(SyncInterrupted) as caught:
        engine.sync()
    assert statuses(caught.value.report) == {"a": Status.DONE, "b": Status.CANCELLED}
    assert engine.cancel.is_set()


INTERRUPTED = """
import sys, syncengine
from tests.trees import LocalWithHook

calls = []
def before(call, path):
    calls.append(path)
    if len(calls) == 2:
        print("reached", flush=True)
        sys.stdin.readline()

try:
    syncengine.sync(sys.argv[1], LocalWithHook(sys.argv[2], before))
except syncengine.SyncInterrupted as error:
    print(*(outcome.status.value for outcome in error.report.outcomes))
    sys.exit(error.exit_code)
"""


def test_ctrl_c_lets_the_running_file_finish_reports_and_leaves_no_lock(tmp_path: Path) -> None:
    source = write(tmp_path / "s", {name: name for name in "abcd"})
    with python(INTERRUPTED, source, tmp_path / "d") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reached\n"
        process.send_signal(signal.SIGINT)
        said, complained = process.communicate("go on\n", timeout=60)

    assert (process.returncode, said.split()) == (130, ["done", "done", "cancelled", "cancelled"]), complained
    assert files(tmp_path / "d") == {"a": "a", "b": "b"}
    report = syncengine.sync(source, tmp_path / "d")
    assert statuses(report) == {"c": Status.DONE, "d": Status.DONE}


# ------------------------------------------------------------- what is kept: semantics 1.3

MODES = ("source-to-destination", "source-backup", "destination-to-source", "destination-backup")
# The one-way columns of the decision table, in the order of MODES; R marks a version that must be kept.
TABLE = {
    "T2": (None, "C", ("→D", "→D", "✗S R", "—")),
    "T3": (None, "D", ("✗D R", "—", "→S", "→S")),
    "T4": (None, "equal", ("—", "—", "—", "—")),
    "T5": (None, "differ", ("→D R", "→D R", "→S R", "→S R")),
    "T6": ("base", "= =", ("—", "—", "—", "—")),
    "T7": ("base", "M =", ("→D", "→D", "→S R", "→S R")),
    "T8": ("base", "= M", ("→D R", "→D R", "→S", "→S")),
    "T9": ("base", "M M equal", ("—", "—", "—", "—")),
    "T10": ("base", "M M", ("→D R", "→D R", "→S R", "→S R")),
    "T11": ("base", "X =", ("✗D", "—", "→S", "→S")),
    "T12": ("base", "= X", ("→D", "→D", "✗S", "—")),
    "T13": ("base", "X X", ("—", "—", "—", "—")),
    "T14": ("base", "X M", ("✗D R", "—", "→S", "→S")),
    "T15": ("base", "M X", ("→D", "→D", "✗S R", "—")),
}
_NOW: Dict[str, Tuple[Optional[str], Optional[str]]] = {
    "C": ("at source", None),
    "D": (None, "at the destination"),
    "equal": ("equal", "equal"),
    "differ": ("at source", "at the destination"),
    "= =": ("base", "base"),
    "M =": ("at source", "base"),
    "= M": ("base", "at the destination"),
    "M M equal": ("equal", "equal"),
    "M M": ("at source", "at the destination"),
    "X =": (None, "base"),
    "= X": ("base", None),
    "X X": (None, None),
    "X M": (None, "at the destination"),
    "M X": ("at source", None),
}


@frozen
class Row:
    """One cell of the table: what both sides held and hold, what comes of it, and what has to be kept."""

    name: str
    mode: str
    base: Optional[str]
    now: Tuple[Optional[str], Optional[str]]
    effect: str

    @property
    def target(self) -> Optional[int]:
        return {"S": 0, "D": 1}.get(self.effect[1:2])

    @property
    def destroyed(self) -> Optional[str]:
        return None if self.target is None else self.now[self.target]

    @property
    def after(self) -> Tuple[Optional[str], Optional[str]]:
        if self.target is None:
            return self.now
        left = None if self.effect.startswith("✗") else self.now[1 - self.target]
        return (left, self.now[1]) if self.target == 0 else (self.now[0], left)


ROWS = [
    Row(name, mode, base, _NOW[now], effects[column])
    for name, (base, now, effects) in TABLE.items()
    for column, mode in enumerate(MODES)
]


def prepared(rows: List[Row], folder: Path, *, dormant: bool = False) -> Tuple[Path, Path]:
    """Bring both sides into the state that *rows* begin with: each has a file of its own."""
    places = write(folder / "s", {"anchor": "1"}), write(folder / "d", {"anchor": "1"})
    for place in places:
        write(place, {f"{row.name}/f": row.base for row in rows if row.base is not None})
    syncengine.sync(*places, mode="source-backup").raise_for_status()
    if dormant:
        syncengine.sync(*places, mode="source-backup", ignore="f").raise_for_status()
    for row in rows:
        for place, content in zip(places, row.now):
            path = place / row.name / "f"
            if content is None and path.exists():
                path.unlink()
            elif content not in (None, "base"):
                write(place, {f"{row.name}/f": content})
    return places


def outcome_of(row: Row, places: Tuple[Path, Path]) -> Tuple[Tuple[Optional[str], ...], List[str]]:
    after = tuple(files(place).get(f"{row.name}/f") for place in places)
    return after, [content for place in places for path, content in trash(place).items() if path == f"{row.name}/f"]


@pytest.mark.parametrize("retain", ["unsynced", "all", "none"])
@pytest.mark.parametrize("mode", MODES)
def test_every_row_of_the_table_does_what_it_says_and_keeps_what_nobody_agreed_to_lose(
    mode: str, retain: str, tmp_path: Path
) -> None:
    rows = [row for row in ROWS if row.mode == mode]
    places = prepared(rows, tmp_path)

    syncengine.sync(*places, mode=mode, retain=retain, guards=Guards.off()).raise_for_status()

    for row in rows:
        keeps = {"unsynced": row.effect.endswith("R"), "all": row.destroyed is not None, "none": False}[retain]
        assert (row, *outcome_of(row, places)) == (row, row.after, [row.destroyed] if keeps else [])
    assert syncengine.plan(*places, mode=mode, guards=Guards.off()).empty


@pytest.mark.parametrize("mode", MODES)
def test_a_dormant_row_keeps_every_version_because_it_was_promised_to_be_kept(mode: str, tmp_path: Path) -> None:
    rows = [row for row in ROWS if row.mode == mode and row.base is not None]
    places = prepared(rows, tmp_path, dormant=True)

    syncengine.sync(*places, mode=mode, guards=Guards.off()).raise_for_status()

    for row in rows:
        kept = [] if row.destroyed is None else [row.destroyed]
        assert (row, *outcome_of(row, places)) == (row, row.after, kept)


@pytest.mark.parametrize("backup", ["source-backup", "destination-backup"])
def test_a_version_that_a_backup_kept_is_retained_when_its_name_comes_back(backup: str, tmp_path: Path) -> None:
    leading, kept = (0, 1) if backup == "source-backup" else (1, 0)
    places = write(tmp_path / "s", {"f": "first", "x": "1"}), write(tmp_path / "d", {})
    syncengine.sync(*places, mode="source-backup")
    (places[leading] / "f").unlink()
    syncengine.sync(*places, mode=backup).raise_for_status()
    assert files(places[kept])["f"] == "first"
    write(places[leading], {"f": "second, another file"})

    syncengine.sync(*places, mode=backup).raise_for_status()

    assert files(places[kept])["f"] == "second, another file"
    assert trash(places[kept]) == {"f": "first"}


def test_a_weak_agreement_is_retained_when_it_is_replaced(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"f": "one", "x": "1"})
    write(destination, {"f": "two"})
    syncengine.sync(source, destination, mode=MIRROR, compare="size-only").raise_for_status()
    write(source, {"f": "three and more"})

    syncengine.sync(source, destination, mode=MIRROR, compare="size-only").raise_for_status()

    assert trash(destination) == {"f": "two"}


def test_forcing_keeps_a_version_that_was_never_proved_equal(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"f": "one"})
    write(destination, {"f": "two"})

    syncengine.sync(source, destination, compare="size-only", force=True).raise_for_status()

    assert (files(destination), trash(destination)) == ({"f": "one"}, {"f": "two"})


@pytest.mark.parametrize("where", ["local", "memory"])
def test_the_trash_may_be_at_another_url(where: str, sides: Tuple[Path, Path], tmp_path: Path) -> None:
    source, destination = sides
    write(source, {"kept": "1"})
    write(destination, {"f": "only here", "d/g": "here too"})
    place = str(tmp_path / "bin") if where == "local" else "memory://bin"

    report = syncengine.sync(source, destination, mode=MIRROR, trash=place, guards=Guards.off())

    report.raise_for_status()
    filesystem, root = fsspec.core.url_to_fs(place)
    retained = {outcome.operation.path: outcome.retained_at for outcome in report.outcomes if outcome.retained_at}
    assert set(retained) == {"f", "d/g"}
    assert {path: filesystem.cat_file(f"{root}/{at}") for path, at in retained.items()} == {
        "f": b"only here",
        "d/g": b"here too",
    }
    assert everything(destination) == {"kept": "1"}


def test_a_trash_inside_a_side_is_refused(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    with pytest.raises(RecipeError, match="the trash would be part of the sync"):
        syncengine.plan(source, destination, trash=destination / "bin")


# ------------------------------------------------------------------- kinds that change


def _changed_kinds(folder: Path) -> Tuple[Path, Path]:
    source = write(folder / "s", {"p/a": "in p", "p/q/b": "deeper", "f": "file f", "x": "1"})
    destination = folder / "d"
    syncengine.sync(source, destination, mode=MIRROR).raise_for_status()
    shutil.rmtree(source / "p")
    (source / "f").unlink()
    write(source, {"p": "p is a file", "f/in": "f is a directory"})
    # Nobody agreed to lose these.
    write(destination, {"f": "file f, edited here", "p/q/b": "deeper, edited here"})
    return source, destination


def test_kind_changes_reach_a_mirror_and_are_quiet_afterwards(tmp_path: Path) -> None:
    source, destination = _changed_kinds(tmp_path)

    syncengine.sync(source, destination, mode=MIRROR, guards=Guards.off()).raise_for_status()

    assert tree(destination) == tree(source)
    assert trash(destination) == {"f": "file f, edited here", "p/q/b": "deeper, edited here"}
    assert syncengine.plan(source, destination, mode=MIRROR).empty


def _changes_of(folder: Path) -> int:
    source, destination = _changed_kinds(folder)
    calls: List[str] = []
    hooked = LocalWithHook(destination, lambda call, path: calls.append(call))
    syncengine.sync(source, hooked, mode=MIRROR, guards=Guards.off()).raise_for_status()
    return len(calls)


MORE_STEPS_THAN_THERE_ARE = 15


@pytest.mark.parametrize("error", [AccessDenied("refused"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("step", range(1, MORE_STEPS_THAN_THERE_ARE + 1))
def test_a_kind_change_that_fails_at_any_step_loses_nothing_and_reports_what_is_there(
    step: int, error: BaseException, tmp_path: Path
) -> None:
    source, destination = _changed_kinds(tmp_path)
    old = files(destination)
    calls: List[str] = []

    def before(call: str, path: str) -> None:
        calls.append(f"{call} {path}")
        if len(calls) == step:
            raise error

    try:
        report = syncengine.sync(source, LocalWithHook(destination, before), mode=MIRROR, guards=Guards.off())
    except SyncInterrupted as interrupted:
        report = interrupted.report

    now, kept = tree(destination), trash(destination)
    assert len(report.outcomes) == len(report.plan.operations)
    for outcome in report.outcomes:
        assert _as_reported(outcome, now, everything(destination), old, source), (calls, outcome)
    unsynced = {"file f, edited here", "deeper, edited here"}
    assert unsynced <= {*now.values(), *kept.values()}
    assert report.ok is (step > len(calls))

    syncengine.sync(source, destination, mode=MIRROR, guards=Guards.off()).raise_for_status()
    assert tree(destination) == tree(source)
    assert unsynced <= set(trash(destination).values())


def _as_reported(
    outcome: Any, now: Dict[str, Optional[str]], whole: Dict[str, Optional[str]], old: Dict[str, str], source: Path
) -> bool:
    operation = outcome.operation
    if outcome.status is not Status.DONE:
        stands = now.get(operation.path, "absent")
        before = old.get(operation.path, None if _was_directory(operation) else "absent")
        return stands == before or (outcome.retained_at is not None and whole[outcome.retained_at] == before)
    if operation.action is Action.DELETE:
        return operation.path not in now
    return operation.path in now and now[operation.path] == tree(source)[operation.path]


def _was_directory(operation: Operation) -> bool:
    return operation.kind_before is Kind.DIRECTORY


@pytest.mark.parametrize("step", range(1, MORE_STEPS_THAN_THERE_ARE + 1))
def test_what_remains_of_an_interrupted_kind_change_applies_cleanly(step: int, tmp_path: Path) -> None:
    source, destination = _changed_kinds(tmp_path)
    hooked = LocalWithHook(destination, interrupting_at(step))
    with SyncEngine(source, hooked, mode=MIRROR, guards=Guards.off()) as engine:
        try:
            report = engine.sync()
        except SyncInterrupted as interrupted:
            report = interrupted.report

    assert syncengine.apply(report.remaining()).ok
    assert tree(destination) == tree(source)


def test_there_are_fewer_steps_than_are_tried(tmp_path: Path) -> None:
    assert 8 <= _changes_of(tmp_path) < MORE_STEPS_THAN_THERE_ARE


def test_what_cannot_be_put_back_is_reported_with_the_place_where_it_is_kept(tmp_path: Path) -> None:
    source, destination = _changed_kinds(tmp_path)

    def before(call: str, path: str) -> None:
        if (call, path) in (("write", "p"), ("move", "p/q/b")):
            raise AccessDenied(f"{path}: refused", path=path)

    report = syncengine.sync(source, LocalWithHook(destination, before), mode=MIRROR, guards=Guards.off())

    stranded = next(each for each in report.outcomes if each.operation.path == "p/q/b")
    assert stranded.status is Status.FAILED
    assert stranded.problem is not None
    assert "could not be put back" in stranded.problem.message
    assert stranded.retained_at is not None
    assert (destination / stranded.retained_at).read_text() == "deeper, edited here"


def test_a_directory_that_hides_something_excluded_is_not_replaced_by_a_file(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"p": "a file", "x": "1"})
    write(destination, {"p/sub/b": "1", "p/keep.tmp": "excluded"})
    before = tree(destination)

    report = syncengine.sync(source, destination, mode=MIRROR, ignore="*.tmp", guards=Guards.off())

    assert report.exit_code == 4
    assert [conflict.path for conflict in report.plan.unresolved] == ["p"]
    assert tree(destination) == {**before, "x": "1"}


@pytest.mark.parametrize("mode", ["source-backup", "destination-backup"])
def test_a_backup_never_replaces_one_kind_by_another(mode: str, sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"p": "a file", "q/in": "1"})
    write(destination, {"p/in": "1", "q": "a file"})
    before = tree(source), tree(destination)

    report = syncengine.sync(source, destination, mode=mode)

    assert (report.exit_code, tree(source), tree(destination)) == (4, *before)


# ------------------------------------------------------------------ settings that decide


@pytest.mark.parametrize("mode", [MIRROR, "source-backup"])
def test_a_path_map_is_one_to_one_and_its_second_run_is_empty(mode: str, sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"raw/a.csv": "a", "raw/x/b.csv": "b", "c": "c"})
    aged(source)
    options: Any = {"mode": mode, "path_map": {"raw": "landing/raw"}, "guards": Guards.off()}

    assert syncengine.sync(source, destination, **options).ok
    assert files(destination) == {"landing/raw/a.csv": "a", "landing/raw/x/b.csv": "b", "c": "c"}
    second = syncengine.plan(source, destination, **options)
    assert (actions(second), len(second.agreements), second.unchanged) == ([], 0, 3)
    write(source, {"raw/a.csv": "changed"})
    (source / "raw/x/b.csv").unlink()
    assert syncengine.sync(source, destination, **options).ok
    assert files(destination).get("landing/raw/a.csv") == "changed"
    assert ("landing/raw/x/b.csv" in files(destination)) is (mode == "source-backup")
    assert trash(destination) == {}


def test_a_path_map_can_put_a_file_where_a_directory_stands(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"a": "a file", "x": "1"})
    write(destination, {"b/c/d": "old"})

    report = syncengine.sync(source, destination, mode=MIRROR, path_map={"a": "b"}, guards=Guards.off())

    report.raise_for_status()
    assert tree(destination) == {"b": "a file", "x": "1"}


def test_force_transfers_what_is_equal_and_keeps_no_copy_of_it(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"a": "1", "b": "2"})
    syncengine.sync(source, destination)

    report = syncengine.sync(source, destination, force=True)

    assert (statuses(report), trash(destination)) == ({"a": Status.DONE, "b": Status.DONE}, {})


@pytest.mark.parametrize(
    ("only_if", "newer_side", "replaced", "exit_code"),
    [
        ("missing", "source", False, 0),
        ("newer", "source", True, 0),
        ("newer", "destination", False, 0),
        ("immutable", "source", False, 7),
    ],
)
def test_only_if_says_when_an_existing_file_may_be_replaced(
    only_if: str, newer_side: str, replaced: bool, exit_code: int, sides: Tuple[Path, Path]
) -> None:
    source, destination = sides
    write(source, {"f": "from source", "new": "1"})
    write(destination, {"f": "at destination"})
    older = destination if newer_side == "source" else source
    os.utime(older / "f", (1_000_000_000, 1_000_000_000))

    report = syncengine.sync(source, destination, mode=MIRROR, only_if=only_if)

    assert files(destination) == {"f": "from source" if replaced else "at destination", "new": "1"}
    assert report.exit_code == exit_code


def test_metadata_mode_keeps_permission_bits_in_step(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"run": "#!/bin/sh", "plain": "1"})
    (source / "run").chmod(0o755)
    syncengine.sync(source, destination, mode=MIRROR)
    assert stat.S_IMODE((destination / "run").stat().st_mode) == 0o755
    (source / "run").chmod(0o700)
    assert syncengine.plan(source, destination, mode=MIRROR).empty
    for _ in range(2):
        (destination / "run").chmod(0o755)
        plan = syncengine.plan(source, destination, mode=MIRROR, metadata="mode")
        assert actions(plan) == [("touch", "run")]
        assert syncengine.apply(plan).notes == ()
        assert stat.S_IMODE((destination / "run").stat().st_mode) == 0o700
    assert syncengine.plan(source, destination, mode=MIRROR, metadata="mode").empty


def test_a_scope_leaves_what_is_outside_alone_in_both_sides_and_state(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"in/a": "1", "out/b": "2", "in2/c": "3"})
    syncengine.sync(source, destination, mode=MIRROR)
    (source / "in/a").unlink()
    (source / "out/b").unlink()
    write(source, {"in/new": "4", "in2/c": "changed"})

    report = syncengine.sync(source, destination, mode=MIRROR, scope="in", guards=Guards.off())

    assert statuses(report) == {"in/a": Status.DONE, "in/new": Status.DONE}
    assert files(destination) == {"in/new": "4", "out/b": "2", "in2/c": "3"}
    full = syncengine.sync(source, destination, mode=MIRROR, guards=Guards.off())
    assert statuses(full) == {"in2/c": Status.DONE, "out": Status.DONE, "out/b": Status.DONE} or statuses(full) == {
        "in2/c": Status.DONE,
        "out/b": Status.DONE,
    }
    # The row outside was still live, so the deletion was an agreed one and nothing had to be kept.
    assert trash(destination) == {}


@pytest.mark.parametrize("mode", [MIRROR, "source-backup"])
def test_a_single_source_file_goes_into_the_destination_and_nothing_else_happens(
    mode: str, sides: Tuple[Path, Path]
) -> None:
    source, destination = sides
    write(source, {"a": "1", "b": "2"})
    write(destination, {"c": "3"})

    assert statuses(syncengine.sync(source / "a", destination, mode=mode)) == {"a": Status.DONE}
    assert files(destination) == {"a": "1", "c": "3"}
    assert syncengine.plan(source / "a", destination, mode=mode).empty


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("skip", {"real": "content"}),
        ("follow", {"real": "content", "link": "content"}),
        ("preserve", {"real": "content", "link": "-> real"}),
    ],
)
def test_symlinks_are_skipped_followed_or_preserved(
    policy: str, expected: Dict[str, str], sides: Tuple[Path, Path]
) -> None:
    source, destination = sides
    write(source, {"real": "content"})
    (source / "link").symlink_to("real")

    for _ in range(2):
        report = syncengine.sync(source, destination, mode=MIRROR, symlinks=policy)
        assert (report.exit_code, tree(destination)) == (0, expected)
    assert syncengine.plan(source, destination, mode=MIRROR, symlinks=policy).empty


def test_preserved_links_change_and_disappear_like_files(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"a": "1", "b": "2", "was file": "3"})
    (source / "link").symlink_to("a")
    (source / "other").symlink_to("b")
    options: Any = {"mode": MIRROR, "symlinks": "preserve", "retain": "all", "guards": Guards.off()}
    syncengine.sync(source, destination, **options).raise_for_status()
    for name in ("link", "other", "was file"):
        (source / name).unlink()
    (source / "link").symlink_to("b")
    (source / "was file").symlink_to("a")

    syncengine.sync(source, destination, **options).raise_for_status()

    assert tree(destination) == {"a": "1", "b": "2", "link": "-> b", "was file": "-> a"}
    assert sorted(trash(destination).values()) == ["-> a", "-> b", "3"]


def test_a_link_that_the_other_side_cannot_hold_replaces_nothing(tmp_path: Path) -> None:
    source = write(tmp_path / "s", {"x": "1"})
    (source / "p").symlink_to("x")
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/bucket/p/in", b"stays")

    report = syncengine.sync(source, "memory://bucket", mode=MIRROR, symlinks="preserve", guards=Guards.off())

    assert memory.cat_file("/bucket/p/in") == b"stays"
    assert memory.cat_file("/bucket/x") == b"1"
    assert [problem.path for problem in report.plan.problems] == ["p"]


def test_filters_hide_paths_on_both_sides_and_a_round_trip_through_them_deletes_nothing(
    sides: Tuple[Path, Path],
) -> None:
    source, destination = sides
    write(source, {"a": "1", "b.log": "2", "logs/c": "3"})
    aged(source)
    syncengine.sync(source, destination, mode=MIRROR)
    (source / "b.log").unlink()
    hidden: Any = {"mode": MIRROR, "ignore": ["*.log", "logs/"]}

    report = syncengine.sync(source, destination, **hidden)
    assert (report.outcomes, report.plan.complete) == ((), True)
    assert files(destination) == {"a": "1", "b.log": "2", "logs/c": "3"}
    assert syncengine.plan(source, destination, **hidden).agreements == ()

    # Included again: in a mirror the absence is carried out, and the version that was set aside by a filter is kept.
    syncengine.sync(source, destination, mode=MIRROR, guards=Guards.off()).raise_for_status()
    assert files(destination) == {"a": "1", "logs/c": "3"}
    assert trash(destination) == {"b.log": "2"}


def test_exclude_run_include_run_is_the_identity(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"a": "1", "b.log": "2"})
    syncengine.sync(source, destination, mode=MIRROR)
    before = exactly(source), files(destination)
    syncengine.sync(source, destination, mode=MIRROR, ignore="*.log")
    syncengine.sync(source, destination, mode=MIRROR)

    assert (exactly(source), files(destination)) == before
    plan = syncengine.plan(source, destination, mode=MIRROR)
    assert (plan.empty, plan.unchanged) == (True, 2)


def test_stateless_runs_compare_both_sides_and_leave_no_state(sides: Tuple[Path, Path], isolated_user: Path) -> None:
    source, destination = sides
    write(source, {"a": "1", "b": "new content"})
    write(destination, {"b": "old", "c": "3"})

    report = syncengine.sync(source, destination, mode=MIRROR, state=None, guards=Guards.off())

    assert (report.ok, report.recorded, files(destination)) == (True, 0, files(source))
    assert trash(destination) == {"b": "old", "c": "3"}
    assert syncengine.plan(source, destination, mode=MIRROR, state=None).empty
    assert not (isolated_user / "syncengine-state").exists()


# --------------------------------------------------------------------------- guards


def test_a_refused_plan_changes_nothing_and_the_override_does_it(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {str(number): "1" for number in range(20)})
    syncengine.sync(source, destination, mode=MIRROR)
    for number in range(12):
        (source / str(number)).unlink()
    before = exactly(source, destination), remembered(source, destination)

    with pytest.raises(GuardError, match=r"would delete 12 of 20 files \(60%\)") as caught:
        syncengine.sync(source, destination, mode=MIRROR)

    assert [blocker.kind.value for blocker in caught.value.blockers] == ["max_delete"]
    assert (exactly(source, destination), remembered(source, destination)) == before
    assert syncengine.sync(source, destination, mode=MIRROR, allow_mass_delete=True).ok
    assert files(destination) == files(source)


def test_little_state_does_not_switch_the_default_guard_off(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"known": "1"})
    syncengine.sync(source, destination, mode=MIRROR)
    write(destination, {f"foreign {number}": "1" for number in range(50)})

    with pytest.raises(GuardError, match="would delete 50"):
        syncengine.sync(source, destination, mode=MIRROR)


def test_guards_given_to_apply_are_held_on_top_of_the_plans_own(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"a": "new content", "b": "1"})
    write(destination, {"a": "old"})
    plan = syncengine.plan(source, destination, mode=MIRROR)

    with pytest.raises(GuardError, match=r"guards\.protect"):
        syncengine.apply(plan, guards=Guards(protect="a"))
    assert files(destination) == {"a": "old"}


def test_all_blockers_are_reported_at_once(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"new": "12345"})
    write(destination, {"a": "1", "b": "2"})
    guards = Guards(max_delete="1", max_transfer_bytes=1, protect="a", require_marker="marker")

    with pytest.raises(GuardError) as caught:
        syncengine.sync(source, destination, mode=MIRROR, guards=guards)

    assert sorted(blocker.kind.value for blocker in caught.value.blockers) == [
        "marker_missing",
        "marker_missing",
        "max_delete",
        "max_transfer_bytes",
        "protected",
    ]


# --------------------------------------------------------------------------- places


def test_memory_keeps_its_state_within_the_process(tmp_path: Path, isolated_user: Path) -> None:
    source = write(tmp_path / "s", {"a": "1", "d/b": "2"})
    aged(source)
    syncengine.sync(source, "memory://bucket/x", mode=MIRROR).raise_for_status()
    plan = syncengine.plan(source, "memory://bucket/x", mode=MIRROR)
    assert (plan.empty, plan.unchanged, plan.agreements) == (True, 2, ())
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/bucket/x/a", b"edited")

    syncengine.sync(source, "memory://bucket/x", mode=MIRROR).raise_for_status()

    assert memory.cat_file("/bucket/x/a") == b"1"
    assert [memory.cat_file(path) for path in memory.find("/bucket/x/.syncengine-trash")] == [b"edited"]
    assert not (isolated_user / "syncengine-state").exists()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_is_a_source(kind: str, tmp_path: Path) -> None:
    content = write(tmp_path / "content", {"a": "1", "d/b": "2"})
    archive = tmp_path / f"archive.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for name in ("a", "d/b"):
                packed.write(content / name, name)
    else:
        with tarfile.open(archive, "w") as packed_tar:
            for name in ("a", "d/b"):
                packed_tar.add(content / name, name)
    destination = tmp_path / "d"

    assert syncengine.sync(f"{kind}://::{archive}", destination, mode=MIRROR).ok
    assert files(destination) == {"a": "1", "d/b": "2"}
    assert syncengine.plan(f"{kind}://::{archive}", destination, mode=MIRROR).empty


def test_a_filesystem_with_a_root_and_a_upath_are_places(tmp_path: Path) -> None:
    source = write(tmp_path / "s", {"a": "1"})
    memory = fsspec.filesystem("memory")

    assert syncengine.sync(source, (memory, "/pair")).ok
    assert syncengine.sync((memory, "/pair"), UPath("memory://upath")).ok
    assert syncengine.sync(UPath("memory://upath"), UPath(tmp_path / "back")).ok
    assert files(tmp_path / "back") == {"a": "1"}


def test_a_plan_for_memory_is_stale_in_another_process(tmp_path: Path) -> None:
    source = write(tmp_path / "s", {"a": "1"})
    syncengine.plan(source, "memory://bucket").save(tmp_path / "plan.json")
    code = """
import sys, syncengine
try:
    syncengine.apply(sys.argv[1])
except syncengine.StalePlanError as error:
    print(error)
"""
    assert "is another place than the one the plan was made for" in output_of(code, tmp_path / "plan.json")


def test_relocate_applies_a_plan_elsewhere_and_records_nothing(sides: Tuple[Path, Path], tmp_path: Path) -> None:
    source, destination = sides
    write(source, {"a": "1"})
    plan = syncengine.plan(source, destination)

    report = syncengine.apply(plan, relocate={"destination": tmp_path / "elsewhere"})

    assert (report.ok, report.recorded, files(tmp_path / "elsewhere"), files(destination)) == (True, 0, {"a": "1"}, {})
    with pytest.raises(RecipeError, match="relocate cannot be 'target'"):
        syncengine.apply(plan, relocate={"target": tmp_path})


def test_expect_digest_refuses_any_other_plan(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"a": "1"})
    plan = syncengine.plan(source, destination)

    with pytest.raises(PlanFormatError, match="not the expected sha256:0"):
        syncengine.apply(plan, expect_digest="sha256:0")
    assert syncengine.apply(plan, expect_digest=plan.digest).ok


def test_a_side_of_an_operation_is_named_by_a_word(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"a": "1"})
    with SyncEngine(source, destination) as engine:
        assert [entry.path for entry in engine.scan("source").entries] == ["a"]
        assert [entry.path for entry in engine.scan(Side.DESTINATION).entries] == []
        with pytest.raises(RecipeError, match="side cannot be 'left'"):
            engine.scan("left")
