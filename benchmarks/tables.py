"""Results as a table: medians, ratios, and what became of each bar."""

from __future__ import annotations

from typing import Optional, Sequence

from bars import MOST_BYTES, MOST_SECONDS, TIMES_AS_LONG
from measuring import Result

_HEAD = (
    "| job | size | tool | median | fastest | slowest | processor | peak memory | syncengine takes | bar |",
    "|---|---|---|--:|--:|--:|--:|--:|--:|---|",
)


def ratio(result: Result, results: Sequence[Result]) -> Optional[float]:
    """Return how many times as long syncengine takes for the same job, None where it was not measured."""
    for other in results:
        if (other.job, other.size, other.tool) == (result.job, result.size, "syncengine"):
            return other.median_seconds / result.median_seconds
    return None


def table(results: Sequence[Result]) -> str:
    """Return the medians as a Markdown table."""
    return "\n".join([*_HEAD, *(_row(result, results) for result in results)])


def _row(result: Result, results: Sequence[Result]) -> str:
    seconds = [run.seconds for run in result.runs]
    times = None if result.tool == "syncengine" else ratio(result, results)
    bound = "" if any(run.peak_is_known for run in result.runs) else "≤ "
    compared = "" if times is None else f"{times:.2f} times as long"
    return (
        f"| {result.job} | {result.size} | {result.tool} | {result.median_seconds:.2f} s | {min(seconds):.2f} s "
        f"| {max(seconds):.2f} s | {result.median_cpu_seconds:.2f} s | {bound}{result.peak_bytes / 1e6:.0f} MB "
        f"| {compared} | {_bar(result, times)} |"
    )


def _bar(result: Result, times: Optional[float]) -> str:
    if result.tool != "syncengine":
        limit = TIMES_AS_LONG.get(result.job, {}).get(result.tool)
        return "" if limit is None or times is None else f"≤ {limit}: {_verdict(within=times <= limit)}"
    said = []
    if result.job in MOST_SECONDS:
        seconds = MOST_SECONDS[result.job]
        said.append(f"≤ {seconds} s: {_verdict(within=result.median_seconds <= seconds)}")
    if result.job in MOST_BYTES:
        most = MOST_BYTES[result.job]
        said.append(f"≤ {most / 1e6:.0f} MB: {_verdict(within=result.peak_bytes <= most)}")
    return ", ".join(said)


def _verdict(*, within: bool) -> str:
    return "held" if within else "missed"
