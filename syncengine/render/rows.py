"""The rows that every view of a plan is made from, and the words for what they say.

One order everywhere: what blocks, what needs a decision, what destroys, then the rest.
"""

from __future__ import annotations

from collections import Counter
from enum import IntEnum
from typing import Dict, Iterator, List, Optional, Tuple

from attrs import frozen

from ..core.entry import Kind, Problem, Side, Stamp
from ..core.guards import Blocker
from ..core.modes import ConflictPolicy, SyncMode
from ..core.paths import TRASH_FOLDER, shown
from ..core.plan import Plan
from ..core.plan_parts import (
    BY_STAMP,
    Action,
    Conflict,
    ConflictKind,
    Endpoint,
    Operation,
    Purpose,
    Reason,
    Resolution,
    in_order,
)
from ..core.resolve import TOLERANCE_NS
from ..core.totals import Totals
from .units import count_text, counted, size_text


class Section(IntEnum):
    """The parts of a view, in the order in which they are shown."""

    BLOCKERS = 0
    CONFLICTS = 1
    DELETES = 2
    OVERWRITES = 3
    MOVES = 4
    CREATES = 5
    TOUCHES = 6


@frozen
class Row:
    """One line of a view: ``mark`` says what happens and to which side, ``detail`` says why in words.

    Names are escaped, so that no view can be broken by one. ``size`` is in bytes, None where it says nothing.
    """

    section: Section
    mark: str
    name: str
    size: Optional[int]
    detail: str

    @property
    def size_text(self) -> str:
        """The size for people; empty where it says nothing."""
        return "" if self.size is None else size_text(self.size)


def rows(plan: Plan) -> Iterator[Row]:
    """Yield one row for each blocker, conflict and operation, in the order of every view."""
    yield from map(blocker_row, plan.blockers)
    yield from item_rows(plan)


def item_rows(plan: Plan) -> Iterator[Row]:
    """Yield the rows of conflicts and operations alone."""
    yield from map(conflict_row, plan.conflicts)
    for operations in by_section(plan.operations).values():
        yield from map(operation_row, operations)


def by_section(operations: Tuple[Operation, ...]) -> Dict[Section, List[Operation]]:
    """Return operations by the section they belong to, sections in order; made without making rows."""
    # The hash of an enum member is computed in Python; its identity is not, and a plan may hold a million.
    by_action: Dict[int, List[Operation]] = {id(action): [] for action in Action}
    for operation in operations:
        by_action[id(operation.action)].append(operation)
    found: Dict[Section, List[Operation]] = {section: [] for section in _OPERATION_SECTIONS}
    for action, section in _SECTION_OF.items():
        if action not in _MOVING:
            found[section] += by_action[id(action)]
    for operation in in_order(by_action[id(Action.MOVE)] + by_action[id(Action.COPY)]):
        found[section_of(operation)].append(operation)
    found[Section.OVERWRITES] = list(in_order(found[Section.OVERWRITES]))
    return found


def section_of(operation: Operation) -> Section:
    """Return the section of an operation; a move or a copy that replaces a file is an overwrite."""
    if operation.action in _MOVING and operation.destroys:
        return Section.OVERWRITES
    return _SECTION_OF[operation.action]


_MOVING = (Action.MOVE, Action.COPY)
_SECTION_OF = {
    Action.DELETE: Section.DELETES,
    Action.UPDATE: Section.OVERWRITES,
    Action.MOVE: Section.MOVES,
    Action.COPY: Section.MOVES,
    Action.CREATE: Section.CREATES,
    Action.TOUCH: Section.TOUCHES,
}
_OPERATION_SECTIONS = tuple(section for section in Section if section not in (Section.BLOCKERS, Section.CONFLICTS))

_MARK = {
    Action.CREATE: "+",
    Action.UPDATE: "~",
    Action.COPY: "=>",
    Action.MOVE: "->",
    Action.DELETE: "-",
    Action.TOUCH: ".",
}
_ARROW = {Side.DESTINATION: ">", Side.SOURCE: "<"}


def blocker_row(blocker: Blocker) -> Row:
    """Return the row of a reason why the plan is refused."""
    return Row(Section.BLOCKERS, "!!", shown(blocker.message), None, "blocks the plan")


