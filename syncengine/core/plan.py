"""The plan: every operation a run will perform, every row it will record, every conflict it found.

A plan is a value. Reading, filtering and editing return values; nothing here touches a file system or a clock.
An edit can only remove operations or turn a recorded conflict into operations; nothing is ever invented.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum
from hashlib import sha256
from itertools import islice
from operator import lt
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Union,
)

from attrs import evolve, field, frozen

from ..errors import PlanError, RecipeError
from .entry import Base, Kind, Problem, Side, Stamp
from .guards import Blocker, BlockerKind, Guards, guard_blockers
from .modes import (
    ComparisonMode,
    ConflictPolicy,
    InitialSyncPreference,
    OnlyIf,
    Retain,
    SymlinkPolicy,
    SyncMode,
)
from .paths import encoded, refusal, shown
from .units import counted
from .views import Tabular, view

if TYPE_CHECKING:
    from .totals import Totals


class Action(str, Enum):
    """What an operation does to its target; TOUCH changes metadata only."""

    CREATE = "create"
    UPDATE = "update"
    COPY = "copy"
    MOVE = "move"
    DELETE = "delete"
    TOUCH = "touch"


class Reason(str, Enum):
    """Why an operation is in the plan; a closed set."""

    ONLY_AT_SOURCE = "only_at_source"
    ONLY_AT_DESTINATION = "only_at_destination"
    CHANGED_AT_SOURCE = "changed_at_source"
    CHANGED_AT_DESTINATION = "changed_at_destination"
    CHANGED_ON_BOTH_SIDES = "changed_on_both_sides"
    REMOVED_AT_SOURCE = "removed_at_source"
    REMOVED_AT_DESTINATION = "removed_at_destination"
    CONTENT_DIFFERS = "content_differs"
    CANNOT_COMPARE = "cannot_compare"
    KIND_CHANGED = "kind_changed"
    RENAMED_AT_SOURCE = "renamed_at_source"
    RENAMED_AT_DESTINATION = "renamed_at_destination"
    MODE_DIFFERS = "mode_differs"
    FORCED = "forced"
    CONFLICT = "conflict"
    PREFERENCE = "preference"
    UNDONE = "undone"
    RESTORED = "restored"
    PRUNED = "pruned"


class Purpose(str, Enum):
    """What a plan is for: a sync, or one of the three things that are done with the versions that syncs retained."""

    SYNC = "sync"
    RESTORE = "restore"
    UNDO = "undo"
    PRUNE = "prune"


@frozen
class Operation:
    """One thing a run will do to one path of one side.

    ``path`` is spelled as the target spells it; ``origin`` says where the content comes from. The expected stamps
    are those of before the plan's first operation; ``expect_target`` None means that the path is free. ``size`` is
    the number of bytes that travel: 0 for deletions, moves and copies within one storage. ``retain`` says that the
    version on the target is kept. An update of reason KIND_CHANGED replaces a directory by a file or the reverse.
    """

    action: Action
    kind: Kind
    target: Side
    path: str
    origin: Optional[Tuple[Side, str]] = None
    expect_target: Optional[Stamp] = None
    expect_origin: Optional[Stamp] = None
    digest: Optional[str] = None
    retain: bool = False
    size: int = 0
    reason: Reason = Reason.CONTENT_DIFFERS
    chosen_by: str = ""
    group: Optional[str] = None
    key: Optional[str] = None
    """The path under which both sides are compared, where it is not ``path`` or not how the origin is spelled."""
    mode: Optional[int] = None
    link: Optional[str] = None
    counterpart: Optional[Stamp] = None
    """What the other side holds under the new name of a move or copy, so that both can be remembered as agreed."""
    files: Optional[int] = None
    """How many files go along with a directory that is moved as a whole."""
    content: Optional[str] = None
    """The bytes to write, in base64, where they come from neither side: what a conflict was merged into."""

    @property
    def id(self) -> str:
        """A short text that names target and path; stable over re-planning."""
        return sha256(self.target.value.encode() + b"\0" + encoded(self.path)).hexdigest()[:16]

    @property
    def purpose(self) -> Purpose:
        """What it is done for, as ``chosen_by`` says: ``undo:RUN`` and the like, anything else is part of a sync."""
        return _PURPOSES.get(self.chosen_by.partition(":")[0], Purpose.SYNC)

    @property
    def destroys(self) -> bool:
        """Whether bytes on the target are lost or retained."""
        return self.expect_target is not None and self.action in _REPLACING and self.kind_before is not Kind.DIRECTORY

    @property
    def kind_before(self) -> Optional[Kind]:
        """What stands at the path before this operation; None where it is free."""
        if self.expect_target is None:
            return None
        if self.reason is Reason.KIND_CHANGED and self.action is Action.UPDATE:
            return Kind.FILE if self.kind is Kind.DIRECTORY else Kind.DIRECTORY
        return self.kind

    @property
    def respells(self) -> bool:
        """Whether a file only gets another spelling of its name, on a side that takes both for one."""
        return self.key is not None and self.action is Action.MOVE and not self.chosen_by.startswith(_FOLLOWING)

    @property
    def removes_file(self) -> bool:
        """Whether a file disappears from its path; a move is not a deletion, an emptied directory neither."""
        return self.action is Action.DELETE and self.kind is not Kind.DIRECTORY

    @property
    def overwrites(self) -> bool:
        """Whether a file is replaced by other content."""
        return self.action in OVERWRITING and self.destroys

    @property
    def rests_on_stamp(self) -> bool:
        """Whether only an equal stamp shows that what is moved is what the other side renamed."""
        return self.chosen_by.endswith(BY_STAMP)

    @property
    def compared_as(self) -> str:
        """The key under which both sides are compared."""
        return self.path if self.key is None else self.key

    @property
    def moved_from(self) -> Optional[str]:
        """The old path of a move or of a copy within one side."""
        if self.origin is None or self.action not in _WITHIN_A_SIDE:
            return None
        return self.origin[1]


BY_STAMP = " by stamp"
"""Ends ``chosen_by`` of a rename that no content proves."""

_FOLLOWING = "rule:R"
"""Begins ``chosen_by`` of a move to another name, as against another spelling of the same."""

_PURPOSES = {purpose.value: purpose for purpose in Purpose}
OVERWRITING = (Action.UPDATE, Action.COPY, Action.MOVE)
_REPLACING = (*OVERWRITING, Action.DELETE)
_WITHIN_A_SIDE = (Action.MOVE, Action.COPY)


class AgreementKind(str, Enum):
    """Why a row of the state changes without a side being written."""

    ADOPT = "adopt"
    CONVERGE = "converge"
    FORGET = "forget"
    TOUCH = "touch"
    DORMANT = "dormant"


@frozen
class Agreement:
    """A row this run writes to the state without touching a side, with the stamps it rests on.

    ``row`` None removes the row.
    """

    kind: AgreementKind
    path: str
    entry_kind: Kind
    row: Optional[Base]
    source: Optional[Stamp] = None
    destination: Optional[Stamp] = None


class ConflictKind(str, Enum):
    """How the two sides disagree."""

    CREATE_CREATE = "create_create"
    MODIFY_MODIFY = "modify_modify"
    DELETE_MODIFY = "delete_modify"
    KIND_CLASH = "kind_clash"


class Resolution(str, Enum):
    """How a conflict was decided."""

    SOURCE = "source"
    DESTINATION = "destination"
    NEWER = "newer"
    KEEP_BOTH = "keep-both"
    MERGED = "merged"
    SKIP = "skip"


@frozen
class Inside:
    """What stands at or below a directory that faces a file, on the directory's own side.

    ``removed`` says that both sides had agreed on it, and that the side of the file removed it; ``holdable`` is False
    for a directory that the side of the file is not to get, because it has none or because something is hidden in it.
    """

    path: str
    kind: Kind
    stamp: Stamp
    removed: bool = False
    holdable: bool = True
    link: Optional[str] = None


@frozen
class Conflict:
    """A path on which the sides disagree; it stays listed beside the operations that resolve it.

    ``source_path`` is how the source spells the path where a mapping makes that differ; the links are the targets of
    symbolic links, where one stands there. ``inside`` is what a directory holds that faces a file: first the directory
    itself, where its side has real ones.
    """

    path: str
    kind: ConflictKind
    base: Optional[Stamp] = None
    source: Optional[Stamp] = None
    destination: Optional[Stamp] = None
    resolution: Optional[Resolution] = None
    decided_by: str = ""
    source_path: Optional[str] = None
    source_link: Optional[str] = None
    destination_link: Optional[str] = None
    inside: Tuple[Inside, ...] = ()
    key: Optional[str] = None
    """The path under which both sides are compared, where a side knows several spellings of a name."""
    newer: Optional[Resolution] = None
    """What ``newer`` comes to: the side whose content is newer, ``keep-both`` on a tie or where a time is missing; None
    where a side keeps no times of its content, or was not asked for them."""

    def stamp(self, side: Side) -> Optional[Stamp]:
        """Return what *side* holds; None where it was removed there."""
        return self.source if side is Side.SOURCE else self.destination

    def link(self, side: Side) -> Optional[str]:
        """Return where the symbolic link of *side* points; None where none stands there."""
        return self.source_link if side is Side.SOURCE else self.destination_link

    def path_at(self, side: Side) -> str:
        """Return the path as *side* spells it."""
        return self.path if side is Side.DESTINATION or self.source_path is None else self.source_path

    @property
    def open(self) -> bool:
        """Whether it still needs a decision."""
        return self.resolution in (None, Resolution.SKIP)


@frozen
class Endpoint:
    """One location of a plan, without secrets: a redacted URL, a profile's name, the names of options."""

    url: str
    identity: str
    profile: Optional[str] = None
    options: Tuple[str, ...] = ()
    stamps: Tuple[str, ...] = ()


