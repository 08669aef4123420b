"""What happened: one outcome for every operation of a plan, made of results and never of intentions."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import Any, Dict, List, Mapping, Optional, Tuple

from attrs import evolve, field, frozen

from ..errors import PartialApplyError
from .entry import Problem, Stamp
from .plan import Plan
from .plan_parts import Action, Operation, in_order
from .totals import Count, Totals
from .views import Tabular, view


class Status(str, Enum):
    """How an operation ended."""

    DONE = "done"
    STALE = "stale"
    FAILED = "failed"
    WITHHELD = "withheld"
    CANCELLED = "cancelled"
    NOT_STARTED = "not_started"


@frozen
class Outcome:
    """The end of one operation: ``bytes`` travelled, ``seconds`` passed; ``retained_at`` is where the old version is.

    ``before`` and ``after`` are the stamps of the target around the operation, ``origin`` that of what was read.
    """

    operation: Operation
    status: Status
    problem: Optional[Problem] = None
    attempts: int = 0
    bytes: int = 0
    seconds: float = 0.0
    before: Optional[Stamp] = None
    after: Optional[Stamp] = None
    origin: Optional[Stamp] = None
    digest: Optional[str] = None
    retained_at: Optional[str] = None
    looked_ns: int = field(default=0, eq=False, repr=False, metadata={"saved": False})
    """When the looks began whose stamps these are; 0 where nobody knows. For the state alone, and never saved."""


@frozen(repr=False)
class Report(Tabular):
    """The result of applying a plan: its header, and one outcome for each of its operations."""

    plan: Plan
    outcomes: Tuple[Outcome, ...]
    run_id: str
    started_at: str
    finished_at: str
    interrupted: bool = False
    recorded: int = 0
    """Rows written to the state, agreements included."""
    notes: Tuple[str, ...] = field(default=())

    @property
    def plan_digest(self) -> str:
        """The digest of the plan that was applied."""
        return self.plan.digest

    @property
    def by_status(self) -> Mapping[Status, Tuple[Outcome, ...]]:
        """The outcomes, grouped by how they ended."""
        groups: Dict[Status, List[Outcome]] = {}
        for outcome in self.outcomes:
            groups.setdefault(outcome.status, []).append(outcome)
        return {status: tuple(outcomes) for status, outcomes in groups.items()}

    @property
    def undone(self) -> Tuple[Outcome, ...]:
        """The outcomes of operations that were not done."""
        return tuple(outcome for outcome in self.outcomes if outcome.status is not Status.DONE)

    @property
    def is_stale(self) -> bool:
        """Whether the world had changed for any operation: only a new plan can do that."""
        return Status.STALE in self.by_status

    @property
    def ok(self) -> bool:
        """Whether every operation was done, and nothing stopped the run."""
        return not self.interrupted and not self.undone

    @property
    def totals(self) -> Totals:
        """What was done, in the shape of a plan's totals; bytes are those that travelled."""
        done = [outcome for outcome in self.outcomes if outcome.status is Status.DONE]
        whole = len(done) == len(self.outcomes) == len(self.plan.operations)
        planned = self.plan if whole else evolve(self.plan, operations=tuple(outcome.operation for outcome in done))
        counts: Dict[Any, Count] = {}
        for outcome in done:
            where = (outcome.operation.target, outcome.operation.action)
            before = counts.get(where, Count())
            is_removal = outcome.operation.action is Action.DELETE
            size = planned_size(outcome) if is_removal else outcome.bytes
            files = 1 if outcome.operation.files is None else outcome.operation.files
            counts[where] = Count(before.files + files, before.bytes + size)
        return evolve(
            planned.totals,
            counts=counts,
            transfer_bytes=sum(outcome.bytes for outcome in done),
            retained=sum(outcome.retained_at is not None for outcome in self.outcomes),
            to_record=self.recorded,
        )

    @property
    def exit_code(self) -> int:
        """What a process that made this report ends with (``plan-and-report`` section 6, most severe first)."""
        if self.interrupted:
            return 130
        if self.undone:
            return 3
        if not self.plan.complete:
            return 7
        if self.plan.unresolved:
            return 4
        return 0

    @property
    def reasons(self) -> Mapping[str, int]:
        """Why operations were not done, each with its count."""
        return Counter(
            outcome.status.value
            if outcome.problem is None or outcome.status in (Status.STALE, Status.WITHHELD)
            else outcome.problem.kind.value
            for outcome in self.undone
        )

    def remaining(self) -> Plan:
        """Return what was not done, with the original preconditions; applying it again is a retry."""
        left = in_order(outcome.operation for outcome in self.undone)
        if len(left) == len(self.plan.operations):
            return self.plan
        return evolve(
            self.plan,
            operations=left,
            agreements=(),
            parent_digest=self.plan.digest,
            original_digest=self.plan.root_digest,
            approvals=(),
        )

    def raise_for_status(self) -> Report:
        """Return this report where everything was done; raise PartialApplyError with the report otherwise."""
        if self.ok:
            return self
        raise PartialApplyError(str(view("report_failures")(self)), self)

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(outcomes):,} {status.value}" for status, outcomes in self.by_status.items())
        return f"<Report {self.run_id}: {counts or 'nothing to do'}>"

    def __str__(self) -> str:
        text: str = view("report_text")(self)
        return text

    def _repr_html_(self) -> str:
        page: str = view("report_html")(self)
        return page

    def to_records(self) -> List[Dict[str, Any]]:
        """Return one flat dictionary for each outcome."""
        records: List[Dict[str, Any]] = view("report_records")(self)
        return records

    def to_json(self) -> str:
        """Return the saved form of the report: the plan's header and one outcome on each line."""
        text: str = view("report_to_json")(self)
        return text

    @classmethod
    def from_json(cls, text: str) -> Report:
        """Return the report in a saved form."""
        report: Report = view("report_from_json")(text)
        return report

    def save(self, path: Any) -> None:
        """Write the saved form to a file readable by its owner only."""
        view("report_save")(self, path)

    @classmethod
    def load(cls, path: Any) -> Report:
        """Return the report in a file."""
        report: Report = view("report_load")(path)
        return report


def planned_size(outcome: Outcome) -> int:
    """Return the size in bytes of the version that stood on the target."""
    expected = outcome.operation.expect_target
    return (expected.size or 0) if expected is not None else 0
