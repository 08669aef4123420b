"""history with a path or --undo, restore and prune: what they print, ask, save and end with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, List

import pytest

from ..trees import files, trash, write
from .conftest import AtTerminal, Run

OPTIONS = ("--mode", "std", "--retain", "all", "--yes")


@pytest.fixture
def kept(run: Run, sides: Path) -> Path:
    """Two sides after three runs: ``x.txt`` was one, two, and is gone."""
    assert run("sync", "a", "b", *OPTIONS).code == 0
    write(sides, {"a/x.txt": "two two"})
    assert run("sync", "a", "b", *OPTIONS).code == 0
    (sides / "a" / "x.txt").unlink()
    assert run("sync", "a", "b", *OPTIONS, "--max-delete", "1").code == 0
    return sides


def runs(run: Run) -> List[Any]:
    found: List[Any] = json.loads(run("history", "a", "b", "--json").stdout)
    return found


def test_history_of_a_path_numbers_what_restore_takes(run: Run, kept: Path) -> None:
    lines = run("history", "a", "b", "x.txt").stdout.splitlines()
    assert [line.split()[:4] for line in lines] == [
        ["x.txt", "destination", "1", "7"],
        ["x.txt", "destination", "2", "3"],
    ]
    assert [("deleted by" in line, "replaced by" in line) for line in lines] == [(True, False), (False, True)]

    first, second = json.loads(run("history", "a", "b", "x.txt", "--json").stdout)
    assert (first["number"], first["replaced_by"], first["stamp"]["size"]) == (1, "delete", 7)
    assert (kept / "b" / second["kept_at"]).read_text() == "one"
    assert second["run_id"] == first["written_by"] == runs(run)[1]["run_id"]


def test_history_of_a_folder_lists_everything_below_it(run: Run, kept: Path) -> None:
    ended = run("history", "a", "b", "sub")
    assert ended.code == 0
    assert "sub/y.txt" in ended.stdout
    assert "current" in ended.stdout


def test_history_of_an_unknown_path_prints_nothing(run: Run, kept: Path) -> None:
    ended = run("history", "a", "b", "nothing")
    assert (ended.code, ended.stdout) == (2, "")
    assert "no version of nothing" in ended.stderr
    assert json.loads(run("history", "a", "b", "nothing", "--json").stdout) == []


def test_restore_shows_and_performs_its_plan(run: Run, kept: Path) -> None:
    ended = run("restore", "a", "b", "x.txt", "--version", "2", "--yes")

    assert ended.code == 0
    assert "+> x.txt                  3 B   restores an earlier version" in ended.stdout
    assert ended.stdout.startswith("restore at file://")
    assert "1 done" in ended.stdout
    assert files(kept / "b") == {"x.txt": "one", "sub/y.txt": "two"}
    assert runs(run)[0]["mode"] == "restore"


def test_restore_saves_a_plan_for_apply(run: Run, kept: Path) -> None:
    first = runs(run)[-1]["run_id"]
    ended = run("restore", "a", "b", "--run", first, "-o", "back.json")
    assert ended.code == 0
    assert "syncengine apply back.json --expect-digest sha256:" in ended.stderr
    assert "x.txt" not in files(kept / "b")

    assert run("apply", "back.json").code == 0
    assert files(kept / "b")["x.txt"] == "one"


def test_restore_into_another_folder_leaves_the_sides(run: Run, kept: Path) -> None:
    first = runs(run)[-1]["run_id"]

    assert run("restore", "a", "b", "--run", first, "--to", "out", "--yes").code == 0

    assert files(kept / "out") == {"x.txt": "one", "sub/y.txt": "two"}
    assert "x.txt" not in files(kept / "b")


def test_restore_as_json_is_one_document(run: Run, kept: Path) -> None:
    document = json.loads(run("restore", "a", "b", "x.txt", "--yes", "--json").stdout)

    assert document["plan"]["operations"][0]["reason"] == "restored"
    assert document["report"]["statuses"] == {"done": 1}


def test_what_nobody_kept_ends_with_seven(run: Run, sides: Path) -> None:
    run("sync", "a", "b", *OPTIONS)
    write(sides, {"a/x.txt": "two two"})
    run("sync", "a", "b", "--mode", "std", "--retain", "none", "--yes")

    ended = run("restore", "a", "b", "--run", runs(run)[-1]["run_id"], "--yes")

    assert ended.code == 7
    assert "nobody kept the version that stood there" in ended.stdout


def test_undo_takes_a_run_back_and_undoing_that_brings_it_again(run: Run, kept: Path) -> None:
    assert run("history", "a", "b", "--undo", runs(run)[0]["run_id"], "--yes").code == 0
    assert files(kept / "b")["x.txt"] == "two two"

    newest = runs(run)[0]
    assert newest["mode"] == "undo"
    assert run("history", "a", "b", "--undo", newest["run_id"], "-y").code == 0
    assert "x.txt" not in files(kept / "b")


def test_prune_deletes_what_no_rule_keeps(run: Run, kept: Path) -> None:
    saved = run("prune", "a", "b", "--keep-last", "1", "-o", "prune.json")
    assert saved.code == 0
    assert len(trash(kept / "b")) == 1  # by path: two versions of one
    assert run("apply", "prune.json").code == 0

    again = run("prune", "a", "b", "--keep-last", "1", "--yes")
    assert again.code == 0
    assert "nothing to do" in again.stdout
    assert trash(kept / "b") == {"x.txt": "two two"}


def test_a_recipe_holds_the_rules_and_names_the_pair(run: Run, kept: Path) -> None:
    recipe = 'format = "syncengine.recipe/1"\nsource = "a"\ndestination = "b"\nmode = "std"\nretain = "all"\n'
    write(kept, {"it.toml": recipe + "[prune]\nkeep_last = 1\n"})

    assert run("prune", "it.toml", "--yes").code == 0
    assert run("history", "it.toml", "x.txt").stdout.count("x.txt ") == 2
    assert run("restore", "it.toml", "x.txt", "--yes").code == 0
    assert files(kept / "b")["x.txt"] == "two two"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("restore", "a", "b", "x.txt"), "there is no terminal"),
        (("restore", "a", "b", "--yes"), "say what to restore"),
        (("restore", "a", "b", "x.txt", "y.txt", "--yes"), "one path is expected"),
        (("restore", "a", "b", "x.txt", "--side", "left", "--yes"), "side cannot be 'left'"),
        (("prune", "a", "b", "--yes"), "say what is to be kept"),
        (("prune", "a", "b", "--keep-last", "0", "--yes"), "--keep-last"),
        (("prune", "a", "b", "--keep-last", "1"), "there is no terminal"),
        (("history", "--undo", "20260101T000000Z-00000000", "--yes"), "--undo needs the two places"),
        (("history", "a", "b", "--undo", "20260101T000000Z-00000000", "--yes"), "no journal of a run"),
    ],
)
def test_what_cannot_be_done_is_a_usage_error(run: Run, kept: Path, arguments: Any, words: str) -> None:
    ended = run(*arguments)
    assert ended.code == 2
    assert words in ended.stderr


def test_at_a_terminal_it_asks_and_a_no_changes_nothing(kept: Path, at_terminal: Callable[..., AtTerminal]) -> None:
    command = at_terminal("restore", "a", "b", "x.txt")
    command.wait_for("Do this (1 operation)? [y/N]")
    command.type("n\n")
    ended = command.end()
    assert ended.code == 130
    assert "x.txt" not in files(kept / "b")
