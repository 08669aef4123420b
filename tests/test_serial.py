"""Saved forms: what is written is what is read, and nothing that was changed is read as if it had not been."""

from __future__ import annotations

import gzip
import json
import pickle
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict

import pytest
from attrs import evolve, fields
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from syncengine import serial, serial_reading
from syncengine.core import canonical
from syncengine.core.entry import Base, Extent, Kind, Problem, ProblemKind, Side, Stamp
from syncengine.core.guards import Blocker, BlockerKind, Guards, Limit
from syncengine.core.modes import ConflictPolicy, InitialSyncPreference, SyncMode
from syncengine.core.plan import Plan
from syncengine.core.plan_parts import (
    Action,
    Agreement,
    AgreementKind,
    Conflict,
    ConflictKind,
    Endpoint,
    Inside,
    Operation,
    Reason,
    Resolution,
    Settings,
    StateRef,
)
from syncengine.core.report import Outcome, Report, Status
from syncengine.errors import NotFound, PlanFormatError

GOLDEN = Path(__file__).parent / "data" / "plan-1.0.json"
ADDED_SINCE = {Resolution.MERGED}
"""What a plan can say now and could not when the golden one was saved."""

Change = Callable[[Dict[str, Any]], Any]

S, D = Side.SOURCE, Side.DESTINATION
OLD = Stamp(size=5_000, mtime_ns=1_700_000_000_123_456_789, file_id="2049:17")
NEW = Stamp(
    size=1_200_000_000, mtime_ns=1_763_819_536_000_000_001, etag="9b2cf5", version="v2", digests=("md5:aa", "sha256:bb")
)
HUGE = Stamp(size=2**60, mtime_ns=-1)


INSIDE = (
    Inside("d/kinds", Kind.DIRECTORY, Stamp()),
    Inside("d/kinds/hidden", Kind.DIRECTORY, Stamp(), holdable=False),
    Inside("d/kinds/gone", Kind.FILE, OLD, removed=True),
    Inside("d/kinds/link", Kind.SYMLINK, NEW, link="gone"),
)


