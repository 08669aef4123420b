"""The runs of a pair and the versions of a path: as text, and as a table for notebooks."""

from __future__ import annotations

from datetime import datetime, timezone
from html import escape
from typing import TYPE_CHECKING, Iterator, List, Optional, Sequence, Tuple

from ..core.entry import Kind
from ..core.paths import shown
from ..core.versions import Version
from .units import counted, size_text

if TYPE_CHECKING:
    from ..state.records import Run
    from ..versioning import History

MOST_ROWS = 200
_CELL = 'style="padding:1px 10px 1px 0;text-align:left;vertical-align:top"'
_HEAD = ("path", "side", "nr", "size", "modified", "until", "kept at")
_RUN_HEAD = ("run", "began", "ended", "what", "outcomes")

_Row = Tuple[str, ...]


def version_rows(versions: Sequence[Version]) -> Iterator[_Row]:
    """Yield one row of texts for each version."""
    for version in versions:
        size = version.stamp.size
        yield (
            shown(version.path),
            version.side.value,
            "" if version.number is None else str(version.number),
            "" if size is None else size_text(size),
            _time_text(_mtime(version)),
            until_words(version),
            kept_words(version),
        )


def until_words(version: Version) -> str:
    """Return what ended a version, in words."""
    if version.current:
        return "current"
    by = "" if version.replaced_by is None else f", {_ENDED.get(version.replaced_by.value, 'replaced')}"
    return f"{_time_text(version.replaced_at)}{by} by {version.run_id}"


_ENDED = {"delete": "deleted", "move": "moved"}


def kept_words(version: Version) -> str:
    """Return where a version is."""
    if version.current:
        return "in its place"
    return "not kept" if version.kept_at is None else shown(version.kept_at)


def run_rows(runs: Sequence[Run]) -> Iterator[_Row]:
    """Yield one row of texts for each run."""
    for run in runs:
        outcomes = ", ".join(f"{number:,} {status.replace('_', ' ')}" for status, number in run.counts.items())
        nothing = "not all on record" if run.finished_at is None else "nothing to do"
        yield (run.run_id, _time_text(run.started_at), run.ended.value, run.mode, outcomes or nothing)


def history_text(history: History) -> str:
    """Return the rows in columns."""
    rows = _rows(history)
    if not rows:
        return "no run is on record" if history.path is None else f"no version of {shown(history.path)} is known"
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows)


def history_html(history: History) -> str:
    """Return a table of at most MOST_ROWS rows."""
    rows = _rows(history)
    head = "".join(f"<th {_CELL}>{title}</th>" for title in (_RUN_HEAD if history.path is None else _HEAD))
    body = "".join(_html_row(row) for row in rows[:MOST_ROWS])
    left = len(rows) - MOST_ROWS
    more = f"<p>… and {counted(left, 'more row')}</p>" if left > 0 else ""
    return f'<div><table style="border-collapse:collapse;font-size:90%"><tr>{head}</tr>{body}</table>{more}</div>'


def _html_row(row: _Row) -> str:
    return f"<tr>{''.join(f'<td {_CELL}>{escape(text, quote=True)}</td>' for text in row)}</tr>"


def _rows(history: History) -> List[_Row]:
    return list(run_rows(history.runs) if history.path is None else version_rows(history.versions))


def _mtime(version: Version) -> Optional[datetime]:
    nanoseconds = version.stamp.mtime_ns
    if nanoseconds is None or version.kind is Kind.DIRECTORY:
        return None
    try:
        return datetime.fromtimestamp(nanoseconds // 1_000_000_000, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return None  # a time no calendar has


def _time_text(moment: Optional[datetime]) -> str:
    return "" if moment is None else moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
