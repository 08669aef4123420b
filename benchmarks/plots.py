"""Results as pictures: time and memory against the number of files, and the ratio of each job."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

from measuring import Result
from tables import ratio

_OVER_FILES = ("local-first-copy", "local-no-change")


def draw(results: Sequence[Result], folder: Path) -> List[Path]:
    """Write the plots to *folder* and return their paths."""
    import matplotlib as mpl

    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for job in _OVER_FILES:
        chosen = [result for result in results if result.job == job]
        if not chosen:
            continue
        written.append(_over_files(chosen, lambda each: each.median_seconds, "seconds", folder / f"{job}-time.png"))
        written.append(_over_files(chosen, lambda each: each.peak_bytes / 1e6, "MB", folder / f"{job}-memory.png"))
    if any(result.tool != "syncengine" for result in results):
        written.append(_ratios(results, folder / "ratios.png"))
    return written


def _over_files(results: Sequence[Result], value: Callable[[Result], float], unit: str, path: Path) -> Path:
    figure, axes = _figure()
    lines: Dict[str, List[Result]] = {}
    for result in results:
        lines.setdefault(result.tool, []).append(result)
    for tool, points in lines.items():
        points.sort(key=lambda each: each.files)
        width = 2.5 if tool == "syncengine" else 1.2
        axes.plot([each.files for each in points], [value(each) for each in points], "o-", label=tool, linewidth=width)
    axes.set(xscale="log", yscale="log", xlabel="files", ylabel=unit, title=results[0].job)
    axes.legend()
    return _saved(figure, path)


def _ratios(results: Sequence[Result], path: Path) -> Path:
    others = [result for result in results if result.tool != "syncengine" and ratio(result, results) is not None]
    names = [f"{result.job} {result.size} / {result.tool}" for result in others]
    times = [ratio(result, results) or 0.0 for result in others]
    figure, axes = _figure(height=0.28 * len(others) + 1.5)
    axes.barh(names, times, color=["tab:green" if each <= 1 else "tab:orange" for each in times])
    axes.axvline(1, color="black", linewidth=1)
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="time of syncengine / time of the other tool (left of 1: syncengine is faster)")
    return _saved(figure, path)


def _figure(height: float = 4.5) -> Any:
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(9, height), constrained_layout=True)


def _saved(figure: Any, path: Path) -> Path:
    from matplotlib import pyplot

    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path
