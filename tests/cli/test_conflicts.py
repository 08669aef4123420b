"""Open conflicts are listed, and resolved by command."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from ..trees import files, write
from .conftest import Run

TWO_WAY = ("a", "b", "--mode", "two-way", "--conflict", "manual")


@pytest.fixture
def disagreeing(sides: Path, run: Run) -> Path:
    """Two sides in step, then ``x.txt`` edited on both, and ``sub/y.txt`` deleted on one and edited on the other."""
    assert run("sync", *TWO_WAY, "--yes").code == 0
    write(sides, {"a/x.txt": "mine!", "b/x.txt": "theirs!!", "a/sub/y.txt": "edited"})
    os.remove(sides / "b/sub/y.txt")
    return sides


def test_open_conflicts_are_listed_with_both_versions(disagreeing: Path, run: Run) -> None:
    ended = run("conflicts", *TWO_WAY)

    assert ended.code == 4
    assert "! x.txt  modify/modify" in ended.stdout
    assert "! sub/y.txt  delete/modify" in ended.stdout
    assert "2 open" in ended.stdout


def test_open_conflicts_as_json(disagreeing: Path, run: Run) -> None:
    ended = run("conflicts", *TWO_WAY, "--json")

    assert [each["path"] for each in json.loads(ended.stdout)] == ["sub/y.txt", "x.txt"]


def test_a_resolution_is_carried_out_and_the_rest_stays_open(disagreeing: Path, run: Run) -> None:
    ended = run("conflicts", *TWO_WAY, "--resolve", "x.txt=destination", "--yes")

    assert ended.code == 4, ended.stderr
    assert files(disagreeing / "a")["x.txt"] == files(disagreeing / "b")["x.txt"]
    assert (disagreeing / "a/x.txt").read_text() == "theirs!!"
    again = run("conflicts", *TWO_WAY)
    assert "1 open" in again.stdout
    assert run("conflicts", *TWO_WAY, "--resolve", "sub/*=keep-both", "--yes").code == 0
    assert (disagreeing / "b/sub/y.txt").read_text() == "edited"
    assert run("conflicts", *TWO_WAY).stdout.strip() == "no open conflict"


def test_a_pattern_without_a_conflict_is_an_error(disagreeing: Path, run: Run) -> None:
    assert run("conflicts", *TWO_WAY, "--resolve", "nothing=source", "--yes").code == 2


def test_without_a_terminal_nothing_is_resolved_unless_told(disagreeing: Path, run: Run) -> None:
    before = files(disagreeing)

    assert run("conflicts", *TWO_WAY, "--resolve", "x.txt=source").code == 2
    assert files(disagreeing) == before


def test_the_command_that_a_sync_names_lists_what_it_left_open(disagreeing: Path, run: Run) -> None:
    ended = run("sync", *TWO_WAY, "--yes")

    advice = next(line for line in (ended.stdout + ended.stderr).splitlines() if "a decision: " in line)
    _, _, command = advice.partition("a decision: syncengine ")
    listed = run(*shlex.split(command))

    assert (ended.code, listed.code) == (4, 4)
    assert "2 open" in listed.stdout


def test_what_a_resolution_leaves_alone_is_not_shown_as_resolved(disagreeing: Path, run: Run) -> None:
    ended = run("conflicts", "a", "b", "--resolve", "x.txt=source", "--yes")

    assert "both versions are kept" not in ended.stdout
    assert "the edit wins" not in ended.stdout
    assert not (disagreeing / "b/sub/y.txt").exists()
    assert "1 open" in run("conflicts", "a", "b").stdout