@frozen
class StateRef:
    """Which state a plan was computed from: its place (``default``, a redacted URL or None), lineage and generation."""

    place: Optional[str] = None
    lineage: Optional[str] = None
    generation: int = 0


@frozen
class Settings:
    """Everything that decides what happens; part of the digest that a reviewer approves."""

    mode: SyncMode = SyncMode.SOURCE_BACKUP
    compare: ComparisonMode = ComparisonMode.HASH_THEN_MTIME
    conflict: ConflictPolicy = ConflictPolicy.NEWEST
    initial: Optional[InitialSyncPreference] = None
    renames: bool = True
    scope: Tuple[str, ...] = ()
    guards: Guards = field(factory=Guards)
    retain: Retain = Retain.UNSYNCED
    trash: Optional[str] = None
    symlinks: SymlinkPolicy = SymlinkPolicy.SKIP
    only_if: OnlyIf = OnlyIf.ALWAYS
    path_map: Tuple[Tuple[str, str], ...] = ()
    metadata: Tuple[str, ...] = ()
    object_headers: Tuple[Tuple[str, str, str], ...] = ()
    """Pattern, name and value of what objects are to carry; see ``core/object_headers.py``."""
    force: bool = False
    require_complete: bool = False
    require_resolved: bool = False
    allow_emptied: bool = False
    allow_mass_delete: bool = False
    hash_by_download: bool = False


@frozen
class Approval:
    """A signature record over the digest of a plan."""

    by: str
    note: str
    digest: str


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
        if _ascends(self.operations):
            return
        for before, operation in zip(self.operations, self.operations[1:]):
            if _order(operation) <= _order(before):
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
        text: str = view("explain_text")(self, path)
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


def in_order(operations: Iterable[Operation]) -> Tuple[Operation, ...]:
    """Return *operations* in the order of a plan: by the bytes of the path, then by side."""
    found = tuple(operations)
    return found if _ascends(found) else tuple(sorted(found, key=_order))


def _ascends(operations: Sequence[Operation]) -> bool:
    """Say whether each path comes after the one before it, as those of a first copy do."""
    paths = [encoded(operation.path) for operation in operations]
    return all(map(lt, paths, islice(paths, 1, None)))


def _order(operation: Operation) -> Tuple[bytes, str]:
    return encoded(operation.path), operation.target


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
