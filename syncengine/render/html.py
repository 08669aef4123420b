"""HTML for notebooks: no script, no style sheet, bounded in size whatever it shows.

Untrusted notebooks and code hosts strip style sheets and scripts, so styles are attributes and folding is
``<details>``. A file name is untrusted: it is shown escaped, and never longer than a line or two.
"""

from __future__ import annotations

from html import escape
from itertools import islice
from typing import Dict, Iterable, Iterator, List, Sequence

from attrs import frozen

from ..core.check import CheckResult
from ..core.paths import shown
from ..core.plan import Plan
from ..core.plan_parts import Conflict, Operation
from ..core.report import Outcome, Report, Status
from ..core.totals import Totals
from .rows import (
    Row,
    blocker_row,
    by_section,
    conflict_row,
    header_lines,
    operation_row,
    operation_words,
    totals_words,
)
from .text import next_lines, reason_of, summary_lines
from .units import count_text, counted, size_text

ROWS_PER_GROUP = 20
MOST_BYTES = 64_000
_RESERVE = 500
"""Bytes kept free for closing tags and for the line that says how much is not shown."""
_LONGEST_TEXT = 160
_LONGEST_LINE = 300
_MOST_LINES = 12
_OPEN_GROUPS = 3

_TABLE = 'style="border-collapse:collapse;font-size:90%"'
_CELL = 'style="padding:1px 10px 1px 0;text-align:left;vertical-align:top"'
_NUMBER = 'style="padding:1px 10px 1px 0;text-align:right;white-space:nowrap"'
_NAME = 'style="padding:1px 10px 1px 0;text-align:left;font-family:monospace;white-space:pre-wrap"'
_ALARM = 'style="color:#b00020;margin:2px 0"'
_LINE = 'style="margin:2px 0"'


@frozen
class _Group:
    """A folded table: a title, how many rows it has, and the cells of each row, made while they are read."""

    title: str
    number: int
    rows: Iterator[Sequence[str]]


def plan_html(plan: Plan) -> str:
    """Return a plan as a header, its blockers and conflicts, and one folded table for each top directory."""
    alarms = [blocker_row(blocker).name for blocker in plan.blockers]
    return _page(header_lines(plan), alarms, _plan_groups(plan), ("", "path", "size", "why"))


def report_html(report: Report) -> str:
    """Return what a run did, and one folded table for each way in which operations ended, failures first."""
    return _page(
        summary_lines(report), next_lines(report), _report_groups(report), ("", "path", "size", "what happened")
    )


def check_html(result: CheckResult) -> str:
    """Return what a comparison found: a sentence, what could not be seen, and one folded table for each finding."""
    alarms = [problem.message for problem in result.not_compared]
    return _page((str(result).splitlines()[-1],), map(shown, alarms), _check_groups(result), ("path",))


def _check_groups(result: CheckResult) -> Iterator[_Group]:
    for finding, number in result.counts.items():
        if number:
            names = ((shown(path),) for path, found in result.findings if found is finding)
            yield _Group(f"{count_text(number)} {finding.value.replace('_', ' ')}", number, names)


def totals_html(totals: Totals) -> str:
    """Return the totals of a plan as a sentence and a table of files and bytes by side and action."""
    rows = [
        _row((side.value, action.value, count_text(count.files), size_text(count.bytes)), _TOTALS_STYLES)
        for (side, action), count in sorted(totals.counts.items())
    ]
    table = _table_head(("side", "action", "files", "bytes")) + "".join(rows) + _TABLE_END
    return f"<div>{_paragraph(totals_words(totals))}{table}</div>"


_TOTALS_STYLES = (_CELL, _CELL, _NUMBER, _NUMBER)
_ROW_STYLES = (_NAME, _NAME, _NUMBER, _CELL)


def _plan_groups(plan: Plan) -> Iterator[_Group]:
    if plan.conflicts:
        title = counted(len(plan.conflicts), "conflict")
        yield _Group(title, len(plan.conflicts), map(_conflict_cells, plan.conflicts))
    # Sections come in the order of every view, so the directories with the gravest operations come first.
    folders: Dict[str, List[Operation]] = {}
    for operations in by_section(plan.operations).values():
        for operation in operations:
            top, slash, _ = operation.path.partition("/")
            folders.setdefault(top if slash else "", []).append(operation)
    for top, operations in folders.items():
        title = f"{_short(shown(top))}/" if top else "(top level)"
        yield _Group(
            f"{title} · {counted(len(operations), 'operation')}", len(operations), map(_operation_cells, operations)
        )