def conflict_row(conflict: Conflict) -> Row:
    """Return the row of a conflict, open or resolved."""
    return Row(Section.CONFLICTS, "!", shown(conflict.path), None, conflict_words(conflict))


def operation_row(operation: Operation) -> Row:
    """Return the row of an operation."""
    return Row(
        section_of(operation),
        _MARK[operation.action] + _ARROW[operation.target],
        operation_name(operation),
        shown_size(operation),
        operation_words(operation),
    )


def operation_name(operation: Operation) -> str:
    """Return the path of an operation as a view shows it: directories end in a slash, moves say from where."""
    slash = "/" if operation.kind is Kind.DIRECTORY else ""
    name = shown(operation.path) + slash
    old = operation.moved_from
    return name if old is None else f"{shown(old)}{slash} → {name}"


def shown_size(operation: Operation) -> Optional[int]:
    """Return the size in bytes of the content that arrives, or of the file that is deleted."""
    if operation.kind is not Kind.FILE or operation.action in (Action.MOVE, Action.COPY, Action.TOUCH):
        return None
    if operation.action is Action.DELETE:
        return operation.expect_target.size if operation.expect_target is not None else None
    # Within one storage no byte travels; the size of the content is still what a reader wants to know.
    origin = operation.expect_origin
    return operation.size if origin is None or origin.size is None else origin.size


def operation_words(operation: Operation) -> str:
    """Return why an operation is in the plan, in words."""
    words = reason_words(operation)
    if operation.action is Action.MOVE:
        words = "moved" if operation.files is None else f"moved with {counted(operation.files, 'file')}"
    elif operation.action is Action.COPY:
        words = "copied" if operation.reason is not Reason.CONFLICT else f"copied: {words}"
    if section_of(operation) is Section.OVERWRITES and operation.action in _MOVING:
        words += ", replaces another file"
    if operation.rests_on_stamp:
        words += ", told by its size and time"
    return f"{words}; old version goes to the trash" if operation.retain else words


def reason_words(operation: Operation) -> str:
    """Return the reason of an operation in words, with what told the two versions apart where that is known."""
    words = _REASON_WORDS.get(operation.reason) or operation.reason.value.replace("_", " ")
    if operation.reason is not Reason.CONTENT_DIFFERS:
        return words
    evidence = _evidence(operation.expect_origin, operation.expect_target)
    return f"{words} ({evidence})" if evidence else words


_REASON_WORDS = {
    Reason.CONFLICT: "resolves a conflict",
    Reason.PREFERENCE: "preferred side of the first sync",
    Reason.UNDONE: "undoes an earlier run",
    Reason.RESTORED: "restores an earlier version",
    Reason.PRUNED: "kept long enough",
    Reason.CANNOT_COMPARE: "cannot be compared, so it is transferred",
}


def _evidence(origin: Optional[Stamp], target: Optional[Stamp]) -> str:
    if origin is None or target is None:
        return ""
    if origin.size is not None and target.size is not None and origin.size != target.size:
        return "size"
    for digest in origin.digests:
        algorithm = digest.partition(":")[0]
        other = target.digest(algorithm)
        if other is not None and other != digest:
            return shown(algorithm)
    return ""


def conflict_words(conflict: Conflict) -> str:
    """Return how the sides disagree and what was decided, in words."""
    words = _CONFLICT_WORDS[conflict.kind]
    if conflict.kind is ConflictKind.DELETE_MODIFY:
        gone, changed = ("source", "destination") if conflict.source is None else ("destination", "source")
        words = f"deleted at {gone}, changed at {changed}"
    if conflict.resolution is None:
        return f"{words}; needs a decision"
    by = f" ({decider_words(conflict.decided_by)}{_tie_words(conflict)})" if conflict.decided_by else ""
    return f"{words}; {_RESOLUTION_WORDS[conflict.resolution]}{by}"


