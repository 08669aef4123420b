"""Plain text: itemised lines, the summary of a plan, the end of a run, and why a path is where it is."""

from __future__ import annotations

import os
from collections import Counter
from datetime import datetime
from itertools import chain, islice
from typing import Dict, Iterator, List, Optional, Sequence

from ..core.entry import Problem, Side, Stamp
from ..core.guards import Blocker
from ..core.paths import is_within, shown
from ..core.plan import Plan
from ..core.plan_parts import Agreement, AgreementKind, Conflict, Operation
from ..core.report import Outcome, Report, Status
from ..core.totals import Totals
from .rows import (
    ALL_LINES,
    Row,
    Section,
    blocker_row,
    conflict_words,
    decider_words,
    header_lines,
    item_rows,
    operation_name,
    operation_row,
    operation_words,
    problem_words,
    rows,
    totals_words,
)
from .units import count_text, counted, seconds_text, size_text

FIRST_LINES = 20
NAME_WIDTH = 18
SIZE_WIDTH = 8
WIDEST_NAME = 60


def itemize(plan: Plan, limit: Optional[int] = None) -> Iterator[str]:
    """Yield one uncoloured line for each blocker, conflict, operation and problem; the same for the same row always."""
    return islice(chain(map(item_line, rows(plan)), (f"?  {problem_words(each)}" for each in plan.problems)), limit)


def item_line(row: Row, width: int = NAME_WIDTH) -> str:
    """Return the line of one row; *width* is the number of columns for its name."""
    if row.section is Section.BLOCKERS:
        return f"{row.mark} {row.name}"
    what = f"{row.mark:<2} {row.name}"
    place = (
        f"{what:<{width + 3}}{row.size_text:>{SIZE_WIDTH}}" if row.size_text else f"{what:<{width + 3 + SIZE_WIDTH}}"
    )
    return f"{place}   {row.detail}"


def plan_text(plan: Plan, blockers: Optional[Sequence[Blocker]] = None, *, rest: str = ALL_LINES) -> str:
    """Return the summary of a plan and its first lines; *blockers* stand for the plan's own, in other words.

    *rest* says what shows those lines that do not fit.
    """
    blocked = [blocker_row(blocker) for blocker in (plan.blockers if blockers is None else blockers)]
    items = list(islice(item_rows(plan), FIRST_LINES))
    width = min(max([NAME_WIDTH, *(len(row.name) for row in items)]), WIDEST_NAME)
    lines = [*header_lines(plan, rest), *[""] * bool(blocked or items)]
    lines += [item_line(row, width) for row in (*blocked, *items)]
    left = len(plan.conflicts) + len(plan.operations) - len(items)
    if left:
        lines.append(f"… and {count_text(left)} more ({rest})")
    return "\n".join(lines)


def totals_text(totals: Totals) -> str:
    """Return the totals of a plan as one sentence."""
    return totals_words(totals)


# ------------------------------------------------------------------------------------------------------------- reports


def report_text(report: Report) -> str:
    """Return what a run did, where old versions are, what it did not do and why, and what needs a decision."""
    return "\n".join([*summary_lines(report), *_failure_lines(report), *next_lines(report)])


def summary_lines(report: Report) -> Iterator[str]:
    """Yield what a run did: counts by status, bytes, seconds, what was kept and recorded; notes are last.

    Where an applied plan was applied again, the note that says so is first: the counts are those of the first time.
    """
    repeated = [note for note in report.notes if note.startswith(_REPEATED)]
    yield from map(shown, repeated)
    then = "that run: " if repeated else ""
    counts = ", ".join(
        f"{count_text(len(report.by_status[status]))} {status.value.replace('_', ' ')}"
        for status in Status
        if status in report.by_status
    )
    travelled = size_text(sum(outcome.bytes for outcome in report.outcomes))
    seconds = elapsed(report)
    took = f" in {seconds_text(seconds)}" if seconds is not None else ""
    yield f"{then}{counts or 'nothing to do'} · {travelled} transferred{took}"
    yield from _kept_lines(report)
    if report.recorded:
        yield f"{counted(report.recorded, 'row')} recorded in the state"
    yield from (shown(note) for note in report.notes if note not in repeated)


_REPEATED = "this plan was applied before"