def _report_groups(report: Report) -> Iterator[_Group]:
    by_status = report.by_status
    for status in (status for status in _GRAVEST_FIRST if status in by_status):
        outcomes = by_status[status]
        title = f"{count_text(len(outcomes))} {status.value.replace('_', ' ')}"
        yield _Group(title, len(outcomes), map(_outcome_cells, outcomes))


_GRAVEST_FIRST = (
    Status.FAILED,
    Status.STALE,
    Status.WITHHELD,
    Status.CANCELLED,
    Status.NOT_STARTED,
    Status.DONE,
)


def _conflict_cells(conflict: Conflict) -> Sequence[str]:
    return _cells(conflict_row(conflict))


def _operation_cells(operation: Operation) -> Sequence[str]:
    return _cells(operation_row(operation))


def _outcome_cells(outcome: Outcome) -> Sequence[str]:
    mark, name, size, _ = _cells(operation_row(outcome.operation))
    if outcome.problem is not None:
        return mark, name, size, f"{reason_of(outcome)}: {shown(outcome.problem.message)}"
    if outcome.retained_at is not None:
        return mark, name, size, f"{outcome.status.value}, old version at {shown(outcome.retained_at)}"
    return mark, name, size, f"{outcome.status.value}: {operation_words(outcome.operation)}"


def _cells(row: Row) -> Sequence[str]:
    return row.mark, row.name, row.size_text, row.detail


def _page(header: Iterable[str], alarms: Iterable[str], groups: Iterator[_Group], titles: Sequence[str]) -> str:
    """Return the page; groups are added while they fit, so the size is bounded by construction."""
    pieces = ["<div>"]
    pieces += [_paragraph(text) for text in islice(header, _MOST_LINES)]
    pieces += [_paragraph(text, _ALARM) for text in islice(alarms, _MOST_LINES)]
    room = MOST_BYTES - _RESERVE - sum(map(_weight, pieces))
    hidden = 0
    for number, group in enumerate(groups):
        # What comes first is gravest: nothing later is shown once something did not fit.
        piece = "" if hidden else _details(group, titles, is_open=number < _OPEN_GROUPS)
        if hidden or _weight(piece) > room:
            hidden += group.number
            continue
        room -= _weight(piece)
        pieces.append(piece)
    if hidden:
        pieces.append(_paragraph(f"… and {counted(hidden, 'more row')} in folders that are not shown"))
    return "".join([*pieces, "</div>"])


def _details(group: _Group, titles: Sequence[str], *, is_open: bool) -> str:
    styles = _ROW_STYLES if len(titles) == len(_ROW_STYLES) else (_NAME,)
    rows = [_row(cells, styles) for cells in islice(group.rows, ROWS_PER_GROUP)]
    left = group.number - len(rows)
    more = _paragraph(f"… and {count_text(left)} more") if left else ""
    state = " open" if is_open else ""
    table = _table_head(titles) + "".join(rows) + _TABLE_END
    return f"<details{state}><summary>{_text(group.title)}</summary>{table}{more}</details>"


def _table_head(titles: Sequence[str]) -> str:
    heads = "".join(f"<th {_CELL}>{_text(title)}</th>" for title in titles)
    return f"<table {_TABLE}><thead><tr>{heads}</tr></thead><tbody>"


_TABLE_END = "</tbody></table>"


def _row(cells: Sequence[str], styles: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<td {style}>{_text(cell)}</td>" for cell, style in zip(cells, styles)) + "</tr>"


def _paragraph(text: str, style: str = _LINE) -> str:
    return f"<p {style}>{escape(_short(text, _LONGEST_LINE), quote=True)}</p>"


def _text(text: str) -> str:
    return escape(_short(text), quote=True)


def _short(text: str, most: int = _LONGEST_TEXT) -> str:
    """Return *text* with its middle left out where it is too long: beginnings and endings tell names apart."""
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-(most // 2) :]}"


def _weight(piece: str) -> int:
    return len(piece.encode("utf-8"))
