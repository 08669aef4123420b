"""One measured process and what many of them come to: wall time, processor time, the largest resident set."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Sequence, Tuple

# The kernel counts in kibibytes, but macOS in bytes.
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class WrongResult(Exception):
    """A tool failed, or what it left behind is not what the job asks for."""


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
    files: int
    runs: Tuple[Run, ...]

    @property
    def median_seconds(self) -> float:
        """The median of the wall times."""
        return statistics.median(run.seconds for run in self.runs)

    @property
    def median_cpu_seconds(self) -> float:
        """The median of the processor times."""
        return statistics.median(run.cpu_seconds for run in self.runs)

    @property
    def peak_bytes(self) -> int:
        """The largest resident set of all runs."""
        return max(run.peak_bytes for run in self.runs)

    def as_dict(self) -> Dict[str, object]:
        """Return everything as plain values."""
        return {
            "job": self.job,
            "size": self.size,
            "tool": self.tool,
            "files": self.files,
            "runs": [vars(run) for run in self.runs],
            "median_seconds": self.median_seconds,
            "median_cpu_seconds": self.median_cpu_seconds,
            "peak_bytes": self.peak_bytes,
        }

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Result:
        """Return what ``as_dict`` told."""
        runs = tuple(Run(**run) for run in given["runs"])
        return cls(given["job"], given["size"], given["tool"], given["files"], runs)


def measured(command: Sequence[str], environment: Mapping[str, str]) -> Run:
    """Run *command* to its end and return what it took; raises WrongResult where it fails."""
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
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
    return Run(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * _MAXRSS_UNIT, floor * _MAXRSS_UNIT)
