"""What other processes copy is what one process would have copied, and the report says what is there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pytest
from observed import Observed

from syncengine import Report, SyncEngine, SyncInterrupted
from syncengine.core.report import Outcome, Status
from syncengine.stages import copying_apart
from syncengine.storage import local_second
from syncengine.storage.local_second import SecondProcess

pytestmark = pytest.mark.skipif(not local_second.is_of_use(), reason="needs Linux and two processors")

FILES = 300
LONG_AGO = 1_500_000_000_123_456_789


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> List[SecondProcess]:
    """Use a second process for a few files already, and note each that is started."""
    noted: List[SecondProcess] = []

    class Noted(SecondProcess):
        def __init__(self) -> None:
            super().__init__()
            self.number = self._process
            noted.append(self)

    monkeypatch.setattr(local_second, "SecondProcess", Noted)
    monkeypatch.setattr(copying_apart, "MANY", 1)
    monkeypatch.setattr(copying_apart, "BATCH", 8)
    monkeypatch.setattr(copying_apart, "AHEAD", 4)
    return noted


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for number in range(FILES):
        place = tmp_path / "source" / f"{number // 30:02}" / f"file {number:03} \udcff"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"%d" % number * (number % 7))
        place.chmod(0o600 | number % 64)
        os.utime(place, ns=(LONG_AGO + number, LONG_AGO + number))
    return tmp_path / "source"


def engine(source: Path, **options: Any) -> SyncEngine:
    place = source.parent
    return SyncEngine(
        source,
        place / "destination",
        mode="source-to-destination",
        state=str(place / "state"),
        progress=False,
        **options,
    )


def facts(folder: Path) -> Dict[str, Tuple[bytes, int, int]]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode) for name, path in found.items()}


def check_truth(report: Report, source: Path) -> None:
    """Check that exactly what the report calls done is there, and nothing else."""
    done = {outcome.operation.path for outcome in report.outcomes if outcome.status is Status.DONE}
    standing = facts(source.parent / "destination")
    assert standing == {path: fact for path, fact in facts(source).items() if path in done}
    for outcome in report.by_status.get(Status.DONE, ()):
        found = os.stat(source.parent / "destination" / outcome.operation.path)
        assert outcome.after is not None
        assert (outcome.after.size, outcome.after.mtime_ns, outcome.after.file_id) == (
            found.st_size,
            found.st_mtime_ns,
            str(found.st_ino),
        )
    assert not any(is_running(each) for each in processes_of(os.getpid()))


def processes_of(parent: int) -> List[int]:
    found: List[int] = []
    for task in Path(f"/proc/{parent}/task").iterdir():
        found += [int(number) for number in (task / "children").read_text().split()]
    return found


def is_running(process: int) -> bool:
    try:
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z" and any(word.endswith(b"local_small.py") for word in words)


def test_other_processes_copy_everything_and_are_gone(source: Path, started: List[Any]) -> None:
    with engine(source) as run:
        report = run.sync()
        again = run.plan()

    assert report.ok
    assert len(report.outcomes) == report.recorded - 10 == FILES
    assert again.empty
    assert not again.agreements
    assert len(started) == copying_apart.COPIERS
    check_truth(report, source)


def changed_in_between(source: Path) -> None:
    """Make every seventh file something that has to be told: changed, gone, in the way, behind a link, large."""
    files = sorted(path for path in source.rglob("*") if path.is_file() and path.parent.name < "09")
    destination = source.parent / "destination"
    for number, path in enumerate(files[::7]):
        if number % 5 == 0:
            path.write_bytes(b"another version")
        elif number % 5 == 1:
            path.unlink()
        elif number % 5 == 2:
            at = destination / path.relative_to(source)
            at.parent.mkdir(parents=True, exist_ok=True)
            at.write_bytes(b"of a user")
            os.utime(at, ns=(LONG_AGO, LONG_AGO))
        elif number % 5 == 3:
            path.unlink()
            path.symlink_to("/etc/passwd")
    (source.parent / "elsewhere").mkdir()
    (destination / "09").symlink_to(source.parent / "elsewhere")


def told(outcome: Outcome) -> Tuple[Any, ...]:
    """Return what one outcome says, without the time and the inode that no two runs share."""
    after = outcome.after and (outcome.after.size, outcome.after.mtime_ns)
    kept = outcome.origin and (outcome.origin.size, outcome.origin.mtime_ns)
    message = outcome.problem and (outcome.problem.kind, outcome.problem.message, outcome.problem.path)
    place = outcome.operation.path
    return place, outcome.status, message, outcome.attempts, outcome.bytes, outcome.before, after, kept, outcome.digest


def test_outcomes_are_those_of_one_process_whatever_happened_in_between(
    tmp_path: Path, source: Path, started: List[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "large").write_bytes(b"x" * 200_000)
    (source / "empty").mkdir()
    reports: List[Report] = []
    for name in ("one", "two"):
        place = tmp_path / name / "source"
        place.parent.mkdir()
        subprocess.run(["cp", "-a", str(source), str(place)], check=True)
        with engine(place) as run:
            plan = run.plan()
            changed_in_between(place)
            reports.append(run.apply(plan))
        assert list((place.parent / "elsewhere").iterdir()) == []
        monkeypatch.setattr(copying_apart, "MANY", 10**9)

    assert [told(outcome) for outcome in reports[0].outcomes] == [told(outcome) for outcome in reports[1].outcomes]
    assert {Status.DONE, Status.STALE, Status.FAILED} >= set(reports[0].by_status) > {Status.DONE}
    assert len(started) == copying_apart.COPIERS
    assert facts(tmp_path / "one" / "destination") == facts(tmp_path / "two" / "destination")


@pytest.mark.parametrize(("which", "after"), [(0, 1), (1, 1), (0, 40), (1, FILES - 40)])
def test_a_killed_second_process_costs_nothing_but_time(
    source: Path, started: List[Any], which: int, after: int
) -> None:
    observer = Observed(after, lambda: os.kill(started[which].number, signal.SIGKILL))
    with engine(source, observer=observer) as run:
        report = run.sync()
        assert run.plan().empty

    assert report.ok
    check_truth(report, source)


def test_a_copy_whose_answer_was_lost_is_done_and_not_refused(
    source: Path, started: List[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = SecondProcess.answers

    def lost(self: SecondProcess) -> Optional[Any]:
        answers(self)
        return None

    monkeypatch.setattr(SecondProcess, "answers", lost)
    with engine(source) as run:
        report = run.sync()

    assert report.ok
    check_truth(report, source)


def test_where_no_process_can_be_started_one_does_everything(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> int:
        raise BlockingIOError(11, "too many processes")

    monkeypatch.setattr(copying_apart, "MANY", 1)
    monkeypatch.setattr(os, "posix_spawn", refused)
    with engine(source) as run:
        report = run.sync()

    assert report.ok
    check_truth(report, source)


def test_a_program_that_answers_nothing_is_not_waited_for(
    source: Path, started: List[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with engine(source) as run:
        assert run.sync().ok


def test_what_was_handed_over_when_a_run_is_cancelled_ends_and_the_rest_is_not_begun(
    source: Path, started: List[Any]
) -> None:
    cancel = threading.Event()
    with (
        engine(source, observer=Observed(20, cancel.set), cancel=cancel) as run,
        pytest.raises(SyncInterrupted) as caught,
    ):
        run.sync()
    report = caught.value.report

    assert {Status.DONE, Status.CANCELLED} == set(report.by_status)
    assert len(report.by_status[Status.DONE]) < 20 + 8 * 6
    check_truth(report, source)


def test_a_run_that_is_broken_off_reports_what_was_handed_over(
    source: Path, started: List[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from syncengine.stages.commit import Recorder

    take, taken = Recorder.take, iter(range(FILES * 2))

    def broken_off(self: Recorder, outcome: Outcome) -> None:
        take(self, outcome)
        if next(taken) == 20:
            raise KeyboardInterrupt

    monkeypatch.setattr(Recorder, "take", broken_off)
    with engine(source) as run, pytest.raises(SyncInterrupted) as caught:
        run.sync()

    assert caught.value.report.interrupted
    check_truth(caught.value.report, source)


@pytest.mark.parametrize("limits", [{"bandwidth": 10**9}, {"requests_per_second": 10**6}])
def test_limits_are_held_by_one_process(source: Path, started: List[Any], limits: Dict[str, int]) -> None:
    with engine(source, **limits) as run:
        assert run.sync().ok

    assert started == []


SYNC = """
import sys, syncengine
from syncengine.stages import copying_apart
copying_apart.MANY = 1
try:
    report = syncengine.sync(sys.argv[1], sys.argv[2], mode="source-to-destination", state=sys.argv[3], progress=False)
