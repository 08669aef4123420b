"""The plan: every operation a run will perform, every row it will record, every conflict it found.

A plan is a value. Reading, filtering and editing return values; nothing here touches a file system or a clock.
An edit can only remove operations or turn a recorded conflict into operations; nothing is ever invented.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple, Union

from attrs import evolve, field, frozen

from ..errors import PlanError, RecipeError
from .entry import Problem, Side
from .guards import Blocker, BlockerKind, guard_blockers
from .paths import path_text, refusal, shown
from .plan_parts import (
    Agreement,
    Approval,
    Conflict,
    Endpoint,
    Operation,
    Purpose,
    Resolution,
    Settings,
    StateRef,
    ascends,
    in_order,
    order_of,
)
from .units import counted
from .views import Tabular, view

if TYPE_CHECKING:
    from .totals import Totals


Match = Union[str, Callable[[Any], bool], "Plan", Iterable[str]]


@frozen(repr=False, eq=False)
class Plan(Tabular):
    """What a sync will do, as a value that can be looked at, edited, saved and applied later by another process."""

    operations: Tuple[Operation, ...]
    agreements: Tuple[Agreement, ...]
    conflicts: Tuple[Conflict, ...]
    problems: Tuple[Problem, ...]
    source: Endpoint
    destination: Endpoint
    settings: Settings
    base: StateRef
    created_at: str
    unchanged: int = 0
    excluded: int = 0
    live: Mapping[Side, int] = field(factory=lambda: dict.fromkeys(Side, 0))
    findings: Tuple[Blocker, ...] = ()
    """What planning itself found to block: a missing root, an emptied side, a missing marker."""
    parent_digest: Optional[str] = None
    original_digest: Optional[str] = None
    approvals: Tuple[Approval, ...] = ()
    recipe_digest: Optional[str] = None
    split: Optional[str] = None
    live_clients: Any = field(default=None, repr=False)
    """Clients of the process that made the plan; never printed, pickled or saved."""
    _cache: Dict[str, Any] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        """Check the invariants: sorted, unique per target and path, only paths that stay below the root."""
        for operation in self.operations:
            reason = refusal(operation.path)
            if reason is not None:
                raise PlanError(f"the plan holds a path that {reason}: {shown(operation.path)!r}")
        if ascends(self.operations):
            return
        for before, operation in zip(self.operations, self.operations[1:]):
            if order_of(operation) <= order_of(before):
                where = f"{shown(operation.path)!r} at the {operation.target.value}"
                raise PlanError(f"the plan is not sorted or holds two operations for {where}")

    @classmethod
    def of(cls, operations: Iterable[Operation], **fields: Any) -> Plan:
        """Return a plan of *operations* in any order."""
        return cls(operations=in_order(operations), **fields)

    # ------------------------------------------------------------------ facts

    @property
    def digest(self) -> str:
        """The digest of everything that decides what happens; what a reviewer approves."""
        if "digest" not in self._cache:
            self._cache["digest"] = view("plan_digest")(self)
        digest: str = self._cache["digest"]
        return digest

    @property
    def root_digest(self) -> str:
        """The digest of the plan this one was edited from; its own where it was not edited."""
        return self.original_digest or self.digest

    @property
    def complete(self) -> bool:
        """Whether both scans saw everything."""
        return not any(problem.hides for problem in self.problems)

    @property
    def purpose(self) -> Purpose:
        """What the plan is for; one without operations is a sync's."""
        return self.operations[0].purpose if self.operations else Purpose.SYNC

    @property
    def empty(self) -> bool:
        """Whether there is no operation to perform."""
        return not self.operations

    @property
    def unresolved(self) -> Tuple[Conflict, ...]:
        """The conflicts that need a decision."""
        return tuple(conflict for conflict in self.conflicts if conflict.open)

    @property
    def blockers(self) -> Tuple[Blocker, ...]:
        """Every reason why ``apply`` would refuse this plan; all at once."""
        settings = self.settings
        found: List[Blocker] = list(self.findings)
        found += guard_blockers(
            self.operations, settings.guards, dict(self.live), allow_mass_delete=settings.allow_mass_delete
        )
        if settings.require_complete and not self.complete:
            found.append(
                Blocker(
                    BlockerKind.INCOMPLETE,
                    f"{counted(len(self.problems), 'place')} could not be seen (require_complete)",
                )
            )
        if settings.require_resolved and self.unresolved:
            verb = "is" if len(self.unresolved) == 1 else "are"
            words = f"{counted(len(self.unresolved), 'conflict')} {verb} open (require_resolved)"
            found.append(Blocker(BlockerKind.UNRESOLVED, words))
        return tuple(found)

    @property
    def totals(self) -> Totals:
        """Files and bytes per side and action."""
        if "totals" not in self._cache:
            from .totals import totals_of  # a sibling that needs these classes

            self._cache["totals"] = totals_of(self)
        totals: Totals = self._cache["totals"]
        return totals

    @property
    def destructive(self) -> Plan:
        """The operations that destroy bytes on their target."""
        return self.where(lambda operation: operation.destroys)

    # ---------------------------------------------------------------- reading

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.operations)

    def __len__(self) -> int:
        return len(self.operations)

    def __bool__(self) -> bool:
        return bool(self.operations) or bool(self.unresolved)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __getitem__(self, path: str) -> Union[Operation, Conflict]:
        for operation in self.operations:
            if operation.path == path:
                return operation
        for conflict in self.conflicts:
            if conflict.path == path:
                return conflict
        raise KeyError(path)

    def where(self, match: Optional[Match] = None, **fields: Any) -> Plan:
        """Return the part of this plan, maybe none, that matches a pattern, a predicate, a plan, ids, or fields."""
        chosen = self._chosen(match, fields)
        return self.edited(operation for operation in self.operations if chosen(operation))

    def explain(self, path: str) -> str:
        """Say why *path* is or is not in this plan."""
        text: str = view("explain_text")(self, path_text(path))
        return text

    # ---------------------------------------------------------------- editing

    def keep(self, match: Match, **fields: Any) -> Plan:
        """Return this plan with only the operations that match, and the groups they belong to."""
        chosen = self._whole_groups(self._chosen(match, fields))
        return self.edited(operation for operation in self.operations if chosen(operation))

    def drop(self, match: Match, **fields: Any) -> Plan:
        """Return this plan without the operations that match, and without the groups they belong to.

        A pattern that matches nothing leaves all operations: ``bool(plan.where(pattern))`` tells a misspelled one.
        """
        chosen = self._whole_groups(self._chosen(match, fields))
        return self.edited(operation for operation in self.operations if not chosen(operation))

    def resolve(self, match: Match, *, to: Union[str, bytes, Side, Resolution], by: str = "user") -> Plan:
        """Return this plan with the matching conflicts decided.

        *to* is ``source``, ``destination``, ``newer``, ``keep-both`` or ``skip``, or the merged content that takes the
        place of both versions, as bytes. Raises RecipeError where nothing but files that face directories matches and
        the plan does not know what is in those directories, where ``newer`` is asked of a side whose times are not
        those of its content, and where content cannot be merged.
        """
        from .resolve import resolved  # a sibling that needs these classes

        decided: Plan = resolved(self, self._chosen(match, {}), to=to, by=by)
        return decided

    def flip(self, match: Match, *, by: str = "user") -> Plan:
        """Return this two-way plan with the matching operations the other way round; what they destroy is retained."""
        from .flip import flipped  # a sibling that needs these classes

        plan: Plan = flipped(self, self._chosen(match, {}), by=by)
        return plan

    def approve(self, *, by: str, note: str = "") -> Plan:
        """Return this plan with a signature record over its digest."""
        return evolve(self, approvals=(*self.approvals, Approval(by, note, self.digest)))

    def __sub__(self, other: Plan) -> Plan:
        return self.drop(other)

    def __and__(self, other: Plan) -> Plan:
        return self.keep(other)

    def edited(self, operations: Iterable[Operation], **changes: Any) -> Plan:
        """Return this plan with other operations, remembering what it was edited from; approvals are void."""
        kept = in_order(self._safe_alone(operations))
        if kept == self.operations and not changes:
            return self
        return evolve(
            self, operations=kept, parent_digest=self.digest, original_digest=self.root_digest, approvals=(), **changes
        )

    def _safe_alone(self, operations: Iterable[Operation]) -> Iterable[Operation]:
        """Return *operations* with every version retained that a part of the group that is gone would have saved."""
        sizes = Counter(operation.group for operation in self.operations if operation.group is not None)
        if not sizes:
            return operations
        kept = tuple(operations)
        # A conflict that is decided anew brings a group of its own, which is whole.
        old = {id(operation) for operation in self.operations}
        left = Counter(operation.group for operation in kept if id(operation) in old)
        torn = {group for group, size in sizes.items() if 0 < left[group] < size}
        return (
            evolve(operation, retain=True) if operation.group in torn and operation.destroys else operation
            for operation in kept
        )

    def _chosen(self, match: Optional[Match], fields: Mapping[str, Any]) -> Callable[[Any], bool]:
        tests = [_field_test(name, value) for name, value in fields.items()]
        if match is not None:
            tests.append(_match_test(match))
        return lambda item: all(test(item) for test in tests)

    def _whole_groups(self, chosen: Callable[[Any], bool]) -> Callable[[Operation], bool]:
        groups = {operation.group for operation in self.operations if operation.group and chosen(operation)}
        return lambda operation: chosen(operation) or operation.group in groups

    # ------------------------------------------------------------------ views

    def __repr__(self) -> str:
        return (
            f"<Plan {self.settings.mode.value}: {self.source.url} to {self.destination.url}, "
            f"{counted(len(self.operations), 'operation')}, {counted(len(self.conflicts), 'conflict')}, "
            f"{counted(len(self.problems), 'problem')}>"
        )

    def __str__(self) -> str:
        text: str = view("plan_text")(self)
        return text

    def itemize(self, limit: Optional[int] = None) -> Iterator[str]:
        """Yield one stable, uncoloured line for each blocker, conflict, operation and problem."""
        lines: Iterator[str] = view("itemize")(self, limit)
        return lines

    def _repr_html_(self) -> str:
        page: str = view("plan_html")(self)
        return page

    def __rich__(self) -> Any:
        return view("plan_rich")(self)

    def to_markdown(self, max_chars: int = 60_000) -> str:
        """Return a summary for review comments, cut on a row boundary at *max_chars* characters."""
        text: str = view("plan_markdown")(self, max_chars)
        return text

    def to_records(self) -> List[Dict[str, Any]]:
        """Return one flat dictionary for each operation."""
        records: List[Dict[str, Any]] = view("plan_records")(self)
        return records

    def to_json(self) -> str:
        """Return the saved form: one JSON document, one operation on each line."""
        text: str = view("plan_to_json")(self)
        return text

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Return the plan in a saved form; raises PlanFormatError for anything else."""
        plan: Plan = view("plan_from_json")(text)
        return plan

    def save(self, path: Any) -> None:
        """Write the saved form to a file readable by its owner only; ``.gz`` compresses."""
        view("plan_save")(self, path)

    @classmethod
    def load(cls, path: Any) -> Plan:
        """Return the plan in a file; raises PlanFormatError where it is none."""
        plan: Plan = view("plan_load")(path)
        return plan

    def __getstate__(self) -> Dict[str, Any]:
        return {"saved": self.to_json()}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        loaded = Plan.from_json(state["saved"])
        for name in self.__attrs_attrs__:
            object.__setattr__(self, name.name, getattr(loaded, name.name))


def _match_test(match: Match) -> Callable[[Any], bool]:
    if isinstance(match, Plan):
        ids = {operation.id for operation in match.operations}
        return lambda item: getattr(item, "id", None) in ids
    if isinstance(match, str):
        from .patterns import matcher

        matches = matcher([match])
        return lambda item: matches(item.path)
    if callable(match):
        return match
    if not isinstance(match, Iterable):
        raise RecipeError(f"operations are chosen by a pattern, a function, a plan or their ids, not by {match!r}")
    names = {str(name) for name in match}
    return lambda item: getattr(item, "id", None) in names


def _field_test(name: str, value: Any) -> Callable[[Any], bool]:
    known = [attribute.name for attribute in Operation.__attrs_attrs__]
    if name not in (*known, "destroys", "moved_from", "id"):
        raise RecipeError(f"operations have no field {name!r}; they have: {', '.join(known)}")
    return lambda item: bool(getattr(item, name) == value)