def rich_plan() -> Plan:
    """Return a plan with every action, kind, conflict, agreement and problem there is."""
    operations = [
        Operation(
            Action.CREATE,
            Kind.FILE,
            D,
            "a/new.txt",
            (S, "a/new.txt"),
            None,
            evolve(NEW, size=10),
            size=10,
            reason=Reason.ONLY_AT_SOURCE,
            chosen_by="rule:T2",
            mode=0o640,
        ),
        Operation(Action.CREATE, Kind.DIRECTORY, D, "a/empty", reason=Reason.ONLY_AT_SOURCE, chosen_by="rule:T2"),
        Operation(
            Action.CREATE,
            Kind.SYMLINK,
            D,
            "a/link",
            (S, "a/link"),
            None,
            Stamp(),
            reason=Reason.ONLY_AT_SOURCE,
            link="../target",
        ),
        Operation(
            Action.UPDATE,
            Kind.FILE,
            D,
            "b/model.bin",
            (S, "b/model.bin"),
            OLD,
            NEW,
            "sha256:bb",
            True,
            1_200_000_000,
            Reason.CONTENT_DIFFERS,
            "rule:T5",
        ),
        Operation(
            Action.UPDATE,
            Kind.FILE,
            D,
            "b/was-directory",
            (S, "b/was-directory"),
            Stamp(),
            OLD,
            size=5_000,
            reason=Reason.KIND_CHANGED,
            group="kind:b/was-directory",
        ),
        Operation(
            Action.UPDATE,
            Kind.FILE,
            S,
            "back.txt",
            (D, "back.txt"),
            OLD,
            evolve(OLD, size=7),
            retain=True,
            size=7,
            reason=Reason.CHANGED_AT_DESTINATION,
            chosen_by="rule:T8",
        ),
        Operation(
            Action.DELETE, Kind.FILE, D, "c/old.txt", None, OLD, reason=Reason.REMOVED_AT_SOURCE, chosen_by="rule:T11"
        ),
        Operation(
            Action.DELETE,
            Kind.FILE,
            S,
            "c/gone.txt",
            None,
            OLD,
            reason=Reason.REMOVED_AT_DESTINATION,
            retain=True,
            chosen_by="user:alice",
        ),
        Operation(Action.DELETE, Kind.DIRECTORY, D, "c/folder", None, Stamp(), reason=Reason.REMOVED_AT_SOURCE),
        Operation(
            Action.COPY, Kind.FILE, D, "d/copy.bin", (D, "d/first.bin"), None, NEW, reason=Reason.RENAMED_AT_SOURCE
        ),
        Operation(
            Action.COPY,
            Kind.FILE,
            S,
            "d/both.conflict-0a1b2c3d.csv",
            (S, "d/both.csv"),
            None,
            OLD,
            reason=Reason.CONFLICT,
            group="conflict:d/both.csv",
            chosen_by="rule:newest",
        ),
        Operation(
            Action.UPDATE,
            Kind.FILE,
            S,
            "d/both.csv",
            (D, "d/both.csv"),
            OLD,
            NEW,
            size=9,
            reason=Reason.CONFLICT,
            group="conflict:d/both.csv",
            chosen_by="rule:newest",
        ),
        Operation(Action.MOVE, Kind.FILE, D, "raw/y.csv", (D, "raw/x.csv"), None, OLD, reason=Reason.RENAMED_AT_SOURCE),
        Operation(
            Action.MOVE,
            Kind.FILE,
            D,
            "raw/z.csv",
            (D, "raw/w.csv"),
            OLD,
            OLD,
            retain=True,
            reason=Reason.RENAMED_AT_SOURCE,
        ),
        Operation(
            Action.TOUCH, Kind.FILE, D, "run.sh", (S, "run.sh"), OLD, OLD, reason=Reason.MODE_DIFFERS, mode=0o755
        ),
        Operation(
            Action.CREATE,
            Kind.FILE,
            D,
            "names/tail-\udcff.bin",
            (S, "names/tail-\udcff.bin"),
            None,
            HUGE,
            size=2**60,
            reason=Reason.FORCED,
        ),
        Operation(
            Action.CREATE,
            Kind.FILE,
            D,
            "names/line\nbreak \x1b[31m'\"`|<b>.txt",
            (S, "names/mapped"),
            None,
            OLD,
            size=1,
            reason=Reason.PREFERENCE,
            key="names/mapped",
        ),
        Operation(
            Action.CREATE,
            Kind.FILE,
            D,
            "names/caf\u00e9 \U0001f600.txt",
            (S, "names/cafe\u0301 \U0001f600.txt"),
            None,
            OLD,
            size=1,
            reason=Reason.ONLY_AT_SOURCE,
        ),
        Operation(
            Action.CREATE,
            Kind.FILE,
            D,
            "names/cafe\u0301 \U0001f600.txt",
            (S, "names/cafe\u0301 \U0001f600.txt"),
            None,
            OLD,
            size=1,
            reason=Reason.ONLY_AT_SOURCE,
        ),
    ]
    conflicts = [
        Conflict("d/both.csv", ConflictKind.MODIFY_MODIFY, OLD, OLD, NEW, Resolution.NEWER, "rule:newest"),
        Conflict("d/deleted", ConflictKind.DELETE_MODIFY, OLD, None, NEW, Resolution.DESTINATION, "user:alice"),
        Conflict("d/kind", ConflictKind.KIND_CLASH, None, Stamp(), OLD, Resolution.SKIP, "user:bob"),
        Conflict("d/kept", ConflictKind.CREATE_CREATE, None, OLD, NEW, Resolution.KEEP_BOTH, "rule:keep-both"),
        Conflict("d/mine", ConflictKind.CREATE_CREATE, None, OLD, NEW, Resolution.SOURCE, "rule:source"),
        Conflict("d/open", ConflictKind.CREATE_CREATE, None, OLD, NEW),
    ]
    row = Base("e/same", Kind.FILE, OLD, NEW, weak=True, racy=(S,), digest="sha256:bb", generation=7)
    agreements = [
        Agreement(AgreementKind.ADOPT, "e/same", Kind.FILE, row, OLD, NEW),
        Agreement(AgreementKind.CONVERGE, "e/both", Kind.FILE, evolve(row, path="e/both"), OLD, NEW),
        Agreement(AgreementKind.FORGET, "e/gone", Kind.FILE, None),
        Agreement(AgreementKind.TOUCH, "e/touched", Kind.DIRECTORY, evolve(row, path="e/touched"), OLD, NEW),
        Agreement(AgreementKind.DORMANT, "e/asleep", Kind.FILE, evolve(row, path="e/asleep", live=False), None, NEW),
    ]
    problems = [
        Problem(kind, f"p/{kind.value}", f"it is {kind.value}", "scan", side, number % 2 == 0, extent)
        for number, (kind, side, extent) in enumerate(
            zip(ProblemKind, [S, D, None] * 5, [*Extent, *Extent, *Extent, *Extent])
        )
    ]
    return Plan.of(
        operations,
        agreements=tuple(agreements),
        conflicts=tuple(conflicts),
        problems=tuple(problems),
        source=Endpoint("s3://landing/2026", "a" * 64, "landing", ("endpoint_url", "secret"), ("size", "etag")),
        destination=Endpoint("file:///data/landing", "b" * 64, stamps=("size", "mtime_ns")),
        settings=Settings(
            mode=SyncMode.TWO_WAY,
            conflict=ConflictPolicy.NEWEST,
            initial=InitialSyncPreference.MERGE,
            scope=("a", "b"),
            guards=Guards(max_delete="5%", max_overwrite="25", max_transfer_bytes=2**61, protect=("*.key",)),
            trash="file:///trash",
            path_map=(("names/mapped", "names/line"),),
            metadata=("mode",),
            require_complete=True,
        ),
        base=StateRef("default", "5f0c", 7),
        created_at="2026-11-22T13:52:16Z",
        unchanged=12_345,
        excluded=6,
        live={S: 100, D: 2**54},
        findings=(Blocker(BlockerKind.SIDE_EMPTIED, "the source lost everything", S),),
        parent_digest="sha256:" + "1" * 64,
        original_digest="sha256:" + "2" * 64,
        recipe_digest="sha256:" + "3" * 64,
        split="a",
    ).approve(by="alice", note="ticket 42")  # fmt: skip


