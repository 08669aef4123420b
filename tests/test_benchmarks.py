"""The benchmarks run, check what the tools leave behind, and say what they measured; no test looks at a time."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPT = FOLDER / "run_benchmarks.py"
MODULES = (
    "measuring",
    "benchmark_trees",
    "benchmark_servers",
    "tools",
    "jobs",
    "bars",
    "tables",
    "plots",
    "run_benchmarks",
)


@pytest.fixture(scope="module")
def modules() -> Iterator[Dict[str, Any]]:
    """The benchmark's modules, which name each other as scripts in one folder do."""
    sys.path.insert(0, str(FOLDER))
    yield {name: importlib.import_module(name) for name in MODULES}
    sys.path.remove(str(FOLDER))
    for name in MODULES:
        del sys.modules[name]


@pytest.fixture
def bench(modules: Dict[str, Any], tmp_path: Path) -> Any:
    return modules["jobs"].Bench(tmp_path, modules["benchmark_trees"].Size(3, 10, 20))


def told(job: Any, text: str) -> Any:
    """Let one tool be a program that is given the source and the target of the job."""
    source = getattr(job, "_source", lambda _: job.bench.source)("other")
    command = [sys.executable, "-c", text, str(source), str(job._target("other"))]
    job.commands = lambda tool: {"other": lambda: command}
    return job


def run(arguments: List[str]) -> Any:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)


def test_every_job_gives_a_right_result_at_its_quick_size(modules: Dict[str, Any], tmp_path: Path) -> None:
    done = run(["--quick", "--json", "-", "--plots", str(tmp_path), "--tool", "syncengine", "--tool", "rclone"])

    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    jobs = {name: job for name, job in modules["jobs"].JOBS.items() if job.quick}
    left_out = {name for name, job in jobs.items() if job.why_not() is not None}
    assert {each["job"] for each in document["results"] if each["tool"] == "syncengine"} == set(jobs) - left_out
    assert all(f"{name} is left out" in done.stderr for name in left_out)
    for result in document["results"]:
        assert len(result["runs"]) == document["rounds"] == 1
        assert min(result["runs"][0][key] for key in ("seconds", "cpu_seconds", "peak_bytes")) > 0

    (tmp_path / "saved.json").write_text(done.stdout, encoding="utf-8")
    again = run(["--from", str(tmp_path / "saved.json"), "--json", "-"])
    assert again.returncode == 0, again.stderr
    found = json.loads(again.stdout)["results"]
    assert sorted(found, key=place) == sorted(document["results"], key=place)


def place(result: Dict[str, Any]) -> Tuple[str, str, str]:
    return result["job"], result["size"], result["tool"]


COPY = "import shutil, sys; shutil.copytree(*sys.argv[1:], dirs_exist_ok=True)"
COPY_IF_EMPTY = "import os, shutil, sys; os.listdir(sys.argv[2]) or shutil.copytree(*sys.argv[1:], dirs_exist_ok=True)"


@pytest.mark.parametrize(
    ("job", "behaviour", "complaint"),
    [
        ("local-first-copy", "pass", "13 wrong paths"),
        ("local-first-copy", COPY + "; open(sys.argv[2] + '/z', 'w')", "1 wrong paths behind, the first is 'z'"),
        ("local-first-copy", "raise SystemExit('no such disk')", "ended with 1: no such disk"),
        ("local-no-change", COPY, "wrote files although nothing had changed"),
        ("local-changed", COPY_IF_EMPTY, "wrong paths"),
        ("local-renamed", COPY_IF_EMPTY, "wrong paths"),
    ],
)
def test_a_tool_that_does_not_do_its_job_is_found_out(
    job: str, behaviour: str, complaint: str, bench: Any, modules: Dict[str, Any]
) -> None:
    measured = told(modules["jobs"].JOBS[job](bench), behaviour)

    with pytest.raises(modules["measuring"].WrongResult, match=complaint):
        modules["run_benchmarks"].one_run(measured, "other")


@pytest.mark.parametrize("job", ["local-first-copy", "local-no-change"])
def test_a_tool_that_does_its_job_is_measured(job: str, bench: Any, modules: Dict[str, Any]) -> None:
    taken = modules["run_benchmarks"].one_run(told(modules["jobs"].JOBS[job](bench), COPY_IF_EMPTY), "other")

    assert min(taken.seconds, taken.cpu_seconds, taken.peak_bytes) > 0


def test_tools_take_turns_within_each_round(
    modules: Dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def commands(job: Any, tool: str) -> Dict[str, Callable[[], List[str]]]:
        command = [sys.executable, "-c", COPY_IF_EMPTY, str(job.bench.source), str(job._target(tool))]
        return {"first": lambda: command, "second": lambda: command}

    monkeypatch.setattr(modules["jobs"].FirstCopy, "commands", commands)
    results = list(modules["run_benchmarks"].measure([("100-files", ["local-first-copy"])], ["first", "second"], 2))

    turns = [line.split()[-3].rstrip(":") for line in capsys.readouterr().err.splitlines()[1:]]
    assert turns == ["first", "second", "first", "second"]
    assert [result.tool for result in results] == ["first", "second"]
    assert len(modules["tables"].table(results).splitlines()) == 4


def test_a_bar_says_whether_it_was_held(modules: Dict[str, Any]) -> None:
    measuring = modules["measuring"]

    def result(tool: str, seconds: float) -> Any:
        return measuring.Result("local-first-copy", "10k-files", tool, 1, (measuring.Run(seconds, 1.0, 2, 1),))

    def verdict(ours: float) -> str:
        return str(modules["tables"].table([result("syncengine", ours), result("rsync", 1.0)])).splitlines()[-1]

    assert verdict(0.9).endswith("| ≤ 0.9: held |")
    assert verdict(1.0).endswith("| ≤ 0.9: missed |")


def test_a_tool_that_is_not_here_is_named_with_the_cure(
    modules: Dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    found = modules["tools"].versions(["rsync"])

    assert found == {}
    assert modules["tools"].missing(["rsync"], found) == [
        "rsync is missing and is not measured; install it with the system's package manager"
    ]


def test_the_cost_of_a_pair_is_told_beside_its_limits() -> None:
    script = str(FOLDER / "what_a_pair_costs.py")
    command = [sys.executable, script, "--files", "250", "--rounds", "1"]

    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    costs = {row.split("|")[1].strip(): float(row.split("|")[2]) for row in table[2:]}
    assert sum(says.startswith("its limit") for says in costs) == 2
    assert all(cost >= 0 for cost in costs.values())
    assert costs["a whole plan, in one process"] > 0