except syncengine.SyncInterrupted as interrupted:
    report = interrupted.report
print(*sorted(repr(each.operation.path) for each in report.outcomes if each.status.value == "done"), sep="\\n")
sys.exit(report.exit_code)
"""


@pytest.fixture
def many(tmp_path: Path) -> Path:
    for number in range(4_000):
        place = tmp_path / "source" / f"{number // 500:02}" / str(number)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"%d" % number * 20)
    return tmp_path / "source"


@pytest.fixture
def running(many: Path) -> Iterator[Tuple[subprocess.Popen[str], int]]:
    """A sync of *many* in the middle of copying, and the process that copies for it."""
    places = [str(many), str(many.parent / "destination"), str(many.parent / "state")]
    with subprocess.Popen(
        [sys.executable, "-c", SYNC, *places], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            second: List[int] = []
            while not (second and (many.parent / "destination" / "00").exists()):
                assert process.poll() is None, "it ended before it was seen to copy"
                second = [each for each in processes_of(process.pid) if is_running(each)]
            yield process, second[0]
        finally:
            process.kill()


def test_a_run_that_was_killed_takes_its_second_process_along_and_is_finished_by_one_more(
    many: Path, running: Tuple[subprocess.Popen[str], int]
) -> None:
    process, second = running
    process.kill()
    process.wait()
    while is_running(second):
        pass
    left = facts(many.parent / "destination")

    assert len(left) < 4_000
    assert left.items() <= facts(many).items()
    with engine(many) as run:
        assert run.sync().ok
        assert run.plan().empty
    assert facts(many.parent / "destination") == facts(many)


def test_ctrl_c_ends_both_processes_with_a_report_of_what_is_there(
    many: Path, running: Tuple[subprocess.Popen[str], int]
) -> None:
    process, second = running
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)

    assert process.returncode == 130
    assert output.split("\n")[:-1] == sorted(map(repr, facts(many.parent / "destination")))
    assert not is_running(second)