def small_plan(**changes: Any) -> Plan:
    whole: Dict[str, Any] = {
        "agreements": (),
        "conflicts": (),
        "problems": (),
        "source": Endpoint("file:///a", "a"),
        "destination": Endpoint("file:///b", "b"),
        "settings": Settings(),
        "base": StateRef(),
        "created_at": "2026-11-22T13:52:16Z",
        **changes,
    }
    return Plan.of(whole.pop("operations", ()), **whole)


def create(path: str, **changes: Any) -> Operation:
    return evolve(Operation(Action.CREATE, Kind.FILE, D, path, (S, path), None, OLD, size=5), **changes)


def report_of(plan: Plan) -> Report:
    """Return a report with every status in turn, ended in another order than the plan's."""
    outcomes = [
        Outcome(
            operation,
            status,
            None if status is Status.DONE else Problem(ProblemKind.DENIED, operation.path, "no", "execute", D),
            attempts=number,
            bytes=operation.size,
            seconds=number / 3,
            before=operation.expect_target,
            after=NEW,
            origin=operation.expect_origin,
            digest="sha256:bb",
            retained_at=f".syncengine-trash/run/{operation.path}" if operation.retain else None,
        )
        for number, (operation, status) in enumerate(zip(plan.operations, [*Status] * 9))
    ]
    return Report(
        plan, tuple(reversed(outcomes)), "20261122T135216Z-1a2b3c4d", "2026-11-22T13:52:16Z", "2026-11-22T13:52:20.5Z",
        interrupted=True, recorded=4, notes=("a note",),
    )  # fmt: skip


def values(plan: Plan) -> Dict[str, Any]:
    """Return everything a plan holds, which is more than its equality compares."""
    own = ("_cache", "live_clients")
    return {field.name: getattr(plan, field.name) for field in fields(Plan) if field.name not in own}


# ------------------------------------------------------------------------------------------------------- round trips


def test_a_plan_is_read_as_it_was_written() -> None:
    plan = rich_plan()
    read = Plan.from_json(plan.to_json())

    assert values(read) == values(plan)
    assert read.digest == plan.digest
    assert read.to_json() == plan.to_json()


def test_a_report_is_read_as_it_was_written_and_can_be_retried() -> None:
    report = report_of(rich_plan())
    read = Report.from_json(report.to_json())

    assert values(read.plan) == values(report.plan)
    assert read == report
    assert read.remaining() == report.remaining()
    assert read.remaining().operations
    assert read.to_json() == report.to_json()


def test_a_report_where_nothing_was_started_leaves_the_whole_plan_to_do() -> None:
    plan = rich_plan()
    outcomes = tuple(Outcome(operation, Status.NOT_STARTED) for operation in plan.operations)
    report = Report.from_json(evolve(report_of(plan), outcomes=outcomes).to_json())

    assert values(report.remaining()) == values(plan)


def test_an_outcome_is_read_from_its_line() -> None:
    for outcome in report_of(rich_plan()).outcomes:
        line = json.dumps(serial.outcome_record(outcome))

        assert serial.outcome_from_record(json.loads(line)) == outcome


def test_the_golden_plan_of_format_1_0_loads_for_ever() -> None:
    assert values(Plan.load(GOLDEN)) == values(rich_plan())


def test_the_golden_plan_holds_every_member_of_every_closed_set() -> None:
    text = GOLDEN.read_text("ascii")
    plan = Plan.load(GOLDEN)

    assert {operation.action for operation in plan} == set(Action)
    assert {operation.kind for operation in plan} == set(Kind)
    assert {conflict.kind for conflict in plan.conflicts} == set(ConflictKind)
    assert {conflict.resolution for conflict in plan.conflicts} == {*Resolution, None} - ADDED_SINCE
    assert {agreement.kind for agreement in plan.agreements} == set(AgreementKind)
    assert {problem.kind for problem in plan.problems} == set(ProblemKind)
    assert "\\udcff" in text