def _tie_words(conflict: Conflict) -> str:
    """Return why the policy that takes the newest version took both."""
    tie = conflict.resolution is Resolution.KEEP_BOTH and conflict.decided_by == f"rule:{ConflictPolicy.NEWEST.value}"
    if not tie or conflict.kind not in (ConflictKind.CREATE_CREATE, ConflictKind.MODIFY_MODIFY):
        return ""
    if conflict.newer is None:
        return ": times not known"
    times = [None if stamp is None else stamp.mtime_ns for stamp in (conflict.source, conflict.destination)]
    if None in times or abs((times[0] or 0) - (times[1] or 0)) > TOLERANCE_NS:
        return ": times too close for these clocks"
    return ": times within 2 s"


_CONFLICT_WORDS = {
    ConflictKind.CREATE_CREATE: "created on both sides",
    ConflictKind.MODIFY_MODIFY: "changed on both sides",
    ConflictKind.DELETE_MODIFY: "deleted on one side, changed on the other",
    ConflictKind.KIND_CLASH: "a file on one side, a directory on the other",
}
_RESOLUTION_WORDS = {
    Resolution.SOURCE: "the source's version wins",
    Resolution.DESTINATION: "the destination's version wins",
    Resolution.NEWER: "the newer version wins",
    Resolution.KEEP_BOTH: "both versions are kept",
    Resolution.MERGED: "both sides get the merged content",
    Resolution.SKIP: "left alone, needs a decision",
}


def decider_words(decided_by: str) -> str:
    """Return who or what decided, in words: ``rule:T7``, ``rule:newest`` or ``user:alice``."""
    kind, _, name = decided_by.partition(":")
    if kind == "user":
        return f"decided by {shown(name)}" if name != "user" else "decided by the user"
    rule = name[: -len(BY_STAMP)] if name.endswith(BY_STAMP) else name
    if rule in RULES:
        return f"rule {rule}: {RULES[rule]}" + (f"; {_BY_STAMP_WORDS}" if rule != name else "")
    return f"policy {shown(name)}" if kind == "rule" and name else shown(decided_by)


RULES: Dict[str, str] = {
    "T1": "there is nothing on either side",
    "T2": "new at the source, and absent at the destination",
    "T3": "new at the destination, and absent at the source",
    "T4": "both sides hold the same content and nothing was recorded yet",
    "T5": "both sides hold different content and nothing was recorded yet",
    "T6": "unchanged on both sides since they last agreed",
    "T7": "changed at the source, unchanged at the destination since they last agreed",
    "T8": "changed at the destination, unchanged at the source since they last agreed",
    "T9": "changed on both sides to the same content",
    "T10": "changed on both sides to different content",
    "T11": "removed at the source, unchanged at the destination since they last agreed",
    "T12": "removed at the destination, unchanged at the source since they last agreed",
    "T13": "removed on both sides",
    "T14": "removed at the source, changed at the destination",
    "T15": "removed at the destination, changed at the source",
    "U": "one side could not be seen, so nothing is done",
    "R1": "renamed on the other side",
    "R4": "renamed on the other side and edited on this one: the edit follows",
    "R8": "a directory that was renamed on the other side with everything in it",
    "N2": "spelled otherwise on the other side",
}
"""What the rows of the decision table mean, and the rules beside it."""

_BY_STAMP_WORDS = (
    "its size and time say so, which nothing else that came or went has; what such an agreement destroys is kept"
)


# -------------------------------------------------------------------------------------------------------- the header


def route_words(plan: Plan) -> str:
    """Return from where to where a plan goes, and in which mode; or what else it is for."""
    source, destination = shown(plan.source.url), shown(plan.destination.url)
    if plan.purpose is not Purpose.SYNC:
        return _purpose_words(plan)
    mode = plan.settings.mode
    if mode.is_bidirectional:
        return f"{source} ↔ {destination} ({mode.value})"
    if mode in (SyncMode.DESTINATION_TO_SOURCE, SyncMode.DESTINATION_BACKUP):
        source, destination = destination, source
    return f"{source} → {destination} ({mode.value})"


def _purpose_words(plan: Plan) -> str:
    """Return what a plan that is no sync does, and where it writes; content comes from the trash."""
    urls = {Side.SOURCE: plan.source.url, Side.DESTINATION: plan.destination.url}
    written = {operation.target for operation in plan.operations}
    return f"{plan.purpose.value} at {' and '.join(shown(urls[side]) for side in Side if side in written)}"


