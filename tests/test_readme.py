"""Every code block of README.md runs, in order and in one folder, as a reader would run them."""

from __future__ import annotations

import doctest
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

import pytest

import syncengine
from syncengine import recipe

PROJECT = Path(__file__).parents[1]
README = PROJECT / "README.md"
CI = PROJECT / ".ci" / "run"
INSTALLS = re.compile(r"^python -m pip install (-e )?\S+ && ")


class Block(NamedTuple):
    kind: str
    line: int
    text: str


def blocks_of(document: str) -> Iterator[Block]:
    for match in re.finditer(r"^```(\S*)\n(.*?)^```$", document, re.MULTILINE | re.DOTALL):
        yield Block(match.group(1), document.count("\n", 0, match.start(2)), match.group(2))


BLOCKS = list(blocks_of(README.read_text(encoding="utf-8")))
COMMANDS = [line for block in BLOCKS if block.kind == "sh" for line in block.text.splitlines()]


class Reader:
    """Somebody who tries out one block after another: one folder, one interpreter, one shell environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: Dict[str, Any] = {"__name__": "readme"}
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        self.ran: List[Block] = []

    def read(self, block: Block) -> None:
        getattr(self, block.kind)(block)
        self.ran.append(block)

    def pycon(self, block: Block) -> None:
        test = doctest.DocTestParser().get_doctest(block.text, self.names, README.name, str(README), block.line)
        said: List[str] = []
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
        results = runner.run(test, out=said.append, clear_globs=False)
        self.names.update(test.globs)

        assert results.attempted > 0
        assert results.failed == 0, "".join(said)

    def python(self, block: Block) -> None:
        # The empty lines give tracebacks the line numbers of the document.
        exec(compile("\n" * block.line + block.text, str(README), "exec"), self.names)

    def console(self, block: Block) -> None:
        steps = [
            (text.splitlines()[0], text.partition("\n")[2]) for text in re.split(r"^\$ ", block.text, flags=re.M)[1:]
        ]

        assert steps, f"line {block.line}: a console block starts its commands with '$ '"
        for command, expected in steps:
            said = self.shell(command)
            assert doctest.OutputChecker().check_output(expected, said, doctest.ELLIPSIS), f"$ {command}\n{said}"

    def sh(self, block: Block) -> None:
        for line in block.text.splitlines():
            assert INSTALLS.match(line), f"{line!r}: what is not an installation is shown with its output"
            rest = INSTALLS.sub("", line)
            if rest != "python -m pytest":  # this very process
                self.shell(rest)

    def toml(self, block: Block) -> None:
        file = self.folder / f"readme-{block.line}.toml"
        file.write_text(block.text, encoding="utf-8")
        arguments = recipe.load(file).to_arguments()

        assert syncengine.plan(**arguments).blockers == ()

    def shell(self, command: str) -> str:
        done = subprocess.run(
            command,
            shell=True,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            check=False,
        )

        assert done.returncode == 0, f"$ {command}\n{done.stdout}"
        return done.stdout


def test_every_block_of_readme_runs_and_says_what_readme_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(PROJECT / "recipes", tmp_path / "recipes")
    monkeypatch.chdir(tmp_path)
    reader = Reader(tmp_path)

    for block in BLOCKS:
        reader.read(block)

    assert reader.ran == BLOCKS
    assert {"pycon", "python", "console", "sh", "toml"} == {block.kind for block in reader.ran}
    assert len(reader.ran) == README.read_text(encoding="utf-8").count("```") / 2


def test_the_main_job_leaves_what_its_recipe_promises(tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "recipes", tmp_path / "recipes")
    (main_job,) = (INSTALLS.sub("", line) for line in COMMANDS if "quickstart" in line)

    Reader(tmp_path).shell(main_job)

    origin, target = tmp_path / "recipes" / "quickstart", tmp_path / "syncengine-quickstart"
    copied = {path.relative_to(target): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    assert copied == {
        path.relative_to(origin): path.read_bytes()
        for path in origin.rglob("*")
        if path.is_file() and path.suffix != ".tmp"
    }


def test_continuous_integration_runs_the_commands_of_readme() -> None:
    listed = subprocess.run([str(CI), "--list"], capture_output=True, text=True, check=True).stdout.splitlines()

    assert sorted(listed) == sorted(COMMANDS)
    assert len(listed) == 2


# The sentence that begins so lists them.
EXTRAS = re.findall(r"`(\w+)`", README.read_text(encoding="utf-8").partition("The extras")[2].partition("\n\n")[0])


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_extras_that_readme_names_exist(extra: str) -> None:
    section = (PROJECT / "pyproject.toml").read_text(encoding="utf-8").partition("[project.optional-dependencies]")[2]

    assert f"\n{extra} = [" in section.partition("\n\n[")[0]


def _linked() -> Tuple[str, ...]:
    return tuple(re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text(encoding="utf-8")))


def test_the_links_of_readme_lead_somewhere() -> None:
    assert _linked()
    assert [link for link in _linked() if not (PROJECT / link).exists()] == []


def test_readme_names_every_mode_comparison_and_error_code() -> None:
    text = README.read_text(encoding="utf-8")
    modes = [mode.value for mode in (*syncengine.SyncMode, *syncengine.ComparisonMode)]
    codes = {getattr(syncengine, name).exit_code for name in syncengine.__all__ if name.endswith("Error")}

    assert [mode for mode in modes if f"`{mode}`" not in text] == []
    assert [code for code in sorted(codes) if f"\n| {code} |" not in text] == []
