"""Who is asked, when, and what an answer does."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Callable

import pytest

from ..trees import files, write
from .conftest import AtTerminal, Run

Start = Callable[..., AtTerminal]


def test_without_a_terminal_nobody_is_asked(run: Run, sides: Path) -> None:
    ended = run("sync", "a", "b", stdin="y\n")
    assert ended.code == 2
    assert "pass --yes" in ended.stderr
    assert files(sides / "b") == {}


def test_no_input_asks_nobody_at_a_terminal_either(at_terminal: Start, sides: Path) -> None:
    ended = at_terminal("sync", "a", "b", "--no-input").end()
    assert ended.code == 2
    assert "pass --yes" in ended.stderr
    assert files(sides / "b") == {}


def test_the_plan_is_shown_before_the_question_and_a_yes_performs_it(at_terminal: Start, sides: Path) -> None:
    terminal = at_terminal("sync", "a", "b", "--no-progress")
    terminal.wait_for("Do this (2 operations)? [y/N]")
    assert files(sides / "b") == {}
    terminal.type("y\n")
    ended = terminal.end()
    assert ended.code == 0
    assert ended.stdout.index("+> x.txt") < ended.stdout.index("2 done")
    assert files(sides / "b") == {"x.txt": "one", "sub/y.txt": "two"}


@pytest.mark.parametrize("answer", ["n\n", "\n", "2\n", "\x04"], ids=["no", "nothing", "a number", "end of input"])
def test_any_other_answer_writes_nothing(answer: str, at_terminal: Start, sides: Path) -> None:
    terminal = at_terminal("sync", "a", "b")
    terminal.wait_for("[y/N]")
    terminal.type(answer)
    ended = terminal.end()
    assert ended.code == 130
    assert "nothing was written" in ended.stderr
    assert files(sides / "b") == {}


def test_an_interrupt_at_the_question_writes_nothing(at_terminal: Start, sides: Path) -> None:
    terminal = at_terminal("sync", "a", "b")
    terminal.wait_for("[y/N]")
    terminal.process.send_signal(signal.SIGINT)
    ended = terminal.end()
    assert ended.code == 130
    assert "Traceback" not in ended.stderr
    assert files(sides / "b") == {}


def test_what_was_shown_is_what_is_done_whatever_happened_meanwhile(at_terminal: Start, sides: Path) -> None:
    terminal = at_terminal("sync", "a", "b")
    terminal.wait_for("[y/N]")
    write(sides, {"a/new.txt": "not in the plan", "a/x.txt": "changed since"})
    terminal.type("y\n")
    ended = terminal.end()
    assert ended.code == 3
    assert files(sides / "b") == {"sub/y.txt": "two"}


def _many_deletions(sides: Path) -> tuple[str, ...]:
    write(sides, {f"b/old-{number:02}": "old" for number in range(23)})
    return ("sync", "a", "b", "--mode", "std", "--max-delete", "100%")


def test_many_deletions_ask_for_their_number(at_terminal: Start, sides: Path) -> None:
    terminal = at_terminal(*_many_deletions(sides))
    terminal.wait_for("23 of them deletions)? [type 23 to go on]")
    terminal.type("23\n")
    assert terminal.end().code == 0
    assert files(sides / "b") == {"x.txt": "one", "sub/y.txt": "two"}


def test_a_yes_is_not_enough_for_many_deletions(at_terminal: Start, sides: Path) -> None:
    terminal = at_terminal(*_many_deletions(sides))
    terminal.wait_for("[type 23 to go on]")
    terminal.type("y\n")
    assert terminal.end().code == 130
    assert len(files(sides / "b")) == 23


def test_nobody_is_asked_where_there_is_nothing_to_do_and_what_is_equal_is_recorded(
    at_terminal: Start, sides: Path
) -> None:
    write(sides, {"b/x.txt": "one", "b/sub/y.txt": "two"})
    ended = at_terminal("sync", "a", "b").end()
    assert ended.code == 0
    assert "[y/N]" not in ended.stderr
    assert "recorded in the state" in ended.stdout


def test_nobody_is_asked_about_a_plan_that_a_guard_refuses(at_terminal: Start, sides: Path) -> None:
    write(sides, {"b/old": "old"})
    ended = at_terminal("sync", "a", "b", "--mode", "std", "--protect", "old").end()
    assert ended.code == 6
    assert "[y/N]" not in ended.stderr


def test_a_state_is_reset_only_after_a_yes(at_terminal: Start, run: Run) -> None:
    run("sync", "a", "b", "--yes")
    assert run("state", "reset", "a", "b").code == 2
    for answer, code in (("n\n", 130), ("y\n", 0)):
        terminal = at_terminal("state", "reset", "a", "b")
        terminal.wait_for("[y/N]")
        terminal.type(answer)
        assert terminal.end().code == code
    assert "nothing is remembered" in run("state", "list").stderr


def test_json_at_a_terminal_keeps_standard_output_for_the_document(at_terminal: Start) -> None:
    import json

    terminal = at_terminal("sync", "a", "b", "--json", "--no-progress")
    terminal.wait_for("[y/N]")
    assert "+> x.txt" in terminal.said
    terminal.type("y\n")
    ended = terminal.end()
    assert set(json.loads(ended.stdout)) == {"plan", "report"}
