"""Results to standard output, everything else to standard error; JSON is one document; nothing secret is printed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Callable, Sequence, Tuple

import click
import pytest
from attrs import evolve

from syncengine import PartialApplyError, Plan, Report
from syncengine.cli.__main__ import COMMANDS, commands
from syncengine.cli.output import Output
from syncengine.core.plan_parts import Approval
from syncengine.core.report import Status

from ..servers import ftp_server, http_server
from ..trees import files, write
from .conftest import AtTerminal, Run


@pytest.fixture
def saved(run: Run, sides: Path) -> Path:
    """A folder with a saved plan, the report of its run, and a recipe."""
    run("plan", "a", "b", "-o", "plan.json")
    run("apply", "plan.json", "--report", "report.json")
    recipe = 'format = "syncengine.recipe/1"\nsource = "a"\ndestination = "b"\nmode = "two-way"\n'
    write(sides, {"pair.toml": recipe})
    return sides


JSON: Sequence[Sequence[str]] = [
    ["plan", "a", "b", "--json"],
    ["plan", "pair.toml", "--json"],
    ["show", "plan.json", "--json"],
    ["show", "report.json", "--json"],
    ["apply", "plan.json", "--json"],
    ["sync", "a", "b", "--yes", "--json"],
    ["check", "a", "b", "--json"],
    ["history", "a", "b", "--json"],
    ["history", "--json"],
    ["state", "list", "--json"],
    ["state", "show", "a", "b", "--json"],
    ["doctor", "--json"],
    ["doctor", "a", "--json"],
    ["recipe", "validate", "pair.toml", "--json"],
    ["recipe", "show", "pair.toml", "--json"],
    ["recipe", "schema", "--json"],
]


@pytest.mark.parametrize("arguments", JSON, ids=" ".join)
def test_json_is_exactly_one_document_and_never_coloured(
    arguments: Sequence[str], run: Run, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    ended = run(*arguments)
    assert ended.code == 0, ended.stderr
    assert json.loads(ended.stdout) is not None
    assert "\x1b" not in ended.stdout


def test_a_refused_sync_still_prints_its_document(run: Run, sides: Path) -> None:
    write(sides, {"b/old": "old"})
    ended = run("sync", "a", "b", "--mode", "std", "--protect", "old", "--yes", "--json")
    assert ended.code == 6
    document = json.loads(ended.stdout)
    assert document["report"] is None
    assert [each["path"] for each in document["plan"]["operations"]] == ["old", "sub/y.txt", "x.txt"]


def test_the_documents_are_the_saved_forms(run: Run, sides: Path) -> None:
    document = json.loads(run("sync", "a", "b", "--yes", "--json").stdout)
    assert Plan.from_json(json.dumps(document["plan"])).digest == document["plan"]["digest"]
    assert Report.from_json(json.dumps(document["report"])).ok


def test_show_prints_the_saved_form_itself_and_also_of_a_newer_version(run: Run, saved: Path) -> None:
    text = (saved / "plan.json").read_text()
    assert run("show", "plan.json", "--json").stdout == text
    newer = text.replace('"format_version": "1.0"', '"format_version": "1.7",\n "weather": "fine"')
    write(saved, {"newer.json": newer})
    assert run("show", "newer.json", "--json").stdout == newer
    assert "+> x.txt" in run("show", "newer.json").stdout


def test_show_reads_compressed_plans(run: Run, sides: Path) -> None:
    run("plan", "a", "b", "-o", "plan.json.gz")
    assert "+> x.txt" in run("show", "plan.json.gz").stdout
    assert json.loads(run("show", "plan.json.gz", "--json").stdout)["format"] == "syncengine.plan"


def test_itemize_prints_one_line_for_each_operation_and_outcome(run: Run, saved: Path) -> None:
    planned = run("show", "plan.json", "--itemize").stdout.splitlines()
    assert [line.split()[:2] for line in planned] == [["+>", "sub/y.txt"], ["+>", "x.txt"]]
    done = run("show", "report.json", "--itemize").stdout.splitlines()
    assert [line.split()[:3] for line in done] == [["done", *line.split()[:2]] for line in planned]


def test_markdown_and_html_are_views_of_the_same_plan(run: Run, saved: Path) -> None:
    assert "| path | size | why |" in run("show", "plan.json", "--markdown").stdout
    assert run("show", "report.json", "--markdown").code == 2
    for name in ("plan.json", "report.json"):
        assert run("show", name, "--html", "page.html").code == 0
        page = (saved / "page.html").read_text()
        assert page.startswith("<!doctype html>")
        assert "x.txt" in page
        assert "<script" not in page


def test_a_plan_that_was_not_saved_says_so_and_a_saved_one_says_how_to_apply_it(run: Run, sides: Path) -> None:
    assert "not saved: what `sync` does may differ" in run("plan", "a", "b").stderr
    ended = run("plan", "a", "b", "-o", "my plan.json")
    digest = Plan.load(sides / "my plan.json").digest
    assert f"syncengine apply 'my plan.json' --expect-digest {digest}" in ended.stderr
    assert run("plan", "a", "b", "-q").stderr == ""


def test_the_report_of_a_run_is_saved_where_it_was_asked_for_and_resumes_it(run: Run, sides: Path) -> None:
    run("plan", "a", "b", "-o", "plan.json")
    content = (sides / "a/x.txt").stat()
    write(sides, {"a/x.txt": "two and more"})
    assert run("apply", "plan.json", "--on-stale", "skip", "--report", "report.json").code == 3
    write(sides, {"a/x.txt": "one"})
    os.utime(sides / "a/x.txt", ns=(content.st_atime_ns, content.st_mtime_ns))
    resumed = run("apply", "--resume", "report.json")
    assert resumed.code == 0, resumed.stderr
    assert files(sides / "b") == {"x.txt": "one", "sub/y.txt": "two"}


def test_a_report_resumes_no_other_plan(run: Run, saved: Path) -> None:
    run("plan", "b", "a", "-o", "other.json")
    assert run("apply", "other.json", "--resume", "report.json").code == 2


def test_applying_a_plan_twice_says_that_nothing_was_done(run: Run, saved: Path) -> None:
    ended = run("apply", "plan.json")
    assert ended.code == 0
    note, counts = ended.stdout.splitlines()[:2]
    assert "applied before" in note
    assert counts.startswith("that run: 2 done")


@pytest.fixture
def left(run: Run, sides: Path) -> Callable[[Status], Report]:
    """Make the report of a run that left one file, with this status."""

    def make(status: Status) -> Report:
        run("plan", "a", "b", "-o", "plan.json")
        write(sides, {"a/x.txt": "changed since"})
        run("apply", "plan.json", "--on-stale", "skip", "--report", "stale.json")
        report = Report.load("stale.json")
        outcomes = [evolve(each, status=status) if each in report.undone else each for each in report.outcomes]
        report = evolve(report, outcomes=tuple(outcomes))
        report.save("left over.json")
        return report

    return make


RESUME = "syncengine apply --resume 'left over.json'"
GO_ON: Sequence[Tuple[Status, bool, bool, str]] = [
    (Status.FAILED, False, True, "to do what is left, run the same command again"),
    (Status.FAILED, False, False, "then: syncengine apply --resume FILE"),
    (Status.FAILED, True, True, f"; to do what is left: {RESUME}"),
    (Status.FAILED, True, False, f"; to do what is left: {RESUME}"),
    (Status.STALE, False, True, "to do what is left, run the same command again"),
    (Status.STALE, False, False, "to do what is left, plan again"),
    (Status.STALE, True, True, "; to do what is left, run the same command again"),
    (Status.STALE, True, False, "; to do what is left, plan again"),
]


@pytest.mark.parametrize(("status", "is_saved", "replans", "end"), GO_ON)
def test_a_run_that_left_something_says_what_does_it(
    status: Status,
    is_saved: bool,
    replans: bool,
    end: str,
    left: Callable[[Status], Report],
    capsys: pytest.CaptureFixture[str],
) -> None:
    Output().after(left(status), "left over.json" if is_saved else None, replans=replans)
    assert capsys.readouterr().err.endswith(f"{end}\n")


def test_what_was_stale_is_called_so_everywhere_and_takes_a_new_plan(
    run: Run, sides: Path, left: Callable[[Status], Report]
) -> None:
    report = left(Status.STALE)
    assert dict(report.reasons) == {"stale": 1}
    with pytest.raises(PartialApplyError, match=r"1 operation not done \(1 stale\)\. Plan again"):
        report.raise_for_status()
    ended = run("apply", "plan.json", "--on-stale", "skip")
    assert "  x.txt: stale, " in ended.stdout
    assert run("apply", "--resume", "stale.json").code == 5


@pytest.mark.parametrize(("status", "end"), [(Status.FAILED, f": {RESUME}"), (Status.STALE, ", plan again")])
def test_show_says_which_command_does_what_a_report_left(
    status: Status, end: str, run: Run, left: Callable[[Status], Report]
) -> None:
    left(status)
    assert run("show", "left over.json").stderr == f"to do what is left{end}\n"


def test_show_names_who_approved_a_plan(run: Run, sides: Path) -> None:
    run("plan", "a", "b", "-o", "plan.json")
    run("edit", "plan.json", "--approve", "alice", "--note", "42", "-o", "signed.json")
    assert run("show", "signed.json").stdout.splitlines()[-1] == "approved by alice: 42"
    assert "approved by" not in run("show", "plan.json").stdout


def test_show_says_that_an_approval_is_of_another_form_of_the_plan(run: Run, sides: Path) -> None:
    run("plan", "a", "b", "-o", "plan.json")
    evolve(Plan.load("plan.json"), approvals=(Approval("alice", "", "sha256:0"),)).save("pasted.json")
    assert run("show", "pasted.json").stdout.splitlines()[-1] == "approved by alice (of another form of this plan)"


def test_refusals_name_options_and_not_arguments(run: Run, sides: Path) -> None:
    write(sides, {"empty": None})
    run("sync", "a", "b", "--yes")
    blocked = run("plan", "empty", "b", "--mode", "std")
    assert "pass --allow-emptied." in blocked.stdout + blocked.stderr
    refused = run("sync", "a", "empty", "--max-transfer-bytes", "1", "--yes")
    assert "raise --max-transfer-bytes" in refused.stderr
    said = blocked.stdout + blocked.stderr + refused.stdout + refused.stderr
    assert not [word for word in ("allow_emptied", "guards.") if word in said]


def test_what_is_written_to_memory_is_said_to_be_gone_at_the_end(run: Run, sides: Path) -> None:
    assert "gone when this command ends" in run("sync", "a", "memory://gone", "--yes").stderr
    assert "gone when this command ends" not in run("sync", "a", "b", "--yes").stderr


def test_a_check_that_left_something_unverified_says_what_would_verify_it(run: Run, sides: Path) -> None:
    write(sides, {"b/x.txt": "one", "b/sub/y.txt": "two"})
    with http_server(sides / "a") as url:
        assert "--download" in run("check", url, "b").stderr
        assert "--download" not in run("check", url, "b", "--download").stderr
    assert "--download" not in run("check", "a", "b").stderr


def test_events_are_json_lines_on_standard_error_and_nothing_else_is_there(run: Run) -> None:
    ended = run("sync", "a", "b", "--yes", "--events")
    events = [json.loads(line)["event"] for line in ended.stderr.splitlines()]
    assert events[0] in ("scan_progressed", "plan_made")
    assert events[-1] == "apply_finished"
    assert events.count("operation_finished") == 2


# ------------------------------------------------------------------------------------------------------------- editing


def test_an_edited_plan_leaves_out_what_was_dropped(run: Run, sides: Path) -> None:
    run("plan", "a", "b", "-o", "plan.json")
    assert (
        run("edit", "plan.json", "--drop", "sub/**", "--approve", "alice", "--note", "42", "-o", "new.json").code == 0
    )
    edited = Plan.load(sides / "new.json")
    assert [operation.path for operation in edited] == ["x.txt"]
    assert [(each.by, each.note, each.digest) for each in edited.approvals] == [("alice", "42", edited.digest)]
    assert edited.parent_digest == Plan.load(sides / "plan.json").digest
    assert run("apply", "new.json").code == 0
    assert files(sides / "b") == {"x.txt": "one"}


def test_keeping_is_the_opposite_of_dropping(run: Run, sides: Path) -> None:
    run("plan", "a", "b", "-o", "plan.json")
    assert run("edit", "plan.json", "--keep", "sub/**", "-o", "new.json").code == 0
    assert [operation.path for operation in Plan.load(sides / "new.json")] == ["sub/y.txt"]


def test_a_resolved_conflict_becomes_operations(run: Run, sides: Path) -> None:
    write(sides, {"b/x.txt": "another"})
    run("plan", "a", "b", "--mode", "two-way", "--conflict", "manual", "-o", "plan.json")
    assert run("edit", "plan.json", "--resolve", "*.txt=source", "-o", "new.json").code == 0
    assert run("apply", "new.json").code == 0
    assert files(sides / "b") == {"x.txt": "one", "sub/y.txt": "two"}


def test_a_change_by_hand_is_accepted_by_sealing_it(run: Run, sides: Path) -> None:
    run("plan", "a", "b", "-o", "plan.json")
    before = Plan.load(sides / "plan.json").digest
    lines = (sides / "plan.json").read_text().splitlines(keepends=True)
    position = next(number for number, line in enumerate(lines) if '"path": "sub/y.txt"' in line)
    write(sides, {"plan.json": "".join(lines[:position] + lines[position + 1 :])})
    assert run("edit", "plan.json", "-o", "new.json").code == 2
    assert run("edit", "plan.json", "--seal", "-o", "new.json").code == 0
    assert Plan.load(sides / "new.json").parent_digest == before


@pytest.mark.parametrize(
    "change",
    [("--drop", "missing"), ("--keep", "missing"), ("--resolve", "missing=source"), ("--note", "alone")],
    ids=" ".join,
)
def test_an_edit_that_cannot_be_meant_is_an_error(change: Sequence[str], run: Run, sides: Path) -> None:
    run("plan", "a", "b", "-o", "plan.json")
    assert run("edit", "plan.json", *change, "-o", "new.json").code == 2
    assert not (sides / "new.json").exists()


# ------------------------------------------------------------------------------------------------------------- colours


def test_output_that_is_no_terminal_is_plain(run: Run) -> None:
    assert "\x1b" not in run("plan", "a", "b").stdout


@pytest.mark.parametrize(
    ("variables", "arguments", "colored"),
    [
        ({"FORCE_COLOR": "1"}, [], True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, [], False),
        ({"FORCE_COLOR": "1", "NO_COLOR": ""}, [], True),
        ({"FORCE_COLOR": "1"}, ["--no-color"], False),
        ({"FORCE_COLOR": "1", "SYNCENGINE_NO_COLOR": "1"}, [], False),
        ({"FORCE_COLOR": "1"}, ["--itemize"], False),
        ({"FORCE_COLOR": "1"}, ["--markdown"], False),
        ({}, [], False),
    ],
)
def test_colours_come_only_where_they_are_wanted(
    variables: dict[str, str], arguments: Sequence[str], colored: bool, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    ended = run("plan", "a", "b", *arguments)
    assert ("\x1b[" in ended.stdout) is colored
    assert "x.txt" in ended.stdout


# ---------------------------------------------------------------------------------------------------------------- help


def _every_command() -> list[list[str]]:
    context = click.Context(commands)
    found = []
    for name in COMMANDS:
        command = commands.get_command(context, name)
        below = command.commands if isinstance(command, click.Group) else {}
        found += [[name], *([name, each] for each in below)]
    return found


@pytest.mark.parametrize("names", _every_command(), ids=" ".join)
def test_the_help_of_every_command_starts_with_two_examples(names: Sequence[str], run: Run) -> None:
    ended = run(*names, "-h")
    assert ended.code == 0
    assert run(*names, "--help").stdout == ended.stdout
    lines = [line.strip() for line in ended.stdout.splitlines()]
    start = lines.index("") + 1
    examples = lines[start : start + 2]
    assert all(line.startswith("syncengine " + " ".join(names[:1])) for line in examples), examples
    assert lines[start + 2] == ""


def test_the_common_options_stand_before_the_command_or_after_it(run: Run) -> None:
    assert run("-q", "plan", "a", "b").stderr == run("plan", "a", "b", "--quiet").stderr == ""
    assert "Traceback" in run("-v", "plan", "missing", "b").stderr


REST = {
    ("plan", "a", "b"): "… and 7 more (--itemize shows all)",
    ("show", "plan.json"): "… and 7 more (--itemize shows all)",
    (
        "edit",
        "plan.json",
        "-o",
        "new.json",
        "--keep",
        "*",
    ): "… and 7 more (`syncengine show new.json --itemize` shows all)",
    ("sync", "a", "b", "--yes"): "… and 7 more (`syncengine plan --itemize` shows all)",
}


@pytest.mark.parametrize(("arguments", "rest"), REST.items(), ids=map(" ".join, REST))
def test_a_plan_that_is_cut_names_what_shows_all(arguments: Sequence[str], rest: str, run: Run, sides: Path) -> None:
    write(sides, {f"a/{number:02}": "" for number in range(25)})
    run("plan", "a", "b", "-o", "plan.json")
    assert rest in run(*arguments).stdout.splitlines()


def test_a_quiet_run_says_one_line_where_something_was_done_and_nothing_otherwise(run: Run) -> None:
    done = run("sync", "a", "b", "--yes", "-q")
    assert (done.code, len(done.stdout.splitlines()), done.stderr) == (0, 1, "")
    assert done.stdout.startswith("2 done")
    assert run("sync", "a", "b", "--yes", "-q") == (0, "", "")


def test_a_quiet_apply_restore_and_undo_say_one_line(run: Run, sides: Path) -> None:
    run("plan", "a", "b", "-o", "plan.json")
    assert run("apply", "plan.json", "-q").stdout.startswith("2 done")
    write(sides, {"a/x.txt": "another"})
    assert run("sync", "a", "b", "--yes", "-q", "--retain", "all").code == 0
    restored = run("restore", "a", "b", "x.txt", "--yes", "-q")
    assert (restored.code, len(restored.stdout.splitlines()), restored.stderr) == (0, 1, "")


def test_a_quiet_run_that_could_not_do_all_says_what_it_left_alone(run: Run, sides: Path) -> None:
    unseen = run("sync", "a", "b", "--yes", "-q", "--path-map", "x.txt=sub/y.txt")
    assert unseen.code == 7
    assert "problem: sub/y.txt at the source: collision" in unseen.stdout
    assert "→" not in unseen.stdout
    write(sides, {"a/both": "1", "b/both": "22"})
    left = run("sync", "a", "b", "--yes", "-q", "--mode", "tw", "--conflict", "manual")
    assert left.code == 4
    assert "1 conflict needs a decision" in left.stdout


def test_the_help_names_every_command_and_no_secret_is_a_flag(run: Run) -> None:
    said = run("-h").stdout
    assert all(f"  {name} " in said for name in COMMANDS)
    for names in _every_command():
        helped = run(*names, "-h").stdout
        assert not [word for word in ("password", "--secret", "--token", "--key") if word in helped]


# -------------------------------------------------------------------------------------------------- as processes


def test_a_planted_secret_is_never_printed(process: Callable[..., object], sides: Path) -> None:
    with ftp_server(sides / "a", user="someone", password="planted-secret") as url:
        place = url.replace("someone:planted-secret@", "")
        profile = {"FSSPEC_FTP_USERNAME": "someone", "FSSPEC_FTP_PASSWORD": "planted-secret"}
        commands = (
            ("doctor", place),
            ("plan", place, "b", "-v"),
            ("plan", url, "b", "--json"),
            ("plan", place, "b", "-o", "plan.json", "-v"),
            ("show", "plan.json", "--json"),
            ("apply", "plan.json", "--json", "-v"),
            ("history",),
            ("plan", place + "/missing", "b", "-v"),
            ("explain", "x.txt", place, "b", "-v"),
        )
        said = [process(*command, **profile) for command in commands]
        wrong = process("plan", place, "b", "-v", FSSPEC_FTP_USERNAME="someone", FSSPEC_FTP_PASSWORD="planted-secret-2")
    assert files(sides / "b") == {"x.txt": "one", "sub/y.txt": "two"}
    assert "planted-secret" not in repr([*said, wrong])
    assert "planted-secret" not in (sides / "plan.json").read_text()


def test_version_and_help_load_neither_the_engine_nor_what_it_needs(process: Callable[..., object]) -> None:
    heavy = ("fsspec", "pathspec", "cattrs", "rich", "sqlite3", "asyncio", "attr", "syncengine.engine")
    assert _loaded(process, heavy, "--version") == []
    assert _loaded(process, heavy[:-2] + heavy[-1:], "-h") == []
    assert _loaded(process, heavy[:-2] + heavy[-1:], "plan", "-h") == []


def test_a_local_sync_that_finds_nothing_to_do_loads_nothing_heavy(process: Callable[..., object]) -> None:
    heavy = ("fsspec", "pathspec", "cattrs", "rich", "asyncio")
    process("sync", "a", "b", "--yes")
    assert _loaded(process, heavy, "sync", "a", "b", "--yes") == []


def _loaded(process: Callable[..., object], heavy: Sequence[str], *arguments: str) -> list[str]:
    ended = process(*arguments, PYTHONPROFILEIMPORTTIME="1")
    assert ended.code == 0
    modules = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines() if line.startswith("import time:")}
    assert "syncengine.cli.output" in modules
    return sorted(modules.intersection(heavy))


def test_the_bar_at_a_terminal_leaves_standard_output_alone(at_terminal: Callable[..., AtTerminal]) -> None:
    ended = at_terminal("sync", "a", "b", "--yes", "--progress").end()
    assert ended.code == 0
    assert "\x1b" not in ended.stdout
    assert "2 done" in ended.stdout


def test_a_destination_that_lost_what_the_last_sync_left_there_is_warned_of(run: Run, sides: Path) -> None:
    assert run("sync", "a", "b", "--yes").code == 0
    assert "warning" not in run("plan", "a", "b").stdout
    emptied = [path for path in (sides / "b").rglob("*") if path.is_file()]
    for path in emptied:
        path.unlink()

    assert "are missing at the destination and will be copied there again" in run("plan", "a", "b").stdout


def test_every_problem_is_itemized_and_the_summary_says_how_to_see_them(run: Run, sides: Path) -> None:
    for number in range(5):
        os.mkfifo(sides / f"a/pipe{number}")

    summary, lines = run("plan", "a", "b").stdout, run("plan", "a", "b", "--itemize").stdout

    assert "… and 2 more problems (--itemize" in summary
    assert all(f"?  pipe{number} at the source: unsupported" in lines for number in range(5))