def totals_words(totals: Totals) -> str:
    """Return the totals of a plan as one sentence."""
    parts = []
    for action in _SENTENCE:
        count = totals.count(action)
        if not count.files:
            continue
        lost = f" ({size_text(totals.overwritten_bytes)} overwritten)" if action is Action.UPDATE else ""
        parts.append(f"{count_text(count.files)} to {action.value}{lost}")
    sentence = [", ".join(parts) or "nothing to do"]
    if totals.transfer_bytes:
        sentence.append(f"{size_text(totals.transfer_bytes)} to transfer")
    if totals.conflicts:
        still_open = f" ({count_text(totals.unresolved)} open)" if totals.unresolved != totals.conflicts else ""
        sentence.append(counted(totals.conflicts, "conflict") + still_open)
    if totals.problems:
        sentence.append(counted(totals.problems, "problem"))
    return " · ".join(sentence)


_SENTENCE = (Action.CREATE, Action.UPDATE, Action.COPY, Action.MOVE, Action.DELETE, Action.TOUCH)


ALL_LINES = "plan.itemize() gives all"


def header_lines(plan: Plan, rest: str = ALL_LINES) -> Iterator[str]:
    """Yield the lines above the rows of a view: route, totals, and what else will or could not be done."""
    totals = plan.totals
    yield route_words(plan)
    yield totals_words(totals)
    if totals.retained:
        yield f"{counted(totals.retained, 'old version')} will be kept in {_trash_words(plan)}"
    yield f"{count_text(totals.unchanged)} unchanged, {count_text(totals.excluded)} excluded"
    if totals.to_record:
        yield f"{counted(totals.to_record, 'row')} to record in the state"
    sides = {Side.SOURCE: plan.source, Side.DESTINATION: plan.destination}
    charged = [(side, number) for side, number in totals.requests.items() if number and _costs_requests(sides[side])]
    if charged:
        first, *others = charged
        asked = f"{counted(first[1], 'request')} at the {first[0].value}"
        yield " and ".join(
            [f"about {asked}", *(f"{count_text(number)} at the {side.value}" for side, number in others)]
        )
    yield from _missing_lines(plan)
    yield from problem_lines(plan, rest)


_GONE = {Side.SOURCE: Reason.REMOVED_AT_SOURCE, Side.DESTINATION: Reason.REMOVED_AT_DESTINATION}


def _missing_lines(plan: Plan) -> Iterator[str]:
    """Warn of a side that most of what the last sync left there is missing from, and that is filled again."""
    for side, reason in _GONE.items():
        again = sum(each.target is side and each.reason is reason for each in plan.operations if each.origin)
        remembered = plan.live.get(side, 0)
        if again and 2 * again > remembered:
            gone = f"{counted(again, 'file')} of the last sync {'is' if again == 1 else 'are'} missing"
            yield f"warning: {gone} at the {side.value} and will be copied there again; check that it is mounted"


def _costs_requests(endpoint: Endpoint) -> bool:
    innermost = endpoint.url.rpartition("::")[2]
    return "://" in innermost and not innermost.startswith(("file://", "local://", "memory://"))


def _trash_words(plan: Plan) -> str:
    if plan.settings.trash is not None:
        return shown(plan.settings.trash)
    counts = Counter(operation.target.value for operation in plan.operations if operation.retain)
    return f"{TRASH_FOLDER}/ at the {' and the '.join(sorted(counts, reverse=True))}"


PROBLEMS_SHOWN = 3


def problem_lines(plan: Plan, rest: str = ALL_LINES) -> Iterator[str]:
    """Yield the first problems of a plan, how many more there are, and by *rest* what shows them."""
    yield from (f"problem: {problem_words(problem)}" for problem in plan.problems[:PROBLEMS_SHOWN])
    if len(plan.problems) > PROBLEMS_SHOWN:
        yield f"… and {counted(len(plan.problems) - PROBLEMS_SHOWN, 'more problem')} ({rest})"


def problem_words(problem: Problem) -> str:
    """Return where something could not be seen, what kind of problem it is, and what was said of it."""
    at = f" at the {problem.side.value}" if problem.side is not None else ""
    return f"{shown(problem.path) or '(the root)'}{at}: {problem.kind.value}, {shown(problem.message)}"
