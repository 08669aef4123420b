"""Each exit code once, by the real thing that leads to it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import threading
from pathlib import Path
from typing import Callable, Dict, Sequence

import pytest

import syncengine
from syncengine import SyncEngine
from syncengine.cli.__main__ import COMMANDS
from syncengine.cli.output import Output, stopping

from ..servers import ftp_server, http_server
from ..trees import files, write
from .conftest import Run, command_line, environment


def test_0_where_everything_was_done_and_where_there_is_nothing_to_do(run: Run, sides: Path) -> None:
    assert run("sync", "a", "b", "--yes").code == 0
    assert files(sides / "b") == {"x.txt": "one", "sub/y.txt": "two"}
    assert run("sync", "a", "b", "--yes").code == 0
    assert run("check", "a", "b").code == 0


def test_1_where_another_run_holds_the_state_with_the_command_that_unlocks_it(run: Run, sides: Path) -> None:
    with SyncEngine("a", "b") as other:
        state = other.job().state
        assert state is not None
        state.acquire()
        ended = run("sync", "a", "b", "--yes")
        run("plan", "a", "b", "-o", "plan.json")
        applied = run("apply", "plan.json")
        cure = re.search("`syncengine (state unlock .*)`", applied.stderr)
        assert cure is not None, applied.stderr
        assert "Another run on this pair" in run(*shlex.split(cure[1])).stderr
    assert (ended.code, applied.code) == (1, 1)
    assert "error: Another run on this pair is going on" in ended.stderr
    assert "`syncengine state unlock a b` removes the lock" in ended.stderr


MISTAKEN: Dict[Sequence[str], str] = {
    ("sync", "plan.json", "--yes"): "plan.json is a saved plan and no recipe; `syncengine apply` performs it",
    ("plan", "plan.json"): "plan.json is a saved plan and no recipe",
    ("plan", "report.json"): "report.json is the report of a run and no recipe; `syncengine apply --resume`",
    ("apply", "pair.toml"): "it is a recipe, which `syncengine sync FILE` performs",
    ("show", "pair.toml"): "it is a recipe",
    ("apply", "pair.json"): "it is a recipe, which `syncengine sync FILE` performs",
    ("apply", "report.json"): "it is the report of a run; `syncengine apply --resume FILE` does what that run left",
    ("apply", "--resume", "plan.json"): "it is a saved plan, which `syncengine apply FILE` performs",
    ("sync", "a"): "that is a place and no recipe (.toml, .json); give a destination too",
    ("sync", "a", "b", "extra"): "give a source and a destination, or a recipe; found 3 places",
}


@pytest.mark.parametrize(("arguments", "said"), MISTAKEN.items(), ids=map(" ".join, MISTAKEN))
def test_2_where_one_kind_of_file_is_taken_for_another_with_what_it_is(
    arguments: Sequence[str], said: str, run: Run, sides: Path
) -> None:
    run("plan", "a", "b", "-o", "plan.json")
    run("apply", "plan.json", "--report", "report.json")
    recipe = {"format": "syncengine.recipe/1", "source": "a", "destination": "b"}
    (sides / "pair.json").write_text(json.dumps(recipe))
    (sides / "pair.toml").write_text("".join(f'{name} = "{value}"\n' for name, value in recipe.items()))
    ended = run(*arguments)
    assert ended.code == 2
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) <= 4


def test_2_where_the_history_of_a_path_that_never_was_is_asked_for(run: Run) -> None:
    run("sync", "a", "b", "--yes")
    assert run("history", "a", "b", "x.txt").code == 0
    asked, restored = run("history", "a", "b", "nothing"), run("restore", "a", "b", "nothing", "--yes")
    assert (asked.code, asked.stdout, restored.code) == (2, "", 2)
    assert "error: no version of nothing is known" in asked.stderr
    assert run("history", "a", "b", "nothing", "--json")[:2] == (2, "[]\n")


def test_7_where_doctor_cannot_look_at_a_place_as_for_a_sync(
    run: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with ftp_server(tmp_path_factory.mktemp("served")) as url:
        wrong = url.replace("planted-ftp-secret", "another")
        refused, synced = run("doctor", wrong), run("plan", "a", wrong)
        assert (refused.code, synced.code) == (7, 7)
        assert "cannot be opened" in refused.stderr
        assert (run("doctor", f"{url}/x").code, run("doctor", url).code) == (0, 0)


def test_2_where_a_guard_of_a_recipe_is_misspelled_in_the_words_of_the_recipe(run: Run, sides: Path) -> None:
    head = 'format = "syncengine.recipe/1"\nsource = "a"\ndestination = "b"\n'
    (sides / "pair.toml").write_text(f'{head}zzz = 1\n[guards]\nmax_delet = "5%"\n')
    ended = run("plan", "pair.toml")
    assert ended.code == 2
    assert "guards.max_delet: is not a key; did you mean 'max_delete'?" in ended.stderr
    assert "zzz: is not a key; valid keys: " in ended.stderr
    assert "guards.max_transfer_bytes" in ended.stderr
    assert "--" not in ended.stderr


def _fail(engine: SyncEngine) -> None:
    raise ZeroDivisionError("nobody saw this coming at https://me:planted-secret@host/")


def test_1_where_nobody_saw_it_coming_and_the_traceback_only_where_it_is_wanted(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SyncEngine, "plan", _fail)
    ended = run("plan", "a", "b")
    assert ended.code == 1
    assert ended.stderr.startswith("error: unexpected error: ZeroDivisionError: nobody saw this coming")
    assert "please report" in ended.stderr
    assert "Traceback" not in ended.stderr
    told = run("plan", "a", "b", "-v")
    assert "Traceback" in told.stderr
    assert "planted-secret" not in ended.stderr + told.stderr


USAGE: Sequence[Sequence[str]] = [
    ["plan"],
    ["plan", "a"],
    ["plan", "a", "b", "c"],
    ["plan", "no-such-recipe"],
    ["plan", "a", "b", "--no-such-option"],
    ["plan", "a", "b", "--mode", "sideways"],
    ["plan", "a", "b", "--min-size", "10M"],
    ["plan", "a", "b", "--initial", "merge"],
    ["plan", "a", "b", "--max-delete", "many"],
    ["plan", "a", "b", "--path-map", "nothing"],
    ["plan", "a", "b", "--path-map", "x=y", "--path-map", "x=z"],
    ["plan", "s3://bucket/folder"],
    ["plan", "a", "b", "--workers", "0"],
    ["plan", "a", "b", "--files-from", "missing.txt"],
    ["plan", "a", "a/sub"],
    ["sync", "a", "b"],
    ["sync", "a", "b", "--no-input"],
    ["sync", "a", "b", "--dry-run"],
    ["apply"],
    ["apply", "missing.json"],
    ["apply", "a/x.txt"],
    ["show", "a/x.txt"],
    ["check", "a"],
    ["history", "a", "b", "--all"],
    ["state", "reset", "0123456789"],
    ["recipe", "validate", "missing.toml"],
    ["no-such-command"],
]


@pytest.mark.parametrize("arguments", USAGE, ids=" ".join)
def test_2_where_the_command_is_wrong_and_then_nothing_is_written(
    arguments: Sequence[str], run: Run, sides: Path
) -> None:
    ended = run(*arguments)
    assert ended.code == 2
    assert "rror: " in ended.stderr
    assert not ended.stdout
    assert files(sides / "b") == {}


@pytest.mark.parametrize("name", COMMANDS)
def test_2_and_never_10_for_an_option_that_no_command_has(name: str, run: Run) -> None:
    assert run(name, "--no-such-option").code == 2


def test_2_for_a_plan_that_was_edited_by_hand(run: Run, sides: Path) -> None:
    run("plan", "a", "b", "-o", "plan.json")
    plan = sides / "plan.json"
    plan.write_text(plan.read_text().replace("x.txt", "z.txt"))
    assert run("apply", "plan.json").code == 2
    assert files(sides / "b") == {}


def test_2_for_another_plan_than_the_expected_one(run: Run, sides: Path) -> None:
    run("plan", "a", "b", "-o", "plan.json")
    assert run("apply", "plan.json", "--expect-digest", "sha256:0").code == 2
    assert files(sides / "b") == {}


def test_3_where_something_was_not_done(run: Run, sides: Path) -> None:
    run("plan", "a", "b", "-o", "plan.json")
    write(sides, {"a/x.txt": "changed since"})
    ended = run("apply", "plan.json", "--on-stale", "skip")
    assert ended.code == 3
    assert "1 stale" in ended.stdout
    assert files(sides / "b") == {"sub/y.txt": "two"}


def test_4_where_a_conflict_is_open(run: Run, sides: Path) -> None:
    write(sides, {"b/x.txt": "another"})
    two_way = ("a", "b", "--mode", "tw", "--conflict", "manual")
    assert run("plan", *two_way, "--exit-code").code == 4
    assert run("sync", *two_way, "--yes").code == 4
    assert files(sides / "b")["sub/y.txt"] == "two"


def test_5_where_the_plan_is_stale(run: Run, sides: Path) -> None:
    run("plan", "a", "b", "-o", "plan.json")
    write(sides, {"a/x.txt": "changed since"})
    assert run("apply", "plan.json").code == 5
    assert files(sides / "b") == {}


def test_6_where_a_guard_refuses_also_with_yes(run: Run, sides: Path) -> None:
    write(sides, {"b/one": "1", "b/two": "2"})
    mirror = ("a", "b", "--mode", "std", "--max-delete", "1")
    assert run("plan", *mirror).code == 0
    assert run("plan", *mirror, "--exit-code").code == 6
    ended = run("sync", *mirror, "--yes")
    assert ended.code == 6
    assert (ended.stdout + ended.stderr).count("would delete 2") == 1
    assert "would delete 2" in ended.stderr
    assert files(sides / "b") == {"one": "1", "two": "2"}


def test_7_where_a_side_is_missing(run: Run) -> None:
    for command in ("plan", "check"):
        assert run(command, "missing", "b").code == 7
    assert run("sync", "missing", "b", "--yes").code == 7


def test_10_where_there_is_something_to_do_and_the_exit_code_was_asked_for(run: Run) -> None:
    assert run("plan", "a", "b").code == 0
    assert run("plan", "a", "b", "--exit-code").code == 10
    run("sync", "a", "b", "--yes")
    assert run("plan", "a", "b", "--exit-code").code == 0


def test_10_where_the_sides_differ(run: Run) -> None:
    assert run("check", "a", "b").code == 10


def test_11_where_equality_was_not_verified_and_0_after_a_download(run: Run, sides: Path) -> None:
    write(sides, {"b/x.txt": "one", "b/sub/y.txt": "two"})
    with http_server(sides / "a") as url:
        assert run("check", url, "b").code == 11
        assert run("check", url, "b", "--download").code == 0


def test_130_after_an_interrupt_with_the_report_of_what_was_done(sides: Path) -> None:
    write(sides, {f"a/{number:02}.txt": str(number) for number in range(20)})
    slowly = ("sync", "a", "b", "--yes", "--events", "--workers", "1", "--requests-per-second", "4")
    with subprocess.Popen(
        command_line(*slowly), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stderr is not None
        while "operation_finished" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, complained = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "cancelled" in out
    assert "error: the run was interrupted\n" in complained
    assert "report.remaining" not in out + complained
    assert "Traceback" not in complained
    assert 0 < len(files(sides / "b")) < 22


def test_an_interrupt_within_a_wait_for_the_cancellation_itself_does_not_block() -> None:
    cancel = threading.Event()
    with stopping(cancel, Output()):
        with cancel._cond:  # what the main thread holds at some moments of its wait
            os.kill(os.getpid(), signal.SIGINT)
        assert cancel.wait(10)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_reader_that_went_away_stops_no_sync(sides: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command_line("sync", "a", "b", "--yes"), stdout=writer, stderr=subprocess.PIPE, text=True, env=environment()
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
    assert files(sides / "b") == {"x.txt": "one", "sub/y.txt": "two"}


def _subclasses(kind: type) -> Sequence[type]:
    found = [kind]
    for below in kind.__subclasses__():
        found += _subclasses(below)
    return found


@pytest.mark.parametrize("kind", _subclasses(syncengine.SyncError), ids=lambda kind: kind.__name__)
def test_every_error_of_the_package_ends_with_its_own_code(
    kind: Callable[..., Exception], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = kind("what, where", None) if kind is syncengine.PartialApplyError else kind("what, where")

    def fail(engine: SyncEngine) -> None:
        raise error

    monkeypatch.setattr(SyncEngine, "plan", fail)
    ended = run("plan", "a", "b")
    assert ended.code == kind.exit_code  # type: ignore[attr-defined]
    assert ended.stderr == "error: what, where\n"
