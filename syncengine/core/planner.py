"""The planner: changes become operations, agreements and conflicts. Nothing is read here, nothing is written.

A path is decided by the table in ``reconcile.py`` and put into words by ``drafts.py``; what no single path knows
(directories, files that face a directory) is in ``directories.py``, what a conflict becomes in ``resolve.py``.
"""

from __future__ import annotations

from typing import Callable, List, Optional, Union

from attrs import define, evolve, field

from .comparator import Change, Equality, Question, SideChange
from .directories import Directories
from .drafts import Drafts
from .entry import Base, Entry, Kind, Problem, ProblemKind, Side
from .merge import Views
from .modes import ConflictPolicy, OnlyIf, Retain
from .paths import shown
from .plan import Action, Agreement, AgreementKind, Conflict, ConflictKind, Operation, Settings
from .reconcile import Decision, Effect, Policy, reconcile
from .resolve import decided, operations_for
from .tally import Tally


@define(eq=False)
class Planner:
    """Collects changes and turns them into the parts of a plan.

    Feed it with ``take`` in the order of the diff, then call ``finish``. *digest_of* answers for the content of a
    file where a conflict copy needs a name.
    """

    drafts: Drafts
    policy: Policy
    stateful: bool = True
    digest_of: Callable[[Question], Optional[str]] = field(default=lambda _: None)
    tally: Tally = field(factory=Tally)
    operations: List[Operation] = field(factory=list, init=False)
    agreements: List[Agreement] = field(factory=list, init=False)
    conflicts: List[Conflict] = field(factory=list, init=False)
    problems: List[Problem] = field(factory=list, init=False)
    _directories: Directories = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Give directories the same words for their operations."""
        self._directories = Directories(self.drafts)

    @property
    def settings(self) -> Settings:
        """The settings that decide."""
        return self.drafts.settings

    def take(self, changed: Union[Change, Views]) -> None:
        """Plan one path."""
        self.tally.changes += 1
        if isinstance(changed, Views):
            self._out_of_bounds(changed)
        elif self._directories.is_frozen(changed.path):
            self._directories.survives(changed)
        elif changed.clash:
            self._clash(changed)
        elif changed.kind is Kind.DIRECTORY:
            self._directory(changed)
        else:
            self._file(changed)

    def finish(self) -> None:
        """Decide the directories, and take back kind changes whose directory does not become empty."""
        self.operations += self._directories.operations()
        blocked = {f"kind:{path}": path for path in self._directories.blocked_replacements()}
        if blocked:
            self.operations = [operation for operation in self.operations if operation.group not in blocked]
            self.conflicts += (Conflict(path, ConflictKind.KIND_CLASH) for path in blocked.values())

    # ---------------------------------------------------------- out of bounds

    def _out_of_bounds(self, views: Views) -> None:
        self._directories.survives(views)
        if views.collision:
            message = f"{shown(views.path)} is a file and a directory on one side, which the other side cannot hold"
            self.problems.append(Problem(ProblemKind.COLLISION, views.path, message, "plan"))
            return
        assert views.region is not None
        if not views.region.excluded:
            return
        self.tally.excluded += 1
        if views.base is not None and views.base.live:
            self._agree(AgreementKind.DORMANT, views.path, views.base.kind, evolve(views.base, live=False))

    # ------------------------------------------------------------------ files

    def _file(self, change: Change) -> None:
        decision = reconcile(change, self.policy)
        if decision.refused is not None:
            self._refused(change, decision.refused)
        if decision.effect is Effect.CONFLICT:
            self._conflict(change, decision)
        elif decision.effect.deletes:
            self._delete(change, decision)
        elif decision.effect.target is not None:
            self._carry(change, decision)
        else:
            self._record(change, decision)
            self._directories.survives(change)

    def _refused(self, change: Change, why: str) -> None:
        if self.settings.only_if is OnlyIf.IMMUTABLE:
            message = f"{shown(change.path)} is not replaced: {why}"
            self.problems.append(Problem(ProblemKind.CHANGED, change.path, message, "plan"))

    def _carry(self, change: Change, decision: Decision) -> None:
        target = decision.effect.target
        assert target is not None
        group = self._directories.group_of(change.path, target)
        drafted = self.drafts.carried(change, decision, group=group)
        if isinstance(drafted, Problem):
            self.problems.append(drafted)
            self._directories.survives(change)
            return
        self._directories.hold(drafted.path, target)
        self._directories.hold(change.path, target.other)
        self.operations.append(drafted)

    def _delete(self, change: Change, decision: Decision) -> None:
        target = decision.effect.target
        assert target is not None
        group = self._directories.group_of(change.path, target)
        self.operations.append(self.drafts.deletion(change, decision, group=group))

    # ------------------------------------------------------------- agreements

    def _record(self, change: Change, decision: Decision) -> None:
        """Write down what costs no operation: equal content, an absence both sides share, a skipped deletion."""
        source, destination, base = change.source, change.destination, change.base
        if decision.dormant:
            if base is not None and base.live:
                self._agree(AgreementKind.DORMANT, change.path, base.kind, evolve(base, live=False))
            return
        if decision.row == "T13" and base is not None:
            self._agree(AgreementKind.FORGET, change.path, base.kind, None)
            return
        if source is None or destination is None or change.comparison.equality is not Equality.EQUAL:
            return
        if change.kind is not Kind.DIRECTORY:
            self.tally.unchanged += 1
        self._keep_modes_in_step(change, source, destination)
        if decision.row == "T6" and base is not None and not _refreshes(change, base):
            return
        kind = {"T4": AgreementKind.ADOPT, "T9": AgreementKind.CONVERGE}.get(decision.row, AgreementKind.TOUCH)
        self._agree(kind, change.path, source.kind, self.drafts.row(change, source, destination))

    def _keep_modes_in_step(self, change: Change, source: Entry, destination: Entry) -> None:
        drafted = self.drafts.new_mode(change, source, destination) if self.settings.metadata else None
        if drafted is not None:
            self.operations.append(drafted)

    def _agree(self, kind: AgreementKind, path: str, entry_kind: Kind, row: Optional[Base]) -> None:
        if not self.stateful:
            return
        stamps = (row.source, row.destination) if row is not None else (None, None)
        self.agreements.append(Agreement(kind, path, entry_kind, row, *stamps))

    # -------------------------------------------------------------- conflicts

    def _conflict(self, change: Change, decision: Decision) -> None:
        assert decision.conflict is not None
        times_count = all(traits.true_mtime for traits in self.drafts.traits.values())
        undecided = self.drafts.conflict(change, decision.conflict)
        conflict = decided(undecided, self._conflict_policy(), times_count=times_count)
        self.conflicts.append(conflict)
        self._directories.survives(change)
        operations = operations_for(conflict, retain=self.settings.retain, loser_digest=self._loser(change))
        self.operations.extend(operations)
        for operation in operations:
            if operation.action is not Action.DELETE:
                self._directories.hold(operation.path, operation.target)

    def _conflict_policy(self) -> ConflictPolicy:
        """Without a trash the loser of ``newest`` could not be recovered, so both are kept."""
        unsafe = self.settings.retain is Retain.NONE and self.settings.conflict is ConflictPolicy.NEWEST
        return ConflictPolicy.KEEP_BOTH if unsafe else self.settings.conflict

    def _loser(self, change: Change) -> Optional[str]:
        """Return a digest that names a conflict copy, where the losing side's content can be had cheaply."""
        mine, theirs = change.source, change.destination
        if mine is None or theirs is None:
            return None
        source_newer = (mine.stamp.mtime_ns or 0) + 2_000_000_000 >= (theirs.stamp.mtime_ns or 0)
        side, entry = (Side.DESTINATION, theirs) if source_newer else (Side.SOURCE, mine)
        known = entry.stamp.digest("sha256")
        if known is not None or not self.drafts.traits[side].cheap_reads:
            return known
        return self.digest_of(Question(side, entry, "sha256"))

    # ------------------------------------------------------- kinds, directories

    def _clash(self, change: Change) -> None:
        """Plan a path that is a file on one side and a directory on the other."""
        file_side = Side.DESTINATION if change.kind is Kind.DIRECTORY else Side.SOURCE
        if self.settings.mode.is_backup or self.settings.mode.is_bidirectional:
            self._freeze(change)
            return
        alone = change.without(file_side.other)
        decision = reconcile(alone, self.policy)
        target = decision.effect.target
        if target is None:
            self._freeze(change)
        elif decision.effect.deletes:
            self._make_room_for_directory(alone, decision, target)
        else:
            self._replace_directory(alone, decision)

    def _freeze(self, change: Change) -> None:
        self.conflicts.append(self.drafts.conflict(change, ConflictKind.KIND_CLASH))
        self._directories.freeze(change.path)
        self._directories.survives(change)

    def _make_room_for_directory(self, alone: Change, decision: Decision, target: Side) -> None:
        if not self.drafts.traits[target].real_directories:
            self._delete(alone, decision)  # a file and names below it can stand side by side there
            return
        self.operations.append(self._directories.file_becomes_directory(alone, decision))

    def _replace_directory(self, alone: Change, decision: Decision) -> None:
        drafted = self._directories.directory_becomes_file(alone, decision)
        if isinstance(drafted, Problem):
            self.problems.append(drafted)
        else:
            self.operations.append(drafted)

    def _directory(self, change: Change) -> None:
        """Plan a directory; it takes part only where both sides have real ones."""
        if not self._directories.takes_part(change):
            return
        decision = reconcile(change, evolve(self.policy, force=False))
        refused = self._unholdable(change, decision)
        if refused is not None:
            self.problems.append(refused)
        elif not self._directories.wait(change, decision):
            self._record(change, decision)


    def _unholdable(self, change: Change, decision: Decision) -> Optional[Problem]:
        target = decision.effect.target
        arriving = None if target is None or decision.effect.deletes else change.entry(target.other)
        return None if target is None or arriving is None else self.drafts.unholdable(change.path, arriving, target)


def _refreshes(change: Change, base: Base) -> bool:
    """Say whether an agreement that still holds is worth writing again: new stamps, or a row that was in doubt."""
    touched = SideChange.TOUCHED in (change.comparison.source, change.comparison.destination)
    return touched or not base.live
