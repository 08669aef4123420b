"""Arguments that cannot be meant are refused with a RecipeError that says why, before anything is looked at."""

from __future__ import annotations

import zipfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Dict, Tuple

import pytest
from attrs import evolve

import syncengine
from syncengine import Guards, RecipeError, ScanError
from syncengine.core.check import Finding
from syncengine.core.units import moment_ns
from syncengine.pipeline import Job, Pipeline
from tests.trees import exactly, files, write

MIRROR = "source-to-destination"


@pytest.fixture
def sides(tmp_path: Path) -> Tuple[Path, Path]:
    return write(tmp_path / "source", {"a": "1", "b": "2"}), write(tmp_path / "destination", {})


def _raising(_: Any) -> Any:
    raise LookupError("of its own")


REFUSED = [
    ({"state": 123}, "state is a folder"),
    ({"guards": {"max_transfer_bytes": "much"}}, "max_transfer_bytes is a number of bytes"),
    ({"guards": {"protect": 5}}, "protect is a pattern"),
    ({"guards": {"stop_if_emptied": "no"}}, "stop_if_emptied is True or False"),
    ({"guards": {"require_marker": 5}}, "require_marker is the path of a file"),
    ({"requests_per_second": "2"}, "requests_per_second is a number above 0"),
    ({"requests_per_second": 0}, "requests_per_second is a number above 0"),
    ({"bandwidth": 0}, "bandwidth is at least one byte a second"),
    ({"bandwidth": "0MB"}, "bandwidth is at least one byte a second"),
    ({"source_options": ["key"]}, "options are given by their names"),
    ({"source_profile": 5}, "a profile is given by its name"),
    ({"files_from": 5}, "files_from is an iterable of paths"),
    ({"files_from": [5]}, "files_from holds paths, not 5"),
    ({"files_from": "a"}, "files_from is an iterable of paths"),
    ({"observer": 5}, "an observer has a method"),
    ({"predicate": 5}, "predicate is a function"),
    ({"predicate": _raising}, "predicate failed for 'a': LookupError: of its own"),
    ({"path_map": _raising}, "path_map failed for 'a': LookupError: of its own"),
    ({"path_map": lambda path: None}, "path_map must return a text, and returned None for 'a'"),
    ({"workers": "8"}, "workers is a whole number of at least 1, not '8'"),
    ({"workers": 0}, "workers is a whole number of at least 1, not 0"),
    ({"retries": "3"}, "retries is a whole number of at least 0"),
    ({"retries": -1}, "retries is a whole number of at least 0"),
    ({"renames": "no"}, "renames is True or False, not 'no'"),
    ({"allow_emptied": 1}, "allow_emptied is True or False"),
    ({"mode": "two-way", "metadata": "mode"}, "metadata is for one-way syncs"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_an_argument_that_cannot_be_meant_is_refused(
    arguments: Dict[str, Any], message: str, sides: Tuple[Path, Path]
) -> None:
    before = exactly(*sides)
    for call in (syncengine.plan, syncengine.sync):
        with pytest.raises(RecipeError, match=message):
            call(*sides, **arguments)
    assert exactly(*sides) == before


APPLIED = [
    ({"guards": {"max_deletes": "5"}}, "unknown guard 'max_deletes'; did you mean 'max_delete'"),
    ({"profiles": ["x"]}, "profiles are given by side"),
    ({"profiles": {"sorce": "x"}}, "profiles cannot be 'sorce'"),
    ({"relocate": ["x"]}, "relocate are given by side"),
    ({"source_options": ["x"]}, "options are given by their names"),
    ({"state": 5}, "state is a folder"),
    ({"workers": 0}, "workers is a whole number"),
    ({"bandwidth": 0}, "bandwidth is at least one byte"),
    ({"retries": "3"}, "retries is a whole number"),
    ({"observer": 5}, "an observer has a method"),
    ({"cancel": 5}, "cancel is a threading.Event, not 5"),
    ({"engine": 5}, "engine is a SyncEngine, not 5"),
    ({"preflight": "no"}, "preflight is True or False"),
    ({"state_single_writer": 1}, "state_single_writer is True or False"),
    ({"guards": {5: 5}}, "unknown guard 5"),
]


@pytest.mark.parametrize(("arguments", "message"), APPLIED, ids=lambda value: str(value)[:60])
def test_an_argument_of_apply_that_cannot_be_meant_is_refused(
    arguments: Dict[str, Any], message: str, sides: Tuple[Path, Path]
) -> None:
    plan = syncengine.plan(*sides, mode=MIRROR)
    with pytest.raises(RecipeError, match=message):
        syncengine.apply(plan, **arguments)
    assert files(sides[1]) == {}


def _no_path(call: Callable[..., Any]) -> Tuple[Tuple[Any, ...], ...]:
    """Return what is no path, each with what is said of it."""
    return ((call, 5, "not as 5"), (call, None, "not as None"), (call, b"a", "not as b'a'"), (call, ["a"], "not as"))


WRONG: Tuple[Tuple[Callable[..., Any], Any, str], ...] = (
    (lambda wrong, *_: syncengine.undo(wrong), Path("report.json"), r"by its id, or given as its report \(Report.load"),
    (lambda wrong, *sides: syncengine.undo(wrong, *sides), Path("report.json"), "a run is named by its id, or given"),
    (lambda wrong, *sides: syncengine.undo(wrong, *sides), 5, "a run is named by its id, .*not as 5"),
    (lambda wrong, *sides: syncengine.undo(wrong, *sides), None, "a run is named by its id, .*not as None"),
    (lambda wrong, *_: syncengine.undo(wrong), "20260101T000000Z-00000000", "a run is named with its two places"),
    (lambda wrong, *sides: syncengine.restore(*sides, "a", run=wrong), 5, "run is the id of a run, .*not 5"),
    (lambda wrong, *sides: syncengine.restore(*sides, "a", run=wrong), Path("r"), "run is the id of a run"),
    (lambda wrong, *sides: syncengine.restore(*sides, "a", version=wrong), "1", "version is a whole number of at"),
    (
        lambda wrong, *sides: syncengine.restore(*sides, "a", version=wrong),
        0,
        "version is a whole number of at least 1",
    ),
    (lambda wrong, *sides: syncengine.restore(*sides, "a", at=wrong), ["now"], "at "),
    (lambda wrong, *sides: syncengine.restore(*sides, "a", side=wrong), 5, "side cannot be '5'"),
    (lambda wrong, *sides: syncengine.restore(*sides, "a", delete=wrong), "no", "delete is True or False, not 'no'"),
    (lambda wrong, *sides: syncengine.prune(*sides, keep_last=wrong), "1", "keep_last is a whole number"),
    (lambda wrong, *sides: syncengine.prune(*sides, prune=wrong), {5: 5}, "unknown rule 5"),
    *_no_path(lambda wrong, *sides: syncengine.explain(*sides, wrong)),
    (lambda wrong, *sides: syncengine.restore(*sides, wrong, run="r"), 5, "a path is given as a text, not as 5"),
    *_no_path(lambda wrong, *sides: syncengine.plan(*sides).explain(wrong)),
    (lambda wrong, *sides: syncengine.history(*sides, wrong), 5, "a path is given as a text, not as 5"),
    (lambda wrong, *_: syncengine.locate(wrong), "a\ud800", "a place cannot hold half a character"),
    (lambda wrong, *_: syncengine.scan(wrong), 5, "a int is not a place"),
    (lambda wrong, *sides: syncengine.scan(sides[0], options=wrong), {5: 5}, "by their names, and 5 is none"),
    (lambda wrong, *sides: syncengine.check(*sides, source_options=wrong), {5: 5}, "by their names, and 5 is none"),
    (lambda wrong, *sides: syncengine.plan(*sides, guards=wrong), {5: 5}, "unknown guard 5"),
    (lambda wrong, *sides: syncengine.plan(*sides, path_map=wrong), {"a": 1}, "path_map holds paths, not 1"),
    (lambda wrong, *sides: syncengine.plan(*sides, pipeline=wrong), None, "a pipeline is made by Pipeline"),
    (lambda wrong, *sides: syncengine.plan(*sides, cancel=wrong), None, "cancel is a threading.Event, not None"),
    (lambda wrong, *sides: syncengine.plan(*sides, clock=wrong), 5, "clock is a function that returns the time, not 5"),
    (lambda wrong, *_: syncengine.apply(wrong), "a\0b", "the path of a file cannot hold a NUL character"),
    (lambda wrong, *_: syncengine.Plan.load(wrong), 5, "a file is named by its path, not by 5"),
    (lambda wrong, *_: syncengine.Report.load(wrong), None, "a file is named by its path, not by None"),
    (lambda wrong, *sides: syncengine.plan(*sides).save(wrong), b"plan", "a file is named by its path, not by b'plan'"),
)


@pytest.mark.parametrize(
    ("call", "wrong", "message"), WRONG, ids=lambda value: None if callable(value) else str(value)[:60]
)
def test_what_no_function_can_take_is_refused_in_one_sentence(
    call: Callable[..., Any], wrong: Any, message: str, sides: Tuple[Path, Path]
) -> None:
    before = exactly(*sides)
    with pytest.raises(RecipeError, match=message) as caught:
        call(wrong, *sides)
    assert "\n" not in str(caught.value)
    assert exactly(*sides) == before


def test_what_is_no_plan_cannot_be_applied_and_chooses_nothing(sides: Tuple[Path, Path]) -> None:
    with pytest.raises(RecipeError, match="a plan, or the file it was saved in, is expected, not 5"):
        syncengine.apply(5)  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="operations are chosen by a pattern"):
        syncengine.plan(*sides).where(5)  # type: ignore[arg-type]


def test_guards_of_apply_can_be_given_by_their_names(sides: Tuple[Path, Path]) -> None:
    plan = syncengine.plan(*sides, mode=MIRROR)
    with pytest.raises(syncengine.GuardError, match="would transfer 2 bytes; the limit is 1"):
        syncengine.apply(plan, guards={"max_transfer_bytes": 1})  # type: ignore[arg-type]


def test_an_unknown_guard_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(RecipeError, match="unknown guard 'max_delet'; did you mean 'max_delete'"):
        Guards(max_delet=1)  # type: ignore[call-arg]


def test_a_guard_on_bytes_is_written_as_every_size(sides: Tuple[Path, Path]) -> None:
    assert Guards(max_transfer_bytes="10MB").max_transfer_bytes == 10_000_000


def test_a_plan_that_does_not_say_what_the_sides_held_can_be_judged(sides: Tuple[Path, Path]) -> None:
    write(sides[1], {"extra": "3"})
    plan = syncengine.plan(*sides, mode=MIRROR)

    assert evolve(plan, live={}).blockers == ()


def test_a_place_with_a_nul_is_refused(sides: Tuple[Path, Path]) -> None:
    with pytest.raises(RecipeError, match="a place cannot hold a NUL character"):
        syncengine.plan(f"{sides[0]}\0b", sides[1])


def test_an_iterator_of_paths_serves_every_look(sides: Tuple[Path, Path]) -> None:
    with syncengine.SyncEngine(*sides, mode=MIRROR, files_from=iter(["a"])) as engine:
        first, second = engine.plan(), engine.plan()

    assert [each.path for each in first] == [each.path for each in second] == ["a"]


def test_a_time_may_have_any_number_of_decimals_on_every_python() -> None:
    for text in ("2026-01-31T00:00:00.5Z", "2026-01-31T00:00:00.500000000+00:00", "2026-01-31T01:00:00.50+01:00"):
        assert moment_ns(text, now=None) == moment_ns(
            datetime(2026, 1, 31, microsecond=500_000, tzinfo=timezone.utc), now=None
        )


def test_a_stage_that_returns_nothing_is_named(sides: Tuple[Path, Path]) -> None:
    def look_at(job: Job) -> None:
        assert job.settings

    with pytest.raises(RecipeError, match="the stage 'look_at' must return a Job, not None"):
        syncengine.plan(*sides, pipeline=Pipeline().insert_after("diff", look_at))  # type: ignore[arg-type]


def test_an_archive_given_as_a_path_inside_one_is_refused_with_the_right_spelling(sides: Tuple[Path, Path]) -> None:
    with pytest.raises(RecipeError, match=r"the archive itself is zip://::s\.zip"):
        syncengine.plan("zip://s.zip", sides[1])


def _missing(folder: Path) -> str:
    return f"zip://::{folder}/missing.zip"


def _broken(folder: Path) -> str:
    write(folder, {"broken.zip": "no archive"})
    return f"zip://::{folder}/broken.zip"


def _nobody(scheme: str) -> Callable[[Path], str]:
    return lambda _: f"{scheme}://127.0.0.1:9/x/"  # the discard port, where nobody listens


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (_missing, "cannot be opened.*No such file"),
        (_broken, "cannot be opened.*BadZipFile"),
        (_nobody("ftp"), "cannot be opened.*ConnectionRefusedError"),
        (_nobody("http"), "cannot be looked at.*Cannot connect"),
    ],
    ids=["missing archive", "broken archive", "ftp", "http"],
)
def test_a_root_that_cannot_be_opened_says_which_and_why(
    place: Callable[[Path], str], message: str, sides: Tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(ScanError, match=f"the source .*{message}") as caught:
        syncengine.plan(place(tmp_path), sides[1])
    assert caught.value.exit_code == 7


def test_a_destination_that_is_read_only_is_refused_when_planning(sides: Tuple[Path, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr("a", "1")

    with pytest.raises(RecipeError, match="the destination is read only"):
        syncengine.plan(sides[0], f"zip://::{tmp_path}/s.zip")
    findings = syncengine.check(sides[0], f"zip://::{tmp_path}/s.zip").findings
    assert ("b", Finding.ONLY_AT_SOURCE) in findings


CHOICES = [("source", {"f": "1"}), ("destination", {"f": "22"}), (syncengine.Side.SOURCE, {"f": "1"})]


@pytest.fixture
def conflicting(tmp_path: Path) -> Tuple[Path, Path]:
    return write(tmp_path / "here", {"f": "1"}), write(tmp_path / "there", {"f": "22"})


@pytest.mark.parametrize(("answer", "expected"), CHOICES)
def test_a_function_may_decide_conflicts(answer: str, expected: Dict[str, str], conflicting: Tuple[Path, Path]) -> None:
    def by_path(conflict: syncengine.Conflict) -> str:
        assert conflict.path == "f"
        return answer

    report = syncengine.sync(*conflicting, mode="two-way", conflict=by_path)

    assert files(conflicting[0]) == files(conflicting[1]) == expected
    assert report.plan.settings.conflict is syncengine.ConflictPolicy.MANUAL
    assert [each.decided_by for each in report.plan.conflicts] == ["function:by_path"]


def test_a_function_may_keep_both_versions(conflicting: Tuple[Path, Path]) -> None:
    syncengine.sync(*conflicting, mode="two-way", conflict=lambda _: "keep-both")

    assert files(conflicting[0]) == files(conflicting[1])
    assert sorted(files(conflicting[0]).values()) == ["1", "22"]


def test_a_function_may_leave_a_conflict_open(conflicting: Tuple[Path, Path]) -> None:
    report = syncengine.sync(*conflicting, mode="two-way", conflict=lambda _: "skip")

    assert [each.path for each in report.plan.unresolved] == ["f"]
    assert (files(conflicting[0]), files(conflicting[1])) == ({"f": "1"}, {"f": "22"})


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_raising, "conflict failed for 'f': LookupError"),
        (lambda _: None, "conflict must return a text or bytes, and returned None for 'f'"),
        (lambda _: "sorce", "what the conflict function returns cannot be 'sorce'; did you mean 'source'"),
    ],
)
def test_a_function_that_decides_nothing_is_refused(
    function: Callable[[Any], Any], message: str, conflicting: Tuple[Path, Path]
) -> None:
    with pytest.raises(RecipeError, match=message):
        syncengine.plan(*conflicting, mode="two-way", conflict=function)


def test_a_check_against_an_archive_is_settled_by_reading_both(tmp_path: Path) -> None:
    (tmp_path / "side").mkdir()
    (tmp_path / "side" / "same").write_text("one")
    (tmp_path / "side" / "other").write_text("two")
    with zipfile.ZipFile(tmp_path / "held.zip", "w") as archive:
        archive.writestr("same", "one")
        archive.writestr("other", "six")

    result = syncengine.check(tmp_path / "side", f"zip://::{tmp_path / 'held.zip'}")

    assert (result.equal, result.findings) == (1, (("other", Finding.DIFFERENT),))