def _kept_lines(report: Report) -> Iterator[str]:
    kept: Dict[Side, List[str]] = {}
    for outcome in report.outcomes:
        if outcome.retained_at is not None:
            kept.setdefault(outcome.operation.target, []).append(outcome.retained_at)
    for side in (side for side in Side if side in kept):
        places = kept[side]
        folder = os.path.commonprefix(places).rpartition("/")[0]  # noqa: RUF071 - URLs and keys, cut at a slash here
        where = shown(places[0] if len(places) == 1 or not folder else folder + "/")
        trash = report.plan.settings.trash
        beside = "" if trash is None else f"{shown(_named(trash)).rstrip('/')}/"
        yield f"{counted(len(places), 'old version')} of the {side.value} kept in {beside}{where}"


def next_lines(report: Report) -> Iterator[str]:
    """Yield how much a run left undone and why, what could not be seen, and what needs a decision."""
    if report.undone or report.interrupted:
        yield _headline(report)
    if not report.plan.complete:
        places = counted(len(report.plan.problems), "place")
        yield f"{places} could not be seen and {'was' if len(report.plan.problems) == 1 else 'were'} left alone"
    if report.plan.unresolved:
        number = len(report.plan.unresolved)
        needs = "needs" if number == 1 else "need"
        yield f"{counted(number, 'conflict')} {needs} a decision: {_conflicts_of(report.plan)}"


def _conflicts_of(plan: Plan) -> str:
    """Return the command that lists the open conflicts of a plan's places."""
    from shlex import quote

    state = plan.base.place
    own = [] if state in (None, "default") else ["--state", state]
    words = [*(_named(endpoint.url) for endpoint in (plan.source, plan.destination)), *own]
    return shown(f"syncengine conflicts {' '.join(quote(word) for word in words if word)}")


def _named(url: str) -> str:
    return url[len("file://") :] if url.startswith("file://") else url


def report_failures(report: Report) -> str:
    """Return what was not done, with the first reasons and what does it after all."""
    verb = "Resume" if report.interrupted else "Retry"
    cure = "Plan again" if report.is_stale else f"{verb}: apply(report.remaining())"
    return "\n".join([f"{_headline(report)}. {cure}", *_failure_lines(report)])


_FAILURES_SHOWN = 5
_GRAVEST_FIRST = (Status.FAILED, Status.STALE, Status.WITHHELD, Status.CANCELLED, Status.NOT_STARTED)


def _failure_lines(report: Report) -> Iterator[str]:
    """Yield the first operations that were not done, each with its reason, and how many more there are."""
    by_status = report.by_status
    undone = [outcome for status in _GRAVEST_FIRST for outcome in by_status.get(status, ())]
    told = [outcome for outcome in undone if outcome.problem is not None]
    yield from (f"  {_failure_line(outcome)}" for outcome in told[:_FAILURES_SHOWN])
    if len(told) > _FAILURES_SHOWN:
        yield f"  … and {count_text(len(told) - _FAILURES_SHOWN)} more"


def _failure_line(outcome: Outcome) -> str:
    message = "" if outcome.problem is None else f", {shown(outcome.problem.message)}"
    return f"{shown(outcome.operation.path)}: {reason_of(outcome)}{message}"


def _headline(report: Report) -> str:
    why = f" ({reasons_words(report)})" if report.undone else ""
    if report.interrupted:
        left = f"{count_text(len(report.undone))} of {counted(len(report.outcomes), 'operation')} not done"
        return f"Interrupted, {left}{why}"
    failed = len(report.by_status.get(Status.FAILED, ()))
    verb = "failed" if failed == len(report.undone) else "not done"
    return f"{counted(len(report.undone), 'operation')} {verb}{why}"


def reason_of(outcome: Outcome) -> str:
    """Return why an operation was not done, in a word; what was stale or withheld did not fail by itself."""
    if outcome.problem is None or outcome.status in (Status.STALE, Status.WITHHELD):
        return outcome.status.value.replace("_", " ")
    return outcome.problem.kind.value.replace("_", " ")


def reasons_words(report: Report) -> str:
    """Return why operations were not done, each reason with its count, the commonest first."""
    ordered = sorted(Counter(map(reason_of, report.undone)).items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count_text(number)} {reason}" for reason, number in ordered)


def elapsed(report: Report) -> Optional[float]:
    """Return how many seconds a run took, or None where its times say nothing."""
    try:
        started, finished = _time(report.started_at), _time(report.finished_at)
    except ValueError:
        return None
    return max((finished - started).total_seconds(), 0.0)


