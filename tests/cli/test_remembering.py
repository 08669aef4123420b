"""history, state and doctor: what is remembered, and whether it is sound."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any, List

import pytest

import syncengine
from syncengine import SyncEngine, SyncStateManager
from syncengine.storage.location import locate

from ..servers import http_server
from ..trees import files, write
from .conftest import Run, command_line, environment


@pytest.fixture
def synced(run: Run, sides: Path) -> Path:
    """Two sides that were synced once."""
    assert run("sync", "a", "b", "--yes").code == 0
    return sides


def _pairs(run: Run) -> List[Any]:
    pairs: List[Any] = json.loads(run("state", "list", "--json").stdout)
    return pairs


def _database() -> Path:
    (found,) = Path(os.environ["SYNCENGINE_STATE"]).glob("*/state.sqlite")
    return found


def test_history_lists_the_runs_of_a_pair_newest_first(run: Run, synced: Path) -> None:
    write(synced, {"a/new.txt": "new"})
    run("sync", "a", "b", "--yes", "--mode", "std")
    lines = run("history", "a", "b").stdout.splitlines()
    assert [line.split()[1:] for line in lines] == [
        ["finished", "source-to-destination", "1", "done"],
        ["finished", "source-backup", "2", "done"],
    ]


def test_history_shows_what_each_operation_of_a_run_did(run: Run, synced: Path) -> None:
    run_id = json.loads(run("history", "a", "b", "--json").stdout)[0]["run_id"]
    for places in (["a", "b"], ["--all"], []):
        said = run("history", *places, run_id).stdout
        assert said.startswith("started ")
        assert "done        +> x.txt" in said
        assert "\nfinished " in said
    records = json.loads(run("history", "--all", run_id, "--json").stdout)
    assert [record["event"] for record in records] == ["started", "operation", "operation", "finished"]


def test_history_of_an_unknown_run_is_an_error_and_of_a_new_pair_is_empty(run: Run, synced: Path) -> None:
    assert run("history", "a", "b", "20000101T000000Z-00000000").code == 2
    ended = run("history", "a", "c")
    assert (ended.code, ended.stdout) == (0, "")
    assert "no run of this pair" in ended.stderr


def test_history_of_every_pair_names_its_places_without_claiming_a_direction(run: Run, synced: Path) -> None:
    places = (locate("a").url, locate("b").url)
    for said in (run("history").stdout, run("state", "list").stdout):
        assert " ↔ ".join(places) in said or " ↔ ".join(reversed(places)) in said


def _kill_a_sync(sides: Path) -> None:
    """Sync 20 files, and kill that after the first."""
    slowly = ("sync", "a", "b", "--yes", "--events", "--workers", "1", "--requests-per-second", "4")
    write(sides, {f"a/{number:02}.txt": str(number) for number in range(20)})
    with subprocess.Popen(
        command_line(*slowly), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stderr is not None
        while "operation_finished" not in process.stderr.readline():
            assert process.poll() is None
        process.kill()


def test_a_run_that_was_killed_is_said_to_have_crashed_after_so_many_operations(run: Run, sides: Path) -> None:
    _kill_a_sync(sides)
    for said in (run("history", "a", "b").stdout, run("history").stdout):
        assert re.search(r"  crashed, at least \d+ operations? done  source-backup\n", said), said
    assert ", crashed\n" in run("state", "list").stdout
    assert str(syncengine.history("a", "b")).endswith("not all on record")


def test_undoing_a_run_that_was_killed_says_that_not_all_it_did_is_known(run: Run, sides: Path) -> None:
    _kill_a_sync(sides)
    (killed,) = (past.run_id for past in syncengine.history("a", "b").runs)

    told = syncengine.undo(killed, "a", "b").problems
    undone = run("history", "a", "b", "--undo", killed, "--yes")

    assert [(each.path, each.hides) for each in told] == [("", True)]
    assert re.match(rf"run {killed} did not end, and \d+ operations? of it (is|are) on record; ", told[0].message)
    assert (undone.code, f"run {killed} did not end" in undone.stdout + undone.stderr) == (7, True)
    assert syncengine.undo(syncengine.sync("a", "b").run_id, "a", "b").problems == ()


def test_a_pair_is_found_by_the_beginning_of_its_id_by_its_places_and_by_a_recipe(run: Run, synced: Path) -> None:
    write(synced, {"pair.toml": 'format = "syncengine.recipe/1"\nsource = "a"\ndestination = "b"\n'})
    (pair,) = _pairs(run)
    found = {run("state", "show", *names).stdout for names in ([pair["pair"][:6]], ["a", "b"], ["pair.toml"])}
    assert len(found) == 1
    assert found.pop().startswith(pair["pair"])


@pytest.mark.parametrize("by_id", [True, False], ids=["by id", "by places"])
def test_a_reset_makes_the_next_run_a_first_sync_and_keeps_the_journals(by_id: bool, run: Run, synced: Path) -> None:
    (pair,) = _pairs(run)
    names = [pair["pair"]] if by_id else ["a", "b"]
    assert run("state", "reset", *names, "--yes").code == 0
    assert _pairs(run) == []
    assert list(Path(os.environ["SYNCENGINE_STATE"]).glob("*/runs/*"))
    assert files(synced / "b") == {"x.txt": "one", "sub/y.txt": "two"}


@pytest.mark.parametrize("by_id", [True, False], ids=["by id", "by places"])
def test_removing_a_pair_removes_its_journals_too(by_id: bool, run: Run, synced: Path) -> None:
    (pair,) = _pairs(run)
    names = [pair["pair"]] if by_id else ["a", "b"]
    assert run("state", "rm", *names, "--yes").code == 0
    assert not list(Path(os.environ["SYNCENGINE_STATE"]).glob("*/runs/*"))
    assert files(synced / "b") == {"x.txt": "one", "sub/y.txt": "two"}


def test_unlocking_is_refused_where_the_run_is_alive(run: Run, synced: Path) -> None:
    (pair,) = _pairs(run)
    for names in ((pair["pair"],), ("a", "b"), ("a", "never-synced")):
        ended = run("state", "unlock", *names)
        assert ended.code == 0, ended.stderr
        assert "there was no lock" in ended.stderr
    with SyncEngine("a", "b") as other:
        state = other.job().state
        assert isinstance(state, SyncStateManager)
        state.acquire()
        assert run("state", "unlock", pair["pair"]).code == 1
        assert run("state", "unlock", "a", "b").code == 1
    assert run("sync", "a", "b", "--yes").code == 0


def test_states_at_a_url_are_not_listed_but_named_by_their_places(run: Run) -> None:
    assert run("state", "list", "--state", "memory://states").code == 2


def test_doctor_names_versions_places_and_sound_pairs(run: Run, synced: Path) -> None:
    said = json.loads(run("doctor", "--json").stdout)
    assert said["packages"]["fsspec"]
    assert said["state"] == os.environ["SYNCENGINE_STATE"]
    assert list(said["pairs"].values()) == [None]
    assert ": sound" in run("doctor").stdout


def test_doctor_finds_a_damaged_state_and_a_reset_by_id_cures_it(run: Run, synced: Path) -> None:
    database = _database()
    content = bytearray(database.read_bytes())
    content[100:] = os.urandom(len(content) - 100)
    database.write_bytes(bytes(content))
    assert run("doctor").code == 1
    assert run("sync", "a", "b", "--yes").code == 1
    assert run("state", "reset", database.parent.name, "--yes").code == 0
    assert run("sync", "a", "b", "--yes").code == 0
    assert run("doctor").code == 0


def test_doctor_says_what_serves_a_url_and_which_windows_remain(run: Run, sides: Path) -> None:
    local = json.loads(run("doctor", "a", "--json").stdout)
    assert local["client"] == "LocalStorageClient"
    assert local["windows"]
    assert local["root"] == "a folder with sub, sub/y.txt, x.txt"
    with http_server(sides / "a") as url:
        remote = json.loads(run("doctor", url, "--json").stdout)
    assert (remote["protocol"], remote["capabilities"]["writable"]) == ("http", False)
    assert run("doctor", "missing").stdout.splitlines()[-1] == "root: there is nothing"


def test_doctor_says_where_a_mount_is_read_only(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(run("doctor", "a", "--json").stdout)["capabilities"]["writable"] is True
    asked = []
    monkeypatch.setattr(os, "access", lambda *given: bool(asked.append(given)))
    for place in ("a", "a/missing/below"):
        assert json.loads(run("doctor", place, "--json").stdout)["capabilities"]["writable"] is False
    assert asked == [(os.path.realpath("a"), os.W_OK)] * 2


def test_doctor_names_the_package_that_a_url_needs(run: Run) -> None:
    ended = run("doctor", "nosuch://place")
    assert ended.code == 2
    assert "no filesystem is known for nosuch://" in ended.stderr


def test_explain_says_which_rule_decided(run: Run, synced: Path) -> None:
    write(synced, {"a/new.tmp": "new", "a/.syncignore": "*.tmp\n"})
    said = run("explain", "new.tmp", "a", "b").stdout
    assert "*.tmp" in said
    assert "last agreed: in generation 1" in run("explain", "x.txt", "a", "b").stdout
    assert run("explain", "../outside", "a", "b").code == 2
    said = run("explain", "c:name", "a", "b", "--ignore", "c:*").stdout
    assert "name: starts with a drive letter, so nothing is done there" in said
    assert "c:name is excluded by c:* (argument)" in said


def test_a_recipe_is_validated_with_every_problem_at_once_and_shown_as_written(
    run: Run, sides: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = 'format = "syncengine.recipe/1"\nsource = "a"\ndestination = "${PLACE}/b"\n'
    write(sides, {"bad.toml": head + 'mod = "x"\nworkers = 0\n', "good.toml": head})
    wrong = run("recipe", "validate", "bad.toml")
    assert wrong.code == 2
    assert "did you mean 'mode'?" in wrong.stderr
    assert "workers" in wrong.stderr
    assert wrong.stderr.count("bad.toml") == 1
    assert "environment: PLACE is not set" in run("recipe", "validate", "good.toml").stdout
    assert "environment: PLACE is not set" in run("recipe", "show", "good.toml").stdout
    monkeypatch.setenv("PLACE", "/planted-value")
    assert run("recipe", "validate", "good.toml").code == 0
    said = run("recipe", "show", "good.toml").stdout
    assert 'destination = "${PLACE}/b"' in said
    assert "environment: PLACE is set" in said
    assert "planted-value" not in said
    assert json.loads(run("recipe", "schema").stdout)["required"] == ["format", "source", "destination"]
