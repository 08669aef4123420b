"""The command line as a function and as a process, in a folder with two sides."""

from __future__ import annotations

import inspect
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Iterator, List, NamedTuple, Optional

import pytest
from click.testing import CliRunner

from syncengine.cli.__main__ import commands

from ..trees import PROJECT, write

# Older versions of click mix both streams unless told otherwise, newer ones cannot be told.
_SEPARATE = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}


class Ended(NamedTuple):
    code: int
    stdout: str
    stderr: str


Run = Callable[..., Ended]


@pytest.fixture
def sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, which is the current one, with a source ``a`` of two files and an empty destination ``b``."""
    write(tmp_path, {"a/x.txt": "one", "a/sub/y.txt": "two", "b": None})
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(sides: Path) -> Run:
    """Run a command in this process; nobody is at a terminal."""

    def invoke(*arguments: object, stdin: Optional[str] = None) -> Ended:
        result = CliRunner(**_SEPARATE).invoke(commands, [str(each) for each in arguments], input=stdin)
        assert isinstance(result.exception, (SystemExit, type(None))), result.exception
        return Ended(result.exit_code, result.stdout, result.stderr)

    return invoke


def command_line(*arguments: object) -> List[str]:
    return [sys.executable, "-m", "syncengine", *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT), **more}


class AtTerminal:
    """A command of a process whose input and errors are a terminal, and whose output is a pipe."""

    def __init__(self, *arguments: object, **variables: str) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            command_line(*arguments),
            stdin=slave,
            stderr=slave,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(TERM="xterm", **variables),
        )
        os.close(slave)
        self.said = ""

    def wait_for(self, text: str) -> None:
        while text not in self.said:
            piece = self._read()
            assert piece, f"it ended without {text!r}: {self.said}"
            self.said += piece

    def _read(self) -> str:
        try:
            return os.read(self._master, 1024).decode()
        except OSError:  # how Linux says that the other end is closed
            return ""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self) -> Ended:
        while True:
            piece = self._read()
            if not piece:
                break
            self.said += piece
        out, _ = self.process.communicate(timeout=30)
        return Ended(self.process.returncode, out, self.said)

    def close(self) -> None:
        os.close(self._master)
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def at_terminal(sides: Path) -> Iterator[Callable[..., AtTerminal]]:
    """Start a command at a terminal."""
    started: List[AtTerminal] = []

    def start(*arguments: object, **variables: str) -> AtTerminal:
        started.append(AtTerminal(*arguments, **variables))
        return started[-1]

    yield start
    for terminal in started:
        terminal.close()


@pytest.fixture
def process(sides: Path) -> Callable[..., Ended]:
    """Run a command in a process of its own."""

    def invoke(*arguments: object, **variables: Any) -> Ended:
        done = subprocess.run(
            command_line(*arguments), capture_output=True, text=True, env=environment(**variables), timeout=60
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return invoke