@pytest.mark.parametrize("name", ["plan.json", "plan.json.gz"])
def test_a_saved_plan_loads_and_only_its_owner_can_read_it(tmp_path: Path, name: str) -> None:
    plan = rich_plan()
    plan.save(tmp_path / name)

    assert values(Plan.load(tmp_path / name)) == values(plan)
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_saved_report_loads_and_is_told_from_a_plan(tmp_path: Path) -> None:
    plan = rich_plan()
    report = report_of(plan)
    plan.save(tmp_path / "plan")
    report.save(tmp_path / "report.gz")

    assert Report.load(tmp_path / "report.gz") == report
    assert serial.load_any(tmp_path / "report.gz") == report
    assert serial.load_any(tmp_path / "plan") == plan


def test_compressed_files_of_equal_plans_are_equal_bytes(tmp_path: Path) -> None:
    for name in ("one.gz", "two.gz"):
        rich_plan().save(tmp_path / name)

    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()
    assert gzip.decompress((tmp_path / "one.gz").read_bytes()).decode("ascii") == rich_plan().to_json()


def test_a_plan_survives_pickling_without_its_clients() -> None:
    plan = evolve(rich_plan(), live_clients=(object(),))

    assert values(pickle.loads(pickle.dumps(plan))) == values(plan)


def test_saving_where_it_is_impossible_names_the_place_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        rich_plan().save(tmp_path / "nowhere" / "plan.json")
    with pytest.raises(NotFound, match="missing"):
        Plan.load(tmp_path / "missing.json")


# ------------------------------------------------------------------------------------------------------- the document


def test_every_item_stands_on_its_own_line_in_order() -> None:
    plan = rich_plan()
    text = plan.to_json()
    document = json.loads(text)
    lines = [json.loads(line.rstrip(",")) for line in text.splitlines() if line.startswith("  {")]

    assert text.isascii()
    assert list(document)[:3] == ["format", "format_version", "digest"]
    assert list(document)[-4:] == ["problems", "conflicts", "operations", "agreements"]
    assert lines == [item for name in list(document)[-4:] for item in document[name]]
    assert sum('"action": "delete"' in line for line in text.splitlines()) == 3


def test_large_integers_and_all_times_are_decimal_text() -> None:
    document = json.loads(rich_plan().to_json())
    huge = next(item for item in document["operations"] if item["reason"] == "forced")

    assert huge["size"] == str(2**60)
    assert huge["expect_origin"] == {"size": str(2**60), "mtime_ns": "-1"}
    assert document["live"] == {"source": 100, "destination": str(2**54)}


def test_defaults_are_left_out_but_absence_at_the_target_is_always_written() -> None:
    (item,) = json.loads(small_plan(operations=[create("a")]).to_json())["operations"]

    assert item["expect_target"] is None
    assert not item.keys() & {"retain", "group", "digest", "key", "mode", "link", "chosen_by"}


def test_hand_written_records_know_every_field() -> None:
    """The two records that are written out by hand name what their classes have."""
    operation = Operation(
        Action.MOVE,
        Kind.FILE,
        D,
        "a",
        (S, "b"),
        OLD,
        NEW,
        "sha256:x",
        True,
        1,
        Reason.FORCED,
        "user:x",
        "g",
        "k",
        1,
        "l",
        OLD,
        1,
        "Yw==",
    )
    stamp = Stamp(1, 2, "e", "v", ("d:1",), "f")  # fmt: skip

    assert set(canonical.operation_record(operation)) == {field.name for field in fields(Operation)}
    assert set(canonical.stamp_record(stamp)) == {field.name for field in fields(Stamp)}


@pytest.mark.parametrize("name", ["plan", "report"])
def test_the_published_schema_describes_what_is_saved(name: str) -> None:
    saved = rich_plan() if name == "plan" else report_of(rich_plan())
    validator = Draft7Validator(serial.schema(name))
    document = json.loads(saved.to_json())

    validator.check_schema(serial.schema(name))
    assert [error.message for error in validator.iter_errors(document)] == []


def test_what_faces_a_file_is_saved_with_the_conflict() -> None:
    clash = Conflict("d/kinds", ConflictKind.KIND_CLASH, None, Stamp(), OLD, inside=INSIDE)
    plan = evolve(rich_plan(), conflicts=(clash,))

    assert Plan.from_json(plan.to_json()).conflicts == (clash,)
    Draft7Validator(serial.schema("plan")).validate(json.loads(plan.to_json()))


