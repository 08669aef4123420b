"""The benchmarks run, check what the tools leave behind, and say what they measured; no test looks at a time."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, List

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "run_benchmarks.py"


def loaded() -> Any:
    specification = importlib.util.spec_from_file_location("run_benchmarks", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    # Its data classes look their own module up while they are made.
    sys.modules["run_benchmarks"] = module
    specification.loader.exec_module(module)
    return module


run_benchmarks = loaded()
SMALL = run_benchmarks.Size(3, 10)


def program(text: str) -> Callable[[Path, Path], List[str]]:
    return lambda origin, target: [sys.executable, "-c", text, str(origin), str(target)]


def tool(text: str) -> Any:
    return run_benchmarks.Tool("something", "1.0", program(text))


COPY = "import shutil, sys; shutil.copytree(*sys.argv[1:], dirs_exist_ok=True)"
COPY_IF_EMPTY = "import os, shutil, sys; os.listdir(sys.argv[2]) or shutil.copytree(*sys.argv[1:], dirs_exist_ok=True)"


def test_the_smallest_job_is_right_and_says_all_it_measured() -> None:
    options = ["--size", "100-files", "--rounds", "2", "--tool", "syncengine", "--json", "-"]
    done = subprocess.run([sys.executable, str(SCRIPT), *options], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["format"] == "syncengine.benchmark/1"
    assert document["rounds"] == 2
    assert list(document["tools"]) == ["syncengine"]
    assert [(each["job"], each["size"], each["tool"], each["files"]) for each in document["results"]] == [
        ("first-copy", "100-files", "syncengine", 100),
        ("no-change", "100-files", "syncengine", 100),
    ]
    for result in document["results"]:
        assert len(result["runs"]) == 2
        assert result["syncengine_ratio"] == 1.0
        assert min(run[key] for run in result["runs"] for key in ("seconds", "cpu_seconds", "peak_bytes")) > 0
        assert result["peak_bytes"] == max(run["peak_bytes"] for run in result["runs"])


@pytest.mark.parametrize(
    ("job", "behaviour", "complaint"),
    [
        ("first-copy", "pass", "3 wrong paths"),
        ("first-copy", COPY + "; open(sys.argv[2] + '/more', 'w')", "1 wrong paths behind, the first is 'more'"),
        ("first-copy", "raise SystemExit('no such disk')", "ended with 1: no such disk"),
        ("no-change", COPY, "wrote files although nothing had changed"),
    ],
)
def test_a_tool_that_does_not_do_its_job_is_found_out(job: str, behaviour: str, complaint: str, tmp_path: Path) -> None:
    bench = run_benchmarks.Bench(tmp_path, SMALL)

    with pytest.raises(run_benchmarks.WrongResult, match=complaint):
        run_benchmarks.JOBS[job](bench, tool(behaviour))


@pytest.mark.parametrize("job", list(run_benchmarks.JOBS))
def test_a_tool_that_does_its_job_is_measured(job: str, tmp_path: Path) -> None:
    run = run_benchmarks.JOBS[job](run_benchmarks.Bench(tmp_path, SMALL), tool(COPY_IF_EMPTY))

    assert min(run.seconds, run.cpu_seconds, run.peak_bytes) > 0


def test_tools_take_turns_within_each_round(capsys: pytest.CaptureFixture[str]) -> None:
    tools = [run_benchmarks.Tool(name, "1.0", program(COPY_IF_EMPTY)) for name in ("first", "second")]

    results = list(run_benchmarks.measure(["first-copy"], ["100-files"], tools, 2))

    turns = [line.split()[-3].rstrip(":") for line in capsys.readouterr().err.splitlines()[1:]]
    assert turns == ["first", "second", "first", "second"]
    assert [result.tool for result in results] == ["first", "second"]
    assert len(run_benchmarks.table(results).splitlines()) == 4


def test_a_tool_that_is_not_here_is_named_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    tools, missing = run_benchmarks.find_tools(["rsync"])

    assert tools == []
    assert missing == ["rsync is missing and is not measured; install it with the system's package manager"]


def test_the_cost_of_a_pair_is_told_beside_its_limits():
    script = str(SCRIPT.with_name("what_a_pair_costs.py"))
    command = [sys.executable, script, "--files", "250", "--rounds", "1"]

    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    costs = {row.split("|")[1].strip(): float(row.split("|")[2]) for row in table[2:]}
    assert sum(says.startswith("its limit") for says in costs) == 2
    assert all(cost >= 0 for cost in costs.values())
    assert costs["a whole plan, in one process"] > 0
