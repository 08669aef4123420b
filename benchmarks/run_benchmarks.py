"""Measure syncengine beside other tools, as whole processes in turn, and check every result.

    python benchmarks/run_benchmarks.py --quick
    python benchmarks/run_benchmarks.py --job local-no-change --size 10k-files --rounds 7 --json results.json

Standard output gets one table, or with ``--json -`` one JSON document; progress goes to standard error. The exit code
is 1 where a tool failed or its result is not what the job asks for; a time never decides anything.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

sys.path.insert(0, str(Path(__file__).parent))

from benchmark_trees import SIZES
from jobs import JOBS, Bench, Job, bench_of
from measuring import Result, Run, WrongResult, measured
from tables import ratio, table
from tools import NAMES, missing, versions

FORMAT = "syncengine.benchmark/2"


def work(jobs: Sequence[str], sizes: Optional[Sequence[str]], *, quick: bool) -> List[Tuple[str, List[str]]]:
    """Return each size with the jobs to do at it, in the order of sizes."""
    found: Dict[str, List[str]] = {}
    for name in jobs:
        for size in sizes or (JOBS[name].quick if quick else JOBS[name].usual):
            found.setdefault(size, []).append(name)
    return [(size, found[size]) for size in SIZES if size in found]


def measure(wanted: Sequence[Tuple[str, List[str]]], tools: Sequence[str], rounds: int) -> Iterator[Result]:
    """Yield the results of every job at every size; the tools take turns within each round."""
    for size, names in wanted:
        with tempfile.TemporaryDirectory(prefix="syncengine-benchmark-") as folder:
            _say(f"{size}: making {SIZES[size].files:,} files")
            bench = bench_of(Path(folder), size)
            try:
                for name in names:
                    yield from _measured(name, size, bench, tools, rounds)
            finally:
                bench.close()


def _measured(name: str, size: str, bench: Bench, tools: Sequence[str], rounds: int) -> Iterator[Result]:
    reason = JOBS[name].why_not()
    if reason is not None:
        _say(f"{name} is left out: {reason}")
        return
    job = JOBS[name](bench)
    runs: Dict[str, List[Run]] = {tool: [] for tool in job.tools() if tool in tools}
    for number in range(rounds):
        for tool in runs:
            runs[tool].append(one_run(job, tool))
            _say(f"{size} {name} {number + 1}/{rounds} {tool}: {runs[tool][-1].seconds:.2f} s")
    job.finish()
    yield from (Result(name, size, tool, bench.size.files, tuple(each)) for tool, each in runs.items())


def gathered(files: Sequence[str]) -> List[Result]:
    """Return what earlier runs have written, in the order of the jobs; of the same thing measured twice the later."""
    found: Dict[Tuple[str, str, str], Result] = {}
    for file in files:
        for each in json.loads(Path(file).read_text(encoding="utf-8"))["results"]:
            found[each["job"], each["size"], each["tool"]] = Result.from_dict(each)
    order = list(JOBS)
    return sorted(found.values(), key=lambda each: (order.index(each.job), each.files))


def one_run(job: Job, tool: str) -> Run:
    """Let one tool do a job once, check what it did, and return what it took."""
    job.prepare(tool)
    run = measured(job.command(tool), job.environment(tool))
    job.verify(tool)
    return run


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def document(results: Sequence[Result], tools: Dict[str, str], absent: Sequence[str], rounds: int) -> Dict[str, object]:
    """Return everything that was measured, and on what, as plain values."""
    return {
        "format": FORMAT,
        "machine": {"system": platform.platform(), "processors": os.cpu_count(), "python": platform.python_version()},
        "tools": tools,
        "missing": list(absent),
        "rounds": rounds,
        "results": [{**each.as_dict(), "syncengine_ratio": ratio(each, results)} for each in results],
    }


def _arguments(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--job", action="append", choices=list(JOBS), help="repeatable; all but scale by default")
    parser.add_argument("--size", action="append", choices=list(SIZES), help="repeatable; each job's own by default")
    parser.add_argument("--tool", action="append", choices=NAMES, help="repeatable; all that are here by default")
    parser.add_argument("--rounds", type=int, help="how often each tool runs (3; 1 with --quick)")
    parser.add_argument("--quick", action="store_true", help="every job on a small tree, under two minutes")
    parser.add_argument("--json", metavar="FILE", help="write everything that was measured; - is standard output")
    parser.add_argument(
        "--from",
        dest="saved",
        action="append",
        metavar="FILE",
        help="measure nothing: show what --json wrote; repeatable, later files win",
    )
    parser.add_argument("--plots", metavar="FOLDER", help="draw the results there; needs matplotlib")
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Measure what the arguments ask for and return the exit code."""
    arguments = _arguments(argv)
    wanted = arguments.tool or list(NAMES)
    tools = versions(wanted)
    absent = missing(wanted, tools)
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    for line in absent:
        _say(line)
    usual = [name for name, job in JOBS.items() if not job.only_when_asked]
    todo = work(arguments.job or usual, arguments.size, quick=arguments.quick)
    try:
        results = gathered(arguments.saved) if arguments.saved else list(measure(todo, list(tools), rounds))
    except WrongResult as error:
        _say(f"wrong: {error}")
        return 1
    text = json.dumps(document(results, tools, absent, rounds), indent=1)
    if arguments.json not in (None, "-"):
        Path(arguments.json).write_text(text + "\n", encoding="utf-8")
    if arguments.plots:
        from plots import draw

        draw(results, Path(arguments.plots))
    print(text if arguments.json == "-" else table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