def test_a_path_inside_a_clash_cannot_lead_out_of_the_root() -> None:
    outside = Inside("../../etc/passwd", Kind.FILE, OLD)
    clash = Conflict("d/kinds", ConflictKind.KIND_CLASH, None, Stamp(), OLD, inside=(outside,))

    with pytest.raises(PlanFormatError, match=r"has a '\.\.' part"):
        Plan.from_json(evolve(rich_plan(), conflicts=(clash,)).to_json())


def test_the_published_schema_knows_every_field_and_refuses_others() -> None:
    known = serial.schema("report")["definitions"]
    document = json.loads(rich_plan().to_json())
    document["operations"][0]["surprise"] = 1

    for kind in (
        Operation,
        Stamp,
        Conflict,
        Inside,
        Agreement,
        Base,
        Problem,
        Endpoint,
        Settings,
        Guards,
        Limit,
        Outcome,
    ):
        name = {"Base": "row"}.get(kind.__name__, kind.__name__.lower())
        saved = {field.name for field in fields(kind) if field.metadata.get("saved", True)}
        assert set(known[name]["properties"]) == saved
    assert not Draft7Validator(serial.schema("plan")).is_valid(document)


# --------------------------------------------------------------------------------------------------------- the digest

DECIDES: Dict[str, Callable[[Plan], Plan]] = {
    "a header of objects": lambda plan: evolve(
        plan, settings=evolve(plan.settings, object_headers=(("*", "cache_control", "no-cache"),))
    ),
    "an operation less": lambda plan: evolve(plan, operations=plan.operations[1:]),
    "another size": lambda plan: evolve(plan, operations=(evolve(plan.operations[0], size=99), *plan.operations[1:])),
    "a conflict less": lambda plan: evolve(plan, conflicts=plan.conflicts[1:]),
    "an agreement less": lambda plan: evolve(plan, agreements=plan.agreements[1:]),
    "a problem less": lambda plan: evolve(plan, problems=plan.problems[1:]),
    "another source": lambda plan: evolve(plan, source=evolve(plan.source, identity="x")),
    "another destination": lambda plan: evolve(plan, destination=evolve(plan.destination, url="file:///x")),
    "another base": lambda plan: evolve(plan, base=evolve(plan.base, generation=8)),
    "another mode": lambda plan: evolve(plan, settings=evolve(plan.settings, mode=SyncMode.SOURCE_BACKUP)),
    "another limit": lambda plan: evolve(plan, settings=evolve(plan.settings, guards=Guards.off())),
    "another denominator": lambda plan: evolve(plan, live={S: 1, D: 1}),
    "no finding": lambda plan: evolve(plan, findings=()),
    "another root": lambda plan: evolve(plan, original_digest="sha256:" + "9" * 64),
}
DOES_NOT_DECIDE: Dict[str, Callable[[Plan], Plan]] = {
    "the time": lambda plan: evolve(plan, created_at="2030-01-01T00:00:00Z"),
    "counts of what is left alone": lambda plan: evolve(plan, unchanged=0, excluded=0),
    "approvals": lambda plan: plan.approve(by="bob"),
    "the parent": lambda plan: evolve(plan, parent_digest=None),
    "the name of the part": lambda plan: evolve(plan, split="b"),
    "the recipe's digest": lambda plan: evolve(plan, recipe_digest=None),
    "the order of the sides in a mapping": lambda plan: evolve(plan, live={D: plan.live[D], S: plan.live[S]}),
}


@pytest.mark.parametrize("change", DECIDES.values(), ids=DECIDES)
def test_the_digest_covers_what_decides(change: Callable[[Plan], Plan]) -> None:
    assert change(rich_plan()).digest != rich_plan().digest


@pytest.mark.parametrize("change", DOES_NOT_DECIDE.values(), ids=DOES_NOT_DECIDE)
def test_the_digest_does_not_cover_what_does_not_decide(change: Callable[[Plan], Plan]) -> None:
    assert change(rich_plan()).digest == rich_plan().digest


