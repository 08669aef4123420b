"""Plain text: the itemised lines, summaries, the end of a run, explanations, and the numbers in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import pytest
from attrs import evolve

from syncengine.core.entry import Kind, Problem, ProblemKind, Side, Stamp
from syncengine.core.modes import SyncMode
from syncengine.core.plan import Plan
from syncengine.core.plan_parts import (
    Action,
    Conflict,
    ConflictKind,
    Endpoint,
    Operation,
    Reason,
    Resolution,
    Settings,
    StateRef,
)
from syncengine.core.report import Outcome, Report, Status
from syncengine.errors import NoSpace, PartialApplyError
from syncengine.render.rows import RULES, Section, decider_words, rows
from syncengine.render.text import elapsed, item_line, time_text
from syncengine.render.units import count_text, counted, seconds_text, size_text
from syncengine.stages.scan import problem_of

GOLDEN = Path(__file__).parent.parent / "data" / "plan-1.0.json"
S, D = Side.SOURCE, Side.DESTINATION
OLD = Stamp(size=5_000, mtime_ns=1_700_000_000_000_000_000, digests=("sha256:aa",))


def plan_of(*operations: Operation, **changes: Any) -> Plan:
    fields: Dict[str, Any] = {
        "agreements": (),
        "conflicts": (),
        "problems": (),
        "source": Endpoint("s3://landing/2026", "a"),
        "destination": Endpoint("file:///data", "b"),
        "settings": Settings(),
        "base": StateRef(),
        "created_at": "2026-11-22T13:52:16Z",
        "live": {S: 100, D: 100},
        **changes,
    }
    return Plan.of(operations, **fields)


def operation(action: Action, path: str, **changes: Any) -> Operation:
    return evolve(Operation(action, Kind.FILE, D, path, reason=Reason.ONLY_AT_SOURCE), **changes)


CREATED = operation(Action.CREATE, "a/new.txt", origin=(S, "a/new.txt"), size=10)
UPDATED = operation(
    Action.UPDATE,
    "b/model.bin",
    origin=(S, "b/model.bin"),
    expect_target=OLD,
    expect_origin=Stamp(size=5_000, digests=("md5:x", "sha256:bb")),
    size=1_200_000_000,
    reason=Reason.CONTENT_DIFFERS,
)
DELETED = operation(Action.DELETE, "c/old.txt", expect_target=OLD, reason=Reason.REMOVED_AT_SOURCE)
MOVED = operation(Action.MOVE, "raw/y.csv", origin=(D, "raw/x.csv"), reason=Reason.RENAMED_AT_SOURCE)

LINES = {
    "+> a/new.txt             10 B   only at source": CREATED,
    "~> b/model.bin           5 kB   content differs (sha256)": UPDATED,
    "~> b/model.bin         1.2 GB   content differs": evolve(UPDATED, expect_origin=None),
    "~> b/model.bin            1 B   content differs (size)": evolve(UPDATED, expect_origin=Stamp(size=1)),
    "-> c/old.txt             5 kB   removed at source": DELETED,
    "-> c/old.txt             5 kB   removed at source; old version goes to the trash": evolve(DELETED, retain=True),
    "-< c/old.txt             5 kB   removed at source": evolve(DELETED, target=S),
    "->> raw/x.csv → raw/y.csv       moved": MOVED,
    "->> raw/x.csv → raw/y.csv       moved, replaces another file; old version goes to the trash": evolve(
        MOVED, expect_target=OLD, retain=True
    ),
    "=>> raw/x.csv → raw/y.csv       copied": evolve(MOVED, action=Action.COPY),
    "+> a/new.txt/                   only at source": evolve(CREATED, kind=Kind.DIRECTORY),
    ".> a/new.txt                    mode differs": evolve(CREATED, action=Action.TOUCH, reason=Reason.MODE_DIFFERS),
    r"+> a\nb\x1b[0m           10 B   forced": evolve(CREATED, path="a\nb\x1b[0m", reason=Reason.FORCED),
}


@pytest.mark.parametrize(("line", "made"), LINES.items(), ids=LINES)
def test_an_operation_is_one_line(line: str, made: Operation) -> None:
    assert list(plan_of(made).itemize()) == [line]


def newest_kept_both(newer: Optional[Resolution], source_ns: int, destination_ns: Optional[int]) -> Conflict:
    stamps = (Stamp(size=1, mtime_ns=source_ns), Stamp(size=1, mtime_ns=destination_ns))
    return Conflict("d", ConflictKind.MODIFY_MODIFY, OLD, *stamps, Resolution.KEEP_BOTH, "rule:newest", newer=newer)


CONFLICTS = {
    "changed on both sides; needs a decision": Conflict("d", ConflictKind.MODIFY_MODIFY, OLD, OLD, OLD),
    "deleted at source, changed at destination; needs a decision": Conflict(
        "d", ConflictKind.DELETE_MODIFY, OLD, None, OLD
    ),
    "deleted at destination, changed at source; the source's version wins (decided by alice)": Conflict(
        "d", ConflictKind.DELETE_MODIFY, OLD, OLD, None, Resolution.SOURCE, "user:alice"
    ),
    "changed on both sides; both versions are kept (policy newest: times within 2 s)": newest_kept_both(
        Resolution.KEEP_BOTH, 0, 2_000_000_000
    ),
    "changed on both sides; both versions are kept (policy newest: times too close for these clocks)": newest_kept_both(
        Resolution.KEEP_BOTH, 0, 2_000_000_001
    ),
    "changed on both sides; both versions are kept (policy newest: times not known)": newest_kept_both(None, 0, None),
    "a file on one side, a directory on the other; both versions are kept (policy newest)": Conflict(
        "d", ConflictKind.KIND_CLASH, OLD, OLD, OLD, Resolution.KEEP_BOTH, "rule:newest"
    ),
    "created on both sides; both versions are kept (policy keep-both)": Conflict(
        "d", ConflictKind.CREATE_CREATE, None, OLD, OLD, Resolution.KEEP_BOTH, "rule:keep-both"
    ),
}


@pytest.mark.parametrize(("words", "conflict"), CONFLICTS.items(), ids=CONFLICTS)
def test_a_conflict_says_how_the_sides_disagree_and_what_was_decided(words: str, conflict: Conflict) -> None:
    (line,) = plan_of(conflicts=(conflict,)).itemize()

    assert line == f"!  d{' ' * 28}{words}"


def test_every_view_has_one_order() -> None:
    made = list(rows(Plan.load(GOLDEN)))

    assert [row.section for row in made] == sorted(row.section for row in made)
    assert {row.section for row in made} == set(Section)


def test_itemized_lines_can_be_limited_and_do_not_depend_on_their_neighbours() -> None:
    whole = plan_of(CREATED, UPDATED, DELETED)

    assert len(list(whole.itemize())) == 3
    assert list(whole.itemize(1)) == list(plan_of(DELETED).itemize())


def test_no_line_of_any_text_holds_an_unprintable_character() -> None:
    plan = Plan.load(GOLDEN)
    report = Report(plan, (), "run", "", "")
    path = plan.operations[-3].path
    for text in (str(plan), str(report), plan.explain(path), *plan.itemize()):
        assert all(line.isprintable() for line in text.splitlines())


def test_the_summary_says_everything_once() -> None:
    plan = plan_of(
        CREATED,
        UPDATED,
        evolve(DELETED, retain=True),
        problems=(Problem(ProblemKind.DENIED, "raw", "no access", side=S),),
        conflicts=(Conflict("d", ConflictKind.CREATE_CREATE, None, OLD, OLD),),
        unchanged=12_345,
        excluded=6,
    )

    assert str(plan).splitlines() == [
        "s3://landing/2026 → file:///data (source-backup)",
        "1 to create, 1 to update (5 kB overwritten), 1 to delete · 1.2 GB to transfer · 1 conflict · 1 problem",
        "1 old version will be kept in .syncengine-trash/ at the destination",
        "12,345 unchanged, 6 excluded",
        "about 4 requests at the source",
        "problem: raw at the source: denied, no access",
        "",
        "!  d                            created on both sides; needs a decision",
        "-> c/old.txt             5 kB   removed at source; old version goes to the trash",
        "~> b/model.bin           5 kB   content differs (sha256)",
        "+> a/new.txt             10 B   only at source",
    ]


def test_a_long_plan_shows_its_first_lines_and_how_many_more() -> None:
    plan = plan_of(*(evolve(CREATED, path=f"f{number:03d}") for number in range(50)))
    lines = str(plan).splitlines()

    assert sum(line.startswith("+>") for line in lines) == 20
    assert lines[-1] == "… and 30 more (plan.itemize() gives all)"


def test_a_blocked_plan_says_so_before_its_rows() -> None:
    deletes = [evolve(DELETED, path=f"f{number:03d}") for number in range(60)]
    lines = str(plan_of(*deletes)).splitlines()

    assert lines[lines.index("") + 1].startswith("!! would delete 60 of 100 files (60%) at the destination")
    assert lines[-1] == "… and 40 more (plan.itemize() gives all)"


def test_an_empty_plan_says_that_there_is_nothing_to_do() -> None:
    assert str(plan_of(unchanged=7, excluded=2)).splitlines()[1:] == ["nothing to do", "7 unchanged, 2 excluded"]


ROUTES = {
    SyncMode.SOURCE_TO_DESTINATION: "s3://landing/2026 → file:///data (source-to-destination)",
    SyncMode.DESTINATION_BACKUP: "file:///data → s3://landing/2026 (destination-backup)",
    SyncMode.TWO_WAY: "s3://landing/2026 ↔ file:///data (two-way)",
}


@pytest.mark.parametrize(("mode", "route"), ROUTES.items(), ids=str)
def test_the_first_line_says_from_where_to_where(mode: SyncMode, route: str) -> None:
    assert str(plan_of(settings=Settings(mode=mode))).splitlines()[0] == route


def test_a_trash_elsewhere_is_named() -> None:
    plan = plan_of(evolve(DELETED, retain=True), settings=Settings(trash="file:///trash"))

    assert "1 old version will be kept in file:///trash" in str(plan).splitlines()


# ------------------------------------------------------------------------------------------------------------- reports


def report_of(*outcomes: Outcome, **changes: Any) -> Report:
    fields: Dict[str, Any] = {
        "run_id": "run",
        "started_at": "2026-11-22T13:52:16Z",
        "finished_at": "2026-11-22T13:52:19.5Z",
        **changes,
    }
    plan = fields.pop("plan", None) or plan_of(*(outcome.operation for outcome in outcomes))
    return Report(plan, outcomes, **fields)


def failed(path: str, kind: ProblemKind) -> Outcome:
    return Outcome(evolve(CREATED, path=path), Status.FAILED, Problem(kind, path, "it said no", "execute"))


def test_a_good_run_says_what_was_done_and_where_old_versions_are() -> None:
    kept = [
        Outcome(evolve(DELETED, path=name, retain=True), Status.DONE, retained_at=f".syncengine-trash/r/{name}")
        for name in ("x/one", "x/two", "y")
    ]
    report = report_of(Outcome(CREATED, Status.DONE, bytes=1_200_000), *kept, recorded=4, notes=("state: default",))

    assert str(report).splitlines() == [
        "4 done · 1.2 MB transferred in 3.5 s",
        "3 old versions of the destination kept in .syncengine-trash/r/",
        "4 rows recorded in the state",
        "state: default",
    ]


def test_a_partial_run_names_its_first_failures_then_each_reason_with_its_count_and_in_python_the_next_call() -> None:
    report = report_of(
        failed("a", ProblemKind.DENIED), failed("b", ProblemKind.DENIED), failed("c", ProblemKind.TIMEOUT)
    )

    assert str(report).splitlines() == [
        "3 failed · 0 B transferred in 3.5 s",
        "  a: denied, it said no",
        "  b: denied, it said no",
        "  c: timeout, it said no",
        "3 operations failed (2 denied, 1 timeout)",
    ]
    with pytest.raises(PartialApplyError) as raised:
        report.raise_for_status()
    assert str(raised.value).splitlines()[:2] == [
        "3 operations failed (2 denied, 1 timeout). Retry: apply(report.remaining())",
        "  a: denied, it said no",
    ]


def test_many_failures_are_cut_and_counted() -> None:
    report = report_of(*(failed(f"f{number}", ProblemKind.DENIED) for number in range(9)))
    with pytest.raises(PartialApplyError) as raised:
        report.raise_for_status()

    assert str(raised.value).splitlines()[-1] == "  … and 4 more"


def test_an_interrupted_run_says_how_to_resume() -> None:
    report = report_of(Outcome(CREATED, Status.DONE), Outcome(DELETED, Status.CANCELLED), interrupted=True)

    assert str(report).splitlines()[-1] == "Interrupted, 1 of 2 operations not done (1 cancelled)"
    with pytest.raises(PartialApplyError, match=r"\. Resume: apply\(report\.remaining\(\)\)$"):
        report.raise_for_status()


def test_operations_that_were_withheld_or_stale_are_not_called_failed() -> None:
    report = report_of(Outcome(CREATED, Status.STALE), Outcome(DELETED, Status.WITHHELD))

    assert "2 operations not done (1 stale, 1 withheld)" in str(report)


def test_what_was_withheld_is_not_counted_as_changed_and_comes_after_what_failed() -> None:
    problem = Problem(ProblemKind.CHANGED, "c/old.txt", "another part was not done", "execute")
    report = report_of(Outcome(DELETED, Status.WITHHELD, problem), failed("a", ProblemKind.NO_SPACE))

    assert str(report).splitlines()[1:] == [
        "  a: no space, it said no",
        "  c/old.txt: withheld, another part was not done",
        "2 operations not done (1 no space, 1 withheld)",
    ]


def test_a_full_storage_is_a_problem_of_its_own_kind() -> None:
    assert problem_of(NoSpace("the disk is full"), stage="execute").kind is ProblemKind.NO_SPACE


def test_applying_an_applied_plan_says_so_first_and_marks_the_counts_of_then() -> None:
    note = "this plan was applied before, by run r; nothing was done"

    assert str(report_of(Outcome(CREATED, Status.DONE), notes=(note,))).splitlines() == [
        note,
        "that run: 1 done · 0 B transferred in 3.5 s",
    ]


REQUESTS: Dict[Tuple[str, str], List[str]] = {
    ("file:///a", "memory://b"): [],
    ("zip://::file:///a.zip", "file:///b"): [],
    ("s3://a", "file:///b"): ["source"],
    ("memory://a", "zip://::s3://a/b.zip"): ["destination"],
    ("s3://a", "sftp://b/c"): ["source", "destination"],
}


@pytest.mark.parametrize(("urls", "told"), REQUESTS.items(), ids=str)
def test_requests_are_only_counted_where_they_cost_something(urls: Tuple[str, str], told: List[str]) -> None:
    source, destination = (Endpoint(url, url) for url in urls)
    lines = str(plan_of(CREATED, source=source, destination=destination)).splitlines()
    counted_at = [re.findall(r"at the (\w+)", line) for line in lines if line.startswith("about ")]

    assert counted_at == ([told] if told else [])


def test_what_could_not_be_seen_and_what_needs_a_decision_is_said_at_the_end() -> None:
    plan = plan_of(
        problems=(Problem(ProblemKind.DENIED, "raw", "no"),),
        conflicts=(Conflict("d", ConflictKind.CREATE_CREATE, None, OLD, OLD),),
    )

    assert str(report_of(plan=plan)).splitlines() == [
        "nothing to do · 0 B transferred in 3.5 s",
        "1 place could not be seen and was left alone",
        "1 conflict needs a decision: syncengine conflicts s3://landing/2026 /data",
    ]


def test_a_run_without_times_does_not_say_how_long_it_took() -> None:
    assert elapsed(report_of(started_at="", finished_at="")) is None
    assert elapsed(report_of(finished_at="2026-11-22T13:52:10")) is None


# ---------------------------------------------------------------------------------------------------------- explaining


def test_explaining_a_path_names_reason_rule_and_what_is_expected() -> None:
    text = plan_of(evolve(UPDATED, chosen_by="rule:T7", group="g")).explain("b/model.bin")

    assert text.splitlines() == [
        "b/model.bin",
        "  ~> update b/model.bin at the destination, 5 kB",
        "     why: content differs (sha256)",
        "     rule T7: changed at the source, unchanged at the destination since they last agreed",
        "     expects at the source, b/model.bin: 5,000 bytes, md5:x, sha256:bb",
        "     expects at the destination, b/model.bin: 5,000 bytes, modified 2023-11-14T22:13:20Z, sha256:aa",
        "     belongs to the group g: kept or dropped as a whole",
    ]


EXPLAINED = {
    "raw/x.csv": "->> move raw/x.csv → raw/y.csv",
    "d/open": "created on both sides; needs a decision",
    "d/deleted": "source: nothing there",
    "e/gone": "gone from both sides",
    "p/corrupt/below": "p/corrupt could not be seen",
    "names/mapped": "names/line",
    "elsewhere": "not in this plan",
}


@pytest.mark.parametrize(("path", "says"), EXPLAINED.items(), ids=EXPLAINED)
def test_every_path_of_a_plan_can_be_explained(path: str, says: str) -> None:
    assert says in Plan.load(GOLDEN).explain(path)


def test_an_unknown_path_names_the_command_that_looks_again() -> None:
    assert plan_of().explain("x").endswith("syncengine explain")


DECIDERS = {
    "rule:T11": f"rule T11: {RULES['T11']}",
    "rule:R1": "rule R1: renamed on the other side",
    "rule:newest": "policy newest",
    "user:alice": "decided by alice",
    "user:user": "decided by the user",
    "user:\x1b": r"decided by \x1b",
    "something": "something",
}


@pytest.mark.parametrize(
    ("decider", "words"), DECIDERS.items(), ids=["row", "rename", "policy", "name", "user", "hostile", "other"]
)
def test_a_decider_is_put_into_words(decider: str, words: str) -> None:
    assert decider_words(decider) == words


# ------------------------------------------------------------------------------------------------------------- numbers

SIZES = {
    0: "0 B", 999: "999 B", 1_000: "1 kB", 1_234: "1.2 kB", 9_949: "9.9 kB", 9_950: "10 kB", 41_000: "41 kB",
    999_499: "999 kB", 999_500: "1 MB", 1_200_000_000: "1.2 GB", 2**60: "1.2 EB", 10**22: "10,000 EB",
}  # fmt: skip
DURATIONS = {
    0.0: "0.0 s",
    3.44: "3.4 s",
    59.96: "1 min 0 s",
    75: "1 min 15 s",
    3_599: "59 min 59 s",
    7_260: "2 h 1 min",
}


@pytest.mark.parametrize(("size", "text"), SIZES.items(), ids=str)
def test_sizes_have_a_unit_and_few_digits(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(("seconds", "text"), DURATIONS.items(), ids=str)
def test_durations_have_the_precision_that_matters(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_counts_have_separators_and_the_right_number() -> None:
    assert count_text(12_345) == "12,345"
    assert [counted(number, "copy", "copies") for number in (0, 1, 2)] == ["0 copies", "1 copy", "2 copies"]


def test_times_beyond_the_calendar_are_shown_as_numbers() -> None:
    assert time_text(0) == "1970-01-01T00:00:00Z"
    assert time_text(2**80) == f"{2**80} ns"


def test_a_wider_column_keeps_lines_aligned() -> None:
    made = list(rows(plan_of(CREATED, MOVED)))

    assert {len(item_line(row, 40)) - len(row.detail) for row in made} == {40 + 3 + 8 + 3}