def _time(text: str) -> datetime:
    fraction = ".%f" if "." in text else ""
    return datetime.strptime(text, f"%Y-%m-%dT%H:%M:%S{fraction}%z")


# ---------------------------------------------------------------------------------------------------------- explaining


def explain_text(plan: Plan, path: str) -> str:
    """Return why *path* is in the plan: its operations, conflict, agreement, and what could not be seen."""
    lines = [shown(path)]
    for operation in plan.operations:
        if path in (operation.path, operation.key, operation.moved_from):
            lines += _operation_lines(operation)
    for conflict in plan.conflicts:
        if conflict.path == path:
            lines += _conflict_lines(conflict)
    for agreement in plan.agreements:
        if agreement.path == path:
            lines += _agreement_lines(agreement)
    lines += [_problem_line(problem) for problem in plan.problems if problem.hides and is_within(path, problem.path)]
    if len(lines) == 1:
        return (
            f"{lines[0]}: not in this plan: unchanged, excluded, out of scope, or on neither side. "
            f"To look at both sides again: syncengine explain"
        )
    return "\n".join(lines)


def _operation_lines(operation: Operation) -> Iterator[str]:
    row = operation_row(operation)
    size = f", {row.size_text}" if row.size is not None else ""
    yield f"  {row.mark} {operation.action.value} {operation_name(operation)} at the {operation.target.value}{size}"
    yield f"     why: {operation_words(operation)}"
    if operation.chosen_by:
        yield f"     {decider_words(operation.chosen_by)}"
    if operation.origin is not None:
        side, path = operation.origin
        yield f"     expects at the {side.value}, {shown(path)}: {stamp_words(operation.expect_origin)}"
    where = f"{operation.target.value}, {shown(operation.path)}"
    yield f"     expects at the {where}: {stamp_words(operation.expect_target)}"
    if operation.group is not None:
        yield f"     belongs to the group {shown(operation.group)}: kept or dropped as a whole"


def _conflict_lines(conflict: Conflict) -> Iterator[str]:
    yield f"  ! {conflict_words(conflict)}"
    yield f"     last agreed: {stamp_words(conflict.base, absent='nothing recorded')}"
    yield f"     source: {stamp_words(conflict.source)}"
    yield f"     destination: {stamp_words(conflict.destination)}"


def _agreement_lines(agreement: Agreement) -> Iterator[str]:
    yield f"  = {_AGREEMENT_WORDS[agreement.kind]}"
    yield f"     source: {stamp_words(agreement.source)}"
    yield f"     destination: {stamp_words(agreement.destination)}"


_AGREEMENT_WORDS = {
    AgreementKind.ADOPT: "both sides already hold the same content: recorded, nothing is written",
    AgreementKind.CONVERGE: "both sides changed to the same content: recorded, nothing is written",
    AgreementKind.FORGET: "gone from both sides: its row is removed from the state",
    AgreementKind.TOUCH: "only times changed, not content: the recorded stamp is refreshed",
    AgreementKind.DORMANT: "kept on record as dormant: its absence proves nothing any more",
}


def _problem_line(problem: Problem) -> str:
    at = f" at the {problem.side.value}" if problem.side is not None else ""
    where = shown(problem.path) or "the root"
    return f"  ? {where} could not be seen{at} ({problem.kind.value}: {shown(problem.message)}): nothing is done there"


def stamp_words(stamp: Optional[Stamp], *, absent: str = "nothing there") -> str:
    """Return what identifies one version of a file, in words."""
    if stamp is None:
        return absent
    parts = [] if stamp.size is None else [f"{count_text(stamp.size)} bytes"]
    if stamp.mtime_ns is not None:
        parts.append(f"modified {time_text(stamp.mtime_ns)}")
    parts += [f"{name} {shown(value)}" for name in ("etag", "version") if (value := getattr(stamp, name)) is not None]
    parts += map(shown, stamp.digests)
    return ", ".join(parts) or "something that is there"


def time_text(mtime_ns: int) -> str:
    """Return a modification time as RFC 3339 in UTC; the bare number of nanoseconds beyond the calendar."""
    from datetime import timezone

    try:
        moment = datetime.fromtimestamp(mtime_ns // 1_000_000_000, timezone.utc)
    except (OverflowError, OSError, ValueError):
        return f"{mtime_ns} ns"
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