def test_the_digest_needs_no_heavy_library() -> None:
    program = (
        "import sys, syncengine\n"
        "from syncengine.core.plan import *\n"
        "end = Endpoint('file:///a', 'a')\n"
        "plan = Plan.of((), agreements=(), conflicts=(), problems=(), source=end, destination=end,\n"
        "               settings=Settings(), base=StateRef(), created_at='')\n"
        "assert plan.digest.startswith('sha256:')\n"
        "print(*sorted({'cattrs', 'gzip', 'tempfile', 'rich', 'fsspec', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []


# ------------------------------------------------------------------------------------------- what is not read silently


def tampered(change: Change, plan: Plan | None = None) -> str:
    document = json.loads((plan or rich_plan()).to_json())
    change(document)
    return json.dumps(document)


def setting(section: str, number: int, **changes: Any) -> Change:
    return lambda document: document[section][number].update(changes)


def removing(section: str, number: int, name: str) -> Change:
    return lambda document: document[section][number].pop(name)


NOT_PLANS = {
    "nothing": ("", "line 1"),
    "text that is not JSON": ("plan: 1", "line 1"),
    "a list": ("[]", "not a JSON object"),
    "another document": ('{"format": "terraform"}', "its format is 'terraform'"),
    "a number that is none": ('{"format": NaN}', "NaN"),
    "a deep nest": ("[" * 100_000, "not a saved plan"),
}

REFUSED: Dict[str, tuple[Change, str]] = {
    "a newer major version": (lambda d: d.update(format_version="2.0"), "reads 1.x"),
    "a version that is none": (lambda d: d.update(format_version=1), "not two numbers"),
    "a header field less": (lambda d: d.pop("base"), "lacks base"),
    "an unknown header field": (lambda d: d.update(extra=1), "unknown fields: extra"),
    "operations that are no list": (lambda d: d.update(operations={}), "operations is not a list"),
    "totals that are no object": (lambda d: d.update(totals=[]), "totals is not"),
    "a raised limit": (lambda d: d["settings"]["guards"].update(max_delete=None), "hand-edited"),
    "a removed operation": (lambda d: d["operations"].pop(), "hand-edited"),
    "a removed problem": (lambda d: d["problems"].pop(), "hand-edited"),
    "a false completeness": (lambda d: d.update(complete=True), "complete"),
    "a changed root digest": (lambda d: d.update(original_digest=None), "hand-edited"),
    "an operation twice": (lambda d: d["operations"].append(d["operations"][0]), "two operations"),
    "a changed path": (setting("operations", 0, path="a/aaa"), "syncengine edit --seal"),
    "a changed precondition": (setting("operations", 3, expect_target={}), "hand-edited"),
    "an unknown action": (setting("operations", 3, action="burn"), r"'burn'.*item 4 \(b/model.bin\)"),
    "an unknown field of an operation": (setting("operations", 0, only_on="monday"), "fields: only_on.*item 1"),
    "an unknown field of a stamp": (setting("operations", 3, expect_target={"color": 1}), "unknown fields: color"),
    "an unknown field of a conflict": (setting("conflicts", 1, until="noon"), r"until.*item 2 \(d/deleted\)"),
    "an unknown field of the guards": (lambda d: d["settings"]["guards"].update(max_fun=1), "max_fun.*settings"),
    "no expectation of the target": (removing("operations", 0, "expect_target"), "expect_target"),
    "no expectation of the origin": (removing("operations", 3, "expect_origin"), "expect_origin"),
    "a conflict without a side": (removing("conflicts", 1, "source"), "'source'"),
    "an operation without a path": (removing("operations", 0, "path"), "'path'"),
    "text for a flag": (setting("operations", 0, retain="yes"), "neither true nor false"),
    "a fraction for a size": (setting("operations", 0, size=1.5), "not a whole number"),
    "a flag for a size": (setting("operations", 0, size=True), "not a whole number"),
    "a number for a path": (setting("operations", 0, path=5), "not text"),
    "an operation that is no object": (lambda d: d["operations"].insert(0, 5), "item 1"),
    "a path out of the root": (setting("operations", 0, path="../x"), r"'\.\.' part"),
    "an origin out of the root": (setting("operations", 3, origin=["source", "/etc/passwd"]), "is absolute"),
    "an origin on no side": (setting("operations", 3, origin=["elsewhere", "a"]), "'elsewhere'"),
    "an origin that is text": (setting("operations", 3, origin="a"), "not a side and a path"),
    "a conflict out of the root": (setting("conflicts", 0, path="a//b"), "empty part"),
    "an agreement out of the root": (setting("agreements", 0, path="a\0b"), "NUL"),
}


@pytest.mark.parametrize(("text", "says"), NOT_PLANS.values(), ids=NOT_PLANS)
def test_a_document_of_another_kind_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(PlanFormatError, match=says) as refused:
        Plan.from_json(text)

    assert refused.value.exit_code == 2


@pytest.mark.parametrize(("change", "says"), REFUSED.values(), ids=REFUSED)
def test_a_document_that_is_not_the_sealed_plan_is_refused_with_the_reason(change: Change, says: str) -> None:
    with pytest.raises(PlanFormatError, match=says):
        Plan.from_json(tampered(change))


def test_a_truncated_plan_never_loads() -> None:
    text = rich_plan().to_json()
    for end in range(0, len(text) - 2, 97):
        with pytest.raises(PlanFormatError):
            Plan.from_json(text[:end])


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    rich_plan().save(tmp_path / "plan.gz")
    content = (tmp_path / "plan.gz").read_bytes()
    for damaged in (content[:-20], content[:50] + b"\xff\xff" + content[52:], b"\xff\xfe{}"):
        (tmp_path / "plan.gz").write_bytes(damaged)
        with pytest.raises(PlanFormatError, match=r"plan\.gz"):
            Plan.load(tmp_path / "plan.gz")


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_a_changed_byte_never_loads_as_a_different_plan(place: int, byte: int) -> None:
    plan = rich_plan()
    content = bytearray(plan.to_json().encode("ascii"))
    content[place % len(content)] = byte
    try:
        read = Plan.from_json(content.decode("latin-1"))
    except PlanFormatError:
        return

    assert read.digest == plan.digest
    assert read.operations == plan.operations
    assert read.settings == plan.settings


def test_a_changed_operation_in_a_report_is_refused() -> None:
    document = json.loads(report_of(rich_plan()).to_json())
    document["outcomes"][0]["operation"]["expect_origin"] = {"size": 1}

    with pytest.raises(PlanFormatError, match="hand-edited"):
        Report.from_json(json.dumps(document))


REPORTS_REFUSED: Dict[str, Change] = {
    "an unknown status": lambda d: d["outcomes"][0].update(status="fine"),
    "an unknown field of an outcome": lambda d: d["outcomes"][0].update(extra=1),
    "a plan that is no object": lambda d: d.update(plan=[]),
    "an outcome that is no object": lambda d: d.update(outcomes=[5]),
    "text for seconds": lambda d: d["outcomes"][0].update(seconds="long"),
    "text for interrupted": lambda d: d.update(interrupted="no"),
}


@pytest.mark.parametrize("change", REPORTS_REFUSED.values(), ids=REPORTS_REFUSED)
def test_a_document_that_is_not_a_report_is_refused(change: Change) -> None:
    document = json.loads(report_of(rich_plan()).to_json())
    change(document)
    with pytest.raises(PlanFormatError):
        Report.from_json(json.dumps(document))


# ----------------------------------------------------------------------------------------------------- newer versions


def newer(change: Change) -> str:
    """Return a document as a later minor version would have sealed it."""
    document = json.loads(rich_plan().to_json())
    document["format_version"] = "1.7"
    change(document)
    document["digest"] = serial_reading.raw_digest(document)
    return json.dumps(document)


def test_a_newer_minor_version_may_say_more_in_its_header() -> None:
    text = newer(lambda document: document.update(weather="fine"))

    assert Plan.from_json(text) == rich_plan()
    assert serial.plan_from_json(text, for_showing=True) == rich_plan()


@pytest.mark.parametrize("section", ["operations", "conflicts"])
def test_a_newer_field_of_an_item_can_be_shown_but_not_applied(section: str) -> None:
    text = newer(lambda document: document[section][0].update(only_on="monday"))

    with pytest.raises(PlanFormatError, match="unknown fields: only_on"):
        Plan.from_json(text)
    shown = serial.plan_from_json(text, for_showing=True)
    assert shown.operations == rich_plan().operations
    assert shown.digest == json.loads(text)["digest"] != rich_plan().digest


def test_a_plan_read_for_showing_cannot_be_saved_without_what_was_ignored() -> None:
    text = newer(lambda document: document["operations"][0].update(only_on="monday"))
    again = serial.plan_from_json(text, for_showing=True).to_json()

    with pytest.raises(PlanFormatError, match="digest"):
        Plan.from_json(again)


def test_a_plan_for_showing_is_still_checked_against_its_digest() -> None:
    with pytest.raises(PlanFormatError, match="hand-edited"):
        serial.plan_from_json(tampered(lambda d: d["operations"].pop()), for_showing=True)


def test_a_field_with_a_default_added_later_does_not_change_old_digests() -> None:
    header = canonical.deciding(rich_plan())
    lists = {name: list(lines) for name, lines in canonical.lines(rich_plan()).items()}

    assert canonical.digest_of({**header, "added_in_1_1": None}, lists) == rich_plan().digest


# ------------------------------------------------------------------------------------------------------------ sealing


def test_a_hand_edited_plan_is_sealed_again_and_names_its_parent(tmp_path: Path) -> None:
    plan = evolve(rich_plan(), original_digest=None, approvals=())
    edited = tampered(lambda document: document["operations"].reverse() or document["operations"].pop(), plan)
    (tmp_path / "edited.json").write_text(edited)
    sealed = serial.seal(tmp_path / "edited.json")

    assert len(sealed) == len(plan) - 1
    assert sealed.parent_digest == plan.digest
    assert sealed.root_digest == plan.digest
    assert sealed.approvals == ()
    assert Plan.from_json(sealed.to_json()) == sealed == serial.seal(edited)


def test_sealing_a_plan_that_was_not_edited_changes_nothing() -> None:
    assert values(serial.seal(rich_plan().to_json())) == values(rich_plan())


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", ""])
def test_sealing_still_refuses_paths_that_leave_the_root(path: str) -> None:
    with pytest.raises(PlanFormatError, match="path"):
        serial.seal(tampered(lambda document: document["operations"][0].update(path=path)))


# -------------------------------------------------------------------------------------------------------------- secrets


def test_a_secret_of_the_live_clients_is_in_no_saved_form(tmp_path: Path) -> None:
    secret = "hunter2-planted"

    class Client:
        def __repr__(self) -> str:
            return f"Client(secret={secret})"

    plan = evolve(rich_plan(), live_clients=(Client(), secret))
    report = report_of(plan)
    plan.save(tmp_path / "plan")
    report.save(tmp_path / "report")
    outputs = [plan.to_json(), report.to_json(), repr(pickle.dumps(plan)), repr(plan), repr(report)]
    outputs += [path.read_text() for path in tmp_path.iterdir()]
    outputs += [json.dumps(serial.outcome_record(outcome)) for outcome in report.outcomes]

    assert [text for text in outputs if secret in text] == []


# ---------------------------------------------------------------------------------------------------------- properties

parts = st.text(
    st.one_of(
        st.sampled_from("ab.\n\x1b'\"`|<>&[]\\ \u00e9e\u0301\U0001f600\udcff\udc80\u2028"),
        st.characters(blacklist_categories=("Cs",), blacklist_characters="/\0"),
    ),
    min_size=1,
    max_size=8,
).filter(lambda part: part not in (".", ".."))
paths = st.lists(parts, min_size=1, max_size=3).map("/".join).filter(lambda path: not canonical_refuses(path))
integers = st.integers(0, 2**70)
texts = st.text(st.characters(blacklist_categories=("Cs",)), max_size=5)
stamps = st.builds(
    Stamp, st.none() | integers, st.none() | st.integers(-(2**70), 2**70), st.none() | texts, st.none() | texts,
    st.lists(texts, max_size=2).map(tuple), st.none() | texts,
)  # fmt: skip
operations = st.builds(
    Operation, st.sampled_from(Action), st.sampled_from(Kind), st.sampled_from(Side), paths,
    st.none() | st.tuples(st.sampled_from(Side), paths), st.none() | stamps, st.none() | stamps, st.none() | texts,
    st.booleans(), integers, st.sampled_from(Reason), texts, st.none() | texts, st.none() | paths,
    st.none() | st.integers(0, 0o7777), st.none() | texts,
)  # fmt: skip
conflicts = st.builds(
    Conflict, paths, st.sampled_from(ConflictKind), st.none() | stamps, st.none() | stamps, st.none() | stamps,
    st.none() | st.sampled_from(Resolution), texts,
)  # fmt: skip
rows = st.builds(
    Base, paths, st.sampled_from(Kind), stamps, stamps, st.booleans(), st.booleans(),
    st.lists(st.sampled_from(Side), max_size=2).map(tuple), st.none() | texts, integers,
)  # fmt: skip
agreements = st.builds(
    Agreement, st.sampled_from(AgreementKind), paths, st.sampled_from(Kind), st.none() | rows, st.none() | stamps,
    st.none() | stamps,
)  # fmt: skip


def canonical_refuses(path: str) -> bool:
    from syncengine.core.paths import refusal

    return refusal(path) is not None


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(operations, max_size=4, unique_by=lambda operation: (operation.path, operation.target)),
    st.lists(conflicts, max_size=2).map(tuple),
    st.lists(agreements, max_size=2).map(tuple),
)
def test_any_plan_is_read_as_it_was_written(
    made: list[Operation], disputed: tuple[Conflict, ...], agreed: tuple[Agreement, ...]
) -> None:
    plan = small_plan(operations=made, conflicts=disputed, agreements=agreed)
    read = Plan.from_json(plan.to_json())

    assert values(read) == values(plan)
    assert read.digest == plan.digest


outcomes = st.builds(
    Outcome, operations, st.sampled_from(Status), st.none() | st.just(Problem(ProblemKind.DENIED, "a", "no")),
    st.integers(0, 3), integers, st.floats(0, 1e9), st.none() | stamps, st.none() | stamps, st.none() | stamps,
    st.none() | texts, st.none() | texts,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(outcomes)
def test_a_line_put_together_by_hand_is_the_line_of_its_record(outcome: Outcome) -> None:
    assert serial.outcome_line(outcome) == canonical.line(serial.outcome_record(outcome))
    assert canonical.operation_line(outcome.operation) == canonical.line(canonical.operation_record(outcome.operation))
